/*
 * What a guest keeps over a restart and a loss of power: LV_KEEP_SLOTS values of 32 bits.
 *
 * They belong to the module that set them; another one finds zeros.  A change goes to the memory
 * that outlives a restart (config.h: `kept`) at the end of the run, and to flash when an output has
 * changed in the run, when `keep_every_ms` have passed since the last write, and before a restart.
 * Flash has two records that are written in turn, each with a generation number and a CRC, so a cut
 * at any byte leaves the old values or the new ones.
 */
#ifndef LEVADA_KEPT_H
#define LEVADA_KEPT_H

#include "config.h"

typedef struct {
    const lv_config *config;
    int32_t values[LV_KEEP_SLOTS];
    uint8_t owner[LV_KEPT_OWNER]; /* first bytes of the SHA-256 of the module */
    uint32_t generation;
    uint8_t place;  /* record that is written next */
    bool changed;   /* since the memory was written */
    bool dirty;     /* since flash was written */
    bool held;      /* nothing is saved */
    bool written;   /* to flash since the start, at `written_ms` of uptime */
    int64_t written_ms;
    uint32_t writes; /* of flash, since the start */
} lv_kept;

/* Find the newest values, zeros if there are none; `config` must outlive *kept. */
void lv_kept_open(lv_kept *kept, const lv_config *config);
/* The module that is about to run, by its digest; what another one left is gone. */
void lv_kept_begin(lv_kept *kept, const uint8_t sha256[32]);
/* A new value for a slot, 0 to LV_KEEP_SLOTS - 1, which the next lv_kept_save saves. */
void lv_kept_set(lv_kept *kept, int slot, int32_t value);
/* Zeros for all slots, as lv_kept_set would. */
void lv_kept_forget(lv_kept *kept);
/* The end of a run: save what has changed, to flash if it is time or `now` says so, as flash takes it:
 * what it does not is tried again with the next run.  `uptime_ms` counts from lv_kept_begin. */
void lv_kept_save(lv_kept *kept, int64_t uptime_ms, bool now);
/* Save what there is, and from then on nothing: a module is on trial. */
void lv_kept_hold(lv_kept *kept);
/* Save again: what the module on trial has set, or what was there before it. */
void lv_kept_release(lv_kept *kept, bool keep);

#endif
