/*
 * Included before the file of wasm3 that defines its operations: its dispatch macros, with a budget.
 *
 * wasm3 jumps from operation to operation by tail calls (nextOpDirect), and calls, in the C sense,
 * only where a loop makes a round or a function is entered (nextOpImpl).  So a count there bounds
 * every execution, and costs nothing elsewhere.  The value returned when it is spent is a trap.
 */
#ifndef LEVADA_WASM3_BUDGET_H
#define LEVADA_WASM3_BUDGET_H

#include "m3_exec_defs.h"

extern int32_t lv_wasm3_budget;
extern const char lv_wasm3_spent[];

#undef nextOpDirect
#define nextOpDirect() return ((IM3Operation)(*_pc))(_pc + 1, d_m3OpArgs)

#undef nextOpImpl
#define nextOpImpl()                                                                               \
    (lv_wasm3_budget-- > 0 ? ((IM3Operation)(*_pc))(_pc + 1, d_m3OpArgs)                           \
                           : (m3ret_t)lv_wasm3_spent)

#endif
