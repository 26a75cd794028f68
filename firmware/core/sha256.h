/* SHA-256 (FIPS 180-4). */
#ifndef LEVADA_SHA256_H
#define LEVADA_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} lv_sha256;

/* Of no bytes yet. */
void lv_sha256_begin(lv_sha256 *sha);
/* `length` bytes more; `data` may be NULL if that is 0. */
void lv_sha256_add(lv_sha256 *sha, const uint8_t *data, size_t length);
/* The digest of all that was added, after which lv_sha256_begin comes first. */
void lv_sha256_end(lv_sha256 *sha, uint8_t digest[32]);

#endif
