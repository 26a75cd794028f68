/*
 * Start: the valve is closed before anything else happens, then the node's thread serves the host
 * (bench) or the field.
 */
#include <pthread.h>

#include "../../../core/link.h"
#include "board.h"
#include "esp_check.h"
#include "esp_log.h"
#include "esp_pthread.h"
#include "field.h"
#include "flash.h"
#include "line.h"
#include "sdkconfig.h"
#include "valve.h"
#include "watchdog.h"

/* A stack that overflows has to end in a panic, before it has overwritten what lies below it. */
#if !CONFIG_FREERTOS_WATCHPOINT_END_OF_STACK || CONFIG_FREERTOS_CHECK_STACKOVERFLOW_NONE
#error "the end of every stack has to be watched"
#endif

enum { POLL_MS = 50 }; /* of the lease; the core asks for 100 at most */

static const char tag[] = "levada";
static lv_node node;
static lv_link host_line;

/* Answer the host until it has been silent for `patience_ms`; 0: for ever. */
static void serve_line(uint32_t patience_ms)
{
    uint8_t received[512];
    lv_node_heard(&node, board_now_ms());
    for (;;) {
        size_t n = line_read(received, sizeof received, POLL_MS);
        watchdog_feed();
        if (n)
            lv_link_receive(&host_line, received, n);
        uint32_t now_ms = board_now_ms();
        lv_link_tick(&host_line, now_ms);
        if (patience_ms && now_ms - node.heard_ms > patience_ms) /* noise is no host */
            return;
    }
}

static void *run(void *unused)
{
    (void)unused;
    flash_begin();
    watchdog_begin();
    line_begin();
    lv_init_status hole = lv_node_init(&node, board_config());
    if (hole != LV_INIT_OK) {
        ESP_LOGE(tag, "the core refuses this board's config: %d, see lv_init_status", (int)hole);
        ESP_ERROR_CHECK(ESP_FAIL);
    }
    flash_adopt(&node.store);
    lv_link_init(&host_line, &node);
    ESP_LOGI(tag, "%s, %s, start %lu, reset reason %u, guest of %lu bytes",
             node.config->firmware, node.config->engine, (unsigned long)node.store.boot_id,
             node.config->reset_reason, (unsigned long)node.store.size[node.store.active]);
#if CONFIG_LEVADA_MODE_FIELD
    if (node.config->reset_reason != LV_RESET_DEEP_SLEEP && CONFIG_LEVADA_LINK_WAIT_S > 0) {
        ESP_LOGI(tag, "a host can take over within %d s", CONFIG_LEVADA_LINK_WAIT_S);
        serve_line(CONFIG_LEVADA_LINK_WAIT_S * 1000);
        lv_node_close(&node);
    }
    field_run(&node);
#else
    serve_line(0);
#endif
    return NULL;
}

void app_main(void)
{
    pthread_t thread;
    valve_begin();
    esp_pthread_cfg_t config = esp_pthread_get_default_config();
    config.stack_size = CONFIG_LEVADA_STACK_BYTES;
    config.thread_name = "node";
    ESP_ERROR_CHECK(esp_pthread_set_cfg(&config));
    if (pthread_create(&thread, NULL, run, NULL) != 0)
        ESP_ERROR_CHECK(ESP_ERR_NO_MEM);
}
