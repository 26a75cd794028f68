/*
 * Modules with envelopes, for a board made of memory: a signature is the SHA-256 of key and message,
 * so that one bit changed anywhere spoils it.  Ed25519 itself is tested elsewhere.
 */
#ifndef LEVADA_SIGNER_H
#define LEVADA_SIGNER_H

#include "fake.h"

typedef struct {
    const uint8_t *module;
    uint32_t size;
    uint32_t counter;
    const char *target; /* NULL: "*" */
    uint32_t abi;       /* 0: that of this core */
    uint32_t expiry_s;  /* 0: none */
    const uint8_t *nonce;
    uint8_t key; /* 0 and 1 are trusted, 2 is not */
} signer_job;

/* The board trusts two keys from its next start on. */
void signer_trust(fake *f);
/* The envelope of a module, with room for LV_ENVELOPE_BYTES at `out`: its length. */
uint16_t signer_seal(const signer_job *job, uint8_t *out);
/* Begin to install it: what the node answers. */
lv_status signer_begin(fake *f, const signer_job *job);
/* Bring all of it over, up to where only an end is missing. */
lv_status signer_send(fake *f, const signer_job *job);
/* The same, then a trial with that many steps that wants these flags, within `within_ms`. */
lv_status signer_try(fake *f, const signer_job *job, uint16_t steps, uint8_t flags,
                     uint32_t within_ms);

#endif
