/*
 * The task watchdog: it watches the task that serves line and guest, and ends in a panic, so in a
 * restart.
 */
#ifndef LEVADA_WATCHDOG_H
#define LEVADA_WATCHDOG_H

#include <stdint.h>

/* Watch the calling task from now on. */
void watchdog_begin(void);
/* The task is alive; at least every CONFIG_LEVADA_WATCHDOG_S. */
void watchdog_feed(void);
/* The next feed is due in `ms`; 0: in the usual time. */
void watchdog_arm(uint32_t ms);

#endif
