/*
 * A guest as a shared library for fog and cloud: many nodes take turns in its own variables.
 *
 * GUEST_SOURCE is included, so that the variables of the guest, wherever it defines them, come to lie
 * in the two sections named here.  An image of a node is the bytes of both.
 */
#include <stdint.h>

#pragma clang section data = "guest_data" bss = "guest_bss"
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything" /* they were shown when the module was built */
#include GUEST_SOURCE
#pragma clang diagnostic pop
#pragma clang section data = "" bss = ""

#define SECTION_BOUND extern uint8_t __attribute__((weak, visibility("hidden"))) /* NULL without it */
SECTION_BOUND __start_guest_data[];
SECTION_BOUND __stop_guest_data[];
SECTION_BOUND __start_guest_bss[];
SECTION_BOUND __stop_guest_bss[];

#define DATA_BYTES ((int)(__stop_guest_data - __start_guest_data))
#define BSS_BYTES ((int)(__stop_guest_bss - __start_guest_bss))

int image_bytes(void) { return DATA_BYTES + BSS_BYTES; }

/* The guest's variables, which are those of a fresh guest until the first call. */
void save_image(uint8_t *image)
{
    __builtin_memcpy(image, __start_guest_data, (unsigned)DATA_BYTES);
    __builtin_memcpy(image + DATA_BYTES, __start_guest_bss, (unsigned)BSS_BYTES);
}

static void load_image(const uint8_t *image)
{
    __builtin_memcpy(__start_guest_data, image, (unsigned)DATA_BYTES);
    __builtin_memcpy(__start_guest_bss, image + DATA_BYTES, (unsigned)BSS_BYTES);
}

/* Imports: these tiers have none.  The guest goes on to the end of its call, which then counts for
 * nothing. */
static int denied;

static int deny(int call)
{
    if (!denied)
        denied = call;
    return LEVADA_INVALID;
}

int read_sensor(int kind) { return (void)kind, deny(1); }
void set_output(int pin, int state) { (void)pin, (void)state, deny(2); }
int get_config(int key) { return (void)key, deny(3); }
int mqtt_publish(const char *topic, const char *message)
{
    return (void)topic, (void)message, deny(4);
}
void wasm_log(const char *message) { (void)message, deny(5); }
void log_int(int value) { (void)value, deny(6); }
void delay_ms(int ms) { (void)ms, deny(7); }
int now_s(void) { return deny(8); }
int uptime_s(void) { return deny(9); }
int keep_get(int slot) { return (void)slot, deny(10); }
int keep_set(int slot, int value) { return (void)slot, (void)value, deny(11); }

static int call(void (*function)(void), int parameters, const int *a)
{
    switch (parameters) {
    case 0: return ((int (*)(void))function)();
    case 1: return ((int (*)(int))function)(a[0]);
    case 2: return ((int (*)(int, int))function)(a[0], a[1]);
    case 3: return ((int (*)(int, int, int))function)(a[0], a[1], a[2]);
    default: return ((int (*)(int, int, int, int))function)(a[0], a[1], a[2], a[3]);
    }
}

/*
 * Call a function of `parameters` integers for nodes[begin] .. nodes[count - 1], in this order, each
 * in its image.  The index of the first call that asked for an import, with *denied_call, or `count`.
 */
int64_t call_nodes(void (*function)(void), int parameters, uint8_t *images, int64_t begin,
                           int64_t count, const int *nodes, const int *arguments, int *results,
                           int *denied_call)
{
    const int64_t size = image_bytes();
    int64_t index = begin;
    int node = -1;
    denied = 0;
    for (; index < count && !denied; index++) {
        if (nodes[index] != node) {
            if (node >= 0)
                save_image(images + size * node);
            node = nodes[index];
            load_image(images + size * node);
        }
        results[index] = call(function, parameters, arguments + index * parameters);
    }
    if (node >= 0)
        save_image(images + size * node);
    *denied_call = denied;
    return denied ? index - 1 : index;
}
