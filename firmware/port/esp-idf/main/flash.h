/*
 * What the core keeps: two records in NVS, and modules in the partitions guest0 and guest1.
 *
 * The last sector of a slot is not the core's.  A slot image that was flashed, not sent over the
 * line, says there what it is:
 *
 *     offset of the sector + 0   "lvsl"
 *                          + 4   u32 length of the module
 *                          + 8   SHA-256 of the module
 *                          + 40  u32 CRC-32 of the 40 bytes before
 *
 * little endian.  Once read, the sector is erased: flash that encrypts can overwrite nothing.
 */
#ifndef LEVADA_FLASH_H
#define LEVADA_FLASH_H

#include "../../../core/store.h"

void flash_begin(void);
int flash_record_read(int record, uint8_t *bytes);
int flash_record_write(int record, const uint8_t *bytes);
int flash_slot_erase(int slot);
int flash_slot_write(int slot, uint32_t offset, const uint8_t *data, uint32_t length);
const uint8_t *flash_slot_map(int slot);
/* Make a slot image that was flashed since the last start the guest. */
void flash_adopt(lv_store *store);

#endif
