/*
 * A node: one guest, its outputs, and what the host may ask of it.
 *
 * Outputs are closed whenever no guest is in charge: before a start, after a trap, after close, and
 * when the host has been silent longer than the lease.
 *
 *            start: the module loads           a trap, or a result below 0
 *     IDLE ---------------------------> RUNNING --------------------------> STOPPED
 *      ^                                   |                                   |
 *      +-----------------------------------+-----------------------------------+
 *        close, install, roll back, and start, which goes on from IDLE
 *
 *     request                 IDLE              RUNNING           STOPPED
 *     start                   RUNNING; STOPPED if init traps; IDLE if the module or a parameter
 *                             is refused; if there is no module or the time is none: stays
 *     step, calibrate, get    LV_NAK_NO_GUEST   stays; STOPPED    LV_NAK_STOPPED
 *                                               after a trap
 *     install                 IDLE; if what was received is refused: stays
 *     install on trial        stays
 *     reject, abort, tick     IDLE if that ends a trial; else stays
 *     close                   IDLE
 *     configure               stays
 *
 * A start runs the module that waits for its trial, or is on it (update.h).  If such a module traps,
 * or is refused by the start, it is rolled back: a start and a step go on with the former module at
 * once, after other requests the next step does.  The same holds for a module in use that has
 * crashed too often.
 */
#ifndef LEVADA_NODE_H
#define LEVADA_NODE_H

#include "host.h"
#include "update.h"

#define LV_NEVER_MS (INT64_C(1) << 62)
/* A time is less than this from 1970, so that sums and differences of times are numbers too. */
#define LV_TIMES_MS (INT64_C(1) << 61)
#define LV_LONGEST_WAKE_MS 86400000
/* A clock that shows less has never been set [s since 1970]: 2020-01-01. */
#define LV_CLOCK_SET_S 1577836800

typedef enum { LV_NODE_IDLE, LV_NODE_RUNNING, LV_NODE_STOPPED } lv_node_state;

typedef struct {
    const lv_config *config;
    lv_store store;
    lv_update update;
    lv_kept kept;
    lv_ring ring;
    lv_host host;

    char name[32]; /* of the node, by CONFIGURE */
    lv_limits limits;
    uint32_t deadline_ms;
    uint32_t lease_ms;
    uint32_t heard_ms; /* from the host of the session */
    bool lease_expired;

    lv_node_state state;
    bool resume;      /* a module has failed: the next step begins with the former one */
    bool rolled_back; /* and no result has told so */
    int64_t started_ms; /* uptime of a step at which it was loaded instead of one */
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

/* Which part of the seam a port has filled badly; negative but for LV_INIT_OK. */
typedef enum {
    LV_INIT_OK = 0,
    LV_INIT_GUEST = -1,         /* a callback of the guest is missing */
    LV_INIT_ENGINE_NAME = -2,   /* missing, or too long */
    LV_INIT_OUTPUT = -3,        /* missing */
    LV_INIT_FLASH = -4,         /* a callback of records or slots is missing */
    LV_INIT_SLOT_BYTES = -5,    /* out of range */
    LV_INIT_BOARD = -6,         /* `send`, `restart` or `watchdog` is missing */
    LV_INIT_FIRMWARE_NAME = -7, /* missing, or too long */
    LV_INIT_TAPE = -8,          /* missing, or too small for the budgets of a node without host */
    LV_INIT_RING = -9,          /* missing, or too small */
    LV_INIT_KEYS = -10,         /* more than LV_KEYS, or without `verify` */
} lv_init_status;

/* Make a node in LV_NODE_IDLE, with what flash has, or say why not, and then *node is not to be used.
 * It refers to `config`, which must outlive it. */
lv_init_status lv_node_init(lv_node *node, const lv_config *config);

/* All these return LV_OK or why they refuse; `detail` then says more (docs/wire.md).  They block as
 * long as the guest runs, and as the port's flash takes. */

/* Take over names, rights and budgets: LV_NAK_VALUE for a value out of range, LV_NAK_SIZE for budgets
 * whose tape has no room.  Refused, nothing changes. */
lv_status lv_node_configure(lv_node *node, const lv_msg_configure *m);

/* Load the guest, run `init`, and set parameters: LV_OK, also if it has trapped, as lv_node_result
 * tells; LV_NAK_NO_GUEST, LV_NAK_VALUE, LV_NAK_LOAD or LV_NAK_PARAMETER. */
lv_status lv_node_start(lv_node *node, const lv_msg_start *m);

/* Whether a start is due instead of a step: no guest runs, or a module waits for its trial. */
bool lv_node_wants_start(const lv_node *node);

/* Run the guest once, or its main up to the next delay: LV_OK, also if it has trapped; LV_NAK_NO_GUEST,
 * LV_NAK_STOPPED or LV_NAK_VALUE. */
lv_status lv_node_step(lv_node *node, const lv_msg_step *m);

/* Set parameters, all or none: LV_NAK_NO_GUEST, LV_NAK_STOPPED (also by a trap in it), LV_NAK_PARAMETER,
 * LV_NAK_SIZE for more than LV_PARAMETERS, or LV_NAK_FLASH if they are to be kept and cannot. */
lv_status lv_node_calibrate(lv_node *node, const lv_msg_calibrate *m);

/* Ask for a parameter: LV_NAK_NO_GUEST, LV_NAK_STOPPED, or LV_NAK_PARAMETER if it has none to ask.
 * *value is set only by LV_OK. */
lv_status lv_node_get(lv_node *node, int32_t id, int32_t *value);

/* A sender, which is any number, begins to install, as lv_update_begin has it; node->store.received
 * bytes are there. */
lv_status lv_node_install_begin(lv_node *node, uint32_t sender, const lv_msg_install_begin *m);

/* Make the guest of what the store has received, if the engine takes it: LV_NAK_STATE, LV_NAK_DIGEST,
 * LV_NAK_LOAD or LV_NAK_FLASH leave the guest as it is, running if it was. */
lv_status lv_node_install(lv_node *node);

/* The same on trial: with the next start.  Besides LV_NAK_VALUE for what is no trial, or LV_NAK_BARRED;
 * the guest is as it was whatever comes out. */
lv_status lv_node_install_trial(lv_node *node, const lv_msg_install_trial *m);

/* The module on trial, by its digest, does well: LV_OK, and it may be committed; LV_NAK_STATE without
 * a trial, LV_NAK_VALUE in that of another one. */
lv_status lv_node_confirm(lv_node *node, const uint8_t sha256[32]);

/* Roll back what waits or is on trial, and bar it: LV_OK or LV_NAK_STATE. */
lv_status lv_node_reject(lv_node *node);

/* Drop what is received, waits or is on trial; harmless if nothing is. */
void lv_node_install_abort(lv_node *node);

/* What the node says of itself; the session is the caller's. */
void lv_node_birth(const lv_node *node, lv_msg_birth *m);

/* What the last start or step has come to, without the tape; asking resets lv_node_told_of_lease. */
void lv_node_result(lv_node *node, lv_msg_step_result *m);

/* Safe state: outputs closed, guest unloaded, what it keeps in flash; also before a restart. */
void lv_node_close(lv_node *node);

/* The host was heard; `now_ms` is any clock that only goes forward, and may wrap. */
void lv_node_heard(lv_node *node, uint32_t now_ms);

/* Time goes on, by the same clock: closes the outputs once the lease has ended, rolls back a trial
 * whose time is over. */
void lv_node_tick(lv_node *node, uint32_t now_ms);

/* Whether the lease has closed outputs since this was asked last. */
bool lv_node_told_of_lease(lv_node *node);

#endif
