#include "engine.h"

#include <string.h>

const char *const lv_constructors[LV_CONSTRUCTORS] = {"_initialize", "__wasm_call_ctors"};

const char *const lv_mains[LV_MAINS] = {"main", "__main_void", "_start", "__original_main"};

const struct lv_export_type lv_exports[LV_EXPORTS] = {
    [LV_EXPORT_INIT] = {"init", 0},
    [LV_EXPORT_STEP] = {"step", 0},
    [LV_EXPORT_MAIN] = {"main", 0},
    [LV_EXPORT_PARAM_GET] = {"param_get", 1},
    [LV_EXPORT_PARAM_SET] = {"param_set", 2},
    [LV_EXPORT_PROCESS] = {"process", 4},
    [LV_EXPORT_FILTER] = {"filter", 1},
    [LV_EXPORT_ANOMALY] = {"anomaly", 2},
    [LV_EXPORT_WINDOW_ADD] = {"window_add", 2},
    [LV_EXPORT_WINDOW_GET] = {"window_get", 1},
    [LV_EXPORT_LOOK_BACK] = {"look_back", 1},
    [LV_EXPORT_FILTER_STATE] = {"filter_state", 0},
};

const struct lv_import_type lv_imports[LV_IMPORTS] = {
    {"read_sensor", 1, 1}, {"set_output", 2, 0}, {"get_config", 1, 1}, {"mqtt_publish", 2, 1},
    {"wasm_log", 1, 0},    {"log_int", 1, 0},    {"delay_ms", 1, 0},   {"now_s", 0, 1},
    {"uptime_s", 0, 1},    {"keep_get", 1, 1},   {"keep_set", 2, 1},
};

lv_text lv_text_at(const uint8_t *memory, uint32_t size, uint32_t pointer)
{
    lv_text text = {0};
    const uint8_t *end;
    if (!memory || pointer >= size)
        return text;
    end = memchr(memory + pointer, 0, size - pointer);
    if (end) {
        text.bytes = memory + pointer;
        text.length = (uint32_t)(end - text.bytes);
        text.valid = true;
    }
    return text;
}
