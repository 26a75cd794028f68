/*
 * Probe, battery, thermistor, flow meter and rain gauge.
 *
 * Moisture is in counts of the converter, as guests expect it: they are calibrated in the counts of
 * their own board.  Voltages go through the chip's calibration (curve or line, as it has it).
 */
#ifndef LEVADA_SENSORS_H
#define LEVADA_SENSORS_H

#include <stdint.h>

void sensors_begin(void);
/* One reading of each, in the order of lv_sensor; negative: an error code.  Flow counts from the
 * call before. */
void sensors_read(int32_t readings[4]);
/* Tips of the rain gauge since the call before, or an error code. */
int32_t sensors_rain(void);

#endif
