#include "flash.h"

#include <string.h>

#include "../../../core/bytes.h"
#include "../../../core/frame.h"
#include "esp_check.h"
#include "esp_log.h"
#include "esp_partition.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "sdkconfig.h"
#include "watchdog.h"

enum { SECTOR = 4096, LABEL_BYTES = 44, BLOCK = 16 };

static const char tag[] = "flash";
static const char *const record_keys[] = {"record0", "record1",   "kept0",
                                          "kept1",   "envelope0", "envelope1"};
_Static_assert(sizeof record_keys / sizeof *record_keys == LV_RECORDS, "a key for each record");
static const char *const slot_names[LV_SLOTS] = {"guest0", "guest1"};

static nvs_handle_t nvs;
static const esp_partition_t *slots[LV_SLOTS];
static const void *mapped[LV_SLOTS];

/* Flash that encrypts is written in whole blocks, each once: the end of what came last waits here
 * until its block is full, or is read. */
static struct {
    uint32_t offset; /* of the block in the slot */
    uint32_t used;
    uint8_t bytes[BLOCK];
} tails[LV_SLOTS];

void flash_begin(void)
{
    esp_err_t error = nvs_flash_init();
    if (error == ESP_ERR_NVS_NO_FREE_PAGES || error == ESP_ERR_NVS_NEW_VERSION_FOUND) {
        ESP_LOGE(tag, "NVS is of another version: erased, with it Wi-Fi and calibration");
        ESP_ERROR_CHECK(nvs_flash_erase());
        error = nvs_flash_init();
    }
    ESP_ERROR_CHECK(error);
    ESP_ERROR_CHECK(nvs_open("levada", NVS_READWRITE, &nvs));
    for (int k = 0; k < LV_SLOTS; k++) {
        esp_partition_mmap_handle_t handle; /* mapped for good */
        slots[k] = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY,
                                            slot_names[k]);
        if (!slots[k] || slots[k]->size < CONFIG_LEVADA_SLOT_BYTES + SECTOR) {
            ESP_LOGE(tag, "partition %s: %lu bytes, %d wanted", slot_names[k],
                     slots[k] ? (unsigned long)slots[k]->size : 0UL,
                     CONFIG_LEVADA_SLOT_BYTES + SECTOR);
            ESP_ERROR_CHECK(ESP_ERR_INVALID_SIZE);
        }
#if CONFIG_SECURE_FLASH_ENC_ENABLED
        if (!slots[k]->encrypted) { /* mapped, it would be decrypted into nonsense */
            ESP_LOGE(tag, "partition %s: needs the flag `encrypted` where flash is encrypted",
                     slot_names[k]);
            ESP_ERROR_CHECK(ESP_ERR_INVALID_STATE);
        }
#endif
        ESP_ERROR_CHECK(esp_partition_mmap(slots[k], 0, CONFIG_LEVADA_SLOT_BYTES + SECTOR,
                                           ESP_PARTITION_MMAP_DATA, &mapped[k], &handle));
    }
}

int flash_record_read(int record, uint8_t *bytes)
{
    size_t size = lv_record_bytes(record);
    return nvs_get_blob(nvs, record_keys[record], bytes, &size) == ESP_OK &&
                   size == lv_record_bytes(record)
               ? 0
               : -1;
}

int flash_record_write(int record, const uint8_t *bytes)
{
    esp_err_t error = nvs_set_blob(nvs, record_keys[record], bytes, lv_record_bytes(record));
    if (error == ESP_OK)
        error = nvs_commit(nvs);
    return error == ESP_OK ? 0 : -1;
}

int flash_slot_erase(int slot)
{
    tails[slot].used = 0;
    /* a sector takes 45 ms as a rule, but may take 400 and more: too long for all at once */
    for (uint32_t at = 0; at < slots[slot]->size; at += SECTOR) {
        watchdog_feed();
        if (esp_partition_erase_range(slots[slot], at, SECTOR) != ESP_OK)
            return -1;
    }
    return 0;
}

static int write_blocks(int slot, uint32_t offset, const uint8_t *data, uint32_t length)
{
    return length == 0 || esp_partition_write(slots[slot], offset, data, length) == ESP_OK ? 0 : -1;
}

/* Write the block that is not full as it is, filled up with what erased flash holds. */
static int write_tail(int slot)
{
    uint8_t *bytes = tails[slot].bytes;
    uint32_t used = tails[slot].used;
    if (used == 0)
        return 0;
    memset(bytes + used, 0xFF, BLOCK - used);
    tails[slot].used = 0;
    return write_blocks(slot, tails[slot].offset, bytes, BLOCK);
}

int flash_slot_write(int slot, uint32_t offset, const uint8_t *data, uint32_t length)
{
    uint32_t used = tails[slot].used;
    if (used) {
        uint32_t part = length < BLOCK - used ? length : BLOCK - used;
        memcpy(tails[slot].bytes + used, data, part);
        tails[slot].used += part;
        if (tails[slot].used == BLOCK && write_tail(slot) != 0)
            return -1;
        offset += part;
        data += part;
        length -= part;
    }
    if (length == 0)
        return 0;
    uint32_t whole = length / BLOCK * BLOCK;
    tails[slot].offset = offset + whole;
    tails[slot].used = length - whole;
    memcpy(tails[slot].bytes, data + whole, length - whole);
    return write_blocks(slot, offset, data, whole);
}

const uint8_t *flash_slot_map(int slot)
{
    if (write_tail(slot) != 0)
        ESP_LOGE(tag, "flash cannot be written"); /* and the module's digest will not fit */
    return mapped[slot];
}

void flash_adopt(lv_store *store)
{
    for (int k = 0; k < LV_SLOTS; k++) {
        const uint8_t *module = mapped[k];
        const uint8_t *label = module + CONFIG_LEVADA_SLOT_BYTES;
        uint32_t size = lv_get32(label + 4);
        uint8_t digest[32];
        lv_sha256 sha;
        if (memcmp(label, "lvsl", 4) != 0 ||
            lv_crc32(0, label, LABEL_BYTES - 4) != lv_get32(label + LABEL_BYTES - 4) ||
            size == 0 || size > CONFIG_LEVADA_SLOT_BYTES)
            continue;
        lv_sha256_begin(&sha);
        lv_sha256_add(&sha, module, size);
        lv_sha256_end(&sha, digest);
        if (memcmp(digest, label + 8, sizeof digest) != 0) {
            ESP_LOGE(tag, "%s: the module is not the one its label names", slot_names[k]);
            continue;
        }
        if (store->config->key_count) {
            ESP_LOGE(tag, "%s: a flashed module is not signed, and this device trusts keys",
                     slot_names[k]);
            continue;
        }
        ESP_LOGI(tag, "%s: flashed module of %lu bytes is the guest now", slot_names[k],
                 (unsigned long)size);
        /* the label last: cut before it, all this is done again to the same end */
        if (lv_store_adopt(store, (uint8_t)k, size, digest) != LV_OK ||
            esp_partition_erase_range(slots[k], CONFIG_LEVADA_SLOT_BYTES, SECTOR) != ESP_OK)
            ESP_LOGE(tag, "flash cannot be written");
    }
}
