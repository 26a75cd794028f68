/*
 * WAMR 2.4, by its public header: what an ESP32 runs, and on Linux wherever `libiwasm` is installed.
 *
 * The runtime must be built as an interpreter with WAMR_BUILD_INSTRUCTION_METERING=1; the ESP-IDF
 * component has no switch for it, so pass the definition.  WAMR gives a guest only the memory that
 * it declares to use: an address beyond traps here and reads 0 elsewhere, so no guest may rely on
 * either.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "wasm_export.h"

#ifndef LV_WAMR_VERSION
#define LV_WAMR_VERSION "2.4"
#endif

/* Wasm operand stack: frames of the interpreter.  On the C stack it needs little, as calls between
 * wasm functions do not nest there. */
enum { STACK_BYTES = 16 * 1024, C_STACK_BYTES = 4096, MOST_PARAMETERS = 4 };

static lv_host *host;
static uint8_t *bytes; /* WAMR writes into what it loads, and needs it as long as the module */
static wasm_module_t module;
static wasm_module_inst_t instance;
static wasm_exec_env_t environment;
static uint32_t instructions;
static volatile bool terminated;
static wasm_function_inst_t functions[LV_EXPORTS];

const char *lv_engine_name(void) { return "wamr " LV_WAMR_VERSION; }

/* --- host calls --------------------------------------------------------------------------------- */

static lv_text text_of(int32_t pointer)
{
    uint32_t size;
    uint8_t *memory = lv_engine_memory(&size);
    return lv_text_at(memory, size, (uint32_t)pointer);
}

/* A native function cannot return a trap: it leaves an exception, which WAMR looks for. */
static void stop_if(bool wanted)
{
    if (wanted)
        wasm_runtime_set_exception(instance, "stopped by a host call");
}

static int32_t read_sensor(wasm_exec_env_t of, int32_t kind)
{
    int32_t result = lv_call_read_sensor(host, kind);
    (void)of;
    stop_if(host->trap);
    return result;
}

static void set_output(wasm_exec_env_t of, int32_t pin, int32_t state)
{
    (void)of;
    lv_call_set_output(host, pin, state);
    stop_if(host->trap);
}

static int32_t get_config(wasm_exec_env_t of, int32_t key)
{
    int32_t result = lv_call_get_config(host, key);
    (void)of;
    stop_if(host->trap);
    return result;
}

static int32_t mqtt_publish(wasm_exec_env_t of, int32_t topic, int32_t message)
{
    int32_t result = lv_call_mqtt_publish(host, text_of(topic), text_of(message));
    (void)of;
    stop_if(host->trap);
    return result;
}

static void wasm_log(wasm_exec_env_t of, int32_t message)
{
    (void)of;
    lv_call_wasm_log(host, text_of(message));
    stop_if(host->trap);
}

static void log_int(wasm_exec_env_t of, int32_t value)
{
    (void)of;
    lv_call_log_int(host, value);
    stop_if(host->trap);
}

static void delay_ms(wasm_exec_env_t of, int32_t ms)
{
    lv_pause pause = lv_call_delay_ms(host, ms);
    (void)of;
    stop_if(host->trap || pause == LV_UNWIND);
}

static int32_t now_s(wasm_exec_env_t of)
{
    int32_t result = lv_call_now_s(host);
    (void)of;
    stop_if(host->trap);
    return result;
}

static int32_t uptime_s(wasm_exec_env_t of)
{
    int32_t result = lv_call_uptime_s(host);
    (void)of;
    stop_if(host->trap);
    return result;
}

static int32_t keep_get(wasm_exec_env_t of, int32_t slot)
{
    int32_t result = lv_call_keep_get(host, slot);
    (void)of;
    stop_if(host->trap);
    return result;
}

static int32_t keep_set(wasm_exec_env_t of, int32_t slot, int32_t value)
{
    int32_t result = lv_call_keep_set(host, slot, value);
    (void)of;
    stop_if(host->trap);
    return result;
}

/* What a module imports is checked by lv_module_check: WAMR would link whatever native of that name
 * anybody has registered.  Pointers are checked by lv_text_at, not by WAMR's own signatures, so that
 * every engine refuses the same ones with the same class of trap. */
static NativeSymbol natives[] = {
    {"read_sensor", (void *)read_sensor, "(i)i", NULL},
    {"set_output", (void *)set_output, "(ii)", NULL},
    {"get_config", (void *)get_config, "(i)i", NULL},
    {"mqtt_publish", (void *)mqtt_publish, "(ii)i", NULL},
    {"wasm_log", (void *)wasm_log, "(i)", NULL},
    {"log_int", (void *)log_int, "(i)", NULL},
    {"delay_ms", (void *)delay_ms, "(i)", NULL},
    {"now_s", (void *)now_s, "()i", NULL},
    {"uptime_s", (void *)uptime_s, "()i", NULL},
    {"keep_get", (void *)keep_get, "(i)i", NULL},
    {"keep_set", (void *)keep_set, "(ii)i", NULL},
};
_Static_assert(sizeof natives / sizeof *natives == LV_IMPORTS, "not the imports of exports.c");

/* --- loading ------------------------------------------------------------------------------------ */

static bool open_runtime(void)
{
    static bool open;
    if (!open)
        open = wasm_runtime_init() &&
               wasm_runtime_register_natives("env", natives, sizeof natives / sizeof *natives);
    return open;
}

/* A module of a copy of its bytes, which the caller frees after it. */
static int open_module(const uint8_t *from, uint32_t length, const lv_limits *limits, uint8_t **copy,
                       wasm_module_t *opened)
{
    char reason[64];
    int rc = lv_module_check(from, length, limits);
    if (rc)
        return rc;
    if (!open_runtime())
        return LV_LOAD_MEMORY;
    *copy = malloc(length);
    if (!*copy)
        return LV_LOAD_MEMORY;
    memcpy(*copy, from, length);
    *opened = wasm_runtime_load(*copy, length, reason, sizeof reason);
    if (*opened)
        return 0;
    free(*copy);
    return LV_LOAD_MALFORMED;
}

int lv_engine_check(const uint8_t *from, uint32_t length, const lv_limits *limits)
{
    uint8_t *copy;
    wasm_module_t trial;
    int rc = open_module(from, length, limits, &copy, &trial);
    if (rc)
        return rc;
    wasm_runtime_unload(trial);
    free(copy);
    return 0;
}

/* WAMR says in words what happened (core/iwasm/common and core/iwasm/interpreter, 2.4). */
static int trap_of_exception(void)
{
    static const struct {
        const char *words;
        uint8_t trap;
    } traps[] = {
        {"instruction limit", LV_TRAP_OUT_OF_FUEL},
        {"out of bounds memory", LV_TRAP_MEMORY_OUT_OF_BOUNDS},
        {"integer divide by zero", LV_TRAP_INTEGER_DIVIDE},
        {"integer overflow", LV_TRAP_INTEGER_DIVIDE},
        {"unreachable", LV_TRAP_UNREACHABLE},
        {"stack overflow", LV_TRAP_STACK_OVERFLOW},
        {"undefined element", LV_TRAP_BAD_INDIRECT_CALL},
        {"uninitialized element", LV_TRAP_BAD_INDIRECT_CALL},
        {"indirect call type mismatch", LV_TRAP_BAD_INDIRECT_CALL},
        {"terminated", LV_TRAP_DEADLINE},
    };
    const char *said = wasm_runtime_get_exception(instance);
    if (host->trap)
        return host->trap;
    if (terminated)
        return LV_TRAP_DEADLINE;
    for (size_t k = 0; said && k < sizeof traps / sizeof *traps; k++)
        if (strstr(said, traps[k].words))
            return traps[k].trap;
    return LV_TRAP_OTHER;
}

static int call(wasm_function_inst_t f, uint32_t count, uint32_t *values)
{
    terminated = false;
    wasm_runtime_clear_exception(instance);
    if (f == functions[LV_EXPORT_MAIN])
        /* WAMR reads the limit once, when a call begins, and this one lasts for ever */
        wasm_runtime_set_instruction_count_limit(environment, -1);
    else
        lv_engine_renew();
    return wasm_runtime_call_wasm(environment, f, count, values) ? 0 : trap_of_exception();
}

static bool all_integers(const wasm_valkind_t *kinds, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (kinds[k] != WASM_I32)
            return false;
    return true;
}

static bool type_fits(lv_export which)
{
    wasm_function_inst_t f = functions[which];
    wasm_valkind_t kinds[MOST_PARAMETERS];
    if (!f)
        return true;
    uint32_t parameters = wasm_func_get_param_count(f, instance);
    uint32_t results = wasm_func_get_result_count(f, instance);
    if (parameters > MOST_PARAMETERS || results > 1 ||
        (which != LV_EXPORT_MAIN && (parameters != lv_exports[which].parameters || results != 1)))
        return false;
    wasm_func_get_param_types(f, instance, kinds);
    if (!all_integers(kinds, parameters))
        return false;
    if (results)
        wasm_func_get_result_types(f, instance, kinds);
    return all_integers(kinds, results);
}

static int start_guest(void)
{
    for (int k = 0; k < LV_CONSTRUCTORS; k++) {
        wasm_function_inst_t f = wasm_runtime_lookup_function(instance, lv_constructors[k]);
        uint32_t none[1] = {0};
        if (!f)
            continue;
        lv_host_renew_budget(host);
        int rc = call(f, 0, none);
        if (rc)
            return rc;
        break;
    }
    for (int k = 0; k < LV_EXPORTS; k++)
        functions[k] = wasm_runtime_lookup_function(instance, lv_exports[k].name);
    for (int k = 1; k < LV_MAINS && !functions[LV_EXPORT_MAIN]; k++)
        functions[LV_EXPORT_MAIN] = wasm_runtime_lookup_function(instance, lv_mains[k]);
    for (int k = 0; k < LV_EXPORTS; k++)
        if (!type_fits((lv_export)k))
            return LV_LOAD_EXPORT;
    return 0;
}

int lv_engine_load(const uint8_t *from, uint32_t length, lv_host *of, const lv_limits *limits)
{
    char reason[64];
    const InstantiationArgs arguments = {.default_stack_size = STACK_BYTES,
                                         .max_memory_pages = limits->memory_pages};
    host = of;
    instructions = limits->instructions;
    int rc = open_module(from, length, limits, &bytes, &module);
    if (rc) {
        bytes = NULL;
        module = NULL;
        return rc;
    }
    instance = wasm_runtime_instantiate_ex(module, &arguments, reason, sizeof reason);
    if (instance)
        environment = wasm_runtime_create_exec_env(instance, STACK_BYTES);
    rc = environment ? start_guest() : LV_LOAD_MEMORY;
    if (rc < 0)
        lv_engine_unload();
    return rc;
}

void lv_engine_unload(void)
{
    if (environment)
        wasm_runtime_destroy_exec_env(environment);
    if (instance)
        wasm_runtime_deinstantiate(instance);
    if (module)
        wasm_runtime_unload(module);
    free(bytes);
    environment = NULL;
    instance = NULL;
    module = NULL;
    bytes = NULL;
    memset(functions, 0, sizeof functions);
}

/* --- calling ------------------------------------------------------------------------------------ */

bool lv_engine_has(lv_export which) { return functions[which] != NULL; }

int lv_engine_call(lv_export which, const int32_t *arguments, int32_t *result)
{
    uint32_t values[MOST_PARAMETERS] = {0};
    wasm_function_inst_t f = functions[which];
    if (!f)
        return LV_GUEST_MISSING;
    uint32_t count = wasm_func_get_param_count(f, instance);
    for (uint32_t k = 0; k < count && which != LV_EXPORT_MAIN; k++)
        values[k] = (uint32_t)arguments[k];
    /* main may run on a stack that the port made, of which WAMR's own check knows nothing */
    wasm_runtime_set_native_stack_boundary(
        environment, which == LV_EXPORT_MAIN ? (uint8_t *)values - C_STACK_BYTES : NULL);
    int rc = call(f, count, values);
    *result = wasm_func_get_result_count(f, instance) ? (int32_t)values[0] : 0;
    return rc;
}

void lv_engine_renew(void)
{
    wasm_runtime_set_instruction_count_limit(
        environment, instructions > INT32_MAX ? INT32_MAX : (int)instructions);
}

void lv_engine_terminate(void)
{
    terminated = true;
    if (instance)
        wasm_runtime_terminate(instance);
}

uint8_t *lv_engine_memory(uint32_t *size)
{
    wasm_memory_inst_t memory = instance ? wasm_runtime_get_default_memory(instance) : NULL;
    *size = memory ? (uint32_t)(wasm_memory_get_cur_page_count(memory) *
                                wasm_memory_get_bytes_per_page(memory))
                   : 0;
    return memory ? wasm_memory_get_base_address(memory) : NULL;
}
