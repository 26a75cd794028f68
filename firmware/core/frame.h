/*
 * Frames of the serial wire: 0x00 COBS(version, type, sequence, body, crc32) 0x00.
 *
 * The decoder takes one byte at a time into a buffer that the caller owns, and is in step again at
 * the next zero, whatever came before.  COBS: Cheshire and Baker 1999, IEEE/ACM Transactions on
 * Networking 7 (2).  The CRC is that of zlib (reflected polynomial 0xEDB88320).
 */
#ifndef LEVADA_FRAME_H
#define LEVADA_FRAME_H

#include <stdbool.h>

#include "levada_messages.h"

#define LV_FRAME_HEAD 4u
#define LV_FRAME_CONTENT (LV_FRAME_HEAD + LV_MAX_BODY + 4u)
#define LV_FRAME_ENCODED (LV_FRAME_CONTENT + (LV_FRAME_CONTENT + 253u) / 254u + 2u)

typedef enum {
    LV_FRAME_NONE = 0,     /* nothing complete yet */
    LV_FRAME_READY = 1,    /* type, sequence, body are valid until the next byte */
    LV_FRAME_COBS = -1,    /* a run between zeros that is no COBS block */
    LV_FRAME_SHORT = -2,   /* shorter than the shortest frame */
    LV_FRAME_CRC = -3,     /* damaged */
    LV_FRAME_VERSION = -4, /* of another version of this wire */
    LV_FRAME_OVERRUN = -5  /* longer than the longest frame */
} lv_frame_status;

typedef struct {
    uint8_t type;
    uint16_t sequence;
    const uint8_t *body;
    uint16_t length;

    uint8_t content[LV_FRAME_CONTENT];
    uint16_t used;
    uint8_t code;  /* of the present COBS block; 0: no run begun */
    uint8_t left;  /* bytes to come in this block */
    bool overrun;
} lv_frame_decoder;

/* Forget what was taken so far: the next byte is the first of a line. */
void lv_frame_reset(lv_frame_decoder *decoder);
/* Take a byte: positive if it completes a frame, 0 if nothing is complete, negative if what it
 * completes is no frame. */
lv_frame_status lv_frame_feed(lv_frame_decoder *decoder, uint8_t byte);

/* Bytes of the frame written to `out`, which has room for LV_FRAME_ENCODED; `length` is at most
 * LV_MAX_BODY, and `body` may be NULL if it is 0. */
size_t lv_frame_encode(uint8_t type, uint16_t sequence, const uint8_t *body, size_t length,
                       uint8_t *out);

/* Bytes of the COBS encoding written to `out`, without zeros around it: it has room for one more than
 * `length`, and one per 254 begun. */
size_t lv_cobs_encode(const uint8_t *data, size_t length, uint8_t *out);

/* The CRC of `length` bytes more; `crc` is that of what came before, 0 for nothing.  `data` may be
 * NULL if `length` is 0. */
uint32_t lv_crc32(uint32_t crc, const uint8_t *data, size_t length);

#endif
