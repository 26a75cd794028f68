/*
 * Requests in JSON: calibration by the names of the guest's parameters, and acknowledgements.
 *
 *     {"id": 7, "on_pct": 35, "off_pct": 60}       any parameters of the guest's metadata
 *     {"seco": 2600, "molhado": 1100, "limiar": 1900}    counts, as older nodes know them
 *
 * All of it comes into force, or none.
 */
#ifndef LEVADA_CALIBRATION_H
#define LEVADA_CALIBRATION_H

#include "../../../core/node.h"

/* The answer to a request, to be freed: what is in force, read back from the guest, or why not. */
char *calibration_take(lv_node *node, const char *json, size_t length);
/* {"boot": 5, "seq": 12}: everything of that start up to that number is stored. */
void calibration_acknowledge(lv_node *node, const char *json, size_t length);
/* Tell the core who the node is, with the counts that are in force. */
void calibration_configure(lv_node *node);

#endif
