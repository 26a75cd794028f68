#include "keep.h"

#include <string.h>

#include "../../../core/frame.h"
#include "../../../engine/engine.h"
#include "esp_attr.h"
#include "esp_log.h"
#include "sdkconfig.h"

/* Of IDF, which has it in a public header since 5.4 only: it goes on in deep sleep. */
uint64_t esp_rtc_get_time_us(void);

typedef struct {
    uint32_t crc; /* of all that follows */
    uint32_t boot_id;
    uint8_t guest_sha256[32];
    lv_ring ring; /* without its pointer */
    int64_t uptime_ms;
    uint64_t saved_us; /* by the clock that goes on in deep sleep */
    int64_t kept_ms; /* of uptime, when what the guest keeps was last written to flash */
    bool kept_written;
    uint64_t open_ms;
    uint64_t total_active_us;
    uint32_t steps;
    uint32_t memory_bytes;
    uint8_t waiting[CONFIG_LEVADA_RING_BYTES];
    uint8_t memory[CONFIG_LEVADA_KEPT_BYTES];
} kept;

static RTC_DATA_ATTR kept rtc;

static uint32_t crc_of(const kept *k)
{
    return lv_crc32(0, (const uint8_t *)k + sizeof k->crc, sizeof *k - sizeof k->crc);
}

/* Said once a start: the answer is the same at every sleep. */
static bool keeps_globals(const lv_node *node)
{
    static uint8_t said_of[32];
    const lv_store *store = &node->store;
    uint32_t length;
    const uint8_t *module = lv_store_guest(store, &length);
    if (module && !lv_module_keeps_globals(module, length))
        return false;
    if (memcmp(said_of, store->sha256[store->active], sizeof said_of) != 0)
        ESP_LOGW("keep", "the guest may keep state in globals, which deep sleep would lose: "
                         "light sleep instead");
    memcpy(said_of, store->sha256[store->active], sizeof said_of);
    return true;
}

bool keep_save(const lv_node *node, int64_t uptime_ms)
{
    uint32_t size;
    const uint8_t *memory = lv_engine_memory(&size);
    const lv_store *store = &node->store;
    rtc.crc = 0;
    if (node->state != LV_NODE_RUNNING || node->command || !memory || keeps_globals(node))
        return false;
    while (size && memory[size - 1] == 0)
        size--;
    if (size > sizeof rtc.memory)
        return false;
    memset(&rtc, 0, sizeof rtc);
    rtc.boot_id = store->boot_id;
    memcpy(rtc.guest_sha256, store->sha256[store->active], sizeof rtc.guest_sha256);
    rtc.ring = node->ring;
    rtc.ring.bytes = NULL;
    rtc.uptime_ms = uptime_ms;
    rtc.saved_us = esp_rtc_get_time_us();
    rtc.kept_ms = node->kept.written_ms;
    rtc.kept_written = node->kept.written;
    rtc.open_ms = node->open_ms;
    rtc.total_active_us = node->total_active_us;
    rtc.steps = node->steps;
    rtc.memory_bytes = size;
    memcpy(rtc.waiting, node->ring.bytes, sizeof rtc.waiting);
    memcpy(rtc.memory, memory, size);
    rtc.crc = crc_of(&rtc);
    return true;
}

bool keep_restore(lv_node *node, int64_t *uptime_ms)
{
    uint32_t size;
    uint8_t *memory = lv_engine_memory(&size);
    lv_store *store = &node->store;
    if (rtc.crc == 0 || rtc.crc != crc_of(&rtc) || node->state != LV_NODE_RUNNING || !memory ||
        rtc.memory_bytes > size ||
        memcmp(rtc.guest_sha256, store->sha256[store->active], sizeof rtc.guest_sha256) != 0)
        return false;
    memcpy(memory, rtc.memory, rtc.memory_bytes);
    memset(memory + rtc.memory_bytes, 0, size - rtc.memory_bytes);
    memcpy(node->ring.bytes, rtc.waiting, sizeof rtc.waiting);
    rtc.ring.bytes = node->ring.bytes;
    node->ring = rtc.ring; /* what init has published is forgotten with it */
    /* a wake-up is no start; what it was numbered meanwhile has left no trace */
    store->boot_id = rtc.boot_id;
    *uptime_ms = rtc.uptime_ms + (int64_t)(esp_rtc_get_time_us() - rtc.saved_us) / 1000;
    node->kept.written_ms = rtc.kept_ms;
    node->kept.written = rtc.kept_written;
    node->open_ms = rtc.open_ms;
    node->total_active_us = rtc.total_active_us;
    node->steps = rtc.steps;
    rtc.crc = 0;
    lv_host_close_outputs(&node->host); /* they were, or it would not have slept */
    return true;
}
