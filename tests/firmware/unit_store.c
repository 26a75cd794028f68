/* The store: flash that fails and loses power. */
#include <string.h>

#include "bytes.h"
#include "unit.h"

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
    /* erasing, 500 bytes, the record in both places: old until the first is whole */
    EXPECT(at == FAKE_SLOT_BYTES + (long)sizeof new_guest + 2 * LV_RECORD_BYTES);
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
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_NAK_FLASH && f.parameters[0] == 20);
    f.flash_broken = false;
    EXPECT(lv_store_keep(&f.node.store, NULL, 0) == 0); /* whatever is saved next */
    fake_boot(&f);
    EXPECT(lv_node_start(&f.node, &again) == 0 && f.parameters[0] == 20);
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

static void a_third_installation_outlives_a_power_cut_as_the_two_before(void)
{
    static uint8_t module[3][200];
    ready();
    for (int round = 0; round < 7; round++) {
        uint8_t *wasm = module[round % 3];
        memset(wasm, 10 + round, sizeof module[0]);
        uint8_t before = f.node.store.active;
        EXPECT(fake_install(&f, wasm, sizeof module[0]) == LV_OK);
        EXPECT(f.node.store.active == !before && guest_is(wasm, sizeof module[0]));
        for (int boot = 0; boot < 2; boot++) {
            fake_boot(&f);
            EXPECT(f.node.store.active == !before && guest_is(wasm, sizeof module[0]));
        }
    }
}

static void several_calibrations_come_back_under_their_own_ids(void)
{
    uint8_t pairs[8 * 3];
    const int32_t wanted[3][2] = {{3, 33}, {1, 11}, {2, 22}};
    const lv_msg_start again = {.time_ms = 1000, .flags = LV_START_STORED_PARAMETERS};
    ready();
    EXPECT(start() == LV_OK);
    for (int k = 0; k < 3; k++) {
        lv_put32(pairs + 8 * k, (uint32_t)wanted[k][0]);
        lv_put32(pairs + 8 * k + 4, (uint32_t)wanted[k][1]);
    }
    const lv_msg_calibrate m = {.flags = 1, .parameters = pairs, .parameters_count = 3};
    EXPECT(lv_node_calibrate(&f.node, &m) == LV_OK);
    lv_put32(pairs + 8 + 4, 12); /* of id 1 alone, kept beside the others */
    const lv_msg_calibrate one = {.flags = 1, .parameters = pairs + 8, .parameters_count = 1};
    EXPECT(lv_node_calibrate(&f.node, &one) == LV_OK);
    fake_boot(&f);
    EXPECT(f.node.store.parameter_count == 3);
    EXPECT(lv_node_start(&f.node, &again) == LV_OK);
    EXPECT(f.parameters[0] == 10 && f.parameters[1] == 12 && f.parameters[2] == 22);
    EXPECT(f.parameters[3] == 33);
    EXPECT(start() == LV_OK && f.parameters[3] == 10); /* not asked for */
    EXPECT(fake_install(&f, old_guest, sizeof old_guest) == LV_OK); /* the same module again */
    EXPECT(f.node.store.parameter_count == 3);
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == LV_OK);
    EXPECT(f.node.store.parameter_count == 0);
}

static void pieces_are_taken_in_their_order_and_no_more_than_announced(void)
{
    static const uint8_t digest[32] = {1};
    const uint8_t *module;
    uint32_t size;
    ready();
    lv_store *s = &f.node.store;
    EXPECT(lv_store_chunk(s, 0, new_guest, 1) == LV_NAK_STATE);
    EXPECT(lv_store_begin(s, 0, digest) == LV_NAK_SIZE);
    EXPECT(lv_store_begin(s, FAKE_SLOT_BYTES + 1, digest) == LV_NAK_SIZE && !s->receiving);
    EXPECT(lv_store_begin(s, FAKE_SLOT_BYTES, digest) == LV_OK);
    EXPECT(lv_store_begin(s, 10, digest) == LV_OK);
    EXPECT(lv_store_chunk(s, 1, new_guest, 1) == LV_NAK_STATE);
    EXPECT(lv_store_chunk(s, 0, new_guest, 11) == LV_NAK_SIZE && s->received == 0);
    EXPECT(lv_store_chunk(s, 0, new_guest, 4) == LV_OK && s->received == 4);
    uint32_t once = s->writes;
    EXPECT(lv_store_chunk(s, 0, new_guest, 4) == LV_OK && s->received == 4);
    EXPECT(lv_store_chunk(s, 2, new_guest, 0) == LV_OK && s->writes == once);
    EXPECT(lv_store_chunk(s, 2, new_guest + 2, 3) == LV_OK && s->received == 5);
    EXPECT(s->writes == once + 1 && f.slots[!s->active][4] == new_guest[4]);
    EXPECT(lv_store_received(s, &module, &size) == LV_NAK_STATE);
    EXPECT(lv_store_chunk(s, 5, new_guest, 6) == LV_NAK_SIZE);
    EXPECT(lv_store_chunk(s, 5, new_guest, 5) == LV_OK && s->received == 10);
    EXPECT(lv_store_received(s, &module, &size) == LV_NAK_DIGEST && size == 10);
    EXPECT(module == f.slots[!s->active]);
    lv_store_abandon(s);
    EXPECT(!s->receiving && s->received == 0);
    EXPECT(lv_store_chunk(s, 0, new_guest, 1) == LV_NAK_STATE);
    EXPECT(guest_is(old_guest, sizeof old_guest));
    uint32_t writes = s->writes;
    EXPECT(lv_store_begin(s, 10, digest) == LV_OK && s->writes == writes + 1);
    EXPECT(lv_store_chunk(s, 0, new_guest, 4) == LV_OK && s->writes == writes + 2);
    EXPECT(lv_store_keep(s, NULL, 0) == LV_OK && s->writes == writes + 3);
}

static void a_slot_that_flash_has_lost_gives_way_to_the_one_before(void)
{
    ready();
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == LV_OK);
    f.slots[f.node.store.active][7] ^= 1;
    EXPECT(whole_guest() == 1);
    f.slots[f.node.store.active][7] ^= 1;
    fake_boot(&f);
    uint32_t size;
    EXPECT(lv_store_guest(&f.node.store, &size) == NULL && size == 0);
    EXPECT(start() == LV_NAK_NO_GUEST);
}

const unit_test store_tests[] = {
    TEST(a_power_cut_at_any_byte_leaves_the_old_guest_or_the_new_one),
    TEST(flash_that_cannot_be_written_keeps_the_old_guest),
    TEST(a_record_that_cannot_be_written_keeps_the_old_guest),
    TEST(without_flash_the_board_works_but_forgets),
    TEST(a_boot_id_is_never_used_twice),
    TEST(an_empty_flash_counts_from_the_boot_id_of_its_board),
    TEST(the_store_keeps_parameters_by_id_and_refuses_too_many),
    TEST(a_calibration_that_could_not_be_kept_does_not_come_back),
    TEST(after_a_failed_write_a_power_cut_still_leaves_the_newest_record),
    TEST(a_third_installation_outlives_a_power_cut_as_the_two_before),
    TEST(several_calibrations_come_back_under_their_own_ids),
    TEST(pieces_are_taken_in_their_order_and_no_more_than_announced),
    TEST(a_slot_that_flash_has_lost_gives_way_to_the_one_before),
    {NULL, NULL},
};
