#include "frame.h"

#include "bytes.h"
#include "contract.h"

uint32_t lv_crc32(uint32_t crc, const uint8_t *data, size_t length)
{
    /* the table of a byte is the sum of those of its halves: 128 bytes instead of 1 KiB */
    static const uint32_t low[16] = {
        0x00000000, 0x77073096, 0xEE0E612C, 0x990951BA, 0x076DC419, 0x706AF48F,
        0xE963A535, 0x9E6495A3, 0x0EDB8832, 0x79DCB8A4, 0xE0D5E91E, 0x97D2D988,
        0x09B64C2B, 0x7EB17CBD, 0xE7B82D07, 0x90BF1D91,
    };
    static const uint32_t high[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    LV_ASSERT(data || length == 0);
    crc = ~crc;
    for (size_t k = 0; k < length; k++) {
        uint8_t byte = (uint8_t)(crc ^ data[k]);
        crc = crc >> 8 ^ low[byte & 15] ^ high[byte >> 4];
    }
    return ~crc;
}

/* State of a COBS encoder, so that a frame needs no second buffer for its content. */
typedef struct {
    uint8_t *out;
    size_t at;    /* next byte */
    size_t block; /* where the code of the present block will stand */
} cobs;

static void cobs_put(cobs *c, const uint8_t *data, size_t length)
{
    for (size_t k = 0; k < length; k++) {
        if (c->at - c->block == 255) { /* a full block has no zero behind it */
            c->out[c->block] = 255;
            c->block = c->at++;
        }
        if (data[k])
            c->out[c->at++] = data[k];
        else {
            c->out[c->block] = (uint8_t)(c->at - c->block);
            c->block = c->at++;
        }
    }
}

static size_t cobs_end(cobs *c)
{
    c->out[c->block] = (uint8_t)(c->at - c->block);
    return c->at;
}

size_t lv_cobs_encode(const uint8_t *data, size_t length, uint8_t *out)
{
    cobs c = {.out = out, .at = 1, .block = 0};
    cobs_put(&c, data, length);
    return cobs_end(&c);
}

size_t lv_frame_encode(uint8_t type, uint16_t sequence, const uint8_t *body, size_t length,
                       uint8_t *out)
{
    LV_ASSERT(length <= LV_MAX_BODY && (body || length == 0));
    uint8_t head[LV_FRAME_HEAD] = {LV_WIRE_VERSION, type};
    uint8_t tail[4];
    lv_put16(head + 2, sequence);
    lv_put32(tail, lv_crc32(lv_crc32(0, head, sizeof head), body, length));

    out[0] = 0;
    cobs c = {.out = out + 1, .at = 1, .block = 0};
    cobs_put(&c, head, sizeof head);
    cobs_put(&c, body, length);
    cobs_put(&c, tail, sizeof tail);
    size_t end = 1 + cobs_end(&c);
    out[end] = 0;
    return end + 1;
}

void lv_frame_reset(lv_frame_decoder *d)
{
    d->used = 0;
    d->code = 0;
    d->left = 0;
    d->overrun = false;
}

static void keep(lv_frame_decoder *d, uint8_t byte)
{
    if (d->used < sizeof d->content)
        d->content[d->used++] = byte;
    else
        d->overrun = true;
}

static lv_frame_status close_run(lv_frame_decoder *d)
{
    size_t end = d->used;
    if (d->overrun)
        return LV_FRAME_OVERRUN;
    if (d->left)
        return LV_FRAME_COBS;
    if (end < LV_FRAME_HEAD + 4)
        return LV_FRAME_SHORT;
    if (lv_crc32(0, d->content, end - 4) != lv_get32(d->content + end - 4))
        return LV_FRAME_CRC;
    if (d->content[0] != LV_WIRE_VERSION)
        return LV_FRAME_VERSION;
    d->type = d->content[1];
    d->sequence = lv_get16(d->content + 2);
    d->body = d->content + LV_FRAME_HEAD;
    d->length = (uint16_t)(end - LV_FRAME_HEAD - 4);
    return LV_FRAME_READY;
}

lv_frame_status lv_frame_feed(lv_frame_decoder *d, uint8_t byte)
{
    if (byte == 0) {
        if (d->code == 0) /* zeros in a row */
            return LV_FRAME_NONE;
        lv_frame_status status = close_run(d);
        lv_frame_reset(d);
        return status;
    }
    if (d->left) {
        d->left--;
        keep(d, byte);
    } else {
        if (d->code && d->code != 255) /* the zero that the block before stands for */
            keep(d, 0);
        d->code = byte;
        d->left = (uint8_t)(byte - 1);
    }
    return LV_FRAME_NONE;
}
