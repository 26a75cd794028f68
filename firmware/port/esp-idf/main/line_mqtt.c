/*
 * Bytes of the line as payloads of ic/<node>/link/host and ic/<node>/link/device (docs/mqtt.md).
 *
 * What a broker loses or repeats, and what has no room here, is the core's to repair: it answers a
 * repeated request from memory.  While there is no connection nothing comes, so the lease runs out.
 */
#include <stdatomic.h>

#include "../../../core/frame.h"
#include "broker.h"
#include "esp_check.h"
#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/stream_buffer.h"
#include "freertos/task.h"
#include "line.h"
#include "settings.h"
#include "wifi.h"

enum {
    BUFFER = 4096,
    RECONNECT_MS = 1000, /* a host waits some 10 s for a device that starts again */
    DRAIN_MS = 100,
    AT_MOST_ONCE = 0,
};

static const char tag[] = "line";
static const char from_host[] = "/link/host";
static char to_host[BROKER_TOPIC_BYTES];
static esp_mqtt_client_handle_t client; /* NULL: no network or no broker is known */
static atomic_bool connected;
/* Without a lock, so with one writer, the client's task, and one reader, the node's thread. */
static StreamBufferHandle_t received;

static void receive(const esp_mqtt_event_t *event)
{
    static bool wanted; /* of the payload whose pieces come: the first alone names the topic */
    static uint32_t dropped;
    size_t length = (size_t)event->data_len;
    if (event->current_data_offset == 0)
        wanted = !event->retain && broker_is_topic(event, from_host);
    if (!wanted || length == 0)
        return;
    if (xStreamBufferSpacesAvailable(received) < length) {
        wanted = false; /* what follows a hole is damage */
        dropped++;
        if ((dropped & (dropped - 1)) == 0) /* 1, 2, 4, 8: a flood is not answered by another */
            ESP_LOGW(tag, "no room for %d bytes: %lu payloads dropped so far",
                     event->total_data_len, (unsigned long)dropped);
        return;
    }
    (void)xStreamBufferSend(received, event->data, length, 0);
}

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data)
{
    const esp_mqtt_event_t *event = data;
    (void)context;
    (void)base;
    switch ((esp_mqtt_event_id_t)id) {
    case MQTT_EVENT_CONNECTED:
        broker_subscribe(event->client, from_host, AT_MOST_ONCE);
        connected = true;
        break;
    case MQTT_EVENT_DISCONNECTED: connected = false; break;
    case MQTT_EVENT_DATA: receive(event); break;
    default: broker_complain(event); break;
    }
}

void line_begin(void)
{
    esp_mqtt_client_config_t config = {
        .session.keepalive = 10,
        .network.reconnect_timeout_ms = RECONNECT_MS,
        .buffer.size = LV_FRAME_ENCODED + BROKER_TOPIC_BYTES, /* a frame is a payload is a packet */
    };
    received = xStreamBufferCreate(BUFFER, 1);
    if (!received)
        ESP_ERROR_CHECK(ESP_ERR_NO_MEM);
    wifi_begin();
    if (wifi_provision(true)) {
        (void)wifi_up(0); /* the client tries again until there is a network */
        wifi_stay_awake();
        client = broker_open(settings_load(), &config, on_event);
    }
    if (!client)
        ESP_LOGE(tag, "no network or no broker: no host can reach it until it is restarted");
    broker_topic(to_host, "/link/device");
}

size_t line_read(uint8_t *bytes, size_t size, uint32_t wait_ms)
{
    return xStreamBufferReceive(received, bytes, size, pdMS_TO_TICKS(wait_ms));
}

int line_write(const uint8_t *bytes, size_t length)
{
    if (!connected) /* asking the client would wait for its attempt to connect */
        return -1;
    return esp_mqtt_client_publish(client, to_host, (const char *)bytes, (int)length, AT_MOST_ONCE,
                                   false) < 0
               ? -1
               : 0;
}

void line_drain(void) { vTaskDelay(pdMS_TO_TICKS(DRAIN_MS)); } /* nobody says when it has left */
