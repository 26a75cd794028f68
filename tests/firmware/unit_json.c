/* JSON. */
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

const unit_test json_tests[] = {
    TEST(json_nested_deeper_than_the_limit_is_refused_however_deep),
    TEST(json_that_has_no_room_is_not_written_in_part),
    {NULL, NULL},
};
