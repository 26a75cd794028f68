/*
 * levada.h - the guest ABI, version 1.1.
 *
 * A guest is one WebAssembly module that runs unchanged in a simulated field, on an ESP32, on a fog
 * node and on a server.  It uses 32-bit integers only, so every engine and CPU gives the same bits.
 * docs/abi.md explains each line; guest/abi.py is the same table for hosts.
 *
 * A reactor guest defines levada_init() and levada_step() (below); the host calls them.  A command
 * guest defines main() and yields in delay_ms().
 */
#ifndef LEVADA_H
#define LEVADA_H

#define LEVADA_ABI_VERSION 1

/* kind of read_sensor() */
#define LEVADA_SENSOR_MOISTURE 0    /* soil moisture, ADC counts 0..4095 */
#define LEVADA_SENSOR_TEMPERATURE 1 /* soil temperature, 0.01 degC */
#define LEVADA_SENSOR_BATTERY 2     /* battery, mV */
#define LEVADA_SENSOR_FLOW 3        /* flow meter pulses since the last read */
/* since ABI 1.1; a host of 1.0 answers LEVADA_INVALID, a node without one LEVADA_UNAVAILABLE */
#define LEVADA_SENSOR_RAIN 4     /* rain gauge tips since the last read */
#define LEVADA_SENSOR_FORECAST 5 /* rain expected in the next 24 h, 0.1 mm */
#define LEVADA_SENSOR_ET0 6      /* reference ET since the last read, 0.01 mm */

/* key of get_config() */
#define LEVADA_CONFIG_DRY 0   /* counts of the probe in dry soil */
#define LEVADA_CONFIG_WET 1   /* counts of the probe in wet soil */
#define LEVADA_CONFIG_LIMIT 2 /* counts above which the soil is too dry */

/* negative results of host calls, and what param_set() answers */
#define LEVADA_OK 0
#define LEVADA_INVALID -1     /* an argument outside its range: unknown kind, key, slot, parameter */
#define LEVADA_UNAVAILABLE -2 /* the sensor is missing or did not answer */
#define LEVADA_REFUSED -3     /* topic or message not allowed */
#define LEVADA_OFFLINE -4     /* no link at present */

/* bits of anomaly() */
#define LEVADA_ANOMALY_RANGE 1  /* missing, or outside its plausible range */
#define LEVADA_ANOMALY_STUCK 2  /* has not moved for too long */
#define LEVADA_ANOMALY_RATE 4   /* changed faster than soil does */
#define LEVADA_ANOMALY_HAMPEL 8 /* far from the median of the last readings */

/* kind of window_get(), plus LEVADA_WINDOW_BEFORE for the window before the open one */
#define LEVADA_WINDOW_COUNT 0
#define LEVADA_WINDOW_MEAN 1
#define LEVADA_WINDOW_MINIMUM 2
#define LEVADA_WINDOW_MAXIMUM 3
#define LEVADA_WINDOW_SUM 4
#define LEVADA_WINDOW_BEFORE 8

/* pin of set_output(); the outputs of the reference board */
#define LEVADA_PIN_VALVE 23
#define LEVADA_PIN_LED1 18
#define LEVADA_PIN_LED2 19
#define LEVADA_PIN_LED3 21

/* slot of keep_get() and keep_set(): 0 .. LEVADA_KEEP_SLOTS - 1 */
#define LEVADA_KEEP_SLOTS 8

/* the longest strings a host takes, in bytes without the NUL */
#define LEVADA_TOPIC_BYTES 64
#define LEVADA_MESSAGE_BYTES 512
#define LEVADA_LOG_BYTES 256

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define LEVADA_IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
#define LEVADA_EXPORT(name) __attribute__((export_name(#name)))
#else /* a guest compiled for this computer: the same names, linked */
#define LEVADA_IMPORT(name)
#define LEVADA_EXPORT(name)
#endif

/* The imports.  A tier links all of them; one that it does not allow traps when called. */
LEVADA_IMPORT(read_sensor) int read_sensor(int kind);
LEVADA_IMPORT(set_output) void set_output(int pin, int state);
LEVADA_IMPORT(get_config) int get_config(int key);
LEVADA_IMPORT(mqtt_publish) int mqtt_publish(const char *topic, const char *message);
LEVADA_IMPORT(wasm_log) void wasm_log(const char *message);
LEVADA_IMPORT(log_int) void log_int(int value);
LEVADA_IMPORT(delay_ms) void delay_ms(int ms);
LEVADA_IMPORT(now_s) int now_s(void);

/*
 * Since ABI 1.1; a host of 1.0 refuses a guest that asks for them.  uptime_s() counts from the start
 * of the guest and never jumps, whatever the clock does: measure with it.  The values of keep_set()
 * survive a restart and a loss of power; a slot never set holds 0, and so do all of them once
 * another module has been installed.
 */
LEVADA_IMPORT(uptime_s) int uptime_s(void);
LEVADA_IMPORT(keep_get) int keep_get(int slot);
LEVADA_IMPORT(keep_set) int keep_set(int slot, int value);

/*
 * What a reactor guest defines.  levada_init() runs once after the start, levada_step() at every
 * wake; both return the time until the next step in ms, or a negative number for a fault, upon
 * which the host closes the valve.  levada_abi_version() comes with LEVADA_GUEST() below.
 */
LEVADA_EXPORT(abi_version) int levada_abi_version(void);
LEVADA_EXPORT(init) int levada_init(void);
LEVADA_EXPORT(step) int levada_step(void);

/* Parameters.  param_set() checks range and rules itself: LEVADA_OK or LEVADA_INVALID. */
LEVADA_EXPORT(param_get) int levada_param_get(int id);
LEVADA_EXPORT(param_set) int levada_param_set(int id, int value);

/*
 * Pure functions for tiers that have no valve.  process() returns percent of available water in
 * bits 0..7 and "irrigate" in bit 8; filter() takes one reading and returns filtered counts.
 */
LEVADA_EXPORT(process) int levada_process(int raw, int dry, int wet, int limit);
LEVADA_EXPORT(filter) int levada_filter(int raw);

/*
 * Since ABI 1.1, also for those tiers; docs/abi.md defines each to the bit.  A guest may leave out
 * any.  anomaly() returns bits of LEVADA_ANOMALY_..., window_get() takes a kind of LEVADA_WINDOW_...
 */
LEVADA_EXPORT(anomaly) int levada_anomaly(int raw, int t_s);
LEVADA_EXPORT(window_add) int levada_window_add(int value, int t_s);
LEVADA_EXPORT(window_get) int levada_window_get(int kind);
LEVADA_EXPORT(look_back) int levada_look_back(int value);
LEVADA_EXPORT(filter_state) int levada_filter_state(void);

/* What a command guest defines instead: it never returns and yields in delay_ms(). */
LEVADA_EXPORT(main) int levada_main(void);

#ifdef __cplusplus
}
#endif

/*
 * Once in every guest: LEVADA_METADATA({"name": "mine", "version": "1.0.0"}), plain JSON, goes into
 * the custom section `levada` (schema in docs/abi.md).  A reactor guest uses LEVADA_GUEST(), which
 * also says for which ABI it was written.
 */
#define LEVADA_TEXT_(...) #__VA_ARGS__
#define LEVADA_TEXT(...) LEVADA_TEXT_(__VA_ARGS__)
#ifdef __wasm__
/* clang keeps C data out of custom sections, so the assembler writes it; quoted twice for that */
#define LEVADA_METADATA(...)                                                                       \
    __asm__(".section .custom_section.levada,\"\",@\n.ascii " LEVADA_TEXT(                         \
        LEVADA_TEXT(__VA_ARGS__)) "\n.text");
#else
#define LEVADA_METADATA(...) const char levada_metadata[] = LEVADA_TEXT(__VA_ARGS__);
#endif
#define LEVADA_GUEST(...)                                                                          \
    LEVADA_METADATA(__VA_ARGS__)                                                                   \
    int levada_abi_version(void) { return LEVADA_ABI_VERSION; }

#endif
