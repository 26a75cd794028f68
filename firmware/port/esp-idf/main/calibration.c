#include "calibration.h"

#include <stdio.h>

#include "cJSON.h"
#include "esp_log.h"
#include "metadata.h"
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
enum { MOST_COUNTS = 4095, REASON_BYTES = 128 };

/* --- calibration ------------------------------------------------------------------------------ */

typedef struct {
    uint8_t pairs[8 * LV_PARAMETERS];
    uint16_t count;
    int32_t counts[3];
    bool new_counts;
    char reason[REASON_BYTES]; /* why not; empty: all understood */
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

static void understand_count(wish *w, int k, const cJSON *item)
{
    if (!is_integer(item) || item->valueint < 0 || item->valueint > MOST_COUNTS) {
        snprintf(w->reason, sizeof w->reason, "%s: a whole number from 0 to %d is wanted",
                 item->string, MOST_COUNTS);
        return;
    }
    w->counts[k] = item->valueint;
    w->new_counts = true;
}

static void understand_parameter(wish *w, const cJSON *metadata, const char *name,
                                 const cJSON *item)
{
    int32_t id;
    if (!metadata_find(metadata, name, &id))
        snprintf(w->reason, sizeof w->reason, "%.64s: the guest has no such parameter", name);
    else if (!is_integer(item))
        snprintf(w->reason, sizeof w->reason, "%.64s: a whole number of 32 bits is wanted", name);
    else if (w->count == LV_PARAMETERS)
        snprintf(w->reason, sizeof w->reason, "at most %d parameters at once", LV_PARAMETERS);
    else {
        lv_put32(w->pairs + 8 * w->count, (uint32_t)id);
        lv_put32(w->pairs + 8 * w->count + 4, (uint32_t)item->valueint);
        w->count++;
    }
}

static void understand(wish *w, const lv_node *node, const cJSON *metadata, const cJSON *item)
{
    int32_t id;
    int k = count_index(item->string);
    if (k >= 0) {
        understand_count(w, k, item);
        /* a guest that has a parameter for it looks there first */
        if (!w->reason[0] && !node->command &&
            metadata_find(metadata, count_names[k].parameter, &id))
            understand_parameter(w, metadata, count_names[k].parameter, item);
    } else if (strcmp(item->string, "set") == 0 && cJSON_IsObject(item)) {
        for (const cJSON *p = item->child; p && !w->reason[0]; p = p->next)
            understand_parameter(w, metadata, p->string, p);
    } else
        snprintf(w->reason, sizeof w->reason, "%.64s: not known here", item->string);
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
        .imports = 0xFFE, /* all eleven */
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

/* What the guest has now, by the names that were asked for. */
static cJSON *read_back(lv_node *node, const cJSON *metadata, const cJSON *root, const wish *w)
{
    cJSON *values = cJSON_CreateObject();
    for (const cJSON *item = root->child; item; item = item->next) {
        int k = count_index(item->string);
        if (k >= 0)
            cJSON_AddNumberToObject(values, item->string, node->host.counts[k]);
    }
    for (int k = 0; k < w->count; k++) {
        int32_t id = (int32_t)lv_get32(w->pairs + 8 * k);
        int32_t value;
        if (lv_node_get(node, id, &value) == 0)
            cJSON_AddNumberToObject(values, metadata_name(metadata, id), value);
    }
    return values;
}

static void say_why(wish *w, const lv_node *node, const cJSON *metadata, int error)
{
    const char *name = error == LV_NAK_PARAMETER ? metadata_name(metadata, node->detail) : NULL;
    if (name)
        snprintf(w->reason, sizeof w->reason, "%.64s: the guest refuses this value", name);
    else
        snprintf(w->reason, sizeof w->reason, "refused: NAK %d, detail %d", error,
                 (int)node->detail);
}

char *calibration_take(lv_node *node, const char *json, size_t length)
{
    cJSON *root = cJSON_ParseWithLength(json, length);
    cJSON *metadata = metadata_read(node);
    cJSON *answer = cJSON_CreateObject();
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(root, "id");
    char *text = NULL;
    wish w = {.count = 0};

    memcpy(w.counts, node->host.counts, sizeof w.counts);
    if (!cJSON_IsObject(root) || (id && !cJSON_IsString(id)))
        snprintf(w.reason, sizeof w.reason, "a JSON object is wanted, its id a text");
    for (const cJSON *item = w.reason[0] ? NULL : root->child; item && !w.reason[0];
         item = item->next)
        if (item != id)
            understand(&w, node, metadata, item);
    int error = w.reason[0] ? 0 : apply(node, &w);
    if (error)
        say_why(&w, node, metadata, error);
    if (w.reason[0])
        ESP_LOGW(tag, "%s", w.reason);

    if (cJSON_IsString(id)) {
        cJSON_AddStringToObject(answer, "id", id->valuestring);
        cJSON_AddBoolToObject(answer, "ok", !w.reason[0]);
        if (w.reason[0])
            cJSON_AddStringToObject(answer, "error", w.reason);
        else
            cJSON_AddItemToObject(answer, "values", read_back(node, metadata, root, &w));
        text = cJSON_PrintUnformatted(answer);
    }
    cJSON_Delete(answer);
    cJSON_Delete(metadata);
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
