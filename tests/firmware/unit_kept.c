/* What a guest keeps. */
#include <string.h>

#include "unit.h"

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

static void a_power_cut_in_the_third_write_of_one_start_leaves_the_second(void)
{
    ready_to_keep();
    for (to_keep = 11; to_keep < 33; to_keep += 11)
        EXPECT(step_after(1000 * to_keep) == 0);
    f.power = 10;
    if (setjmp(f.cut) == 0)
        (void)step_after(40000);
    EXPECT(f.power == 0);
    f.power = -1;
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

static void a_change_is_saved_though_another_slot_is_set_to_what_it_was(void)
{
    ready_to_keep();
    lv_kept_set(&f.node.kept, 3, 9);
    lv_kept_set(&f.node.kept, 4, 0);
    lv_kept_save(&f.node.kept, 0, true);
    EXPECT(found_after_power_loss() == 9);
    lv_kept_forget(&f.node.kept);
    lv_kept_save(&f.node.kept, 0, true);
    EXPECT(found_after_power_loss() == 0);
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

const unit_test kept_tests[] = {
    TEST(a_power_cut_at_any_byte_leaves_the_old_value_or_the_new_one),
    TEST(a_power_cut_in_the_third_write_of_one_start_leaves_the_second),
    TEST(what_changes_often_is_written_seldom_but_with_the_outputs_at_once),
    TEST(the_same_again_is_not_written),
    TEST(a_change_is_saved_though_another_slot_is_set_to_what_it_was),
    TEST(memory_that_outlives_a_restart_has_what_flash_has_not_yet),
    TEST(without_flash_what_is_kept_lasts_until_the_power_goes),
    TEST(what_another_module_kept_is_not_found),
    TEST(a_slot_beyond_the_last_is_invalid),
    {NULL, NULL},
};
