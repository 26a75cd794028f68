/* The serial line to the host. */
#ifndef LEVADA_LINE_H
#define LEVADA_LINE_H

#include <stddef.h>
#include <stdint.h>

void line_begin(void);
/* Bytes that have come, at most `size`; waits up to `wait_ms` for the first. */
size_t line_read(uint8_t *bytes, size_t size, uint32_t wait_ms);
/* 0, or -1. */
int line_write(const uint8_t *bytes, size_t length);
/* Wait until all has left, at most 100 ms. */
void line_drain(void);

#endif
