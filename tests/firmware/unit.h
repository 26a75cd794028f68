/*
 * Unit tests of the core on a board made of memory; their names are sentences.
 *
 * A file of tests has a table of them, which unit.c lists.
 */
#ifndef LEVADA_UNIT_H
#define LEVADA_UNIT_H

#include "fake.h"
#include "json.h"

typedef struct {
    const char *name; /* NULL: the end of a table */
    void (*run)(void);
} unit_test;

#define TEST(name) {#name, name}

/* Leaves the test, and tells, unless the condition holds. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            unit_failed(__FILE__, __LINE__, #condition);                                           \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* Path of the file of vectors.py, or NULL. */
extern const char *unit_vectors;
void unit_failed(const char *file, int line, const char *condition);

extern fake f; /* the board */
extern const uint8_t old_guest[300];
extern const uint8_t new_guest[500];

/* A board with flash as it comes, the old guest installed. */
void ready(void);
/* Start the guest at 1 s, and step it with the readings 1, 2, 3, 4. */
lv_status start(void);
lv_status step(int64_t time_ms);
/* Two pins, 23 and 18, all calls permitted, and these budgets. */
lv_msg_configure limits(uint32_t calls, uint32_t log_bytes, uint32_t publish_bytes);
lv_text text(const char *bytes);
/* A guest that opens pin 23 in its step. */
int open_valve(fake *of, lv_export which, const int32_t *arguments, int32_t *result);

/* What the reader makes of a text, as the text of an object; *shown is NULL if that has no room. */
lv_json_status unit_show_json(const char *text, size_t length, char *out, size_t room,
                              const char **shown);

/* What a device without keys makes of an envelope: its fields, *used bytes at `out`. */
lv_status unit_open_manifest(const uint8_t *envelope, size_t length, uint8_t *out, size_t *used);
/* What one makes of it whose second key is this one, and to which only this signature holds; and the
 * message that was verified. */
lv_status unit_verify_manifest(const uint8_t key[32], const uint8_t *signature,
                               const uint8_t *envelope, size_t length);
const uint8_t *unit_verified(size_t *length);

#endif
