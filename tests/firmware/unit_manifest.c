/* Manifests: what is read, whose signature counts, and who may install. */
#include "manifest.h"

#include <stdlib.h>
#include <string.h>

#include "sha256.h"
#include "unit.h"

static uint8_t keys[2][32] = {{1, 2, 3}, {4, 5, 6}};

/* The last call of `verify`, and what it answers: 0 for the one signature that is called good. */
static struct {
    int calls;
    const uint8_t *good;
    uint8_t message[600];
    size_t length;
    uint8_t key[32];
} seen;

static int verify(void *context, const uint8_t signature[64], const uint8_t *message, size_t length,
                  const uint8_t key[32])
{
    fake *of = context;
    seen.calls++;
    memcpy(seen.message, message, length);
    seen.length = length;
    memcpy(seen.key, key, 32);
    return of == &f && seen.good && memcmp(signature, seen.good, 64) == 0 ? 0 : -1;
}

static void trust(uint8_t count)
{
    fake_new(&f);
    memset(&seen, 0, sizeof seen);
    f.config.keys = (const uint8_t(*)[32])keys;
    f.config.key_count = count;
    f.config.verify = verify;
}

/* The fields, as manifests.py writes them. */
static size_t shown(const lv_manifest *m, uint8_t *out)
{
    const uint32_t numbers[] = {m->counter, m->abi, m->tiers, m->profile, m->size, m->expiry_s};
    uint8_t *p = out;
    for (int k = 0; k < 6; k++)
        for (int bit = 0; bit < 32; bit += 8)
            *p++ = (uint8_t)(numbers[k] >> bit);
    const char *const texts[] = {m->name, m->version, m->target};
    for (int k = 0; k < 3; k++, p += 33)
        memcpy(p, texts[k], 33);
    memcpy(p, m->sha256, 32);
    memcpy(p + 32, m->schema, 8);
    p[40] = m->has_nonce;
    memcpy(p + 41, m->nonce, 16);
    return (size_t)(p + 57 - out);
}

lv_status unit_open_manifest(const uint8_t *envelope, size_t length, uint8_t *out, size_t *used)
{
    lv_manifest m;
    fake_new(&f);
    lv_status status = lv_manifest_open(&f.config, envelope, length, &m);
    if (status == LV_OK)
        *used = shown(&m, out);
    return status;
}

lv_status unit_verify_manifest(const uint8_t key[32], const uint8_t *signature,
                               const uint8_t *envelope, size_t length)
{
    lv_manifest m;
    trust(2);
    memcpy(keys[1], key, 32);
    seen.good = signature;
    lv_status status = lv_manifest_open(&f.config, envelope, length, &m);
    memset(keys[1], 4, 32);
    return status == LV_OK && m.key != 1 ? LV_NAK_UNKNOWN : status;
}

const uint8_t *unit_verified(size_t *length)
{
    *length = seen.length;
    return seen.message;
}

/* --- whose signature ---------------------------------------------------------------------------- */

static void id_of(const uint8_t key[32], uint8_t id[8])
{
    uint8_t digest[32];
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, key, 32);
    lv_sha256_end(&sha, digest);
    memcpy(id, digest, 8);
}

/* An envelope of `count` signatures, each full of one byte, around a manifest. */
static size_t envelope_of(uint8_t *out, int count, const uint8_t *const signers[],
                          const uint8_t *manifest, uint8_t length)
{
    uint8_t *p = out;
    *p++ = 0xA2;
    *p++ = 0x02;
    *p++ = (uint8_t)(0x80 + count);
    for (int k = 0; k < count; k++) {
        *p++ = 0x82;
        *p++ = 0x48;
        id_of(signers[k], p);
        p += 8;
        *p++ = 0x58;
        *p++ = 64;
        memset(p, 0x11 * (k + 1), 64);
        p += 64;
    }
    *p++ = 0x03;
    *p++ = 0x58;
    *p++ = length;
    memcpy(p, manifest, length);
    return (size_t)(p + length - out);
}

/* That of version 1 of a module m for all, 9 bytes long, counter 1. */
static const uint8_t minimal[] = {
    0xAB, 0x01, 0x01, 0x02, 0x01, 0x20, 0x61, 'm',  0x21, 0x61, '1',  0x22, 0x61, '*',
    0x23, 0x01, 0x24, 0x01, 0x25, 0x01, 0x26, 0x09, 0x27, 0x58, 0x20, 1,    2,    3,
    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   16,   17,
    18,   19,   20,   21,   22,   23,   24,   25,   26,   27,   28,   29,   30,   31,
    32,   0x28, 0x48, 1,    2,    3,    4,    5,    6,    7,    8};
static const uint8_t stranger[32] = {99};
static uint8_t first[64];
static uint8_t second[64];

static lv_status open_signed(int count, const uint8_t *const signers[], lv_manifest *m)
{
    uint8_t envelope[300];
    size_t length = envelope_of(envelope, count, signers, minimal, sizeof minimal);
    memset(first, 0x11, sizeof first);
    memset(second, 0x22, sizeof second);
    return lv_manifest_open(&f.config, envelope, length, m);
}

static void a_signature_of_either_trusted_key_counts(void)
{
    lv_manifest m;
    for (uint8_t k = 0; k < 2; k++) {
        trust(2);
        seen.good = first;
        EXPECT(open_signed(1, (const uint8_t *const[]){keys[k]}, &m) == LV_OK);
        EXPECT(m.key == k && seen.calls == 1 && memcmp(seen.key, keys[k], 32) == 0);
        EXPECT(m.counter == 1 && m.size == 9 && strcmp(m.name, "m") == 0 && !m.has_nonce);
    }
}

static void what_is_verified_is_the_domain_and_the_manifest(void)
{
    lv_manifest m;
    trust(1);
    seen.good = first;
    EXPECT(open_signed(1, (const uint8_t *const[]){keys[0]}, &m) == LV_OK);
    EXPECT(seen.length == 18 + sizeof minimal);
    EXPECT(memcmp(seen.message, "levada-manifest-1", 18) == 0);
    EXPECT(memcmp(seen.message + 18, minimal, sizeof minimal) == 0);
}

static void a_signature_that_does_not_hold_is_none(void)
{
    lv_manifest m;
    trust(2);
    EXPECT(open_signed(1, (const uint8_t *const[]){keys[0]}, &m) == LV_NAK_SIGNATURE);
    EXPECT(seen.calls == 1);
    seen.good = second; /* another one */
    EXPECT(open_signed(1, (const uint8_t *const[]){keys[0]}, &m) == LV_NAK_SIGNATURE);
}

static void a_key_that_is_not_trusted_is_not_asked(void)
{
    lv_manifest m;
    trust(2);
    seen.good = first;
    EXPECT(open_signed(1, (const uint8_t *const[]){stranger}, &m) == LV_NAK_SIGNATURE);
    EXPECT(seen.calls == 0);
    trust(1); /* the second is none of its keys */
    seen.good = first;
    EXPECT(open_signed(1, (const uint8_t *const[]){keys[1]}, &m) == LV_NAK_SIGNATURE);
    EXPECT(seen.calls == 0);
}

static void one_good_signature_of_two_is_enough(void)
{
    lv_manifest m;
    trust(2);
    seen.good = second;
    EXPECT(open_signed(2, (const uint8_t *const[]){stranger, keys[1]}, &m) == LV_OK && m.key == 1);
    seen.good = second; /* the first one of the two is wrong */
    EXPECT(open_signed(2, (const uint8_t *const[]){keys[0], keys[1]}, &m) == LV_OK && m.key == 1);
    seen.good = first;
    EXPECT(open_signed(2, (const uint8_t *const[]){keys[1], keys[0]}, &m) == LV_OK && m.key == 1);
    EXPECT(open_signed(2, (const uint8_t *const[]){keys[1], stranger}, &m) == LV_OK && m.key == 1);
    seen.good = NULL;
    EXPECT(open_signed(2, (const uint8_t *const[]){keys[0], keys[1]}, &m) == LV_NAK_SIGNATURE);
}

static void two_signatures_of_one_key_are_malformed(void)
{
    lv_manifest m;
    trust(2);
    seen.good = first;
    EXPECT(open_signed(2, (const uint8_t *const[]){keys[0], keys[0]}, &m) == LV_NAK_VALUE);
}

static void a_device_without_keys_asks_nobody(void)
{
    lv_manifest m;
    trust(0);
    f.config.keys = NULL;
    f.config.verify = NULL;
    EXPECT(open_signed(1, (const uint8_t *const[]){stranger}, &m) == LV_OK && m.key == 0);
    EXPECT(lv_manifest_open(&f.config, NULL, 0, &m) == LV_NAK_SIGNATURE);
}

static void what_is_too_long_or_empty_is_refused_before_anything_is_read(void)
{
    static uint8_t envelope[LV_ENVELOPE_BYTES + 1];
    lv_manifest m;
    trust(1);
    EXPECT(lv_manifest_open(&f.config, NULL, 0, &m) == LV_NAK_SIGNATURE);
    EXPECT(lv_manifest_open(&f.config, envelope, sizeof envelope, &m) == LV_NAK_SIZE);
    EXPECT(lv_manifest_open(&f.config, envelope, sizeof envelope - 1, &m) == LV_NAK_VALUE);
    EXPECT(seen.calls == 0);
}

static void the_longest_envelope_is_verified_whole(void)
{
    static uint8_t envelope[LV_ENVELOPE_BYTES];
    lv_manifest m;
    trust(1);
    seen.good = first;
    memset(envelope, 0xAB, sizeof envelope);
    size_t head = envelope_of(envelope, 1, (const uint8_t *const[]){keys[0]}, minimal, 0) - 2;
    uint16_t rest = (uint16_t)(sizeof envelope - head - 3);
    envelope[head] = 0x59;
    envelope[head + 1] = (uint8_t)(rest >> 8);
    envelope[head + 2] = (uint8_t)rest;
    memset(first, 0x11, sizeof first);
    EXPECT(lv_manifest_open(&f.config, envelope, sizeof envelope, &m) == LV_NAK_VALUE);
    EXPECT(seen.calls == 1 && seen.length == 18u + rest);
}

static void a_manifest_is_not_read_before_its_signature_holds(void)
{
    uint8_t envelope[200];
    uint8_t broken[sizeof minimal];
    lv_manifest m;
    memcpy(broken, minimal, sizeof broken);
    broken[0] = 0xFF;
    trust(1);
    size_t length =
        envelope_of(envelope, 1, (const uint8_t *const[]){keys[0]}, broken, sizeof broken);
    EXPECT(lv_manifest_open(&f.config, envelope, length, &m) == LV_NAK_SIGNATURE);
    memset(first, 0x11, sizeof first);
    seen.good = first;
    EXPECT(lv_manifest_open(&f.config, envelope, length, &m) == LV_NAK_VALUE);
}

/* --- who may install ---------------------------------------------------------------------------- */

static const uint8_t digest[32] = {1};
static const uint8_t other_digest[32] = {2};
static const uint8_t nonce[LV_NONCE_BYTES] = {3};
static const uint8_t other_nonce[LV_NONCE_BYTES] = {3, 1};

static lv_manifest manifest(void)
{
    lv_manifest m = {.counter = 5,
                     .abi = LV_ABI_VERSION,
                     .tiers = LV_TIER_EDGE,
                     .profile = LV_FEATURE_PROFILE,
                     .size = 1000,
                     .target = "zone1"};
    memcpy(m.sha256, digest, sizeof digest);
    return m;
}

static lv_manifest_reader reader(void)
{
    return (lv_manifest_reader){.node = "zone1",
                                .tier = LV_TIER_EDGE,
                                .room = 1000,
                                .counter = 5,
                                .sha256 = digest,
                                .time_s = 2000,
                                .nonce = nonce};
}

/* What is permitted after a change of the manifest, and of its reader. */
#define PERMITS(change_m, change_by, status)                                                       \
    do {                                                                                           \
        lv_manifest m = manifest();                                                                \
        lv_manifest_reader by = reader();                                                          \
        change_m;                                                                                  \
        change_by;                                                                                 \
        EXPECT(lv_manifest_permits(&m, &by) == (status));                                          \
    } while (0)
#define SAME (void)0

static void a_module_is_for_one_node_or_for_all(void)
{
    PERMITS(SAME, SAME, LV_OK);
    PERMITS(SAME, by.node = "zone2", LV_NAK_TARGET);
    PERMITS(SAME, by.node = "zone", LV_NAK_TARGET);
    PERMITS(strcpy(m.target, "*"), by.node = "zone2", LV_OK);
    PERMITS(strcpy(m.target, "**"), SAME, LV_NAK_TARGET);
}

static void a_module_of_another_tier_abi_or_profile_is_refused(void)
{
    PERMITS(m.tiers = LV_TIER_FOG | LV_TIER_CLOUD, SAME, LV_NAK_TARGET);
    PERMITS(m.tiers = 7, by.tier = LV_TIER_CLOUD, LV_OK);
    PERMITS(m.abi = LV_ABI_VERSION + 1, SAME, LV_NAK_TARGET);
    PERMITS(m.abi = LV_ABI_VERSION - 1, SAME, LV_NAK_TARGET);
    PERMITS(m.profile = LV_FEATURE_PROFILE + 1, SAME, LV_NAK_TARGET);
}

static void a_module_must_fit(void)
{
    PERMITS(m.size = 1001, SAME, LV_NAK_SIZE);
    PERMITS(m.size = UINT32_MAX, SAME, LV_NAK_SIZE);
}

static void a_manifest_expires_if_the_time_is_known(void)
{
    PERMITS(m.expiry_s = 2000, SAME, LV_OK);
    PERMITS(m.expiry_s = 1999, SAME, LV_NAK_EXPIRED);
    PERMITS(m.expiry_s = 1, by.time_s = 0, LV_OK);
    PERMITS(m.expiry_s = 0, by.time_s = UINT32_MAX, LV_OK);
}

static void an_older_release_is_refused_and_so_is_another_of_the_same_number(void)
{
    PERMITS(m.counter = 4, SAME, LV_NAK_ROLLBACK);
    PERMITS(m.counter = 6, by.sha256 = other_digest, LV_OK);
    PERMITS(SAME, by.sha256 = other_digest, LV_NAK_ROLLBACK);
    PERMITS(m.counter = 1, (by.counter = 0, by.sha256 = NULL), LV_OK);
    PERMITS(m.counter = UINT32_MAX, SAME, LV_OK);
}

static void the_answer_to_this_request_may_be_older_to_another_one_not(void)
{
#define ANSWER(to) (m.has_nonce = true, memcpy(m.nonce, to, sizeof m.nonce))
    PERMITS((ANSWER(nonce), m.counter = 1), SAME, LV_OK);
    PERMITS(ANSWER(nonce), by.sha256 = other_digest, LV_OK);
    PERMITS(ANSWER(other_nonce), SAME, LV_NAK_EXPIRED);
    PERMITS((ANSWER(other_nonce), m.counter = 6), SAME, LV_NAK_EXPIRED);
    PERMITS(ANSWER(nonce), by.nonce = NULL, LV_NAK_EXPIRED);
    PERMITS((ANSWER(nonce), m.expiry_s = 1), SAME, LV_NAK_EXPIRED);
    PERMITS((ANSWER(nonce), m.size = 1001), SAME, LV_NAK_SIZE);
    PERMITS(ANSWER(nonce), by.node = "zone2", LV_NAK_TARGET);
}

const unit_test manifest_tests[] = {
    TEST(a_signature_of_either_trusted_key_counts),
    TEST(what_is_verified_is_the_domain_and_the_manifest),
    TEST(a_signature_that_does_not_hold_is_none),
    TEST(a_key_that_is_not_trusted_is_not_asked),
    TEST(one_good_signature_of_two_is_enough),
    TEST(two_signatures_of_one_key_are_malformed),
    TEST(a_device_without_keys_asks_nobody),
    TEST(what_is_too_long_or_empty_is_refused_before_anything_is_read),
    TEST(the_longest_envelope_is_verified_whole),
    TEST(a_manifest_is_not_read_before_its_signature_holds),
    TEST(a_module_is_for_one_node_or_for_all),
    TEST(a_module_of_another_tier_abi_or_profile_is_refused),
    TEST(a_module_must_fit),
    TEST(a_manifest_expires_if_the_time_is_known),
    TEST(an_older_release_is_refused_and_so_is_another_of_the_same_number),
    TEST(the_answer_to_this_request_may_be_older_to_another_one_not),
    {NULL, NULL},
};
