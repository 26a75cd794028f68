/* A second stack by ucontext; mapped memory, so that what is not used costs nothing. */
#define _DEFAULT_SOURCE
#include <stddef.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "sys.h"

enum { STACK_BYTES = 8 << 20 };

static ucontext_t caller;
static ucontext_t inside;
static void *stack;
static void (*body_of)(void);
static bool running;
static int handed;

static void enter(void)
{
    body_of();
    running = false;
}

bool lv_coroutine_start(void (*body)(void))
{
    if (!stack) {
        stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED)
            lv_sys_exit(70); /* EX_SOFTWARE: there is no guest without a stack */
    }
    getcontext(&inside);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = STACK_BYTES;
    inside.uc_link = &caller;
    body_of = body;
    running = true;
    makecontext(&inside, enter, 0);
    swapcontext(&caller, &inside);
    return running;
}

bool lv_coroutine_resume(int value)
{
    handed = value;
    swapcontext(&caller, &inside);
    return running;
}

int lv_coroutine_pause(void)
{
    swapcontext(&inside, &caller);
    return handed;
}
