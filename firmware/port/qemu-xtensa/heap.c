/* Memory of picolibc's allocator: all that wasm3 and the guest get. */
#include <stddef.h>
#include <stdint.h>

void *sbrk(ptrdiff_t bytes);

void *sbrk(ptrdiff_t bytes)
{
    static uint8_t heap[1536 * 1024] __attribute__((aligned(16)));
    static size_t used;
    uint8_t *at = heap + used;
    if (bytes > (ptrdiff_t)(sizeof heap - used) || bytes < -(ptrdiff_t)used)
        return (void *)-1;
    used += (size_t)bytes;
    return at;
}
