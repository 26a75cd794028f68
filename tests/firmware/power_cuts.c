/*
 * Power cuts at every write of an update, after MCUboot's simulator: power_cuts [--full].
 *
 * Each scenario is run once to learn its operations on flash.  Then it is run again with the power cut
 * before, in the middle of and after each of them, and at each byte of a record; the board starts, is
 * cut again while it recovers, and starts for good.  It must then have one of the modules that the
 * scenario allows, complete, signed and able to run, and its valve closed until that module opens it.
 * Further, each operation is refused once, and each bit of what flash holds in the end is flipped.
 * What an interrupted operation leaves is what was there in half of the cases, litter in the other.
 *
 * A line of JSON says how much was tried.  The exit code is 1 if anything failed.
 */
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "signer.h"

enum { OLD = 1, NEW = 2, THIRD = 4 }; /* bits of modules */
enum { VALVE = 23, STEPS = 3 };

static fake f;
static fake prepared; /* the board at the begin of a scenario */
static fake cut_off;  /* and after its first cut */
static uint8_t modules[3][500];
static signer_job jobs[3];

static bool crashes; /* the new module traps in its second step */
static int stepped;
static volatile uint8_t allowed; /* modules that may be in use now */
static uint32_t least_counter;
static bool flipped; /* a bit of flash: the way back from a module that is lost has no parameters */

static struct {
    unsigned long scenarios, cuts, second_cuts, refused, flips, without_guest, failures;
} tried;

/* --- the board ------------------------------------------------------------------------------------ */

static int guest(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    static const char word[] = "t";
    const lv_text text = {(const uint8_t *)word, 1, true};
    (void)arguments;
    (void)result;
    if (which == LV_EXPORT_INIT)
        stepped = 0;
    if (which != LV_EXPORT_STEP)
        return 0;
    lv_call_set_output(of->host, VALVE, 1);
    (void)lv_call_mqtt_publish(of->host, text, text);
    (void)lv_call_keep_set(of->host, 0, of->module[0]);
    return ++stepped >= 2 && crashes && of->module[0] == 2 ? LV_TRAP_UNREACHABLE : 0;
}

static lv_status start(void)
{
    const lv_msg_start m = {.time_ms = 1000, .flags = LV_START_STORED_PARAMETERS};
    return lv_node_start(&f.node, &m);
}

static lv_status step(void)
{
    const lv_msg_step m = {.time_ms = 2000};
    return lv_node_step(&f.node, &m);
}

static void keep(int32_t id, int32_t value)
{
    uint8_t pair[8];
    lv_put32(pair, (uint32_t)id);
    lv_put32(pair + 4, (uint32_t)value);
    (void)lv_store_keep(&f.node.store, pair, 1);
}

/* The old module runs, with two parameters and a value that it keeps. */
static void prepare_old(void)
{
    fake_new(&f);
    signer_trust(&f);
    fake_boot(&f);
    f.behave = guest;
    crashes = false;
    (void)signer_send(&f, &jobs[0]);
    (void)lv_node_install(&f.node);
    keep(0, 20);
    keep(1, 21);
    (void)start();
    (void)step();
}

static void prepare_updated(void)
{
    prepare_old();
    (void)signer_try(&f, &jobs[1], 1, 0, 0);
    (void)start();
    (void)step();
    crashes = true;
}

/* --- scenarios ------------------------------------------------------------------------------------ */

static void install_at_once(void)
{
    allowed = OLD | NEW;
    if (signer_send(&f, &jobs[1]) == LV_OK && lv_node_install(&f.node) == LV_OK)
        allowed = NEW;
    (void)start();
    (void)step();
}

static void install_on_trial(void)
{
    allowed = OLD;
    (void)signer_try(&f, &jobs[1], STEPS, LV_TRIAL_CONFIRM | LV_TRIAL_REPORT, 0);
    (void)start();
    for (int k = 0; k < STEPS; k++)
        (void)step();
    uint8_t digest[32];
    memcpy(digest, f.node.store.sha256[lv_store_slot(&f.node.store)], sizeof digest);
    allowed = OLD | NEW;
    (void)lv_node_confirm(&f.node, digest);
    if (f.node.store.update.state == LV_UPDATE_UPDATED)
        allowed = NEW;
    (void)step();
}

static void roll_back_a_trial(void)
{
    allowed = OLD;
    crashes = true;
    (void)signer_try(&f, &jobs[1], STEPS, 0, 0);
    (void)start();
    for (int k = 0; k < STEPS; k++)
        (void)step();
}

static void roll_back_after_three_crashes(void)
{
    allowed = OLD | NEW;
    for (int k = 0; k < 3; k++) {
        (void)start();
        (void)step();
        (void)step();
    }
    if (f.node.store.update.reason == LV_REASON_CRASHES)
        allowed = OLD;
    (void)step();
}

static void reject_what_waits(void)
{
    allowed = OLD;
    (void)signer_try(&f, &jobs[1], STEPS, 0, 0);
    (void)lv_node_reject(&f.node);
}

static void abort_and_take_what_is_there(void)
{
    allowed = OLD;
    (void)signer_try(&f, &jobs[1], STEPS, 0, 0);
    lv_node_install_abort(&f.node);
    install_at_once();
}

static void install_two_in_a_row(void)
{
    install_at_once();
    if (allowed == NEW)
        allowed = NEW | THIRD;
    if (signer_send(&f, &jobs[2]) == LV_OK && lv_node_install(&f.node) == LV_OK)
        allowed = THIRD;
}

static const struct {
    const char *name;
    void (*prepare)(void);
    void (*run)(void);
} scenarios[] = {
    {"install at once", prepare_old, install_at_once},
    {"install on trial", prepare_old, install_on_trial},
    {"roll back a trial", prepare_old, roll_back_a_trial},
    {"roll back after three crashes", prepare_updated, roll_back_after_three_crashes},
    {"reject what waits", prepare_old, reject_what_waits},
    {"abort, and take what is there", prepare_old, abort_and_take_what_is_there},
    {"install two in a row", prepare_old, install_two_in_a_row},
};

/* --- what must hold ------------------------------------------------------------------------------- */

static const char *scenario;

static void fail(const char *what, long at, long again)
{
    if (tried.failures++ < 20)
        fprintf(stderr, "%s, cut at byte %ld, then %ld: %s\n", scenario, at, again, what);
}

/* Which module is in use, complete; 0: none. */
static uint8_t module_in_use(void)
{
    const lv_store *s = &f.node.store;
    for (int k = 0; k < 3; k++)
        if (s->size[s->active] == jobs[k].size &&
            memcmp(f.slots[s->active], jobs[k].module, jobs[k].size) == 0)
            return (uint8_t)(1 << k);
    return 0;
}

/* What is wrong with the board once it has started; NULL: nothing. */
static const char *wrong(uint8_t modules_allowed)
{
    fake_boot(&f);
    if (f.pins[VALVE] || f.node.host.outputs)
        return "the valve is open before a module runs";
    uint8_t found = module_in_use();
    if (!(found & modules_allowed))
        return found ? "another module than may be" : "no module";
    if (f.node.store.update.counter < least_counter)
        return "the counter went down";
    if (start() != LV_OK || f.node.state != LV_NODE_RUNNING)
        return "the module does not run";
    if (f.pins[VALVE])
        return "the valve is open after a start";
    bool on_trial = f.node.store.update.stage == LV_STAGE_RUNNING;
    if (found == OLD && !on_trial && !flipped && f.parameters[1] != 21)
        return "a parameter of the module in use is gone";
    crashes = false;
    if (step() != LV_OK || f.pins[VALVE] != !on_trial)
        return on_trial ? "the valve is open in a trial" : "the module drives nothing";
    return NULL;
}

static void recover(void)
{
    fake_boot(&f);
    (void)start();
    (void)step();
}

static uint32_t draw(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u; /* Numerical Recipes */
    return state >> 8;
}

/* A board as it was; what it had in buffers for a run is left out. */
static void copy(fake *to, const fake *from) { memcpy(to, from, offsetof(fake, tape)); }

static void forget_operations(void)
{
    f.written = 0;
    f.operations = 0;
}

/* Run with so many bytes of power: whether it was cut. */
static bool cut_at(void (*run)(void), long at, uint32_t litter)
{
    forget_operations();
    f.power = at;
    f.litter = litter;
    volatile bool done = false;
    if (setjmp(f.cut) == 0) {
        run();
        done = true;
    }
    f.power = -1;
    return !done;
}

/* Cut the recovery from what is in `cut_off`, and look at what is left. */
static void cut_again(long first, long second, uint32_t litter, uint8_t modules_allowed)
{
    copy(&f, &cut_off);
    (void)cut_at(recover, second, litter);
    tried.second_cuts++;
    const char *problem = wrong(modules_allowed);
    if (problem)
        fail(problem, first, second);
}

/* Whether a cut at that byte is one of those that are tried: in a record each, or each fifth. */
static bool is_of_interest(const fake *of, long at, bool full)
{
    for (int k = 0; k < of->operations && k < FAKE_OPERATIONS; k++) {
        long into = at - of->operation[k].at;
        long length = (long)of->operation[k].length;
        if (into >= 0 && into <= length &&
            ((of->operation[k].record && (full || into % 5 == 0)) || into == 0 || into == length / 2 || into == length))
            return true;
    }
    return false;
}

static void cut_everywhere(void (*run)(void), bool full)
{
    static fake learnt;
    static fake recovery;
    copy(&f, &prepared);
    (void)cut_at(run, -1, 0);
    copy(&learnt, &f);
    for (long at = 0; at < learnt.written; at++) {
        if (!is_of_interest(&learnt, at, full))
            continue;
        for (uint32_t litter = at % 2 && !full; litter <= (full || at % 2 ? 1u : 0u); litter++) {
            copy(&f, &prepared);
            crashes = run == roll_back_after_three_crashes;
            if (!cut_at(run, at, litter * (uint32_t)(at + 1)))
                fail("it did not come to the cut", at, -1);
            tried.cuts++;
            uint8_t modules_allowed = allowed;
            copy(&cut_off, &f);
            const char *problem = wrong(modules_allowed);
            if (problem)
                fail(problem, at, -1);
            copy(&f, &cut_off);
            (void)cut_at(recover, -1, 0);
            copy(&recovery, &f);
            if (recovery.written == 0)
                continue;
            cut_again(at, (long)(draw() % (uint32_t)recovery.written), litter, modules_allowed);
            for (int k = 0; full && k < recovery.operations && k < FAKE_OPERATIONS; k++)
                for (long half = 0; half < 2; half++)
                    cut_again(at,
                              recovery.operation[k].at +
                                  half * (long)recovery.operation[k].length / 2,
                              litter, modules_allowed);
        }
    }
}

static void refuse_each(void (*run)(void))
{
    copy(&f, &prepared);
    (void)cut_at(run, -1, 0);
    int operations = f.operations;
    for (int k = 1; k <= operations; k++) {
        copy(&f, &prepared);
        crashes = run == roll_back_after_three_crashes;
        f.failing = k;
        (void)cut_at(run, -1, 0);
        f.failing = 0;
        tried.refused++;
        const char *problem = wrong(OLD | NEW | THIRD);
        if (problem)
            fail(problem, k, -2);
    }
}

static void flip_each(uint8_t *bytes, uint32_t length, uint32_t stride, bool may_be_lost)
{
    copy(&cut_off, &f);
    flipped = true;
    for (uint32_t bit = 0; bit < 8 * length; bit += stride) {
        copy(&f, &cut_off);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        tried.flips++;
        const char *problem = wrong(OLD | NEW | THIRD);
        bool lost = problem && strcmp(problem, "no module") == 0;
        tried.without_guest += lost;
        if (problem && !(lost && may_be_lost && start() == LV_NAK_NO_GUEST && !f.pins[VALVE]))
            fail(problem, bit, -3);
    }
    flipped = false;
    copy(&f, &cut_off);
}

/* One bit after another of what flash holds when all is done. */
static void flip_all(void (*run)(void), bool full)
{
    uint32_t stride = full ? 1 : 11;
    copy(&f, &prepared);
    crashes = run == roll_back_after_three_crashes;
    (void)cut_at(run, -1, 0);
    crashes = false;
    uint8_t active = f.node.store.active;
    bool alone = !f.node.store.update.previous;
    for (int k = 0; k < LV_RECORDS; k++) {
        bool of_active = k == LV_STORE_RECORDS + LV_KEPT_RECORDS + active;
        flip_each(f.records[k], lv_record_bytes(k), stride, of_active && alone);
    }
    for (int k = 0; k < LV_SLOTS; k++)
        flip_each(f.slots[k], f.node.store.size[k], stride, k == active && alone);
}

static void count_writes(void (*run)(void), const char *name)
{
    int records = 0;
    copy(&f, &prepared);
    (void)cut_at(run, -1, 0);
    for (int k = 0; k < f.operations; k++)
        records += f.operation[k].record;
    printf("\"%s\": {\"operations\": %d, \"records\": %d, \"bytes\": %ld}", name, f.operations,
           records, f.written);
}

int main(int count, char **arguments)
{
    bool full = count > 1 && strcmp(arguments[1], "--full") == 0;
    for (int k = 0; k < 3; k++) {
        uint32_t size = 300 + 100 * (uint32_t)k;
        for (uint32_t at = 1; at < size; at++)
            modules[k][at] = (uint8_t)(at * 7 + (uint32_t)k);
        modules[k][0] = (uint8_t)(k + 1);
        jobs[k] = (signer_job){.module = modules[k], .size = size, .counter = 5 + (uint32_t)k};
    }
    printf("{\"proof\": \"power cuts\", \"selection\": \"%s\", \"writes\": {",
           full ? "full" : "quick");
    for (size_t k = 0; k < sizeof scenarios / sizeof *scenarios; k++) {
        scenario = scenarios[k].name;
        scenarios[k].prepare();
        forget_operations();
        prepared = f;
        least_counter = f.node.store.update.counter;
        tried.scenarios++;
        printf("%s", k ? ", " : "");
        count_writes(scenarios[k].run, scenario);
        cut_everywhere(scenarios[k].run, full);
        refuse_each(scenarios[k].run);
        flip_all(scenarios[k].run, full);
    }
    printf("}, \"scenarios\": %lu, \"cuts\": %lu, \"second_cuts\": %lu, \"refused_writes\": %lu, "
           "\"bit_flips\": %lu, \"flips_without_guest\": %lu, \"failures\": %lu}\n",
           tried.scenarios, tried.cuts, tried.second_cuts, tried.refused, tried.flips,
           tried.without_guest, tried.failures);
    return tried.failures != 0;
}
