/*
 * How long to wait before the next try: twice as long each time, up to a limit, and by chance
 * somewhere in the upper half of that, so that boards which lost the same access point do not all
 * come back at once.
 */
#ifndef LEVADA_BACKOFF_H
#define LEVADA_BACKOFF_H

#include <stdint.h>

typedef struct {
    uint32_t first_ms; /* 2.. */
    uint32_t most_ms;  /* first_ms..2^31 */
    uint32_t next_ms;  /* 0: the first try has not failed yet */
} lv_backoff;

/* The wait before the next try [ms]: from half of what it may be up to that, by `random`, which is
 * any number.  The one after it may be twice as long. */
uint32_t lv_backoff_wait_ms(lv_backoff *backoff, uint32_t random);
/* A try has succeeded: the next wait begins with first_ms again. */
void lv_backoff_reset(lv_backoff *backoff);

#endif
