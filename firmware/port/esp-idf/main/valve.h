/*
 * Outputs, and the timer of the chip that ends an opening whatever software does.
 *
 * The timer starts with the command to open.  Its interrupt closes the valve and runs from IRAM, so
 * neither a busy guest, nor a lost host, nor a write of flash holds it up.  The valve then stays
 * closed until it was commanded closed; opening again before it can have closed continues the same
 * opening.  sim/devices/valve.py has the same rules.
 */
#ifndef LEVADA_VALVE_H
#define LEVADA_VALVE_H

#include <stdbool.h>
#include <stdint.h>

/* All outputs closed; to be called before anything else. */
void valve_begin(void);
/* Drive a pin as the guest names it; one that the board does not have is ignored. */
void output_set(uint8_t pin, uint8_t state);
/* All outputs closed, from any task. */
void output_close_all(void);
/* Whether any output is on. */
bool output_any(void);
/* How often the timer has closed the valve since the start. */
uint32_t valve_timeouts(void);

#endif
