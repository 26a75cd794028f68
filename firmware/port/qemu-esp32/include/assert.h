/* May be included again with another NDEBUG, as in any C library. */
#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
_Noreturn void abort(void);
#define assert(condition) ((condition) ? (void)0 : abort())
#endif
#undef static_assert
#define static_assert _Static_assert
