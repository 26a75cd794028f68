#include "signer.h"

#include <string.h>

enum { SENDER = 77, PIECE = 100 };

static const uint8_t keys[3][32] = {{1}, {2}, {3}};

static void digest_of(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length,
                      uint8_t out[32])
{
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, a, a_length);
    lv_sha256_add(&sha, b, b_length);
    lv_sha256_end(&sha, out);
}

static int verify(void *context, const uint8_t signature[64], const uint8_t *message, size_t length,
                  const uint8_t key[32])
{
    uint8_t digest[32];
    (void)context;
    digest_of(key, 32, message, length, digest);
    return memcmp(signature, digest, 32) == 0 && memcmp(signature + 32, digest, 32) == 0 ? 0 : -1;
}

void signer_trust(fake *f)
{
    f->config.keys = keys;
    f->config.key_count = 2;
    f->config.verify = verify;
}

/* CBOR: the head of an item, and items of the manifest. */
static uint8_t *head(uint8_t *p, uint8_t major, uint32_t value)
{
    int bytes = value < 24 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
    int more = bytes == 0 ? (int)value : bytes == 1 ? 24 : bytes == 2 ? 25 : 26;
    *p++ = (uint8_t)(major << 5 | more);
    for (int k = bytes - 1; k >= 0; k--)
        *p++ = (uint8_t)(value >> (8 * k));
    return p;
}

static uint8_t *bytes(uint8_t *p, uint8_t major, const void *from, uint32_t length)
{
    p = head(p, major, length);
    memcpy(p, from, length);
    return p + length;
}

static uint8_t *number(uint8_t *p, uint32_t label, uint32_t value)
{
    return head(head(p, 1, label), 0, value);
}

static uint8_t *text(uint8_t *p, uint32_t label, const char *value)
{
    return bytes(head(p, 1, label), 3, value, (uint32_t)strlen(value));
}

static size_t manifest_of(const signer_job *job, uint8_t *out)
{
    uint8_t digest[32];
    const char *target = job->target ? job->target : "*";
    digest_of(job->module, job->size, NULL, 0, digest);
    uint8_t *p = head(out, 5, 11u + (job->expiry_s != 0) + (job->nonce != NULL));
    p = head(head(p, 0, 1), 0, 1);
    p = head(head(p, 0, 2), 0, job->counter);
    p = text(p, 0, "m");
    p = text(p, 1, "1.0");
    p = text(p, 2, target);
    p = number(p, 3, job->abi ? job->abi : LV_ABI_VERSION);
    p = number(p, 4, 1);
    p = number(p, 5, 1);
    p = number(p, 6, job->size);
    p = bytes(head(p, 1, 7), 2, digest, 32);
    p = bytes(head(p, 1, 8), 2, digest, 8);
    if (job->expiry_s)
        p = number(p, 9, job->expiry_s);
    if (job->nonce)
        p = bytes(head(p, 1, 10), 2, job->nonce, LV_NONCE_BYTES);
    return (size_t)(p - out);
}

uint16_t signer_seal(const signer_job *job, uint8_t *out)
{
    uint8_t message[sizeof LV_MANIFEST_DOMAIN + LV_ENVELOPE_BYTES];
    uint8_t *manifest = message + sizeof LV_MANIFEST_DOMAIN;
    uint8_t digest[32];
    uint8_t signature[64];
    memcpy(message, LV_MANIFEST_DOMAIN, sizeof LV_MANIFEST_DOMAIN);
    size_t length = manifest_of(job, manifest);
    digest_of(keys[job->key], 32, message, sizeof LV_MANIFEST_DOMAIN + length, signature);
    memcpy(signature + 32, signature, 32);
    digest_of(keys[job->key], 32, NULL, 0, digest);
    uint8_t *p = head(head(head(out, 5, 2), 0, 2), 4, 1);
    p = bytes(head(p, 4, 2), 2, digest, LV_KEY_ID_BYTES);
    p = bytes(p, 2, signature, sizeof signature);
    p = bytes(head(p, 0, 3), 2, manifest, (uint32_t)length);
    return (uint16_t)(p - out);
}

lv_status signer_begin(fake *f, const signer_job *job)
{
    uint8_t envelope[LV_ENVELOPE_BYTES];
    lv_msg_install_begin m = {.size = job->size, .envelope = envelope};
    digest_of(job->module, job->size, NULL, 0, m.sha256);
    m.envelope_length = job->counter ? signer_seal(job, envelope) : 0;
    return lv_node_install_begin(&f->node, SENDER, &m);
}

lv_status signer_send(fake *f, const signer_job *job)
{
    lv_status status = signer_begin(f, job);
    for (uint32_t at = f->node.store.received; at < job->size && status == LV_OK; at += PIECE) {
        uint32_t left = job->size - at;
        const lv_msg_install_chunk m = {.offset = at,
                                        .data = job->module + at,
                                        .data_length = (uint16_t)(left < PIECE ? left : PIECE)};
        status = lv_update_chunk(&f->node.update, SENDER, &m);
    }
    return status;
}

lv_status signer_try(fake *f, const signer_job *job, uint16_t steps, uint8_t flags,
                     uint32_t within_ms)
{
    static const uint8_t carried[4] = {1, 0, 0, 0}; /* of the parameters of `fake`, the second */
    const lv_msg_install_trial m = {.steps = steps,
                                    .within_ms = within_ms,
                                    .flags = flags,
                                    .carried = carried,
                                    .carried_length = sizeof carried};
    lv_status status = signer_send(f, job);
    return status == LV_OK ? lv_node_install_trial(&f->node, &m) : status;
}
