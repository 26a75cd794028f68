/*
 * The ESP32's loop in the field (field.c) with a module that comes and is tried: trial_field
 * INTERVAL_MS [BAD_STEP]
 *
 * The board is made of memory, its time goes on when it waits or sleeps.  A line for each step says when
 * [ms], of which module and whether on trial; "deep" and "light" stand for sleep.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "calibration.h"
#include "clock.h"
#include "esp_sleep.h"
#include "esp_timer.h"
#include "field.h"
#include "freertos/task.h"
#include "keep.h"
#include "modules.h"
#include "mqtt.h"
#include "sensors.h"
#include "settings.h"
#include "signer.h"
#include "valve.h"
#include "watchdog.h"
#include "wifi.h"

enum { INSTALLED_AT = 5, END_AT = 16, TRIAL_STEPS = 3 }; /* intervals */

static fake f;
static jmp_buf end;
static int64_t time_us;
static uint64_t sleep_us;
static int interval_ms;
static int bad_step; /* of the new module, from 1; 0: none */
static int stepped;
static uint8_t modules[2][64] = {{1}, {2}};

static void pass(int64_t us)
{
    static bool sent;
    time_us += us;
    if (time_us >= INSTALLED_AT * interval_ms * INT64_C(1000) - 1 && !sent) {
        const signer_job job = {.module = modules[1], .size = sizeof modules[1]};
        sent = true;
        if (signer_try(&f, &job, TRIAL_STEPS, 0, 0) != LV_OK)
            exit(1);
    }
    if (time_us >= END_AT * interval_ms * INT64_C(1000))
        longjmp(end, 1);
}

static int guest(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    *result = interval_ms;
    if (which == LV_EXPORT_INIT)
        stepped = 0;
    if (which != LV_EXPORT_STEP)
        return 0;
    if (of->module[0] == 2 && ++stepped == bad_step)
        return LV_TRAP_UNREACHABLE;
    printf("%lld %d %s\n", (long long)(time_us / 1000), of->module[0],
           of->node.store.update.stage == LV_STAGE_RUNNING ? "trial" : "use");
    return 0;
}

int64_t esp_timer_get_time(void) { return time_us; }
void vTaskDelay(unsigned ticks) { pass(ticks ? ticks * INT64_C(1000) : 1); }
uint32_t board_now_ms(void) { return (uint32_t)(time_us / 1000); }
int64_t clock_ms(void) { return time_us / 1000; }
int esp_sleep_enable_timer_wakeup(uint64_t us)
{
    sleep_us = us;
    return 0;
}
int esp_light_sleep_start(void)
{
    if (sleep_us)
        puts("light");
    pass((int64_t)sleep_us);
    return 0;
}
void esp_deep_sleep_start(void)
{
    puts("deep"); /* and comes back, as if nothing had been lost, to where it would sleep lightly */
    pass((int64_t)sleep_us);
    sleep_us = 0;
}

void clock_begin(void) {}
bool clock_is_set(void) { return true; }
bool mqtt_begin(const settings *s, uint32_t every_ms) { return s && every_ms; }
bool mqtt_connected(void) { return false; }
void mqtt_serve(lv_node *node, uint32_t wait_ms)
{
    (void)node;
    vTaskDelay(wait_ms);
}
void mqtt_end(void) {}
bool modules_busy(void) { return false; }
void sensors_begin(void) {}
void sensors_read(int32_t readings[4]) { memset(readings, 0, 4 * sizeof *readings); }
int32_t sensors_rain(void) { return LV_RESULT_UNAVAILABLE; }
const settings *settings_load(void)
{
    static const settings none;
    return &none;
}
void output_close_all(void) {}
bool output_any(void) { return f.node.host.outputs != 0; }
uint32_t valve_timeouts(void) { return 0; }
void watchdog_feed(void) {}
void watchdog_arm(uint32_t ms) { (void)ms; }
void wifi_begin(void) {}
bool wifi_provision(bool wait)
{
    (void)wait;
    return false;
}
bool wifi_up(int longest_s) { return longest_s > 0; }
void wifi_down(void) {}
bool keep_save(const lv_node *node, int64_t uptime_ms) { return node && uptime_ms >= 0; }
bool keep_restore(lv_node *node, int64_t *uptime_ms)
{
    (void)node;
    (void)uptime_ms;
    return false;
}
void calibration_configure(lv_node *node) { (void)node; }

int main(int count, char **arguments)
{
    const signer_job old = {.module = modules[0], .size = sizeof modules[0]};
    interval_ms = count > 1 ? atoi(arguments[1]) : 1000;
    bad_step = count > 2 ? atoi(arguments[2]) : 0;
    fake_new(&f);
    fake_boot(&f);
    f.behave = guest;
    if (signer_send(&f, &old) != LV_OK || lv_node_install(&f.node) != LV_OK)
        return 1;
    if (setjmp(end) == 0)
        field_run(&f.node);
    return 0;
}
