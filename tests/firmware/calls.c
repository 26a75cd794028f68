/*
 * An engine without a node: calls the exports of a guest as they come on standard input.
 *
 * In: u32 bytes of the module, the module; then calls of five words each: lv_export and four
 * arguments.  Out: two words a call: what lv_engine_call returned, and the result.  Words are 32 bits,
 * little endian as every machine here; at the end of the input the program ends.
 */
#include <string.h>

#include "engine.h"
#include "sys.h"

enum { MODULE_BYTES = 65536, BATCH = 256 };
enum { NO_MODULE = 2, NO_LOAD = 3, CUT_OFF = 4, NO_OUTPUT = 5 };

typedef struct {
    int32_t which;
    int32_t arguments[4];
} call;

typedef struct {
    int32_t rc;
    int32_t result;
} answer;

static uint8_t module[MODULE_BYTES];
static call calls[BATCH];
static answer answers[BATCH];

static void no_output(void *context, uint8_t pin, uint8_t state)
{
    (void)context;
    (void)pin;
    (void)state;
}

/* How many bytes could be read. */
static uint32_t read_all(void *into, uint32_t size)
{
    uint32_t got = 0;
    int n = 1;
    while (got < size && n > 0) {
        n = lv_sys_read(LV_SYS_LINE_IN, (uint8_t *)into + got, size - got);
        got += n > 0 ? (uint32_t)n : 0;
    }
    return got;
}

static int write_all(const void *from, uint32_t size)
{
    for (uint32_t put = 0; put < size;) {
        int n = lv_sys_write(LV_SYS_LINE_OUT, (const uint8_t *)from + put, size - put);
        if (n <= 0)
            return -1;
        put += (uint32_t)n;
    }
    return 0;
}

static int run(void)
{
    static const lv_config config = {.output = no_output};
    static lv_host host = {.config = &config}; /* its profile allows no import */
    const lv_limits limits = {.instructions = 1000000, .memory_pages = 4};
    uint32_t length = 0, got;
    if (read_all(&length, sizeof length) != sizeof length || length > sizeof module ||
        read_all(module, length) != length)
        return NO_MODULE;
    if (lv_engine_load(module, length, &host, &limits))
        return NO_LOAD;
    while ((got = read_all(calls, sizeof calls)) > 0) {
        uint32_t count = got / (uint32_t)sizeof *calls;
        if (got % sizeof *calls)
            return CUT_OFF;
        for (uint32_t k = 0; k < count; k++) {
            answers[k].result = 0;
            host.trap = 0;
            answers[k].rc = calls[k].which < 0 || calls[k].which >= LV_EXPORTS
                                ? LV_GUEST_MISSING
                                : lv_engine_call((lv_export)calls[k].which, calls[k].arguments,
                                                 &answers[k].result);
        }
        if (write_all(answers, count * (uint32_t)sizeof *answers))
            return NO_OUTPUT;
    }
    lv_engine_unload();
    return 0;
}

int main(void) { lv_sys_exit(run()); }
