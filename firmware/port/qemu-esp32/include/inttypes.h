/* wasm3 includes it for the types alone. */
#include <stdint.h>
