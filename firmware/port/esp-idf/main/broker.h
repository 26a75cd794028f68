/*
 * The MQTT client as the settings have it: address, credentials, TLS.
 *
 * The client has a task of its own, in which it calls `on_event`.
 */
#ifndef LEVADA_BROKER_H
#define LEVADA_BROKER_H

#include "mqtt_client.h"
#include "settings.h"

enum { BROKER_TOPIC_BYTES = 160 }; /* ic/, a name of 31 bytes, and what a guest may say */

/* Begin to connect.  The caller's part of `config` is session, buffers and when to connect again; a
 * last will goes to ic/<node>/status.  NULL if no broker is set, this one is not allowed, or memory
 * is short: the log says which. */
esp_mqtt_client_handle_t broker_open(const settings *s, esp_mqtt_client_config_t *config,
                                     esp_event_handler_t on_event);
/* ic/<node> and `last`, once it was opened. */
void broker_topic(char topic[BROKER_TOPIC_BYTES], const char *last);
/* Whether the event's topic is that one. */
bool broker_is_topic(const esp_mqtt_event_t *event, const char *last);
/* Whether it begins so, and the rest of it, closed by NUL, has room in `size` bytes at `rest`. */
bool broker_topic_after(const esp_mqtt_event_t *event, const char *begin, char *rest, size_t size);
/* Say what went wrong, if that is what the event is about. */
void broker_complain(const esp_mqtt_event_t *event);
/* To be called at each connection. */
void broker_subscribe(esp_mqtt_client_handle_t client, const char *last, int qos);

#endif
