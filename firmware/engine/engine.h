/*
 * A WebAssembly engine, or a guest compiled in: one guest at a time.
 *
 * Every engine keeps the same limits and reports the same classes of traps (lv_trap):
 *
 *   engine    instructions                             stack, memory, division, unreachable
 *   wasmtime  counted (fuel)                           trapped
 *   wasm3     counted (its own operations)             trapped
 *   wamr      counted; of main: the board's watchdog   trapped
 *   native    not counted: the board's watchdog        not trapped: the processor, or nothing
 *
 * An engine calls the host calls of core/host.h and stops the guest when `host->trap` is set.
 */
#ifndef LEVADA_ENGINE_H
#define LEVADA_ENGINE_H

#include "../core/host.h"

/* Why a module does not load.  What is outside the feature profile is below -65536: minus the number
 * of the section times 65536, minus the opcode, type or flags (profile.c; guest/module/features.py says it
 * in words). */
enum {
    LV_LOAD_MALFORMED = -1,   /* not a module, or one with features this engine lacks */
    LV_LOAD_IMPORT = -2,      /* an import outside the ABI, or of another type */
    LV_LOAD_MEMORY = -3,      /* more memory than allowed, or than there is */
    LV_LOAD_OTHER_GUEST = -4, /* native: compiled from another module */
    LV_LOAD_EXPORT = -5,      /* missing, of another type, there twice, or the host's own */
    LV_LOAD_START = -6        /* a start function: WAMR could not stop it */
};

const char *lv_engine_name(void);
/* Whether the module would load; the guest that is loaded is not touched. */
int lv_engine_check(const uint8_t *module, uint32_t length, const lv_limits *limits);
/* 0, a reason above, or an lv_trap of its start function or constructors. */
int lv_engine_load(const uint8_t *module, uint32_t length, lv_host *host, const lv_limits *limits);
bool lv_engine_has(lv_export which);
/* 0, an lv_trap, or LV_GUEST_MISSING; returns within the budget of instructions. */
int lv_engine_call(lv_export which, const int32_t *arguments, int32_t *result);
/* A fresh budget for a main that is paused; every call begins with one by itself. */
void lv_engine_renew(void);
/* Let a call that runs end soon with LV_TRAP_DEADLINE; from a signal or another thread. */
void lv_engine_terminate(void);
/* The guest's memory as it is now, NULL if it has none; native: NULL. */
uint8_t *lv_engine_memory(uint32_t *size);
void lv_engine_unload(void);

/* --- shared by the engines (exports.c) --------------------------------------------------------- */

enum { LV_CONSTRUCTORS = 2, LV_MAINS = 4 };
extern const char *const lv_constructors[LV_CONSTRUCTORS];
extern const char *const lv_mains[LV_MAINS]; /* the first found is LV_EXPORT_MAIN */
extern const struct lv_export_type {
    const char *name;
    uint8_t parameters;
} lv_exports[LV_EXPORTS];

enum { LV_IMPORTS = 11 };
/* What a guest may import from `env`; all numbers are i32. */
extern const struct lv_import_type {
    const char *name;
    uint8_t parameters;
    uint8_t results;
} lv_imports[LV_IMPORTS];

/* profile.c: 0, or a reason for which no engine takes the module. */
int lv_module_check(const uint8_t *module, uint32_t length, const lv_limits *limits);
/* Whether its globals may hold state between two calls, which a copy of its memory does not have. */
bool lv_module_keeps_globals(const uint8_t *module, uint32_t length);

/* The text at `pointer` of a guest's memory. */
lv_text lv_text_at(const uint8_t *memory, uint32_t size, uint32_t pointer);

#endif
