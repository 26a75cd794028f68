#include "mqtt.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker.h"
#include "cJSON.h"
#include "calibration.h"
#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "metadata.h"
#include "sdkconfig.h"
#include "watchdog.h"

enum {
    LONGEST_REQUEST = 2048,
    WINDOW = 8, /* records on their way at once: each may be acknowledged, */
    WAITING_REQUESTS = WINDOW + 4, /* so that these leave room for what else is asked */
    HEAD_BYTES = 96,
    RESEND_MS = 30000,
    AT_LEAST_ONCE = 1,
};

enum kind { CONFIG, ACKNOWLEDGEMENT, ASK, KINDS };
static const char *const topics[KINDS] = {"/config", "/ack", "/ask"};

typedef struct {
    enum kind kind;
    size_t length;
    char text[];
} request;

static const char tag[] = "mqtt";
static esp_mqtt_client_handle_t client;
static QueueHandle_t requests;
static atomic_bool connected;
static atomic_bool fresh; /* connected anew, and the birth not sent yet */
static atomic_int confirmed_id; /* last message that the broker has confirmed */
static uint32_t sent; /* highest sequence number sent on this connection */
static int sent_id; /* the last message of ours */
static uint32_t sent_ms;
static uint32_t beat_ms; /* 0: no heartbeat */
static uint32_t heard_ms;
static const char birth_state[] = "birth";
static const char death[] = "{\"state\":\"death\"}";

static void receive(const esp_mqtt_event_t *event)
{
    request *r;
    if (event->data_len != event->total_data_len || event->data_len > LONGEST_REQUEST) {
        if (event->current_data_offset == 0)
            ESP_LOGW(tag, "a message of %d bytes is too long: ignored", event->total_data_len);
        return;
    }
    enum kind kind = 0;
    while (kind < KINDS && !broker_is_topic(event, topics[kind]))
        kind++;
    if (kind == KINDS)
        return; /* not asked for */
    r = malloc(sizeof *r + (size_t)event->data_len);
    if (!r)
        return;
    r->kind = kind;
    r->length = (size_t)event->data_len;
    memcpy(r->text, event->data, r->length);
    if (xQueueSend(requests, &r, 0) != pdTRUE) {
        ESP_LOGW(tag, "too many messages at once: one ignored");
        free(r);
    }
}

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data)
{
    const esp_mqtt_event_t *event = data;
    (void)context;
    (void)base;
    switch ((esp_mqtt_event_id_t)id) {
    case MQTT_EVENT_CONNECTED:
        for (int k = 0; k < KINDS; k++)
            broker_subscribe(event->client, topics[k], AT_LEAST_ONCE);
        fresh = true;
        connected = true;
        break;
    case MQTT_EVENT_DISCONNECTED: connected = false; break;
    case MQTT_EVENT_DATA: receive(event); break;
    case MQTT_EVENT_PUBLISHED: confirmed_id = event->msg_id; break;
    default: broker_complain(event); break;
    }
}

bool mqtt_begin(const settings *s, uint32_t every_ms)
{
    esp_mqtt_client_config_t config = {
        .session.last_will = {.msg = death, .msg_len = sizeof death - 1, .qos = AT_LEAST_ONCE},
        .session.disable_clean_session = true, /* what comes while it sleeps waits at the broker */
        .session.keepalive = 60,
        .buffer.size = LONGEST_REQUEST + BROKER_TOPIC_BYTES,
    };
    beat_ms = every_ms;
    sent_id = confirmed_id = 0; /* another client counts anew */
    if (!requests)
        requests = xQueueCreate(WAITING_REQUESTS, sizeof(request *));
    client = requests ? broker_open(s, &config, on_event) : NULL;
    if (!client)
        ESP_LOGW(tag, "telemetry waits");
    return client;
}

bool mqtt_connected(void) { return connected; }

/* Number of the message, or negative. */
static int publish(const char *topic, const char *text, size_t length)
{
    int id = esp_mqtt_client_publish(client, topic, text, (int)length, AT_LEAST_ONCE, false);
    if (id > 0)
        sent_id = id;
    return id;
}

static void publish_own(const char *last, const char *text)
{
    char topic[BROKER_TOPIC_BYTES];
    broker_topic(topic, last);
    if (publish(topic, text, strlen(text)) < 0)
        ESP_LOGW(tag, "%s was not sent", topic);
}

static void add_text(cJSON *to, const char *name, const cJSON *from, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, key);
    if (cJSON_IsString(item))
        cJSON_AddStringToObject(to, name, item->valuestring);
}

/* What calibration has set: who follows this node needs it to foretell what the guest does. */
static void add_calibration(cJSON *to, const cJSON *metadata, lv_node *node)
{
    cJSON *counts = cJSON_AddArrayToObject(to, "counts");
    for (int k = 0; k < 3; k++)
        cJSON_AddItemToArray(counts, cJSON_CreateNumber(node->host.counts[k]));
    cJSON_AddItemToObject(to, "parameters", metadata_values(metadata, node));
}

static void publish_status(lv_node *node, const char *state)
{
    static const char digits[] = "0123456789abcdef";
    char sha256[65] = "";
    lv_msg_birth birth;
    cJSON *status = cJSON_CreateObject();
    cJSON *metadata = metadata_read(node);
    lv_node_birth(node, &birth);
    cJSON_AddStringToObject(status, "state", state);
    cJSON_AddNumberToObject(status, "boot", birth.boot_id);
    if (beat_ms)
        cJSON_AddNumberToObject(status, "every_ms", beat_ms);
    if (birth.flags & LV_BIRTH_INSTALLED) {
        for (int k = 0; k < 32; k++) {
            sha256[2 * k] = digits[birth.guest_sha256[k] >> 4];
            sha256[2 * k + 1] = digits[birth.guest_sha256[k] & 15];
        }
        cJSON_AddStringToObject(status, "guest_sha256", sha256);
    }
    add_text(status, "guest_name", metadata, "name");
    add_text(status, "guest_version", metadata, "version");
    cJSON_AddNumberToObject(status, "abi_version", birth.abi_version);
    cJSON_AddNumberToObject(status, "reset_reason", birth.reset_reason);
    cJSON_AddStringToObject(status, "engine", birth.engine);
    cJSON_AddStringToObject(status, "firmware", birth.firmware);
    if (strcmp(state, birth_state) == 0)
        add_calibration(status, metadata, node);
    char *text = cJSON_PrintUnformatted(status);
    if (text)
        publish_own("/status", text);
    heard_ms = board_now_ms();
    cJSON_free(text);
    cJSON_Delete(metadata);
    cJSON_Delete(status);
}

/* The topic that a guest's topic stands for (guest/topic.py): a bare level, the node's own, or that
 * of the name which old guests have built in. */
static void resolve(const lv_host *host, const char *topic, size_t length, char *out, size_t size)
{
    size_t own = strlen(host->prefix);
    size_t alias = strlen(host->alias);
    size_t skip = 0;
    if (length > own && memcmp(topic, host->prefix, own) == 0)
        skip = own;
    else if (length > alias && memcmp(topic, host->alias, alias) == 0)
        skip = alias;
    snprintf(out, size, "%s%.*s", host->prefix, (int)(length - skip), topic + skip);
}

/* A record of the ring: the guest's JSON object with its identity before its members; any other
 * text as it is. */
static int publish_record(const lv_node *node, uint32_t sequence, int64_t time_ms,
                          const uint8_t *payload, uint8_t topic_length, uint16_t length)
{
    char topic[BROKER_TOPIC_BYTES];
    char text[HEAD_BYTES + 512 + 1];
    const char *message = (const char *)payload + topic_length;
    size_t size = length - topic_length;
    resolve(&node->host, (const char *)payload, topic_length, topic, sizeof topic);
    if (size < 2 || message[0] != '{')
        return publish(topic, message, size);
    int n = snprintf(text, sizeof text,
                     "{\"boot\":%" PRIu32 ",\"seq\":%" PRIu32 ",\"oldest\":%" PRIu32
                     ",\"t\":%" PRId64 "%s%.*s",
                     node->store.boot_id, sequence, node->ring.next - node->ring.waiting, time_ms,
                     message[1] == '}' ? "" : ",", (int)(size - 1), message + 1);
    return publish(topic, text, (size_t)n);
}

/* What is no telemetry is stored by nobody, so nobody will acknowledge it: once sent it is done
 * with, or it would hold up all that comes after it. */
static void forget_foreign(lv_node *node)
{
    uint8_t payload[LV_RING_PAYLOAD];
    char telemetry[BROKER_TOPIC_BYTES];
    broker_topic(telemetry, "/data");
    for (;;) {
        char topic[BROKER_TOPIC_BYTES];
        int64_t time_ms;
        uint8_t topic_length;
        uint16_t length;
        uint32_t sequence = lv_ring_peek(&node->ring, 0, &time_ms, &topic_length, &length, payload);
        if (sequence == 0 || sequence > sent)
            return;
        resolve(&node->host, (const char *)payload, topic_length, topic, sizeof topic);
        if (length > topic_length && payload[topic_length] == '{' &&
            strcmp(topic, telemetry) == 0)
            return;
        lv_ring_acknowledge(&node->ring, sequence);
    }
}

static void publish_waiting(lv_node *node)
{
    uint8_t payload[LV_RING_PAYLOAD];
    if (board_now_ms() - sent_ms > RESEND_MS)
        sent = 0; /* whoever is to acknowledge may have missed it */
    for (uint16_t k = 0; connected && k < node->ring.waiting && k < WINDOW; k++) {
        int64_t time_ms;
        uint8_t topic_length;
        uint16_t length;
        uint32_t sequence = lv_ring_peek(&node->ring, k, &time_ms, &topic_length, &length, payload);
        if (sequence <= sent)
            continue;
        watchdog_feed(); /* each may block as long as the network's timeout */
        if (publish_record(node, sequence, time_ms, payload, topic_length, length) < 0)
            return;
        sent = sequence;
        sent_ms = board_now_ms();
    }
    forget_foreign(node);
#if !CONFIG_LEVADA_MQTT_ACKNOWLEDGED
    if (confirmed_id == sent_id) /* and all before it: a broker confirms in the order of arrival */
        lv_ring_acknowledge(&node->ring, sent);
#endif
}

static void answer(lv_node *node, const request *r)
{
    char *text;
    switch (r->kind) {
    case CONFIG:
        text = calibration_take(node, r->text, r->length);
        if (text)
            publish_own("/config/ack", text);
        free(text);
        break;
    case ACKNOWLEDGEMENT: calibration_acknowledge(node, r->text, r->length); break;
    default: publish_status(node, birth_state); break; /* there is nothing else to ask */
    }
}

void mqtt_serve(lv_node *node, uint32_t wait_ms)
{
    request *r;
    if (!client) {
        vTaskDelay(pdMS_TO_TICKS(wait_ms));
        return;
    }
    if (connected && fresh) {
        fresh = false;
        sent = 0;
        publish_status(node, birth_state);
    }
    if (connected && beat_ms && board_now_ms() - heard_ms >= beat_ms)
        publish_status(node, "alive");
    publish_waiting(node);
    while (xQueueReceive(requests, &r, pdMS_TO_TICKS(wait_ms)) == pdTRUE) {
        answer(node, r);
        free(r);
        wait_ms = 0;
    }
}

void mqtt_end(void)
{
    request *r;
    if (client) {
        if (connected)
            (void)esp_mqtt_client_disconnect(client);
        (void)esp_mqtt_client_stop(client);
        (void)esp_mqtt_client_destroy(client);
    }
    client = NULL;
    connected = false;
    fresh = false;
    while (requests && xQueueReceive(requests, &r, 0) == pdTRUE)
        free(r);
}
