/*
 * A node of the field that sleeps between its steps: the core, wasm3, and the port's own keep.c.
 *
 * usage: sleeper MODULE STEPS sleep|wake
 *
 * Prints the tape of every step, in hexadecimal, behind the kind of sleep before it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../firmware/engine/engine.h"
#include "fake.h"
#include "keep.h"

enum { SLOT_BYTES = 64 * 1024 };

static uint8_t slots[LV_SLOTS][SLOT_BYTES];
static fake board;
static const int64_t START_MS = 1681516800000;
static int64_t uptime_ms;

uint64_t esp_rtc_get_time_us(void);
/* It goes on while the board sleeps: so it does not begin with the start. */
uint64_t esp_rtc_get_time_us(void) { return (uint64_t)(7000 + uptime_ms) * 1000; }

static int check(void *context, const uint8_t *module, uint32_t length, const lv_limits *limits)
{
    (void)context;
    return lv_engine_check(module, length, limits);
}

static int load(void *context, const uint8_t *module, uint32_t length, struct lv_host *host,
                const lv_limits *limits)
{
    (void)context;
    return lv_engine_load(module, length, host, limits);
}

static int call(void *context, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)context;
    return lv_engine_call(which, arguments, result);
}

static void unload(void *context)
{
    (void)context;
    lv_engine_unload();
}

static bool has(void *context, lv_export which)
{
    (void)context;
    return lv_engine_has(which);
}

static int slot_erase(void *context, int slot)
{
    (void)context;
    memset(slots[slot], 0xFF, SLOT_BYTES);
    return 0;
}

static int slot_write(void *context, int slot, uint32_t offset, const uint8_t *data,
                      uint32_t length)
{
    (void)context;
    memcpy(slots[slot] + offset, data, length);
    return 0;
}

static const uint8_t *slot_map(void *context, int slot)
{
    (void)context;
    return slots[slot];
}

static void start(int64_t time_ms)
{
    const lv_msg_start m = {.time_ms = time_ms, .flags = LV_START_STORED_PARAMETERS};
    lv_status status = lv_node_start(&board.node, &m);
    if (status != LV_OK) {
        printf("start refused: %d, detail %d\n", (int)status, (int)board.node.detail);
        exit(1);
    }
}

static const char *sleep_deeply(int64_t until_ms)
{
    int64_t restored_ms;
    bool saved = keep_save(&board.node, uptime_ms);
    uptime_ms = until_ms - START_MS;
    if (!saved)
        return "light";
    lv_node_close(&board.node); /* the power of its RAM is gone */
    board.config.reset_reason = LV_RESET_DEEP_SLEEP;
    fake_boot(&board);
    start(until_ms);
    if (!keep_restore(&board.node, &restored_ms))
        return "lost";
    return restored_ms == uptime_ms ? "deep" : "another uptime";
}

int main(int count, char **arguments)
{
    static uint8_t module[SLOT_BYTES];
    FILE *file = count == 4 ? fopen(arguments[1], "rb") : NULL;
    if (!file)
        return 2;
    uint32_t size = (uint32_t)fread(module, 1, sizeof module, file);
    (void)fclose(file);
    fake_new(&board);
    board.config.guest_check = check;
    board.config.guest_load = load;
    board.config.guest_call = call;
    board.config.guest_unload = unload;
    board.config.guest_has = has;
    board.config.slot_erase = slot_erase;
    board.config.slot_write = slot_write;
    board.config.slot_map = slot_map;
    board.config.slot_bytes = SLOT_BYTES;
    fake_boot(&board);
    if (fake_install(&board, module, size) != 0) {
        printf("not installed: detail %d\n", (int)board.node.detail);
        return 1;
    }
    start(START_MS);
    for (int k = 0; k < atoi(arguments[2]); k++) {
        int64_t due_ms = board.node.wake_ms;
        const char *slept = arguments[3][0] == 's' ? sleep_deeply(due_ms) : "awake";
        uptime_ms = due_ms - START_MS;
        const lv_msg_step m = {.time_ms = due_ms,
                               .uptime_ms = uptime_ms,
                               .readings = {2000 + k % 7 * 50, 1500, 3700, k % 3}};
        (void)lv_node_step(&board.node, &m);
        printf("%s ", slept);
        for (uint32_t i = 0; i < board.node.host.tape.length; i++)
            printf("%02x", board.node.host.tape.bytes[i]);
        printf("\n");
        if (board.node.state != LV_NODE_RUNNING)
            break;
    }
    return 0;
}
