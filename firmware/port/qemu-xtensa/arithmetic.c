/*
 * Arithmetic that the compiler asks of its library, and that this toolchain's library leaves to the
 * ROM of the chip it was made for.
 */
#include <stdint.h>

uint32_t __udivsi3(uint32_t a, uint32_t b);
uint32_t __umodsi3(uint32_t a, uint32_t b);
int32_t __divsi3(int32_t a, int32_t b);
uint64_t __muldi3(uint64_t a, uint64_t b);
uint64_t __udivdi3(uint64_t a, uint64_t b);
uint64_t __umoddi3(uint64_t a, uint64_t b);
int64_t __divdi3(int64_t a, int64_t b);
int64_t __moddi3(int64_t a, int64_t b);
uint64_t __umulsidi3(uint32_t a, uint32_t b);

/* Schoolbook division, one bit at a time; nothing here is in a hurry. */
static uint32_t divide32(uint32_t a, uint32_t b, uint32_t *rest)
{
    uint32_t quotient = 0;
    uint32_t r = 0;
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t carry = r >> 31;
        r = r << 1 | (a >> bit & 1);
        if (carry || r >= b) {
            r -= b;
            quotient |= 1u << bit;
        }
    }
    *rest = r;
    return quotient;
}

static uint64_t divide64(uint64_t a, uint64_t b, uint64_t *rest)
{
    uint64_t quotient = 0;
    uint64_t r = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t carry = r >> 63;
        r = r << 1 | (a >> bit & 1);
        if (carry || r >= b) {
            r -= b;
            quotient |= UINT64_C(1) << bit;
        }
    }
    *rest = r;
    return quotient;
}

uint32_t __udivsi3(uint32_t a, uint32_t b)
{
    uint32_t rest;
    return divide32(a, b, &rest);
}

uint32_t __umodsi3(uint32_t a, uint32_t b)
{
    uint32_t rest;
    divide32(a, b, &rest);
    return rest;
}

int32_t __divsi3(int32_t a, int32_t b)
{
    uint32_t quotient = __udivsi3(a < 0 ? 0u - (uint32_t)a : (uint32_t)a,
                                  b < 0 ? 0u - (uint32_t)b : (uint32_t)b);
    return (int32_t)((a < 0) != (b < 0) ? 0u - quotient : quotient);
}

uint64_t __umulsidi3(uint32_t a, uint32_t b)
{
    uint32_t al = a & 0xFFFF, ah = a >> 16, bl = b & 0xFFFF, bh = b >> 16;
    uint32_t low = al * bl;
    uint32_t cross = ah * bl + (low >> 16); /* cannot overflow */
    uint32_t cross2 = al * bh + (cross & 0xFFFF);
    uint32_t high = ah * bh + (cross >> 16) + (cross2 >> 16);
    return (uint64_t)high << 32 | (cross2 << 16 | (low & 0xFFFF));
}

uint64_t __muldi3(uint64_t a, uint64_t b)
{
    uint32_t al = (uint32_t)a, ah = (uint32_t)(a >> 32);
    uint32_t bl = (uint32_t)b, bh = (uint32_t)(b >> 32);
    return __umulsidi3(al, bl) + ((uint64_t)(al * bh + ah * bl) << 32);
}

uint64_t __udivdi3(uint64_t a, uint64_t b)
{
    uint64_t rest;
    return divide64(a, b, &rest);
}

uint64_t __umoddi3(uint64_t a, uint64_t b)
{
    uint64_t rest;
    divide64(a, b, &rest);
    return rest;
}

int64_t __divdi3(int64_t a, int64_t b)
{
    uint64_t quotient = __udivdi3(a < 0 ? 0u - (uint64_t)a : (uint64_t)a,
                                  b < 0 ? 0u - (uint64_t)b : (uint64_t)b);
    return (int64_t)((a < 0) != (b < 0) ? 0u - quotient : quotient);
}

int64_t __moddi3(int64_t a, int64_t b)
{
    uint64_t rest = __umoddi3(a < 0 ? 0u - (uint64_t)a : (uint64_t)a,
                              b < 0 ? 0u - (uint64_t)b : (uint64_t)b);
    return (int64_t)(a < 0 ? 0u - rest : rest);
}
