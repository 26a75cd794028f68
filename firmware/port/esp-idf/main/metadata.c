#include "metadata.h"

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

cJSON *metadata_read(const lv_node *node)
{
    uint32_t size;
    uint32_t at = MAGIC_AND_VERSION;
    const uint8_t *module = lv_store_guest(&node->store, &size);
    while (module && at < size) {
        uint8_t id = module[at++];
        uint32_t length = leb(module, size, &at);
        uint32_t end = at + length;
        if (at > size || length > size - at)
            return NULL;
        if (id == CUSTOM_SECTION) {
            uint32_t name = leb(module, end, &at);
            if (at <= end && name == SECTION_NAME_BYTES && name <= end - at &&
                memcmp(module + at, section_name, name) == 0)
                return cJSON_ParseWithLength((const char *)module + at + name, end - at - name);
        }
        at = end;
    }
    return NULL;
}

static const cJSON *first_parameter(const cJSON *metadata)
{
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(metadata, "parameters");
    return cJSON_IsArray(all) ? all->child : NULL;
}

bool metadata_find(const cJSON *metadata, const char *name, int32_t *id)
{
    for (const cJSON *p = first_parameter(metadata); p; p = p->next) {
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(p, "name");
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(p, "id");
        if (cJSON_IsString(own) && cJSON_IsNumber(number) && strcmp(own->valuestring, name) == 0) {
            *id = (int32_t)number->valueint;
            return true;
        }
    }
    return false;
}

cJSON *metadata_values(const cJSON *metadata, lv_node *node)
{
    cJSON *values = cJSON_CreateObject();
    for (const cJSON *p = first_parameter(metadata); p; p = p->next) {
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(p, "name");
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(p, "id");
        int32_t value;
        if (cJSON_IsString(own) && cJSON_IsNumber(number) &&
            lv_node_get(node, (int32_t)number->valueint, &value) == 0)
            cJSON_AddNumberToObject(values, own->valuestring, value);
    }
    return values;
}

const char *metadata_name(const cJSON *metadata, int32_t id)
{
    for (const cJSON *p = first_parameter(metadata); p; p = p->next) {
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(p, "name");
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(p, "id");
        if (cJSON_IsString(own) && cJSON_IsNumber(number) && number->valueint == id)
            return own->valuestring;
    }
    return NULL;
}
