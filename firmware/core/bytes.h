/* Little-endian integers in byte buffers, at any alignment, on any CPU. */
#ifndef LEVADA_BYTES_H
#define LEVADA_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint8_t lv_get8(const uint8_t *p) { return p[0]; }
static inline uint16_t lv_get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t lv_get32(const uint8_t *p)
{
    return lv_get16(p) | (uint32_t)lv_get16(p + 2) << 16;
}
static inline uint64_t lv_get64(const uint8_t *p)
{
    return lv_get32(p) | (uint64_t)lv_get32(p + 4) << 32;
}

static inline void lv_put8(uint8_t *p, uint8_t value) { p[0] = value; }
static inline void lv_put16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}
static inline void lv_put32(uint8_t *p, uint32_t value)
{
    lv_put16(p, (uint16_t)value);
    lv_put16(p + 2, (uint16_t)(value >> 16));
}
static inline void lv_put64(uint8_t *p, uint64_t value)
{
    lv_put32(p, (uint32_t)value);
    lv_put32(p + 4, (uint32_t)(value >> 32));
}

/* Text of a fixed field: a NUL within it, and nothing but NUL behind. */
static inline bool lv_text_ok(const uint8_t *p, size_t size)
{
    size_t k = 0;
    while (k < size && p[k])
        k++;
    if (k == size)
        return false;
    while (k < size && !p[k])
        k++;
    return k == size;
}

#endif
