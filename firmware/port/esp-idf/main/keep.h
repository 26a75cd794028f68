/*
 * What goes through deep sleep in RTC memory: the guest's memory, and telemetry that waits.
 *
 * A guest that may keep state in globals as well (AssemblyScript, text format) gets light sleep:
 * no engine gives access to them.  lv_module_keeps_globals decides by the module's code; clang's stack
 * pointer, which every function puts back, is no state.  RTC memory is read from flash again at every reset that is no
 * wake-up, so nothing survives a brown-out, a watchdog or a panic, and the guest then starts anew.
 */
#ifndef LEVADA_KEEP_H
#define LEVADA_KEEP_H

#include "../../../core/node.h"

/* False if it does not fit, or the guest has a main or state in globals. */
bool keep_save(const lv_node *node, int64_t uptime_ms);
/* Put it back into a guest that was started; false if there is nothing, or of another guest.
 * `*uptime_ms` is then that of the guest, with the time that it slept. */
bool keep_restore(lv_node *node, int64_t *uptime_ms);

#endif
