/*
 * A node: one guest, its outputs, and what the host may ask of it.
 *
 * Outputs are closed whenever no guest is in charge: before a start, after a trap, after close, and
 * when the host has been silent longer than the lease.
 */
#ifndef LEVADA_NODE_H
#define LEVADA_NODE_H

#include "host.h"
#include "store.h"

#define LV_NEVER_MS (INT64_C(1) << 62)
/* A time is less than this from 1970, so that sums and differences of times are numbers too. */
#define LV_TIMES_MS (INT64_C(1) << 61)
#define LV_LONGEST_WAKE_MS 86400000

typedef enum { LV_NODE_IDLE, LV_NODE_RUNNING, LV_NODE_STOPPED } lv_node_state;

typedef struct {
    const lv_config *config;
    lv_store store;
    lv_kept kept;
    lv_ring ring;
    lv_host host;

    lv_limits limits;
    uint32_t deadline_ms;
    uint32_t lease_ms;
    uint32_t heard_ms; /* from the host of the session */
    bool lease_expired;

    lv_node_state state;
    bool command;  /* the guest is a main, not a step */
    bool finished; /* and it has returned */
    uint8_t trap;  /* that stopped it */
    int64_t wake_ms;
    int32_t detail; /* of the last refusal */

    uint32_t steps;
    uint32_t active_us; /* of the last run */
    uint64_t total_active_us;
    uint64_t open_ms;
    int64_t seen_ms; /* virtual time up to which open_ms is counted */
} lv_node;

/* 0, or minus the line of the check that `config` fails: a fault of the port.  The node refers to
 * `config`, which must stay. */
int lv_node_init(lv_node *node, const lv_config *config);

/* All these return 0 or an lv_nak; `detail` then says more. */
int lv_node_configure(lv_node *node, const lv_msg_configure *m);
int lv_node_start(lv_node *node, const lv_msg_start *m);
int lv_node_step(lv_node *node, const lv_msg_step *m);
int lv_node_calibrate(lv_node *node, const lv_msg_calibrate *m);
int lv_node_get(lv_node *node, int32_t id, int32_t *value);
int lv_node_install(lv_node *node); /* what the store has received */

void lv_node_birth(const lv_node *node, lv_msg_birth *m);
/* Without the tape. */
void lv_node_result(lv_node *node, lv_msg_step_result *m);
/* Safe state: outputs closed, guest unloaded, what it keeps in flash; also before a restart. */
void lv_node_close(lv_node *node);
/* The host was heard, or not: `now_ms` is any clock that only goes forward. */
void lv_node_heard(lv_node *node, uint32_t now_ms);
void lv_node_tick(lv_node *node, uint32_t now_ms);
/* Whether the lease has closed outputs since this was asked last. */
bool lv_node_told_of_lease(lv_node *node);

#endif
