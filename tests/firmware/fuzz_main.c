/* Inputs for fuzz.c without libFuzzer: seeded, so that a failure comes again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t state;

/* xorshift32 (Marsaglia 2003) */
static uint32_t chance(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static size_t random_bytes(uint8_t *out, size_t longest)
{
    size_t size = chance(4) ? chance(64) : chance((uint32_t)longest);
    for (size_t k = 0; k < size; k++)
        out[k] = chance(3) ? (uint8_t)chance(256) : (uint8_t)chance(4);
    return size;
}

/* Requests as talk() of fuzz.c takes them, with likely types and lengths. */
static size_t requests(uint8_t *out, size_t longest)
{
    static const uint8_t lengths[] = {0, 1, 2, 3, 6, 7, 9, 10, 23, 25, 250};
    size_t used = 0;
    while (used + 1024 < longest && chance(16)) {
        uint8_t quarter = lengths[chance(sizeof lengths)];
        out[used++] = chance(8) ? (uint8_t)(1 + chance(0x12)) : (uint8_t)chance(256);
        out[used++] = quarter;
        for (int k = 0; k < 4 * quarter; k++)
            out[used++] = chance(2) ? 0 : (uint8_t)chance(256);
    }
    return used;
}

/* Frames with a few bits wrong. */
static size_t frames(uint8_t *out, size_t longest)
{
    size_t used = 0;
    while (used + LV_FRAME_ENCODED < longest && chance(8)) {
        uint8_t body[LV_MAX_BODY];
        size_t length = chance(8) ? chance(80) : chance(LV_MAX_BODY + 1);
        for (size_t k = 0; k < length; k++)
            body[k] = chance(4) ? (uint8_t)chance(256) : 0;
        used += lv_frame_encode((uint8_t)chance(0x20), (uint16_t)chance(8), body, length,
                                out + used);
    }
    for (uint32_t k = chance(4); k && used; k--)
        out[chance((uint32_t)used)] ^= (uint8_t)(1u << chance(8));
    return used;
}

/* Sections as survey() of fuzz.c takes them: sizes that are right, code of likely instructions. */
static size_t sections(uint8_t *out, size_t longest)
{
    static const uint8_t likely[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F,
                                     0x10, 0x11, 0x20, 0x21, 0x22, 0x23, 0x24, 0x23, 0x24, 0x28, 0x40,
                                     0x40, 0x41, 0x41, 0x60, 0x6A, 0x6B, 0x7E, 0x7F, 0x80, 0xFC, 0xFF};
    size_t used = 0;
    while (used + 200 < longest && chance(6)) {
        uint8_t kind = (uint8_t)(chance(3) ? 10 : chance(14));
        uint8_t size = (uint8_t)(8 + chance(100));
        size_t at = used;
        out[at++] = kind;
        out[at++] = size;
        out[at++] = kind == 10 ? 1 : (uint8_t)chance(4); /* how many */
        if (kind == 10) {
            out[at++] = (uint8_t)(size - 2); /* bytes of the function */
            out[at++] = 0;                   /* locals */
        }
        while (at < used + 2 + size)
            out[at++] = chance(12) ? likely[chance(sizeof likely)] : (uint8_t)chance(256);
        used = at;
    }
    return used;
}

/* An envelope as open_manifest() of fuzz.c takes it: sound at first, then a few bytes wrong, cut or
 * with some more in the middle. */
static size_t envelope(uint8_t *out)
{
    /* of the keys that open_manifest() trusts */
    static const uint8_t ids[2][8] = {{0x01, 0xD0, 0xFA, 0xBD, 0x25, 0x1F, 0xCB, 0xBE},
                                      {0x57, 0x78, 0xF9, 0x85, 0xDB, 0x75, 0x4C, 0x66}};
    static const uint8_t manifest[] = {
        0xAD, 0x01, 0x01, 0x02, 0x19, 0x01, 0x02, 0x20, 0x62, 'g',  '1',  0x21, 0x61, '1',
        0x22, 0x61, '*',  0x23, 0x01, 0x24, 0x01, 0x25, 0x01, 0x26, 0x18, 0x64, 0x27, 0x58,
        0x20, 1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,
        14,   15,   16,   17,   18,   19,   20,   21,   22,   23,   24,   25,   26,   27,
        28,   29,   30,   31,   32,   0x28, 0x48, 1,    2,    3,    4,    5,    6,    7,
        8,    0x29, 0x1A, 0x70, 0,    0,    0,    0x2A, 0x50, 1,    2,    3,    4,    5,
        6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   16};
    size_t used = 0;
    uint8_t signers = (uint8_t)(1 + chance(2));
    const uint8_t first[] = {0xA2, 0x02, (uint8_t)(0x80 + signers)};
    memcpy(out, first, sizeof first);
    used += sizeof first;
    for (uint8_t k = 0; k < signers; k++) {
        out[used++] = 0x82;
        out[used++] = 0x48;
        memcpy(out + used, ids[k], sizeof ids[k]);
        used += sizeof ids[k];
        out[used++] = 0x58;
        out[used++] = 64;
        for (int byte = 0; byte < 64; byte++)
            out[used++] = (uint8_t)chance(256);
    }
    uint8_t without = (uint8_t)chance(3); /* nonce; and expiry */
    uint8_t length = (uint8_t)(sizeof manifest - (without ? 18 : 0) - (without > 1 ? 6 : 0));
    out[used++] = 0x03;
    out[used++] = 0x58;
    out[used++] = length;
    memcpy(out + used, manifest, length);
    out[used] = (uint8_t)(out[used] - without);
    used += length;
    for (uint32_t k = chance(4); k; k--)
        out[chance((uint32_t)used)] = chance(2) ? (uint8_t)chance(256) : (uint8_t)(0x18 + chance(8));
    if (chance(8) == 0)
        used = chance((uint32_t)used);
    if (chance(8) == 0) {
        uint32_t from = chance((uint32_t)used + 1);
        uint32_t more = 1 + chance(400);
        memmove(out + from + more, out + from, used - from);
        used += more;
    }
    return used;
}

int main(int count, char **arguments)
{
    static uint8_t input[16384];
    long runs = count > 1 ? strtol(arguments[1], NULL, 10) : 20000;
    uint32_t seed = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 1;
    state = seed ? seed : 1;
    printf("fuzz: %ld inputs, seed %u\n", runs, seed);
    for (long run = 0; run < runs; run++) {
        size_t size = 1;
        input[0] = (uint8_t)chance(256);
        switch (chance(5)) {
        case 4:
            input[0] = 5;
            size += envelope(input + 1);
            break;
        case 3:
            input[0] = 4;
            size += sections(input + 1, sizeof input - 1);
            break;
        case 0: size += random_bytes(input + 1, sizeof input - 1); break;
        case 1: size += requests(input + 1, sizeof input - 1); break;
        default: size += frames(input + 1, sizeof input - 1); break;
        }
        LLVMFuzzerTestOneInput(input, size);
    }
    printf("fuzz: 1 passed, 0 failed\n");
    return 0;
}
