/*
 * Memory and text, as C says; byte by byte.  Compiled with -ffreestanding, or the compiler would turn
 * these loops into calls of themselves.
 */
#include <string.h>

#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    while (size--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((uintptr_t)t <= (uintptr_t)f)
        return memcpy(to, from, size);
    while (size--)
        t[size] = f[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    uint8_t *t = to;
    while (size--)
        *t++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    for (size_t k = 0; k < size; k++)
        if (x[k] != y[k])
            return x[k] - y[k];
    return 0;
}

void *memchr(const void *in, int byte, size_t size)
{
    const uint8_t *x = in;
    for (size_t k = 0; k < size; k++)
        if (x[k] == (uint8_t)byte)
            return (void *)(uintptr_t)(x + k);
    return NULL;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

int strncmp(const char *a, const char *b, size_t size)
{
    for (size_t k = 0; k < size; k++)
        if (a[k] != b[k] || !a[k])
            return (uint8_t)a[k] - (uint8_t)b[k];
    return 0;
}

char *strchr(const char *text, int byte)
{
    return memchr(text, byte, strlen(text) + 1);
}

char *strncpy(char *restrict to, const char *restrict from, size_t size)
{
    size_t k = 0;
    for (; k < size && from[k]; k++)
        to[k] = from[k];
    memset(to + k, 0, size - k);
    return to;
}
