/*
 * What survives a power cut: boot counter, parameters, and the guest in one of two slots.
 *
 * Everything but the modules and their envelopes is in one record, written in turn to two places
 * with a generation number and a CRC; the newest whole one counts.  So a cut at any byte leaves the
 * old state or the new one.  A new guest goes to the slot that is not in use and becomes the guest
 * with the write of one record, after its SHA-256 was read back from flash.
 *
 * It may be on trial before: then the record says so from before its first instruction on, and until
 * it is committed the slot in use is the old one.  So a restart, for whatever reason, ends a trial.
 */
#ifndef LEVADA_STORE_H
#define LEVADA_STORE_H

#include "manifest.h"
#include "sha256.h"

/* The module in the slot that is not in use. */
typedef enum {
    LV_STAGE_NONE,    /* is a former one, or none */
    LV_STAGE_WAITING, /* waits for its trial */
    LV_STAGE_RUNNING, /* is on trial */
} lv_stage;

enum {
    LV_BARRED = 4,        /* modules that are not tried again */
    LV_BARRED_BYTES = 16, /* of their digests, the first ones */
    LV_CRASHES = 3,       /* so many within LV_CRASHES_MS, and a module goes back */
    LV_CRASHES_MS = 86400000,
};

/* What the record says of updates. */
typedef struct {
    uint32_t counter;   /* highest of a signed module that was in use; it never goes down */
    lv_stage stage;
    uint8_t wants;      /* LV_TRIAL_*: besides the steps */
    uint16_t steps;     /* that the trial has to pass */
    uint32_t within_ms; /* 0: no limit */
    uint32_t carried;   /* bit k: parameters[k] holds for the modules in both slots */
    bool watched;       /* the module in use was on trial, and goes back if it crashes */
    bool previous;      /* the other slot has a module that was in use and did not fail */
    uint8_t crashes;    /* of the module in use, */
    int64_t crashed_ms; /* the first of them at that virtual time, LV_NO_TIME if that is unknown */
    uint8_t state;      /* lv_update */
    uint8_t reason;     /* lv_reason */
    int32_t detail;
    uint8_t barred[LV_BARRED][LV_BARRED_BYTES]; /* newest first, zeros behind the last */
} lv_update_record;

#define LV_NO_TIME INT64_MIN

typedef struct {
    const lv_config *config;

    uint32_t generation;
    uint32_t boot_id;
    uint8_t active; /* slot in use */
    uint32_t size[LV_SLOTS]; /* 0: no module */
    uint8_t sha256[LV_SLOTS][32];
    uint16_t parameter_count;
    int32_t parameters[LV_PARAMETERS][2]; /* id, value */
    lv_update_record update;

    uint32_t counter[LV_SLOTS]; /* by the envelope of the slot; 0: none */
    char version[LV_SLOTS][33]; /* likewise; empty */

    bool receiving;
    uint32_t wanted_size;
    uint32_t received;
    uint8_t wanted[32];
    uint32_t writes; /* of flash, since the start */
} lv_store;

/* Find the newest record, count this start, end a trial that was running, and make sure that the
 * slots are whole and, on a device with keys, signed; `config` must outlive *store.  LV_OK, or
 * LV_NAK_FLASH if the record cannot be written: the device works on, but forgets. */
lv_status lv_store_open(lv_store *store, const lv_config *config);

/* The slot that a start runs: that on trial, or that in use. */
uint8_t lv_store_slot(const lv_store *store);

/* The module in it with its length [bytes], or NULL and 0.  It stays until lv_store_begin. */
const uint8_t *lv_store_guest(const lv_store *store, uint32_t *size);

/* Read the module that a start runs again: if flash has lost it, the one before is in use, or none. */
void lv_store_secure(lv_store *store);

/* A module that lies in a slot already is the one in use from now on: LV_OK or LV_NAK_FLASH. */
lv_status lv_store_adopt(lv_store *store, uint8_t slot, uint32_t size, const uint8_t sha256[32]);

/* Whoever installs calls begin, chunk as often as it takes, received, and commit or wait.  The guest
 * in use stays until commit.  Erasing and writing take as long as the port's flash does. */

/* Make room for a module of `size` bytes [1..slot_bytes] with that digest; what was being received is
 * gone.  What has it already is not erased, and counts as received.  LV_OK, LV_NAK_SIZE, or
 * LV_NAK_FLASH, upon which nothing is received.  Not while a module waits or is on trial. */
lv_status lv_store_begin(lv_store *store, uint32_t size, const uint8_t sha256[32]);

/* Keep the envelope of what is being received, and what its manifest says; `length` 0 and NULL: it has
 * none.  LV_OK or LV_NAK_FLASH. */
lv_status lv_store_seal(lv_store *store, const uint8_t *envelope, uint16_t length,
                        const lv_manifest *manifest);

/* The next `length` bytes, which are 0 or more, at `offset`, which is at most the number of those
 * received so far: what is there already is not written again.  LV_OK, LV_NAK_STATE if nothing is
 * received or bytes are missing before them, LV_NAK_SIZE if they are more than was announced, or
 * LV_NAK_FLASH. */
lv_status lv_store_chunk(lv_store *store, uint32_t offset, const uint8_t *data, uint32_t length);

/* The module that was received, as flash gives it back.  LV_OK, LV_NAK_STATE if it is not whole, or
 * LV_NAK_DIGEST if it is not the one that was announced. */
lv_status lv_store_received(const lv_store *store, const uint8_t **module, uint32_t *size);

/* Make the guest of the module that lv_store_received has just returned LV_OK for: LV_OK, or
 * LV_NAK_FLASH, upon which the guest is the one before.  Parameters of another module are gone. */
lv_status lv_store_commit(lv_store *store);

/* Receive nothing any more; harmless if nothing was. */
void lv_store_abandon(lv_store *store);

/* Let the module that lv_store_received has just returned LV_OK for wait for a trial, for which `update`
 * of the store has wants, steps, within_ms and carried: LV_OK, or LV_NAK_FLASH, and nothing waits. */
lv_status lv_store_wait(lv_store *store);

/* The trial of what waits begins, if it is whole, signed and the record can be written: LV_OK, or
 * LV_NAK_DIGEST or LV_NAK_FLASH, upon which it has failed. */
lv_status lv_store_try(lv_store *store);

/* The module on trial is the one in use: LV_OK, or LV_NAK_FLASH, upon which the trial goes on.  Of the
 * parameters stay those that are carried. */
lv_status lv_store_promote(lv_store *store);

/* What waits or is on trial has failed, and is never tried again if it is to be `barred`; the module
 * in use is the one before, also if flash cannot be written. */
void lv_store_roll_back(lv_store *store, uint8_t reason, int32_t detail, bool barred);

/* The module in use was stopped by that trap at that virtual time, or LV_NO_TIME: whether that was once
 * too often, and the one before is in use again. */
bool lv_store_crashed(lv_store *store, int64_t time_ms, uint8_t trap);

/* Whether a module has failed here. */
bool lv_store_barred(const lv_store *store, const uint8_t sha256[32]);

/* Keep `count` values by id (i32 id and i32 value each; NULL if there are none) beside those kept
 * before, all or none: LV_OK, LV_NAK_SIZE if they are more than LV_PARAMETERS, or LV_NAK_FLASH. */
lv_status lv_store_keep(lv_store *store, const uint8_t *pairs, uint16_t count);

#endif
