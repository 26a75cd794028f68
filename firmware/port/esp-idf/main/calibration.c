#include "calibration.h"

#include "cJSON.h"
#include "esp_log.h"
#include "sdkconfig.h"
#include "settings.h"

static const char tag[] = "calibration";

/* Counts by their old name, and the parameter of the shipped guest that goes before them. */
static const struct {
    const char *old;
    const char *parameter;
} count_names[3] = {
    {"seco", "dry_counts"},
    {"molhado", "wet_counts"},
    {"limiar", "limit_counts"},
};
enum { MOST_COUNTS = 4095 };

/* --- the guest's metadata: JSON in the custom section `levada` -------------------------------- */

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

/* The guest's parameters, an array; to be deleted.  NULL if it names none. */
static cJSON *read_parameters(const lv_node *node)
{
    uint32_t size;
    uint32_t at = 8; /* magic number and version */
    const uint8_t *module = lv_store_guest(&node->store, &size);
    while (module && at < size) {
        uint8_t id = module[at++];
        uint32_t length = leb(module, size, &at);
        uint32_t end = at + length;
        if (at > size || length > size - at)
            return NULL;
        if (id == 0) {
            uint32_t name = leb(module, end, &at);
            if (at <= end && name == 6 && name <= end - at &&
                memcmp(module + at, "levada", 6) == 0) {
                at += name;
                cJSON *all = cJSON_ParseWithLength((const char *)module + at, end - at);
                cJSON *found = cJSON_DetachItemFromObjectCaseSensitive(all, "parameters");
                cJSON_Delete(all);
                return found;
            }
        }
        at = end;
    }
    return NULL;
}

static bool find_id(const cJSON *parameters, const char *name, int32_t *id)
{
    for (const cJSON *p = parameters ? parameters->child : NULL; p; p = p->next) {
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(p, "name");
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(p, "id");
        if (cJSON_IsString(own) && cJSON_IsNumber(number) && strcmp(own->valuestring, name) == 0) {
            *id = (int32_t)number->valueint;
            return true;
        }
    }
    return false;
}

/* --- calibration ------------------------------------------------------------------------------ */

typedef struct {
    uint8_t pairs[8 * LV_PARAMETERS];
    uint16_t count;
    int32_t counts[3];
    bool new_counts;
    const char *wrong; /* name of what was not understood */
} wish;

static bool is_integer(const cJSON *item)
{
    return cJSON_IsNumber(item) && item->valuedouble == (double)item->valueint;
}

static int count_index(const char *name)
{
    for (int k = 0; k < 3; k++)
        if (strcmp(name, count_names[k].old) == 0)
            return k;
    return -1;
}

static void understand(wish *w, const lv_node *node, const cJSON *parameters, const cJSON *item)
{
    int32_t id;
    int k = count_index(item->string);
    const char *name = k < 0 ? item->string : count_names[k].parameter;
    bool found = !node->command && find_id(parameters, name, &id);
    if (!is_integer(item) || (k < 0 && !found) || w->count == LV_PARAMETERS ||
        (k >= 0 && (item->valueint < 0 || item->valueint > MOST_COUNTS))) {
        w->wrong = item->string;
        return;
    }
    if (k >= 0) {
        w->counts[k] = item->valueint;
        w->new_counts = true;
    }
    if (found) {
        lv_put32(w->pairs + 8 * w->count, (uint32_t)id);
        lv_put32(w->pairs + 8 * w->count + 4, (uint32_t)item->valueint);
        w->count++;
    }
}

/* Whether the guest has these values already: a retained request must not wear flash. */
static bool in_force(lv_node *node, const wish *w)
{
    for (int k = 0; k < w->count; k++) {
        int32_t value;
        if (lv_node_get(node, (int32_t)lv_get32(w->pairs + 8 * k), &value) != 0 ||
            value != (int32_t)lv_get32(w->pairs + 8 * k + 4))
            return false;
    }
    return true;
}

void calibration_configure(lv_node *node)
{
    const settings *s = settings_load();
    lv_msg_configure m = {
        .prefix = "ic/",
        .imports = 0x1FE, /* all eight */
        .pin_count = 4,
        .pins = {23, 18, 19, 21},
        .instructions = 1000000,
        .deadline_ms = 5000,
        .memory_pages = 4,
        .host_calls = 256,
        .log_bytes = 1024,
        .publish_bytes = 2048,
    };
    memcpy(m.node, s->node, sizeof m.node);
    memcpy(m.counts, s->counts, sizeof m.counts);
    int error = lv_node_configure(node, &m);
    if (error)
        ESP_LOGE(tag, "the core refuses the configuration: %d, field %d", error, (int)node->detail);
}

static int apply(lv_node *node, const wish *w)
{
    const lv_msg_calibrate m = {.flags = 1, .parameters = w->pairs, .parameters_count = w->count};
    int error = w->count && !in_force(node, w) ? lv_node_calibrate(node, &m) : 0;
    if (error || !w->new_counts || memcmp(node->host.counts, w->counts, sizeof w->counts) == 0)
        return error;
    if (!settings_keep_counts(w->counts))
        ESP_LOGE(tag, "counts hold until the next start only: NVS cannot be written");
    memcpy(node->host.counts, w->counts, sizeof w->counts);
    return 0;
}

char *calibration_take(lv_node *node, const char *json, size_t length)
{
    cJSON *root = cJSON_ParseWithLength(json, length);
    cJSON *answer = cJSON_CreateObject();
    cJSON *parameters = read_parameters(node);
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(root, "id");
    wish w = {.wrong = cJSON_IsObject(root) ? NULL : "request"};
    int error = LV_NAK_VALUE;

    memcpy(w.counts, node->host.counts, sizeof w.counts);
    for (const cJSON *item = w.wrong ? NULL : root->child; item && !w.wrong; item = item->next)
        if (item != id)
            understand(&w, node, parameters, item);
    if (!w.wrong)
        error = apply(node, &w);

    if (id)
        cJSON_AddItemToObject(answer, "id", cJSON_Duplicate(id, true));
    cJSON_AddNumberToObject(answer, "boot", node->store.boot_id);
    cJSON_AddBoolToObject(answer, "ok", error == 0);
    if (error) {
        cJSON_AddNumberToObject(answer, "error", error);
        cJSON_AddNumberToObject(answer, "detail", w.wrong ? 0 : node->detail);
        if (w.wrong)
            cJSON_AddStringToObject(answer, "what", w.wrong);
    }
    for (const cJSON *item = error ? NULL : root->child; item; item = item->next) {
        int k = count_index(item->string);
        int32_t number;
        int32_t value;
        if (item == id)
            continue;
        if (k >= 0)
            value = node->host.counts[k];
        else if (!find_id(parameters, item->string, &number) ||
                 lv_node_get(node, number, &value) != 0)
            continue;
        cJSON_AddNumberToObject(answer, item->string, value);
    }
    char *text = cJSON_PrintUnformatted(answer);
    cJSON_Delete(parameters);
    cJSON_Delete(answer);
    cJSON_Delete(root);
    return text;
}

void calibration_acknowledge(lv_node *node, const char *json, size_t length)
{
    cJSON *root = cJSON_ParseWithLength(json, length);
    const cJSON *boot = cJSON_GetObjectItemCaseSensitive(root, "boot");
    const cJSON *sequence = cJSON_GetObjectItemCaseSensitive(root, "seq");
    if (cJSON_IsNumber(boot) && cJSON_IsNumber(sequence) &&
        boot->valuedouble == (double)node->store.boot_id && sequence->valuedouble >= 0 &&
        sequence->valuedouble < (double)node->ring.next)
        lv_ring_acknowledge(&node->ring, (uint32_t)sequence->valuedouble);
    cJSON_Delete(root);
}
