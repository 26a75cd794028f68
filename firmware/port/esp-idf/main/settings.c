#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "../../../core/json.h"
#include "esp_check.h"
#include "nvs.h"
#include "sdkconfig.h"

static settings current;

static const struct {
    const char *key;
    char *place;
    size_t size;
} texts[] = {
    {"node", current.node, sizeof current.node},
    {"uri", current.uri, sizeof current.uri},
    {"user", current.user, sizeof current.user},
    {"password", current.password, sizeof current.password},
    {"ca", current.ca, sizeof current.ca},
    {"cert", current.cert, sizeof current.cert},
    {"key", current.key, sizeof current.key},
};
enum { TEXTS = sizeof texts / sizeof *texts };

#if CONFIG_LEVADA_PKI_EMBEDDED
/* Files of CONFIG_LEVADA_PKI_DIR, each with a NUL behind it (CMakeLists.txt). */
extern const char embedded_ca[] __asm__("_binary_ca_pem_start");
extern const char embedded_cert[] __asm__("_binary_cert_pem_start");
extern const char embedded_key[] __asm__("_binary_key_pem_start");

static void load_embedded(void)
{
    snprintf(current.ca, sizeof current.ca, "%s", embedded_ca);
    snprintf(current.cert, sizeof current.cert, "%s", embedded_cert);
    snprintf(current.key, sizeof current.key, "%s", embedded_key);
}
#endif

static nvs_handle_t store(void)
{
    static nvs_handle_t handle;
    if (!handle)
        ESP_ERROR_CHECK(nvs_open("settings", NVS_READWRITE, &handle));
    return handle;
}

const settings *settings_load(void)
{
    current = (settings){.node = CONFIG_LEVADA_NODE,
                         .uri = CONFIG_LEVADA_MQTT_URI,
                         .counts = {2500, 1000, 2000}};
#if CONFIG_LEVADA_PKI_EMBEDDED
    load_embedded();
#endif
    for (int k = 0; k < TEXTS; k++) {
        size_t size = texts[k].size;
        (void)nvs_get_str(store(), texts[k].key, texts[k].place, &size); /* else as it was */
    }
    size_t size = sizeof current.counts;
    (void)nvs_get_blob(store(), "counts", current.counts, &size);
    return &current;
}

/* Which of the texts it is, TEXTS: none. */
static int find_text(lv_json name)
{
    int k = 0;
    while (k < TEXTS && !lv_json_equals(name, texts[k].key))
        k++;
    return k;
}

/* Whether a text may become the setting, which it then is in `room`. */
static bool understand(int k, lv_json item, char *room)
{
    if (k == TEXTS || !lv_json_copy(item, room, texts[k].size))
        return false;
    return k != 0 || (room[0] && !strpbrk(room, "/+#$")); /* the node is a level of a topic */
}

bool settings_take(const char *json, size_t length)
{
    static char room[SETTINGS_CA_BYTES]; /* the longest */
    lv_json root;
    lv_json name;
    lv_json item = {NULL, NULL};
    bool good = lv_json_read(json, length, &root) == LV_JSON_OK && lv_json_is_object(root);
    while (good && lv_json_next(root, &name, &item))
        good = understand(find_text(name), item, room);
    item = (lv_json){NULL, NULL};
    while (good && lv_json_next(root, &name, &item)) {
        int k = find_text(name);
        good = understand(k, item, room) && nvs_set_str(store(), texts[k].key, room) == ESP_OK;
    }
    good = good && nvs_commit(store()) == ESP_OK;
    (void)settings_load();
    return good;
}

bool settings_keep_counts(const int32_t counts[3])
{
    memcpy(current.counts, counts, sizeof current.counts);
    return nvs_set_blob(store(), "counts", counts, sizeof current.counts) == ESP_OK &&
           nvs_commit(store()) == ESP_OK;
}
