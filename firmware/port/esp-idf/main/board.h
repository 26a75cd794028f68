/* The board as the core sees it: lv_config filled, and who the node is. */
#ifndef LEVADA_BOARD_H
#define LEVADA_BOARD_H

#include "../../../core/node.h"

/* Fill the config; flash, line and outputs must have begun. */
const lv_config *board_config(void);
/* A free-running millisecond counter. */
uint32_t board_now_ms(void);

#endif
