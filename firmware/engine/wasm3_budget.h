/*
 * Included before the file of wasm3 that defines its operations: its dispatch macros, with a budget.
 *
 * wasm3 goes from operation to operation by these macros alone: by tail calls (nextOpDirect,
 * jumpOpDirect), and by calls, in the C sense, where a loop makes a round or a function is entered
 * (nextOpImpl).  Each costs one unit.  An instruction becomes at most one operation, most constants
 * and reads of locals none, so a loop costs about as many units as it has instructions, however long
 * its body is.  The value returned when the budget is spent is a trap.
 *
 * wasm3 limits the stack of the guest, but a loop in a loop takes a frame of C and nothing of the
 * guest's; so each call, in the sense of C, looks how deep it is.
 */
#ifndef LEVADA_WASM3_BUDGET_H
#define LEVADA_WASM3_BUDGET_H

#include "m3_exec_defs.h"

extern int32_t lv_wasm3_budget;
extern const char lv_wasm3_spent[];
extern uintptr_t lv_wasm3_stack_end; /* of C; it grows downwards */

#define LV_WASM3_NEXT(CALL) (lv_wasm3_budget-- > 0 ? CALL : (m3ret_t)lv_wasm3_spent)
#define LV_WASM3_DEEPER(CALL)                                                                      \
    ((uintptr_t)__builtin_frame_address(0) < lv_wasm3_stack_end ? m3Err_trapStackOverflow          \
                                                                : LV_WASM3_NEXT(CALL))

#undef nextOpImpl
#define nextOpImpl() LV_WASM3_DEEPER(((IM3Operation)(*_pc))(_pc + 1, d_m3OpArgs))

#undef nextOpDirect
#define nextOpDirect() return LV_WASM3_NEXT(((IM3Operation)(*_pc))(_pc + 1, d_m3OpArgs))

#undef jumpOpDirect
#define jumpOpDirect(PC) return LV_WASM3_NEXT(jumpOpImpl((pc_t)(PC)))

#endif
