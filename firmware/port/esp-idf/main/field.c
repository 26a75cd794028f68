#include "field.h"

#include "../../../core/bytes.h"

#include "board.h"
#include "calibration.h"
#include "clock.h"
#include "esp_attr.h"
#include "esp_check.h"
#include "esp_log.h"
#include "esp_sleep.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "keep.h"
#include "modules.h"
#include "mqtt.h"
#include "sdkconfig.h"
#include "sensors.h"
#include "settings.h"
#include "valve.h"
#include "watchdog.h"
#include "wifi.h"

enum { POLL_MS = 200, NO_GUEST_MS = 10000 };
enum { LINGER_MS = 1000, LONGEST_END_MS = 30000, BEAT_MS = 60000, SHORTEST_BEAT_MS = 1000 };
#define SHORTEST_SLEEP_US 2000000
#define LONGEST_SLEEP_US (LV_LONGEST_WAKE_MS * 1000LL)

static const char tag[] = "field";
static const settings *own;
static bool radio;  /* Wi-Fi is on, and the client if there is a broker */
static bool online; /* there is a network to use */
static bool asked;  /* and whether there is one is known */
static int64_t started_us;  /* by our own counter; negative if it has slept deep since */
static int64_t interval_ms; /* between two steps, lately; 0: not known */

static int64_t now_us(void) { return esp_timer_get_time(); }

static int64_t uptime_ms(void) { return (now_us() - started_us) / 1000; }

/* --- radio ------------------------------------------------------------------------------------ */

/* How often others hear of this node. */
static uint32_t heard_every_ms(void)
{
#if CONFIG_LEVADA_SLEEP_NONE
    return BEAT_MS;
#else
    int64_t ms = interval_ms * CONFIG_LEVADA_REPORT_EVERY;
    if (interval_ms > 0 && ms < SHORTEST_BEAT_MS)
        return SHORTEST_BEAT_MS;
    return ms < LV_LONGEST_WAKE_MS ? (uint32_t)ms : LV_LONGEST_WAKE_MS;
#endif
}

/* Whether there is a network; if not and `wait`, after provisioning. */
static void find_network(bool wait)
{
    if (!asked) {
        wifi_begin();
        online = wifi_provision(wait);
    }
    asked = true;
}

static void radio_on(int longest_s)
{
    if (radio)
        return;
    find_network(false); /* not before it is used: it takes charge, at each wake-up */
    if (!online)
        return;
    (void)wifi_up(longest_s);
    clock_begin();
    /* without a broker the network is for the clock alone */
    (void)mqtt_begin(own, heard_every_ms());
    radio = true;
}

#if !CONFIG_LEVADA_SLEEP_NONE
static void radio_off(lv_node *node)
{
    if (!radio)
        return;
    int64_t end_us = now_us() + CONFIG_LEVADA_RADIO_S * 1000000LL;
    if (mqtt_connected())
        mqtt_serve(node, LINGER_MS); /* what waited at the broker may be on its way */
    while (mqtt_connected() && modules_busy() && now_us() < end_us) { /* or a module that was offered */
        watchdog_feed();
        mqtt_serve(node, POLL_MS);
    }
    watchdog_arm(LONGEST_END_MS); /* the client ends when its last operation has timed out */
    mqtt_end();
    wifi_down();
    watchdog_arm(0);
    radio = false;
}

static RTC_DATA_ATTR bool unheard; /* the last report left something that waits */
static RTC_DATA_ATTR uint32_t reported = -(uint32_t)CONFIG_LEVADA_REPORT_EVERY; /* at this step */

/* Switch on, hand over what waits, take what has come, switch off. */
static void report(lv_node *node)
{
    int64_t end_us = now_us() + CONFIG_LEVADA_RADIO_S * 1000000LL;
    radio_on(CONFIG_LEVADA_RADIO_S);
    while (radio && now_us() < end_us &&
           (!clock_is_set() || (own->uri[0] && (!mqtt_connected() || node->ring.waiting > 0)))) {
        watchdog_feed();
        mqtt_serve(node, POLL_MS);
    }
    radio_off(node);
    unheard = node->ring.waiting > 0;
    reported = node->steps;
}
#endif

/* --- waiting ---------------------------------------------------------------------------------- */

static void stay_awake(lv_node *node, int64_t until_us)
{
    for (;;) {
        lv_node_tick(node, board_now_ms()); /* a trial has its time */
        int64_t left_ms = (until_us - now_us() + 999) / 1000;
        uint32_t wait_ms = left_ms < 0 ? 0 : left_ms < POLL_MS ? (uint32_t)left_ms : POLL_MS;
        watchdog_feed();
        if (radio)
            mqtt_serve(node, wait_ms);
        else
            vTaskDelay(pdMS_TO_TICKS(wait_ms));
        if (now_us() >= until_us)
            return;
    }
}

#if CONFIG_LEVADA_SLEEP_NONE
static void rest(lv_node *node, int64_t until_us)
{
    radio_on(0);
    stay_awake(node, until_us);
}
#else
/* Sleep until then, or a while. */
static void sleep_until(lv_node *node, int64_t until_us)
{
    int64_t left_us = until_us - now_us();
    ESP_ERROR_CHECK(esp_sleep_enable_timer_wakeup(
        (uint64_t)(left_us < LONGEST_SLEEP_US ? left_us : LONGEST_SLEEP_US)));
#if CONFIG_LEVADA_SLEEP_DEEP
    /* what a module on trial has done is in memory alone, so that a restart undoes it */
    if (node->store.update.stage != LV_STAGE_RUNNING && keep_save(node, uptime_ms())) {
        output_close_all();
        esp_deep_sleep_start(); /* goes on in app_main */
    }
#else
    (void)node;
#endif
    (void)esp_light_sleep_start();
}

static void rest(lv_node *node, int64_t until_us)
{
    /* a ring that fills is reported out of turn, unless nobody took it the last time: as long as a
     * broker is away that would cost charge at every step */
    if (now_us() < until_us && !output_any() &&
        (node->steps - reported >= CONFIG_LEVADA_REPORT_EVERY ||
         (!unheard && node->ring.used > CONFIG_LEVADA_RING_BYTES / 2)))
        report(node);
    /* asleep, the timer that ends an opening would stand still */
    while (until_us - now_us() > SHORTEST_SLEEP_US && !output_any()) {
        watchdog_feed();
        sleep_until(node, until_us);
    }
    stay_awake(node, until_us);
}
#endif

/* --- the guest -------------------------------------------------------------------------------- */

static int64_t after_ms(int64_t ms) { return now_us() + ms * 1000; }

/* When it is to be stepped. */
static int64_t start(lv_node *node)
{
    const lv_msg_start m = {.time_ms = clock_ms(), .flags = LV_START_STORED_PARAMETERS};
    bool swap = node->store.update.stage == LV_STAGE_WAITING && node->state == LV_NODE_RUNNING;
    started_us = now_us();
    lv_status status = lv_node_start(node, &m);
    if (status != LV_OK) {
        ESP_LOGE(tag, "no guest runs: refusal %d, detail %d", (int)status, (int)node->detail);
        return after_ms(NO_GUEST_MS);
    }
#if CONFIG_LEVADA_SLEEP_DEEP
    int64_t slept_ms;
    if (node->config->reset_reason == LV_RESET_DEEP_SLEEP && keep_restore(node, &slept_ms)) {
        started_us = now_us() - slept_ms * 1000;
        return now_us(); /* it has slept until it was due */
    }
#endif
    /* a module that goes on trial makes the step that was due */
    return swap ? now_us() : after_ms(node->wake_ms - m.time_ms);
}

static int64_t step(lv_node *node)
{
    lv_msg_step m = {.time_ms = clock_ms(), .uptime_ms = uptime_ms()};
    m.flags = radio && mqtt_connected() ? LV_STEP_ONLINE : 0;
    sensors_read(m.readings);
    uint8_t rain[8];
    int32_t tips = sensors_rain();
    if (tips >= 0) {
        lv_put32(rain, LV_SENSOR_RAIN);
        lv_put32(rain + 4, (uint32_t)tips);
        m.further = rain;
        m.further_count = 1;
    }
    lv_status status = lv_node_step(node, &m);
    if (status != LV_OK)
        ESP_LOGE(tag, "no step: refusal %d", (int)status);
    if (node->started_ms) { /* a module was rolled back: the former one has begun with this step */
        started_us += node->started_ms * 1000;
        node->started_ms = 0;
    }
    if (node->state == LV_NODE_RUNNING && node->wake_ms >= LV_NEVER_MS)
        return INT64_MAX / 2; /* its main has ended */
    if (node->state == LV_NODE_RUNNING) {
        interval_ms = node->wake_ms - m.time_ms;
        return after_ms(interval_ms); /* by our own counter: the clock may be set meanwhile */
    }
    ESP_LOGE(tag, "the guest was stopped: trap %u in call %u", node->trap, node->host.trap_call);
    return CONFIG_LEVADA_RESTART_S ? after_ms(CONFIG_LEVADA_RESTART_S * 1000LL) : INT64_MAX / 2;
}

static bool ended_badly(uint8_t reason)
{
    return reason == LV_RESET_BROWN_OUT || reason == LV_RESET_WATCHDOG || reason == LV_RESET_PANIC;
}

void field_run(lv_node *node)
{
    sensors_begin();
    if (node->config->reset_reason != LV_RESET_DEEP_SLEEP)
        find_network(true);
    own = settings_load();
    calibration_configure(node);
    if (ended_badly(node->config->reset_reason)) {
        ESP_LOGW(tag, "the last run ended badly: closed for %d s", CONFIG_LEVADA_HOLD_S);
        stay_awake(node, after_ms(CONFIG_LEVADA_HOLD_S * 1000LL));
    }
    int64_t due_us = start(node);
    for (;;) {
        rest(node, due_us);
        due_us = lv_node_wants_start(node) ? start(node) : step(node);
        if (valve_timeouts())
            ESP_LOGW(tag, "the timer has closed the valve %lu times",
                     (unsigned long)valve_timeouts());
    }
}
