/*
 * Requests in JSON, as twin/mqtt/messages.py has them: `Config` and `Ack`.
 *
 *     {"id": "7", "set": {"on_pct": 35, "off_pct": 60}}     parameters by the names of the metadata
 *     {"seco": 2600, "molhado": 1100, "limiar": 1900}       counts, as older nodes know them
 *
 * All of it comes into force, or none.
 */
#ifndef LEVADA_CALIBRATION_H
#define LEVADA_CALIBRATION_H

#include "../../../core/node.h"

enum { CALIBRATION_ANSWER_BYTES = 4096 };

/* The answer: what is in force, read back from the guest, or why not.  NULL if the request has no
 * id, as those of older senders, who wait for none. */
const char *calibration_take(lv_node *node, const char *json, size_t length,
                             char answer[CALIBRATION_ANSWER_BYTES]);
/* {"boot": 5, "seq": 12}: everything of that start up to that number is stored.  True if that is
 * news. */
bool calibration_acknowledge(lv_node *node, const char *json, size_t length);
/* Tell the core who the node is, with the counts that are in force. */
void calibration_configure(lv_node *node);

#endif
