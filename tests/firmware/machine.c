/*
 * What the processor, the compiler and the C library of a board make of C, to be compared with what
 * Python and other computers make of it.
 *
 * usage: levada-machine-TARGET arithmetic|recursion|coroutine|library|heap
 *
 * `arithmetic` reads records of three 64-bit words (an operation, a and b) and answers each with one.
 * The others read nothing and write words of 32 bits.
 */
#include <stdlib.h>
#include <string.h>

#include "sys.h"

#define NOINLINE __attribute__((noinline))

enum { BATCH = 256, DEPTH = 2000, EVERY = 100, MAIN_DEPTH = 40, RUNS = 3 };

static void put(uint32_t word) { lv_sys_write(LV_SYS_LINE_OUT, &word, sizeof word); }

/* --- arithmetic ------------------------------------------------------------------------------- */

typedef struct {
    uint64_t operation, a, b;
} question;

/* Operations on 64 bits in the order of test_machine.py. */
static uint64_t answer64(uint64_t operation, uint64_t a, uint64_t b)
{
    switch (operation) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return a / b;
    case 4: return a % b;
    case 5: return (uint64_t)((int64_t)a / (int64_t)b);
    case 6: return (uint64_t)((int64_t)a % (int64_t)b);
    case 7: return a << b;
    case 8: return a >> b;
    case 9: return (uint64_t)((int64_t)a >> b);
    case 10: return (int64_t)a < (int64_t)b;
    case 11: return a < b;
    case 12: return (uint64_t)__builtin_popcountll(a);
    case 13: return (uint64_t)__builtin_clzll(a);
    case 14: return (uint64_t)__builtin_ctzll(a);
    default: return 0;
    }
}

/* The same on 32 bits, and products of 64. */
static uint64_t answer32(uint64_t operation, uint32_t a, uint32_t b)
{
    switch (operation) {
    case 20: return a * b;
    case 21: return a / b;
    case 22: return a % b;
    case 23: return (uint32_t)((int32_t)a / (int32_t)b);
    case 24: return (uint32_t)((int32_t)a % (int32_t)b);
    case 25: return a << b;
    case 26: return a >> b;
    case 27: return (uint32_t)((int32_t)a >> b);
    case 28: return (uint64_t)a * b;
    case 29: return (uint64_t)((int64_t)(int32_t)a * (int32_t)b);
    case 30: return (uint32_t)__builtin_popcount(a);
    default: return 0;
    }
}

static void arithmetic(void)
{
    static question asked[BATCH];
    static uint64_t answers[BATCH];
    for (;;) {
        uint32_t got = 0;
        int n = 1;
        while (got < sizeof asked && n > 0) {
            n = lv_sys_read(LV_SYS_LINE_IN, (uint8_t *)asked + got, (uint32_t)sizeof asked - got);
            got += n > 0 ? (uint32_t)n : 0;
        }
        uint32_t count = got / (uint32_t)sizeof *asked;
        for (uint32_t k = 0; k < count; k++) {
            const question *q = &asked[k];
            answers[k] = q->operation < 20 ? answer64(q->operation, q->a, q->b)
                                           : answer32(q->operation, (uint32_t)q->a, (uint32_t)q->b);
        }
        if (count == 0)
            return;
        lv_sys_write(LV_SYS_LINE_OUT, answers, count * (uint32_t)sizeof *answers);
    }
}

/* --- calls and stacks ------------------------------------------------------------------------- */

/* Goes down and up again, with every frame's variables in use below it; on the second stack it pauses
 * at each EVERYth frame, both ways. */
static NOINLINE uint32_t dive(uint32_t depth, uint32_t a, uint32_t b, bool pauses)
{
    uint32_t handed = 0;
    if (depth == 0)
        return a ^ b;
    if (pauses && depth % EVERY == 0)
        handed = (uint32_t)lv_coroutine_pause();
    uint32_t below = dive(depth - 1, a * 31 + depth, b + a, pauses);
    if (pauses && depth % EVERY == 0)
        handed += (uint32_t)lv_coroutine_pause();
    return ((below * 7 + a) ^ (b + depth)) + handed;
}

static void recursion(void)
{
    put(dive(1, 1, 2, false));
    put(dive(DEPTH, 3, 5, false));
}

static uint32_t dived;

static void body(void) { dived = dive(DEPTH, 7, 11, true); }

static void coroutine(void)
{
    for (int run = 0; run < RUNS; run++) {
        int pauses = 0;
        bool more = lv_coroutine_start(body);
        while (more) {
            put(dive(MAIN_DEPTH, (uint32_t)++pauses, 1, false));
            more = lv_coroutine_resume(pauses);
        }
        put(dived);
    }
}

/* --- the C library ---------------------------------------------------------------------------- */

static uint32_t digest = 2166136261u; /* FNV-1a */

static void add(const void *data, size_t size)
{
    for (size_t k = 0; k < size; k++)
        digest = (digest ^ ((const uint8_t *)data)[k]) * 16777619u;
}

static void add_number(uint32_t number) { add(&number, sizeof number); }

static void add_sign(int order) { add_number(order < 0 ? 1 : order > 0 ? 2 : 3); }

static void fill(uint8_t *to, size_t size)
{
    for (size_t k = 0; k < size; k++)
        to[k] = (uint8_t)(k * 37 + size);
}

/* All offsets within two words, all lengths up to a few. */
static void memory(void)
{
    uint8_t a[64], b[64];
    for (size_t from = 0; from < 8; from++)
        for (size_t to = 0; to < 8; to++)
            for (size_t size = 0; size < 40; size++) {
                fill(a, sizeof a);
                fill(b, sizeof b);
                memcpy(b + to, a + from, size);
                add(b, sizeof b);
                memmove(a + to, a + from, size);
                add(a, sizeof a);
                memset(b + to, (int)(size * 77), size);
                add(b, sizeof b);
                add_sign(memcmp(a + from, a + to, size));
                const uint8_t *found = memchr(a, (int)(from * 37), size);
                add_number(found ? (uint32_t)(found - a) : 99);
            }
}

static void texts(void)
{
    static const char *const list[] = {"", "a", "ab", "abc", "abd", "\xff", "ab\xff", "abcabc"};
    enum { TEXTS = sizeof list / sizeof *list };
    for (size_t i = 0; i < TEXTS; i++) {
        add_number((uint32_t)strlen(list[i]));
        for (size_t size = 0; size < 9; size++) {
            char copy[9];
            memset(copy, 'x', sizeof copy);
            strncpy(copy, list[i], size);
            add(copy, sizeof copy);
        }
        for (const char *c = "abcx\xff"; *c; c++) {
            const char *found = strchr(list[i], *c);
            add_number(found ? (uint32_t)(found - list[i]) : 99);
        }
        add_number((uint32_t)(strchr(list[i], 0) - list[i]));
        for (size_t j = 0; j < TEXTS; j++) {
            add_sign(strcmp(list[i], list[j]));
            for (size_t size = 0; size < 8; size++)
                add_sign(strncmp(list[i], list[j], size));
        }
    }
}

static void numbers(void)
{
    static const char *const list[] = {"0", "7", "12345678", "12,34", "", ",", "1a", "00042x"};
    for (size_t k = 0; k < sizeof list / sizeof *list; k++) {
        char *end;
        add_number((uint32_t)strtoul(list[k], &end, 10));
        add_number((uint32_t)(end - list[k]));
        add_number((uint32_t)strtoul(list[k], NULL, 16));
    }
    add_number((uint32_t)strtoul("4294967295", NULL, 10));
    add_number((uint32_t)strtoul("DEADbeef", NULL, 16));
    add_number((uint32_t)(strtoull("123456789abcdef", NULL, 16) >> 32));
}

static void library(void)
{
    memory();
    put(digest);
    texts();
    put(digest);
    numbers();
    put(digest);
}

/* --- the heap --------------------------------------------------------------------------------- */

enum { SLOTS = 64, ROUNDS = 20000, LARGEST = 8192, WHOLE = 1400000 };

typedef struct {
    uint8_t *data;
    size_t size;
    uint8_t byte;
} slot;

static bool intact(const slot *s)
{
    for (size_t k = 0; k < s->size; k++)
        if (s->data[k] != s->byte)
            return false;
    return (uintptr_t)s->data % 8 == 0;
}

static uint32_t draw(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* Faults: memory that is none, that somebody else has, or in which something else stands. */
static void heap(void)
{
    static slot slots[SLOTS];
    volatile size_t huge = SIZE_MAX / 2;
    uint32_t faults = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        slot *s = &slots[draw() % SLOTS];
        size_t size = draw() % LARGEST;
        faults += !intact(s);
        if (draw() % 3 == 0 && s->data) {
            uint8_t *moved = realloc(s->data, size ? size : 1);
            size_t kept = size < s->size ? size : s->size;
            s->data = moved;
            s->size = moved ? kept : 0;
            faults += !moved || !intact(s);
        } else {
            free(s->data);
            s->data = calloc(1, size);
            s->size = s->data ? size : 0;
            s->byte = 0;
            faults += !s->data || !intact(s);
        }
        s->byte = (uint8_t)round;
        s->size = s->data ? size : 0;
        memset(s->data, s->byte, s->size);
    }
    put(faults);
    for (int k = 0; k < SLOTS; k++)
        free(slots[k].data);
    free(NULL);
    void *whole = malloc(WHOLE); /* what was given back is one piece again */
    put(whole != NULL);
    free(whole);
    /* volatile: a compiler may take it that memory nobody uses was to be had */
    void *volatile none[] = {malloc(huge), calloc(huge, 4), realloc(NULL, huge)};
    put(none[0] == NULL && none[1] == NULL && none[2] == NULL);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"arithmetic", arithmetic}, {"recursion", recursion}, {"coroutine", coroutine},
                 {"library", library},       {"heap", heap}};
    for (size_t k = 0; count == 2 && k < sizeof modes / sizeof *modes; k++)
        if (strcmp(arguments[1], modes[k].name) == 0) {
            modes[k].run();
            lv_sys_exit(0);
        }
    lv_sys_exit(2);
}
