/*
 * wasm3 0.5.0, from the sdist of pywasm3.
 *
 * wasm3 counts nothing by itself; wasm3_budget.h makes it count its operations, so every call ends,
 * without a clock and on every CPU alike.
 */
#include "engine.h"

#include <string.h>

#include "m3_env.h"
#include "wasm3.h"

#if defined(__xtensa__)
enum { STACK_BYTES = 16 * 1024, C_STACK_BYTES = 256 * 1024 };
#else
enum { STACK_BYTES = 64 * 1024, C_STACK_BYTES = 4 * 1024 * 1024 };
#endif

int32_t lv_wasm3_budget; /* operations that are left */
uintptr_t lv_wasm3_stack_end;
const char lv_wasm3_spent[] = "budget spent";
static const char stopped[] = "stopped by a host call";

static lv_host *host;
static IM3Environment environment;
static IM3Runtime runtime;
static IM3Function functions[LV_EXPORTS];
static uint32_t instructions;
static volatile bool terminated;

const char *lv_engine_name(void) { return "wasm3 " M3_VERSION; }

/* --- host calls: results lie first on the stack, arguments behind ------------------------------ */

static const void *after(void) { return host->trap ? stopped : m3Err_none; }

static lv_text text_of(void *memory, uint64_t pointer)
{
    return lv_text_at(memory, m3_GetMemorySize(runtime), (uint32_t)pointer);
}

#define HOST_CALL(name)                                                                            \
    static const void *name(IM3Runtime of, IM3ImportContext context, uint64_t *sp, void *memory)

#define UNUSED (void)of, (void)context, (void)memory, (void)sp

HOST_CALL(read_sensor)
{
    UNUSED;
    int32_t result = lv_call_read_sensor(host, (int32_t)sp[1]);
    sp[0] = (uint32_t)result;
    return after();
}

HOST_CALL(set_output)
{
    UNUSED;
    lv_call_set_output(host, (int32_t)sp[0], (int32_t)sp[1]);
    return after();
}

HOST_CALL(get_config)
{
    UNUSED;
    int32_t result = lv_call_get_config(host, (int32_t)sp[1]);
    sp[0] = (uint32_t)result;
    return after();
}

HOST_CALL(mqtt_publish)
{
    UNUSED;
    int32_t result =
        lv_call_mqtt_publish(host, text_of(memory, sp[1]), text_of(memory, sp[2]));
    sp[0] = (uint32_t)result;
    return after();
}

HOST_CALL(wasm_log)
{
    UNUSED;
    lv_call_wasm_log(host, text_of(memory, sp[0]));
    return after();
}

HOST_CALL(log_int)
{
    UNUSED;
    lv_call_log_int(host, (int32_t)sp[0]);
    return after();
}

HOST_CALL(delay_ms)
{
    UNUSED;
    lv_pause pause = lv_call_delay_ms(host, (int32_t)sp[0]);
    return pause == LV_UNWIND ? stopped : after();
}

HOST_CALL(now_s)
{
    UNUSED;
    sp[0] = (uint32_t)lv_call_now_s(host);
    return after();
}

HOST_CALL(uptime_s)
{
    UNUSED;
    sp[0] = (uint32_t)lv_call_uptime_s(host);
    return after();
}

HOST_CALL(keep_get)
{
    UNUSED;
    sp[0] = (uint32_t)lv_call_keep_get(host, (int32_t)sp[1]);
    return after();
}

HOST_CALL(keep_set)
{
    UNUSED;
    sp[0] = (uint32_t)lv_call_keep_set(host, (int32_t)sp[1], (int32_t)sp[2]);
    return after();
}

static const struct {
    const char *name;
    const char *type;
    M3RawCall call;
} imports[] = {
    {"read_sensor", "i(i)", read_sensor}, {"set_output", "v(ii)", set_output},
    {"get_config", "i(i)", get_config},   {"mqtt_publish", "i(ii)", mqtt_publish},
    {"wasm_log", "v(i)", wasm_log},       {"log_int", "v(i)", log_int},
    {"delay_ms", "v(i)", delay_ms},       {"now_s", "i()", now_s},
    {"uptime_s", "i()", uptime_s},        {"keep_get", "i(i)", keep_get},
    {"keep_set", "i(ii)", keep_set},
};
enum { IMPORTS = sizeof imports / sizeof *imports };
_Static_assert(IMPORTS == (int)LV_IMPORTS, "not the imports of exports.c");

/* From here on so much of this stack may be used.  Returns what was set before, to be set again by
 * whoever goes back to a guest that has paused on another stack. */
static uintptr_t limit_stack(void)
{
    uintptr_t before = lv_wasm3_stack_end;
    lv_wasm3_stack_end = (uintptr_t)__builtin_frame_address(0) - C_STACK_BYTES;
    return before;
}

/* --- loading ---------------------------------------------------------------------------------- */

static void limit_memory(IM3Module module, const lv_limits *limits)
{
    if (module->memoryInfo.maxPages == 0 || module->memoryInfo.maxPages > limits->memory_pages)
        module->memoryInfo.maxPages = limits->memory_pages;
}

static int link_module(IM3Module module)
{
    for (int k = 0; k < IMPORTS; k++) {
        M3Result error =
            m3_LinkRawFunction(module, "env", imports[k].name, imports[k].type, imports[k].call);
        if (error && error != m3Err_functionLookupFailed)
            return LV_LOAD_IMPORT;
    }
    return 0;
}

/* A module in a runtime of its own, linked and compiled. */
static int open_module(IM3Environment in, const uint8_t *bytes, uint32_t length,
                       const lv_limits *limits, IM3Runtime *opened, IM3Module *module)
{
    int rc = lv_module_check(bytes, length, limits);
    lv_wasm3_budget = INT32_MAX; /* offsets of segments and first values of globals are computed */
    *opened = rc ? NULL : m3_NewRuntime(in, STACK_BYTES, NULL);
    if (!*opened)
        return rc ? rc : LV_LOAD_MEMORY;
    rc = m3_ParseModule(in, module, bytes, length) ? LV_LOAD_MALFORMED : 0;
    if (rc == 0) {
        limit_memory(*module, limits);
        M3Result error = m3_LoadModule(*opened, *module);
        if (error) {
            m3_FreeModule(*module);
            rc = error == m3Err_mallocFailed || error == m3Err_wasmMemoryOverflow
                     ? LV_LOAD_MEMORY
                     : LV_LOAD_MALFORMED;
        }
    }
    if (rc == 0)
        rc = link_module(*module);
    if (rc == 0 && m3_CompileModule(*module))
        rc = LV_LOAD_MALFORMED;
    if (rc) {
        m3_FreeRuntime(*opened);
        *opened = NULL;
    }
    return rc;
}

int lv_engine_check(const uint8_t *bytes, uint32_t length, const lv_limits *limits)
{
    IM3Runtime trial;
    IM3Module module;
    IM3Environment in = m3_NewEnvironment();
    if (!in)
        return LV_LOAD_MEMORY;
    uintptr_t before = limit_stack();
    int rc = open_module(in, bytes, length, limits, &trial, &module);
    lv_wasm3_stack_end = before;
    if (rc == 0)
        m3_FreeRuntime(trial);
    m3_FreeEnvironment(in);
    return rc;
}

static int trap_of(M3Result error)
{
    static const struct {
        const M3Result *error;
        uint8_t trap;
    } traps[] = {
        {&m3Err_trapOutOfBoundsMemoryAccess, LV_TRAP_MEMORY_OUT_OF_BOUNDS},
        {&m3Err_trapDivisionByZero, LV_TRAP_INTEGER_DIVIDE},
        {&m3Err_trapIntegerOverflow, LV_TRAP_INTEGER_DIVIDE},
        {&m3Err_trapIndirectCallTypeMismatch, LV_TRAP_BAD_INDIRECT_CALL},
        {&m3Err_trapTableIndexOutOfRange, LV_TRAP_BAD_INDIRECT_CALL},
        {&m3Err_trapTableElementIsNull, LV_TRAP_BAD_INDIRECT_CALL},
        {&m3Err_trapUnreachable, LV_TRAP_UNREACHABLE},
        {&m3Err_trapStackOverflow, LV_TRAP_STACK_OVERFLOW},
    };
    if (!error)
        return 0;
    if (error == lv_wasm3_spent)
        return terminated ? LV_TRAP_DEADLINE : LV_TRAP_OUT_OF_FUEL;
    if (host->trap)
        return host->trap;
    for (size_t k = 0; k < sizeof traps / sizeof *traps; k++)
        if (error == *traps[k].error)
            return traps[k].trap;
    return LV_TRAP_OTHER;
}

void lv_engine_renew(void)
{
    terminated = false;
    lv_wasm3_budget = instructions > INT32_MAX ? INT32_MAX : (int32_t)instructions;
}

static int find(IM3Function *function, const char *name)
{
    IM3Function found = NULL;
    M3Result error = m3_FindFunction(&found, runtime, name);
    *function = error ? NULL : found;
    return error && error != m3Err_functionLookupFailed ? trap_of(error) : 0;
}

static int start_guest(void)
{
    int rc = 0;
    for (int k = 0; k < LV_CONSTRUCTORS; k++) {
        IM3Function constructor;
        rc = find(&constructor, lv_constructors[k]);
        if (rc)
            return rc;
        if (constructor) {
            lv_engine_renew();
            lv_host_renew_budget(host);
            rc = trap_of(m3_Call(constructor, 0, NULL));
            break;
        }
    }
    for (int k = 0; k < LV_EXPORTS && rc == 0; k++)
        rc = find(&functions[k], lv_exports[k].name);
    for (int k = 1; k < LV_MAINS && rc == 0 && !functions[LV_EXPORT_MAIN]; k++)
        rc = find(&functions[LV_EXPORT_MAIN], lv_mains[k]);
    return rc;
}

static bool types_fit(void)
{
    for (int k = 0; k < LV_EXPORTS; k++) {
        IM3Function f = functions[k];
        uint32_t wanted = lv_exports[k].parameters;
        if (!f)
            continue;
        uint32_t count = m3_GetArgCount(f);
        if (k == LV_EXPORT_MAIN ? count > 4 : count != wanted || m3_GetRetCount(f) != 1)
            return false;
        for (uint32_t i = 0; i < count; i++)
            if (m3_GetArgType(f, i) != c_m3Type_i32)
                return false;
        for (uint32_t i = 0; i < m3_GetRetCount(f); i++)
            if (m3_GetRetType(f, i) != c_m3Type_i32)
                return false;
    }
    return true;
}

int lv_engine_load(const uint8_t *bytes, uint32_t length, lv_host *of, const lv_limits *limits)
{
    IM3Module module;
    host = of;
    instructions = limits->instructions;
    memset(functions, 0, sizeof functions);
    environment = m3_NewEnvironment();
    if (!environment)
        return LV_LOAD_MEMORY;
    limit_stack();
    int rc = open_module(environment, bytes, length, limits, &runtime, &module);
    if (rc == 0) {
        rc = start_guest();
        if (rc == 0 && !types_fit())
            rc = LV_LOAD_EXPORT;
    }
    if (rc < 0)
        lv_engine_unload();
    return rc;
}

void lv_engine_unload(void)
{
    if (runtime)
        m3_FreeRuntime(runtime);
    if (environment)
        m3_FreeEnvironment(environment);
    runtime = NULL;
    environment = NULL;
    memset(functions, 0, sizeof functions);
}

/* --- calling ---------------------------------------------------------------------------------- */

bool lv_engine_has(lv_export which) { return functions[which] != NULL; }

int lv_engine_call(lv_export which, const int32_t *arguments, int32_t *result)
{
    static const int32_t zeros[4] = {0};
    const void *pointers[4];
    IM3Function f = functions[which];
    if (!f)
        return LV_GUEST_MISSING;
    if (which == LV_EXPORT_MAIN)
        arguments = zeros;
    for (uint32_t k = 0; k < m3_GetArgCount(f); k++)
        pointers[k] = arguments + k;
    lv_engine_renew();
    uintptr_t before = limit_stack();
    int rc = trap_of(m3_Call(f, m3_GetArgCount(f), pointers));
    lv_wasm3_stack_end = before;
    *result = 0;
    if (rc == 0 && m3_GetRetCount(f) == 1) {
        const void *out[1] = {result};
        m3_GetResults(f, 1, out);
    }
    return rc;
}

void lv_engine_terminate(void)
{
    terminated = true;
    lv_wasm3_budget = 0;
}

uint8_t *lv_engine_memory(uint32_t *size)
{
    *size = 0;
    return runtime ? m3_GetMemory(runtime, size, 0) : NULL;
}
