/* The node. */
#include <string.h>

#include "unit.h"

static void init_refuses_a_config_with_a_hole(void)
{
    fake_new(&f);
    lv_config whole = f.config;
    f.config.output = NULL;
    EXPECT(lv_node_init(&f.node, &f.config) < 0);
    f.config = whole;
    f.config.tape_bytes = 1000;
    EXPECT(lv_node_init(&f.node, &f.config) < 0);
    f.config = whole;
    f.config.engine = "a name that is much too long for the field";
    EXPECT(lv_node_init(&f.node, &f.config) < 0);
    f.config = whole;
    f.config.slot_bytes = 0;
    EXPECT(lv_node_init(&f.node, &f.config) < 0);
    f.config = whole;
    EXPECT(lv_node_init(&f.node, &f.config) == 0);
}

static void configure_refuses_what_the_board_has_no_room_for(void)
{
    ready();
    lv_msg_configure m = limits(1000000, 1, 1);
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_SIZE);
    EXPECT(f.node.detail == FAKE_TAPE);
    m = limits(1, 1, 1);
    m.pin_count = LV_PINS + 1;
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_VALUE);
    m = limits(1, 1, 1);
    m.memory_pages = 0;
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_VALUE);
}

static void the_longest_names_fit(void)
{
    ready();
    lv_msg_configure m = limits(1, 1, 64);
    memset(m.node, 'n', sizeof m.node - 1);
    memset(m.prefix, 'p', sizeof m.prefix - 1);
    EXPECT(lv_node_configure(&f.node, &m) == 0);
    EXPECT(strlen(f.node.host.prefix) == 31 + 15 + 1);
}

static int trap_in_step(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    open_valve(of, which, arguments, result);
    return which == LV_EXPORT_STEP ? LV_TRAP_UNREACHABLE : 0;
}

static int trap_in_param_set(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    open_valve(of, which, arguments, result);
    return which == LV_EXPORT_PARAM_SET && arguments[1] == 50 ? LV_TRAP_UNREACHABLE : 0;
}

static void the_watchdog_guards_every_call_and_nothing_else(void)
{
    ready();
    start();
    EXPECT(f.watchdog_was_armed && f.watchdog_ms == 0);
    f.watchdog_was_armed = false;
    step(2000);
    EXPECT(f.watchdog_was_armed && f.watchdog_ms == 0);
}

static void a_trap_closes_the_valve_and_stops_the_guest(void)
{
    ready();
    f.behave = trap_in_step;
    start();
    EXPECT(step(2000) == 0);
    EXPECT(f.pins[23] == 0 && f.node.host.outputs == 0 && !f.loaded);
    EXPECT(f.node.wake_ms == LV_NEVER_MS);
    EXPECT(step(3000) == LV_NAK_STOPPED && f.node.detail == LV_TRAP_UNREACHABLE);
    EXPECT(start() == 0 && f.node.state == LV_NODE_RUNNING);
}

static void a_trap_during_calibration_stops_the_guest_too(void)
{
    uint8_t pairs[8] = {0, 0, 0, 0, 50, 0, 0, 0};
    lv_msg_calibrate m = {.parameters = pairs, .parameters_count = 1};
    ready();
    f.behave = trap_in_param_set;
    start();
    step(2000);
    EXPECT(f.pins[23] == 1);
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_NAK_STOPPED);
    EXPECT(f.pins[23] == 0);
}

static void the_lease_closes_the_valve_once_and_across_a_wrap_of_the_clock(void)
{
    lv_msg_configure m = limits(10, 10, 10);
    m.lease_ms = 1000;
    ready();
    lv_node_configure(&f.node, &m);
    f.behave = open_valve;
    start();
    step(2000);
    lv_node_heard(&f.node, 0xFFFFFF00u);
    lv_node_tick(&f.node, 0xFFFFFF00u + 1000u);
    EXPECT(f.pins[23] == 1);
    lv_node_tick(&f.node, 0xFFFFFF00u + 1001u);
    EXPECT(f.pins[23] == 0 && f.node.lease_expired);
    int writes = f.pin_writes;
    lv_node_tick(&f.node, 0xFFFFFF00u + 5000u);
    EXPECT(f.pin_writes == writes);
}

static void a_time_that_no_sum_can_hold_is_refused(void)
{
    static const int64_t times_ms[] = {INT64_MAX, INT64_MIN, LV_TIMES_MS, -LV_TIMES_MS};
    ready();
    start();
    for (int k = 0; k < 4; k++) {
        lv_msg_start m = {.time_ms = times_ms[k]};
        EXPECT(lv_node_start(&f.node, &m) == LV_NAK_VALUE);
        EXPECT(step(times_ms[k]) == LV_NAK_VALUE && f.node.state == LV_NODE_RUNNING);
    }
    EXPECT(step(LV_TIMES_MS - 1) == 0 && f.node.wake_ms < LV_NEVER_MS);
    EXPECT(step(1 - LV_TIMES_MS) == 0);
}

static void time_with_the_valve_open_is_counted(void)
{
    ready();
    f.behave = open_valve;
    start();
    step(2000);
    step(62000);
    step(63000);
    EXPECT(f.node.open_ms == 61000);
    /* 4 calls of the guest, 7 us of the fake clock each */
    EXPECT(f.node.total_active_us == 4 * 7);
}

static int open_as_told(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_INIT || which == LV_EXPORT_STEP) {
        lv_call_set_output(of->host, 23, of->parameters[0] != 10);
        lv_call_set_output(of->host, 18, of->parameters[1] != 10);
    }
    return 0;
}

static void only_time_that_passes_with_output_0_open_is_counted(void)
{
    lv_msg_start at_0 = {.time_ms = 0};
    ready();
    f.behave = open_valve;
    EXPECT(start() == LV_OK && step(5000) == LV_OK && f.node.open_ms == 0); /* was closed until 5 s */
    EXPECT(step(5001) == LV_OK && f.node.open_ms == 1);
    EXPECT(step(3000) == LV_OK && f.node.open_ms == 1); /* a clock that goes back */
    EXPECT(step(3500) == LV_OK && f.node.open_ms == 501);
    EXPECT(lv_node_start(&f.node, &at_0) == LV_OK && f.node.open_ms == 501);
    EXPECT(start() == LV_OK && f.node.open_ms == 501); /* closed by the start */

    ready();
    f.behave = open_as_told;
    EXPECT(lv_node_start(&f.node, &at_0) == LV_OK);
    f.parameters[1] = 50;
    EXPECT(step(1000) == LV_OK && f.pins[18] == 1 && f.pins[23] == 0);
    EXPECT(step(2000) == LV_OK && f.node.open_ms == 0);
    f.parameters[0] = 50;
    EXPECT(step(3000) == LV_OK && step(4000) == LV_OK && f.node.open_ms == 1000);
}

static int open_in_init(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_INIT)
        lv_call_set_output(of->host, 23, 1);
    return 0;
}

static void time_open_is_counted_from_a_start_at_any_time(void)
{
    static const int64_t times_ms[] = {-70000, 0, 1, 1681516800000};
    for (int k = 0; k < 4; k++) {
        lv_msg_start m = {.time_ms = times_ms[k]};
        ready();
        f.behave = open_in_init;
        EXPECT(lv_node_start(&f.node, &m) == LV_OK && step(times_ms[k] + 60000) == LV_OK);
        EXPECT(f.node.open_ms == 60000);
    }
}

static void a_changed_pin_map_closes_the_pins_of_the_old_one(void)
{
    lv_msg_configure m = limits(10, 10, 10);
    ready();
    f.behave = open_valve;
    start();
    step(2000);
    m.pins[0] = 5;
    EXPECT(f.pins[23] == 1);
    lv_node_configure(&f.node, &m);
    EXPECT(f.pins[23] == 0 && f.node.host.outputs == 0);
}

const unit_test node_tests[] = {
    TEST(init_refuses_a_config_with_a_hole),
    TEST(configure_refuses_what_the_board_has_no_room_for),
    TEST(the_longest_names_fit),
    TEST(the_watchdog_guards_every_call_and_nothing_else),
    TEST(a_trap_closes_the_valve_and_stops_the_guest),
    TEST(a_trap_during_calibration_stops_the_guest_too),
    TEST(the_lease_closes_the_valve_once_and_across_a_wrap_of_the_clock),
    TEST(a_time_that_no_sum_can_hold_is_refused),
    TEST(time_with_the_valve_open_is_counted),
    TEST(only_time_that_passes_with_output_0_open_is_counted),
    TEST(time_open_is_counted_from_a_start_at_any_time),
    TEST(a_changed_pin_map_closes_the_pins_of_the_old_one),
    {NULL, NULL},
};
