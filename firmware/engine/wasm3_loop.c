/* The loop of wasm3_loop.h, for wasm3 without floats. */
#include "wasm3_loop.h"

struct lv_wasm3_next lv_wasm3_next;
const char lv_wasm3_goes_on[] = "the next operation is in lv_wasm3_next";

m3ret_t lv_wasm3_run(d_m3OpSig)
{
    struct lv_wasm3_next next = {_pc, d_m3OpArgs};
    m3ret_t result;
    do {
        IM3Operation operation = (IM3Operation)*next.pc;
        result = operation(next.pc + 1, next.sp, next.memory, next.r0);
        next = lv_wasm3_next;
    } while (result == lv_wasm3_goes_on);
    return result;
}
