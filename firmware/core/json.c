#include "json.h"

#include <string.h>

#include "contract.h"
#include "host.h"

enum { MOST_DIGITS = 18 };

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* --- text ------------------------------------------------------------------------------------- */

/* The 16 bits behind \u, or negative. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int k = 0; k < 4; k++) {
        int digit = hex_digit(p[k]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The code point behind \u, surrogate pairs put together, and where it ends; negative: malformed. */
static int32_t code_point(const char **p, const char *end)
{
    int32_t first = hex4(*p, end);
    if (first < 0 || (first >= 0xDC00 && first <= 0xDFFF))
        return -1;
    *p += 4;
    if (first < 0xD800 || first > 0xDFFF)
        return first;
    if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return -1;
    int32_t second = hex4(*p + 2, end);
    if (second < 0xDC00 || second > 0xDFFF)
        return -1;
    *p += 6;
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
}

static int encode(int32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const int32_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    for (int k = more; k > 0; k--, point >>= 6)
        out[k] = (char)(0x80 | (point & 0x3F));
    out[0] = (char)(lead[more] | point);
    return more + 1;
}

/* The bytes of the next character of a text, an escape resolved: their number, 0 at its closing
 * quote, negative if it is malformed. */
static int next_bytes(const char **p, const char *end, char out[4])
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (*p >= end || (unsigned char)**p < 0x20)
        return -1;
    char c = *(*p)++;
    if (c == '"')
        return 0;
    out[0] = c;
    if (c != '\\')
        return 1;
    if (*p >= end)
        return -1;
    c = *(*p)++;
    if (c == 'u') {
        int32_t point = code_point(p, end);
        return point < 0 ? -1 : encode(point, out);
    }
    const char *found = c ? strchr(escapes, c) : NULL;
    if (!found)
        return -1;
    out[0] = meanings[found - escapes];
    return 1;
}

/* Where a text ends that begins at `p`, or NULL. */
static const char *skip_text(const char *p, const char *end)
{
    char bytes[4];
    int count = -1;
    if (p < end && *p == '"')
        for (p++; (count = next_bytes(&p, end, bytes)) > 0;)
            ;
    return count == 0 ? p : NULL;
}

/* --- checking --------------------------------------------------------------------------------- */

static const char *skip_digits(const char *p, const char *end)
{
    const char *first = p;
    while (p < end && is_digit(*p))
        p++;
    return p > first ? p : NULL;
}

static const char *skip_number(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    p = p < end && *p == '0' ? p + 1 : skip_digits(p, end);
    if (p && p < end && *p == '.')
        p = skip_digits(p + 1, end);
    if (p && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = skip_digits(p, end);
    }
    return p;
}

static const char *skip_word(const char *p, const char *end)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        size_t size = strlen(words[k]);
        if ((size_t)(end - p) >= size && memcmp(p, words[k], size) == 0)
            return p + size;
    }
    return NULL;
}

static const char *skip_plain(const char *p, const char *end)
{
    if (p == end)
        return NULL;
    if (*p == '"')
        return skip_text(p, end);
    return *p == '-' || is_digit(*p) ? skip_number(p, end) : skip_word(p, end);
}

/* A member's name and its colon. */
static const char *skip_name(const char *p, const char *end)
{
    p = skip_text(skip_space(p, end), end);
    if (p)
        p = skip_space(p, end);
    return p && p < end && *p == ':' ? p + 1 : NULL;
}

static bool is_opening(char c) { return c == '{' || c == '['; }
static bool is_closing(char c) { return c == '}' || c == ']'; }

lv_json_status lv_json_read(const char *text, size_t length, lv_json *root)
{
    const char *end = text + length;
    const char *p = text;
    uint32_t objects = 0; /* bit 0: the innermost is an object, bit 1: the one around it ... */
    int depth = 0;
    _Static_assert(LV_JSON_DEPTH <= 32, "a bit for each level");

    LV_ASSERT(text || length == 0);
    *root = (lv_json){NULL, NULL};
    if (length > UINT32_MAX || !lv_utf8_valid((const uint8_t *)text, (uint32_t)length))
        return LV_JSON_MALFORMED;
    do {
        /* here a value begins */
        p = skip_space(p, end);
        if (p < end && is_opening(*p)) {
            if (depth++ == LV_JSON_DEPTH)
                return LV_JSON_DEEP;
            objects = objects << 1 | (*p == '{');
            p = skip_space(p + 1, end);
            if (p == end || !is_closing(*p)) {
                p = objects & 1 ? skip_name(p, end) : p;
                if (!p)
                    return LV_JSON_MALFORMED;
                continue;
            }
        } else {
            p = skip_plain(p, end);
            if (!p)
                return LV_JSON_MALFORMED;
        }
        /* here one has ended, or an empty one ends */
        for (p = skip_space(p, end); depth > 0 && p < end && is_closing(*p);
             p = skip_space(p + 1, end)) {
            if (*p != (objects & 1 ? '}' : ']'))
                return LV_JSON_MALFORMED;
            objects >>= 1;
            depth--;
        }
        if (depth == 0)
            break;
        if (p == end || *p++ != ',')
            return LV_JSON_MALFORMED;
        p = objects & 1 ? skip_name(p, end) : p;
        if (!p)
            return LV_JSON_MALFORMED;
    } while (p < end);
    if (depth || p != end)
        return LV_JSON_MALFORMED;
    *root = (lv_json){skip_space(text, end), end};
    return LV_JSON_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool begins(lv_json value, char c) { return value.at && *value.at == c; }

bool lv_json_is_object(lv_json value) { return begins(value, '{'); }
bool lv_json_is_array(lv_json value) { return begins(value, '['); }
bool lv_json_is_text(lv_json value) { return begins(value, '"'); }

bool lv_json_integer(lv_json value, int64_t *number)
{
    const char *p = value.at;
    if (!p || (*p != '-' && !is_digit(*p)))
        return false;
    bool negative = *p == '-';
    p += negative;
    int64_t found = 0;
    const char *first = p;
    for (; p < value.end && is_digit(*p); p++) {
        if (p - first == MOST_DIGITS)
            return false;
        found = 10 * found + (*p - '0');
    }
    if (p < value.end && (*p == '.' || *p == 'e' || *p == 'E'))
        return false;
    *number = negative ? -found : found;
    return true;
}

bool lv_json_equals(lv_json value, const char *text)
{
    char bytes[4];
    const char *p = value.at;
    int count;
    LV_ASSERT(text);
    if (!lv_json_is_text(value))
        return false;
    for (p++; (count = next_bytes(&p, value.end, bytes)) > 0;)
        for (int k = 0; k < count; k++)
            if (*text == 0 || *text++ != bytes[k])
                return false;
    return *text == 0;
}

bool lv_json_copy(lv_json value, char *out, size_t size)
{
    char bytes[4];
    size_t used = 0;
    const char *p = value.at;
    int count;
    if (!lv_json_is_text(value))
        return false;
    for (p++; (count = next_bytes(&p, value.end, bytes)) > 0; used += (size_t)count) {
        if (used + (size_t)count >= size || bytes[0] == 0)
            return false;
        memcpy(out + used, bytes, (size_t)count);
    }
    if (used >= size)
        return false;
    out[used] = 0;
    return true;
}

/* Where a value ends, in a text that was checked. */
static const char *skip_value(const char *p, const char *end)
{
    int depth = 0;
    if (!is_opening(*p))
        return skip_plain(p, end);
    do {
        depth += is_opening(*p) - is_closing(*p);
        p = *p == '"' ? skip_text(p, end) : p + 1;
    } while (depth > 0);
    return p;
}

bool lv_json_next(lv_json of, lv_json *name, lv_json *value)
{
    const char *p = value->at;
    bool object = lv_json_is_object(of);
    if (!object && !lv_json_is_array(of))
        return false;
    p = skip_space(p ? skip_value(p, of.end) : of.at + 1, of.end);
    if (is_closing(*p))
        return false;
    if (value->at) /* the comma */
        p = skip_space(p + 1, of.end);
    if (name)
        *name = (lv_json){object ? p : NULL, of.end};
    if (object)
        p = skip_space(skip_name(p, of.end), of.end);
    *value = (lv_json){p, of.end};
    return true;
}

lv_json lv_json_member(lv_json object, const char *name)
{
    lv_json key;
    lv_json value = {NULL, NULL};
    if (lv_json_is_object(object))
        while (lv_json_next(object, &key, &value))
            if (lv_json_equals(key, name))
                return value;
    return (lv_json){NULL, NULL};
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put(lv_json_writer *w, const char *bytes, size_t count)
{
    if (w->full || w->size - w->length <= count) { /* and a NUL behind it */
        w->full = true;
        return;
    }
    memcpy(w->out + w->length, bytes, count);
    w->length += count;
}

static void put_quoted(lv_json_writer *w, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    put(w, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char escaped[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        if (c == '"' || c == '\\')
            put(w, (const char[]){'\\', (char)c}, 2);
        else if (c < 0x20)
            put(w, escaped, sizeof escaped);
        else
            put(w, text, 1);
    }
    put(w, "\"", 1);
}

static void put_name(lv_json_writer *w, const char *name)
{
    if (w->length && !is_opening(w->out[w->length - 1]))
        put(w, ",", 1);
    if (name) {
        put_quoted(w, name);
        put(w, ":", 1);
    }
}

void lv_json_begin(lv_json_writer *w, char *out, size_t size)
{
    LV_ASSERT(out || size == 0);
    *w = (lv_json_writer){.out = out, .size = size, .full = size == 0};
    lv_json_open(w, NULL, '{');
}

void lv_json_open(lv_json_writer *w, const char *name, char bracket)
{
    LV_ASSERT(is_opening(bracket));
    put_name(w, name);
    put(w, &bracket, 1);
}

void lv_json_close(lv_json_writer *w, char bracket)
{
    LV_ASSERT(is_closing(bracket));
    put(w, &bracket, 1);
}

void lv_json_put_integer(lv_json_writer *w, const char *name, int64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t left = number < 0 ? 0u - (uint64_t)number : (uint64_t)number;
    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    put_name(w, name);
    if (number < 0)
        put(w, "-", 1);
    put(w, digits + at, sizeof digits - at);
}

void lv_json_put_bool(lv_json_writer *w, const char *name, bool value)
{
    put_name(w, name);
    put(w, value ? "true" : "false", value ? 4 : 5);
}

void lv_json_put_text(lv_json_writer *w, const char *name, const char *text)
{
    LV_ASSERT(text);
    put_name(w, name);
    put_quoted(w, text);
}

const char *lv_json_end(lv_json_writer *w)
{
    lv_json_close(w, '}');
    if (w->full)
        return NULL;
    w->out[w->length] = 0;
    return w->out;
}
