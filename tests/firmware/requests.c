/*
 * What the ESP32's port does with JSON from outside, as a program for this computer: its own sources
 * and the core on a board made of memory.
 *
 *     requests [stack bytes]
 *
 * Reads u32 length, one byte (`c` calibration, `a` acknowledgement, `s` settings) and the text, again
 * and again; for each it writes a line: the answer, or what has become of it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "calibration.h"
#include "fake.h"
#include "nvs.h"
#include "settings.h"

enum { MOST = 1 << 16 };

static fake f;
static int stored; /* settings since the last answer */
static char answer[CALIBRATION_ANSWER_BYTES];

/* The fake guest has parameter 0, from 0 to 100. */
static const char metadata[] =
    "{\"name\":\"fake\",\"version\":\"1\",\"parameters\":[{\"id\":0,\"name\":\"on_pct\"},"
    "{\"id\":9,\"name\":\"absent\"},{\"name\":\"no id\"},7]}";

int nvs_open(const char *space, int mode, nvs_handle_t *handle)
{
    (void)space;
    (void)mode;
    *handle = 1;
    return 0;
}

int nvs_get_str(nvs_handle_t handle, const char *key, char *out, size_t *size)
{
    (void)handle;
    (void)key;
    (void)out;
    (void)size;
    return -1;
}

int nvs_get_blob(nvs_handle_t handle, const char *key, void *out, size_t *size)
{
    return nvs_get_str(handle, key, out, size);
}

int nvs_set_str(nvs_handle_t handle, const char *key, const char *text)
{
    (void)handle;
    stored += strlen(key) > 0 && strlen(text) < SETTINGS_CA_BYTES;
    return 0;
}

int nvs_set_blob(nvs_handle_t handle, const char *key, const void *bytes, size_t size)
{
    (void)handle;
    (void)key;
    (void)bytes;
    (void)size;
    return 0;
}

int nvs_commit(nvs_handle_t handle)
{
    (void)handle;
    return 0;
}

static void install(void)
{
    static uint8_t module[8 + 2 + 1 + 6 + sizeof metadata] = {0, 'a', 's', 'm', 1};
    uint8_t *p = module + 8;
    size_t length = 1 + 6 + sizeof metadata - 1;
    *p++ = 0;
    *p++ = (uint8_t)(0x80 | (length & 0x7F));
    *p++ = (uint8_t)(length >> 7);
    *p++ = 6;
    memcpy(p, "levada", 6);
    memcpy(p + 6, metadata, sizeof metadata - 1);
    fake_new(&f);
    fake_boot(&f);
    if (fake_install(&f, module, (uint32_t)(p + 6 + sizeof metadata - 1 - module)) != 0)
        abort();
    calibration_configure(&f.node);
    const lv_msg_start start = {.time_ms = 1000};
    if (lv_node_start(&f.node, &start) != LV_OK)
        abort();
}

static void take(char kind, const char *text, uint32_t length)
{
    if (kind == 'c') {
        const char *said = calibration_take(&f.node, text, length, answer);
        printf("%s\n", said ? said : "-");
    } else if (kind == 'a') {
        for (int k = 0; k < 3; k++)
            lv_ring_put(&f.node.ring, 0, (const uint8_t *)"data", 4, (const uint8_t *)"{}", 2);
        printf("%d\n", calibration_acknowledge(&f.node, text, length));
    } else {
        stored = 0;
        bool good = settings_take(text, length);
        printf("%d %d\n", good, stored);
    }
}

static void *run(void *unused)
{
    uint8_t head[5];
    (void)unused;
    install();
    while (fread(head, sizeof head, 1, stdin) == 1) {
        uint32_t length = lv_get32(head);
        char *text = malloc(length ? length : 1); /* its end is guarded by the sanitizer */
        if (!text || length > MOST || (length && fread(text, length, 1, stdin) != 1))
            abort();
        take((char)head[4], text, length);
        free(text);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (count > 1 && pthread_attr_setstacksize(&attributes, (size_t)atol(arguments[1])) != 0)
        return 2;
    if (pthread_create(&thread, &attributes, run, NULL) != 0)
        return 2;
    return pthread_join(thread, NULL);
}
