/* The host calls. */
#include "unit.h"

static void checks_come_in_the_order_of_the_abi(void)
{
    ready();
    lv_host *h = &f.node.host;
    lv_text invalid = {0};
    lv_msg_configure m = limits(0, 0, 0);
    m.imports = 0;
    lv_node_configure(&f.node, &m);
    lv_host_begin(h, 0, 1);
    lv_call_wasm_log(h, invalid); /* everything is wrong: the profile comes first */
    EXPECT(h->trap == LV_TRAP_DENIED && h->trap_call == LV_CALL_WASM_LOG);
    m.imports = 0x1FE;
    lv_node_configure(&f.node, &m);
    lv_host_begin(h, 0, 1);
    lv_call_wasm_log(h, invalid); /* then the number of calls */
    EXPECT(h->trap == LV_TRAP_HOST_CALLS);
    m.host_calls = 10;
    lv_node_configure(&f.node, &m);
    lv_host_begin(h, 0, 1);
    lv_call_wasm_log(h, invalid); /* then the pointer */
    EXPECT(h->trap == LV_TRAP_POINTER);
    lv_host_begin(h, 0, 1);
    lv_call_wasm_log(h, text("x")); /* then the bytes */
    EXPECT(h->trap == LV_TRAP_LOG_BYTES);
    m.publish_bytes = 4;
    lv_node_configure(&f.node, &m);
    lv_host_begin(h, 0, 1);
    EXPECT(lv_call_mqtt_publish(h, text("#"), text("ab")) == LV_RESULT_REFUSED); /* then values */
    EXPECT(h->trap == 0);
    lv_call_mqtt_publish(h, text("a"), text("b"));
    EXPECT(h->trap == LV_TRAP_PUBLISH_BYTES);
}

static void a_call_that_stops_the_guest_leaves_no_record(void)
{
    ready();
    lv_host *h = &f.node.host;
    lv_msg_configure m = limits(1, 100, 100);
    lv_node_configure(&f.node, &m);
    lv_tape_clear(&h->tape);
    lv_call_log_int(h, 1);
    uint32_t length = h->tape.length;
    lv_call_log_int(h, 2);
    EXPECT(h->trap == LV_TRAP_HOST_CALLS && h->tape.length == length);
}

static void flow_counts_pulses_since_the_last_read(void)
{
    ready();
    start();
    step(2000);
    lv_host *h = &f.node.host;
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_FLOW) == 4);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_FLOW) == 0);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_BATTERY) == 3);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_BATTERY) == 3);
}

static void seconds_are_those_before_1970_too_and_wrap(void)
{
    ready();
    lv_host *h = &f.node.host;
    lv_host_begin(h, -1, 1);
    EXPECT(lv_call_now_s(h) == -1);
    lv_host_begin(h, INT64_C(2147483648000), 1); /* January 2038 */
    EXPECT(lv_call_now_s(h) == INT32_MIN);
}

static void a_tape_that_is_full_stops_the_guest(void)
{
    ready();
    start();
    f.node.host.tape.capacity = 8; /* as if a budget check had been wrong */
    step(2000);
    EXPECT(f.node.state == LV_NODE_STOPPED && f.node.trap == LV_TRAP_OTHER);
    EXPECT(f.node.host.tape.length <= 8);
}

static void what_was_wished_while_outputs_were_held_is_driven_pin_by_pin(void)
{
    ready();
    lv_host *h = &f.node.host;
    lv_msg_configure m = limits(100, 100, 100);
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    lv_call_set_output(h, 18, 1);
    lv_host_hold_outputs(h);
    EXPECT(f.pins[23] == 0 && f.pins[18] == 0 && h->outputs == 0);
    int writes = f.pin_writes;
    lv_call_set_output(h, 23, 1);
    lv_call_set_output(h, 18, 1);
    EXPECT(f.pin_writes == writes);
    lv_host_release_outputs(h);
    EXPECT(f.pins[23] == 1 && f.pins[18] == 1 && f.pin_writes == writes + 2 && h->outputs == 3);
    lv_host_hold_outputs(h);
    lv_call_set_output(h, 18, 1);
    lv_host_release_outputs(h);
    EXPECT(f.pins[23] == 0 && f.pins[18] == 1 && h->outputs == 2);
}

const unit_test host_tests[] = {
    TEST(checks_come_in_the_order_of_the_abi),
    TEST(a_call_that_stops_the_guest_leaves_no_record),
    TEST(flow_counts_pulses_since_the_last_read),
    TEST(seconds_are_those_before_1970_too_and_wrap),
    TEST(a_tape_that_is_full_stops_the_guest),
    TEST(what_was_wished_while_outputs_were_held_is_driven_pin_by_pin),
    {NULL, NULL},
};
