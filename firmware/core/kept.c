#include "kept.h"

#include <string.h>

#include "bytes.h"
#include "frame.h"

static const uint8_t magic[4] = {'l', 'v', 'k', '1'};

enum { AT_OWNER = 8, AT_VALUES = AT_OWNER + LV_KEPT_OWNER };
enum { AT_CRC = AT_VALUES + 4 * LV_KEEP_SLOTS };
_Static_assert(AT_CRC + 4 == LV_KEPT_BYTES, "record of another size");

static void pack(const lv_kept *kept, uint8_t *r)
{
    memcpy(r, magic, sizeof magic);
    lv_put32(r + 4, kept->generation);
    memcpy(r + AT_OWNER, kept->owner, sizeof kept->owner);
    for (int k = 0; k < LV_KEEP_SLOTS; k++)
        lv_put32(r + AT_VALUES + 4 * k, (uint32_t)kept->values[k]);
    lv_put32(r + AT_CRC, lv_crc32(0, r, AT_CRC));
}

/* Take the record over if it is whole and newer. */
static bool take(lv_kept *kept, const uint8_t *r)
{
    if (memcmp(r, magic, sizeof magic) != 0 || lv_crc32(0, r, AT_CRC) != lv_get32(r + AT_CRC) ||
        (int32_t)(lv_get32(r + 4) - kept->generation) <= 0)
        return false;
    kept->generation = lv_get32(r + 4);
    memcpy(kept->owner, r + AT_OWNER, sizeof kept->owner);
    for (int k = 0; k < LV_KEEP_SLOTS; k++)
        kept->values[k] = (int32_t)lv_get32(r + AT_VALUES + 4 * k);
    return true;
}

void lv_kept_open(lv_kept *kept, const lv_config *config)
{
    uint8_t record[LV_RECORD_BYTES];
    *kept = (lv_kept){.config = config};
    for (int k = 0; k < LV_KEPT_RECORDS; k++)
        if (config->record_read(config->context, LV_STORE_RECORDS + k, record) == 0 &&
            take(kept, record))
            kept->place = (uint8_t)!k;
    kept->dirty = config->kept && take(kept, config->kept); /* what flash has not yet */
}

void lv_kept_set(lv_kept *kept, int slot, int32_t value)
{
    LV_ASSERT(slot >= 0 && slot < LV_KEEP_SLOTS);
    kept->changed |= kept->values[slot] != value;
    kept->values[slot] = value;
}

void lv_kept_forget(lv_kept *kept)
{
    for (int k = 0; k < LV_KEEP_SLOTS; k++)
        lv_kept_set(kept, k, 0);
}

void lv_kept_begin(lv_kept *kept, const uint8_t sha256[32])
{
    kept->written = false; /* uptime counts from here */
    if (memcmp(kept->owner, sha256, sizeof kept->owner) == 0)
        return;
    lv_kept_forget(kept);
    memcpy(kept->owner, sha256, sizeof kept->owner);
    /* zeros of no use are not worth a write, but what another module left must not come back */
    kept->changed |= kept->generation != 0;
}

void lv_kept_save(lv_kept *kept, int64_t uptime_ms, bool now)
{
    const lv_config *config = kept->config;
    uint8_t record[LV_RECORD_BYTES] = {0};
    if (kept->held)
        return;
    if (kept->changed) {
        kept->generation++;
        kept->changed = false;
        kept->dirty = true;
        if (config->kept)
            pack(kept, config->kept);
    }
    if (!kept->dirty ||
        !(now || !kept->written || uptime_ms - kept->written_ms >= config->keep_every_ms))
        return;
    pack(kept, record);
    kept->writes++;
    if (config->record_write(config->context, LV_STORE_RECORDS + kept->place, record))
        return; /* tried again with the next run */
    kept->place = !kept->place;
    kept->dirty = false;
    kept->written = true;
    kept->written_ms = uptime_ms;
}

void lv_kept_hold(lv_kept *kept)
{
    if (kept->held)
        return;
    lv_kept_save(kept, 0, true);
    kept->held = true;
}

void lv_kept_release(lv_kept *kept, bool keep)
{
    uint32_t writes = kept->writes;
    bool held = kept->held;
    kept->held = false;
    if (!held || keep)
        return;
    lv_kept_open(kept, kept->config);
    kept->writes = writes;
}
