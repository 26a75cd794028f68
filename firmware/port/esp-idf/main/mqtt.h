/*
 * Telemetry out, calibration in.  Topics and payloads are those of twin/mqtt/messages.py.
 *
 * The client has a task of its own; what it receives waits in a queue for the node's thread, which
 * alone touches the node.
 */
#ifndef LEVADA_MQTT_H
#define LEVADA_MQTT_H

#include "board.h"
#include "settings.h"

/* Begin to connect; false if no broker is set, or one without TLS is not allowed.  `every_ms` is
 * how often the node will be heard of, 0: nobody knows. */
bool mqtt_begin(const settings *s, uint32_t every_ms);
bool mqtt_connected(void);
/* Send what waits in the ring and was not sent on this connection, and answer what has come, for up
 * to `wait_ms` if nothing has. */
void mqtt_serve(lv_node *node, uint32_t wait_ms);
/* End the connection; also if there is none. */
void mqtt_end(void);

#endif
