/* JSON. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "unit.h"

static void show(lv_json_writer *w, const char *name, lv_json value)
{
    static char text[1 << 14];
    int64_t number;
    bool object = lv_json_is_object(value);
    if (object || lv_json_is_array(value)) {
        lv_json key;
        lv_json item = {NULL, NULL};
        lv_json_open(w, name, '[');
        while (lv_json_next(value, &key, &item)) {
            if (object) {
                lv_json_open(w, NULL, '[');
                show(w, NULL, key);
            }
            show(w, NULL, item);
            if (object)
                lv_json_close(w, ']');
        }
        lv_json_put_text(w, NULL, object ? "object" : "array");
        lv_json_close(w, ']');
    } else if (lv_json_integer(value, &number))
        lv_json_put_integer(w, name, number);
    else if (lv_json_copy(value, text, sizeof text))
        lv_json_put_text(w, name, text);
    else
        lv_json_put_text(w, name, "null");
}

lv_json_status unit_show_json(const char *text, size_t length, char *out, size_t room,
                              const char **shown)
{
    lv_json root;
    lv_json_writer w;
    lv_json_status status = lv_json_read(text, length, &root);
    if (status != LV_JSON_OK)
        return status;
    lv_json_begin(&w, out, room);
    show(&w, "value", root);
    *shown = lv_json_end(&w);
    return status;
}

static int read_nested(int depth, char open, char close)
{
    static char bytes[4096];
    lv_json root;
    int length = 0;
    for (int k = 0; k < depth; k++) {
        bytes[length++] = open;
        if (open == '{' && k < depth - 1)
            for (const char *name = "\"a\":"; *name;)
                bytes[length++] = *name++;
    }
    for (int k = 0; k < depth; k++)
        bytes[length++] = close;
    return lv_json_read(bytes, (size_t)length, &root);
}

static void json_nested_deeper_than_the_limit_is_refused_however_deep(void)
{
    EXPECT(read_nested(LV_JSON_DEPTH, '[', ']') == 0 && read_nested(LV_JSON_DEPTH, '{', '}') == 0);
    EXPECT(read_nested(LV_JSON_DEPTH + 1, '[', ']') == LV_JSON_DEEP);
    EXPECT(read_nested(LV_JSON_DEPTH + 1, '{', '}') == LV_JSON_DEEP);
    EXPECT(read_nested(400, '{', '}') == LV_JSON_DEEP && read_nested(2000, '[', ']') == LV_JSON_DEEP);
}

static void json_that_has_no_room_is_not_written_in_part(void)
{
    static const char whole[] = "{\"name\":\"a\\\"\\u0001\",\"n\":[-9,true],\"o\":{}}";
    char out[sizeof whole];
    for (size_t size = 0; size <= sizeof whole; size++) {
        lv_json_writer w;
        lv_json_begin(&w, out, size);
        lv_json_put_text(&w, "name", "a\"\1");
        lv_json_open(&w, "n", '[');
        lv_json_put_integer(&w, NULL, -9);
        lv_json_put_bool(&w, NULL, true);
        lv_json_close(&w, ']');
        lv_json_open(&w, "o", '{');
        lv_json_close(&w, '}');
        const char *text = lv_json_end(&w);
        EXPECT((text != NULL) == (size == sizeof whole));
        EXPECT(!text || strcmp(text, whole) == 0);
    }
}

/* The value of a text that lies in memory no longer than it, so that a sanitizer notices whoever
 * reads on; the memory is that of the value before. */
static lv_json value_of(const char *text)
{
    static char *bytes;
    lv_json value;
    size_t length = strlen(text);
    free(bytes);
    bytes = malloc(length);
    if (!bytes || lv_json_read(memcpy(bytes, text, length), length, &value) != LV_JSON_OK)
        return (lv_json){NULL, NULL};
    return value;
}

static void a_text_equals_another_whatever_is_escaped_in_it(void)
{
    static const struct {
        const char *json, *text;
        bool equal;
    } rows[] = {
        {"\"\"", "", true},          {"\"\"", "a", false},       {"\"a\"", "", false},
        {"\"on\"", "on", true},      {"\"on\"", "one", false},   {"\"one\"", "on", false},
        {"\"on\"", "om", false},     {"\"on\"", "in", false},    {"\"on\"", "no", false},
        {"\"\\u0061\"", "a", true}, {"\"a\\/b\"", "a/b", true}, {"\"\\n\"", "\n", true},
        {"\"\\n\"", "n", false},    {"\"\\\"\"", "\"", true},   {"\"\\\\\"", "\\", true},
        /* U+00E9, U+20AC and U+1F4A7 as UTF-8, and what differs from them in the last byte */
        {"\"\\u00e9\"", "\xC3\xA9", true},
        {"\"\xC3\xA9\"", "\xC3\xA9", true},
        {"\"\\u00e9\"", "\xC3\xA8", false},
        {"\"\\u00e9\"", "\xC3", false},
        {"\"\\u20AC\"", "\xE2\x82\xAC", true},
        {"\"\\u20AC\"", "\xE2\x82\xAD", false},
        {"\"\\ud83d\\udca7\"", "\xF0\x9F\x92\xA7", true},
        {"\"\\ud83d\\udca7\"", "\xF0\x9F\x92\xA6", false},
        /* no text that a NUL closes has one inside */
        {"\"\\u0000\"", "", false}, {"\"a\\u0000\"", "a", false}, {"\"a\\u0000b\"", "a", false},
        /* other kinds are no texts */
        {"1", "1", false},           {"true", "true", false},     {"null", "null", false},
        {"[\"a\"]", "a", false},     {"{\"a\":1}", "a", false},   {"{}", "", false},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        EXPECT(lv_json_equals(value_of(rows[k].json), rows[k].text) == rows[k].equal);
    EXPECT(!lv_json_equals((lv_json){NULL, NULL}, ""));
}

static void a_member_is_found_by_its_name_the_first_of_several_and_none_within_another(void)
{
    static const struct {
        const char *json, *name;
        int64_t number; /* 0: there is none */
    } rows[] = {
        {"{\"a\":1}", "a", 1},
        {"{\"a\":1,\"b\":2,\"c\":3}", "b", 2},
        {"{\"a\":1,\"b\":2,\"c\":3}", "c", 3},
        {"{\"a\":1,\"a\":2}", "a", 1},
        {"{\"ab\":1,\"a\":2}", "a", 2},
        {"{\"a\":1,\"ab\":2}", "ab", 2},
        {"{\"\":5}", "", 5},
        {"{\"\\u0061\":6}", "a", 6},
        {"{\"x\":{\"a\":1},\"a\":2}", "a", 2},
        {"{\"x\":[{\"a\":1}, [ ] ],\"a\":3}", "a", 3},
        {"{\"x\":\"a\",\"a\":4}", "a", 4},
        {"{\"x\":\"}]\\\"\",\"a\":7}", "a", 7},
        {" { \"b\" : 1 , \"a\" : 8 } ", "a", 8},
        {"{\"x\":-1.5e+3,\"y\":null,\"z\":false,\"a\":9}", "a", 9},
        {"{\"b\":1}", "a", 0},
        {"{\"x\":{\"a\":1}}", "a", 0},
        {"{}", "a", 0},
        {"[\"a\",1]", "a", 0},
        {"\"a\"", "a", 0},
        {"17", "a", 0},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        int64_t number = 0;
        lv_json member = lv_json_member(value_of(rows[k].json), rows[k].name);
        EXPECT(lv_json_integer(member, &number) == (rows[k].number != 0));
        EXPECT(number == rows[k].number && (member.at != NULL) == (number != 0));
    }
    EXPECT(lv_json_member((lv_json){NULL, NULL}, "a").at == NULL);
}

static void what_is_no_json_leaves_no_value(void)
{
    static const char *const texts[] = {"", "[1", "{\"a\":1}}", "\"\xFF\"", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        lv_json root = {texts[0], texts[0]};
        EXPECT(lv_json_read(texts[k], strlen(texts[k]), &root) != LV_JSON_OK);
        EXPECT(root.at == NULL && root.end == NULL);
    }
}

static void nothing_has_no_kind_no_value_and_nothing_in_it(void)
{
    const lv_json none = {NULL, NULL};
    lv_json name = none;
    lv_json value = none;
    char out[4] = "abc";
    int64_t number = 5;
    EXPECT(!lv_json_is_object(none) && !lv_json_is_array(none) && !lv_json_is_text(none));
    EXPECT(!lv_json_integer(none, &number) && number == 5);
    EXPECT(!lv_json_copy(none, out, sizeof out) && !lv_json_next(none, &name, &value));
    EXPECT(!lv_json_next(value_of("\"{\""), &name, &value));
    EXPECT(!lv_json_next(value_of("12"), &name, &value));
    EXPECT(!lv_json_copy(value_of("12"), out, sizeof out) && strcmp(out, "abc") == 0);
    EXPECT(!lv_json_integer(value_of("\"1\""), &number));
    EXPECT(!lv_json_integer(value_of("true"), &number));
}

static void an_integer_has_18_digits_at_most_and_neither_fraction_nor_exponent(void)
{
    static const struct {
        const char *json;
        bool is_one;
        int64_t number;
    } rows[] = {
        {"0", true, 0},          {"-0", true, 0},         {"7", true, 7},
        {"-7", true, -7},        {"10", true, 10},        {"[9,1]", false, 0},
        {"1.0", false, 0},       {"1e0", false, 0},       {"1E0", false, 0},
        {"-1.5", false, 0},      {"0.5", false, 0},       {"0e1", false, 0},
        {"99999999999999999", true, 99999999999999999},
        {"999999999999999999", true, 999999999999999999},
        {"-999999999999999999", true, -999999999999999999},
        {"1000000000000000000", false, 0},
        {"-1000000000000000000", false, 0},
        {"12345678901234567890123", false, 0},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        int64_t number = 77;
        EXPECT(lv_json_integer(value_of(rows[k].json), &number) == rows[k].is_one);
        EXPECT(number == (rows[k].is_one ? rows[k].number : 77));
    }
}

/* U+00E9 takes two bytes, U+1F4A7 four. */
static void a_text_is_copied_if_all_of_it_and_its_nul_have_room(void)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"\"\"", ""},
        {"\"a\"", "a"},
        {"\"abc\"", "abc"},
        {"\"ab\\u00e9\"", "ab\xC3\xA9"},
        {"\"a\\ud83d\\udca7\"", "a\xF0\x9F\x92\xA7"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        size_t length = strlen(rows[k].text);
        for (size_t size = 0; size <= length + 1; size++) {
            char *out = malloc(size);
            bool copied = lv_json_copy(value_of(rows[k].json), out, size);
            bool right = copied == (size > length) && (!copied || strcmp(out, rows[k].text) == 0);
            free(out);
            EXPECT(right);
        }
    }
    char out[8];
    EXPECT(!lv_json_copy(value_of("\"a\\u0000\""), out, sizeof out));
    EXPECT(!lv_json_copy(value_of("\"\\u0000a\""), out, sizeof out));
}

static void members_are_stepped_through_with_and_without_their_names(void)
{
    lv_json object = value_of(" {\"a\":[1,{}] , \"b\":\"x\"}");
    lv_json name = {NULL, NULL};
    lv_json value = {NULL, NULL};
    EXPECT(lv_json_next(object, &name, &value));
    EXPECT(lv_json_equals(name, "a") && lv_json_is_array(value));
    lv_json array = value;
    EXPECT(lv_json_next(object, &name, &value));
    EXPECT(lv_json_equals(name, "b") && lv_json_equals(value, "x"));
    EXPECT(!lv_json_next(object, &name, &value));
    lv_json item = {NULL, NULL};
    int64_t number = 0;
    EXPECT(lv_json_next(array, &name, &item) && name.at == NULL && lv_json_integer(item, &number));
    EXPECT(number == 1 && lv_json_next(array, NULL, &item) && lv_json_is_object(item));
    EXPECT(!lv_json_is_array(item) && !lv_json_is_text(item) && !lv_json_next(array, NULL, &item));
    value = (lv_json){NULL, NULL};
    EXPECT(lv_json_next(object, NULL, &value) && lv_json_next(object, NULL, &value));
    EXPECT(lv_json_is_text(value) && !lv_json_next(object, NULL, &value));
    value = (lv_json){NULL, NULL};
    EXPECT(!lv_json_next(value_of("[ ]"), NULL, &value));
    EXPECT(!lv_json_next(value_of("{\n}"), &name, &value));
}

static void what_is_written_is_json_whatever_is_in_its_texts(void)
{
    static const char whole[] =
        "{\"\\\"\\\\\":[-9223372036854775808,9223372036854775807,0,-1,10],"
        "\"t\":\"\\u0001\\u000f\\u0010\\u001f \x7F\xC3\xA9/\","
        "\"b\":[true,false],\"e\":{},\"f\":[]}";
    char out[sizeof whole];
    lv_json_writer w;
    lv_json_begin(&w, out, sizeof out);
    lv_json_open(&w, "\"\\", '[');
    lv_json_put_integer(&w, NULL, INT64_MIN);
    lv_json_put_integer(&w, NULL, INT64_MAX);
    lv_json_put_integer(&w, NULL, 0);
    lv_json_put_integer(&w, NULL, -1);
    lv_json_put_integer(&w, NULL, 10);
    lv_json_close(&w, ']');
    lv_json_put_text(&w, "t", "\x01\x0F\x10\x1F \x7F\xC3\xA9/");
    lv_json_open(&w, "b", '[');
    lv_json_put_bool(&w, NULL, true);
    lv_json_put_bool(&w, NULL, false);
    lv_json_close(&w, ']');
    lv_json_open(&w, "e", '{');
    lv_json_close(&w, '}');
    lv_json_open(&w, "f", '[');
    lv_json_close(&w, ']');
    const char *text = lv_json_end(&w);
    EXPECT(text && strcmp(text, whole) == 0);
}

const unit_test json_tests[] = {
    TEST(a_text_equals_another_whatever_is_escaped_in_it),
    TEST(a_member_is_found_by_its_name_the_first_of_several_and_none_within_another),
    TEST(what_is_no_json_leaves_no_value),
    TEST(nothing_has_no_kind_no_value_and_nothing_in_it),
    TEST(an_integer_has_18_digits_at_most_and_neither_fraction_nor_exponent),
    TEST(a_text_is_copied_if_all_of_it_and_its_nul_have_room),
    TEST(members_are_stepped_through_with_and_without_their_names),
    TEST(what_is_written_is_json_whatever_is_in_its_texts),
    TEST(json_nested_deeper_than_the_limit_is_refused_however_deep),
    TEST(json_that_has_no_room_is_not_written_in_part),
    {NULL, NULL},
};
