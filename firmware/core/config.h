/*
 * The seam: everything the core asks of the outside, in one struct that a port fills.
 *
 * The core neither allocates, nor waits, nor knows the time, a file, or an engine.  Callbacks are
 * called from within core functions, by the thread that called those; none may call back into the
 * core, except that the engine calls the host calls of host.h from within `guest_call`.
 * Times are ms; the core compares them by difference, so a clock may wrap.  None blocks, but where
 * its comment says so.
 */
#ifndef LEVADA_CONFIG_H
#define LEVADA_CONFIG_H

#include <stdbool.h>

#include "contract.h"
#include "levada_messages.h"

struct lv_host;

/* What the core calls in a guest. */
typedef enum {
    LV_EXPORT_INIT,         /* () -> i32 */
    LV_EXPORT_STEP,         /* () -> i32 */
    LV_EXPORT_MAIN,         /* () or (i32, i32), result ignored */
    LV_EXPORT_PARAM_GET,    /* (i32) -> i32 */
    LV_EXPORT_PARAM_SET,    /* (i32, i32) -> i32 */
    LV_EXPORT_PROCESS,      /* (i32, i32, i32, i32) -> i32 */
    LV_EXPORT_FILTER,       /* (i32) -> i32 */
    LV_EXPORT_ANOMALY,      /* (i32, i32) -> i32; this one and the rest are of ABI 1.1 */
    LV_EXPORT_WINDOW_ADD,   /* (i32, i32) -> i32 */
    LV_EXPORT_WINDOW_GET,   /* (i32) -> i32 */
    LV_EXPORT_LOOK_BACK,    /* (i32) -> i32 */
    LV_EXPORT_FILTER_STATE, /* () -> i32 */
    LV_EXPORTS
} lv_export;

/* Results of guest_call besides lv_trap, where 0 is success. */
enum {
    LV_GUEST_PAUSED = 100, /* main is in delay_ms; the next call of LV_EXPORT_MAIN resumes it */
    LV_GUEST_MISSING = 101 /* the guest has no such export */
};

typedef struct {
    uint32_t instructions; /* 1..; of one guest_call */
    uint32_t memory_pages; /* 1..65536, of 64 KiB */
} lv_limits;

enum {
    LV_SLOTS = 2,
    LV_STORE_RECORDS = 2, /* of store.h, the first ones */
    LV_KEPT_RECORDS = 2,  /* of kept.h, behind them */
    LV_ENVELOPE_RECORDS = LV_SLOTS, /* of store.h again, one a slot, behind those */
    LV_RECORDS = LV_STORE_RECORDS + LV_KEPT_RECORDS + LV_ENVELOPE_RECORDS,
    LV_RECORD_BYTES = 448, /* of the store */
    LV_ENVELOPE_BYTES = 512, /* of the longest */
    LV_ENVELOPE_RECORD_BYTES = 4 + 4 + LV_ENVELOPE_BYTES + 4,
    LV_KEPT_OWNER = 20,
    LV_KEPT_BYTES = 4 + 4 + LV_KEPT_OWNER + 4 * LV_KEEP_SLOTS + 4,
    LV_PARAMETERS = 32, /* most that the store keeps */
    LV_PINS = 16,
    LV_KEYS = 2,         /* most that a device trusts */
    LV_NONCE_BYTES = 16,
};

typedef struct {
    void *context; /* handed to every callback */

    /* --- the guest ---------------------------------------------------------------------------- */

    /* Whether a module would load: 0, or a negative reason of the engine (engine.h).  A guest that
     * is loaded is not touched. */
    int (*guest_check)(void *context, const uint8_t *module, uint32_t length,
                       const lv_limits *limits);
    /* Make a guest of a module, which stays readable until guest_unload, and run its start function
     * and constructors.  0; a negative reason, upon which nothing is to be unloaded; or an lv_trap,
     * upon which it is. */
    int (*guest_load)(void *context, const uint8_t *module, uint32_t length, struct lv_host *host,
                      const lv_limits *limits);
    /* Run an export: 0 and *result, an lv_trap, LV_GUEST_PAUSED or LV_GUEST_MISSING.  It returns
     * when the guest does, traps, or has used its budget. */
    int (*guest_call)(void *context, lv_export which, const int32_t *arguments, int32_t *result);
    void (*guest_unload)(void *context);
    /* Whether it exports that. */
    bool (*guest_has)(void *context, lv_export which);
    /* Called in delay_ms while main runs: hand over to whoever called guest_call, so that it
     * returns LV_GUEST_PAUSED; return 0 when main is called again, or -1 if it is to unwind. */
    int (*guest_pause)(void *context);
    const char *engine; /* name and version, at most 23 bytes */

    /* --- outputs ------------------------------------------------------------------------------ */

    /* Drive a pin, 0 or 1, at once.  The port has all pins at 0 before the core runs, and whenever
     * it cannot run. */
    void (*output)(void *context, uint8_t pin, uint8_t state);

    /* --- flash -------------------------------------------------------------------------------- */

    /* Read or write one of LV_RECORDS records of lv_record_bytes().  0, or negative; a write that a
     * power cut interrupts may leave anything in its own record, nothing elsewhere. */
    int (*record_read)(void *context, int record, uint8_t *bytes);
    int (*record_write)(void *context, int record, const uint8_t *bytes);
    /* One of LV_SLOTS places for a module, of slot_bytes each.  0, or negative.  Pieces of any
     * length are written one behind the other, from the beginning of a slot that was erased. */
    int (*slot_erase)(void *context, int slot);
    int (*slot_write)(void *context, int slot, uint32_t offset, const uint8_t *data,
                      uint32_t length);
    /* Address of a slot's bytes, all that was written among them, valid until the slot is erased;
     * never NULL. */
    const uint8_t *(*slot_map)(void *context, int slot);
    uint32_t slot_bytes; /* 1024..1048576 */

    /* Least time between two writes of what a guest keeps while no output changes [ms], against
     * wear.  A loss of power may cost as much; 0: every change is written at the end of its run. */
    uint32_t keep_every_ms;

    /* --- whose modules it takes ---------------------------------------------------------------- */

    /* Public keys of Ed25519 (RFC 8032), `key_count` of them, 0..LV_KEYS.  A device without keys is
     * an open one, as on a bench: it takes a module of anybody. */
    const uint8_t (*keys)[32];
    uint8_t key_count;
    /* Whether a signature of Ed25519 over a message holds: 0 if it does, else negative.  It may block
     * for 300 ms, and feeds the watchdog if that is needed.  NULL if there are no keys.  A signature
     * whose S is not below the order of the group is refused, and so is a key or an R of small order:
     * every port accepts the same (docs/updates.md). */
    int (*verify)(void *context, const uint8_t signature[64], const uint8_t *message, size_t length,
                  const uint8_t key[32]);

    /* --- the line ----------------------------------------------------------------------------- */

    /* Send all bytes; may block until the line takes them.  0, or negative if the line is gone. */
    int (*send)(void *context, const uint8_t *bytes, uint32_t length);

    /* --- the board ---------------------------------------------------------------------------- */

    /* Restart; need not return. */
    void (*restart)(void *context);
    /* Arm a watchdog that restarts the board after `ms`, 0: disarm. */
    void (*watchdog)(void *context, uint32_t ms);
    /* A free-running microsecond counter for the energy model, or NULL. */
    uint32_t (*clock_us)(void *context);
    /* Deepest use of the stack so far [bytes], or NULL. */
    uint32_t (*stack_bytes)(void *context);
    /* Called at the points of lv_at, so that a test can cut the power there, or NULL. */
    void (*at)(void *context, uint8_t point);
    /* Take a FAULT request, or NULL: a board refuses it. */
    lv_status (*fault)(void *context, const lv_msg_fault *fault);
    /* Fill `length` bytes that nobody can foresee, or NULL: then the node takes no manifest that
     * answers a request of its own. */
    void (*random)(void *context, uint8_t *bytes, uint32_t length);
    uint8_t reset_reason; /* lv_reset */
    /* Boot id where flash is empty, 0: 1.  Telemetry is told apart by it, so it should be one that
     * the node never had: a random one below 2^31. */
    uint32_t first_boot_id;
    const char *firmware; /* name and version, at most 23 bytes */

    /* --- memory, owned by the caller ---------------------------------------------------------- */

    uint8_t *tape; /* records of one run */
    uint32_t tape_bytes; /* 1024..; bounds the budgets, see lv_host_tape_room */
    uint8_t *kept; /* LV_KEPT_BYTES that outlive a restart without loss of power, or NULL */
    uint8_t *ring; /* telemetry that waits */
    uint32_t ring_bytes; /* 640.. */
} lv_config;

/* Length of one of the LV_RECORDS records [bytes]. */
static inline uint32_t lv_record_bytes(int record)
{
    LV_ASSERT(record >= 0 && record < LV_RECORDS);
    if (record < LV_STORE_RECORDS)
        return LV_RECORD_BYTES;
    return record < LV_STORE_RECORDS + LV_KEPT_RECORDS ? LV_KEPT_BYTES : LV_ENVELOPE_RECORD_BYTES;
}

#endif
