/*
 * Ed25519 by libsodium, for this computer and for emulated ones.
 *
 * Only the four files of libsodium that verify a signature are compiled, as they are; what they need
 * of the rest stands here.  The ESP32 has all of libsodium, of the same version.
 */
#include <string.h>

#include "crypto_hash_sha512.h"
#include "crypto_sign_ed25519.h"
#include "sign_ed25519_ref10.h"
#include "sys.h"
#include "utils.h"

int lv_verify(const uint8_t signature[64], const uint8_t *message, size_t length,
              const uint8_t key[32])
{
    return crypto_sign_ed25519_verify_detached(signature, message, length, key);
}

void _crypto_sign_ed25519_ref10_hinit(crypto_hash_sha512_state *state, int prehashed)
{
    if (prehashed) /* Ed25519ph, which nobody here asks for */
        lv_sys_exit(70);
    crypto_hash_sha512_init(state);
}

int sodium_memcmp(const void *one, const void *other, size_t length)
{
    return memcmp(one, other, length) ? -1 : 0; /* all that is compared is public */
}

void sodium_memzero(void *bytes, size_t length) { memset(bytes, 0, length); }

int sodium_is_zero(const unsigned char *bytes, size_t length)
{
    while (length && !bytes[length - 1])
        length--;
    return length == 0;
}
