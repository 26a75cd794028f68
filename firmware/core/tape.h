/* The tape: the exact record of what a guest did; the format is that of guest/tape.py. */
#ifndef LEVADA_TAPE_H
#define LEVADA_TAPE_H

#include "levada_messages.h"

typedef struct {
    uint8_t *bytes; /* the caller's */
    uint32_t capacity;
    uint32_t length;
    bool full; /* a record did not fit, so the tape is no longer exact */
} lv_tape;

void lv_tape_clear(lv_tape *tape);
void lv_tape_boot(lv_tape *tape, int64_t time_ms);
void lv_tape_begin(lv_tape *tape, int64_t time_ms, uint8_t entry);
void lv_tape_trap(lv_tape *tape, uint8_t kind);
/* A call with `count` numbers, 1 to 3. */
void lv_tape_numbers(lv_tape *tape, uint8_t call, int count, int32_t a, int32_t b, int32_t c);
void lv_tape_log(lv_tape *tape, const uint8_t *text, uint32_t length);
void lv_tape_publish(lv_tape *tape, const uint8_t *topic, uint32_t topic_length,
                     const uint8_t *message, uint32_t message_length, int32_t result);

#endif
