#include "ring.h"

#include <string.h>

#include "bytes.h"
#include "contract.h"

enum { HEAD = 11 }; /* i64 time, u8 topic length, u16 message length */

void lv_ring_init(lv_ring *ring, uint8_t *bytes, uint32_t capacity)
{
    LV_ASSERT(capacity > 0 && capacity <= UINT32_C(1) << 31); /* the sum of two offsets */
    *ring = (lv_ring){.bytes = bytes, .capacity = capacity, .next = 1};
}

/* Where byte `offset` behind the oldest lies, and how many of `length` are before the ring's end. */
static uint32_t place(const lv_ring *ring, uint32_t offset, uint32_t length, uint32_t *at)
{
    *at = ring->start + offset;
    if (*at >= ring->capacity)
        *at -= ring->capacity;
    uint32_t room = ring->capacity - *at;
    return length < room ? length : room;
}

static void copy_in(lv_ring *ring, const uint8_t *data, uint32_t length)
{
    uint32_t at;
    uint32_t first = place(ring, ring->used + ring->held_bytes, length, &at);
    if (length == 0) /* of an empty message, which may lie nowhere */
        return;
    memcpy(ring->bytes + at, data, first);
    memcpy(ring->bytes, data + first, length - first);
    ring->held_bytes += length;
}

static void copy_out(const lv_ring *ring, uint32_t offset, uint8_t *out, uint32_t length)
{
    uint32_t at;
    uint32_t first = place(ring, offset, length, &at);
    memcpy(out, ring->bytes + at, first);
    memcpy(out + first, ring->bytes, length - first);
}

static uint32_t record_bytes(const lv_ring *ring, uint32_t offset)
{
    uint8_t head[HEAD];
    copy_out(ring, offset, head, HEAD);
    return HEAD + (uint32_t)head[8] + lv_get16(head + 9);
}

static void forget_oldest(lv_ring *ring)
{
    LV_ASSERT(ring->waiting > 0);
    uint32_t size = record_bytes(ring, 0);
    (void)place(ring, size, 0, &ring->start);
    ring->used -= size;
    ring->waiting--;
}

void lv_ring_put(lv_ring *ring, int64_t time_ms, const uint8_t *topic, uint32_t topic_length,
                 const uint8_t *message, uint32_t message_length)
{
    uint32_t size = HEAD + topic_length + message_length;
    uint32_t room = ring->holding ? ring->capacity - ring->used - ring->held_bytes : ring->capacity;
    uint8_t head[HEAD];
    LV_ASSERT(topic_length <= LV_TOPIC_BYTES && message_length <= LV_MESSAGE_BYTES);
    if (size > room || (ring->holding && ring->waiting + ring->held >= UINT16_MAX)) {
        ring->held_dropped++;
    } else {
        while (ring->capacity - ring->used < size || ring->waiting == UINT16_MAX) {
            forget_oldest(ring);
            ring->dropped++;
        }
        lv_put64(head, (uint64_t)time_ms);
        head[8] = (uint8_t)topic_length;
        lv_put16(head + 9, (uint16_t)message_length);
        copy_in(ring, head, HEAD);
        copy_in(ring, topic, topic_length);
        copy_in(ring, message, message_length);
        ring->held++;
    }
    if (!ring->holding)
        lv_ring_release(ring, true);
}

void lv_ring_hold(lv_ring *ring) { ring->holding = true; }

void lv_ring_release(lv_ring *ring, bool keep)
{
    if (keep) {
        ring->used += ring->held_bytes;
        ring->waiting = (uint16_t)(ring->waiting + ring->held);
        ring->next += ring->held;
        ring->dropped += ring->held_dropped;
    }
    ring->holding = false;
    ring->held = 0;
    ring->held_bytes = ring->held_dropped = 0;
}

void lv_ring_acknowledge(lv_ring *ring, uint32_t sequence)
{
    while (ring->waiting && (int32_t)(ring->next - ring->waiting - sequence) <= 0)
        forget_oldest(ring);
}

uint32_t lv_ring_peek(const lv_ring *ring, uint16_t index, int64_t *time_ms, uint8_t *topic_length,
                      uint16_t *payload_length, uint8_t *out)
{
    uint32_t offset = 0;
    uint8_t head[HEAD];
    if (index >= ring->waiting)
        return 0;
    for (uint16_t k = 0; k < index; k++)
        offset += record_bytes(ring, offset);
    copy_out(ring, offset, head, HEAD);
    *time_ms = (int64_t)lv_get64(head);
    *topic_length = head[8];
    *payload_length = (uint16_t)(head[8] + lv_get16(head + 9));
    copy_out(ring, offset + HEAD, out, *payload_length);
    return ring->next - ring->waiting + index;
}
