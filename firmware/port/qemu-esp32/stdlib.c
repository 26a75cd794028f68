/*
 * Memory that is handed out and taken back, and numbers in texts.
 *
 * The heap is a row of blocks, each with its size before it.  The first free block that is large enough
 * is taken; free neighbours become one while one is looked for.
 */
#include <stdlib.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint32_t size; /* with this header, a multiple of it */
    uint32_t used;
} block;

/* All that wasm3 and the guest get. */
enum { HEAP_BYTES = 1536 * 1024 };
static _Alignas(8) block heap[HEAP_BYTES / sizeof(block)];
static block *const heap_end = heap + sizeof heap / sizeof *heap;

static block *after(const block *b) { return (block *)((uintptr_t)b + b->size); }

static void cut(block *b, uint32_t size)
{
    if (b->size > size) {
        uint32_t rest = b->size - size;
        b->size = size;
        *after(b) = (block){.size = rest, .used = false};
    }
}

static block *find(uint32_t size)
{
    if (!heap->size)
        heap->size = sizeof heap;
    for (block *b = heap; b != heap_end; b = after(b)) {
        if (b->used)
            continue;
        for (block *next = after(b); next != heap_end && !next->used; next = after(b))
            b->size += next->size;
        if (b->size >= size) {
            cut(b, size);
            return b;
        }
    }
    return NULL;
}

void *malloc(size_t size)
{
    if (size > INT32_MAX - 2 * sizeof(block))
        return NULL;
    uint32_t whole = (uint32_t)((size + 2 * sizeof(block) - 1) / sizeof(block) * sizeof(block));
    block *b = find(whole);
    if (!b)
        return NULL;
    b->used = true;
    return b + 1;
}

void free(void *of)
{
    if (of)
        ((block *)of - 1)->used = false;
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    void *made = __builtin_mul_overflow(count, size, &bytes) ? NULL : malloc(bytes);
    return made ? memset(made, 0, bytes) : NULL;
}

void *realloc(void *of, size_t size)
{
    void *made = malloc(size);
    if (made && of) {
        size_t held = ((block *)of - 1)->size - sizeof(block);
        memcpy(made, of, held < size ? held : size);
        free(of);
    }
    return made;
}

/* White space, a sign or a prefix is no digit, and a number too large wraps: callers here have none. */
unsigned long long strtoull(const char *restrict text, char **restrict end, int base)
{
    unsigned long long value = 0;
    for (;; text++) {
        int digit = *text >= '0' && *text <= '9'   ? *text - '0'
                    : *text >= 'a' && *text <= 'z' ? *text - 'a' + 10
                    : *text >= 'A' && *text <= 'Z' ? *text - 'A' + 10
                                                   : base;
        if (digit >= base)
            break;
        value = value * (unsigned)base + (unsigned)digit;
    }
    if (end)
        *end = (char *)(uintptr_t)text;
    return value;
}

unsigned long strtoul(const char *restrict text, char **restrict end, int base)
{
    return (unsigned long)strtoull(text, end, base);
}
