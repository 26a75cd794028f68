/*
 * The C guest compiled in: the same source, no WebAssembly between.
 *
 * It stands for the native strategies.  It runs only under the module it was compiled from: the
 * store must hold that module's bytes, so that a birth message never names a guest that does not
 * run.  Variables of the guest lie in a section of their own, `guest_data`, so that a start gives
 * them back their first values.  A guest that never returns is the board's watchdog's business.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "../core/sha256.h"
#include "engine.h"
#include "native_guest.h" /* LV_NATIVE_SHA256, made from the module by the Makefile */

/* What a guest may define; absent ones are NULL. */
#define WEAK __attribute__((weak))
WEAK int levada_init(void);
WEAK int levada_step(void);
WEAK int levada_main(void);
WEAK int levada_param_get(int id);
WEAK int levada_param_set(int id, int value);
WEAK int levada_process(int raw, int dry, int wet, int limit);
WEAK int levada_filter(int raw);
WEAK int levada_anomaly(int raw, int t_s);
WEAK int levada_window_add(int value, int t_s);
WEAK int levada_window_get(int kind);
WEAK int levada_look_back(int value);
WEAK int levada_filter_state(void);
/* the imports, as guests see them */
int read_sensor(int kind);
void set_output(int pin, int state);
int get_config(int key);
int mqtt_publish(const char *topic, const char *message);
void wasm_log(const char *message);
void log_int(int value);
void delay_ms(int ms);
int now_s(void);
int uptime_s(void);
int keep_get(int slot);
int keep_set(int slot, int value);

extern uint8_t WEAK __start_guest_data[];
extern uint8_t WEAK __stop_guest_data[];

static lv_host *host;
static jmp_buf stopped;
static volatile int terminated;
static uint8_t *first_data;

const char *lv_engine_name(void) { return "native"; }

int lv_engine_check(const uint8_t *module, uint32_t length, const lv_limits *limits)
{
    static const uint8_t compiled_from[32] = LV_NATIVE_SHA256;
    uint8_t digest[32];
    lv_sha256 sha;
    (void)limits;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, module, length);
    lv_sha256_end(&sha, digest);
    return memcmp(digest, compiled_from, sizeof digest) ? LV_LOAD_OTHER_GUEST : 0;
}

int lv_engine_load(const uint8_t *module, uint32_t length, lv_host *of, const lv_limits *limits)
{
    int rc = lv_engine_check(module, length, limits);
    size_t size = (size_t)(__stop_guest_data - __start_guest_data);
    if (rc)
        return rc;
    if (!first_data && size) {
        first_data = malloc(size);
        if (!first_data)
            return LV_LOAD_MEMORY;
        memcpy(first_data, __start_guest_data, size);
    }
    if (size)
        memcpy(__start_guest_data, first_data, size);
    host = of;
    terminated = 0;
    return 0;
}

bool lv_engine_has(lv_export which)
{
    switch (which) {
    case LV_EXPORT_INIT: return levada_init;
    case LV_EXPORT_STEP: return levada_step;
    case LV_EXPORT_MAIN: return levada_main;
    case LV_EXPORT_PARAM_GET: return levada_param_get;
    case LV_EXPORT_PARAM_SET: return levada_param_set;
    case LV_EXPORT_PROCESS: return levada_process;
    case LV_EXPORT_FILTER: return levada_filter;
    case LV_EXPORT_ANOMALY: return levada_anomaly;
    case LV_EXPORT_WINDOW_ADD: return levada_window_add;
    case LV_EXPORT_WINDOW_GET: return levada_window_get;
    case LV_EXPORT_LOOK_BACK: return levada_look_back;
    case LV_EXPORT_FILTER_STATE: return levada_filter_state;
    default: return false;
    }
}

int lv_engine_call(lv_export which, const int32_t *a, int32_t *result)
{
    if (!lv_engine_has(which))
        return LV_GUEST_MISSING;
    if (setjmp(stopped))
        return host->trap ? host->trap : terminated ? LV_TRAP_DEADLINE : LV_TRAP_OTHER;
    switch (which) {
    case LV_EXPORT_INIT: *result = levada_init(); break;
    case LV_EXPORT_STEP: *result = levada_step(); break;
    case LV_EXPORT_MAIN: *result = levada_main(); break;
    case LV_EXPORT_PARAM_GET: *result = levada_param_get(a[0]); break;
    case LV_EXPORT_PARAM_SET: *result = levada_param_set(a[0], a[1]); break;
    case LV_EXPORT_PROCESS: *result = levada_process(a[0], a[1], a[2], a[3]); break;
    case LV_EXPORT_FILTER: *result = levada_filter(a[0]); break;
    case LV_EXPORT_ANOMALY: *result = levada_anomaly(a[0], a[1]); break;
    case LV_EXPORT_WINDOW_ADD: *result = levada_window_add(a[0], a[1]); break;
    case LV_EXPORT_WINDOW_GET: *result = levada_window_get(a[0]); break;
    case LV_EXPORT_LOOK_BACK: *result = levada_look_back(a[0]); break;
    case LV_EXPORT_FILTER_STATE: *result = levada_filter_state(); break;
    default: return LV_GUEST_MISSING;
    }
    return 0;
}

void lv_engine_renew(void) {}

void lv_engine_terminate(void) { terminated = 1; }

uint8_t *lv_engine_memory(uint32_t *size)
{
    *size = 0;
    return NULL;
}

void lv_engine_unload(void) { host = NULL; }

/* --- host calls ------------------------------------------------------------------------------- */

/* A host call that stops the guest does not return to it. */
static void leave_if_stopped(lv_pause pause)
{
    if (host->trap || terminated || pause == LV_UNWIND)
        longjmp(stopped, 1);
}

static lv_text text_of(const char *text)
{
    if (!text)
        return (lv_text){0};
    return (lv_text){(const uint8_t *)text, (uint32_t)strlen(text), true};
}

int read_sensor(int kind)
{
    int32_t result = lv_call_read_sensor(host, kind);
    leave_if_stopped(LV_RESUME);
    return result;
}

void set_output(int pin, int state)
{
    lv_call_set_output(host, pin, state);
    leave_if_stopped(LV_RESUME);
}

int get_config(int key)
{
    int32_t result = lv_call_get_config(host, key);
    leave_if_stopped(LV_RESUME);
    return result;
}

int mqtt_publish(const char *topic, const char *message)
{
    int32_t result = lv_call_mqtt_publish(host, text_of(topic), text_of(message));
    leave_if_stopped(LV_RESUME);
    return result;
}

void wasm_log(const char *message)
{
    lv_call_wasm_log(host, text_of(message));
    leave_if_stopped(LV_RESUME);
}

void log_int(int value)
{
    lv_call_log_int(host, value);
    leave_if_stopped(LV_RESUME);
}

void delay_ms(int ms) { leave_if_stopped(lv_call_delay_ms(host, ms)); }

int now_s(void)
{
    int32_t result = lv_call_now_s(host);
    leave_if_stopped(LV_RESUME);
    return result;
}

int uptime_s(void)
{
    int32_t result = lv_call_uptime_s(host);
    leave_if_stopped(LV_RESUME);
    return result;
}

int keep_get(int slot)
{
    int32_t result = lv_call_keep_get(host, slot);
    leave_if_stopped(LV_RESUME);
    return result;
}

int keep_set(int slot, int value)
{
    int32_t result = lv_call_keep_set(host, slot, value);
    leave_if_stopped(LV_RESUME);
    return result;
}
