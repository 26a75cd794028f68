/*
 * The engine as the core calls it.
 *
 * A guest with a main that waits in delay_ms has a thread of its own, because it is in the middle
 * of a call while the board goes on; every other call runs in the caller's.  Threads are pthreads:
 * WAMR asks for pthread_self, which a plain FreeRTOS task does not have.
 */
#ifndef LEVADA_GUEST_H
#define LEVADA_GUEST_H

#include "../../../engine/engine.h"

int guest_check(void *context, const uint8_t *module, uint32_t length, const lv_limits *limits);
int guest_load(void *context, const uint8_t *module, uint32_t length, struct lv_host *host,
               const lv_limits *limits);
int guest_call(void *context, lv_export which, const int32_t *arguments, int32_t *result);
void guest_unload(void *context);
bool guest_has(void *context, lv_export which);
int guest_pause(void *context);

#endif
