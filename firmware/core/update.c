#include "update.h"

#include <string.h>

#include "bytes.h"

void lv_update_open(lv_update *update, lv_store *store)
{
    const lv_config *config = store->config;
    *update = (lv_update){.store = store};
    update->has_nonce = config->random != NULL;
    if (config->random)
        config->random(config->context, update->nonce, sizeof update->nonce);
}

/* --- transfer --------------------------------------------------------------------------------- */

/* What the envelope says of the module, and whether it may come here now. */
static lv_status judge(const lv_update *update, const lv_msg_install_begin *m, const char *node,
                       uint32_t time_s, lv_manifest *manifest, int32_t *detail)
{
    const lv_store *store = update->store;
    const lv_manifest_reader reader = {
        .node = node,
        .tier = LV_TIER_EDGE,
        .room = store->config->slot_bytes,
        .counter = store->update.counter,
        .sha256 = store->sha256[store->active],
        .time_s = time_s,
        .nonce = update->has_nonce ? update->nonce : NULL,
    };
    if (m->envelope_length == 0)
        return store->config->key_count ? LV_NAK_SIGNATURE : LV_OK;
    lv_status status =
        lv_manifest_open(store->config, m->envelope, m->envelope_length, manifest);
    if (status != LV_OK)
        return status;
    if (manifest->size != m->size || memcmp(manifest->sha256, m->sha256, sizeof m->sha256) != 0)
        return LV_NAK_DIGEST;
    status = lv_manifest_permits(manifest, &reader);
    if (status == LV_NAK_ROLLBACK)
        *detail = (int32_t)store->update.counter;
    /* whoever has signed an answer to this device knows what it has been through */
    if (status == LV_OK && !manifest->has_nonce && lv_store_barred(store, m->sha256))
        return LV_NAK_BARRED;
    return status;
}

static bool is_wanted(const lv_store *store, const lv_msg_install_begin *m)
{
    return store->receiving && store->wanted_size == m->size &&
           memcmp(store->wanted, m->sha256, sizeof m->sha256) == 0;
}

/* Whether another sender, or a trial, has the slot. */
static lv_status look_who_has_it(lv_update *update, uint32_t sender, const lv_msg_install_begin *m,
                                 int32_t *detail)
{
    lv_store *store = update->store;
    uint32_t silent_ms = update->heard ? 0 : update->now_ms - update->heard_ms;
    if (store->update.stage == LV_STAGE_RUNNING)
        return LV_NAK_BUSY;
    if (store->update.stage == LV_STAGE_WAITING) {
        if (sender != update->sender &&
            memcmp(store->sha256[!store->active], m->sha256, sizeof m->sha256) != 0)
            return LV_NAK_BUSY;
        /* it may wait no longer; the record says so with the next that is written, and until then
         * names what its slot has, or what a start finds not to be there */
        store->update.stage = LV_STAGE_NONE;
    }
    if (store->receiving && sender != update->sender && !is_wanted(store, m) &&
        silent_ms <= LV_SENDER_SILENCE_MS) {
        *detail = (int32_t)(LV_SENDER_SILENCE_MS + 1 - silent_ms);
        return LV_NAK_BUSY;
    }
    return LV_OK;
}

static void note_received(lv_update *update)
{
    lv_store *store = update->store;
    update->heard = true;
    store->update.state =
        store->received == store->wanted_size ? LV_UPDATE_DOWNLOADED : LV_UPDATE_DOWNLOADING;
}

lv_status lv_update_begin(lv_update *update, uint32_t sender, const lv_msg_install_begin *m,
                          const char *node, uint32_t time_s, int32_t *detail)
{
    lv_store *store = update->store;
    lv_manifest manifest;
    if (m->size == 0 || m->size > store->config->slot_bytes)
        return LV_NAK_SIZE;
    lv_status status = judge(update, m, node, time_s, &manifest, detail);
    if (status == LV_OK)
        status = look_who_has_it(update, sender, m, detail);
    if (status == LV_OK && !is_wanted(store, m))
        status = lv_store_begin(store, m->size, m->sha256);
    if (status == LV_OK)
        status = lv_store_seal(store, m->envelope, m->envelope_length,
                               m->envelope_length ? &manifest : NULL);
    if (status != LV_OK)
        return status;
    update->sender = sender;
    store->update.reason = LV_REASON_NONE;
    store->update.detail = 0;
    note_received(update);
    return LV_OK;
}

lv_status lv_update_sender(const lv_update *update, uint32_t sender)
{
    return update->store->receiving && sender != update->sender ? LV_NAK_BUSY : LV_OK;
}

lv_status lv_update_chunk(lv_update *update, uint32_t sender, const lv_msg_install_chunk *m)
{
    lv_status status = lv_update_sender(update, sender);
    if (status == LV_OK)
        status = lv_store_chunk(update->store, m->offset, m->data, m->data_length);
    if (status == LV_OK)
        note_received(update);
    return status;
}

void lv_update_refused(lv_update *update, uint8_t reason, int32_t detail)
{
    lv_update_record *u = &update->store->update;
    lv_store_abandon(update->store);
    u->state = LV_UPDATE_FAILED;
    u->reason = reason;
    u->detail = detail;
}

/* --- trial ------------------------------------------------------------------------------------ */

/* Bit k: parameter k of the store is in the list. */
static uint32_t carried(const lv_store *store, const uint8_t *ids, uint32_t length)
{
    uint32_t bits = 0;
    for (uint16_t k = 0; k < store->parameter_count; k++)
        for (uint32_t at = 0; at < length; at += 4)
            if ((int32_t)lv_get32(ids + at) == store->parameters[k][0])
                bits |= UINT32_C(1) << k;
    return bits;
}

lv_status lv_update_wait(lv_update *update, const lv_msg_install_trial *m, int32_t *detail)
{
    lv_store *store = update->store;
    lv_update_record *u = &store->update;
    LV_ASSERT(store->receiving);
    *detail = m->steps == 0 ? 0 : m->flags & ~(LV_TRIAL_CONFIRM | LV_TRIAL_REPORT) ? 2 : 3;
    if (*detail != 3 || m->carried_length % 4)
        return LV_NAK_VALUE;
    *detail = 0;
    /* one without envelope is not known to be barred before */
    if (store->counter[!store->active] == 0 && lv_store_barred(store, store->wanted)) {
        lv_store_abandon(store);
        return LV_NAK_BARRED;
    }
    u->wants = m->flags;
    u->steps = m->steps;
    u->within_ms = m->within_ms;
    u->carried = carried(store, m->carried, m->carried_length);
    return lv_store_wait(store);
}

lv_status lv_update_try(lv_update *update)
{
    lv_store *store = update->store;
    if (store->update.stage == LV_STAGE_WAITING) {
        lv_status status = lv_store_try(store);
        if (status != LV_OK)
            return status;
        update->begun = true;
        update->confirmed = false;
    }
    LV_ASSERT(store->update.stage == LV_STAGE_RUNNING);
    update->steps = 0;
    return LV_OK;
}

void lv_update_passed(lv_update *update)
{
    if (update->steps < UINT16_MAX)
        update->steps++;
}

bool lv_update_commit(lv_update *update, bool reported)
{
    const lv_update_record *u = &update->store->update;
    LV_ASSERT(u->stage == LV_STAGE_RUNNING);
    return update->steps >= u->steps && (update->confirmed || !(u->wants & LV_TRIAL_CONFIRM)) &&
           (reported || !(u->wants & LV_TRIAL_REPORT)) &&
           lv_store_promote(update->store) == LV_OK; /* tried again after the next step */
}

bool lv_update_tick(lv_update *update, uint32_t now_ms)
{
    const lv_update_record *u = &update->store->update;
    update->now_ms = now_ms;
    if (update->heard)
        update->heard_ms = now_ms;
    if (update->begun)
        update->begun_ms = now_ms;
    update->heard = update->begun = false;
    return u->stage == LV_STAGE_RUNNING && u->within_ms &&
           now_ms - update->begun_ms > u->within_ms;
}

/* --- what there is to say ----------------------------------------------------------------------- */

void lv_update_status(const lv_update *update, lv_msg_update_status *m)
{
    const lv_store *store = update->store;
    const lv_update_record *u = &store->update;
    uint8_t slot = u->stage == LV_STAGE_NONE ? store->active : !store->active;
    memset(m, 0, sizeof *m);
    m->state = u->state;
    m->reason = u->reason;
    m->detail = u->detail;
    m->size = m->received = store->size[slot];
    if (m->size)
        memcpy(m->sha256, store->sha256[slot], sizeof m->sha256);
    if (store->receiving) {
        m->size = store->wanted_size;
        m->received = store->received;
        memcpy(m->sha256, store->wanted, sizeof m->sha256);
    }
    m->steps = u->stage == LV_STAGE_RUNNING ? update->steps : 0;
    m->counter = u->counter;
    memcpy(m->nonce, update->nonce, sizeof m->nonce);
    memcpy(m->version, store->version[store->active], sizeof store->version[0]);
}
