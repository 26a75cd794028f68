/*
 * The virtual board's machine: Linux system calls of qemu-xtensa, without a C library of Linux.
 * The numbers are those that `qemu-xtensa -strace` shows.
 */
#include "../posix/sys.h"

enum {
    SYS_READ = 12,
    SYS_WRITE = 13,
    SYS_LSEEK = 15,
    SYS_POLL = 16,
    SYS_EXIT_GROUP = 119,
    SYS_SETITIMER = 134,
    SYS_NANOSLEEP = 195,
    SYS_CLOCK_GETTIME = 245,
};
enum { INTERRUPTED = -4, MONOTONIC = 1, READABLE = 1 };

int lv_syscall(int number, int a, int b, int c);

int lv_sys_read(int file, void *data, uint32_t size)
{
    int n;
    do
        n = lv_syscall(SYS_READ, file, (int)data, (int)size);
    while (n == INTERRUPTED);
    return n;
}

int lv_sys_write(int file, const void *data, uint32_t size)
{
    int n;
    do
        n = lv_syscall(SYS_WRITE, file, (int)data, (int)size);
    while (n == INTERRUPTED);
    return n;
}

int lv_sys_read_at(int file, uint32_t offset, void *data, uint32_t size)
{
    return lv_syscall(SYS_LSEEK, file, (int)offset, 0) == (int)offset &&
                   lv_sys_read(file, data, size) == (int)size
               ? 0
               : -1;
}

int lv_sys_write_at(int file, uint32_t offset, const void *data, uint32_t size)
{
    return lv_syscall(SYS_LSEEK, file, (int)offset, 0) == (int)offset &&
                   lv_sys_write(file, data, size) == (int)size
               ? 0
               : -1;
}

bool lv_sys_wait(uint32_t ms)
{
    struct {
        int file;
        int16_t events;
        int16_t found;
    } line = {LV_SYS_LINE_IN, READABLE, 0};
    return lv_syscall(SYS_POLL, (int)&line, 1, (int)ms) > 0;
}

uint32_t lv_sys_now_us(void)
{
    uint32_t t[2] = {0, 0}; /* s, ns */
    lv_syscall(SYS_CLOCK_GETTIME, MONOTONIC, (int)t, 0);
    return t[0] * 1000000u + t[1] / 1000u;
}

void lv_sys_sleep(uint32_t ms)
{
    int32_t t[2] = {(int32_t)(ms / 1000), (int32_t)(ms % 1000) * 1000000};
    lv_syscall(SYS_NANOSLEEP, (int)t, (int)t, 0);
}

void lv_sys_watchdog(uint32_t ms)
{
    /* interval, then value, each s and us */
    const int32_t t[4] = {0, 0, (int32_t)(ms / 1000), (int32_t)(ms % 1000) * 1000};
    lv_syscall(SYS_SETITIMER, 0, (int)t, 0);
}

_Noreturn void lv_sys_exit(int code)
{
    for (;;)
        lv_syscall(SYS_EXIT_GROUP, code, 0, 0);
}
