#include "broker.h"

#include <stdio.h>
#include <string.h>

#include "esp_crt_bundle.h"
#include "esp_log.h"
#include "sdkconfig.h"

/* Whoever publishes may wait for the client while that waits for the network, and then for the
 * network itself: both together take less than the watchdog's time. */
enum { NETWORK_MS = CONFIG_LEVADA_WATCHDOG_S * 1000 / 3 };

static const char tag[] = "broker";
static char node_topic[40]; /* ic/<node> */

void broker_topic(char topic[BROKER_TOPIC_BYTES], const char *last)
{
    snprintf(topic, BROKER_TOPIC_BYTES, "%s%s", node_topic, last);
}

bool broker_is_topic(const esp_mqtt_event_t *event, const char *last)
{
    size_t own = strlen(node_topic);
    size_t size = strlen(last);
    return (size_t)event->topic_len == own + size && memcmp(event->topic, node_topic, own) == 0 &&
           memcmp(event->topic + own, last, size) == 0;
}

bool broker_topic_after(const esp_mqtt_event_t *event, const char *begin, char *rest, size_t size)
{
    char topic[BROKER_TOPIC_BYTES];
    broker_topic(topic, begin);
    size_t known = strlen(topic);
    size_t length = (size_t)event->topic_len;
    if (length < known || length - known >= size || memcmp(event->topic, topic, known) != 0)
        return false;
    memcpy(rest, event->topic + known, length - known);
    rest[length - known] = 0;
    return true;
}

void broker_subscribe(esp_mqtt_client_handle_t client, const char *last, int qos)
{
    char topic[BROKER_TOPIC_BYTES];
    broker_topic(topic, last);
    if (esp_mqtt_client_subscribe_single(client, topic, qos) < 0)
        ESP_LOGW(tag, "no subscription to %s", topic);
}

void broker_complain(const esp_mqtt_event_t *event)
{
    if (event->event_id == MQTT_EVENT_ERROR)
        ESP_LOGW(tag, "error %d", (int)event->error_handle->error_type);
    if (event->event_id == MQTT_EVENT_SUBSCRIBED &&
        event->error_handle->error_type == MQTT_ERROR_TYPE_SUBSCRIBE_FAILED)
        ESP_LOGE(tag, "the broker does not let this user read %s/...: nothing will come",
                 node_topic);
}

/* False if the broker is not to be trusted. */
static bool choose_tls(const settings *s, esp_mqtt_client_config_t *config)
{
    bool tls = strncmp(s->uri, "mqtts://", 8) == 0;
#if CONFIG_LEVADA_TLS_ONLY
    if (!tls) {
        ESP_LOGE(tag, "the broker has no TLS, which this build does not allow");
        return false;
    }
#endif
    if (tls && s->ca[0])
        config->broker.verification.certificate = s->ca;
#if CONFIG_LEVADA_TLS_BUNDLE
    else if (tls)
        config->broker.verification.crt_bundle_attach = esp_crt_bundle_attach;
#else
    else if (tls) {
        ESP_LOGE(tag, "the broker has TLS, and provisioning has set no certificate");
        return false;
    }
#endif
    return true;
}

/* Who we are to a broker that asks for a certificate; false for half of an identity. */
static bool choose_identity(const settings *s, esp_mqtt_client_config_t *config)
{
    if (!s->cert[0] && !s->key[0])
        return true;
    if (!s->cert[0] || !s->key[0]) {
        ESP_LOGE(tag, "a certificate without its key, or a key alone: set cert and key");
        return false;
    }
    config->credentials.authentication.certificate = s->cert;
    config->credentials.authentication.key = s->key;
    return true;
}

esp_mqtt_client_handle_t broker_open(const settings *s, esp_mqtt_client_config_t *config,
                                     esp_event_handler_t on_event)
{
    char will[BROKER_TOPIC_BYTES];
    if (!s->uri[0]) {
        ESP_LOGW(tag, "no broker is set");
        return NULL;
    }
    if (!choose_tls(s, config) || !choose_identity(s, config))
        return NULL;
    snprintf(node_topic, sizeof node_topic, "ic/%s", s->node);
    broker_topic(will, "/status");
    if (config->session.last_will.msg)
        config->session.last_will.topic = will;
    config->broker.address.uri = s->uri;
    config->credentials.client_id = s->node;
    config->credentials.username = s->user[0] ? s->user : NULL;
    config->credentials.authentication.password = s->password[0] ? s->password : NULL;
    config->network.timeout_ms = NETWORK_MS;
    esp_mqtt_client_handle_t client = esp_mqtt_client_init(config);
    if (client &&
        esp_mqtt_client_register_event(client, ESP_EVENT_ANY_ID, on_event, NULL) == ESP_OK &&
        esp_mqtt_client_start(client) == ESP_OK)
        return client;
    ESP_LOGE(tag, "the client does not start");
    if (client)
        (void)esp_mqtt_client_destroy(client);
    return NULL;
}
