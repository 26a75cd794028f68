/*
 * What the virtual board needs of the machine below it; sys.c of each port says how.
 *
 * The launcher hands over open files: 0 and 1 are the line, 3 takes the state of the pins, 4 stands
 * for flash.
 */
#ifndef LEVADA_SYS_H
#define LEVADA_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LV_SYS_LINE_IN = 0, LV_SYS_LINE_OUT = 1, LV_SYS_PINS = 3, LV_SYS_FLASH = 4 };

/* Bytes read or written, 0 at the end, negative on error. */
int lv_sys_read(int file, void *data, uint32_t size);
int lv_sys_write(int file, const void *data, uint32_t size);
/* 0, or negative unless all `size` bytes were read or written at `offset`. */
int lv_sys_read_at(int file, uint32_t offset, void *data, uint32_t size);
int lv_sys_write_at(int file, uint32_t offset, const void *data, uint32_t size);
/* Whether the line has something to read, or has ended, within `ms`. */
bool lv_sys_wait(uint32_t ms);
/* A counter that only goes forward; wraps. */
uint32_t lv_sys_now_us(void);
void lv_sys_sleep(uint32_t ms);
/* End the process by the signal SIGALRM after `ms`, 0: do not. */
void lv_sys_watchdog(uint32_t ms);
_Noreturn void lv_sys_exit(int code);

/* --- signatures (verify.c) --------------------------------------------------------------------- */

/* Whether a signature of Ed25519 over a message holds: 0 if it does, else negative. */
int lv_verify(const uint8_t signature[64], const uint8_t *message, size_t length,
              const uint8_t key[32]);

/* --- a second stack (coroutine.c, coroutine.S) ------------------------------------------------- */

/* Run `body` on the other stack until it pauses (true) or returns (false). */
bool lv_coroutine_start(void (*body)(void));
/* Let it go on; `value` is what lv_coroutine_pause returns. */
bool lv_coroutine_resume(int value);
/* Called on the other stack. */
int lv_coroutine_pause(void);

#endif
