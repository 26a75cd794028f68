/* The line to the host: line_uart.c, or line_mqtt.c if Kconfig says so. */
#ifndef LEVADA_LINE_H
#define LEVADA_LINE_H

#include <stddef.h>
#include <stdint.h>

/* The watchdog must have begun. */
void line_begin(void);
/* Bytes that have come, at most `size`; waits up to `wait_ms` for the first. */
size_t line_read(uint8_t *bytes, size_t size, uint32_t wait_ms);
/* 0, or -1 if there is no line; may wait for it for two thirds of the watchdog's time. */
int line_write(const uint8_t *bytes, size_t length);
/* Wait until all has left, as far as that is known; at most 100 ms. */
void line_drain(void);

#endif
