/* A second stack by lv_switch of start.S. */
#include <string.h>

#include "../posix/sys.h"

void lv_switch(void **from, void *to);

static uint8_t stack[512 * 1024] __attribute__((aligned(16)));
static void *caller;
static void *inside;
static void (*body_of)(void);
static bool running;
static int handed;

static void enter(void)
{
    body_of();
    running = false;
    lv_switch(&inside, caller);
}

bool lv_coroutine_start(void (*body)(void))
{
    /* what lv_switch takes from a stack it goes to: a0, a12..a15 */
    void (*first)(void) = enter;
    uint8_t *frame = stack + sizeof stack - 64;
    memset(frame, 0, 64);
    memcpy(frame, &first, sizeof first);
    inside = frame;
    body_of = body;
    running = true;
    lv_switch(&caller, inside);
    return running;
}

bool lv_coroutine_resume(int value)
{
    handed = value;
    lv_switch(&caller, inside);
    return running;
}

int lv_coroutine_pause(void)
{
    lv_switch(&inside, caller);
    return handed;
}
