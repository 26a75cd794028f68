#include "tape.h"

#include <string.h>

#include "bytes.h"
#include "contract.h"

void lv_tape_clear(lv_tape *tape)
{
    tape->length = 0;
    tape->full = false;
}

/* Room for a record of `size` bytes, or NULL: a record is written whole or not at all. */
static uint8_t *record(lv_tape *tape, uint8_t call, uint32_t size)
{
    LV_ASSERT(tape->length <= tape->capacity);
    if (tape->full || tape->capacity - tape->length < size) {
        tape->full = true;
        return NULL;
    }
    uint8_t *at = tape->bytes + tape->length;
    tape->length += size;
    *at = call;
    return at + 1;
}

void lv_tape_boot(lv_tape *tape, int64_t time_ms)
{
    uint8_t *at = record(tape, LV_CALL_BOOT, 9);
    if (at)
        lv_put64(at, (uint64_t)time_ms);
}

void lv_tape_begin(lv_tape *tape, int64_t time_ms, uint8_t entry)
{
    uint8_t *at = record(tape, LV_CALL_STEP, 10);
    if (at) {
        lv_put64(at, (uint64_t)time_ms);
        at[8] = entry;
    }
}

void lv_tape_trap(lv_tape *tape, uint8_t kind)
{
    LV_ASSERT(kind != LV_TRAP_NONE);
    uint8_t *at = record(tape, LV_CALL_TRAP, 2);
    if (at)
        *at = kind;
}

void lv_tape_numbers(lv_tape *tape, uint8_t call, int count, int32_t a, int32_t b, int32_t c)
{
    LV_ASSERT(count >= 1 && count <= 3);
    const int32_t values[3] = {a, b, c};
    uint8_t *at = record(tape, call, 1 + 4 * (uint32_t)count);
    for (int k = 0; at && k < count; k++)
        lv_put32(at + 4 * k, (uint32_t)values[k]);
}

static uint8_t *put_text(uint8_t *at, const uint8_t *text, uint32_t length)
{
    lv_put16(at, (uint16_t)length);
    if (length)
        memcpy(at + 2, text, length);
    return at + 2 + length;
}

void lv_tape_log(lv_tape *tape, const uint8_t *text, uint32_t length)
{
    LV_ASSERT(length <= LV_LOG_BYTES);
    uint8_t *at = record(tape, LV_CALL_WASM_LOG, 3 + length);
    if (at)
        put_text(at, text, length);
}

void lv_tape_publish(lv_tape *tape, const uint8_t *topic, uint32_t topic_length,
                     const uint8_t *message, uint32_t message_length, int32_t result)
{
    LV_ASSERT(topic_length <= LV_TOPIC_BYTES && message_length <= LV_MESSAGE_BYTES);
    uint8_t *at = record(tape, LV_CALL_MQTT_PUBLISH, 9 + topic_length + message_length);
    if (at) {
        at = put_text(at, topic, topic_length);
        at = put_text(at, message, message_length);
        lv_put32(at, (uint32_t)result);
    }
}
