#include "engine.h"

const char *const lv_constructors[LV_CONSTRUCTORS] = {"_initialize", "__wasm_call_ctors"};

const char *const lv_mains[LV_MAINS] = {"main", "__main_void", "_start", "__original_main"};

const struct lv_export_type lv_exports[LV_EXPORTS] = {
    [LV_EXPORT_INIT] = {"init", 0},           [LV_EXPORT_STEP] = {"step", 0},
    [LV_EXPORT_MAIN] = {"main", 0},           [LV_EXPORT_PARAM_GET] = {"param_get", 1},
    [LV_EXPORT_PARAM_SET] = {"param_set", 2}, [LV_EXPORT_PROCESS] = {"process", 4},
    [LV_EXPORT_FILTER] = {"filter", 1},
};

/* WebAssembly core specification 1.0, 5.5: magic, version, then sections of kind, size, bytes */
int lv_module_check(const uint8_t *module, uint32_t length)
{
    static const uint8_t head[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    enum { START_SECTION = 8 };
    uint32_t at = sizeof head;
    if (length < sizeof head || memcmp(module, head, sizeof head) != 0)
        return LV_LOAD_MALFORMED;
    while (at < length) {
        uint8_t kind = module[at++];
        uint64_t size = 0;
        for (int shift = 0;; shift += 7) { /* LEB128 of 32 bits */
            if (at == length || shift > 28)
                return LV_LOAD_MALFORMED;
            size |= (uint64_t)(module[at] & 0x7F) << shift;
            if (module[at++] < 0x80)
                break;
        }
        if (size > length - at)
            return LV_LOAD_MALFORMED;
        if (kind == START_SECTION)
            return LV_LOAD_START;
        at += (uint32_t)size;
    }
    return 0;
}

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
