/*
 * What survives a power cut: boot counter, parameters, and the guest in one of two slots.
 *
 * Everything but the modules is in one record, written in turn to two places with a generation
 * number and a CRC; the newest whole one counts.  So a cut at any byte leaves the old state or the
 * new one.  A new guest goes to the slot that is not in use and becomes the guest with the write of
 * one record, after its SHA-256 was read back from flash.
 */
#ifndef LEVADA_STORE_H
#define LEVADA_STORE_H

#include "config.h"
#include "sha256.h"

typedef struct {
    const lv_config *config;

    uint32_t generation;
    uint32_t boot_id;
    uint8_t active; /* slot in use */
    uint32_t size[LV_SLOTS]; /* 0: no module */
    uint8_t sha256[LV_SLOTS][32];
    uint16_t parameter_count;
    int32_t parameters[LV_PARAMETERS][2]; /* id, value */

    bool receiving;
    uint32_t wanted_size;
    uint32_t received;
    uint8_t wanted[32];
    uint32_t writes; /* of flash, since the start */
} lv_store;

/* Find the newest record, count this start, and make sure that the active slot is whole.  0, or
 * LV_NAK_FLASH if the record cannot be written: the device works on, but forgets. */
int lv_store_open(lv_store *store, const lv_config *config);
/* The module in use, or NULL. */
const uint8_t *lv_store_guest(const lv_store *store, uint32_t *size);
/* All these: 0 or an lv_nak. */
int lv_store_begin(lv_store *store, uint32_t size, const uint8_t sha256[32]);
int lv_store_chunk(lv_store *store, uint32_t offset, const uint8_t *data, uint32_t length);
/* The module that was received, if it is whole: then lv_store_commit makes it the guest. */
int lv_store_received(const lv_store *store, const uint8_t **module, uint32_t *size);
int lv_store_commit(lv_store *store);
void lv_store_abandon(lv_store *store);
/* Keep values by id beside those kept before; all or none. */
int lv_store_keep(lv_store *store, const uint8_t *pairs, uint16_t count);

#endif
