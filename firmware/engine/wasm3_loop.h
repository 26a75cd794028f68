/*
 * Included before the files of wasm3 that call its operations, where the compiler makes no tail calls:
 * with windowed registers there is no such thing, and GCC makes none for the Call0 ABI of Xtensa.
 *
 * An operation that would call the next one as its last act returns instead, and says which is next; a
 * loop calls that.  The stack then grows with calls and loops of the guest, as it does with tail calls,
 * and not with every operation until the end of a function.  The budget is counted as ever.
 */
#ifndef LEVADA_WASM3_LOOP_H
#define LEVADA_WASM3_LOOP_H

#include "wasm3_budget.h"

/* The arguments of the next operation, from its return until the loop calls it. */
extern struct lv_wasm3_next {
    pc_t pc;
    m3stack_t sp;
    M3MemoryHeader *memory;
    m3reg_t r0;
} lv_wasm3_next;
/* Returned by an operation that has filled lv_wasm3_next. */
extern const char lv_wasm3_goes_on[];

/* Operations from the one at `_pc` until one of them ends: its result. */
m3ret_t lv_wasm3_run(d_m3OpSig);

static inline m3ret_t lv_wasm3_go_on(d_m3OpSig)
{
    lv_wasm3_next = (struct lv_wasm3_next){_pc, d_m3OpArgs};
    return lv_wasm3_goes_on;
}

#undef nextOpImpl
#define nextOpImpl() LV_WASM3_DEEPER(lv_wasm3_run(_pc, d_m3OpArgs))

/* Call() of m3_exec.h is no operation: whoever calls it wants the result of a whole function. */
#undef nextOpDirect
#define nextOpDirect()                                                                             \
    return __builtin_strcmp(__func__, "Call") == 0 ? nextOpImpl()                                  \
                                                   : LV_WASM3_NEXT(lv_wasm3_go_on(_pc, d_m3OpArgs))

#undef jumpOpDirect
#define jumpOpDirect(PC) return LV_WASM3_NEXT(lv_wasm3_go_on((pc_t)(PC), d_m3OpArgs))

#endif
