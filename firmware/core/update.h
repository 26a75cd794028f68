/*
 * An update of the guest, from the first byte to commit or roll back: who may install what, and how
 * a trial goes.  What outlives a restart is in the record of the store.
 *
 *     IDLE, UPDATED, FAILED --begin--> DOWNLOADING --last chunk--> DOWNLOADED
 *          ^                                                           |
 *          |  install: at once, or refused                             | install on trial
 *          +<----------------------------------------------------------+
 *          |                                                           v
 *          |  reject, abort; at its start: flash, digest            VERIFIED
 *          +<----------------------------------------------------------+
 *          |                                                           | start
 *          |  UPDATED by its steps, and what else it wants             v
 *          |  FAILED by trap, fault, budget, time, reject, restart  UPDATING
 *          +<----------------------------------------------------------+
 *
 * An update that has failed changes nothing but that its module may be barred: the one before is in
 * use, whole, with its parameters and what it keeps.  UPDATED becomes FAILED if the module crashes
 * LV_CRASHES times within LV_CRASHES_MS.
 */
#ifndef LEVADA_UPDATE_H
#define LEVADA_UPDATE_H

#include "store.h"

/* A module on trial is run at least so often, whatever it asks for: its outputs are held closed, and one
 * that sleeps for a day would keep the former module from its work for days. */
#define LV_TRIAL_WAKE_MS 3600000

/* A sender that was silent for so long may be replaced by another one. */
#define LV_SENDER_SILENCE_MS 10000

typedef struct {
    lv_store *store;
    uint32_t sender;   /* who has begun */
    uint32_t heard_ms; /* when it was heard last */
    bool heard;        /* since the last tick */
    uint32_t now_ms;   /* of the last tick */
    uint32_t begun_ms; /* the trial, */
    bool begun;        /* or it has since the last tick */
    uint16_t steps;    /* that it has passed */
    bool confirmed;
    uint8_t nonce[LV_NONCE_BYTES]; /* of this start */
    bool has_nonce;
} lv_update;

/* Nothing is under way but what the record of *store says, which must outlive *update. */
void lv_update_open(lv_update *update, lv_store *store);

/* A sender, which is any number, wants to install: LV_OK if it may, and the store has received what it
 * tells; else nothing is written.  `node` is the name of the node, `time_s` now [s since 1970], 0 if
 * unknown; *detail says more of a refusal.
 *
 * LV_NAK_SIZE, LV_NAK_SIGNATURE, LV_NAK_VALUE, LV_NAK_DIGEST (a manifest of another module),
 * LV_NAK_TARGET, LV_NAK_EXPIRED, LV_NAK_ROLLBACK (detail: least counter), LV_NAK_BARRED, LV_NAK_BUSY
 * (detail: ms after which it may be free, 0 while a module waits or is on trial), LV_NAK_FLASH. */
lv_status lv_update_begin(lv_update *update, uint32_t sender, const lv_msg_install_begin *m,
                          const char *node, uint32_t time_s, int32_t *detail);

/* A part of it: as lv_store_chunk, and LV_NAK_BUSY for another sender than the one that has begun. */
lv_status lv_update_chunk(lv_update *update, uint32_t sender, const lv_msg_install_chunk *m);

/* LV_OK if nothing is received, or that is the sender who has begun; else LV_NAK_BUSY. */
lv_status lv_update_sender(const lv_update *update, uint32_t sender);

/* What was received is the wrong one: LV_UPDATE_FAILED. */
void lv_update_refused(lv_update *update, uint8_t reason, int32_t detail);

/* Let what the store has just received wait for its trial: LV_OK; LV_NAK_VALUE for what is no trial
 * (*detail: field of InstallTrial), LV_NAK_BARRED, or LV_NAK_FLASH. */
lv_status lv_update_wait(lv_update *update, const lv_msg_install_trial *m, int32_t *detail);

/* The trial begins, or its module is started again: LV_OK, or as lv_store_try. */
lv_status lv_update_try(lv_update *update);

/* A step of it has passed. */
void lv_update_passed(lv_update *update);

/* Whether it has all that it wants, and is the module in use from now on; `reported`: it has published
 * something. */
bool lv_update_commit(lv_update *update, bool reported);

/* Time goes on, by any clock that only goes forward, and may wrap: whether the trial is over. */
bool lv_update_tick(lv_update *update, uint32_t now_ms);

/* What there is to say. */
void lv_update_status(const lv_update *update, lv_msg_update_status *m);

#endif
