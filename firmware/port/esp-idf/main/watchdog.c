#include "watchdog.h"

#include "esp_err.h"
#include "esp_task_wdt.h"
#include "sdkconfig.h"

static void set_timeout(uint32_t ms)
{
    const esp_task_wdt_config_t config = {
        .timeout_ms = ms,
        .idle_core_mask = 0, /* a guest may use a whole core as long as its budget lasts */
        .trigger_panic = true,
    };
    ESP_ERROR_CHECK(esp_task_wdt_reconfigure(&config));
}

void watchdog_begin(void)
{
    set_timeout(CONFIG_LEVADA_WATCHDOG_S * 1000);
    ESP_ERROR_CHECK(esp_task_wdt_add(NULL));
}

void watchdog_feed(void) { ESP_ERROR_CHECK(esp_task_wdt_reset()); }

void watchdog_arm(uint32_t ms)
{
    watchdog_feed();
    set_timeout(ms ? ms : CONFIG_LEVADA_WATCHDOG_S * 1000);
}
