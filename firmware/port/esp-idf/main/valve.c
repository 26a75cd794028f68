#include "valve.h"

#include <stddef.h>

#include "driver/gpio.h"
#include "driver/gptimer.h"
#include "esp_attr.h"
#include "esp_check.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "sdkconfig.h"

/* What the valve relies on when software fails: every failure ends in a panic, or in a reset of the
 * whole chip. */
#if !CONFIG_ESP_SYSTEM_PANIC_PRINT_REBOOT && !CONFIG_ESP_SYSTEM_PANIC_SILENT_REBOOT
#error "a panic has to reboot: halted, the board would leave the valve as it is"
#endif
#if !CONFIG_ESP_BROWNOUT_DET
#error "the brown-out detector has to be on"
#endif
#if !CONFIG_ESP_INT_WDT || !CONFIG_ESP_TASK_WDT_EN
#error "the watchdogs have to be on"
#endif
#if !CONFIG_GPTIMER_ISR_IRAM_SAFE && !CONFIG_GPTIMER_ISR_CACHE_SAFE
#error "the timer of the valve has to work while flash is written"
#endif
#if !CONFIG_GPIO_CTRL_FUNC_IN_IRAM
#error "the timer of the valve needs gpio_set_level in IRAM"
#endif

#if CONFIG_LEVADA_GPIO_VALVE < 0
#error "choose the pin of the valve in menuconfig: for this chip there is no default"
#endif

enum { TIMER_HZ = 1000000, GUEST_VALVE = 23, OUTPUTS = 4 };
enum { OPEN_LEVEL = 0
#if !CONFIG_LEVADA_VALVE_ACTIVE_LOW
       + 1
#endif
};

static const struct {
    uint8_t pin; /* as the guest names it */
    int8_t gpio;
} outputs[OUTPUTS] = {
    {GUEST_VALVE, CONFIG_LEVADA_GPIO_VALVE}, /* first: bit 0 of `on` */
    {18, CONFIG_LEVADA_GPIO_LED1},
    {19, CONFIG_LEVADA_GPIO_LED2},
    {21, CONFIG_LEVADA_GPIO_LED3},
};

static portMUX_TYPE lock = portMUX_INITIALIZER_UNLOCKED;
static gptimer_handle_t timer;
static uint8_t on;        /* bit k: output k is commanded on */
static bool expired;      /* the time of this opening is up */
static int64_t closed_us; /* when it was commanded closed */
static bool ever_opened;
static bool begun; /* the pins are ours */
static uint32_t timeouts;

/* The timer's interrupt.  It may run while the cache is off: nothing here lies in flash. */
static bool IRAM_ATTR close_in_time(gptimer_handle_t handle,
                                    const gptimer_alarm_event_data_t *event, void *context)
{
    (void)handle;
    (void)event;
    (void)context;
    portENTER_CRITICAL_ISR(&lock);
    gpio_set_level(CONFIG_LEVADA_GPIO_VALVE, !OPEN_LEVEL);
    expired = true; /* also if commanded closed: it may be opened again within the closing time */
    timeouts += on & 1;
    portEXIT_CRITICAL_ISR(&lock);
    return false;
}

void __real_esp_panic_handler(void *info);
void __wrap_esp_panic_handler(void *info);

/* A panic prints at length, and then restarts the CPUs alone, through which pins stay as they are.
 * The linker has this called first (CMakeLists.txt). */
void IRAM_ATTR __wrap_esp_panic_handler(void *info)
{
    gpio_set_level(CONFIG_LEVADA_GPIO_VALVE, !OPEN_LEVEL);
    __real_esp_panic_handler(info);
}

void __real_esp_restart(void);
void __wrap_esp_restart(void);

/* Whoever restarts by software comes by here, before what was registered to be called at a restart:
 * that is called last first, and the radio, registered after us, takes its time. */
void __wrap_esp_restart(void)
{
    if (begun) /* IDF may restart before the application begins */
        output_close_all();
    __real_esp_restart();
}

static void begin_output(int gpio, uint32_t level)
{
    const gpio_config_t config = {
        .pin_bit_mask = 1ULL << gpio,
        .mode = GPIO_MODE_OUTPUT,
        .pull_up_en = GPIO_PULLUP_DISABLE,
        .pull_down_en = GPIO_PULLDOWN_DISABLE,
        .intr_type = GPIO_INTR_DISABLE,
    };
    /* the level first, then the driver: so it never glitches */
    ESP_ERROR_CHECK(gpio_set_level(gpio, level));
    ESP_ERROR_CHECK(gpio_config(&config));
}

void valve_begin(void)
{
    begin_output(CONFIG_LEVADA_GPIO_VALVE, !OPEN_LEVEL);
    begun = true;
    for (int k = 1; k < OUTPUTS; k++)
        if (outputs[k].gpio >= 0)
            begin_output(outputs[k].gpio, 0);

    const gptimer_config_t config = {
        .clk_src = GPTIMER_CLK_SRC_DEFAULT,
        .direction = GPTIMER_COUNT_UP,
        .resolution_hz = TIMER_HZ,
    };
    const gptimer_event_callbacks_t callbacks = {.on_alarm = close_in_time};
    const gptimer_alarm_config_t alarm = {
        .alarm_count = (uint64_t)CONFIG_LEVADA_MAX_OPEN_S * TIMER_HZ,
    };
    /* Without the timer nothing may open: a failure ends in a restart. */
    ESP_ERROR_CHECK(gptimer_new_timer(&config, &timer));
    ESP_ERROR_CHECK(gptimer_register_event_callbacks(timer, &callbacks, NULL));
    ESP_ERROR_CHECK(gptimer_enable(timer));
    ESP_ERROR_CHECK(gptimer_set_alarm_action(timer, &alarm));
    ESP_ERROR_CHECK(gptimer_start(timer)); /* runs on; an opening sets it to 0 */
}

static void open_valve(int64_t now_us)
{
    const gptimer_alarm_config_t alarm = {
        .alarm_count = (uint64_t)CONFIG_LEVADA_MAX_OPEN_S * TIMER_HZ,
    };
    bool closed = !ever_opened || now_us - closed_us >= CONFIG_LEVADA_VALVE_CLOSING_MS * 1000LL;

    if (on & 1)
        return;
    if (closed) {
        ESP_ERROR_CHECK(gptimer_set_raw_count(timer, 0));
        /* again: an alarm is used up when it fires */
        ESP_ERROR_CHECK(gptimer_set_alarm_action(timer, &alarm));
    }
    portENTER_CRITICAL(&lock);
    if (closed)
        expired = false;
    on |= 1;
    ever_opened = true;
    if (!expired)
        gpio_set_level(CONFIG_LEVADA_GPIO_VALVE, OPEN_LEVEL);
    portEXIT_CRITICAL(&lock);
}

static void close_valve(int64_t now_us)
{
    portENTER_CRITICAL(&lock);
    gpio_set_level(CONFIG_LEVADA_GPIO_VALVE, !OPEN_LEVEL);
    if (on & 1)
        closed_us = now_us;
    on &= (uint8_t)~1u;
    portEXIT_CRITICAL(&lock);
}

void output_set(uint8_t pin, uint8_t state)
{
    for (int k = 0; k < OUTPUTS; k++) {
        if (outputs[k].pin != pin || outputs[k].gpio < 0)
            continue;
        if (k == 0) {
            if (state)
                open_valve(esp_timer_get_time());
            else
                close_valve(esp_timer_get_time());
            return;
        }
        portENTER_CRITICAL(&lock);
        on = (uint8_t)(state ? on | 1u << k : on & ~(1u << k));
        portEXIT_CRITICAL(&lock);
        gpio_set_level(outputs[k].gpio, state);
    }
}

void output_close_all(void)
{
    for (int k = 0; k < OUTPUTS; k++)
        output_set(outputs[k].pin, 0);
}

bool output_any(void) { return on != 0; }

uint32_t valve_timeouts(void) { return timeouts; }
