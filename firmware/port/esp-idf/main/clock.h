/*
 * The time of the site: standard time, written as if it were UTC, as everywhere in levada.  Set by
 * SNTP when there is a network; it goes on through sleep.
 */
#ifndef LEVADA_CLOCK_H
#define LEVADA_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Ask for the time from now on; again after each connection. */
void clock_begin(void);
/* [ms since 1970]; from 0 on as long as nobody has set it. */
int64_t clock_ms(void);
bool clock_is_set(void);

#endif
