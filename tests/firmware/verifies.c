/*
 * Signatures without a node: says of each that comes on standard input whether it holds.
 *
 * In: a signature of 64 bytes, a key of 32, u32 bytes of the message in little endian, the message.
 * Out: a byte each, 1 if it holds; at the end of the input the program ends.  `times=N` as argument:
 * each is verified so often.
 */
#include <stdlib.h>
#include <string.h>

#include "sys.h"

enum { MESSAGE_BYTES = 2048, CUT_OFF = 4, TOO_LONG = 5, NO_OUTPUT = 6 };

typedef struct {
    uint8_t signature[64];
    uint8_t key[32];
    uint8_t length[4];
} head;

static uint8_t message[MESSAGE_BYTES];

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

int main(int count, char **arguments)
{
    unsigned long times = 1;
    head h;
    if (count > 1 && strncmp(arguments[1], "times=", 6) == 0)
        times = strtoul(arguments[1] + 6, NULL, 10);
    for (uint32_t got; (got = read_all(&h, sizeof h)) == sizeof h || got > 0;) {
        uint32_t length = (uint32_t)(h.length[0] | h.length[1] << 8 | h.length[2] << 16) |
                          (uint32_t)h.length[3] << 24;
        uint8_t holds = 0;
        if (got < sizeof h)
            lv_sys_exit(CUT_OFF);
        if (length > sizeof message)
            lv_sys_exit(TOO_LONG);
        if (read_all(message, length) < length)
            lv_sys_exit(CUT_OFF);
        for (unsigned long k = 0; k < times; k++)
            holds = lv_verify(h.signature, message, length, h.key) == 0;
        if (lv_sys_write(LV_SYS_LINE_OUT, &holds, 1) != 1)
            lv_sys_exit(NO_OUTPUT);
    }
    lv_sys_exit(0);
}
