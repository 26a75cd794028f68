/* A second stack by lv_begin and lv_switch, which each ABI of Xtensa has its own of. */
#include "../posix/sys.h"

/* Leave this stack, its pointer goes to *from; for a body that does not return, or where it was left. */
void lv_begin(void **from, void *stack, void (*body)(void));
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
    body_of = body;
    running = true;
    lv_begin(&caller, stack + sizeof stack - 64, enter);
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
