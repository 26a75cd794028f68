/*
 * Whose modules this board takes: up to two public keys of Ed25519, built in by Kconfig.
 *
 * They are part of the image, so that whoever can write NVS or reach the line cannot change them, and
 * secure boot covers them where it is in use.
 */
#ifndef LEVADA_TRUST_H
#define LEVADA_TRUST_H

#include "../../../core/config.h"

/* Read the keys: how many there are.  A text that is none ends the start, since a board without keys
 * takes every module. */
uint8_t trust_load(uint8_t keys[LV_KEYS][32]);
/* `verify` of lv_config, by libsodium. */
int trust_verify(void *context, const uint8_t signature[64], const uint8_t *message, size_t length,
                 const uint8_t key[32]);

#endif
