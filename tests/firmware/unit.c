/* Runs the unit tests of the core: unit [FILE of vectors.py [--first]]. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const char *running;
static int failed;
const char *unit_vectors;

void unit_failed(const char *file, int line, const char *condition)
{
    printf("%s\n  %s, line %d: %s\n", running, file, line, condition);
    failed++;
}

const uint8_t old_guest[300] = {1, 2, 3};
const uint8_t new_guest[500] = {4, 5, 6};
fake f; /* too large for some stacks */

lv_text text(const char *bytes)
{
    return (lv_text){(const uint8_t *)bytes, (uint32_t)strlen(bytes), true};
}

void ready(void)
{
    fake_new(&f);
    fake_boot(&f);
    (void)fake_install(&f, old_guest, sizeof old_guest);
}

lv_status start(void)
{
    lv_msg_start m = {.time_ms = 1000};
    return lv_node_start(&f.node, &m);
}

lv_status step(int64_t time_ms)
{
    lv_msg_step m = {.time_ms = time_ms, .flags = LV_STEP_ONLINE, .readings = {1, 2, 3, 4}};
    return lv_node_step(&f.node, &m);
}

lv_msg_configure limits(uint32_t calls, uint32_t log_bytes, uint32_t publish_bytes)
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

int open_valve(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_STEP)
        lv_call_set_output(of->host, 23, 1);
    return 0;
}

extern const unit_test frame_tests[];
extern const unit_test host_tests[];
extern const unit_test calls_tests[];
extern const unit_test states_tests[];
extern const unit_test ring_tests[];
extern const unit_test store_tests[];
extern const unit_test kept_tests[];
extern const unit_test node_tests[];
extern const unit_test guest_tests[];
extern const unit_test runs_tests[];
extern const unit_test link_tests[];
extern const unit_test answers_tests[];
extern const unit_test json_tests[];
extern const unit_test manifest_tests[];
extern const unit_test update_tests[];
extern const unit_test vectors_tests[];

static const unit_test *const tables[] = {
    frame_tests,
    host_tests,
    calls_tests,
    states_tests,
    ring_tests,
    store_tests,
    kept_tests,
    node_tests,
    guest_tests,
    runs_tests,
    link_tests,
    answers_tests,
    json_tests,
    manifest_tests,
    update_tests,
    vectors_tests,
};

int main(int count, char **arguments)
{
    int passed = 0;
    bool first = count > 2 && strcmp(arguments[2], "--first") == 0; /* failure ends it */
    unit_vectors = count > 1 ? arguments[1] : NULL;
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++)
        for (const unit_test *test = tables[k]; test->name && !(failed && first); test++) {
            int before = failed;
            running = test->name;
            test->run();
            passed += failed == before;
        }
    printf("core: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
