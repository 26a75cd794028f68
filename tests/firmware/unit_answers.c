/* The answer to each request, byte by byte after the tables of docs/wire.md, and what it has done. */
#include <string.h>

#include "bytes.h"
#include "unit.h"

static uint16_t number; /* of the last request */
static const uint8_t *answer;
static uint16_t answer_length;

static int ask(uint8_t type, const void *body, size_t length)
{
    answer_length = 0;
    return fake_ask(&f, type, ++number, body, length, &answer, &answer_length);
}

static bool refused(uint8_t type, const void *body, size_t length, lv_status status, int32_t detail)
{
    return ask(type, body, length) == LV_MSG_NAK && answer_length == 6 && answer[0] == status &&
           answer[1] == type && (int32_t)lv_get32(answer + 2) == detail;
}

static bool acknowledged(uint8_t type, const void *body, size_t length, uint32_t value)
{
    return ask(type, body, length) == LV_MSG_ACK && answer_length == 4 && lv_get32(answer) == value;
}

/* A board with the old guest, and a host of session 0x04030201. */
static void connect(void)
{
    static const uint8_t session[4] = {1, 2, 3, 4};
    ready();
    number = 100;
    (void)ask(LV_MSG_HELLO, session, 4);
}

static void start_with_answer(void)
{
    static const uint8_t body[9] = {0xE8, 3};
    connect();
    (void)ask(LV_MSG_START, body, sizeof body);
}

static void step_body(uint8_t *body, int64_t time_ms)
{
    const lv_msg_step m = {.time_ms = time_ms, .flags = LV_STEP_ONLINE, .readings = {1, 2, 3, 4}};
    (void)lv_msg_step_pack(&m, body);
}

enum { STEP_BYTES = 33 };

static void a_body_of_another_length_is_refused_by_every_request_and_does_nothing(void)
{
    static const uint8_t body[LV_MAX_BODY] = {0};
    static const struct {
        uint8_t type;
        uint16_t length; /* one that it has not */
    } wrong[] = {
        {LV_MSG_HELLO, 3},         {LV_MSG_HELLO, 5},          {LV_MSG_CONFIGURE, 106},
        {LV_MSG_START, 8},         {LV_MSG_START, 10},         {LV_MSG_STEP, 32},
        {LV_MSG_STEP, 34},         {LV_MSG_READ_TAPE, 3},      {LV_MSG_CALIBRATE, 0},
        {LV_MSG_CALIBRATE, 2},     {LV_MSG_GET_PARAMETER, 5},  {LV_MSG_INSTALL_BEGIN, 35},
        {LV_MSG_INSTALL_CHUNK, 3}, {LV_MSG_INSTALL_END, 1},    {LV_MSG_RESET, 1},
        {LV_MSG_CLOSE, 1},         {LV_MSG_GET_TELEMETRY, 1},  {LV_MSG_TELEMETRY_ACK, 7},
        {LV_MSG_FAULT, 9},         {LV_MSG_GET_STATISTICS, 1},
    };
    start_with_answer();
    lv_call_set_output(&f.node.host, 23, 1);
    lv_call_log_int(&f.node.host, 5);
    uint32_t tape = f.node.host.tape.length;
    uint32_t writes = f.node.store.writes;
    f.node.detail = 9;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        EXPECT(refused(wrong[k].type, body, wrong[k].length, LV_NAK_LENGTH, 0) ||
               wrong[k].type == LV_MSG_INSTALL_CHUNK); /* whose detail is what has come: 0 as well */
        EXPECT(answer[0] == LV_NAK_LENGTH && answer[1] == wrong[k].type);
        EXPECT(f.restarts == 0 && f.pins[23] == 1 && f.node.state == LV_NODE_RUNNING);
        EXPECT(f.node.host.tape.length == tape && f.node.store.writes == writes);
    }
    EXPECT(f.link.session_number == 0x04030201);
}

static void a_request_that_nobody_knows_is_refused_by_its_number(void)
{
    connect();
    for (int type = 0; type < 256; type++)
        if (type == 0 || type > LV_MSG_GET_UPDATE_STATUS) {
            f.node.detail = 77; /* of a refusal before */
            EXPECT(refused((uint8_t)type, NULL, 0, LV_NAK_UNKNOWN, 0));
        }
}

static void hello_is_answered_by_the_birth_of_its_session_however_often(void)
{
    static const uint8_t session[4] = {9, 8, 7, 6};
    start_with_answer();
    for (int again = 0; again < 2; again++) {
        f.node.lease_expired = true;
        EXPECT(fake_ask(&f, LV_MSG_HELLO, 40, session, 4, &answer, &answer_length) == LV_MSG_BIRTH);
        EXPECT(answer_length == 102 && lv_get32(answer) == 0x06070809);
        EXPECT(lv_get32(answer + 4) == f.node.store.boot_id && answer[8] == LV_ABI_VERSION);
        EXPECT(answer[9] == (LV_BIRTH_INSTALLED | LV_BIRTH_STARTED | LV_BIRTH_HEARTBEAT |
                             LV_BIRTH_UPDATES));
        EXPECT(lv_get32(answer + 14) == sizeof old_guest);
        EXPECT(!f.node.lease_expired && f.link.session_number == 0x06070809);
    }
    EXPECT(f.link.repeats == 0);
    /* its number is that of no answer that is kept: the next is 41 */
    EXPECT(fake_ask(&f, LV_MSG_PING, 40, NULL, 0, &answer, &answer_length) == LV_MSG_NAK);
    EXPECT(answer[0] == LV_NAK_SEQUENCE && lv_get32(answer + 2) == 40);
}

static void a_session_begins_with_hello_and_ends_with_a_restart_or_a_wrong_number(void)
{
    connect();
    EXPECT(acknowledged(LV_MSG_CLOSE, NULL, 0, 0));
    fake_boot(&f);
    EXPECT(refused(LV_MSG_PING, NULL, 0, LV_NAK_NO_SESSION, (int32_t)f.node.store.boot_id));
    connect();
    EXPECT(acknowledged(LV_MSG_CLOSE, NULL, 0, 0) && number == 102);
    number = 103; /* 103 was lost */
    EXPECT(refused(LV_MSG_CLOSE, NULL, 0, LV_NAK_SEQUENCE, 102) && !f.link.session);
    number = 102;
    EXPECT(refused(LV_MSG_CLOSE, NULL, 0, LV_NAK_NO_SESSION, (int32_t)f.node.store.boot_id));
    EXPECT(f.link.frames == 4 && f.link.repeats == 0);
}

static void a_request_that_comes_again_is_answered_as_before_and_not_executed(void)
{
    static uint8_t first[FAKE_SENT];
    uint8_t body[STEP_BYTES];
    start_with_answer();
    step_body(body, 2000);
    EXPECT(ask(LV_MSG_STEP, body, sizeof body) == LV_MSG_STEP_RESULT && f.node.steps == 1);
    size_t length = f.sent_length;
    memcpy(first, f.sent, length);
    for (uint32_t k = 1; k < 4; k++) {
        number--;
        EXPECT(ask(LV_MSG_STEP, body, sizeof body) == LV_MSG_STEP_RESULT && f.node.steps == 1);
        EXPECT(f.sent_length == length && memcmp(f.sent, first, length) == 0);
        EXPECT(f.link.repeats == k && f.link.frames == 3 + k);
    }
    EXPECT(ask(LV_MSG_STEP, body, sizeof body) == LV_MSG_STEP_RESULT && f.node.steps == 2);
}

static void the_number_behind_65535_is_0(void)
{
    static const uint8_t session[4] = {0};
    ready();
    number = 65533;
    EXPECT(ask(LV_MSG_HELLO, session, 4) == LV_MSG_BIRTH);
    EXPECT(ask(LV_MSG_PING, NULL, 0) == LV_MSG_PONG && number == 65535);
    EXPECT(ask(LV_MSG_PING, NULL, 0) == LV_MSG_PONG && number == 0);
    EXPECT(ask(LV_MSG_PING, NULL, 0) == LV_MSG_PONG && number == 1);
}

static void damaged_frames_are_counted_and_not_answered(void)
{
    static const uint8_t junk[] = {0, 0, 0, 5, 1, 0, 2, 2, 0, 0};
    connect();
    uint32_t frames = f.link.frames;
    f.sent_length = 0;
    lv_link_receive(&f.link, junk, sizeof junk); /* a block cut short, and two bytes */
    EXPECT(f.link.bad_frames == 2 && f.link.frames == frames && f.sent_length == 0);
    lv_link_receive(&f.link, NULL, 0);
    EXPECT(ask(LV_MSG_PING, NULL, 0) == LV_MSG_PONG);
}

static void the_answer_of_a_run_says_all_of_it(void)
{
    uint8_t body[STEP_BYTES];
    connect();
    f.behave = open_valve;
    const lv_msg_start s = {.time_ms = 1000};
    uint8_t start_body[LV_MAX_BODY];
    size_t start_length = lv_msg_start_pack(&s, start_body);
    EXPECT(ask(LV_MSG_START, start_body, start_length) == LV_MSG_STEP_RESULT);
    EXPECT(answer_length == 27 + 24 && lv_get64(answer + 7) == 61000); /* BOOT, STEP, RETURN */
    EXPECT(lv_get16(answer + 3) == 0 && lv_get32(answer + 23) == 24 && answer[27] == LV_CALL_BOOT);
    step_body(body, 2000);
    EXPECT(ask(LV_MSG_STEP, body, sizeof body) == LV_MSG_STEP_RESULT);
    EXPECT(answer_length == 27 + 24 && answer[0] == 0 && answer[1] == 0 && answer[2] == 0);
    EXPECT(lv_get16(answer + 3) == 1 && lv_get16(answer + 5) == 1); /* the valve is bit 0 */
    EXPECT(lv_get64(answer + 7) == 62000 && lv_get32(answer + 15) == 1);
    EXPECT(lv_get32(answer + 19) == 7 && lv_get32(answer + 23) == 24); /* STEP, SET_OUTPUT, RETURN */
    EXPECT(memcmp(answer + 27, f.tape, 24) == 0);
    EXPECT(f.node.host.readings[3] == 4 && f.node.host.online);
    step_body(body, INT64_MAX);
    EXPECT(refused(LV_MSG_STEP, body, sizeof body, LV_NAK_VALUE, 0));
    start_body[7] = 0x7F;
    EXPECT(refused(LV_MSG_START, start_body, start_length, LV_NAK_VALUE, 0));
}

static int log_a_lot(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    static char line[171];
    (void)arguments;
    (void)result;
    memset(line, 'l', 170);
    for (int k = 0; k < 6 && which == LV_EXPORT_STEP; k++) {
        line[0] = (char)('0' + k);
        lv_call_wasm_log(of->host, text(line));
    }
    return 0;
}

static bool part(uint32_t offset, uint32_t length)
{
    uint8_t body[4];
    lv_put32(body, offset);
    return ask(LV_MSG_READ_TAPE, body, 4) == LV_MSG_TAPE && answer_length == 4 + length &&
           lv_get32(answer) == offset && memcmp(answer + 4, f.tape + offset, length) == 0;
}

static void a_tape_longer_than_its_answer_is_read_in_parts_as_far_as_it_goes(void)
{
    uint8_t body[STEP_BYTES];
    uint8_t offset[4];
    start_with_answer();
    f.behave = log_a_lot;
    step_body(body, 2000);
    EXPECT(ask(LV_MSG_STEP, body, sizeof body) == LV_MSG_STEP_RESULT);
    /* STEP 10, six lines of 3 + 170, RETURN 5 */
    EXPECT(lv_get32(answer + 23) == 1053 && answer_length == LV_MAX_BODY);
    EXPECT(memcmp(answer + 27, f.tape, LV_MAX_BODY - 27) == 0);
    EXPECT(part(LV_MAX_BODY - 27, 1053 - 997) && part(0, LV_MAX_BODY - 4));
    EXPECT(part(33, 1020) && part(34, 1019) && part(1052, 1) && part(1053, 0));
    lv_put32(offset, 1054);
    EXPECT(refused(LV_MSG_READ_TAPE, offset, 4, LV_NAK_VALUE, 1053));
}

static void a_calibration_is_answered_by_the_values_in_force_and_kept_if_asked(void)
{
    uint8_t body[1 + 16] = {0};
    start_with_answer();
    lv_put32(body + 1, 2);
    lv_put32(body + 5, 22);
    lv_put32(body + 9, 1);
    lv_put32(body + 13, 11);
    EXPECT(ask(LV_MSG_CALIBRATE, body, sizeof body) == LV_MSG_CALIBRATED);
    EXPECT(answer_length == 4 + 16 && lv_get32(answer) == 2 * 13); /* two records PARAM_SET */
    EXPECT(memcmp(answer + 4, body + 1, 16) == 0 && f.parameters[2] == 22 && f.parameters[1] == 11);
    EXPECT(f.node.store.parameter_count == 0);
    body[0] = 1;
    EXPECT(ask(LV_MSG_CALIBRATE, body, sizeof body) == LV_MSG_CALIBRATED);
    EXPECT(f.node.store.parameter_count == 2 && f.node.store.parameters[0][1] == 22);
    lv_put32(body + 13, 101);
    EXPECT(refused(LV_MSG_CALIBRATE, body, sizeof body, LV_NAK_PARAMETER, 1));
    EXPECT(f.parameters[2] == 22 && f.node.store.parameters[1][1] == 11);
    EXPECT(ask(LV_MSG_CALIBRATE, body, 1) == LV_MSG_CALIBRATED && answer_length == 4);
}

static void as_many_parameters_as_a_node_keeps_are_calibrated_at_once(void)
{
    uint8_t body[1 + 8 * LV_PARAMETERS] = {0};
    start_with_answer();
    for (int k = 0; k < LV_PARAMETERS; k++) {
        lv_put32(body + 1 + 8 * k, (uint32_t)(k % FAKE_PARAMETERS));
        lv_put32(body + 5 + 8 * k, (uint32_t)(40 + k % FAKE_PARAMETERS));
    }
    EXPECT(ask(LV_MSG_CALIBRATE, body, sizeof body) == LV_MSG_CALIBRATED);
    EXPECT(answer_length == 4 + 8 * LV_PARAMETERS);
    EXPECT(memcmp(answer + 4, body + 1, 8 * LV_PARAMETERS) == 0);
    EXPECT(lv_get32(answer) == 13 * LV_PARAMETERS && f.parameters[3] == 43);
}

static void a_parameter_is_answered_with_its_number_and_an_empty_tape(void)
{
    uint8_t id[4] = {3};
    start_with_answer();
    f.parameters[3] = -9;
    EXPECT(ask(LV_MSG_GET_PARAMETER, id, 4) == LV_MSG_PARAMETER && answer_length == 8);
    EXPECT(lv_get32(answer) == 3 && (int32_t)lv_get32(answer + 4) == -9);
    EXPECT(f.node.host.tape.length == 0);
    f.has[LV_EXPORT_PARAM_GET] = false;
    EXPECT(refused(LV_MSG_GET_PARAMETER, id, 4, LV_NAK_PARAMETER, 3));
}

static void a_module_is_acknowledged_by_the_bytes_that_have_come(void)
{
    uint8_t begin[36] = {0};
    uint8_t chunk[4 + 300] = {0};
    lv_sha256 sha;
    start_with_answer();
    lv_put32(begin, FAKE_SLOT_BYTES + 1);
    EXPECT(refused(LV_MSG_INSTALL_BEGIN, begin, sizeof begin, LV_NAK_SIZE, 0));
    lv_put32(begin, 500);
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, new_guest, 500);
    lv_sha256_end(&sha, begin + 4);
    EXPECT(acknowledged(LV_MSG_INSTALL_BEGIN, begin, sizeof begin, 0));
    memcpy(chunk + 4, new_guest, 300);
    EXPECT(acknowledged(LV_MSG_INSTALL_CHUNK, chunk, sizeof chunk, 300));
    lv_put32(chunk, 301); /* 300 is missing */
    EXPECT(refused(LV_MSG_INSTALL_CHUNK, chunk, 4 + 100, LV_NAK_STATE, 300));
    lv_put32(chunk, 300);
    EXPECT(refused(LV_MSG_INSTALL_CHUNK, chunk, 4 + 201, LV_NAK_SIZE, 300));
    memcpy(chunk + 4, new_guest + 300, 200);
    EXPECT(acknowledged(LV_MSG_INSTALL_CHUNK, chunk, 4 + 200, 500));
    EXPECT(acknowledged(LV_MSG_INSTALL_END, NULL, 0, 0));
    EXPECT(f.node.state == LV_NODE_IDLE && f.node.store.size[f.node.store.active] == 500);
    EXPECT(refused(LV_MSG_INSTALL_END, NULL, 0, LV_NAK_STATE, 0));
}

static void a_configuration_is_acknowledged_or_refused_with_the_field(void)
{
    uint8_t body[LV_MAX_BODY];
    lv_msg_configure m = limits(12, 34, 56);
    connect();
    m.lease_ms = 4321;
    EXPECT(acknowledged(LV_MSG_CONFIGURE, body, lv_msg_configure_pack(&m, body), 0));
    EXPECT(f.node.host.call_limit == 12 && f.node.host.log_limit == 34);
    EXPECT(f.node.host.publish_limit == 56 && f.node.lease_ms == 4321);
    EXPECT(strcmp(f.node.host.prefix, "ic/n/") == 0);
    m.pin_count = LV_PINS + 1;
    EXPECT(refused(LV_MSG_CONFIGURE, body, lv_msg_configure_pack(&m, body), LV_NAK_VALUE, 4));
}

static void close_and_reset_close_the_valve_and_let_go_of_the_guest(void)
{
    start_with_answer();
    lv_call_set_output(&f.node.host, 23, 1);
    EXPECT(acknowledged(LV_MSG_CLOSE, NULL, 0, 0));
    EXPECT(f.pins[23] == 0 && f.unloads == 1 && f.node.state == LV_NODE_IDLE);
    start_with_answer();
    lv_call_set_output(&f.node.host, 23, 1);
    EXPECT(acknowledged(LV_MSG_RESET, NULL, 0, 0));
    EXPECT(f.pins[23] == 0 && f.unloads == 1 && f.node.state == LV_NODE_IDLE && f.restarts == 1);
    EXPECT(ask(LV_MSG_PING, NULL, 0) == LV_MSG_PONG && f.restarts == 1); /* once */
}

static void a_ping_comes_back_with_its_bytes(void)
{
    uint8_t body[LV_MAX_BODY];
    connect();
    for (int k = 0; k < LV_MAX_BODY; k++)
        body[k] = (uint8_t)(k * 7);
    EXPECT(ask(LV_MSG_PING, body, sizeof body) == LV_MSG_PONG && answer_length == sizeof body);
    EXPECT(memcmp(answer, body, sizeof body) == 0);
    EXPECT(ask(LV_MSG_PING, NULL, 0) == LV_MSG_PONG && answer_length == 0);
}

static bool stored(uint32_t boot_id, uint32_t sequence, uint32_t waiting)
{
    uint8_t body[8];
    lv_put32(body, boot_id);
    lv_put32(body + 4, sequence);
    return acknowledged(LV_MSG_TELEMETRY_ACK, body, 8, waiting);
}

static void telemetry_leaves_oldest_first_and_goes_once_it_is_stored(void)
{
    start_with_answer();
    uint32_t boot_id = f.node.store.boot_id;
    lv_host *h = &f.node.host;
    EXPECT(ask(LV_MSG_GET_TELEMETRY, NULL, 0) == LV_MSG_TELEMETRY && answer_length == 23);
    EXPECT(lv_get32(answer + 4) == 0 && lv_get16(answer + 16) == 0);
    h->time_ms = 5000;
    (void)lv_call_mqtt_publish(h, text("data"), text("{}"));
    (void)lv_call_mqtt_publish(h, text("d"), text("second"));
    (void)lv_call_mqtt_publish(h, text("d"), text("third"));
    f.node.ring.dropped = 6;
    EXPECT(ask(LV_MSG_GET_TELEMETRY, NULL, 0) == LV_MSG_TELEMETRY && answer_length == 23 + 6);
    EXPECT(lv_get32(answer) == boot_id && lv_get32(answer + 4) == 1);
    EXPECT(lv_get64(answer + 8) == 5000 && lv_get16(answer + 16) == 3);
    EXPECT(lv_get32(answer + 18) == 6 && answer[22] == 4 && memcmp(answer + 23, "data{}", 6) == 0);
    EXPECT(stored(boot_id + 1, 1, 3)); /* of another boot */
    EXPECT(stored(boot_id, 4, 3));     /* of the future */
    EXPECT(stored(boot_id, 1, 2));
    EXPECT(ask(LV_MSG_GET_TELEMETRY, NULL, 0) == LV_MSG_TELEMETRY);
    EXPECT(lv_get32(answer + 4) == 2 && memcmp(answer + 23, "dsecond", 7) == 0);
    EXPECT(stored(boot_id, 3, 0));
}

static lv_msg_fault seen_fault;

static lv_status take_fault(void *context, const lv_msg_fault *m)
{
    (void)context;
    seen_fault = *m;
    return m->kind == LV_FAULT_NONE ? LV_NAK_VALUE : LV_OK;
}

static void a_virtual_device_takes_its_fault(void)
{
    uint8_t body[10] = {LV_FAULT_SLOW, LV_AT_SENT, 3, 0, 0, 0, 0, 1};
    connect();
    EXPECT(refused(LV_MSG_FAULT, body, 10, LV_NAK_UNKNOWN, 0));
    f.config.fault = take_fault;
    EXPECT(acknowledged(LV_MSG_FAULT, body, 10, 0));
    EXPECT(seen_fault.kind == LV_FAULT_SLOW && seen_fault.point == LV_AT_SENT);
    EXPECT(seen_fault.after == 3 && seen_fault.argument == 256);
    body[0] = LV_FAULT_NONE;
    EXPECT(refused(LV_MSG_FAULT, body, 10, LV_NAK_VALUE, 0));
}

static uint32_t deepest(void *context)
{
    (void)context;
    return 4321;
}

static void the_statistics_are_those_since_the_device_was_started(void)
{
    static const uint8_t junk[] = {2, 0};
    uint8_t body[STEP_BYTES];
    start_with_answer();
    f.behave = open_valve;
    step_body(body, 2000);
    (void)ask(LV_MSG_STEP, body, sizeof body);
    step_body(body, 5000);
    (void)ask(LV_MSG_STEP, body, sizeof body);
    number--;
    (void)ask(LV_MSG_STEP, body, sizeof body);
    (void)lv_call_mqtt_publish(&f.node.host, text("data"), text("{}"));
    lv_link_receive(&f.link, junk, sizeof junk);
    f.node.kept.writes = 1000;
    EXPECT(ask(LV_MSG_GET_STATISTICS, NULL, 0) == LV_MSG_STATISTICS && answer_length == 48);
    EXPECT(lv_get32(answer) == 6 && lv_get32(answer + 4) == 1 && lv_get32(answer + 8) == 1);
    EXPECT(lv_get32(answer + 12) == 2); /* steps */
    EXPECT(lv_get32(answer + 16) == 3 && lv_get32(answer + 20) == 6);
    EXPECT(lv_get64(answer + 24) == 3 * 7 && lv_get64(answer + 32) == 3000);
    /* a boot; to erase, three pieces and the record of the old guest, in both places */
    EXPECT(lv_get32(answer + 40) == 1000 + 1 + 1 + 3 + 2 && lv_get32(answer + 44) == 0);
    f.config.stack_bytes = deepest;
    EXPECT(ask(LV_MSG_GET_STATISTICS, NULL, 0) == LV_MSG_STATISTICS);
    EXPECT(lv_get32(answer) == 7 && lv_get32(answer + 44) == 4321);
}

static uint8_t points[8];
static int passed;

static void pass(void *context, uint8_t point)
{
    (void)context;
    if (passed < (int)sizeof points)
        points[passed++] = point;
}

static void a_request_passes_the_points_where_a_test_can_cut_the_power(void)
{
    static const uint8_t expected[] = {LV_AT_RECEIVED, LV_AT_CALL, LV_AT_EXECUTED, LV_AT_SENT};
    uint8_t body[STEP_BYTES];
    start_with_answer();
    f.behave = open_valve;
    step_body(body, 2000);
    f.config.at = pass;
    passed = 0;
    EXPECT(ask(LV_MSG_STEP, body, sizeof body) == LV_MSG_STEP_RESULT);
    EXPECT(passed == 4 && memcmp(points, expected, 4) == 0);
}

const unit_test answers_tests[] = {
    TEST(a_body_of_another_length_is_refused_by_every_request_and_does_nothing),
    TEST(a_request_that_nobody_knows_is_refused_by_its_number),
    TEST(hello_is_answered_by_the_birth_of_its_session_however_often),
    TEST(a_session_begins_with_hello_and_ends_with_a_restart_or_a_wrong_number),
    TEST(a_request_that_comes_again_is_answered_as_before_and_not_executed),
    TEST(the_number_behind_65535_is_0),
    TEST(damaged_frames_are_counted_and_not_answered),
    TEST(the_answer_of_a_run_says_all_of_it),
    TEST(a_tape_longer_than_its_answer_is_read_in_parts_as_far_as_it_goes),
    TEST(a_calibration_is_answered_by_the_values_in_force_and_kept_if_asked),
    TEST(as_many_parameters_as_a_node_keeps_are_calibrated_at_once),
    TEST(a_parameter_is_answered_with_its_number_and_an_empty_tape),
    TEST(a_module_is_acknowledged_by_the_bytes_that_have_come),
    TEST(a_configuration_is_acknowledged_or_refused_with_the_field),
    TEST(close_and_reset_close_the_valve_and_let_go_of_the_guest),
    TEST(a_ping_comes_back_with_its_bytes),
    TEST(telemetry_leaves_oldest_first_and_goes_once_it_is_stored),
    TEST(a_virtual_device_takes_its_fault),
    TEST(the_statistics_are_those_since_the_device_was_started),
    TEST(a_request_passes_the_points_where_a_test_can_cut_the_power),
    {NULL, NULL},
};
