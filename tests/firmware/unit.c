/* Unit tests of the core; names are sentences.  Runs with address and undefined-behaviour
 * sanitizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "bytes.h"
#include "fake.h"
#include "json.h"
#include "outbox.h"

static int failed;
static const char *running;

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s\n  line %d: %s\n", running, __LINE__, #condition);                          \
            failed++;                                                                              \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static const uint8_t old_guest[300] = {1, 2, 3};
static const uint8_t new_guest[500] = {4, 5, 6};
static fake f; /* too large for some stacks */

static lv_text text(const char *bytes)
{
    return (lv_text){(const uint8_t *)bytes, (uint32_t)strlen(bytes), true};
}

static void ready(void)
{
    fake_new(&f);
    fake_boot(&f);
    (void)fake_install(&f, old_guest, sizeof old_guest);
}

static lv_status start(void)
{
    lv_msg_start m = {.time_ms = 1000};
    return lv_node_start(&f.node, &m);
}

static lv_status step(int64_t time_ms)
{
    lv_msg_step m = {.time_ms = time_ms, .flags = LV_STEP_ONLINE, .readings = {1, 2, 3, 4}};
    return lv_node_step(&f.node, &m);
}

static lv_msg_configure limits(uint32_t calls, uint32_t log_bytes, uint32_t publish_bytes)
{
    lv_msg_configure m = {.node = "n",
                          .prefix = "ic/",
                          .imports = 0xFFE,
                          .pin_count = 2,
                          .pins = {23, 18},
                          .instructions = 1,
                          .deadline_ms = 5000,
                          .memory_pages = 1,
                          .host_calls = calls,
                          .log_bytes = log_bytes,
                          .publish_bytes = publish_bytes};
    return m;
}

/* --- known answers ------------------------------------------------------------------------------ */

static void sha256_has_the_digests_of_its_standard(void)
{
    /* FIPS 180-4 examples: "abc", and a million times "a" */
    static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf};
    static const uint8_t million[4] = {0xcd, 0xc7, 0x6e, 0x5c};
    uint8_t digest[32];
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, (const uint8_t *)"abc", 3);
    lv_sha256_end(&sha, digest);
    EXPECT(memcmp(digest, abc, 4) == 0);
    lv_sha256_begin(&sha);
    for (int k = 0; k < 1000000; k++)
        lv_sha256_add(&sha, (const uint8_t *)"a", 1);
    lv_sha256_end(&sha, digest);
    EXPECT(memcmp(digest, million, 4) == 0);
}

/* --- config ------------------------------------------------------------------------------------- */

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

/* --- host calls --------------------------------------------------------------------------------- */

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

/* --- the ring ----------------------------------------------------------------------------------- */

static void the_ring_keeps_order_and_counts_what_it_drops(void)
{
    uint8_t bytes[100];
    uint8_t out[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic;
    uint16_t length;
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    for (int k = 0; k < 1000; k++) { /* 11 + 4 + k % 20 bytes each: 2 to 6 fit */
        uint8_t message[20];
        memset(message, k, sizeof message);
        lv_ring_put(&ring, k, (const uint8_t *)"data", 4, message, (uint32_t)(k % 20));
        uint32_t last = lv_ring_peek(&ring, (uint16_t)(ring.waiting - 1), &time_ms, &topic,
                                     &length, out);
        EXPECT(last == (uint32_t)k + 1 && time_ms == k && topic == 4 && length == 4 + k % 20);
        EXPECT(memcmp(out, "data", 4) == 0 && memcmp(out + 4, message, (size_t)(k % 20)) == 0);
        EXPECT(ring.waiting + ring.dropped == (uint32_t)k + 1 && ring.used <= sizeof bytes);
    }
    EXPECT(ring.waiting >= 2);
}

static void the_ring_lets_go_of_what_is_acknowledged_and_nothing_else(void)
{
    uint8_t bytes[200];
    uint8_t out[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic;
    uint16_t length;
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    for (int k = 1; k <= 5; k++)
        lv_ring_put(&ring, k, (const uint8_t *)"t", 1, NULL, 0);
    lv_ring_acknowledge(&ring, 0);
    EXPECT(ring.waiting == 5);
    lv_ring_acknowledge(&ring, 3);
    EXPECT(lv_ring_peek(&ring, 0, &time_ms, &topic, &length, out) == 4);
    lv_ring_acknowledge(&ring, 3);
    EXPECT(ring.waiting == 2);
    lv_ring_acknowledge(&ring, 5);
    EXPECT(ring.waiting == 0 && ring.used == 0);
    EXPECT(lv_ring_peek(&ring, 0, &time_ms, &topic, &length, out) == 0);
}

static void the_ring_survives_a_wrap_of_its_numbers(void)
{
    uint8_t bytes[200];
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    ring.next = 0xFFFFFFFEu;
    for (int k = 0; k < 4; k++)
        lv_ring_put(&ring, k, (const uint8_t *)"t", 1, NULL, 0);
    lv_ring_acknowledge(&ring, 0xFFFFFFFEu);
    EXPECT(ring.waiting == 3);
    lv_ring_acknowledge(&ring, 0);
    EXPECT(ring.waiting == 1);
}

static void a_publication_larger_than_the_ring_is_counted(void)
{
    uint8_t bytes[10];
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    lv_ring_put(&ring, 0, (const uint8_t *)"t", 1, NULL, 0);
    EXPECT(ring.waiting == 0 && ring.dropped == 1);
}

/* --- flash -------------------------------------------------------------------------------------- */

static bool guest_is(const uint8_t *wasm, uint32_t size)
{
    uint32_t found;
    const uint8_t *module = lv_store_guest(&f.node.store, &found);
    return module && found == size && memcmp(module, wasm, size) == 0;
}

/* Boots a copy of flash as it is, and says whether a whole guest is there. */
static int whole_guest(void)
{
    fake_boot(&f);
    if (guest_is(old_guest, sizeof old_guest))
        return 1;
    return guest_is(new_guest, sizeof new_guest) ? 2 : 0;
}

static void a_power_cut_at_any_byte_leaves_the_old_guest_or_the_new_one(void)
{
    static fake before;
    volatile long at;
    volatile int changes = 0;
    volatile int last = 1;
    ready();
    before = f;
    for (at = 0;; at++) {
        f = before;
        f.config.context = &f;
        f.config.tape = f.tape;
        f.config.ring = f.ring;
        fake_boot(&f);
        f.power = at;
        if (setjmp(f.cut) == 0) {
            (void)fake_install(&f, new_guest, sizeof new_guest);
            break; /* enough power for all of it */
        }
        /* a second cut, in the middle of the first start after it */
        f.power = LV_RECORD_BYTES / 2;
        if (setjmp(f.cut) == 0)
            fake_boot(&f);
        f.power = -1;
        int found = whole_guest();
        EXPECT(found != 0);
        changes += found != last;
        last = found;
        EXPECT(f.node.store.boot_id >= before.node.store.boot_id);
    }
    /* erasing, 500 bytes, the record: old until the record is whole, which no cut within it is */
    EXPECT(at == FAKE_SLOT_BYTES + (long)sizeof new_guest + LV_RECORD_BYTES);
    EXPECT(changes <= 1);
    f.power = -1;
    EXPECT(whole_guest() == 2);
}

static void flash_that_cannot_be_written_keeps_the_old_guest(void)
{
    ready();
    start();
    f.flash_broken = true;
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == LV_NAK_FLASH);
    EXPECT(f.node.state == LV_NODE_RUNNING && step(2000) == 0);
    f.flash_broken = false;
    EXPECT(whole_guest() == 1);
}

static void a_record_that_cannot_be_written_keeps_the_old_guest(void)
{
    uint8_t digest[32];
    lv_sha256 sha;
    ready();
    start();
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, new_guest, sizeof new_guest);
    lv_sha256_end(&sha, digest);
    EXPECT(lv_store_begin(&f.node.store, sizeof new_guest, digest) == 0);
    EXPECT(lv_store_chunk(&f.node.store, 0, new_guest, sizeof new_guest) == 0);
    f.flash_broken = true;
    EXPECT(lv_node_install(&f.node) == LV_NAK_FLASH);
    EXPECT(step(2000) == 0 && guest_is(old_guest, sizeof old_guest));
}

static void without_flash_the_board_works_but_forgets(void)
{
    fake_new(&f);
    f.flash_broken = true;
    EXPECT(lv_node_init(&f.node, &f.config) == 0);
    EXPECT(start() == LV_NAK_NO_GUEST);
}

static void a_boot_id_is_never_used_twice(void)
{
    fake_new(&f);
    for (uint32_t k = 1; k < 20; k++) {
        fake_boot(&f);
        EXPECT(f.node.store.boot_id == k);
    }
}

static void an_empty_flash_counts_from_the_boot_id_of_its_board(void)
{
    fake_new(&f);
    f.config.first_boot_id = 1000;
    for (uint32_t k = 1000; k < 1003; k++) {
        fake_boot(&f);
        EXPECT(f.node.store.boot_id == k);
        f.config.first_boot_id = 7; /* of no use to one that counts already */
    }
}

static void the_store_keeps_parameters_by_id_and_refuses_too_many(void)
{
    uint8_t pairs[8 * (LV_PARAMETERS + 1)];
    ready();
    for (uint32_t k = 0; k <= LV_PARAMETERS; k++) {
        lv_put32(pairs + 8 * k, k);
        lv_put32(pairs + 8 * k + 4, 1000 + k);
    }
    EXPECT(lv_store_keep(&f.node.store, pairs, LV_PARAMETERS) == 0);
    EXPECT(lv_store_keep(&f.node.store, pairs, 1) == 0);
    EXPECT(lv_store_keep(&f.node.store, pairs + 8 * LV_PARAMETERS, 1) == LV_NAK_SIZE);
    fake_boot(&f);
    EXPECT(f.node.store.parameter_count == LV_PARAMETERS);
    EXPECT(f.node.store.parameters[31][1] == 1031);
}

static void a_calibration_that_could_not_be_kept_does_not_come_back(void)
{
    uint8_t pair[8] = {0};
    const lv_msg_start again = {.time_ms = 1000, .flags = LV_START_STORED_PARAMETERS};
    const lv_msg_calibrate m = {.flags = 1, .parameters = pair, .parameters_count = 1};
    ready();
    start();
    lv_put32(pair + 4, 20);
    EXPECT(lv_node_calibrate(&f.node, &m) == 0);
    f.flash_broken = true;
    lv_put32(pair + 4, 30);
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_NAK_FLASH && f.parameter == 20);
    f.flash_broken = false;
    EXPECT(lv_store_keep(&f.node.store, NULL, 0) == 0); /* whatever is saved next */
    fake_boot(&f);
    EXPECT(lv_node_start(&f.node, &again) == 0 && f.parameter == 20);
}

static void after_a_failed_write_a_power_cut_still_leaves_the_newest_record(void)
{
    uint8_t pair[8] = {0};
    ready();
    lv_put32(pair + 4, 20);
    EXPECT(lv_store_keep(&f.node.store, pair, 1) == 0);
    f.flash_broken = true;
    EXPECT(lv_store_keep(&f.node.store, pair, 1) == LV_NAK_FLASH);
    f.flash_broken = false;
    f.power = 10;
    if (setjmp(f.cut) == 0)
        (void)lv_store_keep(&f.node.store, pair, 1);
    f.power = -1;
    fake_boot(&f);
    EXPECT(f.node.store.parameter_count == 1 && f.node.store.parameters[0][1] == 20);
}

/* --- what a guest keeps ----------------------------------------------------------------------- */

static int32_t to_keep;
static int32_t valve_to;
static int32_t kept_at_start;

static int keeper(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_INIT)
        kept_at_start = lv_call_keep_get(of->host, 3);
    if (which == LV_EXPORT_STEP) {
        (void)lv_call_keep_set(of->host, 3, to_keep);
        lv_call_set_output(of->host, 23, valve_to);
    }
    return 0;
}

static lv_status step_after(int64_t uptime_ms)
{
    lv_msg_step m = {.time_ms = 1000 + uptime_ms, .uptime_ms = uptime_ms};
    return lv_node_step(&f.node, &m);
}

/* What a start finds after the power was gone. */
static int32_t found_after_power_loss(void)
{
    fake_boot(&f);
    kept_at_start = -1;
    return start() == 0 ? kept_at_start : -2;
}

static void ready_to_keep(void)
{
    ready();
    f.behave = keeper;
    to_keep = valve_to = 0;
    EXPECT(start() == 0);
}

static void a_power_cut_at_any_byte_leaves_the_old_value_or_the_new_one(void)
{
    static fake before;
    volatile long at;
    volatile int news = 0;
    ready_to_keep();
    to_keep = 11;
    EXPECT(step_after(1000) == 0);
    to_keep = 22;
    before = f;
    for (at = 0;; at++) {
        f = before;
        f.config.context = &f;
        f.config.tape = f.tape;
        f.config.ring = f.ring;
        EXPECT(found_after_power_loss() == 11);
        f.power = at;
        if (setjmp(f.cut) == 0) {
            (void)step_after(1000);
            f.power = -1;
            break;
        }
        f.power = -1;
        int32_t value = found_after_power_loss();
        EXPECT(value == 11 || value == 22);
        news += value == 22;
    }
    EXPECT(at == LV_KEPT_BYTES && news == 0);
    EXPECT(found_after_power_loss() == 22);
}

static void what_changes_often_is_written_seldom_but_with_the_outputs_at_once(void)
{
    ready_to_keep();
    f.config.keep_every_ms = 60000;
    uint32_t writes = f.node.kept.writes;
    for (int k = 1; k <= 61; k++) { /* the first change, and one a minute */
        to_keep = k;
        EXPECT(step_after(10000 * k) == 0);
    }
    EXPECT(f.node.kept.writes - writes == 1 + 10);
    to_keep = 100;
    EXPECT(step_after(611000) == 0);
    valve_to = 1;
    to_keep = 101;
    EXPECT(step_after(612000) == 0);
    EXPECT(found_after_power_loss() == 101);
    to_keep = 102;
    EXPECT(step_after(1000) == 0);
    to_keep = 103;
    EXPECT(step_after(2000) == 0);
    lv_node_close(&f.node); /* as before a restart */
    EXPECT(found_after_power_loss() == 103);
}

static void the_same_again_is_not_written(void)
{
    ready_to_keep();
    to_keep = 5;
    for (int k = 1; k < 50; k++)
        EXPECT(step_after(100000 * k) == 0);
    EXPECT(f.node.kept.writes == 1);
}

static void memory_that_outlives_a_restart_has_what_flash_has_not_yet(void)
{
    static uint8_t memory[LV_KEPT_BYTES];
    ready_to_keep();
    f.config.kept = memory;
    f.config.keep_every_ms = 60000;
    memset(memory, 0xA5, sizeof memory); /* as after power on */
    EXPECT(found_after_power_loss() == 0);
    to_keep = 1;
    EXPECT(step_after(1000) == 0);
    to_keep = 2;
    EXPECT(step_after(2000) == 0);
    EXPECT(found_after_power_loss() == 2); /* a restart: the memory is there */
    to_keep = 3;
    EXPECT(step_after(1000) == 0);
    to_keep = 4;
    EXPECT(step_after(2000) == 0);
    memory[30] ^= 1;
    EXPECT(found_after_power_loss() == 2); /* a power cut: as flash has it, written at the start */
}

static void without_flash_what_is_kept_lasts_until_the_power_goes(void)
{
    ready_to_keep();
    to_keep = 7;
    f.flash_broken = true;
    EXPECT(step_after(1000) == 0 && start() == 0 && kept_at_start == 7);
    EXPECT(found_after_power_loss() == 0);
}

static void what_another_module_kept_is_not_found(void)
{
    ready_to_keep();
    to_keep = 7;
    EXPECT(step_after(1000) == 0);
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == 0);
    EXPECT(start() == 0 && kept_at_start == 0);
    EXPECT(fake_install(&f, old_guest, sizeof old_guest) == 0);
    EXPECT(start() == 0 && kept_at_start == 0);
}

static void a_slot_beyond_the_last_is_invalid(void)
{
    ready_to_keep();
    lv_host *h = &f.node.host;
    const int32_t beyond[] = {-1, LV_KEEP_SLOTS, INT32_MAX, INT32_MIN};
    for (int k = 0; k < 4; k++) {
        EXPECT(lv_call_keep_get(h, beyond[k]) == LV_RESULT_INVALID);
        EXPECT(lv_call_keep_set(h, beyond[k], 1) == LV_RESULT_INVALID);
    }
    EXPECT(lv_call_keep_set(h, LV_KEEP_SLOTS - 1, INT32_MIN) == LV_RESULT_OK);
    EXPECT(lv_call_keep_get(h, LV_KEEP_SLOTS - 1) == INT32_MIN);
}

/* --- the node ----------------------------------------------------------------------------------- */

static int open_valve(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_STEP)
        lv_call_set_output(of->host, 23, 1);
    return 0;
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

/* --- the link ----------------------------------------------------------------------------------- */

static void a_reset_restarts_after_the_answer(void)
{
    const uint8_t session[4] = {0};
    ready();
    EXPECT(fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL) == LV_MSG_BIRTH);
    EXPECT(fake_ask(&f, LV_MSG_RESET, 6, NULL, 0, NULL, NULL) == LV_MSG_ACK);
    EXPECT(f.restarts == 1);
    /* a stale request ends the session; what comes under an old number then is refused */
    EXPECT(fake_ask(&f, LV_MSG_PING, 99, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    EXPECT(fake_ask(&f, LV_MSG_RESET, 6, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    EXPECT(f.restarts == 1);
}

static void a_reset_closes_the_valve_before_it_answers(void)
{
    const uint8_t session[4] = {0};
    ready();
    start();
    lv_call_set_output(&f.node.host, 23, 1);
    EXPECT(f.pins[23] == 1);
    EXPECT(fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL) == LV_MSG_BIRTH);
    lv_call_set_output(&f.node.host, 23, 1);
    f.valve_at_send = -1;
    EXPECT(fake_ask(&f, LV_MSG_RESET, 6, NULL, 0, NULL, NULL) == LV_MSG_ACK);
    EXPECT(f.valve_at_send == 0 && f.restarts == 1);
}

/* --- outbox ----------------------------------------------------------------------------------- */

static lv_outbox box;
static lv_ring waiting;
static uint8_t waiting_bytes[4096];

static void put_records(int count)
{
    for (int k = 0; k < count; k++)
        lv_ring_put(&waiting, 0, (const uint8_t *)"data", 4, (const uint8_t *)"{}", 2);
}

static void begin_records(int count)
{
    lv_ring_init(&waiting, waiting_bytes, sizeof waiting_bytes);
    lv_outbox_begin(&box);
    put_records(count);
}

/* Send all that is due; the numbers sent are first..last, or none if last is 0. */
static uint32_t send_due(uint32_t now_ms, uint32_t *first)
{
    uint8_t out[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic;
    uint16_t length;
    uint16_t index;
    uint32_t last = 0;
    *first = 0;
    while (lv_outbox_due(&box, &waiting, now_ms, &index)) {
        uint32_t sequence = lv_ring_peek(&waiting, index, &time_ms, &topic, &length, out);
        if (*first == 0)
            *first = sequence;
        else if (sequence != last + 1)
            return 0;
        last = sequence;
        lv_outbox_sent(&box, now_ms);
    }
    return last;
}

static void what_is_newer_leaves_although_the_oldest_are_not_acknowledged(void)
{
    uint32_t first;
    begin_records(20);
    EXPECT(send_due(0, &first) == 8 && first == 1);
    EXPECT(send_due(LV_OUTBOX_PATIENCE_MS, &first) == 0);
    EXPECT(send_due(LV_OUTBOX_PATIENCE_MS + 1, &first) == 16 && first == 9);
    EXPECT(send_due(2 * LV_OUTBOX_PATIENCE_MS + 2, &first) == 20 && first == 17);
    put_records(1);
    EXPECT(send_due(2 * LV_OUTBOX_PATIENCE_MS + 3, &first) == 21 && first == 21);
    /* and then once more from the oldest */
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS, &first) == 0);
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS + 1, &first) == 8 && first == 1);
}

static void the_oldest_are_repeated_although_new_ones_keep_coming(void)
{
    uint32_t first = 0;
    uint32_t now_ms = 0;
    begin_records(1);
    EXPECT(send_due(now_ms, &first) == 1);
    for (first = 2; first != 1 && now_ms < 60000; now_ms += 1000) {
        put_records(1);
        (void)send_due(now_ms, &first);
    }
    EXPECT(first == 1);
}

static void an_acknowledgement_lets_as_many_more_leave(void)
{
    uint32_t first;
    begin_records(30);
    EXPECT(send_due(0, &first) == 8);
    lv_ring_acknowledge(&waiting, 3);
    lv_outbox_heard(&box, 10);
    EXPECT(send_due(10, &first) == 11 && first == 9);
    lv_ring_acknowledge(&waiting, 30);
    EXPECT(send_due(20, &first) == 0);
    put_records(1);
    EXPECT(send_due(30, &first) == 31 && first == 31);
}

static void a_new_client_has_sent_nothing_and_confirms_nothing(void)
{
    uint32_t first;
    begin_records(3);
    EXPECT(send_due(0, &first) == 3);
    lv_outbox_begin(&box);
    lv_outbox_confirmed(&box, &waiting);
    EXPECT(waiting.waiting == 3 && !lv_outbox_has_sent(&box, 1));
    EXPECT(send_due(1, &first) == 3 && first == 1);
    EXPECT(lv_outbox_has_sent(&box, 3) && !lv_outbox_has_sent(&box, 4));
    lv_outbox_confirmed(&box, &waiting);
    EXPECT(waiting.waiting == 0);
}

static void a_new_connection_begins_with_the_oldest_and_knows_what_has_left(void)
{
    uint32_t first;
    begin_records(10);
    EXPECT(send_due(0, &first) == 8);
    lv_outbox_again(&box);
    EXPECT(send_due(1, &first) == 8 && first == 1);
    EXPECT(lv_outbox_has_sent(&box, 8) && !lv_outbox_has_sent(&box, 9));
}

static void records_that_gave_way_in_a_full_ring_are_not_looked_for(void)
{
    uint32_t first;
    begin_records(4);
    EXPECT(send_due(0, &first) == 4);
    put_records(400);
    EXPECT(waiting.dropped > 0);
    uint32_t oldest = waiting.next - waiting.waiting;
    EXPECT(send_due(1, &first) == oldest + 7 && first == oldest);
}

static void the_outbox_works_across_a_wrap_of_numbers_and_of_the_clock(void)
{
    uint32_t first;
    begin_records(0);
    waiting.next = UINT32_MAX - 3;
    put_records(3);
    EXPECT(send_due(UINT32_MAX - 5, &first) == UINT32_MAX - 1 && first == UINT32_MAX - 3);
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS - 7, &first) == 0);
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS, &first) == UINT32_MAX - 1);
}

/* --- back-off --------------------------------------------------------------------------------- */

static void the_wait_doubles_up_to_its_limit_and_is_scattered_over_its_upper_half(void)
{
    lv_backoff b = {.first_ms = 500, .most_ms = 300000};
    uint32_t longest = 500;
    for (int k = 0; k < 40; k++) {
        lv_backoff least = b;
        EXPECT(lv_backoff_wait_ms(&least, longest / 2) == longest - longest / 2);
        EXPECT(lv_backoff_wait_ms(&b, 0) == longest);
        longest = longest * 2 > 300000 ? 300000 : longest * 2;
    }
    lv_backoff_reset(&b);
    EXPECT(lv_backoff_wait_ms(&b, 0) == 500);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static int read_nested(int depth, char open, char close)
{
    static char bytes[4096];
    lv_json root;
    int length = 0;
    for (int k = 0; k < depth; k++) {
        bytes[length++] = open;
        if (open == '{' && k < depth - 1)
            for (const char *name = "\"a\":"; *name;)
                bytes[length++] = *name++;
    }
    for (int k = 0; k < depth; k++)
        bytes[length++] = close;
    return lv_json_read(bytes, (size_t)length, &root);
}

static void json_nested_deeper_than_the_limit_is_refused_however_deep(void)
{
    EXPECT(read_nested(LV_JSON_DEPTH, '[', ']') == 0 && read_nested(LV_JSON_DEPTH, '{', '}') == 0);
    EXPECT(read_nested(LV_JSON_DEPTH + 1, '[', ']') == LV_JSON_DEEP);
    EXPECT(read_nested(LV_JSON_DEPTH + 1, '{', '}') == LV_JSON_DEEP);
    EXPECT(read_nested(400, '{', '}') == LV_JSON_DEEP && read_nested(2000, '[', ']') == LV_JSON_DEEP);
}

static void json_that_has_no_room_is_not_written_in_part(void)
{
    static const char whole[] = "{\"name\":\"a\\\"\\u0001\",\"n\":[-9,true],\"o\":{}}";
    char out[sizeof whole];
    for (size_t size = 0; size <= sizeof whole; size++) {
        lv_json_writer w;
        lv_json_begin(&w, out, size);
        lv_json_put_text(&w, "name", "a\"\1");
        lv_json_open(&w, "n", '[');
        lv_json_put_integer(&w, NULL, -9);
        lv_json_put_bool(&w, NULL, true);
        lv_json_close(&w, ']');
        lv_json_open(&w, "o", '{');
        lv_json_close(&w, '}');
        const char *text = lv_json_end(&w);
        EXPECT((text != NULL) == (size == sizeof whole));
        EXPECT(!text || strcmp(text, whole) == 0);
    }
}

static void a_board_refuses_faults(void)
{
    const uint8_t session[4] = {0};
    const uint8_t fault[10] = {1};
    const uint8_t *body;
    uint16_t length;
    ready();
    fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL);
    EXPECT(fake_ask(&f, LV_MSG_FAULT, 6, fault, 10, &body, &length) == LV_MSG_NAK);
    EXPECT(body[0] == LV_NAK_UNKNOWN);
}

static void answers_are_ignored_as_requests(void)
{
    const uint8_t session[4] = {0};
    ready();
    fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL);
    for (int type = LV_MSG_ACK; type < 256; type++)
        EXPECT(fake_ask(&f, (uint8_t)type, (uint16_t)(type - LV_MSG_ACK + 6), NULL, 0, NULL,
                        NULL) == LV_MSG_NAK);
}

/* --- the lease of a session, on a clock of our own ---------------------------------------------- */

enum { LEASE_MS = 4000 };

/* A valve that a guest has opened for the host of session 7, asked last at 10 s. */
static void opened_for_session_7(void)
{
    const uint8_t session[4] = {7};
    uint8_t body[LV_MAX_BODY];
    lv_msg_configure m = limits(10, 10, 10);
    lv_msg_step s = {.time_ms = 2000};
    m.lease_ms = LEASE_MS;
    ready();
    f.behave = open_valve;
    (void)fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL);
    (void)fake_ask(&f, LV_MSG_CONFIGURE, 6, body, lv_msg_configure_pack(&m, body), NULL, NULL);
    (void)start();
    (void)fake_ask(&f, LV_MSG_STEP, 7, body, lv_msg_step_pack(&s, body), NULL, NULL);
    lv_link_tick(&f.link, 10000);
}

static void heartbeat(uint8_t session)
{
    const uint8_t body[4] = {session};
    (void)fake_ask(&f, LV_MSG_HEARTBEAT, 0, body, 4, NULL, NULL);
}

static void a_heartbeat_renews_the_lease_is_not_answered_and_takes_no_number(void)
{
    opened_for_session_7();
    uint32_t frames = f.link.frames;
    for (uint32_t now_ms = 10000; now_ms <= 70000; now_ms += LEASE_MS) {
        heartbeat(7);
        EXPECT(f.sent_length == 0);
        lv_link_tick(&f.link, now_ms);
    }
    EXPECT(f.pins[23] == 1 && !f.node.lease_expired);
    EXPECT(f.link.frames == frames); /* it is no request */
    EXPECT(fake_ask(&f, LV_MSG_PING, 8, NULL, 0, NULL, NULL) == LV_MSG_PONG);
}

static void without_its_host_the_valve_is_closed_one_lease_after_the_last_heartbeat(void)
{
    opened_for_session_7();
    heartbeat(7);
    lv_link_tick(&f.link, 12000);
    lv_link_tick(&f.link, 12000 + LEASE_MS);
    EXPECT(f.pins[23] == 1);
    lv_link_tick(&f.link, 12000 + LEASE_MS + 1);
    EXPECT(f.pins[23] == 0);
}

static void a_host_that_has_lost_its_session_keeps_no_valve_open(void)
{
    opened_for_session_7();
    heartbeat(6);
    lv_link_tick(&f.link, 14001);
    EXPECT(f.pins[23] == 0);

    opened_for_session_7(); /* a stale request ends the session: nobody has it then */
    EXPECT(fake_ask(&f, LV_MSG_PING, 99, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    heartbeat(7);
    EXPECT(fake_ask(&f, LV_MSG_PING, 100, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    lv_link_tick(&f.link, 14001);
    EXPECT(f.pins[23] == 0);
}

static void a_heartbeat_of_another_length_renews_nothing(void)
{
    const uint8_t body[5] = {7};
    opened_for_session_7();
    (void)fake_ask(&f, LV_MSG_HEARTBEAT, 0, body, 3, NULL, NULL);
    (void)fake_ask(&f, LV_MSG_HEARTBEAT, 0, body, 5, NULL, NULL);
    EXPECT(f.sent_length == 0);
    lv_link_tick(&f.link, 14001);
    EXPECT(f.pins[23] == 0);
}

static void the_lease_counts_from_the_answer_however_long_the_guest_ran(void)
{
    uint8_t body[LV_MAX_BODY];
    lv_msg_step s = {.time_ms = 3000};
    opened_for_session_7();
    (void)fake_ask(&f, LV_MSG_STEP, 8, body, lv_msg_step_pack(&s, body), NULL, NULL);
    lv_link_tick(&f.link, 15000); /* a step of 5 s */
    EXPECT(f.pins[23] == 1);
    lv_link_tick(&f.link, 19001);
    EXPECT(f.pins[23] == 0);
}

static void the_end_of_a_lease_is_told_once_by_whatever_comes_next(void)
{
    const uint8_t *body;
    uint16_t length;
    uint8_t request[LV_MAX_BODY];
    lv_msg_start s = {.time_ms = 3000};
    const uint8_t other[4] = {8};

    opened_for_session_7();
    lv_link_tick(&f.link, 14001);
    EXPECT(fake_ask(&f, LV_MSG_START, 8, request, lv_msg_start_pack(&s, request), &body, &length));
    EXPECT(body[2] == LV_STEP_LEASE_EXPIRED);
    EXPECT(fake_ask(&f, LV_MSG_CLOSE, 9, NULL, 0, &body, &length) == LV_MSG_ACK && body[0] == 0);

    opened_for_session_7();
    lv_link_tick(&f.link, 14001);
    EXPECT(fake_ask(&f, LV_MSG_CLOSE, 8, NULL, 0, &body, &length) == LV_MSG_ACK && body[0] == 1);

    opened_for_session_7(); /* another host is not told of the lease of the one before */
    lv_link_tick(&f.link, 14001);
    (void)fake_ask(&f, LV_MSG_HELLO, 50, other, 4, NULL, NULL);
    EXPECT(fake_ask(&f, LV_MSG_CLOSE, 51, NULL, 0, &body, &length) == LV_MSG_ACK && body[0] == 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
#define TEST(name) {#name, name}
    TEST(sha256_has_the_digests_of_its_standard),
    TEST(init_refuses_a_config_with_a_hole),
    TEST(configure_refuses_what_the_board_has_no_room_for),
    TEST(the_longest_names_fit),
    TEST(checks_come_in_the_order_of_the_abi),
    TEST(a_call_that_stops_the_guest_leaves_no_record),
    TEST(flow_counts_pulses_since_the_last_read),
    TEST(seconds_are_those_before_1970_too_and_wrap),
    TEST(a_tape_that_is_full_stops_the_guest),
    TEST(the_ring_keeps_order_and_counts_what_it_drops),
    TEST(the_ring_lets_go_of_what_is_acknowledged_and_nothing_else),
    TEST(the_ring_survives_a_wrap_of_its_numbers),
    TEST(a_publication_larger_than_the_ring_is_counted),
    TEST(a_power_cut_at_any_byte_leaves_the_old_guest_or_the_new_one),
    TEST(flash_that_cannot_be_written_keeps_the_old_guest),
    TEST(a_record_that_cannot_be_written_keeps_the_old_guest),
    TEST(without_flash_the_board_works_but_forgets),
    TEST(a_boot_id_is_never_used_twice),
    TEST(an_empty_flash_counts_from_the_boot_id_of_its_board),
    TEST(the_store_keeps_parameters_by_id_and_refuses_too_many),
    TEST(a_calibration_that_could_not_be_kept_does_not_come_back),
    TEST(after_a_failed_write_a_power_cut_still_leaves_the_newest_record),
    TEST(a_power_cut_at_any_byte_leaves_the_old_value_or_the_new_one),
    TEST(what_changes_often_is_written_seldom_but_with_the_outputs_at_once),
    TEST(the_same_again_is_not_written),
    TEST(memory_that_outlives_a_restart_has_what_flash_has_not_yet),
    TEST(without_flash_what_is_kept_lasts_until_the_power_goes),
    TEST(what_another_module_kept_is_not_found),
    TEST(a_slot_beyond_the_last_is_invalid),
    TEST(the_watchdog_guards_every_call_and_nothing_else),
    TEST(a_trap_closes_the_valve_and_stops_the_guest),
    TEST(a_trap_during_calibration_stops_the_guest_too),
    TEST(the_lease_closes_the_valve_once_and_across_a_wrap_of_the_clock),
    TEST(a_time_that_no_sum_can_hold_is_refused),
    TEST(time_with_the_valve_open_is_counted),
    TEST(a_changed_pin_map_closes_the_pins_of_the_old_one),
    TEST(a_reset_restarts_after_the_answer),
    TEST(a_reset_closes_the_valve_before_it_answers),
    TEST(what_is_newer_leaves_although_the_oldest_are_not_acknowledged),
    TEST(the_oldest_are_repeated_although_new_ones_keep_coming),
    TEST(an_acknowledgement_lets_as_many_more_leave),
    TEST(a_new_client_has_sent_nothing_and_confirms_nothing),
    TEST(a_new_connection_begins_with_the_oldest_and_knows_what_has_left),
    TEST(records_that_gave_way_in_a_full_ring_are_not_looked_for),
    TEST(the_outbox_works_across_a_wrap_of_numbers_and_of_the_clock),
    TEST(the_wait_doubles_up_to_its_limit_and_is_scattered_over_its_upper_half),
    TEST(json_nested_deeper_than_the_limit_is_refused_however_deep),
    TEST(json_that_has_no_room_is_not_written_in_part),
    TEST(a_board_refuses_faults),
    TEST(answers_are_ignored_as_requests),
    TEST(a_heartbeat_renews_the_lease_is_not_answered_and_takes_no_number),
    TEST(without_its_host_the_valve_is_closed_one_lease_after_the_last_heartbeat),
    TEST(a_host_that_has_lost_its_session_keeps_no_valve_open),
    TEST(a_heartbeat_of_another_length_renews_nothing),
    TEST(the_lease_counts_from_the_answer_however_long_the_guest_ran),
    TEST(the_end_of_a_lease_is_told_once_by_whatever_comes_next),
};

int main(void)
{
    int count = sizeof tests / sizeof *tests;
    for (int k = 0; k < count; k++) {
        running = tests[k].name;
        tests[k].run();
    }
    printf("core: %d passed, %d failed\n", count - failed, failed);
    return failed != 0;
}
