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

const unit_test frame_tests[] = {
    TEST(sha256_has_the_digests_of_its_standard),
    {NULL, NULL},
};
