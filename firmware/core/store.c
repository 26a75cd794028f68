#include "store.h"

#include <string.h>

#include "bytes.h"
#include "frame.h"

static const uint8_t magic[4] = {'l', 'v', 'r', '2'};
static const uint8_t magic_1[4] = {'l', 'v', 'r', '1'};
static const uint8_t magic_envelope[4] = {'l', 'v', 'e', '1'};

enum { AT_PARAMETERS = 4 + 4 + 4 + 2 + 2 + 4 * LV_SLOTS + 32 * LV_SLOTS };
enum { AT_UPDATE = AT_PARAMETERS + 8 * LV_PARAMETERS };
enum { AT_BARRED = AT_UPDATE + 32 };
enum { RECORD_USED = AT_BARRED + LV_BARRED * LV_BARRED_BYTES + 4 };
enum { RECORD_1_USED = AT_UPDATE + 4 }; /* without updates */
enum { AT_ENVELOPE = 8 };
enum { WATCHED = 1, PREVIOUS = 2 }; /* bits of one byte */
_Static_assert(RECORD_USED <= (int)LV_RECORD_BYTES, "record too long");
_Static_assert(AT_ENVELOPE + LV_ENVELOPE_BYTES + 4 == (int)LV_ENVELOPE_RECORD_BYTES,
               "record of another size");
_Static_assert(LV_PARAMETERS <= 32, "bits of `carried`");

/* --- the record ------------------------------------------------------------------------------- */

static void pack_update(const lv_update_record *u, uint8_t *r)
{
    lv_put32(r, u->counter);
    r[4] = (uint8_t)u->stage;
    r[5] = u->wants;
    lv_put16(r + 6, u->steps);
    lv_put32(r + 8, u->within_ms);
    lv_put32(r + 12, u->carried);
    r[16] = (uint8_t)((u->watched ? WATCHED : 0) | (u->previous ? PREVIOUS : 0));
    r[17] = u->crashes;
    r[18] = u->state;
    r[19] = u->reason;
    lv_put64(r + 20, (uint64_t)u->crashed_ms);
    lv_put32(r + 28, (uint32_t)u->detail);
    memcpy(r + AT_BARRED - AT_UPDATE, u->barred, sizeof u->barred);
}

static bool unpack_update(lv_update_record *u, const uint8_t *r)
{
    u->counter = lv_get32(r);
    u->stage = (lv_stage)r[4];
    u->wants = r[5];
    u->steps = lv_get16(r + 6);
    u->within_ms = lv_get32(r + 8);
    u->carried = lv_get32(r + 12);
    u->watched = r[16] & WATCHED;
    u->previous = r[16] & PREVIOUS;
    u->crashes = r[17];
    u->state = r[18];
    u->reason = r[19];
    u->crashed_ms = (int64_t)lv_get64(r + 20);
    u->detail = (int32_t)lv_get32(r + 28);
    memcpy(u->barred, r + AT_BARRED - AT_UPDATE, sizeof u->barred);
    return r[4] <= LV_STAGE_RUNNING && r[18] <= LV_UPDATE_FAILED;
}

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
    pack_update(&store->update, r + AT_UPDATE);
    lv_put32(r + RECORD_USED - 4, lv_crc32(0, r, RECORD_USED - 4));
}

static bool is_whole(const uint8_t *r, const uint8_t *begin, uint32_t used)
{
    return memcmp(r, begin, sizeof magic) == 0 &&
           lv_crc32(0, r, used - 4) == lv_get32(r + used - 4);
}

static bool unpack(lv_store *store, const uint8_t *r)
{
    bool first = is_whole(r, magic_1, RECORD_1_USED);
    if (!first && !is_whole(r, magic, RECORD_USED))
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
    if (!first)
        return unpack_update(&store->update, r + AT_UPDATE);
    store->update.previous = true; /* if there is one */
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

/* The same in both places: a record that is lost later undoes nothing. */
static lv_status save_twice(lv_store *store, const lv_store *before)
{
    lv_status status = save(store, before);
    if (status == LV_OK)
        (void)save(store, store);
    return status;
}

/* --- slots ------------------------------------------------------------------------------------ */

static uint8_t other_slot(const lv_store *store) { return !store->active; }

static bool slot_holds(const lv_store *store, int slot, uint32_t size, const uint8_t sha256[32])
{
    uint8_t digest[32];
    lv_sha256 sha;
    LV_ASSERT(slot >= 0 && slot < LV_SLOTS);
    if (size == 0 || size > store->config->slot_bytes)
        return false;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, store->config->slot_map(store->config->context, slot), size);
    lv_sha256_end(&sha, digest);
    return memcmp(digest, sha256, sizeof digest) == 0;
}

static bool slot_whole(const lv_store *store, int slot)
{
    return slot_holds(store, slot, store->size[slot], store->sha256[slot]);
}

static int envelope_record(int slot) { return LV_STORE_RECORDS + LV_KEPT_RECORDS + slot; }

static void note_manifest(lv_store *store, int slot, const lv_manifest *manifest)
{
    store->counter[slot] = manifest ? manifest->counter : 0;
    memset(store->version[slot], 0, sizeof store->version[slot]);
    if (manifest)
        memcpy(store->version[slot], manifest->version, sizeof store->version[slot]);
}

/* Whether the envelope of a slot is for its module; a device without keys needs none. */
static bool slot_signed(lv_store *store, int slot)
{
    const lv_config *config = store->config;
    uint8_t record[LV_ENVELOPE_RECORD_BYTES];
    lv_manifest manifest;
    note_manifest(store, slot, NULL);
    if (config->record_read(config->context, envelope_record(slot), record) != 0 ||
        !is_whole(record, magic_envelope, sizeof record) ||
        lv_get16(record + 4) > LV_ENVELOPE_BYTES ||
        lv_manifest_open(config, record + AT_ENVELOPE, lv_get16(record + 4), &manifest) != LV_OK ||
        manifest.size != store->size[slot] ||
        memcmp(manifest.sha256, store->sha256[slot], sizeof manifest.sha256) != 0)
        return config->key_count == 0;
    note_manifest(store, slot, &manifest);
    return true;
}

/* Make sure of a slot; one that is not whole and signed is empty from now on. */
static bool check_slot(lv_store *store, int slot)
{
    if (!slot_whole(store, slot) || !slot_signed(store, slot))
        store->size[slot] = 0;
    return store->size[slot] != 0;
}

static void raise_counter(lv_store *store, int slot)
{
    if (store->size[slot] && store->counter[slot] > store->update.counter)
        store->update.counter = store->counter[slot];
}

uint8_t lv_store_slot(const lv_store *store)
{
    return store->update.stage == LV_STAGE_RUNNING ? other_slot(store) : store->active;
}

const uint8_t *lv_store_guest(const lv_store *store, uint32_t *size)
{
    uint8_t slot = lv_store_slot(store);
    *size = store->size[slot];
    return *size ? store->config->slot_map(store->config->context, slot) : NULL;
}

/* --- what becomes of a module ------------------------------------------------------------------- */

/* Forget parameters whose bit is not set; those that stay are carried by both modules. */
static void keep_carried(lv_store *store)
{
    uint16_t kept = 0;
    for (uint16_t k = 0; k < store->parameter_count; k++) {
        if (!(store->update.carried >> k & 1))
            continue;
        memcpy(store->parameters[kept], store->parameters[k], sizeof store->parameters[0]);
        kept++;
    }
    store->parameter_count = kept;
    store->update.carried = kept < 32 ? (UINT32_C(1) << kept) - 1 : UINT32_MAX;
}

static void bar(lv_update_record *u, const uint8_t sha256[32])
{
    memmove(u->barred[1], u->barred[0], sizeof u->barred - sizeof u->barred[0]);
    memcpy(u->barred[0], sha256, sizeof u->barred[0]);
}

bool lv_store_barred(const lv_store *store, const uint8_t sha256[32])
{
    for (int k = 0; k < LV_BARRED; k++)
        if (memcmp(store->update.barred[k], sha256, LV_BARRED_BYTES) == 0)
            return true;
    return false;
}

static void tell(lv_update_record *u, uint8_t state, uint8_t reason, int32_t detail)
{
    u->state = state;
    u->reason = reason;
    u->detail = detail;
}

static void end_trial(lv_store *store, uint8_t reason, int32_t detail, bool barred)
{
    lv_update_record *u = &store->update;
    LV_ASSERT(u->stage != LV_STAGE_NONE);
    if (barred && !lv_store_barred(store, store->sha256[other_slot(store)]))
        bar(u, store->sha256[other_slot(store)]);
    u->stage = LV_STAGE_NONE;
    u->previous = false;
    u->carried = 0;
    tell(u, LV_UPDATE_FAILED, reason, detail);
}

/* The slot not in use is that in use. */
static void swap(lv_store *store)
{
    lv_update_record *u = &store->update;
    store->active = other_slot(store);
    u->stage = LV_STAGE_NONE;
    u->crashes = 0;
    raise_counter(store, store->active);
}

/* Whether a crash that was just counted is one too many. */
static bool is_given_up(lv_store *store, int32_t detail)
{
    lv_update_record *u = &store->update;
    if (u->crashes < LV_CRASHES)
        return false;
    u->watched = false; /* at most once */
    if (!check_slot(store, other_slot(store)))
        return false;
    bar(u, store->sha256[store->active]);
    keep_carried(store);
    swap(store);
    u->previous = false;
    tell(u, LV_UPDATE_FAILED, LV_REASON_CRASHES, detail);
    return true;
}

/* --- start ------------------------------------------------------------------------------------ */

static bool is_crash(uint8_t reset_reason)
{
    return reset_reason == LV_RESET_WATCHDOG || reset_reason == LV_RESET_PANIC;
}

/* What the restart means for the module that ran. */
static void judge_restart(lv_store *store)
{
    lv_update_record *u = &store->update;
    uint8_t reason = store->config->reset_reason;
    if (u->stage == LV_STAGE_RUNNING) /* a loss of power is no fault of a module */
        end_trial(store, LV_REASON_RESTART, reason,
                  is_crash(reason) || reason == LV_RESET_UNKNOWN);
    else if (u->stage == LV_STAGE_WAITING && store->size[other_slot(store)] == 0)
        end_trial(store, LV_REASON_DIGEST, 0, false);
    else if (u->stage == LV_STAGE_NONE && u->watched && u->previous && is_crash(reason)) {
        if (u->crashes++ == 0)
            u->crashed_ms = LV_NO_TIME;
        (void)is_given_up(store, LV_TRAP_DEADLINE);
    }
    if (u->state == LV_UPDATE_DOWNLOADING || u->state == LV_UPDATE_DOWNLOADED)
        tell(u, LV_UPDATE_IDLE, LV_REASON_NONE, 0);
}

/* The one before is better than none. */
static void fall_back(lv_store *store)
{
    uint8_t slot = other_slot(store);
    if (store->size[store->active] == 0 && store->update.previous && store->size[slot] != 0) {
        keep_carried(store);
        swap(store);
        store->update.previous = false;
        store->update.watched = false;
    }
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
    for (int k = 0; k < LV_SLOTS; k++) {
        bool asleep = config->reset_reason == LV_RESET_DEEP_SLEEP && k != store->active;
        if (!asleep) /* every wake-up costs charge; the other slot is checked before it is used */
            (void)check_slot(store, k);
    }
    judge_restart(store);
    raise_counter(store, store->active);
    if (store->update.previous)
        raise_counter(store, other_slot(store));
    fall_back(store);
    store->boot_id = store->generation == 0 && config->first_boot_id ? config->first_boot_id
                                                                     : store->boot_id + 1;
    return save(store, store);
}

void lv_store_secure(lv_store *store)
{
    uint8_t slot = lv_store_slot(store);
    if (store->size[slot] == 0 || slot_whole(store, slot))
        return;
    store->size[slot] = 0;
    if (slot == store->active && store->update.stage == LV_STAGE_NONE &&
        check_slot(store, other_slot(store)))
        fall_back(store);
    (void)save(store, store);
}

lv_status lv_store_adopt(lv_store *store, uint8_t slot, uint32_t size, const uint8_t sha256[32])
{
    LV_ASSERT(slot < LV_SLOTS);
    store->update.previous = slot != store->active;
    store->update.watched = false;
    store->update.stage = LV_STAGE_NONE;
    store->size[slot] = size;
    memcpy(store->sha256[slot], sha256, sizeof store->sha256[slot]);
    store->active = slot;
    note_manifest(store, slot, NULL);
    store->parameter_count = 0; /* ids of another guest mean something else */
    return save(store, store);
}

/* --- receiving ---------------------------------------------------------------------------------- */

lv_status lv_store_begin(lv_store *store, uint32_t size, const uint8_t sha256[32])
{
    uint8_t slot = other_slot(store);
    LV_ASSERT(sha256 && store->update.stage == LV_STAGE_NONE);
    if (size == 0 || size > store->config->slot_bytes)
        return LV_NAK_SIZE;
    lv_store_abandon(store);
    bool there = size == store->size[slot] &&
                 memcmp(sha256, store->sha256[slot], sizeof store->sha256[slot]) == 0 &&
                 slot_whole(store, slot);
    if (!there) {
        store->writes++;
        store->size[slot] = 0; /* the record may still name it, but its digest will not fit */
        store->update.previous = false;
        store->update.carried = 0;
        if (store->config->slot_erase(store->config->context, slot) != 0)
            return LV_NAK_FLASH;
    }
    store->receiving = true;
    store->wanted_size = size;
    store->received = there ? size : 0;
    memcpy(store->wanted, sha256, sizeof store->wanted);
    return LV_OK;
}

lv_status lv_store_seal(lv_store *store, const uint8_t *envelope, uint16_t length,
                        const lv_manifest *manifest)
{
    const lv_config *config = store->config;
    uint8_t slot = other_slot(store);
    uint8_t record[LV_ENVELOPE_RECORD_BYTES];
    LV_ASSERT(store->receiving && length <= LV_ENVELOPE_BYTES && (length == 0) == !manifest);
    note_manifest(store, slot, manifest);
    if (length == 0)
        return LV_OK; /* what is left of another module is of no use to this one */
    bool known = config->record_read(config->context, envelope_record(slot), record) == 0 &&
                 is_whole(record, magic_envelope, sizeof record);
    if (known && lv_get16(record + 4) == length &&
        memcmp(record + AT_ENVELOPE, envelope, length) == 0)
        return LV_OK;
    memset(record, 0, sizeof record);
    memcpy(record, magic_envelope, sizeof magic_envelope);
    lv_put16(record + 4, length);
    memcpy(record + AT_ENVELOPE, envelope, length);
    lv_put32(record + sizeof record - 4, lv_crc32(0, record, sizeof record - 4));
    store->writes++;
    if (config->record_write(config->context, envelope_record(slot), record) == 0)
        return LV_OK;
    lv_store_abandon(store);
    return LV_NAK_FLASH;
}

lv_status lv_store_chunk(lv_store *store, uint32_t offset, const uint8_t *data, uint32_t length)
{
    LV_ASSERT(data || length == 0);
    if (!store->receiving || offset > store->received)
        return LV_NAK_STATE;
    if (length > store->wanted_size - offset)
        return LV_NAK_SIZE;
    uint32_t known = store->received - offset;
    if (length <= known)
        return LV_OK;
    store->writes++;
    if (store->config->slot_write(store->config->context, other_slot(store), store->received,
                                  data + known, length - known))
        return LV_NAK_FLASH;
    store->received += length - known;
    return LV_OK;
}

lv_status lv_store_received(const lv_store *store, const uint8_t **module, uint32_t *size)
{
    uint8_t slot = other_slot(store);
    if (!store->receiving || store->received != store->wanted_size)
        return LV_NAK_STATE;
    *module = store->config->slot_map(store->config->context, slot);
    *size = store->wanted_size;
    return slot_holds(store, slot, store->wanted_size, store->wanted) ? LV_OK : LV_NAK_DIGEST;
}

/* The slot not in use has what was received. */
static void take_received(lv_store *store)
{
    uint8_t slot = other_slot(store);
    LV_ASSERT(store->receiving && store->received == store->wanted_size);
    store->size[slot] = store->wanted_size;
    memcpy(store->sha256[slot], store->wanted, sizeof store->wanted);
    store->receiving = false;
}

lv_status lv_store_commit(lv_store *store)
{
    lv_store before = *store;
    bool same = memcmp(store->sha256[store->active], store->wanted, sizeof store->wanted) == 0;
    store->update.carried = same ? UINT32_MAX : 0; /* ids of another guest mean something else */
    keep_carried(store);
    take_received(store);
    swap(store);
    store->update.watched = false;
    store->update.previous = store->size[other_slot(store)] != 0;
    tell(&store->update, LV_UPDATE_UPDATED, LV_REASON_NONE, 0);
    return save_twice(store, &before);
}

void lv_store_abandon(lv_store *store)
{
    store->receiving = false;
    store->received = 0;
}

/* --- trial ------------------------------------------------------------------------------------ */

lv_status lv_store_wait(lv_store *store)
{
    lv_store before = *store;
    take_received(store);
    store->update.stage = LV_STAGE_WAITING;
    store->update.previous = false;
    tell(&store->update, LV_UPDATE_VERIFIED, LV_REASON_NONE, 0);
    return save(store, &before);
}

lv_status lv_store_try(lv_store *store)
{
    lv_store before = *store;
    LV_ASSERT(store->update.stage == LV_STAGE_WAITING);
    if (!check_slot(store, other_slot(store))) {
        lv_store_roll_back(store, LV_REASON_DIGEST, 0, false);
        return LV_NAK_DIGEST;
    }
    store->update.stage = LV_STAGE_RUNNING;
    store->update.state = LV_UPDATE_UPDATING;
    lv_status status = save(store, &before);
    if (status != LV_OK)
        lv_store_roll_back(store, LV_REASON_FLASH, 0, false);
    return status;
}

lv_status lv_store_promote(lv_store *store)
{
    lv_store before = *store;
    LV_ASSERT(store->update.stage == LV_STAGE_RUNNING);
    keep_carried(store);
    swap(store);
    store->update.watched = true;
    store->update.previous = store->size[other_slot(store)] != 0;
    tell(&store->update, LV_UPDATE_UPDATED, LV_REASON_NONE, 0);
    return save_twice(store, &before);
}

void lv_store_roll_back(lv_store *store, uint8_t reason, int32_t detail, bool barred)
{
    end_trial(store, reason, detail, barred);
    (void)save_twice(store, store);
}

bool lv_store_crashed(lv_store *store, int64_t time_ms, uint8_t trap)
{
    lv_update_record *u = &store->update;
    if (!u->watched || !u->previous)
        return false;
    if (u->crashes == 0 || u->crashed_ms == LV_NO_TIME)
        u->crashed_ms = time_ms;
    else if (time_ms - u->crashed_ms > LV_CRASHES_MS || u->crashed_ms - time_ms > LV_CRASHES_MS) {
        u->crashes = 0;
        u->crashed_ms = time_ms;
    }
    u->crashes++;
    bool given_up = is_given_up(store, trap);
    (void)(given_up ? save_twice : save)(store, store);
    return given_up;
}

/* --- parameters ------------------------------------------------------------------------------- */

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
