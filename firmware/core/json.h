/*
 * JSON without a tree: a text is checked once as a whole, and then read where it lies; another is
 * written into the caller's memory.
 *
 * No allocation and no recursion, so that no message decides how much stack or heap it takes: what
 * is nested deeper than LV_JSON_DEPTH is refused.
 */
#ifndef LEVADA_JSON_H
#define LEVADA_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LV_JSON_DEPTH = 16 };

typedef enum {
    LV_JSON_OK = 0,
    LV_JSON_MALFORMED = -1, /* also: not UTF-8, or half of a surrogate pair */
    LV_JSON_DEEP = -2,      /* nested deeper than LV_JSON_DEPTH */
} lv_json_status;

/* One value in a text that lv_json_read has accepted, valid as long as the text is; `at` is NULL:
 * none.  All that is asked of none, or of another kind of value, answers false. */
typedef struct {
    const char *at;
    const char *end; /* of the whole text */
} lv_json;

/* The one value that a text of `length` bytes consists of, or why there is none, and then *root is
 * none.  *root refers to the text, which needs no NUL. */
lv_json_status lv_json_read(const char *text, size_t length, lv_json *root);

/* Whether it is an object, an array, a text. */
bool lv_json_is_object(lv_json value);
bool lv_json_is_array(lv_json value);
bool lv_json_is_text(lv_json value);
/* A number without fraction and exponent, of 18 digits at most; *number is set if it is one. */
bool lv_json_integer(lv_json value, int64_t *number);
/* Whether it is this text, which a NUL closes. */
bool lv_json_equals(lv_json value, const char *text);
/* A text into `out` of `size` bytes, closed by NUL; false if it has no room there, or holds a NUL
 * itself, and then `out` is not to be used. */
bool lv_json_copy(lv_json value, char *out, size_t size);

/* Step through an object or array: set *value to none before the first.  False after the last.
 * `name` (NULL: not wanted) is none in an array. */
bool lv_json_next(lv_json of, lv_json *name, lv_json *value);
/* The first member of that name, or none. */
lv_json lv_json_member(lv_json object, const char *name);

/* Writes an object.  What has no room is left out, and lv_json_end says so. */
typedef struct {
    char *out;
    size_t size;
    size_t length;
    bool full;
} lv_json_writer;

/* Begin an object in `size` bytes at `out`, which must outlive *w; 0 bytes are too few. */
void lv_json_begin(lv_json_writer *w, char *out, size_t size);
/* Of all below: `name` is that of a member, and NULL in an array; texts are UTF-8 closed by NUL. */

/* Open an object or array by its bracket, and close it by the other one. */
void lv_json_open(lv_json_writer *w, const char *name, char bracket);
void lv_json_close(lv_json_writer *w, char bracket);
/* Put a number, a truth value, a text. */
void lv_json_put_integer(lv_json_writer *w, const char *name, int64_t number);
void lv_json_put_bool(lv_json_writer *w, const char *name, bool value);
void lv_json_put_text(lv_json_writer *w, const char *name, const char *text);
/* Close the object: the whole text, closed by NUL, or NULL if it had no room. */
const char *lv_json_end(lv_json_writer *w);

#endif
