/* The states of a node: every transition of the drawing in node.h is walked, and every request that it
 * refuses is refused in that state. */
#include <string.h>

#include "bytes.h"
#include "unit.h"

static int32_t step_result;
static int trap_at; /* the export that traps, or LV_EXPORTS */

static int misbehave(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    (void)arguments;
    if (which == LV_EXPORT_INIT || which == LV_EXPORT_STEP)
        lv_call_set_output(of->host, 23, 1);
    if (which == LV_EXPORT_STEP)
        *result = step_result;
    return (int)which == trap_at ? LV_TRAP_UNREACHABLE : 0;
}

/* A node in that state, its output open if its guest runs. */
static void in(lv_node_state state)
{
    ready();
    f.behave = misbehave;
    step_result = 1000;
    trap_at = LV_EXPORTS;
    if (state == LV_NODE_IDLE)
        return;
    (void)start();
    if (state == LV_NODE_STOPPED) {
        trap_at = LV_EXPORT_STEP;
        (void)step(2000);
        trap_at = LV_EXPORTS;
    }
}

/* --- requests ---------------------------------------------------------------------------------- */

static lv_status start_that_runs(void) { return start(); }

static lv_status start_that_traps(void)
{
    trap_at = LV_EXPORT_INIT;
    return start();
}

static lv_status start_that_traps_in_its_start_function(void)
{
    f.load_result = LV_TRAP_UNREACHABLE;
    return start();
}

static lv_status start_of_a_module_that_does_not_load(void)
{
    f.load_result = -3;
    return start();
}

static lv_status start_of_a_module_that_exports_nothing(void)
{
    memset(f.has, 0, sizeof f.has);
    return start();
}

static lv_status start_without_a_module(void)
{
    f.node.store.size[0] = f.node.store.size[1] = 0;
    return start();
}

static lv_status start_at_no_time(void)
{
    const lv_msg_start m = {.time_ms = INT64_MAX};
    return lv_node_start(&f.node, &m);
}

static lv_status start_with_a_parameter_that_is_refused(void)
{
    static const uint8_t pair[8] = {0, 0, 0, 0, 101};
    const lv_msg_start m = {.time_ms = 1000, .parameters = pair, .parameters_count = 1};
    return lv_node_start(&f.node, &m);
}

static lv_status start_with_a_parameter_that_traps(void)
{
    static const uint8_t pair[8] = {0, 0, 0, 0, 50};
    const lv_msg_start m = {.time_ms = 1000, .parameters = pair, .parameters_count = 1};
    trap_at = LV_EXPORT_PARAM_SET;
    return lv_node_start(&f.node, &m);
}

static lv_status step_that_ends(void) { return step(3000); }

static lv_status step_that_traps(void)
{
    trap_at = LV_EXPORT_STEP;
    return step(3000);
}

static lv_status step_whose_result_is_negative(void)
{
    step_result = -1;
    return step(3000);
}

static lv_status step_at_no_time(void) { return step(INT64_MIN); }

static lv_status calibrate_to(uint8_t value)
{
    const uint8_t pair[8] = {1, 0, 0, 0, value};
    const lv_msg_calibrate m = {.parameters = pair, .parameters_count = 1};
    return lv_node_calibrate(&f.node, &m);
}

static lv_status calibrate(void) { return calibrate_to(20); }
static lv_status calibrate_out_of_range(void) { return calibrate_to(101); }

static lv_status calibrate_that_traps(void)
{
    trap_at = LV_EXPORT_PARAM_SET;
    return calibrate_to(20);
}

static lv_status get(void)
{
    int32_t value = -1;
    lv_status status = lv_node_get(&f.node, 2, &value);
    return status == LV_OK && value != 10 ? LV_NAK_VALUE : status;
}

static lv_status get_that_traps(void)
{
    int32_t value;
    trap_at = LV_EXPORT_PARAM_GET;
    return lv_node_get(&f.node, 2, &value);
}

static lv_status install(void) { return fake_install(&f, new_guest, sizeof new_guest); }

static lv_status install_of_nothing(void) { return lv_node_install(&f.node); }

static lv_status install_of_a_module_that_does_not_load(void)
{
    f.load_result = -1;
    return install();
}

static lv_status close_it(void)
{
    lv_node_close(&f.node);
    return LV_OK;
}

static lv_status configure(void)
{
    const lv_msg_configure m = limits(10, 100, 100);
    return lv_node_configure(&f.node, &m);
}

static lv_status configure_with_no_memory(void)
{
    lv_msg_configure m = limits(10, 100, 100);
    m.memory_pages = 0;
    return lv_node_configure(&f.node, &m);
}

static lv_status tick_beyond_the_lease(void)
{
    f.node.lease_ms = 1000;
    lv_node_heard(&f.node, 0);
    lv_node_tick(&f.node, 1001);
    return LV_OK;
}

/* --- the table --------------------------------------------------------------------------------- */

#define I LV_NODE_IDLE
#define R LV_NODE_RUNNING
#define S LV_NODE_STOPPED

static const struct {
    lv_status (*request)(void);
    struct {
        lv_status status;
        lv_node_state to;
    } from[3]; /* IDLE, RUNNING, STOPPED */
} rows[] = {
    {start_that_runs, {{LV_OK, R}, {LV_OK, R}, {LV_OK, R}}},
    {start_that_traps, {{LV_OK, S}, {LV_OK, S}, {LV_OK, S}}},
    {start_that_traps_in_its_start_function, {{LV_OK, S}, {LV_OK, S}, {LV_OK, S}}},
    {start_with_a_parameter_that_traps, {{LV_OK, S}, {LV_OK, S}, {LV_OK, S}}},
    {start_of_a_module_that_does_not_load,
     {{LV_NAK_LOAD, I}, {LV_NAK_LOAD, I}, {LV_NAK_LOAD, I}}},
    {start_of_a_module_that_exports_nothing,
     {{LV_NAK_LOAD, I}, {LV_NAK_LOAD, I}, {LV_NAK_LOAD, I}}},
    {start_with_a_parameter_that_is_refused,
     {{LV_NAK_PARAMETER, I}, {LV_NAK_PARAMETER, I}, {LV_NAK_PARAMETER, I}}},
    {start_without_a_module, {{LV_NAK_NO_GUEST, I}, {LV_NAK_NO_GUEST, R}, {LV_NAK_NO_GUEST, S}}},
    {start_at_no_time, {{LV_NAK_VALUE, I}, {LV_NAK_VALUE, R}, {LV_NAK_VALUE, S}}},
    {step_that_ends, {{LV_NAK_NO_GUEST, I}, {LV_OK, R}, {LV_NAK_STOPPED, S}}},
    {step_that_traps, {{LV_NAK_NO_GUEST, I}, {LV_OK, S}, {LV_NAK_STOPPED, S}}},
    {step_whose_result_is_negative, {{LV_NAK_NO_GUEST, I}, {LV_OK, S}, {LV_NAK_STOPPED, S}}},
    {step_at_no_time, {{LV_NAK_NO_GUEST, I}, {LV_NAK_VALUE, R}, {LV_NAK_STOPPED, S}}},
    {calibrate, {{LV_NAK_NO_GUEST, I}, {LV_OK, R}, {LV_NAK_STOPPED, S}}},
    {calibrate_out_of_range, {{LV_NAK_NO_GUEST, I}, {LV_NAK_PARAMETER, R}, {LV_NAK_STOPPED, S}}},
    {calibrate_that_traps, {{LV_NAK_NO_GUEST, I}, {LV_NAK_STOPPED, S}, {LV_NAK_STOPPED, S}}},
    {get, {{LV_NAK_NO_GUEST, I}, {LV_OK, R}, {LV_NAK_STOPPED, S}}},
    {get_that_traps, {{LV_NAK_NO_GUEST, I}, {LV_NAK_STOPPED, S}, {LV_NAK_STOPPED, S}}},
    {install, {{LV_OK, I}, {LV_OK, I}, {LV_OK, I}}},
    {install_of_nothing, {{LV_NAK_STATE, I}, {LV_NAK_STATE, R}, {LV_NAK_STATE, S}}},
    {install_of_a_module_that_does_not_load,
     {{LV_NAK_LOAD, I}, {LV_NAK_LOAD, R}, {LV_NAK_LOAD, S}}},
    {close_it, {{LV_OK, I}, {LV_OK, I}, {LV_OK, I}}},
    {configure, {{LV_OK, I}, {LV_OK, R}, {LV_OK, S}}},
    {configure_with_no_memory, {{LV_NAK_VALUE, I}, {LV_NAK_VALUE, R}, {LV_NAK_VALUE, S}}},
    {tick_beyond_the_lease, {{LV_OK, I}, {LV_OK, R}, {LV_OK, S}}},
};

static void every_request_in_every_state_leads_where_the_drawing_says(void)
{
    bool walked[3][3] = {{false}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (int state = (int)I; state <= (int)S; state++) {
            in((lv_node_state)state);
            EXPECT(f.node.state == (lv_node_state)state);
            lv_status status = rows[k].request();
            EXPECT(status == rows[k].from[state].status);
            EXPECT(f.node.state == rows[k].from[state].to);
            walked[state][f.node.state] = true;
            /* whoever is not running has its outputs closed, nothing loaded and nothing to wait for */
            bool runs = f.node.state == LV_NODE_RUNNING;
            EXPECT(f.loaded == runs && (runs || f.pins[23] == 0));
            EXPECT(runs || (f.node.host.outputs == 0 && f.node.wake_ms == LV_NEVER_MS));
            EXPECT(f.watchdog_ms == 0);
        }
    for (int from = (int)I; from <= (int)S; from++)
        for (int to = (int)I; to <= (int)S; to++)
            EXPECT(walked[from][to]);
}

static void a_refusal_leaves_the_output_of_a_guest_that_runs_on_as_it_is(void)
{
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        in(LV_NODE_RUNNING);
        EXPECT(f.pins[23] == 1);
        if (rows[k].request() != LV_OK && f.node.state == LV_NODE_RUNNING)
            EXPECT(f.pins[23] == 1);
    }
}

static void a_refusal_says_more_in_its_detail(void)
{
    in(LV_NODE_STOPPED);
    EXPECT(step(3000) == LV_NAK_STOPPED && f.node.detail == LV_TRAP_UNREACHABLE);
    f.node.detail = 0;
    EXPECT(calibrate() == LV_NAK_STOPPED && f.node.detail == LV_TRAP_UNREACHABLE);
    f.node.detail = 0;
    EXPECT(get() == LV_NAK_STOPPED && f.node.detail == LV_TRAP_UNREACHABLE);
    in(LV_NODE_IDLE);
    f.node.detail = 7;
    EXPECT(step(3000) == LV_NAK_NO_GUEST && f.node.detail == 0);
    f.node.detail = 7;
    EXPECT(calibrate() == LV_NAK_NO_GUEST && f.node.detail == 0);
    f.node.detail = 7;
    EXPECT(get() == LV_NAK_NO_GUEST && f.node.detail == 0);
    f.node.detail = 7;
    EXPECT(start_at_no_time() == LV_NAK_VALUE && f.node.detail == 0);
    f.node.detail = 7;
    EXPECT(start_of_a_module_that_exports_nothing() == LV_NAK_LOAD && f.node.detail == 0);
    f.node.detail = 7;
    EXPECT(start_without_a_module() == LV_NAK_NO_GUEST && f.node.detail == 0);
    in(LV_NODE_RUNNING);
    EXPECT(install_of_a_module_that_does_not_load() == LV_NAK_LOAD && f.node.detail == -1);
    EXPECT(start_of_a_module_that_does_not_load() == LV_NAK_LOAD && f.node.detail == -3);
    in(LV_NODE_RUNNING);
    f.node.detail = 7;
    EXPECT(step_at_no_time() == LV_NAK_VALUE && f.node.detail == 0);
    EXPECT(calibrate_out_of_range() == LV_NAK_PARAMETER && f.node.detail == 1);
    f.node.detail = 7;
    EXPECT(install_of_nothing() == LV_NAK_STATE && f.node.detail == 0);
    in(LV_NODE_RUNNING);
    EXPECT(calibrate_that_traps() == LV_NAK_STOPPED && f.node.detail == LV_TRAP_UNREACHABLE);
}

const unit_test states_tests[] = {
    TEST(every_request_in_every_state_leads_where_the_drawing_says),
    TEST(a_refusal_leaves_the_output_of_a_guest_that_runs_on_as_it_is),
    TEST(a_refusal_says_more_in_its_detail),
    {NULL, NULL},
};
