#include "mqtt.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../core/json.h"
#include "../../../core/outbox.h"
#include "broker.h"
#include "calibration.h"
#include "esp_log.h"
#include "esp_random.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "metadata.h"
#include "modules.h"
#include "sdkconfig.h"
#include "watchdog.h"

enum {
    LONGEST_REQUEST = 2048,
    /* each record on its way may be acknowledged; that leaves room for what else is asked */
    WAITING_REQUESTS = LV_OUTBOX_WINDOW + 4,
    HEAD_BYTES = 128,
    RECONNECT_MS = 5000, /* at least */
    AT_LEAST_ONCE = 1,
    PLACE_BYTES = 64, /* id and offset of a part */
};

enum kind { CONFIG, ACKNOWLEDGEMENT, ASK, MODULE, PART, KINDS };
static const char *const topics[KINDS] = {"/config", "/ack", "/ask", "/ota/request",
                                          "/ota/chunk/+/+"};
static const char part_topic[] = "/ota/chunk/";

typedef struct {
    enum kind kind;
    char place[PLACE_BYTES]; /* of a PART: the rest of its topic */
    size_t length;
    char text[];
} request;

static const char tag[] = "mqtt";
static esp_mqtt_client_handle_t client;
static QueueHandle_t requests;
static atomic_bool connected;
static atomic_bool fresh; /* connected anew, and the birth not sent yet */
static atomic_int confirmed_id; /* last message that the broker has confirmed */
static lv_outbox outbox; /* of telemetry */
static int sent_id;      /* the last message of ours */
static uint32_t beat_ms; /* 0: no heartbeat */
static uint32_t heard_ms;
static const char birth_state[] = "birth";
static const char death[] = "{\"state\":\"death\"}";

/* What came; KINDS: nothing that was asked for. */
static enum kind kind_of(const esp_mqtt_event_t *event, char place[PLACE_BYTES])
{
    place[0] = 0;
    for (enum kind k = 0; k < PART; k++)
        if (broker_is_topic(event, topics[k]))
            return k;
    return broker_topic_after(event, part_topic, place, PLACE_BYTES) ? PART : KINDS;
}

static void receive(const esp_mqtt_event_t *event)
{
    request *r;
    char place[PLACE_BYTES];
    if (event->data_len != event->total_data_len || event->data_len > LONGEST_REQUEST) {
        if (event->current_data_offset == 0)
            ESP_LOGW(tag, "a message of %d bytes is too long: ignored", event->total_data_len);
        return;
    }
    enum kind kind = kind_of(event, place);
    if (kind == KINDS)
        return;
    r = malloc(sizeof *r + (size_t)event->data_len);
    if (!r)
        return;
    r->kind = kind;
    memcpy(r->place, place, sizeof place);
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

bool mqtt_begin(const settings *s, uint32_t every_ms)
{
    esp_mqtt_client_config_t config = {
        .session.last_will = {.msg = death, .msg_len = sizeof death - 1, .qos = AT_LEAST_ONCE},
        .session.disable_clean_session = true, /* what comes while it sleeps waits at the broker */
        .session.keepalive = 60,
        .buffer.size = LONGEST_REQUEST + BROKER_TOPIC_BYTES,
        /* not all boards at once, when a broker comes back */
        .network.reconnect_timeout_ms = RECONNECT_MS + (int)(esp_random() % RECONNECT_MS),
    };
    beat_ms = every_ms;
    sent_id = confirmed_id = 0; /* another client counts anew, */
    modules_begin(publish_own);
    lv_outbox_begin(&outbox);   /* and what the one before it was given is gone with it */
    if (!requests)
        requests = xQueueCreate(WAITING_REQUESTS, sizeof(request *));
    client = requests ? broker_open(s, &config, on_event) : NULL;
    if (!client)
        ESP_LOGW(tag, "telemetry waits");
    return client;
}

static char room[CALIBRATION_ANSWER_BYTES]; /* for what is said next */

static void put_name(lv_json_writer *w, const char *name, lv_json metadata, const char *key)
{
    char value[METADATA_NAME_BYTES];
    if (lv_json_copy(lv_json_member(metadata, key), value, sizeof value))
        lv_json_put_text(w, name, value);
}

/* What calibration has set: who follows this node needs it to foretell what the guest does. */
static void put_calibration(lv_json_writer *w, lv_json metadata, lv_node *node)
{
    lv_json_open(w, "counts", '[');
    for (int k = 0; k < 3; k++)
        lv_json_put_integer(w, NULL, node->host.counts[k]);
    lv_json_close(w, ']');
    metadata_put_values(w, "parameters", metadata, node);
}

static void publish_status(lv_node *node, const char *state)
{
    lv_msg_birth birth;
    lv_json_writer w;
    lv_json metadata = metadata_read(node);
    lv_node_birth(node, &birth);
    lv_json_begin(&w, room, sizeof room);
    lv_json_put_text(&w, "state", state);
    lv_json_put_integer(&w, "boot", birth.boot_id);
    if (beat_ms)
        lv_json_put_integer(&w, "every_ms", beat_ms);
    if (birth.flags & LV_BIRTH_INSTALLED)
        metadata_put_bytes(&w, "guest_sha256", birth.guest_sha256, sizeof birth.guest_sha256);
    put_name(&w, "guest_name", metadata, "name");
    put_name(&w, "guest_version", metadata, "version");
    lv_json_put_integer(&w, "abi_version", birth.abi_version);
    lv_json_put_integer(&w, "reset_reason", birth.reset_reason);
    lv_json_put_text(&w, "engine", birth.engine);
    lv_json_put_text(&w, "firmware", birth.firmware);
    if (strcmp(state, birth_state) == 0)
        put_calibration(&w, metadata, node);
    if (lv_json_end(&w))
        publish_own("/status", room);
    else
        ESP_LOGE(tag, "the status has no room in %d bytes", (int)sizeof room);
    heard_ms = board_now_ms();
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

/* A record of the ring: the guest's JSON object with its identity before its members, and when it
 * leaves unless that is `again`; any other text as it is. */
static int publish_record(const lv_node *node, uint32_t sequence, bool again, int64_t time_ms,
                          const uint8_t *payload, uint8_t topic_length, uint16_t length)
{
    char up[24] = "";
    char topic[BROKER_TOPIC_BYTES];
    char text[HEAD_BYTES + 512 + 1];
    const char *message = (const char *)payload + topic_length;
    size_t size = length - topic_length;
    resolve(&node->host, (const char *)payload, topic_length, topic, sizeof topic);
    if (size < 2 || message[0] != '{')
        return publish(topic, message, size);
    if (!again)
        snprintf(up, sizeof up, ",\"up_ms\":%" PRIu32, board_now_ms());
    int n = snprintf(text, sizeof text,
                     "{\"boot\":%" PRIu32 ",\"seq\":%" PRIu32 ",\"oldest\":%" PRIu32
                     ",\"t\":%" PRId64 "%s%s%.*s",
                     node->store.boot_id, sequence, node->ring.next - node->ring.waiting, time_ms, up,
                     message[1] == '}' ? "" : ",", (int)(size - 1), message + 1);
    return publish(topic, text, (size_t)n);
}

/* Whether whoever stores telemetry will store, and acknowledge, this one. */
static bool is_telemetry(const lv_node *node, const uint8_t *payload, uint8_t topic_length,
                         uint16_t length)
{
    char topic[BROKER_TOPIC_BYTES];
    char telemetry[BROKER_TOPIC_BYTES];
    broker_topic(telemetry, "/data");
    resolve(&node->host, (const char *)payload, topic_length, topic, sizeof topic);
    return length > topic_length && payload[topic_length] == '{' && strcmp(topic, telemetry) == 0;
}

/* What is no telemetry nobody will acknowledge: it leaves once, and is then done with. */
static void forget_foreign(lv_node *node)
{
    uint8_t payload[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic_length;
    uint16_t length;
    uint32_t sequence;
    while ((sequence = lv_ring_peek(&node->ring, 0, &time_ms, &topic_length, &length, payload)) &&
           lv_outbox_has_sent(&outbox, sequence) &&
           !is_telemetry(node, payload, topic_length, length))
        lv_ring_acknowledge(&node->ring, sequence);
}

static void publish_waiting(lv_node *node)
{
    uint8_t payload[LV_RING_PAYLOAD];
    uint16_t index;
    while (connected && lv_outbox_due(&outbox, &node->ring, board_now_ms(), &index)) {
        int64_t time_ms;
        uint8_t topic_length;
        uint16_t length;
        uint32_t sequence =
            lv_ring_peek(&node->ring, index, &time_ms, &topic_length, &length, payload);
        watchdog_feed(); /* each may block as long as the network's timeout */
        bool again = lv_outbox_has_sent(&outbox, sequence);
        if ((!again || is_telemetry(node, payload, topic_length, length)) &&
            publish_record(node, sequence, again, time_ms, payload, topic_length, length) < 0)
            return;
        lv_outbox_sent(&outbox, board_now_ms());
    }
    forget_foreign(node);
#if !CONFIG_LEVADA_MQTT_ACKNOWLEDGED
    if (confirmed_id == sent_id) /* and all before it: a broker confirms in the order of arrival */
        lv_outbox_confirmed(&outbox, &node->ring);
#endif
}

static void answer(lv_node *node, const request *r)
{
    const char *said;
    switch (r->kind) {
    case CONFIG:
        said = calibration_take(node, r->text, r->length, room);
        if (said)
            publish_own("/config/ack", said);
        break;
    case ACKNOWLEDGEMENT:
        if (calibration_acknowledge(node, r->text, r->length))
            lv_outbox_heard(&outbox, board_now_ms());
        break;
    case MODULE: modules_request(node, r->text, r->length); break;
    case PART: modules_chunk(node, r->place, r->text, r->length); break;
    default: /* there is nothing to ask but the birth; who asks may have missed what was sent */
        publish_status(node, birth_state);
        lv_outbox_again(&outbox);
        break;
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
        lv_outbox_again(&outbox);
        publish_status(node, birth_state);
        modules_again(node);
    }
    if (connected && beat_ms && board_now_ms() - heard_ms >= beat_ms)
        publish_status(node, "alive");
    publish_waiting(node);
    if (connected)
        modules_serve(node);
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
