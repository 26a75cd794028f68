/*
 * What a caller owes: LV_ASSERT stops where a precondition of a function does not hold.
 *
 * It is `assert` of the C library, which NDEBUG leaves out of a release; a port that defines
 * LV_ASSERT has its own.  It is for faults of our own code only.  What comes from the line, from
 * flash or from a guest is refused by a status, whether assertions are compiled or not.
 *
 * Of all functions of the core: no pointer may be NULL unless the comment of the function says so,
 * none keeps a pointer it is given unless it says so, and none blocks but by a callback of
 * lv_config that may.  One thread at a time may be in functions that share a struct.
 */
#ifndef LV_ASSERT
#include <assert.h>
#define LV_ASSERT(condition) assert(condition)
#endif
