#define _DEFAULT_SOURCE
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int lv_sys_read(int file, void *data, uint32_t size)
{
    ssize_t n;
    do
        n = read(file, data, size);
    while (n < 0 && errno == EINTR);
    return (int)n;
}

int lv_sys_write(int file, const void *data, uint32_t size)
{
    ssize_t n;
    do
        n = write(file, data, size);
    while (n < 0 && errno == EINTR);
    return (int)n;
}

int lv_sys_read_at(int file, uint32_t offset, void *data, uint32_t size)
{
    return pread(file, data, size, (off_t)offset) == (ssize_t)size ? 0 : -1;
}

int lv_sys_write_at(int file, uint32_t offset, const void *data, uint32_t size)
{
    return pwrite(file, data, size, (off_t)offset) == (ssize_t)size ? 0 : -1;
}

bool lv_sys_wait(uint32_t ms)
{
    struct pollfd line = {.fd = LV_SYS_LINE_IN, .events = POLLIN};
    return poll(&line, 1, (int)ms) > 0;
}

uint32_t lv_sys_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)((uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u);
}

void lv_sys_sleep(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

/* The timer ticks all the time, so that watching a step costs no system call. */
enum { TICK_MS = 50 };
static volatile sig_atomic_t ticks_left; /* 0: nothing is watched */

static void tick(int signal_number)
{
    if (ticks_left > 0 && --ticks_left == 0) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
}

void lv_sys_watchdog(uint32_t ms)
{
    static bool ticking;
    if (!ticking && ms > 0) {
        struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
        struct timeval every = {.tv_usec = TICK_MS * 1000};
        struct itimerval t = {.it_interval = every, .it_value = every};
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &t, NULL);
        ticking = true;
    }
    /* one tick more than whole ones: the first may come at once */
    ticks_left = ms > 0 ? (sig_atomic_t)((ms + TICK_MS - 1) / TICK_MS + 1) : 0;
}

_Noreturn void lv_sys_exit(int code) { _exit(code); }
