/*
 * Telemetry that waits to be acknowledged: publications with sequence numbers from 1, oldest first.
 *
 * Nothing leaves before it is acknowledged, except that the oldest give way when the ring is full;
 * they are counted.  A number is never used twice in one boot.  What a module on trial publishes is
 * held back until somebody decides on it.
 */
#ifndef LEVADA_RING_H
#define LEVADA_RING_H

#include <stdbool.h>

#include "tape.h"

#define LV_RING_PAYLOAD ((uint32_t)LV_TOPIC_BYTES + LV_MESSAGE_BYTES) /* bytes, of the longest */

typedef struct {
    uint8_t *bytes; /* the caller's */
    uint32_t capacity;
    uint32_t start; /* oldest record */
    uint32_t used;
    uint32_t next; /* sequence number of the next record; the oldest has next - waiting */
    uint16_t waiting;
    uint32_t dropped;

    bool holding; /* what comes now lies behind the newest, and is not there yet */
    uint16_t held;
    uint32_t held_bytes;
    uint32_t held_dropped;
} lv_ring;

/* Empty, in `capacity` bytes that stay the caller's and must outlive the ring; from number 1. */
void lv_ring_init(lv_ring *ring, uint8_t *bytes, uint32_t capacity);
/* A publication behind the newest: topic at most LV_TOPIC_BYTES, message at most LV_MESSAGE_BYTES,
 * either NULL if it has none; `time_ms` is any number.  What is larger than the ring is counted as
 * dropped. */
void lv_ring_put(lv_ring *ring, int64_t time_ms, const uint8_t *topic, uint32_t topic_length,
                 const uint8_t *message, uint32_t message_length);
/* Hold back what is put from now on.  It has the room that is left, and nothing gives way to it. */
void lv_ring_hold(lv_ring *ring);
/* Hold back nothing any more: what was is there now, or is gone. */
void lv_ring_release(lv_ring *ring, bool keep);
/* Everything up to `sequence` is stored elsewhere; by difference, as numbers may wrap. */
void lv_ring_acknowledge(lv_ring *ring, uint32_t sequence);
/* The record that is `index` behind the oldest: its sequence number, or 0 if there is none, and then
 * nothing is written.  Topic and message are copied one behind the other to `out`, which has room for
 * LV_RING_PAYLOAD bytes: *topic_length bytes of topic, *payload_length of both. */
uint32_t lv_ring_peek(const lv_ring *ring, uint16_t index, int64_t *time_ms, uint8_t *topic_length,
                      uint16_t *payload_length, uint8_t *out);

#endif
