#include "sensors.h"

#include <math.h>
#include <stdatomic.h>

#include "../../../core/levada_messages.h"
#include "driver/gpio.h"
#include "esp_adc/adc_cali.h"
#include "esp_adc/adc_cali_scheme.h"
#include "esp_adc/adc_oneshot.h"
#include "esp_attr.h"
#include "esp_check.h"
#include "esp_log.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

/* Up to about 3.1 V on an ESP32, 12 bits: what the guests' counts 0..4095 mean. */
static const adc_atten_t range = ADC_ATTEN_DB_12;
static const adc_bitwidth_t bits = ADC_BITWIDTH_12;
enum { SAMPLES = 16, MOST_COUNTS = 4095, NOMINAL_MV = 3100 };

static const char tag[] = "sensors";
static adc_oneshot_unit_handle_t unit;
static atomic_int pulses;
static atomic_int tips;

typedef struct {
    int gpio;
    adc_channel_t channel;
    adc_cali_handle_t calibration; /* NULL: the chip has none */
    bool fitted;
} analog;

static analog moisture = {.gpio = CONFIG_LEVADA_GPIO_MOISTURE};
static analog battery = {.gpio = CONFIG_LEVADA_GPIO_BATTERY};
static analog thermistor = {.gpio = CONFIG_LEVADA_GPIO_THERMISTOR};

static adc_cali_handle_t calibrate(adc_channel_t channel)
{
    adc_cali_handle_t handle = NULL;
    esp_err_t error = ESP_ERR_NOT_SUPPORTED;
#if ADC_CALI_SCHEME_CURVE_FITTING_SUPPORTED
    const adc_cali_curve_fitting_config_t curve = {
        .unit_id = ADC_UNIT_1, .chan = channel, .atten = range, .bitwidth = bits};
    error = adc_cali_create_scheme_curve_fitting(&curve, &handle);
#elif ADC_CALI_SCHEME_LINE_FITTING_SUPPORTED
    const adc_cali_line_fitting_config_t line = {
        .unit_id = ADC_UNIT_1, .atten = range, .bitwidth = bits};
    (void)channel;
    error = adc_cali_create_scheme_line_fitting(&line, &handle);
#endif
    if (error != ESP_OK) {
        ESP_LOGW(tag, "no calibration in this chip's eFuse: voltages are nominal");
        return NULL;
    }
    return handle;
}

static void begin_analog(analog *a)
{
    const adc_oneshot_chan_cfg_t config = {.atten = range, .bitwidth = bits};
    adc_unit_t found;
    if (a->gpio < 0)
        return;
    if (adc_oneshot_io_to_channel(a->gpio, &found, &a->channel) != ESP_OK || found != ADC_UNIT_1) {
        /* the second converter is the radio's */
        ESP_LOGE(tag, "GPIO %d is no pin of ADC1: not read", a->gpio);
        return;
    }
    ESP_ERROR_CHECK(adc_oneshot_config_channel(unit, a->channel, &config));
    a->calibration = calibrate(a->channel);
    a->fitted = true;
}

static void IRAM_ATTR count_pulse(void *context)
{
    (void)context;
    atomic_fetch_add_explicit(&pulses, 1, memory_order_relaxed);
}

static void IRAM_ATTR count_tip(void *context)
{
    static int64_t last_us = INT64_MIN / 2;
    int64_t now_us = esp_timer_get_time();
    (void)context;
    if (now_us - last_us >= CONFIG_LEVADA_RAIN_BOUNCE_MS * 1000LL) {
        atomic_fetch_add_explicit(&tips, 1, memory_order_relaxed);
        last_us = now_us;
    }
}

/* Call `handler` at every falling edge of a contact to ground. */
static void begin_contact(int gpio, gpio_isr_t handler)
{
    static bool installed;
    if (gpio < 0)
        return;
    const gpio_config_t contact = {.pin_bit_mask = 1ULL << gpio,
                                   .mode = GPIO_MODE_INPUT,
                                   .pull_up_en = GPIO_PULLUP_ENABLE,
                                   .intr_type = GPIO_INTR_NEGEDGE};
    ESP_ERROR_CHECK(gpio_config(&contact));
    if (!installed)
        ESP_ERROR_CHECK(gpio_install_isr_service(0));
    installed = true;
    ESP_ERROR_CHECK(gpio_isr_handler_add(gpio, handler, NULL));
}

void sensors_begin(void)
{
    const adc_oneshot_unit_init_cfg_t config = {.unit_id = ADC_UNIT_1};
    ESP_ERROR_CHECK(adc_oneshot_new_unit(&config, &unit));
    begin_analog(&moisture);
    begin_analog(&battery);
    begin_analog(&thermistor);
#if CONFIG_LEVADA_GPIO_PROBE_POWER >= 0
    const gpio_config_t supply = {.pin_bit_mask = 1ULL << CONFIG_LEVADA_GPIO_PROBE_POWER,
                                  .mode = GPIO_MODE_OUTPUT};
    ESP_ERROR_CHECK(gpio_config(&supply));
#endif
    begin_contact(CONFIG_LEVADA_GPIO_FLOW, count_pulse);
    begin_contact(CONFIG_LEVADA_GPIO_RAIN, count_tip);
}

/* Mean of some conversions [counts], or an error code. */
static int32_t read_counts(const analog *a)
{
    int32_t sum = 0;
    if (!a->fitted)
        return LV_RESULT_UNAVAILABLE;
    for (int k = 0; k < SAMPLES; k++) {
        int raw;
        if (adc_oneshot_read(unit, a->channel, &raw) != ESP_OK)
            return LV_RESULT_UNAVAILABLE;
        sum += raw;
    }
    return (sum + SAMPLES / 2) / SAMPLES;
}

/* [mV], or an error code. */
static int32_t read_mv(const analog *a)
{
    int32_t counts = read_counts(a);
    int mv;
    if (counts < 0)
        return counts;
    if (!a->calibration)
        return counts * NOMINAL_MV / MOST_COUNTS;
    return adc_cali_raw_to_voltage(a->calibration, (int)counts, &mv) == ESP_OK
               ? mv
               : LV_RESULT_UNAVAILABLE;
}

#if CONFIG_LEVADA_GPIO_THERMISTOR >= 0
/* Soil temperature [0.01 degC] by the B equation, 1/T = 1/298.15 + ln(R/R25)/B. */
static int32_t read_temperature(void)
{
    int32_t mv = read_mv(&thermistor);
    if (mv < 0)
        return mv;
    if (mv < 20 || mv > CONFIG_LEVADA_SUPPLY_MV - 20) /* shorted, or broken */
        return LV_RESULT_UNAVAILABLE;
    float ratio = (float)mv / (float)(CONFIG_LEVADA_SUPPLY_MV - mv); /* both resistors are R25 */
    float kelvin = 1.0f / (1.0f / 298.15f + logf(ratio) / (float)CONFIG_LEVADA_THERMISTOR_BETA);
    return (int32_t)lroundf((kelvin - 273.15f) * 100.0f);
}
#endif

void sensors_read(int32_t readings[4])
{
#if CONFIG_LEVADA_GPIO_PROBE_POWER >= 0
    gpio_set_level(CONFIG_LEVADA_GPIO_PROBE_POWER, 1);
    vTaskDelay(pdMS_TO_TICKS(CONFIG_LEVADA_PROBE_WARM_UP_MS));
#endif
    readings[LV_SENSOR_MOISTURE] = read_counts(&moisture);
#if CONFIG_LEVADA_GPIO_PROBE_POWER >= 0
    gpio_set_level(CONFIG_LEVADA_GPIO_PROBE_POWER, 0);
#endif
#if CONFIG_LEVADA_GPIO_THERMISTOR >= 0
    readings[LV_SENSOR_TEMPERATURE] = read_temperature();
#else
    readings[LV_SENSOR_TEMPERATURE] = LV_RESULT_UNAVAILABLE;
#endif
    readings[LV_SENSOR_BATTERY] = read_mv(&battery);
#if CONFIG_LEVADA_GPIO_BATTERY >= 0
    if (readings[LV_SENSOR_BATTERY] >= 0)
        readings[LV_SENSOR_BATTERY] =
            (int32_t)((int64_t)readings[LV_SENSOR_BATTERY] * CONFIG_LEVADA_BATTERY_DIVIDER / 1000);
#endif
#if CONFIG_LEVADA_GPIO_FLOW >= 0
    readings[LV_SENSOR_FLOW] = atomic_exchange(&pulses, 0);
#else
    readings[LV_SENSOR_FLOW] = LV_RESULT_UNAVAILABLE;
#endif
}

int32_t sensors_rain(void)
{
    return CONFIG_LEVADA_GPIO_RAIN < 0 ? LV_RESULT_UNAVAILABLE : atomic_exchange(&tips, 0);
}
