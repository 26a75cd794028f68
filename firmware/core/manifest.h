/*
 * The manifest of a module: what it is, and which key has signed it.
 *
 * An envelope is canonical CBOR (RFC 8949, section 4.2.1) in the shape of SUIT
 * (draft-ietf-suit-manifest): its labels where it has one, negative private ones for the rest.
 * docs/updates.md has the table.  It is refused as a whole for one byte that is not as there:
 * another order, a longer form of a number, an unknown label, or a byte behind it.
 *
 * The signature is Ed25519 over LV_MANIFEST_DOMAIN and the manifest's bytes, which nothing reads
 * before it holds.  No allocation and no recursion.
 */
#ifndef LEVADA_MANIFEST_H
#define LEVADA_MANIFEST_H

#include "config.h"

/* Before the bytes that are signed, with the NUL that closes it: no other signature of the same key
 * can stand for one of a manifest. */
#define LV_MANIFEST_DOMAIN "levada-manifest-1"

enum {
    LV_KEY_ID_BYTES = 8,     /* of the SHA-256 of a public key, the first ones */
    LV_FEATURE_PROFILE = 1,  /* of profile.c */
    LV_TIER_EDGE = 1,        /* bits of `tiers` */
    LV_TIER_FOG = 2,
    LV_TIER_CLOUD = 4,
};

typedef struct {
    uint32_t counter; /* 1..; a later release has a higher one */
    uint32_t abi;     /* 1..; LV_ABI_VERSION when it was built */
    uint32_t tiers;   /* 1..7; which it fits */
    uint32_t profile; /* 1..; LV_FEATURE_PROFILE when it was built */
    uint32_t size;    /* 1.. [bytes] */
    uint8_t sha256[32];
    uint8_t schema[8];   /* of its parameters: SHA-256 of their description, the first bytes */
    uint32_t expiry_s;   /* not to be installed after that [s since 1970], 0: at any time */
    uint8_t nonce[LV_NONCE_BYTES]; /* of the request that it answers */
    bool has_nonce;
    uint8_t key;      /* index of the key that has signed it; 0 on a device without keys */
    char name[33];    /* these three: 1 to 32 bytes of UTF-8, no control character among them */
    char version[33];
    char target[33];  /* name of a node, or "*" for all */
} lv_manifest;

/* Who reads a manifest, and what it has. */
typedef struct {
    const char *node;        /* its name */
    uint32_t tier;           /* one of LV_TIER_* */
    uint32_t room;           /* for a module [bytes] */
    uint32_t counter;        /* of the signed module in use, 0: none */
    const uint8_t *sha256;   /* of the module in use, 32 bytes; read only if `counter` is not 0 */
    uint32_t time_s;         /* now [s since 1970], 0: not known */
    const uint8_t *nonce;    /* that it has asked with, LV_NONCE_BYTES, or NULL: it has not asked */
} lv_manifest_reader;

/* Read an envelope of `length` bytes, which may be NULL if that is 0: LV_OK and *manifest, which
 * refers to nothing, or why not, and then *manifest is not to be used.
 *
 * LV_NAK_SIZE: longer than LV_ENVELOPE_BYTES; LV_NAK_VALUE: malformed; LV_NAK_SIGNATURE: there is
 * none, or none that holds by a key of `config`.  A device without keys checks no signature.
 * It blocks as long as `verify` does, twice at most. */
lv_status lv_manifest_open(const lv_config *config, const uint8_t *envelope, size_t length,
                           lv_manifest *manifest);

/* Whether it is a module for that reader, now: LV_OK, or the first of
 *
 * LV_NAK_TARGET: for another node, tier, ABI or feature profile; LV_NAK_SIZE: no room;
 * LV_NAK_EXPIRED: too late, or the answer to another request; LV_NAK_ROLLBACK: older than the one in
 * use, or as new and not the same.  A manifest with the nonce of the reader may be older: whoever
 * signed it knew what the reader has. */
lv_status lv_manifest_permits(const lv_manifest *manifest, const lv_manifest_reader *by);

#endif
