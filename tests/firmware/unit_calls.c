/* What each host call answers, at the edges of its arguments, and leaves on the tape; and what a node
 * tells of a run. */
#include <string.h>

#include "bytes.h"
#include "unit.h"

/* What the tape gains: the call and its numbers, written by hand after the table in guest/tape.py. */
static bool taped(uint32_t at, uint8_t call, int count, int32_t a, int32_t b, int32_t c)
{
    const int32_t numbers[] = {a, b, c};
    const lv_tape *tape = &f.node.host.tape;
    if (tape->length != at + 1 + 4 * (uint32_t)count || tape->bytes[at] != call)
        return false;
    for (int k = 0; k < count; k++)
        if ((int32_t)lv_get32(tape->bytes + at + 1 + 4 * k) != numbers[k])
            return false;
    return true;
}

static lv_host *begin(uint32_t calls, uint32_t log_bytes, uint32_t publish_bytes)
{
    lv_msg_configure m = limits(calls, log_bytes, publish_bytes);
    const int32_t counts[3] = {11, 22, 33};
    memcpy(m.counts, counts, sizeof counts);
    ready();
    (void)lv_node_configure(&f.node, &m);
    lv_tape_clear(&f.node.host.tape);
    lv_host_begin(&f.node.host, 5000, 1);
    f.node.host.online = true;
    return &f.node.host;
}

static void a_sensor_or_a_key_beyond_the_last_is_invalid(void)
{
    static const int32_t beyond[] = {-1, INT32_MIN, INT32_MAX};
    lv_host *h = begin(100, 0, 0);
    const int32_t readings[4] = {41, 42, 43, -2};
    memcpy(h->readings, readings, sizeof readings);
    for (int k = 0; k < 4; k++) {
        uint32_t at = h->tape.length;
        EXPECT(lv_call_read_sensor(h, k) == readings[k] && taped(at, 1, 2, k, readings[k], 0));
        EXPECT(lv_call_read_sensor(h, k) == readings[k]); /* no pulses were counted: no 0 */
    }
    for (int k = 0; k < 3; k++) {
        uint32_t at = h->tape.length;
        EXPECT(lv_call_get_config(h, k) == 11 * (k + 1) && taped(at, 3, 2, k, 11 * (k + 1), 0));
        EXPECT(lv_call_get_config(h, beyond[k]) == LV_RESULT_INVALID);
        EXPECT(lv_call_read_sensor(h, beyond[k]) == LV_RESULT_INVALID);
    }
    EXPECT(lv_call_get_config(h, 3) == LV_RESULT_INVALID);
    EXPECT(lv_call_read_sensor(h, LV_SENSORS) == LV_RESULT_INVALID);
    h->readings[LV_SENSOR_FLOW] = 0;
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_FLOW) == 0);
    h->readings[LV_SENSOR_FLOW] = 9; /* it was read in this run */
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_FLOW) == 0);
}

/* A step with rain and reference ET as they come over the wire, each beside its kind. */
static void inject(lv_host *h, int32_t tips, int32_t et0)
{
    uint8_t body[16];
    lv_msg_step m = {.readings = {1, 2, 3, 4}, .further = body, .further_count = 2};
    lv_put32(body, LV_SENSOR_RAIN);
    lv_put32(body + 4, (uint32_t)tips);
    lv_put32(body + 8, LV_SENSOR_ET0);
    lv_put32(body + 12, (uint32_t)et0);
    EXPECT(lv_host_has_sensors(&m));
    lv_host_inject(h, &m);
}

static void what_a_run_does_not_ask_for_is_left_to_the_next(void)
{
    lv_host *h = begin(100, 0, 0);
    inject(h, 3, 50);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_FORECAST) == LV_RESULT_UNAVAILABLE);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_RAIN) == 3);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_RAIN) == 0);
    inject(h, 2, INT32_MAX);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_RAIN) == 2);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_ET0) == INT32_MAX); /* 50 more do not fit */
    inject(h, 1, LV_RESULT_UNAVAILABLE);
    inject(h, LV_RESULT_UNAVAILABLE, 7);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_RAIN) == LV_RESULT_UNAVAILABLE);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_ET0) == 7);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_FLOW) == 4);
    inject(h, 3, 0);
    inject(h, 0, 0); /* no more has come, and nobody has asked for the three */
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_RAIN) == 3);
    EXPECT(lv_call_read_sensor(h, LV_SENSOR_ET0) == 0);
}

static void a_step_tells_of_sensors_that_there_are(void)
{
    uint8_t body[8] = {0};
    const lv_msg_step m = {.further = body, .further_count = 1};
    static const int32_t wrong[] = {-1, INT32_MIN, LV_SENSOR_FLOW, LV_SENSORS, INT32_MAX};
    (void)begin(100, 0, 0);
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        lv_put32(body, (uint32_t)wrong[k]);
        EXPECT(!lv_host_has_sensors(&m));
    }
    lv_put32(body, LV_SENSOR_FORECAST);
    EXPECT(lv_host_has_sensors(&m));
}

static void each_of_two_outputs_has_its_own_bit(void)
{
    lv_msg_step_result m;
    lv_host *h = begin(100, 0, 0);
    uint32_t at = h->tape.length;
    lv_call_set_output(h, 18, 1);
    EXPECT(taped(at, 2, 2, 18, 1, 0));
    EXPECT(h->outputs == 2 && h->ever_set == 2 && f.pins[18] == 1 && f.pins[23] == 0);
    lv_call_set_output(h, 23, -7);
    EXPECT(h->outputs == 3 && h->ever_set == 3 && f.pins[18] == 1 && f.pins[23] == 1);
    lv_call_set_output(h, 18, 0);
    EXPECT(h->outputs == 1 && h->ever_set == 3 && f.pins[18] == 0 && f.pins[23] == 1);
    at = h->tape.length;
    lv_call_set_output(h, 5, 1); /* no output, and still on the tape */
    EXPECT(h->outputs == 1 && f.pins[5] == 0 && taped(at, 2, 2, 5, 1, 0));
    lv_node_result(&f.node, &m);
    EXPECT(m.outputs == 1 && m.ever_set == 3 && m.host_calls == 4);
    EXPECT(m.tape_bytes == h->tape.length);
    lv_host_close_outputs(h);
    EXPECT(h->outputs == 0 && f.pins[23] == 0 && h->ever_set == 3);
}

static void the_last_of_all_pins_is_one(void)
{
    lv_msg_configure m = limits(10, 0, 0);
    lv_host *h = begin(10, 0, 0);
    m.pin_count = LV_PINS;
    for (int k = 0; k < LV_PINS; k++)
        m.pins[k] = (uint8_t)(100 + k);
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    lv_call_set_output(h, 100 + LV_PINS - 1, 1);
    EXPECT(h->outputs == 0x8000 && h->ever_set == 0x8000 && f.pins[115] == 1);
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK && h->outputs == 0x8000); /* the same map */
    m.pin_count = LV_PINS - 1;
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    EXPECT(h->outputs == 0 && h->ever_set == 0 && f.pins[115] == 0);
    EXPECT(h->pin_count == LV_PINS - 1);
}

static void budgets_are_spent_to_the_last_byte_and_call(void)
{
    lv_host *h = begin(2, 0, 0);
    EXPECT(lv_call_now_s(h) == 5 && lv_call_now_s(h) == 5 && h->trap == 0);
    EXPECT(lv_call_now_s(h) == 0 && h->trap == LV_TRAP_HOST_CALLS && h->trap_call == LV_CALL_NOW_S);
    EXPECT(h->total_calls == 3);
    h = begin(10, 9, 0);
    lv_call_log_int(h, 1);
    lv_call_wasm_log(h, text("abcde"));
    EXPECT(h->trap == 0 && h->logged == 9);
    lv_call_log_int(h, 1);
    EXPECT(h->trap == LV_TRAP_LOG_BYTES && h->trap_call == LV_CALL_LOG_INT);
    lv_host_begin(h, 5000, 1);
    EXPECT(h->trap == 0 && h->trap_call == 0 && h->logged == 0 && h->calls == 0);
    lv_call_log_int(h, 1);
    EXPECT(h->trap == 0 && h->calls == 1);
    h = begin(10, 0, 5);
    EXPECT(lv_call_mqtt_publish(h, text("t"), text("abcd")) == LV_RESULT_OK);
    EXPECT(h->published == 5 && h->total_published == 5);
    EXPECT(lv_call_mqtt_publish(h, text("t"), text("")) == 0);
    EXPECT(h->trap == LV_TRAP_PUBLISH_BYTES && h->total_published == 5);
    lv_host_renew_budget(h);
    EXPECT(h->published == 0 && h->calls == 0);
}

static void a_budget_is_taken_if_the_tape_of_a_whole_run_fits_and_not_with_one_byte_less(void)
{
    lv_msg_configure m = limits(7, 11, 13);
    /* BOOT 9, STEP 10, RETURN 5, TRAP 2; KEEP_SET, the longest call, 13 */
    EXPECT(lv_host_tape_room(&m) == 9 + 10 + 5 + 2 + 7 * 13 + 11 + 13);
    m.host_calls = UINT32_MAX;
    EXPECT(lv_host_tape_room(&m) == 26 + UINT64_C(13) * UINT32_MAX + 11 + 13);
    ready();
    m = limits(7, 11, 13);
    f.node.host.tape.capacity = 141;
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    f.node.host.tape.capacity = 140;
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_SIZE && f.node.detail == 140);
    f.node.host.tape.capacity = 141;
    lv_host *h = &f.node.host;
    lv_tape_clear(&h->tape);
    lv_tape_boot(&h->tape, 0);
    lv_host_begin(h, 0, 1);
    for (int k = 0; k < 5; k++)
        (void)lv_call_keep_set(h, 0, k);
    lv_call_wasm_log(h, text("01234567890"));
    (void)lv_call_mqtt_publish(h, text("t"), text("0123456789ab"));
    lv_tape_numbers(&h->tape, LV_CALL_RETURN, 1, 0, 0, 0);
    lv_tape_trap(&h->tape, 1);
    EXPECT(h->trap == 0 && !h->tape.full && h->tape.length <= 141);
}

static void a_publication_is_kept_online_or_not_and_refused_at_its_limits(void)
{
    static char long_text[LV_MESSAGE_BYTES + 2];
    uint8_t out[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic;
    uint16_t length;
    lv_host *h = begin(100, 0, 4000);
    lv_text broken = text("b");
    (void)lv_call_delay_ms(h, 250);
    EXPECT(lv_call_mqtt_publish(h, text("t"), text("on")) == LV_RESULT_OK);
    EXPECT(lv_ring_peek(h->ring, 0, &time_ms, &topic, &length, out) == 1);
    EXPECT(time_ms == 5250 && topic == 1 && length == 3 && memcmp(out, "ton", 3) == 0);
    h->online = false;
    EXPECT(lv_call_mqtt_publish(h, text("t"), text("off")) == LV_RESULT_OFFLINE);
    EXPECT(h->ring->waiting == 2);
    EXPECT(lv_call_mqtt_publish(h, text("t"), text("\xff")) == LV_RESULT_REFUSED);
    EXPECT(lv_call_mqtt_publish(h, text("#"), text("x")) == LV_RESULT_REFUSED);
    memset(long_text, 'm', LV_MESSAGE_BYTES + 1);
    EXPECT(lv_call_mqtt_publish(h, text("t"), text(long_text)) == LV_RESULT_REFUSED);
    EXPECT(h->ring->waiting == 2 && h->trap == 0);
    h->online = true;
    long_text[LV_MESSAGE_BYTES] = 0;
    uint32_t at = h->tape.length;
    EXPECT(lv_call_mqtt_publish(h, text("t"), text(long_text)) == LV_RESULT_OK);
    EXPECT(h->tape.length == at + 9 + 1 + LV_MESSAGE_BYTES && h->tape.bytes[at] == 4);
    EXPECT(lv_get32(h->tape.bytes + h->tape.length - 4) == 0);
    broken.valid = false;
    EXPECT(lv_call_mqtt_publish(h, text("t"), broken) == 0 && h->trap == LV_TRAP_POINTER);
    h->trap = 0;
    EXPECT(lv_call_mqtt_publish(h, broken, text("t")) == 0 && h->trap == LV_TRAP_POINTER);
    EXPECT(h->trap_call == LV_CALL_MQTT_PUBLISH);
}

static void a_log_is_cut_to_its_limit(void)
{
    static char line[LV_LOG_BYTES + 5];
    lv_host *h = begin(100, 1000, 0);
    uint32_t at = h->tape.length;
    memset(line, 'l', LV_LOG_BYTES + 4);
    lv_call_wasm_log(h, text(line));
    EXPECT(h->logged == LV_LOG_BYTES && h->tape.length == at + 3 + LV_LOG_BYTES);
    EXPECT(h->tape.bytes[at] == 5 && lv_get16(h->tape.bytes + at + 1) == LV_LOG_BYTES);
    at = h->tape.length;
    lv_call_log_int(h, -9);
    EXPECT(taped(at, 6, 1, -9, 0, 0));
}

static void a_delay_lets_time_pass_and_hands_over_in_main_only(void)
{
    lv_host *h = begin(100, 0, 0);
    uint32_t at = h->tape.length;
    h->uptime_ms = 2000;
    EXPECT(lv_call_delay_ms(h, 1500) == LV_RESUME && taped(at, 7, 1, 1500, 0, 0));
    EXPECT(lv_call_delay_ms(h, -1) == LV_RESUME && lv_call_delay_ms(h, 0) == LV_RESUME);
    EXPECT(lv_call_delay_ms(h, 1) == LV_RESUME && h->delayed_ms == 1501 && f.pauses == 0);
    at = h->tape.length;
    EXPECT(lv_call_now_s(h) == 6 && taped(at, 8, 1, 6, 0, 0));
    at = h->tape.length;
    EXPECT(lv_call_uptime_s(h) == 3 && taped(at, 9, 1, 3, 0, 0));
    h->pausing = true;
    EXPECT(lv_call_delay_ms(h, 1) == LV_RESUME && f.pauses == 1);
    f.pause_result = -1;
    EXPECT(lv_call_delay_ms(h, 1) == LV_UNWIND && f.pauses == 2);
    lv_host_begin(h, 5000, 1);
    EXPECT(h->delayed_ms == 0);
}

static void what_is_kept_is_on_the_tape(void)
{
    lv_host *h = begin(100, 0, 0);
    for (int k = 0; k < LV_KEEP_SLOTS; k++) {
        uint32_t at = h->tape.length;
        EXPECT(lv_call_keep_set(h, k, 100 + k) == 0 && taped(at, 11, 3, k, 100 + k, 0));
        at = h->tape.length;
        EXPECT(lv_call_keep_get(h, k) == 100 + k && taped(at, 10, 2, k, 100 + k, 0));
    }
    EXPECT(h->kept->changed);
    lv_kept_forget(h->kept);
    for (int k = 0; k < LV_KEEP_SLOTS; k++)
        EXPECT(lv_call_keep_get(h, k) == 0);
}

static void a_call_that_is_denied_or_too_many_answers_0(void)
{
    for (int denied = 0; denied < 2; denied++) {
        lv_msg_configure m = limits(0, 100, 100);
        lv_host *h = begin(0, 100, 100);
        m.imports = denied ? 0 : 0xFFE;
        (void)lv_node_configure(&f.node, &m);
        uint32_t length = h->tape.length;
        uint8_t trap = denied ? LV_TRAP_DENIED : LV_TRAP_HOST_CALLS;
#define STOPPED(call, number)                                                                      \
    h->trap = h->trap_call = 0;                                                                    \
    EXPECT(call && h->trap == trap && h->trap_call == number)
        STOPPED(lv_call_read_sensor(h, 0) == 0, LV_CALL_READ_SENSOR);
        STOPPED((lv_call_set_output(h, 23, 1), f.pins[23] == 0), LV_CALL_SET_OUTPUT);
        STOPPED(lv_call_get_config(h, 0) == 0, LV_CALL_GET_CONFIG);
        STOPPED(lv_call_mqtt_publish(h, text("t"), text("m")) == 0, LV_CALL_MQTT_PUBLISH);
        STOPPED((lv_call_wasm_log(h, text("l")), true), LV_CALL_WASM_LOG);
        STOPPED((lv_call_log_int(h, 1), true), LV_CALL_LOG_INT);
        STOPPED(lv_call_delay_ms(h, 1) == LV_RESUME, LV_CALL_DELAY_MS);
        STOPPED(lv_call_now_s(h) == 0, LV_CALL_NOW_S);
        STOPPED(lv_call_uptime_s(h) == 0, LV_CALL_UPTIME_S);
        STOPPED(lv_call_keep_get(h, 0) == 0, LV_CALL_KEEP_GET);
        STOPPED(lv_call_keep_set(h, 0, 1) == 0, LV_CALL_KEEP_SET);
        EXPECT(h->tape.length == length && h->ring->waiting == 0 && h->kept->values[0] == 0);
    }
}

const unit_test calls_tests[] = {
    TEST(a_sensor_or_a_key_beyond_the_last_is_invalid),
    TEST(what_a_run_does_not_ask_for_is_left_to_the_next),
    TEST(a_step_tells_of_sensors_that_there_are),
    TEST(each_of_two_outputs_has_its_own_bit),
    TEST(the_last_of_all_pins_is_one),
    TEST(budgets_are_spent_to_the_last_byte_and_call),
    TEST(a_budget_is_taken_if_the_tape_of_a_whole_run_fits_and_not_with_one_byte_less),
    TEST(a_publication_is_kept_online_or_not_and_refused_at_its_limits),
    TEST(a_log_is_cut_to_its_limit),
    TEST(a_delay_lets_time_pass_and_hands_over_in_main_only),
    TEST(what_is_kept_is_on_the_tape),
    TEST(a_call_that_is_denied_or_too_many_answers_0),
    {NULL, NULL},
};
