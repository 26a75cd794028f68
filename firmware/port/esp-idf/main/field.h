/* The node alone: sensors, guest, telemetry, sleep. */
#ifndef LEVADA_FIELD_H
#define LEVADA_FIELD_H

#include "board.h"

/* Does not return. */
void field_run(lv_node *node);

#endif
