/* What a node does with its guest: how it is loaded and run within its budgets, what is kept and put
 * back, and how it is let go. */
#include <string.h>

#include "unit.h"

static void init_makes_a_node_whatever_was_in_its_memory(void)
{
    lv_msg_step_result r;
    fake_new(&f);
    memset(&f.node, 0xA5, sizeof f.node);
    fake_boot(&f);
    EXPECT(f.node.state == LV_NODE_IDLE && !f.node.command && !f.node.finished);
    EXPECT(f.node.steps == 0 && f.node.open_ms == 0 && f.node.total_active_us == 0);
    EXPECT(f.node.host.total_calls == 0 && f.node.host.total_published == 0);
    lv_node_result(&f.node, &r);
    EXPECT(r.trap == 0 && r.trap_call == 0 && r.flags == 0 && r.outputs == 0 && r.ever_set == 0);
    EXPECT(r.wake_ms == LV_NEVER_MS && r.host_calls == 0 && r.active_us == 0 && r.tape_bytes == 0);
    EXPECT(f.node.heard_ms == 0 && f.node.host.readings[0] == 0 && f.node.host.time_ms == 0);
    EXPECT(step(1000) == LV_NAK_NO_GUEST);
}

static void budgets_are_taken_whose_tape_just_fits(void)
{
    ready();
    /* 26 + 13 * 100 calls + 2000 + 4866 = 8192 */
    lv_msg_configure m = limits(100, 2000, 4866);
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK && f.node.host.publish_limit == 4866);
    m = limits(100, 2000, 4867);
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_SIZE && f.node.detail == 8192);
    EXPECT(f.node.host.publish_limit == 4866); /* refused, nothing changes */
    m = limits(1, 1, 1);
    m.memory_pages = 0;
    f.node.detail = 0;
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 6);
}

static int calls_made; /* by each call of the guest */

static int make_calls(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)which;
    (void)arguments;
    (void)result;
    for (int k = 0; k < calls_made; k++)
        lv_call_log_int(of->host, k);
    return 0; /* as an engine that does not look at what the host has stopped */
}

static void every_call_of_the_guest_has_the_whole_budget_and_no_more(void)
{
    static const uint8_t pairs[16] = {2, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 8};
    const lv_msg_start s = {.time_ms = 1000, .parameters = pairs, .parameters_count = 2};
    const lv_msg_configure m = limits(3, 12, 1);
    int32_t value;
    ready();
    f.behave = make_calls;
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    for (calls_made = 2; calls_made <= 3; calls_made++) {
        EXPECT(lv_node_start(&f.node, &s) == LV_OK && f.node.state == LV_NODE_RUNNING);
        EXPECT(f.parameters[2] == 9 && f.parameters[3] == 8);
        for (int k = 0; k < 3; k++) {
            EXPECT(lv_node_get(&f.node, 2, &value) == LV_OK && value == 9);
            EXPECT(step(2000) == LV_OK && f.node.state == LV_NODE_RUNNING);
            EXPECT(f.node.host.calls == (uint32_t)calls_made);
        }
    }
    calls_made = 4;
    EXPECT(step(3000) == LV_OK && f.node.state == LV_NODE_STOPPED);
    EXPECT(f.node.trap == LV_TRAP_HOST_CALLS && f.node.host.trap_call == LV_CALL_LOG_INT);
    EXPECT(step(4000) == LV_NAK_STOPPED && f.node.detail == LV_TRAP_HOST_CALLS);
    calls_made = 0; /* the next start knows nothing of it */
    EXPECT(start() == LV_OK && f.node.trap == LV_TRAP_NONE && f.node.host.trap_call == 0);
    calls_made = 4;
    EXPECT(lv_node_get(&f.node, 2, &value) == LV_NAK_STOPPED && f.node.detail == LV_TRAP_HOST_CALLS);
}

static int log_and_pause(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_MAIN || which == LV_EXPORT_PARAM_GET)
        lv_call_log_int(of->host, 1);
    return which == LV_EXPORT_MAIN ? LV_GUEST_PAUSED : 0;
}

/* LOG_INT takes 5 bytes, and STEP before it 10. */
static void a_call_that_has_no_room_on_the_tape_stops_the_guest_wherever_it_is_made(void)
{
    for (uint32_t room = 4; room <= 5; room++) {
        int32_t value;
        ready();
        f.behave = log_and_pause;
        EXPECT(start() == LV_OK);
        lv_tape_clear(&f.node.host.tape);
        f.node.host.tape.capacity = room;
        lv_status status = lv_node_get(&f.node, 2, &value);
        EXPECT(status == (room == 5 ? LV_OK : LV_NAK_STOPPED));
        EXPECT(f.node.trap == (room == 5 ? LV_TRAP_NONE : LV_TRAP_OTHER));

        ready();
        memset(f.has, 0, sizeof f.has);
        f.has[LV_EXPORT_MAIN] = true;
        f.behave = log_and_pause;
        EXPECT(start() == LV_OK);
        f.node.host.tape.capacity = 10 + room;
        EXPECT(step(2000) == LV_OK);
        EXPECT(f.node.state == (room == 5 ? LV_NODE_RUNNING : LV_NODE_STOPPED));
        EXPECT(f.node.trap == (room == 5 ? LV_TRAP_NONE : LV_TRAP_OTHER));
    }
}

static int keep_and_open(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_STEP) {
        lv_call_keep_set(of->host, 1, lv_call_keep_get(of->host, 1) + 1);
        lv_call_set_output(of->host, 23, of->parameters[0] != 10);
    }
    return 0;
}

static bool kept_by(int64_t uptime_ms, uint32_t writes)
{
    const lv_msg_step m = {.time_ms = 1000 + uptime_ms, .uptime_ms = uptime_ms};
    return lv_node_step(&f.node, &m) == LV_OK && f.node.kept.writes == writes;
}

static void what_a_guest_keeps_is_written_in_time_when_its_outputs_change_and_at_its_end(void)
{
    fake_new(&f);
    f.config.keep_every_ms = 60000;
    fake_boot(&f);
    EXPECT(fake_install(&f, old_guest, sizeof old_guest) == LV_OK);
    f.behave = keep_and_open;
    EXPECT(start() == LV_OK && f.node.kept.writes == 0);
    EXPECT(kept_by(1000, 1) && kept_by(2000, 1) && kept_by(60999, 1) && kept_by(61000, 2));
    f.parameters[0] = 50;
    EXPECT(kept_by(62000, 3)); /* the valve opens */
    EXPECT(kept_by(63000, 3));
    f.parameters[0] = 10;
    EXPECT(kept_by(64000, 4)); /* and closes */
    EXPECT(kept_by(65000, 4));
    lv_node_close(&f.node);
    EXPECT(f.node.kept.writes == 5);
    EXPECT(start() == LV_OK && f.node.kept.values[1] == 8);
    EXPECT(kept_by(1000, 6) && kept_by(2000, 6));
    EXPECT(start() == LV_OK && f.node.kept.writes == 7); /* what the run before has left */
    EXPECT(kept_by(59999, 7) && kept_by(60000, 8) && kept_by(61000, 8));
    f.has[LV_EXPORT_STEP] = false;
    f.has[LV_EXPORT_MAIN] = true;
    EXPECT(start() == LV_OK && f.node.command && f.node.kept.writes == 9); /* before its main runs */
}

static uint32_t armed_ms;

static int look_at_watchdog(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)which;
    (void)arguments;
    (void)result;
    armed_ms = of->watchdog_ms;
    return 0;
}

static void the_watchdog_has_the_deadline_that_was_set_while_a_guest_is_loaded_and_runs(void)
{
    lv_msg_configure m = limits(10, 10, 10);
    m.deadline_ms = 1234;
    ready();
    f.behave = look_at_watchdog;
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK && start() == LV_OK);
    EXPECT(f.load_watchdog_ms == 1234 && armed_ms == 1234 && f.watchdog_ms == 0);
    armed_ms = 0;
    EXPECT(step(2000) == LV_OK && armed_ms == 1234 && f.watchdog_ms == 0);
    f.load_result = -1;
    EXPECT(start() == LV_NAK_LOAD && f.watchdog_ms == 0);
}

static void without_a_clock_nothing_is_measured(void)
{
    ready();
    f.config.clock_us = NULL;
    EXPECT(start() == LV_OK && step(2000) == LV_OK);
    EXPECT(f.node.active_us == 0 && f.node.total_active_us == 0);
}

static void to_close_ends_an_installation_that_has_begun(void)
{
    static const uint8_t digest[32] = {1};
    ready();
    EXPECT(lv_store_begin(&f.node.store, 100, digest) == LV_OK && f.node.store.receiving);
    EXPECT(lv_store_chunk(&f.node.store, 0, new_guest, 50) == LV_OK);
    lv_node_close(&f.node);
    EXPECT(lv_store_chunk(&f.node.store, 50, new_guest, 50) == LV_NAK_STATE);
    EXPECT(f.node.store.received == 0);
}

static void without_a_lease_or_with_nothing_open_none_ends(void)
{
    lv_msg_configure m = limits(10, 10, 10);
    ready();
    f.behave = open_valve;
    EXPECT(start() == LV_OK && step(2000) == LV_OK);
    lv_node_heard(&f.node, 0);
    lv_node_tick(&f.node, 1);
    lv_node_tick(&f.node, UINT32_MAX);
    EXPECT(f.pins[23] == 1 && !f.node.lease_expired);
    m.lease_ms = 1000;
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    lv_host_close_outputs(&f.node.host);
    lv_node_tick(&f.node, 5000);
    EXPECT(!lv_node_told_of_lease(&f.node));
    lv_call_set_output(&f.node.host, 18, 1); /* any output */
    lv_node_tick(&f.node, 5000);
    EXPECT(f.pins[18] == 0 && lv_node_told_of_lease(&f.node) && !lv_node_told_of_lease(&f.node));
}

static void what_does_not_load_leaves_an_empty_tape_and_any_trap_of_loading_is_told(void)
{
    lv_msg_step_result r;
    ready();
    f.load_result = -3;
    EXPECT(start() == LV_NAK_LOAD && f.node.detail == -3 && f.node.host.tape.length == 0);
    for (int trap = 1; trap <= LV_TRAP_OTHER; trap++) {
        ready();
        f.load_result = trap;
        EXPECT(start() == LV_OK && f.node.state == LV_NODE_STOPPED && !f.loaded);
        lv_node_result(&f.node, &r);
        EXPECT(r.trap == trap && r.tape_bytes == 9 + 2); /* BOOT, TRAP */
    }
}

static void a_guest_without_init_or_without_step_is_run_by_its_main(void)
{
    for (int k = 0; k < 4; k++) {
        bool init = k & 1;
        bool with_step = k & 2;
        ready();
        f.has[LV_EXPORT_INIT] = init;
        f.has[LV_EXPORT_STEP] = with_step;
        EXPECT(start() == (init && with_step ? LV_OK : LV_NAK_LOAD));
        f.has[LV_EXPORT_MAIN] = true;
        EXPECT(start() == LV_OK && f.node.command == !(init && with_step));
        const lv_msg_calibrate none = {.parameters_count = 0};
        EXPECT(lv_node_calibrate(&f.node, &none) == LV_OK);
    }
}

static const uint8_t two_values[16] = {2, 0, 0, 0, 33, 0, 0, 0, 3, 0, 0, 0, 44};

static void a_calibration_that_flash_does_not_take_is_put_back(void)
{
    lv_msg_calibrate m = {.flags = 1, .parameters = two_values, .parameters_count = 2};
    ready();
    EXPECT(start() == LV_OK);
    f.flash_broken = true;
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_NAK_FLASH);
    EXPECT(f.parameters[2] == 10 && f.parameters[3] == 10 && f.node.store.parameter_count == 0);
    EXPECT(f.node.host.tape.length == 4 * 13); /* two set, the last first put back */
    EXPECT(f.node.host.tape.bytes[2 * 13 + 1] == 3 && f.node.host.tape.bytes[3 * 13 + 1] == 2);
    f.flash_broken = false;
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_OK && f.node.store.parameter_count == 2);
    EXPECT(f.parameters[2] == 33 && f.parameters[3] == 44);
}

static int gets_before_trap;

static int trap_in_get(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)of;
    (void)arguments;
    (void)result;
    return which == LV_EXPORT_PARAM_GET && gets_before_trap-- == 0 ? LV_TRAP_UNREACHABLE : 0;
}

static void a_guest_that_traps_while_it_is_asked_or_put_back_is_left_alone(void)
{
    static const uint8_t refused[16] = {2, 0, 0, 0, 33, 0, 0, 0, 3, 0, 0, 0, 101};
    const lv_msg_calibrate m = {.parameters = refused, .parameters_count = 2};
    for (int gets = 0; gets < 4; gets++) {
        ready();
        f.behave = trap_in_get;
        gets_before_trap = gets;
        EXPECT(start() == LV_OK);
        EXPECT(lv_node_calibrate(&f.node, &m) == (gets < 2 ? LV_NAK_STOPPED : LV_NAK_PARAMETER));
        EXPECT(f.node.detail == (gets < 2 ? (int)LV_TRAP_UNREACHABLE : 3));
        EXPECT(f.node.state == LV_NODE_STOPPED && f.node.trap == LV_TRAP_UNREACHABLE);
    }
}

static void a_module_that_is_not_taken_must_be_sent_again(void)
{
    static const uint8_t digest[32] = {1}; /* not its own */
    uint8_t digest_of_100[32];
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, new_guest, 100);
    lv_sha256_end(&sha, digest_of_100);
    ready();
    EXPECT(start() == LV_OK);
    EXPECT(lv_store_begin(&f.node.store, 100, digest) == LV_OK);
    EXPECT(lv_store_chunk(&f.node.store, 0, new_guest, 100) == LV_OK);
    EXPECT(lv_node_install(&f.node) == LV_NAK_DIGEST && !f.node.store.receiving);
    f.load_result = -7;
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == LV_NAK_LOAD && f.node.detail == -7);
    EXPECT(!f.node.store.receiving && f.node.state == LV_NODE_RUNNING);
    EXPECT(lv_node_install(&f.node) == LV_NAK_STATE && f.node.detail == 0);
    f.load_result = 0;
    EXPECT(lv_store_begin(&f.node.store, 100, digest_of_100) == LV_OK);
    EXPECT(lv_store_chunk(&f.node.store, 0, new_guest, 100) == LV_OK);
    f.flash_broken = true;
    f.node.detail = 7;
    EXPECT(lv_node_install(&f.node) == LV_NAK_FLASH && f.node.detail == 0);
    EXPECT(f.node.state == LV_NODE_RUNNING && f.loaded);
    f.flash_broken = false;
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == LV_OK && f.node.state == LV_NODE_IDLE);
}

static void a_main_that_returns_without_room_on_the_tape_is_stopped(void)
{
    for (uint32_t room = 14; room <= 15; room++) { /* STEP and RETURN */
        ready();
        memset(f.has, 0, sizeof f.has);
        f.has[LV_EXPORT_MAIN] = true;
        EXPECT(start() == LV_OK);
        f.node.host.tape.capacity = room;
        EXPECT(step(2000) == LV_OK && f.node.finished == (room == 15));
        EXPECT(f.node.state == (room == 15 ? LV_NODE_RUNNING : LV_NODE_STOPPED));
        EXPECT(f.node.wake_ms == LV_NEVER_MS && f.node.active_us == 7);
    }
}

const unit_test guest_tests[] = {
    TEST(init_makes_a_node_whatever_was_in_its_memory),
    TEST(budgets_are_taken_whose_tape_just_fits),
    TEST(every_call_of_the_guest_has_the_whole_budget_and_no_more),
    TEST(a_call_that_has_no_room_on_the_tape_stops_the_guest_wherever_it_is_made),
    TEST(what_a_guest_keeps_is_written_in_time_when_its_outputs_change_and_at_its_end),
    TEST(the_watchdog_has_the_deadline_that_was_set_while_a_guest_is_loaded_and_runs),
    TEST(without_a_clock_nothing_is_measured),
    TEST(to_close_ends_an_installation_that_has_begun),
    TEST(without_a_lease_or_with_nothing_open_none_ends),
    TEST(what_does_not_load_leaves_an_empty_tape_and_any_trap_of_loading_is_told),
    TEST(a_guest_without_init_or_without_step_is_run_by_its_main),
    TEST(a_calibration_that_flash_does_not_take_is_put_back),
    TEST(a_guest_that_traps_while_it_is_asked_or_put_back_is_left_alone),
    TEST(a_module_that_is_not_taken_must_be_sent_again),
    TEST(a_main_that_returns_without_room_on_the_tape_is_stopped),
    {NULL, NULL},
};
