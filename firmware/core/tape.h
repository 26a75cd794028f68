/* The tape: the exact record of what a guest did; the format is that of guest/tape.py. */
#ifndef LEVADA_TAPE_H
#define LEVADA_TAPE_H

#include <stdbool.h>

#include "levada_messages.h"

enum { LV_TOPIC_BYTES = 64, LV_MESSAGE_BYTES = 512, LV_LOG_BYTES = 256 };

typedef struct {
    uint8_t *bytes; /* the caller's */
    uint32_t capacity;
    uint32_t length;
    bool full; /* a record did not fit, so the tape is no longer exact */
} lv_tape;

/* No records, and room for all of them again. */
void lv_tape_clear(lv_tape *tape);

/* A record that has no room is left out as a whole, and `full` says so; all times are ms since 1970
 * and may be negative. */

/* The start of a guest. */
void lv_tape_boot(lv_tape *tape, int64_t time_ms);
/* The start of a run: entry 0 init, 1 step, 2 main. */
void lv_tape_begin(lv_tape *tape, int64_t time_ms, uint8_t entry);
/* What stopped the guest, an lv_trap but LV_TRAP_NONE. */
void lv_tape_trap(lv_tape *tape, uint8_t kind);
/* A call with the first `count` of three numbers, 1 to 3. */
void lv_tape_numbers(lv_tape *tape, uint8_t call, int count, int32_t a, int32_t b, int32_t c);
/* A line of the log; `text` may be NULL if `length` is 0, which is at most LV_LOG_BYTES. */
void lv_tape_log(lv_tape *tape, const uint8_t *text, uint32_t length);
/* A publication as far as it is kept, and what it was answered: at most LV_TOPIC_BYTES of topic and
 * LV_MESSAGE_BYTES of message, either may be NULL if it has none. */
void lv_tape_publish(lv_tape *tape, const uint8_t *topic, uint32_t topic_length,
                     const uint8_t *message, uint32_t message_length, int32_t result);

#endif
