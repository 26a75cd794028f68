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

/* Find the newest record, count this start, and make sure that the active slot is whole; `config`
 * must outlive *store.  LV_OK, or LV_NAK_FLASH if the record cannot be written: the device works on,
 * but forgets. */
lv_status lv_store_open(lv_store *store, const lv_config *config);

/* The module in use with its length [bytes], or NULL and 0.  It stays until lv_store_begin. */
const uint8_t *lv_store_guest(const lv_store *store, uint32_t *size);

/* Whoever installs calls begin, chunk as often as it takes, received, and commit.  The guest in use
 * stays until commit.  Erasing and writing take as long as the port's flash does. */

/* Make room for a module of `size` bytes [1..slot_bytes] with that digest; what was being received is
 * gone.  LV_OK, LV_NAK_SIZE, or LV_NAK_FLASH, upon which nothing is received. */
lv_status lv_store_begin(lv_store *store, uint32_t size, const uint8_t sha256[32]);

/* The next `length` bytes, which are 0 or more, at `offset`, the number of those received so far.
 * LV_OK, LV_NAK_STATE if nothing is received or they are not the next, LV_NAK_SIZE if they are more
 * than was announced, or LV_NAK_FLASH. */
lv_status lv_store_chunk(lv_store *store, uint32_t offset, const uint8_t *data, uint32_t length);

/* The module that was received, as flash gives it back.  LV_OK, LV_NAK_STATE if it is not whole, or
 * LV_NAK_DIGEST if it is not the one that was announced. */
lv_status lv_store_received(const lv_store *store, const uint8_t **module, uint32_t *size);

/* Make the guest of the module that lv_store_received has just returned LV_OK for: LV_OK, or
 * LV_NAK_FLASH, upon which the guest is the one before.  Parameters of another module are gone. */
lv_status lv_store_commit(lv_store *store);

/* Receive nothing any more; harmless if nothing was. */
void lv_store_abandon(lv_store *store);

/* Keep `count` values by id (i32 id and i32 value each; NULL if there are none) beside those kept
 * before, all or none: LV_OK, LV_NAK_SIZE if they are more than LV_PARAMETERS, or LV_NAK_FLASH. */
lv_status lv_store_keep(lv_store *store, const uint8_t *pairs, uint16_t count);

#endif
