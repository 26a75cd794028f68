/*
 * Modules that come over MQTT: the node asks for one part after the other, has what came verified and
 * tried, and says where that stands (docs/mqtt.md, "Modules").
 *
 * What a module may, and whether it stays, is decided by the core (core/update.h).  What has come
 * of one outlives a restart in its slot, and is not sent again.
 */
#ifndef LEVADA_MODULES_H
#define LEVADA_MODULES_H

#include "../../../core/node.h"

/* Publishes a text on ic/<node> and `last`. */
typedef void modules_say(const char *last, const char *text);

/* There is another client: nothing of what was said through the one before is known to have arrived. */
void modules_begin(modules_say *say);
/* What came on /ota/request. */
void modules_request(lv_node *node, const char *json, size_t length);
/* What came on /ota/chunk/ and `place`, which a NUL closes. */
void modules_chunk(lv_node *node, const char *place, const char *payload, size_t length);
/* Ask again, give up, tell: whatever is due; to be called some times a second. */
void modules_serve(lv_node *node);
/* Connected anew. */
void modules_again(lv_node *node);
/* Whether bytes are on their way, which come only while the radio is on. */
bool modules_busy(void);

#endif
