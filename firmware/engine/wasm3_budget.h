/*
 * Included before the file of wasm3 that defines its operations: its dispatch macros, with a budget.
 *
 * wasm3 goes from operation to operation by these macros alone: by tail calls (nextOpDirect,
 * jumpOpDirect), and by calls, in the C sense, where a loop makes a round or a function is entered
 * (nextOpImpl).  Each costs one unit.  An instruction becomes at most one operation, most constants
 * and reads of locals none, so a loop costs about as many units as it has instructions, however long
 * its body is.  The value returned when the budget is spent is a trap.
 */
#ifndef LEVADA_WASM3_BUDGET_H
#define LEVADA_WASM3_BUDGET_H

#include "m3_exec_defs.h"

extern int32_t lv_wasm3_budget;
extern const char lv_wasm3_spent[];

#undef nextOpImpl
#define nextOpImpl()                                                                               \
    (lv_wasm3_budget-- > 0 ? ((IM3Operation)(*_pc))(_pc + 1, d_m3OpArgs)                           \
                           : (m3ret_t)lv_wasm3_spent)

#undef nextOpDirect
#define nextOpDirect() return nextOpImpl()

#undef jumpOpDirect
#define jumpOpDirect(PC)                                                                           \
    return lv_wasm3_budget-- > 0 ? jumpOpImpl((pc_t)(PC)) : (m3ret_t)lv_wasm3_spent

#endif
