/*
 * The host calls with all their checks, independent of the engine.
 *
 * Order of checks: allowed by the profile, number of calls, pointers, bytes; the first that fails
 * sets `trap`, and the engine must then stop the guest.  Only then are values checked, and a wrong
 * one is answered by an error code.  A call that stops the guest leaves no record.
 * guest/fast/hostcalls.py is the same for the simulator.
 */
#ifndef LEVADA_HOST_H
#define LEVADA_HOST_H

#include "config.h"
#include "kept.h"
#include "ring.h"
#include "tape.h"

/* A string of the guest: an engine fills it, so that this layer sees bytes and no addresses. */
typedef struct {
    const uint8_t *bytes;
    uint32_t length; /* without the NUL */
    bool valid;      /* inside memory, with a NUL before its end */
} lv_text;

typedef struct lv_host {
    const lv_config *config;
    lv_ring *ring;
    lv_kept *kept;
    lv_tape tape;

    /* of the node, by CONFIGURE */
    char prefix[52]; /* topic prefix, node name, '/' */
    char alias[24];  /* the same with the name that old guests have built in */
    int32_t counts[3];
    uint16_t allowed; /* bit set of lv_call */
    uint8_t pin_count;
    uint8_t pins[LV_PINS];
    uint32_t call_limit;
    uint32_t log_limit;
    uint32_t publish_limit;

    /* of this run */
    int64_t time_ms;
    int64_t uptime_ms; /* since the guest was started */
    int64_t delayed_ms;
    int32_t readings[LV_SENSORS];
    uint8_t read; /* bit set of lv_sensor: those read in this run */
    bool online;
    bool pausing; /* main runs: delay_ms hands over */
    uint32_t calls;
    uint32_t logged;
    uint32_t published;
    uint8_t trap; /* lv_trap */
    uint8_t trap_call;

    /* since the guest was started */
    uint16_t outputs;
    uint16_t wished;   /* by the guest; the outputs, unless they are held */
    bool held;         /* outputs stay closed */
    uint16_t ever_set;

    /* since the device was started */
    uint32_t total_calls;
    uint32_t total_published;
} lv_host;

/* What LV_CALL_DELAY_MS tells an engine. */
typedef enum {
    LV_RESUME = 0,  /* the guest goes on, unless `trap` is set */
    LV_UNWIND = -1, /* main is to end, whatever `trap` says: nobody will call it again */
} lv_pause;

/* Take over who the node is and what its guest may use; outputs of another map of pins are closed.
 * The caller has checked *m: at most LV_PINS pins, and room for its tape. */
void lv_host_configure(lv_host *host, const lv_msg_configure *m);

/* Most bytes of tape that one run can need with these budgets. */
uint64_t lv_host_tape_room(const lv_msg_configure *m);

/* The same with those in force. */
uint64_t lv_host_run_room(const lv_host *host);

/* Give the guest its whole budget of calls and bytes again. */
void lv_host_renew_budget(lv_host *host);

/* Begin a run at `time_ms` of virtual time [ms since 1970], with a whole budget and a record on the
 * tape; `entry` as lv_tape_begin has it. */
void lv_host_begin(lv_host *host, int64_t time_ms, uint8_t entry);

/* Nothing was measured yet. */
void lv_host_forget_readings(lv_host *host);

/* Whether there are such sensors as the message tells of. */
bool lv_host_has_sensors(const lv_msg_step *m);

/* Set what sensors answer in the coming run; the message has been found in order. */
void lv_host_inject(lv_host *host, const lv_msg_step *m);

/* Close every output, whatever the guest thinks. */
void lv_host_close_outputs(lv_host *host);

/* Hold the outputs closed from now on: what the guest sets is only remembered. */
void lv_host_hold_outputs(lv_host *host);

/* Hold them no longer, and drive what the guest wishes. */
void lv_host_release_outputs(lv_host *host);

/* The calls of the ABI, as docs/abi.md has them; any number may come as argument, and bytes of a text
 * are read only if it is valid.  Each may set `trap`, and then its answer does not count. */

/* What a sensor reads, or has counted since the last read, or LV_RESULT_INVALID; kind: lv_sensor. */
int32_t lv_call_read_sensor(lv_host *host, int32_t kind);
/* Open (not 0) or close the output on a pin; nothing happens on one that is none. */
void lv_call_set_output(lv_host *host, int32_t pin, int32_t state);
/* Counts that the node was given, or LV_RESULT_INVALID; key: lv_config. */
int32_t lv_call_get_config(lv_host *host, int32_t key);
/* Put a message on the ring: LV_RESULT_OK, LV_RESULT_OFFLINE (it is kept all the same), or
 * LV_RESULT_REFUSED. */
int32_t lv_call_mqtt_publish(lv_host *host, lv_text topic, lv_text message);
/* A line for the log, as far as LV_LOG_BYTES of it. */
void lv_call_wasm_log(lv_host *host, lv_text message);
/* A number for the log, of four bytes. */
void lv_call_log_int(lv_host *host, int32_t value);
/* Let `ms` of virtual time pass; less than 0 is 0.  Blocks as long as `guest_pause` of the port. */
lv_pause lv_call_delay_ms(lv_host *host, int32_t ms);
/* Virtual time since 1970, and since the guest was started [s], as i32 that wrap. */
int32_t lv_call_now_s(lv_host *host);
int32_t lv_call_uptime_s(lv_host *host);
/* What the guest keeps in a slot, or LV_RESULT_INVALID if there is no such slot. */
int32_t lv_call_keep_get(lv_host *host, int32_t slot);
/* Keep a value from the end of this run on: LV_RESULT_OK or LV_RESULT_INVALID. */
int32_t lv_call_keep_set(lv_host *host, int32_t slot, int32_t value);

/* Whether `length` bytes are UTF-8 of RFC 3629; `text` may be NULL if they are none. */
bool lv_utf8_valid(const uint8_t *text, uint32_t length);

/* Whether a guest may publish there: a bare level, or the node's own prefix and more. */
bool lv_topic_allowed(const lv_host *host, const uint8_t *topic, uint32_t length);

#endif
