/* What the board and wasm3 use of <stdlib.h>; stdlib.c. */
#ifndef LEVADA_STDLIB_H
#define LEVADA_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *of, size_t size);
void free(void *of);
unsigned long strtoul(const char *restrict text, char **restrict end, int base);
unsigned long long strtoull(const char *restrict text, char **restrict end, int base);
_Noreturn void abort(void);

#endif
