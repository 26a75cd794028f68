#include "guest.h"

#include <pthread.h>

#include "esp_pthread.h"
#include "freertos/FreeRTOS.h"
#include "freertos/semphr.h"
#include "sdkconfig.h"

static bool main_paused;
static bool main_ended;
static int main_rc;
static int32_t main_result;
static int handed; /* what guest_pause is to return */
static pthread_t thread;
static SemaphoreHandle_t to_main;   /* the guest may go on */
static SemaphoreHandle_t from_main; /* it has paused or ended */

int guest_check(void *context, const uint8_t *module, uint32_t length, const lv_limits *limits)
{
    (void)context;
    return lv_engine_check(module, length, limits);
}

int guest_load(void *context, const uint8_t *module, uint32_t length, struct lv_host *host,
               const lv_limits *limits)
{
    (void)context;
    return lv_engine_load(module, length, host, limits);
}

static void *run_main(void *unused)
{
    (void)unused;
    main_rc = lv_engine_call(LV_EXPORT_MAIN, NULL, &main_result);
    main_ended = true;
    xSemaphoreGive(from_main);
    return NULL;
}

static int start_main(void)
{
    esp_pthread_cfg_t config = esp_pthread_get_default_config();
    config.stack_size = CONFIG_LEVADA_STACK_BYTES;
    config.thread_name = "guest";
    if (!to_main)
        to_main = xSemaphoreCreateBinary();
    if (!from_main)
        from_main = xSemaphoreCreateBinary();
    if (!to_main || !from_main || esp_pthread_set_cfg(&config) != ESP_OK)
        return -1;
    main_ended = false;
    return pthread_create(&thread, NULL, run_main, NULL);
}

/* Wait until the guest has paused or ended; true: paused. */
static bool wait_main(void)
{
    xSemaphoreTake(from_main, portMAX_DELAY); /* bounded by the budget, and by the watchdog */
    if (main_ended)
        pthread_join(thread, NULL);
    return !main_ended;
}

int guest_call(void *context, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)context;
    if (which != LV_EXPORT_MAIN)
        return lv_engine_call(which, arguments, result);
    if (main_paused) {
        lv_engine_renew();
        handed = 0;
        xSemaphoreGive(to_main);
    } else if (start_main() != 0)
        return LV_TRAP_OTHER; /* no memory for its stack */
    main_paused = wait_main();
    *result = main_result;
    return main_paused ? LV_GUEST_PAUSED : main_rc;
}

int guest_pause(void *context)
{
    (void)context;
    xSemaphoreGive(from_main);
    xSemaphoreTake(to_main, portMAX_DELAY);
    return handed;
}

void guest_unload(void *context)
{
    (void)context;
    if (main_paused) { /* let it unwind */
        handed = -1;
        xSemaphoreGive(to_main);
        main_paused = wait_main();
    }
    lv_engine_unload();
}

bool guest_has(void *context, lv_export which)
{
    (void)context;
    return lv_engine_has(which);
}
