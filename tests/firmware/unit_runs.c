/* What a start and a step do to a node, and what it tells of them. */
#include <string.h>

#include "bytes.h"
#include "unit.h"

static int32_t result_of_run;
static int32_t paused_for_ms = -1;

static int run_as_told(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    if (which == LV_EXPORT_INIT || which == LV_EXPORT_STEP)
        *result = result_of_run;
    if (which == LV_EXPORT_STEP)
        (void)lv_call_delay_ms(of->host, 250);
    if (which == LV_EXPORT_MAIN && paused_for_ms >= 0) {
        (void)lv_call_delay_ms(of->host, paused_for_ms);
        return LV_GUEST_PAUSED;
    }
    return 0;
}

static void ready_to_run(int32_t result)
{
    ready();
    f.behave = run_as_told;
    result_of_run = result;
    paused_for_ms = -1;
}

static void a_node_without_host_has_the_limits_that_are_documented(void)
{
    ready();
    const lv_host *h = &f.node.host;
    EXPECT(start() == LV_OK);
    EXPECT(h->counts[0] == 2500 && h->counts[1] == 1000 && h->counts[2] == 2000);
    EXPECT(h->allowed == 0xFFE && h->pin_count == 4);
    EXPECT(h->pins[0] == 23 && h->pins[1] == 18 && h->pins[2] == 19 && h->pins[3] == 21);
    EXPECT(f.limits.instructions == 1000000 && f.limits.memory_pages == 4);
    EXPECT(f.node.deadline_ms == 5000 && f.node.lease_ms == 0);
    EXPECT(h->call_limit == 256 && h->log_limit == 1024 && h->publish_limit == 2048);
    EXPECT(strcmp(h->prefix, "ic/esp32/") == 0);
}

static int verify_nothing(void *context, const uint8_t signature[64], const uint8_t *message,
                          size_t length, const uint8_t key[32])
{
    (void)context, (void)signature, (void)message, (void)length, (void)key;
    return -1;
}

static void every_hole_of_a_config_has_its_own_status(void)
{
    static const uint8_t keys[LV_KEYS][32];
    fake_new(&f);
    lv_config whole = f.config;
#define HOLE(change, expected)                                                                     \
    f.config = whole;                                                                              \
    change;                                                                                        \
    EXPECT(lv_node_init(&f.node, &f.config) == (expected))
    HOLE(f.config.guest_load = NULL, LV_INIT_GUEST);
    HOLE(f.config.guest_check = NULL, LV_INIT_GUEST);
    HOLE(f.config.guest_call = NULL, LV_INIT_GUEST);
    HOLE(f.config.guest_unload = NULL, LV_INIT_GUEST);
    HOLE(f.config.guest_has = NULL, LV_INIT_GUEST);
    HOLE(f.config.guest_pause = NULL, LV_INIT_GUEST);
    HOLE(f.config.engine = NULL, LV_INIT_ENGINE_NAME);
    HOLE(f.config.engine = "123456789012345678901234", LV_INIT_ENGINE_NAME);
    HOLE(f.config.engine = "12345678901234567890123", LV_INIT_OK);
    HOLE(f.config.output = NULL, LV_INIT_OUTPUT);
    HOLE(f.config.record_read = NULL, LV_INIT_FLASH);
    HOLE(f.config.record_write = NULL, LV_INIT_FLASH);
    HOLE(f.config.slot_erase = NULL, LV_INIT_FLASH);
    HOLE(f.config.slot_write = NULL, LV_INIT_FLASH);
    HOLE(f.config.slot_map = NULL, LV_INIT_FLASH);
    HOLE(f.config.slot_bytes = 1023, LV_INIT_SLOT_BYTES);
    HOLE(f.config.slot_bytes = 1024, LV_INIT_OK);
    HOLE(f.config.slot_bytes = 1048576, LV_INIT_OK);
    HOLE(f.config.slot_bytes = 1048577, LV_INIT_SLOT_BYTES);
    HOLE(f.config.send = NULL, LV_INIT_BOARD);
    HOLE(f.config.restart = NULL, LV_INIT_BOARD);
    HOLE(f.config.watchdog = NULL, LV_INIT_BOARD);
    HOLE(f.config.firmware = NULL, LV_INIT_FIRMWARE_NAME);
    HOLE(f.config.firmware = "123456789012345678901234", LV_INIT_FIRMWARE_NAME);
    HOLE(f.config.firmware = "12345678901234567890123", LV_INIT_OK);
    HOLE(f.config.tape = NULL, LV_INIT_TAPE);
    /* 26 + 13 * 256 calls + 1024 bytes of log + 2048 of publications */
    HOLE(f.config.tape_bytes = 6425, LV_INIT_TAPE);
    HOLE(f.config.tape_bytes = 6426, LV_INIT_OK);
    HOLE(f.config.ring = NULL, LV_INIT_RING);
    HOLE(f.config.ring_bytes = 639, LV_INIT_RING);
    HOLE(f.config.ring_bytes = 640, LV_INIT_OK);
    whole.keys = (const uint8_t(*)[32])keys;
    whole.verify = verify_nothing;
    HOLE(f.config.key_count = LV_KEYS, LV_INIT_OK);
    HOLE(f.config.key_count = LV_KEYS + 1, LV_INIT_KEYS);
    HOLE((f.config.key_count = 1, f.config.keys = NULL), LV_INIT_KEYS);
    HOLE((f.config.key_count = 1, f.config.verify = NULL), LV_INIT_KEYS);
    HOLE((f.config.keys = NULL, f.config.verify = NULL), LV_INIT_OK);
    f.config = whole;
}

static void a_configuration_is_taken_at_its_limits_and_refused_beyond(void)
{
    ready();
    lv_msg_configure m = limits(10, 10, 10);
    m.pin_count = LV_PINS;
    m.memory_pages = 65536;
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK && f.node.limits.memory_pages == 65536);
    m.memory_pages = 65537;
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 6);
    m.memory_pages = 1;
    m.instructions = 0;
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 6);
    m.instructions = 1;
    m.pin_count = LV_PINS + 1;
    EXPECT(lv_node_configure(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 4);
    EXPECT(f.node.limits.instructions == 1 && f.node.limits.memory_pages == 65536);
}

static void a_guest_is_due_when_it_says_but_not_at_once_and_within_a_day(void)
{
    ready_to_run(0);
    EXPECT(start() == LV_OK && f.node.wake_ms == 1000); /* init may ask for no pause */
    EXPECT(step(2000) == LV_OK && f.node.wake_ms == 2000 + 250 + 1);
    result_of_run = 1;
    EXPECT(step(3000) == LV_OK && f.node.wake_ms == 3251);
    result_of_run = 2;
    EXPECT(step(3000) == LV_OK && f.node.wake_ms == 3252);
    result_of_run = LV_LONGEST_WAKE_MS;
    EXPECT(step(3000) == LV_OK && f.node.wake_ms == 3250 + 86400000);
    result_of_run = INT32_MAX;
    EXPECT(step(3000) == LV_OK && f.node.wake_ms == 3250 + 86400000);
    EXPECT(f.node.steps == 5);
}

/* BOOT, STEP, RETURN of a start, byte by byte after the table in guest/tape.py. */
static void the_tape_of_a_start_and_of_a_step_is_whole(void)
{
    static const uint8_t of_start[] = {19, 0xE8, 3, 0, 0, 0, 0, 0, 0,          /* BOOT at 1000 */
                                       0,  0xE8, 3, 0, 0, 0, 0, 0, 0, 0,       /* STEP, init */
                                       16, 60,   0, 0, 0,                      /* RETURN 60 */
                                       18, 2,    0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0}; /* PARAM_SET */
    static const uint8_t of_step[] = {0, 0xD0, 7, 0, 0, 0, 0, 0, 0, 1, /* STEP at 2000, step */
                                      7, 250,  0, 0, 0,               /* DELAY_MS */
                                      16, 60, 0, 0, 0};               /* RETURN 60 */
    static const uint8_t pair[8] = {2, 0, 0, 0, 9};
    const lv_msg_start m = {.time_ms = 1000, .parameters = pair, .parameters_count = 1};
    const lv_tape *tape = &f.node.host.tape;
    ready_to_run(60);
    EXPECT(lv_node_start(&f.node, &m) == LV_OK && f.parameters[2] == 9);
    EXPECT(tape->length == sizeof of_start && memcmp(tape->bytes, of_start, tape->length) == 0);
    EXPECT(step(2000) == LV_OK);
    EXPECT(tape->length == sizeof of_step && memcmp(tape->bytes, of_step, tape->length) == 0);
    result_of_run = -5;
    EXPECT(step(2000) == LV_OK && f.node.trap == LV_TRAP_GUEST_FAULT);
    EXPECT(tape->length == sizeof of_step + 2 && tape->bytes[sizeof of_step] == 17);
    EXPECT(tape->bytes[sizeof of_step + 1] == LV_TRAP_GUEST_FAULT);
}

static void a_tape_without_room_for_what_a_call_gave_stops_the_guest(void)
{
    static const uint8_t pairs[16] = {2, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 8};
    const lv_msg_start m = {.time_ms = 1000, .parameters = pairs, .parameters_count = 2};
    enum { START = 9 + 10 + 5, SET = 13, STEP = 10 + 5 + 5 };
    lv_tape *tape = &f.node.host.tape;
    for (uint32_t room = START - 1; room <= START + 2 * SET; room++) {
        ready_to_run(60);
        tape->capacity = room;
        EXPECT(lv_node_start(&f.node, &m) == LV_OK);
        bool whole = room == START + 2 * SET;
        EXPECT(f.node.state == (whole ? LV_NODE_RUNNING : LV_NODE_STOPPED));
        EXPECT(f.node.trap == (whole ? LV_TRAP_NONE : LV_TRAP_OTHER));
        EXPECT(tape->full == !whole);
    }
    for (uint32_t room = STEP - 1; room <= STEP; room++) {
        ready_to_run(60);
        EXPECT(start() == LV_OK);
        tape->capacity = room;
        paused_for_ms = -1;
        EXPECT(step(2000) == LV_OK);
        EXPECT((f.node.state == LV_NODE_RUNNING) == (room == STEP));
    }
}

static void a_start_forgets_the_run_before(void)
{
    ready_to_run(60);
    lv_host *h = &f.node.host;
    EXPECT(start() == LV_OK && step(2000) == LV_OK);
    lv_call_set_output(h, 23, 1);
    (void)lv_call_keep_set(h, 2, 5);
    h->read = 1 << LV_SENSOR_FLOW;
    h->online = false;
    h->uptime_ms = 77;
    const lv_msg_start again = {.time_ms = 9000};
    EXPECT(lv_node_start(&f.node, &again) == LV_OK);
    EXPECT(h->tape.length == 9 + 10 + 5 && h->tape.bytes[0] == LV_CALL_BOOT);
    EXPECT(h->outputs == 0 && h->ever_set == 0 && h->uptime_ms == 0 && h->delayed_ms == 0);
    EXPECT(h->online && !h->read && h->time_ms == 9000 && h->kept->values[2] == 5);
    for (int k = 0; k < LV_SENSORS; k++)
        EXPECT(h->readings[k] == LV_RESULT_UNAVAILABLE);
    EXPECT(f.node.active_us == 7 && f.node.seen_ms == 9000);
    EXPECT(f.unloads == 1 && f.node.wake_ms == 9060);
    const lv_msg_start forget = {.time_ms = 9000, .flags = LV_START_FORGET};
    EXPECT(lv_node_start(&f.node, &forget) == LV_OK && h->kept->values[2] == 0);
    lv_msg_step m = {.time_ms = 9500, .uptime_ms = 500, .readings = {4, 3, 2, 1}};
    h->read = 1 << LV_SENSOR_FLOW;
    EXPECT(lv_node_step(&f.node, &m) == LV_OK);
    EXPECT(!h->online && !h->read && h->uptime_ms == 500 && h->readings[0] == 4);
    m.uptime_ms = -1;
    EXPECT(lv_node_step(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 3);
    m.uptime_ms = INT64_MAX;
    EXPECT(lv_node_step(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 3);
}

static void a_main_pauses_goes_on_and_ends(void)
{
    ready_to_run(0);
    memset(f.has, 0, sizeof f.has);
    f.has[LV_EXPORT_MAIN] = true;
    EXPECT(start() == LV_OK && f.node.command && f.node.wake_ms == 1000 && !f.node.finished);
    paused_for_ms = 700;
    EXPECT(step(2000) == LV_OK && f.node.wake_ms == 2700 && f.pauses == 1);
    EXPECT(f.node.host.tape.bytes[9] == 2 && !f.node.host.pausing); /* entry: main */
    paused_for_ms = 0;
    EXPECT(step(3000) == LV_OK && f.node.wake_ms == 3001);
    lv_msg_birth birth;
    lv_node_birth(&f.node, &birth);
    EXPECT(birth.flags == (LV_BIRTH_INSTALLED | LV_BIRTH_STARTED | LV_BIRTH_COMMAND | LV_BIRTH_UPDATES |
                           LV_BIRTH_HEARTBEAT));
    int32_t value;
    EXPECT(lv_node_get(&f.node, 4, &value) == LV_NAK_PARAMETER && f.node.detail == 4);
    static const uint8_t pair[8] = {3};
    const lv_msg_calibrate m = {.parameters = pair, .parameters_count = 1};
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_NAK_PARAMETER && f.node.detail == 3);
    paused_for_ms = -1;
    EXPECT(step(4000) == LV_OK && f.node.finished && f.node.wake_ms == LV_NEVER_MS);
    EXPECT(f.node.host.tape.length == 15 && f.node.host.tape.bytes[10] == LV_CALL_RETURN);
    uint32_t steps = f.node.steps;
    EXPECT(step(5000) == LV_OK && f.node.steps == steps && f.node.host.tape.length == 0);
    EXPECT(start() == LV_OK && !f.node.finished);
}

static void look_around(fake *of)
{
    lv_call_log_int(of->host, 1);
    lv_call_log_int(of->host, lv_call_now_s(of->host));
    lv_call_log_int(of->host, lv_call_uptime_s(of->host));
}

/* LOG_INT and NOW_S, UPTIME_S with LOG_INT behind, at 2 s and 0 s, after BOOT.  The step before has
 * delayed for 250 ms. */
static void what_a_guest_does_while_it_is_loaded_has_a_budget_and_the_time_of_the_start(void)
{
    static const uint8_t expected[] = {6, 1, 0, 0, 0, 8, 2, 0, 0, 0, 6, 2, 0,
                                       0, 0, 9, 0, 0, 0, 0, 6, 0, 0, 0, 0};
    const lv_msg_start again = {.time_ms = 2999};
    lv_msg_configure m = limits(5, 12, 1);
    const lv_tape *tape = &f.node.host.tape;
    for (int with_main = 0; with_main < 2; with_main++) {
        ready_to_run(60);
        f.has[LV_EXPORT_MAIN] = with_main;
        f.has[LV_EXPORT_STEP] = !with_main;
        m.host_calls = 5;
        EXPECT(lv_node_configure(&f.node, &m) == LV_OK && start() == LV_OK && step(9000) == LV_OK);
        f.on_load = look_around;
        EXPECT(lv_node_start(&f.node, &again) == LV_OK && f.node.state == LV_NODE_RUNNING);
        EXPECT(tape->length >= 9 + sizeof expected);
        EXPECT(memcmp(tape->bytes + 9, expected, sizeof expected) == 0);
        m.host_calls = 4;
        EXPECT(lv_node_configure(&f.node, &m) == LV_OK && lv_node_start(&f.node, &again) == LV_OK);
        EXPECT(f.node.state == LV_NODE_STOPPED && f.node.trap == LV_TRAP_HOST_CALLS);
        lv_msg_step_result r;
        lv_node_result(&f.node, &r);
        EXPECT(r.trap == LV_TRAP_HOST_CALLS && r.trap_call == LV_CALL_LOG_INT);
        f.on_load = NULL;
        EXPECT(lv_node_start(&f.node, &again) == LV_OK && f.node.state == LV_NODE_RUNNING);
        lv_node_result(&f.node, &r);
        EXPECT(r.trap == LV_TRAP_NONE && r.trap_call == 0);
    }
}

static void as_many_parameters_as_are_stored_are_set_at_the_start(void)
{
    uint8_t pairs[8 * LV_PARAMETERS];
    const lv_msg_start m = {.time_ms = 1000, .flags = LV_START_STORED_PARAMETERS};
    for (int count = 1; count <= LV_PARAMETERS; count++) {
        ready();
        for (int k = 0; k < count; k++) {
            lv_put32(pairs + 8 * k, (uint32_t)k);
            lv_put32(pairs + 8 * k + 4, (uint32_t)(60 + k));
        }
        EXPECT(lv_store_keep(&f.node.store, pairs, (uint16_t)count) == LV_OK);
        lv_status status = lv_node_start(&f.node, &m);
        if (count <= FAKE_PARAMETERS) {
            EXPECT(status == LV_OK && f.node.host.tape.length == 9 + 10 + 5 + 13 * (uint32_t)count);
            EXPECT(f.parameters[count - 1] == 59 + count);
        } else /* the guest has no more than four */
            EXPECT(status == LV_NAK_PARAMETER && f.node.detail == FAKE_PARAMETERS);
    }
}

static bool different(const int32_t *p) { return p[0] == 0 || p[1] == 0 || p[0] != p[1]; }
static bool ordered(const int32_t *p) { return p[2] == 0 || p[3] == 0 || p[2] < p[3]; }

static lv_status calibrate_two(int32_t id, int32_t a, int32_t b)
{
    uint8_t pairs[16];
    const lv_msg_calibrate m = {.parameters = pairs, .parameters_count = 2};
    lv_put32(pairs, (uint32_t)id);
    lv_put32(pairs + 4, (uint32_t)a);
    lv_put32(pairs + 8, (uint32_t)id + 1);
    lv_put32(pairs + 12, (uint32_t)b);
    return lv_node_calibrate(&f.node, &m);
}

static void parameters_are_set_in_an_order_that_their_rule_takes_all_or_none(void)
{
    ready();
    EXPECT(start() == LV_OK);
    EXPECT(calibrate_two(0, 20, 30) == LV_OK && calibrate_two(2, 20, 30) == LV_OK);
    f.rule = ordered;
    EXPECT(calibrate_two(2, 40, 50) == LV_OK); /* the second first */
    EXPECT(f.parameters[2] == 40 && f.parameters[3] == 50);
    EXPECT(calibrate_two(2, 60, 55) == LV_NAK_PARAMETER && f.node.detail == 2);
    EXPECT(f.parameters[2] == 40 && f.parameters[3] == 50);
    f.rule = different;
    EXPECT(calibrate_two(0, 30, 20) == LV_OK); /* by way of 0 */
    EXPECT(f.parameters[0] == 30 && f.parameters[1] == 20);
    EXPECT(calibrate_two(0, 33, 101) == LV_NAK_PARAMETER && f.node.detail == 1);
    EXPECT(f.parameters[0] == 30 && f.parameters[1] == 20);
    uint8_t many[8 * (LV_PARAMETERS + 1)] = {0};
    lv_msg_calibrate m = {.parameters = many, .parameters_count = LV_PARAMETERS + 1};
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_NAK_SIZE && f.node.detail == LV_PARAMETERS);
    m.parameters_count = LV_PARAMETERS;
    uint32_t writes = f.node.store.writes;
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_OK && f.parameters[0] == 0);
    EXPECT(f.node.store.writes == writes); /* not asked to keep them */
    f.has[LV_EXPORT_PARAM_GET] = false;
    EXPECT(calibrate_two(0, 1, 2) == LV_NAK_PARAMETER && f.node.detail == 0);
}

/* Whether the tape is that of these PARAM_SET: id, value and result of each. */
static bool was_set(int count, const int32_t (*expected)[3])
{
    const lv_tape *tape = &f.node.host.tape;
    if (tape->length != (uint32_t)(13 * count))
        return false;
    for (int k = 0; k < count; k++)
        for (int n = 0; n < 3; n++)
            if (tape->bytes[13 * k] != LV_CALL_PARAM_SET ||
                (int32_t)lv_get32(tape->bytes + 13 * k + 1 + 4 * n) != expected[k][n])
                return false;
    return true;
}

static void what_is_refused_is_asked_for_after_the_rest_then_by_way_of_0_and_then_goes_back(void)
{
    static const int32_t at_once[][3] = {{2, 20, 0}, {3, 30, 0}};
    static const int32_t second_first[][3] = {{2, 40, -1}, {3, 50, 0}, {2, 40, 0}};
    static const int32_t change_places[][3] = {{0, 30, -1}, {1, 20, -1}, {0, 0, 0},
                                               {1, 0, 0},   {0, 30, 0},  {1, 20, 0}};
    static const int32_t one_refused[][3] = {{1, 101, -1}};
    /* 60 is too much for 50 and for 55, which 40 allows; what was changed goes back */
    static const int32_t contradict[][3] = {{2, 60, -1}, {3, 55, 0}, {2, 60, -1}, {3, 50, 0}};
    static const int32_t both_refused[][3] = {{0, 102, -1}, {1, 103, -1}, {0, 0, 0},  {1, 0, 0},
                                              {0, 102, -1}, {1, 103, -1}, {1, 20, 0}, {0, 30, 0}};
    const lv_msg_calibrate one = {.parameters = (const uint8_t[8]){1, 0, 0, 0, 101},
                                  .parameters_count = 1};
    ready();
    EXPECT(start() == LV_OK);
    EXPECT(calibrate_two(2, 20, 30) == LV_OK && was_set(2, at_once));
    f.rule = ordered;
    EXPECT(calibrate_two(2, 40, 50) == LV_OK && was_set(3, second_first));
    EXPECT(calibrate_two(2, 60, 55) == LV_NAK_PARAMETER && f.node.detail == 2);
    EXPECT(f.parameters[2] == 40 && f.parameters[3] == 50 && was_set(4, contradict));
    EXPECT(lv_node_calibrate(&f.node, &one) == LV_NAK_PARAMETER && was_set(1, one_refused));
    f.rule = NULL;
    EXPECT(calibrate_two(0, 20, 30) == LV_OK);
    f.rule = different;
    EXPECT(calibrate_two(0, 30, 20) == LV_OK && was_set(6, change_places));
    EXPECT(calibrate_two(0, 102, 103) == LV_NAK_PARAMETER && f.node.detail == 0);
    EXPECT(was_set(8, both_refused) && f.parameters[0] == 30 && f.parameters[1] == 20);
}

static void a_birth_says_who_the_board_is(void)
{
    lv_msg_birth m;
    fake_new(&f);
    f.config.reset_reason = LV_RESET_BROWN_OUT;
    fake_boot(&f);
    memset(&m, 0xA5, sizeof m);
    lv_node_birth(&f.node, &m);
    EXPECT(m.flags == (LV_BIRTH_HEARTBEAT | LV_BIRTH_UPDATES) && m.guest_bytes == 0 && m.guest_sha256[0] == 0);
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == LV_OK);
    lv_node_birth(&f.node, &m);
    EXPECT(m.boot_id == 1 && m.abi_version == LV_ABI_VERSION && m.slot == f.node.store.active);
    EXPECT(m.reset_reason == LV_RESET_BROWN_OUT && m.max_body == 1024 && m.slot_bytes == 2048);
    EXPECT(m.guest_bytes == sizeof new_guest && m.slot == 1);
    EXPECT(memcmp(m.guest_sha256, f.node.store.sha256[1], 32) == 0 && m.guest_sha256[0]);
    EXPECT(strcmp(m.engine, "fake") == 0 && strcmp(m.firmware, "levada test") == 0);
    EXPECT(m.flags == (LV_BIRTH_INSTALLED | LV_BIRTH_HEARTBEAT | LV_BIRTH_UPDATES));
    EXPECT(start() == LV_OK);
    lv_node_birth(&f.node, &m);
    EXPECT(m.flags == (LV_BIRTH_INSTALLED | LV_BIRTH_STARTED | LV_BIRTH_HEARTBEAT |
                       LV_BIRTH_UPDATES));
    f.behave = run_as_told;
    result_of_run = -1;
    EXPECT(step(2000) == LV_OK);
    lv_node_birth(&f.node, &m);
    EXPECT(m.flags == (LV_BIRTH_INSTALLED | LV_BIRTH_STOPPED | LV_BIRTH_HEARTBEAT |
                       LV_BIRTH_UPDATES));
    lv_msg_step_result r;
    memset(&r, 0xA5, sizeof r);
    f.node.host.trap_call = 9;
    lv_node_result(&f.node, &r);
    EXPECT(r.trap == LV_TRAP_GUEST_FAULT && r.trap_call == 9 && r.flags == 0);
    EXPECT(r.wake_ms == LV_NEVER_MS && r.active_us == 7 && r.tape_length == 0);
    EXPECT(r.tape_bytes == f.node.host.tape.length && r.host_calls == f.node.host.calls);
    f.node.lease_expired = true;
    lv_node_result(&f.node, &r);
    EXPECT(r.flags == LV_STEP_LEASE_EXPIRED && !f.node.lease_expired);
    lv_node_close(&f.node);
    EXPECT(f.node.host.tape.length == 0 && !f.node.store.receiving);
}

static void a_birth_has_names_of_any_length_whole(void)
{
    static const char longest[] = "12345678901234567890123";
    lv_msg_birth m;
    fake_new(&f);
    f.config.engine = longest;
    f.config.firmware = longest;
    fake_boot(&f);
    lv_node_birth(&f.node, &m);
    EXPECT(strcmp(m.engine, longest) == 0 && strcmp(m.firmware, longest) == 0);
    f.config.engine = "";
    lv_node_birth(&f.node, &m);
    EXPECT(m.engine[0] == 0 && strcmp(m.firmware, longest) == 0);
}

const unit_test runs_tests[] = {
    TEST(a_node_without_host_has_the_limits_that_are_documented),
    TEST(every_hole_of_a_config_has_its_own_status),
    TEST(a_configuration_is_taken_at_its_limits_and_refused_beyond),
    TEST(a_guest_is_due_when_it_says_but_not_at_once_and_within_a_day),
    TEST(the_tape_of_a_start_and_of_a_step_is_whole),
    TEST(a_tape_without_room_for_what_a_call_gave_stops_the_guest),
    TEST(a_start_forgets_the_run_before),
    TEST(a_main_pauses_goes_on_and_ends),
    TEST(parameters_are_set_in_an_order_that_their_rule_takes_all_or_none),
    TEST(what_is_refused_is_asked_for_after_the_rest_then_by_way_of_0_and_then_goes_back),
    TEST(what_a_guest_does_while_it_is_loaded_has_a_budget_and_the_time_of_the_start),
    TEST(as_many_parameters_as_are_stored_are_set_at_the_start),
    TEST(a_birth_says_who_the_board_is),
    TEST(a_birth_has_names_of_any_length_whole),
    {NULL, NULL},
};
