#include "store.h"

#include <string.h>

#include "bytes.h"
#include "frame.h"

static const uint8_t magic[4] = {'l', 'v', 'r', '1'};

enum { AT_PARAMETERS = 4 + 4 + 4 + 2 + 2 + 4 * LV_SLOTS + 32 * LV_SLOTS };
enum { RECORD_USED = AT_PARAMETERS + 8 * LV_PARAMETERS + 4 };
_Static_assert(RECORD_USED <= (int)LV_RECORD_BYTES, "record too long");

static void pack(const lv_store *store, uint8_t *r)
{
    memset(r, 0, LV_RECORD_BYTES);
    memcpy(r, magic, sizeof magic);
    lv_put32(r + 4, store->generation);
    lv_put32(r + 8, store->boot_id);
    lv_put16(r + 12, store->active);
    lv_put16(r + 14, store->parameter_count);
    for (int k = 0; k < LV_SLOTS; k++) {
        lv_put32(r + 16 + 4 * k, store->size[k]);
        memcpy(r + 16 + 4 * LV_SLOTS + 32 * k, store->sha256[k], 32);
    }
    for (int k = 0; k < store->parameter_count; k++) {
        lv_put32(r + AT_PARAMETERS + 8 * k, (uint32_t)store->parameters[k][0]);
        lv_put32(r + AT_PARAMETERS + 8 * k + 4, (uint32_t)store->parameters[k][1]);
    }
    lv_put32(r + RECORD_USED - 4, lv_crc32(0, r, RECORD_USED - 4));
}

static bool unpack(lv_store *store, const uint8_t *r)
{
    if (memcmp(r, magic, sizeof magic) != 0 ||
        lv_crc32(0, r, RECORD_USED - 4) != lv_get32(r + RECORD_USED - 4))
        return false;
    store->generation = lv_get32(r + 4);
    store->boot_id = lv_get32(r + 8);
    store->active = r[12];
    store->parameter_count = lv_get16(r + 14);
    for (int k = 0; k < LV_SLOTS; k++) {
        store->size[k] = lv_get32(r + 16 + 4 * k);
        memcpy(store->sha256[k], r + 16 + 4 * LV_SLOTS + 32 * k, 32);
    }
    if (store->active >= LV_SLOTS || store->parameter_count > LV_PARAMETERS)
        return false;
    for (int k = 0; k < store->parameter_count; k++) {
        store->parameters[k][0] = (int32_t)lv_get32(r + AT_PARAMETERS + 8 * k);
        store->parameters[k][1] = (int32_t)lv_get32(r + AT_PARAMETERS + 8 * k + 4);
    }
    return true;
}

/* Write the record.  If that fails, all but the counters is as `before`. */
static lv_status save(lv_store *store, const lv_store *before)
{
    uint8_t record[LV_RECORD_BYTES];
    uint32_t generation = store->generation + 1;
    uint32_t writes = store->writes + 1;
    /* odd and even generations alternate, so the newest record is never the one overwritten */
    int place = (int)(generation % LV_STORE_RECORDS);
    store->generation = generation;
    store->writes = writes;
    pack(store, record);
    if (store->config->record_write(store->config->context, place, record) == 0)
        return LV_OK;
    *store = *before;
    store->generation = generation + 1; /* none is written twice, and the next goes there again */
    store->writes = writes;
    return LV_NAK_FLASH;
}

static bool slot_whole(const lv_store *store, int slot)
{
    uint8_t digest[32];
    lv_sha256 sha;
    LV_ASSERT(slot >= 0 && slot < LV_SLOTS);
    if (store->size[slot] == 0 || store->size[slot] > store->config->slot_bytes)
        return false;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, store->config->slot_map(store->config->context, slot), store->size[slot]);
    lv_sha256_end(&sha, digest);
    return memcmp(digest, store->sha256[slot], sizeof digest) == 0;
}

lv_status lv_store_open(lv_store *store, const lv_config *config)
{
    *store = (lv_store){.config = config};
    for (int place = 0; place < LV_STORE_RECORDS; place++) {
        uint8_t record[LV_RECORD_BYTES];
        lv_store found = {.config = config};
        if (config->record_read(config->context, place, record) == 0 && unpack(&found, record) &&
            (int32_t)(found.generation - store->generation) > 0)
            *store = found;
    }
    /* a slot that flash has lost: the one before is better than none */
    for (int k = 0; k < LV_SLOTS; k++)
        if (!slot_whole(store, k))
            store->size[k] = 0;
    if (store->size[store->active] == 0 && store->size[!store->active] != 0)
        store->active = !store->active;
    store->boot_id = store->generation == 0 && config->first_boot_id ? config->first_boot_id
                                                                     : store->boot_id + 1;
    return save(store, store);
}

const uint8_t *lv_store_guest(const lv_store *store, uint32_t *size)
{
    *size = store->size[store->active];
    return *size ? store->config->slot_map(store->config->context, store->active) : NULL;
}

lv_status lv_store_begin(lv_store *store, uint32_t size, const uint8_t sha256[32])
{
    uint8_t slot = !store->active;
    LV_ASSERT(sha256);
    if (size == 0 || size > store->config->slot_bytes)
        return LV_NAK_SIZE;
    lv_store_abandon(store);
    store->writes++;
    store->size[slot] = 0; /* the record may still name it, but its digest will not fit */
    if (store->config->slot_erase(store->config->context, slot) != 0)
        return LV_NAK_FLASH;
    store->receiving = true;
    store->wanted_size = size;
    memcpy(store->wanted, sha256, sizeof store->wanted);
    return LV_OK;
}

lv_status lv_store_chunk(lv_store *store, uint32_t offset, const uint8_t *data, uint32_t length)
{
    LV_ASSERT(data || length == 0);
    if (!store->receiving || offset != store->received)
        return LV_NAK_STATE;
    if (length > store->wanted_size - store->received)
        return LV_NAK_SIZE;
    store->writes++;
    if (store->config->slot_write(store->config->context, !store->active, offset, data, length))
        return LV_NAK_FLASH;
    store->received += length;
    return LV_OK;
}

lv_status lv_store_received(const lv_store *store, const uint8_t **module, uint32_t *size)
{
    lv_store seen = *store;
    uint8_t slot = !store->active;
    if (!store->receiving || store->received != store->wanted_size)
        return LV_NAK_STATE;
    seen.size[slot] = store->wanted_size;
    memcpy(seen.sha256[slot], store->wanted, sizeof store->wanted);
    *module = store->config->slot_map(store->config->context, slot);
    *size = store->wanted_size;
    return slot_whole(&seen, slot) ? LV_OK : LV_NAK_DIGEST;
}

lv_status lv_store_commit(lv_store *store)
{
    lv_store before = *store;
    uint8_t slot = !store->active;
    LV_ASSERT(store->receiving && store->received == store->wanted_size);
    if (memcmp(store->sha256[store->active], store->wanted, sizeof store->wanted) != 0)
        store->parameter_count = 0; /* ids of another guest mean something else */
    store->size[slot] = store->wanted_size;
    memcpy(store->sha256[slot], store->wanted, sizeof store->wanted);
    store->active = slot;
    store->receiving = false;
    return save(store, &before);
}

void lv_store_abandon(lv_store *store)
{
    store->receiving = false;
    store->received = 0;
}

lv_status lv_store_keep(lv_store *store, const uint8_t *pairs, uint16_t count)
{
    lv_store before = *store;
    LV_ASSERT(pairs || count == 0);
    for (int k = 0; k < count; k++) {
        int32_t id = (int32_t)lv_get32(pairs + 8 * k);
        int at = 0;
        while (at < store->parameter_count && store->parameters[at][0] != id)
            at++;
        if (at == LV_PARAMETERS) {
            *store = before;
            return LV_NAK_SIZE;
        }
        if (at == store->parameter_count)
            store->parameter_count++;
        store->parameters[at][0] = id;
        store->parameters[at][1] = (int32_t)lv_get32(pairs + 8 * k + 4);
    }
    return save(store, &before);
}
