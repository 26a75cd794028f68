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

enum { LV_TOPIC_BYTES = 64, LV_MESSAGE_BYTES = 512, LV_LOG_BYTES = 256 };

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
    int32_t readings[4];
    bool flow_read;
    bool online;
    bool pausing; /* main runs: delay_ms hands over */
    uint32_t calls;
    uint32_t logged;
    uint32_t published;
    uint8_t trap; /* lv_trap */
    uint8_t trap_call;

    /* since the guest was started */
    uint16_t outputs;
    uint16_t ever_set;

    /* since the device was started */
    uint32_t total_calls;
    uint32_t total_published;
} lv_host;

void lv_host_configure(lv_host *host, const lv_msg_configure *m);
/* Most bytes of tape that one run can need with these budgets. */
uint64_t lv_host_tape_room(const lv_msg_configure *m);
void lv_host_renew_budget(lv_host *host);
void lv_host_begin(lv_host *host, int64_t time_ms, uint8_t entry);
/* Close every output, whatever the guest thinks. */
void lv_host_close_outputs(lv_host *host);

int32_t lv_call_read_sensor(lv_host *host, int32_t kind);
void lv_call_set_output(lv_host *host, int32_t pin, int32_t state);
int32_t lv_call_get_config(lv_host *host, int32_t key);
int32_t lv_call_mqtt_publish(lv_host *host, lv_text topic, lv_text message);
void lv_call_wasm_log(lv_host *host, lv_text message);
void lv_call_log_int(lv_host *host, int32_t value);
/* -1: main is to unwind (its thread ends), whatever `trap` says. */
int lv_call_delay_ms(lv_host *host, int32_t ms);
int32_t lv_call_now_s(lv_host *host);
int32_t lv_call_uptime_s(lv_host *host);
int32_t lv_call_keep_get(lv_host *host, int32_t slot);
int32_t lv_call_keep_set(lv_host *host, int32_t slot, int32_t value);

bool lv_utf8_valid(const uint8_t *text, uint32_t length);
bool lv_topic_allowed(const lv_host *host, const uint8_t *topic, uint32_t length);

#endif
