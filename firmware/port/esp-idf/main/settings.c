#include "settings.h"

#include <string.h>

#include "cJSON.h"
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
};
enum { TEXTS = sizeof texts / sizeof *texts };

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
    for (int k = 0; k < TEXTS; k++) {
        size_t size = texts[k].size;
        (void)nvs_get_str(store(), texts[k].key, texts[k].place, &size); /* else as it was */
    }
    size_t size = sizeof current.counts;
    (void)nvs_get_blob(store(), "counts", current.counts, &size);
    return &current;
}

bool settings_take(const char *json, size_t length)
{
    cJSON *root = cJSON_ParseWithLength(json, length);
    const cJSON *item;
    bool good = cJSON_IsObject(root);
    for (item = good ? root->child : NULL; item; item = item->next) {
        int k = 0;
        while (k < TEXTS && strcmp(item->string, texts[k].key) != 0)
            k++;
        good = good && k < TEXTS && cJSON_IsString(item) &&
               strlen(item->valuestring) < texts[k].size;
        if (good && k == 0) /* a level of a topic */
            good = item->valuestring[0] && !strpbrk(item->valuestring, "/+#$");
    }
    for (item = good ? root->child : NULL; item; item = item->next)
        good = good && nvs_set_str(store(), item->string, item->valuestring) == ESP_OK;
    good = good && nvs_commit(store()) == ESP_OK;
    cJSON_Delete(root);
    (void)settings_load();
    return good;
}

bool settings_keep_counts(const int32_t counts[3])
{
    memcpy(current.counts, counts, sizeof current.counts);
    return nvs_set_blob(store(), "counts", counts, sizeof current.counts) == ESP_OK &&
           nvs_commit(store()) == ESP_OK;
}
