#include "calibration.h"

#include <stdio.h>
#include <string.h>

#include "../../../core/bytes.h"
#include "../../../core/json.h"
#include "esp_log.h"
#include "metadata.h"
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
enum { ID_BYTES = 4 * 64 + 1 }; /* 64 characters, as twin/mqtt/messages.py has it */

/* --- calibration ------------------------------------------------------------------------------ */

typedef struct {
    uint8_t pairs[8 * LV_PARAMETERS];
    uint16_t count;
    int32_t counts[3];
    int new_counts; /* bit k: counts[k] was asked for */
    char reason[REASON_BYTES]; /* why not; empty: all understood */
} wish;

static void refuse(wish *w, const char *name, const char *why)
{
    snprintf(w->reason, sizeof w->reason, "%.64s: %s", name, why);
}

static bool is_integer(lv_json item, int64_t least, int64_t most, int32_t *value)
{
    int64_t number;
    if (!lv_json_integer(item, &number) || number < least || number > most)
        return false;
    *value = (int32_t)number;
    return true;
}

static int count_index(lv_json name)
{
    for (int k = 0; k < 3; k++)
        if (lv_json_equals(name, count_names[k].old))
            return k;
    return -1;
}

static void understand_count(wish *w, int k, lv_json item)
{
    if (is_integer(item, 0, MOST_COUNTS, &w->counts[k]))
        w->new_counts |= 1 << k;
    else
        refuse(w, count_names[k].old, "a whole number from 0 to 4095 is wanted");
}

static void understand_parameter(wish *w, lv_json metadata, const char *name, lv_json item)
{
    int32_t id;
    int32_t value;
    if (!metadata_find(metadata, name, &id))
        refuse(w, name, "the guest has no such parameter");
    else if (!is_integer(item, INT32_MIN, INT32_MAX, &value))
        refuse(w, name, "a whole number of 32 bits is wanted");
    else if (w->count == LV_PARAMETERS)
        refuse(w, name, "too many parameters at once");
    else {
        lv_put32(w->pairs + 8 * w->count, (uint32_t)id);
        lv_put32(w->pairs + 8 * w->count + 4, (uint32_t)value);
        w->count++;
    }
}

/* A name to look for and to complain of; cut, it fits no parameter. */
static const char *text_of(lv_json name, char text[METADATA_NAME_BYTES + 1])
{
    return lv_json_copy(name, text, METADATA_NAME_BYTES + 1) ? text : "a name too long";
}

static void understand(wish *w, const lv_node *node, lv_json metadata, lv_json name, lv_json item)
{
    char text[METADATA_NAME_BYTES + 1];
    int32_t id;
    int k = count_index(name);
    if (k >= 0) {
        understand_count(w, k, item);
        /* a guest that has a parameter for it looks there first */
        if (!w->reason[0] && !node->command &&
            metadata_find(metadata, count_names[k].parameter, &id))
            understand_parameter(w, metadata, count_names[k].parameter, item);
    } else if (lv_json_equals(name, "set") && lv_json_is_object(item)) {
        lv_json key;
        lv_json value = {NULL, NULL};
        while (!w->reason[0] && lv_json_next(item, &key, &value))
            understand_parameter(w, metadata, text_of(key, text), value);
    } else
        refuse(w, text_of(name, text), "not known here");
}

/* Whether the guest has these values already: a retained request must not wear flash. */
static bool in_force(lv_node *node, const wish *w)
{
    for (int k = 0; k < w->count; k++) {
        int32_t value;
        if (lv_node_get(node, (int32_t)lv_get32(w->pairs + 8 * k), &value) != LV_OK ||
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
    lv_status status = lv_node_configure(node, &m);
    if (status != LV_OK)
        ESP_LOGE(tag, "the core refuses the configuration: %d, field %d", (int)status, (int)node->detail);
}

static lv_status apply(lv_node *node, const wish *w)
{
    const lv_msg_calibrate m = {.flags = 1, .parameters = w->pairs, .parameters_count = w->count};
    lv_status status = w->count && !in_force(node, w) ? lv_node_calibrate(node, &m) : LV_OK;
    if (status != LV_OK || !w->new_counts || memcmp(node->host.counts, w->counts, sizeof w->counts) == 0)
        return status;
    if (!settings_keep_counts(w->counts))
        ESP_LOGE(tag, "counts hold until the next start only: NVS cannot be written");
    memcpy(node->host.counts, w->counts, sizeof w->counts);
    return LV_OK;
}

/* What the guest has now, by the names that were asked for. */
static void put_values(lv_json_writer *to, lv_node *node, lv_json metadata, const wish *w)
{
    lv_json_open(to, "values", '{');
    for (int k = 0; k < 3; k++)
        if (w->new_counts & 1 << k)
            lv_json_put_integer(to, count_names[k].old, node->host.counts[k]);
    for (int k = 0; k < w->count; k++) {
        char name[METADATA_NAME_BYTES];
        int32_t id = (int32_t)lv_get32(w->pairs + 8 * k);
        int32_t value;
        metadata_name(metadata, id, name);
        if (lv_node_get(node, id, &value) == LV_OK)
            lv_json_put_integer(to, name, value);
    }
    lv_json_close(to, '}');
}

static void say_why(wish *w, const lv_node *node, lv_json metadata, lv_status status)
{
    char name[METADATA_NAME_BYTES] = "";
    if (status == LV_NAK_PARAMETER)
        metadata_name(metadata, node->detail, name);
    if (name[0])
        refuse(w, name, "the guest refuses this value, for its range or beside the others");
    else
        snprintf(w->reason, sizeof w->reason, "refused: NAK %d, detail %d", (int)status,
                 (int)node->detail);
}

/* All that is asked for, or the first reason why not. */
static void understand_all(wish *w, const lv_node *node, lv_json metadata, lv_json root)
{
    lv_json name;
    lv_json item = {NULL, NULL};
    while (!w->reason[0] && lv_json_next(root, &name, &item))
        if (!lv_json_equals(name, "id"))
            understand(w, node, metadata, name, item);
    if (!w->reason[0] && w->new_counts & 3 && w->counts[0] == w->counts[1])
        refuse(w, count_names[1].old, "the same as seco, which tells dry soil from wet by nothing");
}

const char *calibration_take(lv_node *node, const char *json, size_t length,
                             char answer[CALIBRATION_ANSWER_BYTES])
{
    char id_text[ID_BYTES] = "";
    lv_json root;
    lv_json metadata = metadata_read(node);
    lv_json_status wrong = lv_json_read(json, length, &root);
    lv_json id = lv_json_member(root, "id");
    wish w = {.count = 0};

    memcpy(w.counts, node->host.counts, sizeof w.counts);
    if (wrong == LV_JSON_DEEP)
        snprintf(w.reason, sizeof w.reason, "nested deeper than %d levels", LV_JSON_DEPTH);
    else if (!lv_json_is_object(root) || (id.at && !lv_json_copy(id, id_text, sizeof id_text)))
        snprintf(w.reason, sizeof w.reason, "a JSON object is wanted, its id a text of %d bytes",
                 ID_BYTES - 1);
    else
        understand_all(&w, node, metadata, root);
    lv_status status = w.reason[0] ? LV_OK : apply(node, &w);
    if (status != LV_OK)
        say_why(&w, node, metadata, status);
    if (w.reason[0])
        ESP_LOGW(tag, "%s", w.reason);
    if (!id_text[0])
        return NULL;

    lv_json_writer to;
    lv_json_begin(&to, answer, CALIBRATION_ANSWER_BYTES);
    lv_json_put_text(&to, "id", id_text);
    lv_json_put_bool(&to, "ok", !w.reason[0]);
    if (w.reason[0])
        lv_json_put_text(&to, "error", w.reason);
    else
        put_values(&to, node, metadata, &w);
    return lv_json_end(&to);
}

bool calibration_acknowledge(lv_node *node, const char *json, size_t length)
{
    lv_json root;
    int64_t boot;
    int64_t sequence;
    uint16_t waiting = node->ring.waiting;
    if (lv_json_read(json, length, &root) == LV_JSON_OK &&
        lv_json_integer(lv_json_member(root, "boot"), &boot) &&
        lv_json_integer(lv_json_member(root, "seq"), &sequence) &&
        boot == (int64_t)node->store.boot_id && sequence >= 0 &&
        sequence < (int64_t)node->ring.next)
        lv_ring_acknowledge(&node->ring, (uint32_t)sequence);
    return node->ring.waiting != waiting;
}
