/*
 * The ESP32's telemetry and calibration (mqtt.c and what it needs) on a board made of memory, with a
 * client and a queue made of paper; what the client is given is read by a test in Python.
 */
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "fake.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "mbedtls/base64.h"
#include "mqtt.h"
#include "mqtt_client.h"
#include "settings.h"
#include "signer.h"
#include "watchdog.h"

enum { MOST = 16 };

struct paper_client { int id; };
static struct paper_client the_client;
static void *queued[MOST];
static size_t queue_used;
static size_t queue_size;
static esp_event_handler_t handler;
static settings known = {.node = "field7", .uri = "mqtt://broker"};
static fake f;
static uint32_t now_ms;
char paper_published[1 << 16];
bool paper_refuses;
int paper_reconnect_ms;

uint32_t board_now_ms(void) { return now_ms; }
void watchdog_feed(void) {}
void vTaskDelay(unsigned ticks) { (void)ticks; }
uint32_t esp_random(void);
uint32_t esp_random(void) { return 4321; }
int esp_crt_bundle_attach(void *configuration) { return configuration != NULL; }
const settings *settings_load(void) { return &known; }
bool settings_keep_counts(const int32_t counts[3]) { return counts != NULL; }

QueueHandle_t xQueueCreate(size_t length, size_t size)
{
    queue_size = length;
    return size == sizeof(void *) && length <= MOST ? queued : NULL;
}

int xQueueSend(QueueHandle_t queue, const void *item, unsigned ticks)
{
    (void)ticks;
    if (queue_used == queue_size)
        return 0;
    memcpy(&queued[queue_used++], item, sizeof(void *));
    return queue != NULL;
}

int xQueueReceive(QueueHandle_t queue, void *item, unsigned ticks)
{
    (void)ticks;
    if (!queue || queue_used == 0)
        return 0;
    memcpy(item, queued, sizeof(void *));
    memmove(queued, queued + 1, --queue_used * sizeof *queued);
    return 1;
}

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config)
{
    the_client.id = 0;
    paper_reconnect_ms = config->network.reconnect_timeout_ms;
    return &the_client;
}

int esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, int32_t event,
                                   esp_event_handler_t on_event, void *context)
{
    (void)context;
    handler = on_event;
    return !client || event != -1;
}

int esp_mqtt_client_start(esp_mqtt_client_handle_t client) { return client == NULL; }
int esp_mqtt_client_disconnect(esp_mqtt_client_handle_t client) { return client == NULL; }
int esp_mqtt_client_stop(esp_mqtt_client_handle_t client) { return client == NULL; }
int esp_mqtt_client_destroy(esp_mqtt_client_handle_t client) { return client == NULL; }

int esp_mqtt_client_subscribe_single(esp_mqtt_client_handle_t client, const char *topic, int qos)
{
    return client && topic[0] && qos == 1 ? 1 : -1;
}

int esp_mqtt_client_publish(esp_mqtt_client_handle_t client, const char *topic, const char *data,
                            int length, int qos, int retain)
{
    size_t used = strlen(paper_published);
    if (paper_refuses || qos != 1 || retain)
        return -1;
    snprintf(paper_published + used, sizeof paper_published - used, "%s %.*s\n", topic, length,
             data);
    return ++client->id;
}

void paper_event(int id, char *topic, char *data, int length, int message);
void paper_boot(void);
void paper_put(const char *topic, const char *message);
bool paper_begin(void);
void paper_serve(uint32_t at_ms);
int paper_waiting(void);
bool paper_step(uint32_t at_ms, int trap);
uint32_t paper_in_use(void);
uint32_t paper_carried(void);
lv_status paper_keep(int32_t id, int32_t value);
void paper_install(const uint8_t *module, uint32_t size);
void paper_restart(const void *flash);
const void *paper_flash(void);
void paper_trust(void);
uint16_t paper_seal(const uint8_t *module, uint32_t size, uint32_t counter, uint8_t key, uint8_t *out);

void paper_event(int id, char *topic, char *data, int length, int message)
{
    esp_mqtt_error_codes_t error = {0};
    esp_mqtt_event_t event = {
        .event_id = (esp_mqtt_event_id_t)id,
        .error_handle = &error,
        .client = &the_client,
        .topic = topic,
        .topic_len = topic ? (int)strlen(topic) : 0,
        .data = data,
        .data_len = length,
        .total_data_len = length,
        .msg_id = message,
    };
    handler(NULL, "", id, &event);
}

void paper_boot(void)
{
    static const uint8_t module[16];
    const lv_msg_start start = {.time_ms = 1000};
    lv_msg_configure m = {.node = "field7", .prefix = "ic/", .counts = {2500, 1000, 2000}, .instructions = 1, .memory_pages = 1};
    fake_new(&f);
    fake_boot(&f);
    (void)fake_install(&f, module, sizeof module);
    (void)lv_node_configure(&f.node, &m);
    (void)lv_node_start(&f.node, &start);
}

void paper_put(const char *topic, const char *message)
{
    lv_ring_put(&f.node.ring, 5, (const uint8_t *)topic, (uint32_t)strlen(topic),
                (const uint8_t *)message, (uint32_t)strlen(message));
}

bool paper_begin(void) { return mqtt_begin(&known, 1000); }

void paper_serve(uint32_t at_ms)
{
    now_ms = at_ms;
    mqtt_serve(&f.node, 0);
}

int paper_waiting(void) { return f.node.ring.waiting; }

/* --- modules ---------------------------------------------------------------------------------- */

static int trap_at; /* a step of the module in question, from 1 */
static int steps;

static int guest(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    *result = 1000;
    if (which == LV_EXPORT_INIT)
        steps = 0;
    return which == LV_EXPORT_STEP && of->node.store.update.stage == LV_STAGE_RUNNING && ++steps == trap_at
               ? LV_TRAP_UNREACHABLE
               : 0;
}

/* The guest runs once, as field.c has it; whether on trial. */
bool paper_step(uint32_t at_ms, int trap)
{
    const lv_msg_start start = {.time_ms = at_ms, .flags = LV_START_STORED_PARAMETERS};
    const lv_msg_step step = {.time_ms = at_ms};
    f.behave = guest;
    trap_at = trap;
    if (lv_node_wants_start(&f.node))
        (void)lv_node_start(&f.node, &start);
    (void)lv_node_step(&f.node, &step);
    return f.node.store.update.stage == LV_STAGE_RUNNING;
}

/* The first bytes of the digest of the module in use. */
uint32_t paper_in_use(void) { return lv_get32(f.node.store.sha256[f.node.store.active]); }

/* Bit k: the parameter that flash has at place k holds for the module that waits as well. */
uint32_t paper_carried(void) { return f.node.store.update.carried; }

lv_status paper_keep(int32_t id, int32_t value)
{
    uint8_t pair[8];
    lv_put32(pair, (uint32_t)id);
    lv_put32(pair + 4, (uint32_t)value);
    const lv_msg_calibrate m = {.flags = 1, .parameters = pair, .parameters_count = 1};
    return lv_node_calibrate(&f.node, &m);
}

void paper_install(const uint8_t *module, uint32_t size)
{
    const lv_msg_start start = {.time_ms = 1000};
    (void)fake_install(&f, module, size);
    (void)lv_node_start(&f.node, &start);
}

/* Another board with the flash of one that has lost its power. */
void paper_restart(const void *flash)
{
    memcpy(f.records, flash, sizeof f.records + sizeof f.slots);
    fake_boot(&f);
}
const void *paper_flash(void) { return f.records; }

/* From the next start on it takes signed modules only; the length of an envelope at `out`. */
void paper_trust(void)
{
    signer_trust(&f);
    fake_boot(&f);
}
uint16_t paper_seal(const uint8_t *module, uint32_t size, uint32_t counter, uint8_t key, uint8_t *out)
{
    const signer_job job = {.module = module, .size = size, .counter = counter, .key = key};
    return signer_seal(&job, out);
}

/* What IDF has of Mbed TLS, by RFC 4648. */
int mbedtls_base64_decode(unsigned char *out, size_t size, size_t *used, const unsigned char *text,
                          size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int held = 0;
    *used = 0;
    for (size_t k = 0; k < length && text[k] != '='; k++) {
        const char *digit = strchr(digits, text[k]);
        if (!text[k] || !digit)
            return -1;
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (*used == size)
                return -1;
            out[(*used)++] = (uint8_t)(bits >> held);
        }
    }
    return 0;
}
