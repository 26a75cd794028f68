#include "board.h"

#include "esp_attr.h"
#include "esp_system.h"
#include "esp_random.h"
#include "esp_timer.h"
#include "flash.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "guest.h"
#include "line.h"
#include "sdkconfig.h"
#include "trust.h"
#include "valve.h"
#include "watchdog.h"

static uint8_t tape[CONFIG_LEVADA_TAPE_BYTES];
static uint8_t ring[CONFIG_LEVADA_RING_BYTES];
static uint8_t keys[LV_KEYS][32];
/* RTC memory outlives every restart but a loss of power; the core checks what it finds there. */
static RTC_NOINIT_ATTR uint8_t kept[LV_KEPT_BYTES];

static void output(void *context, uint8_t pin, uint8_t state)
{
    (void)context;
    output_set(pin, state);
}

static int record_read(void *context, int record, uint8_t *bytes)
{
    (void)context;
    return flash_record_read(record, bytes);
}

static int record_write(void *context, int record, const uint8_t *bytes)
{
    (void)context;
    return flash_record_write(record, bytes);
}

static int slot_erase(void *context, int slot)
{
    (void)context;
    return flash_slot_erase(slot);
}

static int slot_write(void *context, int slot, uint32_t offset, const uint8_t *data,
                      uint32_t length)
{
    (void)context;
    return flash_slot_write(slot, offset, data, length);
}

static const uint8_t *slot_map(void *context, int slot)
{
    (void)context;
    return flash_slot_map(slot);
}

static int send(void *context, const uint8_t *bytes, uint32_t length)
{
    (void)context;
    return line_write(bytes, length);
}

static void restart(void *context)
{
    (void)context;
    output_close_all();
    line_drain(); /* the answer that says so */
    esp_restart();
}

static void watchdog(void *context, uint32_t ms)
{
    (void)context;
    watchdog_arm(ms);
}

static void random_bytes(void *context, uint8_t *bytes, uint32_t length)
{
    (void)context;
    esp_fill_random(bytes, length);
}

static uint32_t clock_us(void *context)
{
    (void)context;
    return (uint32_t)esp_timer_get_time();
}

static uint32_t stack_bytes(void *context)
{
    (void)context;
    return CONFIG_LEVADA_STACK_BYTES - (uint32_t)uxTaskGetStackHighWaterMark(NULL);
}

static uint8_t reset_reason(void)
{
    switch (esp_reset_reason()) {
    case ESP_RST_POWERON:
    case ESP_RST_EXT: return LV_RESET_POWER_ON;
    case ESP_RST_SW: return LV_RESET_SOFTWARE;
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT: return LV_RESET_WATCHDOG;
    case ESP_RST_BROWNOUT:
    case ESP_RST_PWR_GLITCH: return LV_RESET_BROWN_OUT;
    case ESP_RST_PANIC:
    case ESP_RST_CPU_LOCKUP: return LV_RESET_PANIC;
    case ESP_RST_DEEPSLEEP: return LV_RESET_DEEP_SLEEP;
    default: return LV_RESET_UNKNOWN;
    }
}

static lv_config config = {
    .guest_check = guest_check,
    .guest_load = guest_load,
    .guest_call = guest_call,
    .guest_unload = guest_unload,
    .guest_has = guest_has,
    .guest_pause = guest_pause,
    .output = output,
    .record_read = record_read,
    .record_write = record_write,
    .slot_erase = slot_erase,
    .slot_write = slot_write,
    .slot_map = slot_map,
    .slot_bytes = CONFIG_LEVADA_SLOT_BYTES,
    .keys = (const uint8_t(*)[32])keys,
    .verify = trust_verify,
    .send = send,
    .restart = restart,
    .watchdog = watchdog,
    .random = random_bytes,
    .clock_us = clock_us,
    .stack_bytes = stack_bytes,
    .at = NULL,    /* faults are for the virtual board */
    .fault = NULL,
    .firmware = "levada 0.1.0 " CONFIG_IDF_TARGET,
    .tape = tape,
    .tape_bytes = sizeof tape,
    .kept = kept,
    .keep_every_ms = CONFIG_LEVADA_KEEP_EVERY_S * 1000,
    .ring = ring,
    .ring_bytes = sizeof ring,
};

const lv_config *board_config(void)
{
    config.engine = lv_engine_name();
    config.key_count = trust_load(keys);
    config.reset_reason = reset_reason();
    config.first_boot_id = esp_random() >> 1;
    return &config;
}

uint32_t board_now_ms(void) { return (uint32_t)(esp_timer_get_time() / 1000); }
