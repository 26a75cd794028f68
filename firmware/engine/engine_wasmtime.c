/*
 * Wasmtime, by the C API of the shared library that the Python package `wasmtime` brings.
 *
 * The package has no headers, so what is used is declared here, after the C API's documentation
 * (https://docs.wasmtime.dev/c-api/, version 50).  The features switched off are those of
 * guest/wasm/engine.py: profile.c has refused them before.
 */
#include "engine.h"

#include <string.h>

/* --- the C API ---------------------------------------------------------------------------------- */

typedef struct wasm_config wasm_config;
typedef struct wasm_engine wasm_engine;
typedef struct wasm_trap wasm_trap;
typedef struct wasm_functype wasm_functype;
typedef struct wasm_valtype wasm_valtype;
typedef struct wasmtime_error wasmtime_error;
typedef struct wasmtime_store wasmtime_store;
typedef struct wasmtime_context wasmtime_context;
typedef struct wasmtime_module wasmtime_module;
typedef struct wasmtime_linker wasmtime_linker;
typedef struct wasmtime_caller wasmtime_caller;

typedef struct {
    size_t size;
    wasm_valtype **data;
} wasm_valtype_vec;
typedef struct {
    uint64_t private[2];
} wasmtime_func;
typedef struct {
    uint64_t private[3];
} wasmtime_memory;
typedef struct {
    uint64_t private[2];
} wasmtime_instance;
typedef struct {
    uint8_t kind; /* EXTERN_FUNC, EXTERN_MEMORY */
    union {
        wasmtime_func func;
        wasmtime_memory memory;
    } of;
} wasmtime_extern;
typedef struct {
    uint8_t kind; /* WASM_I32 */
    union {
        int32_t i32;
        uint64_t private[3];
    } of;
} wasmtime_val;
typedef wasm_trap *(*wasmtime_callback)(void *environment, wasmtime_caller *caller,
                                        const wasmtime_val *arguments, size_t argument_count,
                                        wasmtime_val *results, size_t result_count);
typedef void finalizer(void *);

enum { WASM_I32 = 0, EXTERN_FUNC = 0, EXTERN_MEMORY = 3 };

wasm_config *wasm_config_new(void);
wasm_engine *wasm_engine_new_with_config(wasm_config *);
void wasmtime_config_consume_fuel_set(wasm_config *, bool);
void wasmtime_config_epoch_interruption_set(wasm_config *, bool);
void wasmtime_config_max_wasm_stack_set(wasm_config *, size_t);
void wasmtime_config_parallel_compilation_set(wasm_config *, bool);
void wasmtime_config_wasm_simd_set(wasm_config *, bool);
void wasmtime_config_wasm_relaxed_simd_set(wasm_config *, bool);
void wasmtime_config_wasm_threads_set(wasm_config *, bool);
void wasmtime_config_wasm_memory64_set(wasm_config *, bool);
void wasmtime_config_wasm_multi_memory_set(wasm_config *, bool);
void wasmtime_config_wasm_tail_call_set(wasm_config *, bool);
void wasmtime_config_wasm_multi_value_set(wasm_config *, bool);
void wasmtime_config_wasm_gc_set(wasm_config *, bool);
void wasmtime_config_wasm_function_references_set(wasm_config *, bool);
void wasmtime_config_wasm_exceptions_set(wasm_config *, bool);
void wasmtime_config_wasm_stack_switching_set(wasm_config *, bool);
void wasmtime_config_wasm_component_model_set(wasm_config *, bool);
void wasmtime_config_wasm_component_model_async_set(wasm_config *, bool);
void wasmtime_config_wasm_reference_types_set(wasm_config *, bool);
void wasmtime_config_wasm_bulk_memory_set(wasm_config *, bool);
void wasmtime_engine_increment_epoch(wasm_engine *);
wasmtime_store *wasmtime_store_new(wasm_engine *, void *, finalizer *);
void wasmtime_store_delete(wasmtime_store *);
wasmtime_context *wasmtime_store_context(wasmtime_store *);
void wasmtime_store_limiter(wasmtime_store *, int64_t memory, int64_t table_elements,
                            int64_t instances, int64_t tables, int64_t memories);
wasmtime_error *wasmtime_context_set_fuel(wasmtime_context *, uint64_t);
void wasmtime_context_set_epoch_deadline(wasmtime_context *, uint64_t);
wasmtime_error *wasmtime_module_new(wasm_engine *, const uint8_t *, size_t, wasmtime_module **);
void wasmtime_module_delete(wasmtime_module *);
wasmtime_linker *wasmtime_linker_new(wasm_engine *);
void wasmtime_linker_delete(wasmtime_linker *);
wasmtime_error *wasmtime_linker_define_func(wasmtime_linker *, const char *, size_t, const char *,
                                            size_t, const wasm_functype *, wasmtime_callback,
                                            void *, finalizer *);
wasmtime_error *wasmtime_linker_instantiate(const wasmtime_linker *, wasmtime_context *,
                                            const wasmtime_module *, wasmtime_instance *,
                                            wasm_trap **);
bool wasmtime_instance_export_get(wasmtime_context *, const wasmtime_instance *, const char *,
                                  size_t, wasmtime_extern *);
void wasmtime_extern_delete(wasmtime_extern *);
wasm_functype *wasmtime_func_type(const wasmtime_context *, const wasmtime_func *);
wasmtime_error *wasmtime_func_call(wasmtime_context *, const wasmtime_func *, const wasmtime_val *,
                                   size_t, wasmtime_val *, size_t, wasm_trap **);
uint8_t *wasmtime_memory_data(const wasmtime_context *, const wasmtime_memory *);
size_t wasmtime_memory_data_size(const wasmtime_context *, const wasmtime_memory *);
wasm_trap *wasmtime_trap_new(const char *, size_t);
bool wasmtime_trap_code(const wasm_trap *, uint8_t *);
void wasm_trap_delete(wasm_trap *);
void wasmtime_error_delete(wasmtime_error *);
wasm_valtype *wasm_valtype_new(uint8_t);
uint8_t wasm_valtype_kind(const wasm_valtype *);
void wasm_valtype_vec_new(wasm_valtype_vec *, size_t, wasm_valtype *const *);
void wasm_valtype_vec_new_empty(wasm_valtype_vec *);
wasm_functype *wasm_functype_new(wasm_valtype_vec *, wasm_valtype_vec *);
void wasm_functype_delete(wasm_functype *);
const wasm_valtype_vec *wasm_functype_params(const wasm_functype *);
const wasm_valtype_vec *wasm_functype_results(const wasm_functype *);

/* --- state -------------------------------------------------------------------------------------- */

enum { PAGE = 65536, TABLE_ELEMENTS = 1024, STACK_BYTES = 256 * 1024, MOST_PARAMETERS = 4 };

static lv_host *host;
static wasm_engine *engine; /* one for the life of the process: it is costly */
static wasmtime_linker *linker;
static wasmtime_module *module;
static wasmtime_store *store;
static wasmtime_context *context;
static bool has_memory;
static wasmtime_memory memory;
static uint32_t instructions;
static struct {
    bool there;
    uint8_t parameters;
    uint8_t results;
    wasmtime_func func;
} functions[LV_EXPORTS];

const char *lv_engine_name(void) { return "wasmtime " LV_WASMTIME_VERSION; }

/* --- host calls --------------------------------------------------------------------------------- */

static lv_text text_of(int32_t pointer)
{
    uint32_t size;
    uint8_t *bytes = lv_engine_memory(&size);
    return lv_text_at(bytes, size, (uint32_t)pointer);
}

static wasm_trap *stop(void) { return wasmtime_trap_new("stopped", 7); }

static wasm_trap *host_call(void *call, wasmtime_caller *caller, const wasmtime_val *a, size_t count,
                            wasmtime_val *result, size_t results)
{
    int32_t value = 0;
    lv_pause pause = LV_RESUME;
    (void)caller;
    (void)count;
    switch ((uintptr_t)call) {
    case LV_CALL_READ_SENSOR: value = lv_call_read_sensor(host, a[0].of.i32); break;
    case LV_CALL_SET_OUTPUT: lv_call_set_output(host, a[0].of.i32, a[1].of.i32); break;
    case LV_CALL_GET_CONFIG: value = lv_call_get_config(host, a[0].of.i32); break;
    case LV_CALL_MQTT_PUBLISH:
        value = lv_call_mqtt_publish(host, text_of(a[0].of.i32), text_of(a[1].of.i32));
        break;
    case LV_CALL_WASM_LOG: lv_call_wasm_log(host, text_of(a[0].of.i32)); break;
    case LV_CALL_LOG_INT: lv_call_log_int(host, a[0].of.i32); break;
    case LV_CALL_DELAY_MS: pause = lv_call_delay_ms(host, a[0].of.i32); break;
    case LV_CALL_NOW_S: value = lv_call_now_s(host); break;
    case LV_CALL_UPTIME_S: value = lv_call_uptime_s(host); break;
    case LV_CALL_KEEP_GET: value = lv_call_keep_get(host, a[0].of.i32); break;
    case LV_CALL_KEEP_SET: value = lv_call_keep_set(host, a[0].of.i32, a[1].of.i32); break;
    default: break;
    }
    if (results) {
        result[0].kind = WASM_I32;
        result[0].of.i32 = value;
    }
    return host->trap || pause == LV_UNWIND ? stop() : NULL;
}

static const struct {
    const char *name;
    uint8_t parameters;
    uint8_t results;
} imports[] = {
    [LV_CALL_READ_SENSOR] = {"read_sensor", 1, 1}, [LV_CALL_SET_OUTPUT] = {"set_output", 2, 0},
    [LV_CALL_GET_CONFIG] = {"get_config", 1, 1},   [LV_CALL_MQTT_PUBLISH] = {"mqtt_publish", 2, 1},
    [LV_CALL_WASM_LOG] = {"wasm_log", 1, 0},       [LV_CALL_LOG_INT] = {"log_int", 1, 0},
    [LV_CALL_DELAY_MS] = {"delay_ms", 1, 0},       [LV_CALL_NOW_S] = {"now_s", 0, 1},
    [LV_CALL_UPTIME_S] = {"uptime_s", 0, 1},       [LV_CALL_KEEP_GET] = {"keep_get", 1, 1},
    [LV_CALL_KEEP_SET] = {"keep_set", 2, 1},
};
enum { FIRST_IMPORT = LV_CALL_READ_SENSOR, IMPORTS = sizeof imports / sizeof *imports };

/* --- loading ------------------------------------------------------------------------------------ */

static void integers(wasm_valtype_vec *types, size_t count)
{
    wasm_valtype *each[MOST_PARAMETERS];
    for (size_t k = 0; k < count; k++)
        each[k] = wasm_valtype_new(WASM_I32);
    if (count)
        wasm_valtype_vec_new(types, count, each);
    else
        wasm_valtype_vec_new_empty(types);
}

static void open_engine(void)
{
    if (engine)
        return;
    wasm_config *config = wasm_config_new();
    wasmtime_config_consume_fuel_set(config, true);
    wasmtime_config_epoch_interruption_set(config, true);
    wasmtime_config_max_wasm_stack_set(config, STACK_BYTES);
    wasmtime_config_parallel_compilation_set(config, false);
    wasmtime_config_wasm_relaxed_simd_set(config, false);
    wasmtime_config_wasm_simd_set(config, false);
    wasmtime_config_wasm_threads_set(config, false);
    wasmtime_config_wasm_memory64_set(config, false);
    wasmtime_config_wasm_multi_memory_set(config, false);
    wasmtime_config_wasm_tail_call_set(config, false);
    wasmtime_config_wasm_multi_value_set(config, false);
    wasmtime_config_wasm_gc_set(config, false);
    wasmtime_config_wasm_function_references_set(config, false);
    wasmtime_config_wasm_exceptions_set(config, false);
    wasmtime_config_wasm_stack_switching_set(config, false);
    wasmtime_config_wasm_component_model_set(config, false); /* these need reference types */
    wasmtime_config_wasm_component_model_async_set(config, false);
    wasmtime_config_wasm_reference_types_set(config, false);
    wasmtime_config_wasm_bulk_memory_set(config, false);
    engine = wasm_engine_new_with_config(config);
    linker = wasmtime_linker_new(engine);
    for (uintptr_t k = FIRST_IMPORT; k < IMPORTS; k++) {
        wasm_valtype_vec parameters;
        wasm_valtype_vec results;
        integers(&parameters, imports[k].parameters);
        integers(&results, imports[k].results);
        wasm_functype *type = wasm_functype_new(&parameters, &results);
        wasmtime_error *error =
            wasmtime_linker_define_func(linker, "env", 3, imports[k].name, strlen(imports[k].name),
                                        type, host_call, (void *)k, NULL);
        if (error)
            wasmtime_error_delete(error);
        wasm_functype_delete(type);
    }
}

static int open_module(const uint8_t *bytes, uint32_t length, const lv_limits *limits,
                       wasmtime_module **opened)
{
    int rc = lv_module_check(bytes, length, limits);
    if (rc)
        return rc;
    open_engine();
    wasmtime_error *error = wasmtime_module_new(engine, bytes, length, opened);
    if (error) {
        wasmtime_error_delete(error);
        return LV_LOAD_MALFORMED;
    }
    return 0;
}

int lv_engine_check(const uint8_t *bytes, uint32_t length, const lv_limits *limits)
{
    wasmtime_module *trial;
    int rc = open_module(bytes, length, limits, &trial);
    if (rc == 0)
        wasmtime_module_delete(trial);
    return rc;
}

static int trap_of(wasm_trap *trap)
{
    static const uint8_t kinds[] = {
        LV_TRAP_STACK_OVERFLOW,
        LV_TRAP_MEMORY_OUT_OF_BOUNDS,
        LV_TRAP_OTHER, /* misaligned atomic */
        LV_TRAP_BAD_INDIRECT_CALL,
        LV_TRAP_BAD_INDIRECT_CALL,
        LV_TRAP_BAD_INDIRECT_CALL,
        LV_TRAP_INTEGER_DIVIDE,
        LV_TRAP_INTEGER_DIVIDE,
        LV_TRAP_OTHER, /* float to integer */
        LV_TRAP_UNREACHABLE,
        LV_TRAP_DEADLINE, /* epoch */
        LV_TRAP_OUT_OF_FUEL,
    };
    uint8_t code;
    int kind = LV_TRAP_OTHER;
    if (host->trap)
        kind = host->trap;
    else if (wasmtime_trap_code(trap, &code) && code < sizeof kinds)
        kind = kinds[code];
    wasm_trap_delete(trap);
    return kind;
}

static int call(const wasmtime_func *f, const wasmtime_val *arguments, size_t count,
                wasmtime_val *results, size_t result_count)
{
    wasm_trap *trap = NULL;
    lv_engine_renew();
    wasmtime_error *error =
        wasmtime_func_call(context, f, arguments, count, results, result_count, &trap);
    if (error) {
        wasmtime_error_delete(error);
        return LV_TRAP_OTHER;
    }
    return trap ? trap_of(trap) : 0;
}

static bool find(const wasmtime_instance *instance, const char *name, uint8_t kind,
                 wasmtime_extern *found)
{
    if (!wasmtime_instance_export_get(context, instance, name, strlen(name), found))
        return false;
    if (found->kind == kind)
        return true;
    wasmtime_extern_delete(found);
    return false;
}

static bool all_integers(const wasm_valtype_vec *types)
{
    for (size_t k = 0; k < types->size; k++)
        if (wasm_valtype_kind(types->data[k]) != WASM_I32)
            return false;
    return true;
}

/* Whether the export, if there is one, has the type of the ABI. */
static bool take(const wasmtime_instance *instance, lv_export which, const char *name)
{
    wasmtime_extern found;
    if (!find(instance, name, EXTERN_FUNC, &found))
        return true;
    wasm_functype *type = wasmtime_func_type(context, &found.of.func);
    const wasm_valtype_vec *parameters = wasm_functype_params(type);
    const wasm_valtype_vec *results = wasm_functype_results(type);
    bool fits = all_integers(parameters) && all_integers(results) &&
                (which == LV_EXPORT_MAIN
                     ? parameters->size <= MOST_PARAMETERS && results->size <= 1
                     : parameters->size == lv_exports[which].parameters && results->size == 1);
    functions[which].there = true;
    functions[which].parameters = (uint8_t)parameters->size;
    functions[which].results = (uint8_t)results->size;
    functions[which].func = found.of.func;
    wasm_functype_delete(type);
    return fits;
}

static int start_guest(const wasmtime_instance *instance)
{
    wasmtime_extern found;
    has_memory = find(instance, "memory", EXTERN_MEMORY, &found);
    if (has_memory)
        memory = found.of.memory;
    for (int k = 0; k < LV_CONSTRUCTORS; k++) {
        if (!find(instance, lv_constructors[k], EXTERN_FUNC, &found))
            continue;
        lv_host_renew_budget(host);
        int rc = call(&found.of.func, NULL, 0, NULL, 0);
        if (rc)
            return rc;
        break;
    }
    for (int k = 0; k < LV_EXPORTS; k++)
        if (!take(instance, (lv_export)k, lv_exports[k].name))
            return LV_LOAD_EXPORT;
    for (int k = 1; k < LV_MAINS && !functions[LV_EXPORT_MAIN].there; k++)
        if (!take(instance, LV_EXPORT_MAIN, lv_mains[k]))
            return LV_LOAD_EXPORT;
    return 0;
}

int lv_engine_load(const uint8_t *bytes, uint32_t length, lv_host *of, const lv_limits *limits)
{
    wasmtime_instance instance;
    wasm_trap *trap = NULL;
    host = of;
    instructions = limits->instructions;
    int rc = open_module(bytes, length, limits, &module);
    if (rc) {
        module = NULL;
        return rc;
    }
    store = wasmtime_store_new(engine, NULL, NULL);
    context = wasmtime_store_context(store);
    wasmtime_store_limiter(store, (int64_t)limits->memory_pages * PAGE, TABLE_ELEMENTS, 1, 1, 1);
    lv_engine_renew();
    wasmtime_error *error = wasmtime_linker_instantiate(linker, context, module, &instance, &trap);
    if (error) { /* memory or tables beyond the limit, or an import of another type */
        wasmtime_error_delete(error);
        rc = host->trap ? host->trap : LV_LOAD_MEMORY;
    } else
        rc = trap ? trap_of(trap) : start_guest(&instance);
    if (rc < 0)
        lv_engine_unload();
    return rc;
}

void lv_engine_unload(void)
{
    if (store)
        wasmtime_store_delete(store);
    if (module)
        wasmtime_module_delete(module);
    store = NULL;
    module = NULL;
    context = NULL;
    has_memory = false;
    memset(functions, 0, sizeof functions);
}

/* --- calling ------------------------------------------------------------------------------------ */

bool lv_engine_has(lv_export which) { return functions[which].there; }

int lv_engine_call(lv_export which, const int32_t *arguments, int32_t *result)
{
    wasmtime_val in[MOST_PARAMETERS];
    wasmtime_val out = {.kind = WASM_I32};
    if (!functions[which].there)
        return LV_GUEST_MISSING;
    for (int k = 0; k < functions[which].parameters; k++) {
        in[k].kind = WASM_I32;
        in[k].of.i32 = which == LV_EXPORT_MAIN ? 0 : arguments[k];
    }
    int rc = call(&functions[which].func, in, functions[which].parameters, &out,
                  functions[which].results);
    *result = out.of.i32;
    return rc;
}

void lv_engine_renew(void)
{
    wasmtime_error *error = wasmtime_context_set_fuel(context, instructions);
    if (error)
        wasmtime_error_delete(error);
    wasmtime_context_set_epoch_deadline(context, 1);
}

void lv_engine_terminate(void) { wasmtime_engine_increment_epoch(engine); }

uint8_t *lv_engine_memory(uint32_t *size)
{
    *size = has_memory ? (uint32_t)wasmtime_memory_data_size(context, &memory) : 0;
    return has_memory ? wasmtime_memory_data(context, &memory) : NULL;
}
