#include "metadata.h"

#include <stdio.h>
#include <string.h>

#include "../../../core/bytes.h"

static const char section_name[] = "levada";
enum { CUSTOM_SECTION = 0, MAGIC_AND_VERSION = 8, SECTION_NAME_BYTES = sizeof section_name - 1 };

/* LEB128; 0 and `*at` beyond the end if it is malformed. */
static uint32_t leb(const uint8_t *module, uint32_t size, uint32_t *at)
{
    uint32_t value = 0;
    for (int shift = 0; shift < 35 && *at < size; shift += 7) {
        uint8_t byte = module[(*at)++];
        value |= (uint32_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return value;
    }
    *at = size + 1;
    return 0;
}

lv_json metadata_of(const uint8_t *module, uint32_t size)
{
    uint32_t at = MAGIC_AND_VERSION;
    lv_json none = {NULL, NULL};
    while (module && at < size) {
        uint8_t id = module[at++];
        uint32_t length = leb(module, size, &at);
        uint32_t end = at + length;
        if (at > size || length > size - at)
            return none;
        if (id == CUSTOM_SECTION) {
            uint32_t name = leb(module, end, &at);
            if (at <= end && name == SECTION_NAME_BYTES && name <= end - at &&
                memcmp(module + at, section_name, name) == 0) {
                lv_json found;
                at += name;
                while (end > at && module[end - 1] == 0)
                    end--; /* of a C string */
                if (lv_json_read((const char *)module + at, end - at, &found) != LV_JSON_OK)
                    return none;
                return found;
            }
        }
        at = end;
    }
    return none;
}

lv_json metadata_read(const lv_node *node)
{
    uint32_t size;
    const uint8_t *module = lv_store_guest(&node->store, &size);
    return metadata_of(module, size);
}

/* The next parameter that has a name and an id. */
static bool next_parameter(lv_json all, lv_json *parameter, lv_json *name, int32_t *id)
{
    while (lv_json_next(all, NULL, parameter)) {
        int64_t number;
        *name = lv_json_member(*parameter, "name");
        if (lv_json_is_text(*name) && lv_json_integer(lv_json_member(*parameter, "id"), &number) &&
            number >= INT32_MIN && number <= INT32_MAX) {
            *id = (int32_t)number;
            return true;
        }
    }
    return false;
}

bool metadata_find(lv_json metadata, const char *name, int32_t *id)
{
    lv_json all = lv_json_member(metadata, "parameters");
    lv_json parameter = {NULL, NULL};
    lv_json own;
    while (next_parameter(all, &parameter, &own, id))
        if (lv_json_equals(own, name))
            return true;
    return false;
}

void metadata_name(lv_json metadata, int32_t id, char name[METADATA_NAME_BYTES])
{
    lv_json all = lv_json_member(metadata, "parameters");
    lv_json parameter = {NULL, NULL};
    lv_json own;
    int32_t found;
    while (next_parameter(all, &parameter, &own, &found))
        if (found == id && lv_json_copy(own, name, METADATA_NAME_BYTES))
            return;
    name[0] = 0;
}

void metadata_put_values(lv_json_writer *w, const char *name, lv_json metadata, lv_node *node)
{
    lv_json all = lv_json_member(metadata, "parameters");
    lv_json parameter = {NULL, NULL};
    lv_json own;
    int32_t id;
    int32_t value;
    char text[METADATA_NAME_BYTES];
    lv_json_open(w, name, '{');
    while (next_parameter(all, &parameter, &own, &id))
        if (lv_json_copy(own, text, sizeof text) && lv_node_get(node, id, &value) == LV_OK)
            lv_json_put_integer(w, text, value);
    lv_json_close(w, '}');
}

static bool same_integer(lv_json a, lv_json b, const char *name)
{
    int64_t one;
    int64_t other;
    return lv_json_integer(lv_json_member(a, name), &one) &&
           lv_json_integer(lv_json_member(b, name), &other) && one == other;
}

static bool same_text(lv_json a, lv_json b, const char *name)
{
    char text[METADATA_NAME_BYTES] = "";
    lv_json one = lv_json_member(a, name);
    lv_json other = lv_json_member(b, name);
    if (one.at && !lv_json_copy(one, text, sizeof text))
        return false;
    return other.at ? lv_json_equals(other, text) : !text[0];
}

static bool declares_alike(lv_json metadata, lv_json wanted)
{
    lv_json all = lv_json_member(metadata, "parameters");
    lv_json parameter = {NULL, NULL};
    lv_json own;
    int32_t id;
    while (next_parameter(all, &parameter, &own, &id))
        if (same_integer(parameter, wanted, "id") && same_text(parameter, wanted, "name") &&
            same_integer(parameter, wanted, "minimum") &&
            same_integer(parameter, wanted, "maximum") && same_text(parameter, wanted, "unit"))
            return true;
    return false;
}

uint16_t metadata_carried(lv_json former, lv_json new, uint8_t *ids, uint16_t most)
{
    lv_json all = lv_json_member(new, "parameters");
    lv_json parameter = {NULL, NULL};
    lv_json own;
    int32_t id;
    uint16_t used = 0;
    while (used + 4 <= most && next_parameter(all, &parameter, &own, &id))
        if (declares_alike(former, parameter)) {
            lv_put32(ids + used, (uint32_t)id);
            used += 4;
        }
    return used;
}

void metadata_hexadecimal(const uint8_t *bytes, size_t count, char *out)
{
    for (size_t k = 0; k < count; k++)
        snprintf(out + 2 * k, 3, "%02x", bytes[k]);
}

void metadata_put_bytes(lv_json_writer *w, const char *name, const uint8_t *bytes, size_t count)
{
    char text[65];
    metadata_hexadecimal(bytes, count, text);
    lv_json_put_text(w, name, text);
}
