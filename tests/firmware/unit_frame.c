/* Frames and checksums. */
#include <string.h>

#include "unit.h"

static void sha256_has_the_digests_of_its_standard(void)
{
    /* FIPS 180-4 examples: "abc", and a million times "a" */
    static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf};
    static const uint8_t million[4] = {0xcd, 0xc7, 0x6e, 0x5c};
    uint8_t digest[32];
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, (const uint8_t *)"abc", 3);
    lv_sha256_end(&sha, digest);
    EXPECT(memcmp(digest, abc, 4) == 0);
    lv_sha256_begin(&sha);
    for (int k = 0; k < 1000000; k++)
        lv_sha256_add(&sha, (const uint8_t *)"a", 1);
    lv_sha256_end(&sha, digest);
    EXPECT(memcmp(digest, million, 4) == 0);
}

static lv_frame_status feed(lv_frame_decoder *d, const uint8_t *bytes, size_t length)
{
    lv_frame_status last = LV_FRAME_NONE;
    for (size_t k = 0; k < length; k++)
        last = lv_frame_feed(d, bytes[k]);
    return last;
}

static void the_longest_frame_is_read_and_one_with_more_behind_it_is_not(void)
{
    static lv_frame_decoder d;
    static const uint8_t more[3] = {2, 0x55, 0}; /* COBS: a zero and 0x55, the end */
    static uint8_t body[LV_MAX_BODY];
    static uint8_t frame[LV_FRAME_ENCODED];
    memset(body, 7, sizeof body);
    size_t length = lv_frame_encode(LV_MSG_PING, 3, body, sizeof body, frame);
    lv_frame_reset(&d);
    EXPECT(feed(&d, frame, length) == LV_FRAME_READY && d.length == LV_MAX_BODY);
    EXPECT(memcmp(d.body, body, sizeof body) == 0);
    EXPECT(feed(&d, frame, length - 1) == LV_FRAME_NONE);
    EXPECT(feed(&d, more, sizeof more) == LV_FRAME_OVERRUN);
    EXPECT(feed(&d, frame, length) == LV_FRAME_READY && d.sequence == 3);
}

const unit_test frame_tests[] = {
    TEST(sha256_has_the_digests_of_its_standard),
    TEST(the_longest_frame_is_read_and_one_with_more_behind_it_is_not),
    {NULL, NULL},
};
