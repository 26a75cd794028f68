/*
 * What this board is to know and no source may say: broker, credentials, name, counts of the probe.
 * Everything lies in NVS; Kconfig gives name and broker if nothing else does.
 */
#ifndef LEVADA_SETTINGS_H
#define LEVADA_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SETTINGS_CA_BYTES = 3072,   /* two authorities with RSA keys */
    SETTINGS_CERT_BYTES = 2048, /* ours; `levada pki issue` makes one of 700 */
    SETTINGS_KEY_BYTES = 2048,
};

typedef struct {
    char node[32];
    char uri[128];
    char user[64];
    char password[64];
    char ca[SETTINGS_CA_BYTES];     /* PEM; empty: the bundle */
    char cert[SETTINGS_CERT_BYTES]; /* PEM; empty: a password alone says who this is */
    char key[SETTINGS_KEY_BYTES];   /* PEM, not encrypted */
    int32_t counts[3];              /* dry, wet, limit */
} settings;

const settings *settings_load(void);
/* Take a JSON object with any of node, uri, user, password, ca, cert, key: true if all of it was
 * understood and stored.  Nothing is stored otherwise. */
bool settings_take(const char *json, size_t length);
/* Keep the counts of the probe. */
bool settings_keep_counts(const int32_t counts[3]);

#endif
