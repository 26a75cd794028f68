/*
 * The virtual board: the firmware core with a line, flash, pins and a watchdog that fail on request.
 *
 * Nothing here differs between the CPUs it is built for.  A restart is the end of the process, with
 * the reason in the exit code; the launcher starts the next life.
 *
 * usage: levada-board-ENGINE [reason=N] [boot=N] [random=HEX] [times] [trust=HEX]...
 *                            [fault=KIND,POINT,AFTER,ARGUMENT]...
 */
#include <stdlib.h>
#include <string.h>

#include "../../core/link.h"
#include "../../engine/engine.h"
#include "sys.h"

enum {
    EXIT_RESTART = 64, /* plus the reason */
    SLOT_BYTES = 64 * 1024,
    FLASH_RECORDS = 0,
    FLASH_SLOTS = 4096,
    FAULTS = 8,
    LONGEST_PIN = 63,
};

#if defined(__xtensa__)
enum { TAPE_BYTES = 16 * 1024, RING_BYTES = 4 * 1024 };
#else
enum { TAPE_BYTES = 1024 * 1024, RING_BYTES = 256 * 1024 };
#endif

static uint8_t tape[TAPE_BYTES];
static uint8_t ring[RING_BYTES];
static uint8_t slots[LV_SLOTS][SLOT_BYTES];
static lv_msg_fault faults[FAULTS];
static int armed;   /* of which the first so many count */
static int waiting; /* and so many behind them begin with the next request */
static bool drop_answer;
static int corrupt_bit = -1;
static uint8_t drawn[LV_NONCE_BYTES]; /* at random */
static bool times;         /* are wanted in the record of the pins */
static uint32_t looked_ms; /* when the lease was looked at last */
static uint8_t keys[LV_KEYS][32]; /* whose modules it takes */
static lv_node node;
static lv_link link;

/* --- faults ----------------------------------------------------------------------------------- */

static void hang(void)
{
    lv_sys_watchdog(100);
    for (;;)
        lv_sys_sleep(1000);
}

static void strike(const lv_msg_fault *fault)
{
    static const char text[] = "\r\nE (1234) virtual: text in between\r\n";
    switch (fault->kind) {
    case LV_FAULT_RESET: lv_sys_exit(EXIT_RESTART + LV_RESET_POWER_ON);
    case LV_FAULT_SLOW: lv_sys_sleep(fault->argument); break;
    case LV_FAULT_CORRUPT: corrupt_bit = (int)(fault->argument & 0x7FFF); break;
    case LV_FAULT_DROP: drop_answer = true; break;
    case LV_FAULT_CONSOLE: lv_sys_write(LV_SYS_LINE_OUT, text, sizeof text - 1); break;
    case LV_FAULT_HANG: hang(); break;
    default: break;
    }
}

static void at(void *context, uint8_t point)
{
    (void)context;
    if (point == LV_AT_RECEIVED) {
        armed += waiting;
        waiting = 0;
    }
    for (int k = 0; k < armed; k++) {
        if (faults[k].point != point)
            continue;
        if (faults[k].after-- == 0) {
            lv_msg_fault fault = faults[k];
            armed--;
            memmove(faults + k, faults + k + 1, sizeof *faults * (size_t)(armed + waiting - k));
            k--;
            strike(&fault);
        }
    }
}

static lv_status arm(void *context, const lv_msg_fault *fault)
{
    (void)context;
    if (fault->kind == LV_FAULT_NONE) {
        armed = waiting = 0;
        return LV_OK;
    }
    if (fault->kind > LV_FAULT_HANG || fault->point > LV_AT_FLASH_AFTER ||
        armed + waiting == FAULTS)
        return LV_NAK_VALUE;
    faults[armed + waiting++] = *fault;
    return LV_OK;
}

/* --- flash: a file; modules are kept in memory too, as flash is mapped on a board --------------- */

static int flash_write(uint32_t offset, const uint8_t *data, uint32_t size)
{
    int rc;
    at(NULL, LV_AT_FLASH_BEFORE);
    rc = lv_sys_write_at(LV_SYS_FLASH, offset, data, size / 2);
    at(NULL, LV_AT_FLASH_HALF);
    if (rc == 0)
        rc = lv_sys_write_at(LV_SYS_FLASH, offset + size / 2, data + size / 2, size - size / 2);
    at(NULL, LV_AT_FLASH_AFTER);
    return rc;
}

static uint32_t slot_offset(int slot) { return FLASH_SLOTS + SLOT_BYTES * (uint32_t)slot; }

/* The first four before the slots, the rest behind them. */
static uint32_t record_offset(int record)
{
    uint32_t at = 1024 * (uint32_t)record;
    return FLASH_RECORDS + at + (at < FLASH_SLOTS ? 0 : LV_SLOTS * SLOT_BYTES);
}

static int record_read(void *context, int record, uint8_t *bytes)
{
    (void)context;
    return lv_sys_read_at(LV_SYS_FLASH, record_offset(record), bytes, lv_record_bytes(record));
}

static int record_write(void *context, int record, const uint8_t *bytes)
{
    (void)context;
    return flash_write(record_offset(record), bytes, lv_record_bytes(record));
}

static int slot_erase(void *context, int slot)
{
    (void)context;
    memset(slots[slot], 0xFF, SLOT_BYTES);
    return flash_write(slot_offset(slot), slots[slot], SLOT_BYTES);
}

static int slot_write(void *context, int slot, uint32_t offset, const uint8_t *data,
                      uint32_t length)
{
    (void)context;
    memcpy(slots[slot] + offset, data, length);
    return flash_write(slot_offset(slot) + offset, data, length);
}

static const uint8_t *slot_map(void *context, int slot)
{
    (void)context;
    return slots[slot];
}

/* --- pins: a change is a line of text ----------------------------------------------------------- */

/* Microseconds wrap after 71 minutes, milliseconds of the lease must not. */
static uint32_t now_ms(void)
{
    static uint32_t last_us;
    static uint64_t total_us;
    uint32_t now = lv_sys_now_us();
    total_us += now - last_us;
    last_us = now;
    return (uint32_t)(total_us / 1000);
}

static char *write_number(char *to, uint32_t value)
{
    if (value > 9)
        to = write_number(to, value / 10);
    *to = (char)('0' + value % 10);
    return to + 1;
}

static char *write_time(char *to, const char *what, uint32_t ms)
{
    size_t length = strlen(what);
    memcpy(to, what, length);
    return write_number(to + length, ms);
}

static void output(void *context, uint8_t pin, uint8_t state)
{
    static uint8_t states[LONGEST_PIN + 1];
    char text[80];
    char *end = text;
    (void)context;
    if (pin > LONGEST_PIN || states[pin] == state)
        return;
    states[pin] = state;
    end = write_number(end, pin);
    *end++ = ' ';
    end = write_number(end, state);
    if (times) {
        end = write_time(end, " at ", now_ms());
        end = write_time(end, " heard ", node.heard_ms);
        end = write_time(end, " looked ", looked_ms);
    }
    *end++ = '\n';
    (void)lv_sys_write(LV_SYS_PINS, text, (uint32_t)(end - text));
}

/* --- the line ----------------------------------------------------------------------------------- */

static int write_all(const uint8_t *bytes, uint32_t length)
{
    while (length) {
        int n = lv_sys_write(LV_SYS_LINE_OUT, bytes, length);
        if (n <= 0)
            return -1;
        bytes += n;
        length -= (uint32_t)n;
    }
    return 0;
}

static int send(void *context, const uint8_t *bytes, uint32_t length)
{
    (void)context;
    if (drop_answer) {
        drop_answer = false;
        return 0;
    }
    if (corrupt_bit >= 0) {
        uint8_t damaged[LV_FRAME_ENCODED];
        uint32_t bit = (uint32_t)corrupt_bit % (8 * (length - 2)) + 8; /* not the zeros */
        corrupt_bit = -1;
        memcpy(damaged, bytes, length);
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
        return write_all(damaged, length);
    }
    if (!armed)
        return write_all(bytes, length);
    int rc = write_all(bytes, length / 2);
    at(NULL, LV_AT_HALF_SENT);
    return rc ? rc : write_all(bytes + length / 2, length - length / 2);
}

static void say(const char *text) { (void)write_all((const uint8_t *)text, (uint32_t)strlen(text)); }

/* --- the guest: main runs on a stack of its own -------------------------------------------------- */

static bool main_paused;
static int main_rc;
static int32_t main_result;

static void run_main(void) { main_rc = lv_engine_call(LV_EXPORT_MAIN, NULL, &main_result); }

static int guest_check(void *context, const uint8_t *module, uint32_t length,
                       const lv_limits *limits)
{
    (void)context;
    return lv_engine_check(module, length, limits);
}

static int guest_load(void *context, const uint8_t *module, uint32_t length, struct lv_host *host,
                      const lv_limits *limits)
{
    (void)context;
    return lv_engine_load(module, length, host, limits);
}

static int guest_call(void *context, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)context;
    if (which != LV_EXPORT_MAIN)
        return lv_engine_call(which, arguments, result);
    if (main_paused) {
        lv_engine_renew();
        main_paused = lv_coroutine_resume(0);
    } else
        main_paused = lv_coroutine_start(run_main);
    *result = main_result;
    return main_paused ? LV_GUEST_PAUSED : main_rc;
}

static int guest_pause(void *context)
{
    (void)context;
    return lv_coroutine_pause();
}

static void guest_unload(void *context)
{
    (void)context;
    if (main_paused) /* unwind what lies on the other stack */
        main_paused = lv_coroutine_resume(-1);
    lv_engine_unload();
}

static bool guest_has(void *context, lv_export which)
{
    (void)context;
    return lv_engine_has(which);
}

/* --- the board ---------------------------------------------------------------------------------- */

static void restart(void *context)
{
    (void)context;
    lv_sys_exit(EXIT_RESTART + LV_RESET_SOFTWARE);
}

static void watchdog(void *context, uint32_t ms)
{
    (void)context;
    lv_sys_watchdog(ms);
}

/* The launcher has drawn them: this process may have nothing to draw from. */
static void random(void *context, uint8_t *bytes, uint32_t length)
{
    (void)context;
    for (uint32_t k = 0; k < length; k++)
        bytes[k] = drawn[k % sizeof drawn];
}

static uint32_t clock_us(void *context)
{
    (void)context;
    return lv_sys_now_us();
}

static int verify(void *context, const uint8_t signature[64], const uint8_t *message, size_t length,
                  const uint8_t key[32])
{
    (void)context;
    return lv_verify(signature, message, length, key);
}

static lv_config config = {
    .guest_check = guest_check,
    .guest_load = guest_load,
    .guest_call = guest_call,
    .guest_unload = guest_unload,
    .guest_has = guest_has,
    .guest_pause = guest_pause,
    .output = output,
    .record_read = record_read,
    .record_write = record_write,
    .slot_erase = slot_erase,
    .slot_write = slot_write,
    .slot_map = slot_map,
    .slot_bytes = SLOT_BYTES,
    .keys = (const uint8_t(*)[32])keys,
    .verify = verify,
    .send = send,
    .restart = restart,
    .watchdog = watchdog,
    .clock_us = clock_us,
    .at = at,
    .fault = arm,
    .random = random,
    .firmware = "levada 0.1.0 " LV_TARGET,
    .tape = tape,
    .tape_bytes = sizeof tape,
    .ring = ring,
    .ring_bytes = sizeof ring,
};

/* The launcher has checked that it is 64 digits, and that there are not too many. */
static void trust(const char *digits)
{
    for (int k = 0; k < 64; k++) {
        int c = digits[k] | 0x20;
        keys[config.key_count][k / 2] =
            (uint8_t)(keys[config.key_count][k / 2] << 4 | (c < 'a' ? c - '0' : c - 'a' + 10));
    }
    config.key_count++;
}

static void read_arguments(int count, char **arguments)
{
    for (int k = 1; k < count; k++) {
        char *text = arguments[k];
        if (strncmp(text, "reason=", 7) == 0)
            config.reset_reason = (uint8_t)strtoul(text + 7, NULL, 10);
        if (strncmp(text, "boot=", 5) == 0)
            config.first_boot_id = (uint32_t)strtoul(text + 5, NULL, 10);
        for (size_t i = 0; strncmp(text, "random=", 7) == 0 && i < sizeof drawn; i++) {
            char pair[3] = {text[7 + 2 * i], text[8 + 2 * i], 0};
            drawn[i] = (uint8_t)strtoul(pair, NULL, 16);
        }
        if (strcmp(text, "times") == 0)
            times = true;
        if (strncmp(text, "trust=", 6) == 0)
            trust(text + 6);
        if (strncmp(text, "fault=", 6) == 0) {
            uint32_t v[4] = {0};
            char *end = text + 5;
            for (int i = 0; i < 4 && *end; i++)
                v[i] = (uint32_t)strtoul(end + 1, &end, 10);
            lv_msg_fault fault = {(uint8_t)v[0], (uint8_t)v[1], v[2], v[3]};
            (void)arm(NULL, &fault);
        }
    }
}

int main(int count, char **arguments)
{
    uint8_t received[512];
    config.engine = lv_engine_name();
    read_arguments(count, arguments);
    armed = waiting; /* those count from power on */
    waiting = 0;
    for (int k = 0; k < LV_SLOTS; k++)
        if (lv_sys_read_at(LV_SYS_FLASH, slot_offset(k), slots[k], SLOT_BYTES) != 0)
            memset(slots[k], 0xFF, SLOT_BYTES);
    if (lv_node_init(&node, &config) != LV_INIT_OK)
        lv_sys_exit(70); /* EX_SOFTWARE */
    lv_link_init(&link, &node);
    say("levada board: ");
    say(config.engine);
    say(", ready\r\n");

    for (;;) {
        bool patient = !node.lease_ms && !node.store.receiving &&
                       node.store.update.stage == LV_STAGE_NONE;
        if (patient || lv_sys_wait(50)) {
            int n = lv_sys_read(LV_SYS_LINE_IN, received, sizeof received);
            if (n <= 0)
                break;
            lv_link_receive(&link, received, (size_t)n);
        }
        uint32_t at_ms = now_ms();
        lv_link_tick(&link, at_ms); /* also while something comes all the time */
        looked_ms = at_ms;
    }
    lv_node_close(&node);
    lv_sys_exit(0);
}
