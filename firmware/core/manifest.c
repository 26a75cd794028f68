#include "manifest.h"

#include <string.h>

#include "host.h"
#include "sha256.h"

enum { UNSIGNED = 0, NEGATIVE = 1, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5 }; /* major types */
enum { SIGNATURES = 2, MANIFEST = 3 };                                       /* of the envelope */
enum { MANIFEST_VERSION = 1, SEQUENCE_NUMBER = 2 };                          /* of the manifest */
/* Private labels, -1 - k of them; all but the last two must be there. */
enum { NAME, VERSION, TARGET, ABI, TIERS, PROFILE, SIZE, SHA256, SCHEMA, EXPIRY, NONCE };
enum { LEAST_MEMBERS = 11, MOST_SIGNATURES = 2, SIGNATURE_BYTES = 64 };
enum { DELETE = 0x7F };

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
} reader;

typedef struct {
    uint32_t count;
    const uint8_t *key_id[MOST_SIGNATURES];
    const uint8_t *signature[MOST_SIGNATURES];
    const uint8_t *manifest;
    uint32_t length;
} envelope_parts;

/* --- CBOR ------------------------------------------------------------------------------------- */

static uint8_t byte(reader *r)
{
    if (r->at < r->end)
        return *r->at++;
    r->bad = true;
    return 0;
}

/* The argument of an item of that major type: a number, or how many follow.  Only its shortest form
 * of at most 32 bits. */
static uint32_t head(reader *r, uint8_t major)
{
    uint8_t first = byte(r);
    uint8_t more = first & 0x1F;
    if (first >> 5 != major || more > 26)
        r->bad = true;
    if (more < 24 || r->bad)
        return more;
    uint32_t value = 0;
    for (int k = 1 << (more - 24); k > 0; k--)
        value = value << 8 | byte(r);
    if (value < (more == 24 ? 24u : more == 25 ? 0x100u : 0x10000u))
        r->bad = true;
    return value;
}

/* `length` bytes, or NULL. */
static const uint8_t *take(reader *r, uint32_t length)
{
    if (r->bad || length > (size_t)(r->end - r->at)) {
        r->bad = true;
        return NULL;
    }
    r->at += length;
    return r->at - length;
}

static const uint8_t *fixed_bytes(reader *r, uint32_t length)
{
    if (head(r, BYTES) != length)
        r->bad = true;
    return take(r, length);
}

/* An item that can only be this one. */
static void expect(reader *r, uint8_t major, uint32_t argument)
{
    if (head(r, major) != argument)
        r->bad = true;
}

static uint32_t number_from(reader *r, uint32_t label, uint32_t least, uint32_t most)
{
    expect(r, NEGATIVE, label);
    uint32_t value = head(r, UNSIGNED);
    if (value < least || value > most)
        r->bad = true;
    return value;
}

static void bytes_to(reader *r, uint32_t label, uint8_t *to, uint32_t length)
{
    expect(r, NEGATIVE, label);
    const uint8_t *bytes = fixed_bytes(r, length);
    if (bytes)
        memcpy(to, bytes, length);
}

/* UTF-8 without control characters, into what is all NUL. */
static void text_to(reader *r, uint32_t label, char *to, uint32_t room)
{
    expect(r, NEGATIVE, label);
    uint32_t length = head(r, TEXT);
    if (length == 0 || length >= room)
        r->bad = true;
    const uint8_t *text = take(r, length);
    if (!text || !lv_utf8_valid(text, length)) {
        r->bad = true;
        return;
    }
    for (uint32_t k = 0; k < length; k++) {
        if (text[k] < ' ' || text[k] == DELETE)
            r->bad = true;
        to[k] = (char)text[k];
    }
}

static bool is_next(const reader *r, uint32_t label)
{
    return r->at < r->end && *r->at == (NEGATIVE << 5 | label);
}

static bool all_read(const reader *r) { return !r->bad && r->at == r->end; }

/* --- the envelope ----------------------------------------------------------------------------- */

static bool read_envelope(reader r, envelope_parts *parts)
{
    expect(&r, MAP, 2);
    expect(&r, UNSIGNED, SIGNATURES);
    parts->count = head(&r, ARRAY);
    if (parts->count == 0 || parts->count > MOST_SIGNATURES)
        return false;
    for (uint32_t k = 0; k < parts->count; k++) {
        expect(&r, ARRAY, 2);
        parts->key_id[k] = fixed_bytes(&r, LV_KEY_ID_BYTES);
        parts->signature[k] = fixed_bytes(&r, SIGNATURE_BYTES);
    }
    expect(&r, UNSIGNED, MANIFEST);
    parts->length = head(&r, BYTES);
    parts->manifest = take(&r, parts->length);
    return all_read(&r) && (parts->count == 1 ||
                            memcmp(parts->key_id[0], parts->key_id[1], LV_KEY_ID_BYTES) != 0);
}

/* Whether a signature holds by that key. */
static bool signed_by(const lv_config *config, int key, const envelope_parts *parts)
{
    uint8_t digest[32];
    uint8_t message[sizeof LV_MANIFEST_DOMAIN + LV_ENVELOPE_BYTES];
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, config->keys[key], sizeof config->keys[key]);
    lv_sha256_end(&sha, digest);
    LV_ASSERT(parts->length <= LV_ENVELOPE_BYTES);
    memcpy(message, LV_MANIFEST_DOMAIN, sizeof LV_MANIFEST_DOMAIN);
    memcpy(message + sizeof LV_MANIFEST_DOMAIN, parts->manifest, parts->length);
    for (uint32_t k = 0; k < parts->count; k++)
        if (memcmp(parts->key_id[k], digest, LV_KEY_ID_BYTES) == 0 &&
            config->verify(config->context, parts->signature[k], message,
                           sizeof LV_MANIFEST_DOMAIN + parts->length, config->keys[key]) == 0)
            return true;
    return false;
}

/* --- the manifest ----------------------------------------------------------------------------- */

static bool read_manifest(reader r, lv_manifest *m)
{
    uint32_t members = head(&r, MAP);
    expect(&r, UNSIGNED, MANIFEST_VERSION);
    expect(&r, UNSIGNED, 1);
    expect(&r, UNSIGNED, SEQUENCE_NUMBER);
    m->counter = head(&r, UNSIGNED);
    if (m->counter == 0)
        return false;
    text_to(&r, NAME, m->name, sizeof m->name);
    text_to(&r, VERSION, m->version, sizeof m->version);
    text_to(&r, TARGET, m->target, sizeof m->target);
    m->abi = number_from(&r, ABI, 1, UINT32_MAX);
    m->tiers = number_from(&r, TIERS, 1, LV_TIER_EDGE | LV_TIER_FOG | LV_TIER_CLOUD);
    m->profile = number_from(&r, PROFILE, 1, UINT32_MAX);
    m->size = number_from(&r, SIZE, 1, UINT32_MAX);
    bytes_to(&r, SHA256, m->sha256, sizeof m->sha256);
    bytes_to(&r, SCHEMA, m->schema, sizeof m->schema);
    bool expires = is_next(&r, EXPIRY);
    if (expires)
        m->expiry_s = number_from(&r, EXPIRY, 1, UINT32_MAX);
    m->has_nonce = is_next(&r, NONCE);
    if (m->has_nonce)
        bytes_to(&r, NONCE, m->nonce, sizeof m->nonce);
    return all_read(&r) && members == LEAST_MEMBERS + (uint32_t)expires + m->has_nonce;
}

lv_status lv_manifest_open(const lv_config *config, const uint8_t *envelope, size_t length,
                           lv_manifest *manifest)
{
    envelope_parts parts;
    LV_ASSERT(config->key_count <= LV_KEYS && (envelope || length == 0));
    LV_ASSERT(config->key_count == 0 || (config->keys && config->verify));
    if (length == 0)
        return LV_NAK_SIGNATURE;
    if (length > LV_ENVELOPE_BYTES)
        return LV_NAK_SIZE;
    if (!read_envelope((reader){envelope, envelope + length, false}, &parts))
        return LV_NAK_VALUE;
    int key = 0;
    while (key < config->key_count && !signed_by(config, key, &parts))
        key++;
    if (config->key_count && key == config->key_count)
        return LV_NAK_SIGNATURE;
    memset(manifest, 0, sizeof *manifest);
    manifest->key = (uint8_t)key;
    return read_manifest((reader){parts.manifest, parts.manifest + parts.length, false}, manifest)
               ? LV_OK
               : LV_NAK_VALUE;
}

lv_status lv_manifest_permits(const lv_manifest *m, const lv_manifest_reader *by)
{
    bool everywhere = strcmp(m->target, "*") == 0;
    LV_ASSERT(by->node && (by->counter == 0 || by->sha256));
    if ((!everywhere && strcmp(m->target, by->node) != 0) || !(m->tiers & by->tier) ||
        m->abi != LV_ABI_VERSION || m->profile > LV_FEATURE_PROFILE)
        return LV_NAK_TARGET;
    if (m->size > by->room)
        return LV_NAK_SIZE;
    if (m->expiry_s && by->time_s > m->expiry_s)
        return LV_NAK_EXPIRED;
    if (m->has_nonce)
        return by->nonce && memcmp(m->nonce, by->nonce, sizeof m->nonce) == 0 ? LV_OK
                                                                             : LV_NAK_EXPIRED;
    if (m->counter < by->counter ||
        (m->counter == by->counter && memcmp(m->sha256, by->sha256, sizeof m->sha256) != 0))
        return LV_NAK_ROLLBACK;
    return LV_OK;
}
