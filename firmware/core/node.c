#include "node.h"

#include <string.h>

#include "bytes.h"

enum { INIT = 0, STEP = 1, MAIN = 2 }; /* entry on the tape */

static const lv_msg_configure standard = {
    .node = "esp32",
    .prefix = "ic/",
    .counts = {2500, 1000, 2000},
    .imports = 0xFFE, /* all eleven */
    .pin_count = 4,
    .pins = {23, 18, 19, 21},
    .instructions = 1000000,
    .deadline_ms = 5000,
    .memory_pages = 4,
    .host_calls = 256,
    .log_bytes = 1024,
    .publish_bytes = 2048,
};

/* The first part of the seam that a port has filled badly. */
static lv_init_status check(const lv_config *c)
{
    if (!c->guest_load || !c->guest_check || !c->guest_call || !c->guest_unload || !c->guest_has ||
        !c->guest_pause)
        return LV_INIT_GUEST;
    if (!c->engine || strlen(c->engine) >= sizeof((lv_msg_birth *)0)->engine)
        return LV_INIT_ENGINE_NAME;
    if (!c->output)
        return LV_INIT_OUTPUT;
    if (!c->record_read || !c->record_write || !c->slot_erase || !c->slot_write || !c->slot_map)
        return LV_INIT_FLASH;
    if (c->slot_bytes < 1024 || c->slot_bytes > 1u << 20)
        return LV_INIT_SLOT_BYTES;
    if (!c->send || !c->restart || !c->watchdog)
        return LV_INIT_BOARD;
    if (!c->firmware || strlen(c->firmware) >= sizeof((lv_msg_birth *)0)->firmware)
        return LV_INIT_FIRMWARE_NAME;
    if (!c->tape || c->tape_bytes < lv_host_tape_room(&standard))
        return LV_INIT_TAPE;
    if (!c->ring || c->ring_bytes < 640)
        return LV_INIT_RING;
    if (c->key_count > LV_KEYS || (c->key_count && (!c->keys || !c->verify)))
        return LV_INIT_KEYS;
    return LV_INIT_OK;
}

lv_init_status lv_node_init(lv_node *node, const lv_config *config)
{
    lv_init_status hole = check(config);
    if (hole != LV_INIT_OK)
        return hole;
    memset(node, 0, sizeof *node);
    node->config = config;
    node->host.config = config;
    node->host.ring = &node->ring;
    node->host.kept = &node->kept;
    node->host.tape = (lv_tape){.bytes = config->tape, .capacity = config->tape_bytes};
    lv_ring_init(&node->ring, config->ring, config->ring_bytes);
    node->wake_ms = LV_NEVER_MS;
    (void)lv_node_configure(node, &standard);
    (void)lv_store_open(&node->store, config); /* without flash it runs, but forgets */
    lv_update_open(&node->update, &node->store);
    lv_kept_open(&node->kept, config);
    return LV_INIT_OK;
}

static lv_status refuse(lv_node *node, lv_status status, int32_t detail)
{
    LV_ASSERT(status != LV_OK);
    node->detail = detail;
    return status;
}

lv_status lv_node_configure(lv_node *node, const lv_msg_configure *m)
{
    if (m->pin_count > LV_PINS)
        return refuse(node, LV_NAK_VALUE, 4);
    if (m->instructions == 0 || m->memory_pages == 0 || m->memory_pages > 65536)
        return refuse(node, LV_NAK_VALUE, 6);
    if (lv_host_tape_room(m) > node->host.tape.capacity)
        return refuse(node, LV_NAK_SIZE, (int32_t)node->host.tape.capacity);
    lv_host_configure(&node->host, m);
    memcpy(node->name, m->node, sizeof node->name);
    node->limits = (lv_limits){.instructions = m->instructions, .memory_pages = m->memory_pages};
    node->deadline_ms = m->deadline_ms;
    node->lease_ms = m->lease_ms;
    return LV_OK;
}

/* --- running ---------------------------------------------------------------------------------- */

static void unload(lv_node *node)
{
    if (node->state == LV_NODE_RUNNING)
        node->config->guest_unload(node->config->context);
    node->state = LV_NODE_IDLE;
    node->wake_ms = LV_NEVER_MS;
    lv_host_close_outputs(&node->host);
}

void lv_node_close(lv_node *node)
{
    unload(node);
    node->resume = false;
    lv_kept_save(&node->kept, 0, true);
    if (node->store.receiving)
        lv_update_refused(&node->update, LV_REASON_ABORTED, 0);
    lv_tape_clear(&node->host.tape);
}

static void stop(lv_node *node, int trap)
{
    LV_ASSERT(trap > LV_TRAP_NONE && trap <= LV_TRAP_OTHER);
    lv_tape_trap(&node->host.tape, (uint8_t)trap);
    unload(node);
    node->trap = (uint8_t)trap;
    node->state = LV_NODE_STOPPED;
}

static bool on_trial(const lv_node *node)
{
    return node->store.update.stage == LV_STAGE_RUNNING;
}

/* What the module on trial has done, and was held, is gone or happens now. */
static void release(lv_node *node, bool keep)
{
    lv_ring_release(&node->ring, keep);
    lv_kept_release(&node->kept, keep);
}

/* The module that waits or is on trial has failed; the one before goes on with the next step, if
 * there was one to go on from. */
static void roll_back(lv_node *node, uint8_t reason, int32_t detail, bool barred)
{
    if (on_trial(node)) {
        node->resume = node->state != LV_NODE_IDLE;
        unload(node);
        node->host.held = false;
        release(node, false);
        node->rolled_back = true;
    }
    lv_store_roll_back(&node->store, reason, detail, barred);
}

static uint8_t reason_of(uint8_t trap)
{
    switch (trap) {
    case LV_TRAP_GUEST_FAULT: return LV_REASON_FAULT;
    case LV_TRAP_OUT_OF_FUEL:
    case LV_TRAP_DEADLINE:
    case LV_TRAP_HOST_CALLS:
    case LV_TRAP_LOG_BYTES:
    case LV_TRAP_PUBLISH_BYTES: return LV_REASON_BUDGET;
    default: return LV_REASON_TRAP;
    }
}

/* After a request in which a guest was stopped, or not started: whether it was that on trial, or was
 * stopped once too often, so that the one before is in use again. */
static bool settle(lv_node *node, lv_status status)
{
    if (node->state == LV_NODE_RUNNING)
        return false;
    bool trapped = node->state == LV_NODE_STOPPED;
    if (on_trial(node)) {
        bool lost = status == LV_NAK_NO_GUEST;
        uint8_t reason = lost ? LV_REASON_DIGEST : trapped ? reason_of(node->trap) : LV_REASON_LOAD;
        roll_back(node, reason, trapped ? node->trap : node->detail, !lost);
    } else if (trapped && lv_store_crashed(&node->store, node->host.time_ms, node->trap)) {
        unload(node);
        node->rolled_back = true;
    } else
        return false;
    node->resume = trapped;
    return true;
}

/* When a module on trial is to be run next. */
static void wake_in_trial(lv_node *node)
{
    int64_t latest_ms = node->host.time_ms + LV_TRIAL_WAKE_MS;
    if (on_trial(node) && node->state == LV_NODE_RUNNING && node->wake_ms > latest_ms)
        node->wake_ms = latest_ms;
}

/* The module on trial has all that it wants: its outputs are driven at the end of its next step. */
static void commit(lv_node *node)
{
    if (!lv_update_commit(&node->update, node->ring.held > 0))
        return;
    release(node, true);
    lv_kept_save(&node->kept, node->host.uptime_ms, true);
}

static bool is_time(int64_t time_ms) { return time_ms > -LV_TIMES_MS && time_ms < LV_TIMES_MS; }

/* Virtual time goes on; output 0 was what it was. */
static void pass_time(lv_node *node, int64_t time_ms)
{
    if (time_ms > node->seen_ms && (node->host.outputs & 1))
        node->open_ms += (uint64_t)(time_ms - node->seen_ms);
    node->seen_ms = time_ms;
}

/* Call an export with a fresh budget: LV_OK, or LV_NAK_STOPPED after a trap, which also closes the
 * outputs.  *paused says whether it is main that has not returned. */
static lv_status call(lv_node *node, lv_export which, const int32_t *arguments, int32_t *result,
                      bool *paused)
{
    const lv_config *c = node->config;
    uint16_t outputs = node->host.outputs;
    LV_ASSERT(node->state == LV_NODE_RUNNING);
    lv_host_renew_budget(&node->host);
    uint32_t start = c->clock_us ? c->clock_us(c->context) : 0;
    c->watchdog(c->context, node->deadline_ms);
    int rc = c->guest_call(c->context, which, arguments, result);
    c->watchdog(c->context, 0);
    if (c->clock_us) {
        uint32_t took = c->clock_us(c->context) - start;
        node->active_us += took;
        node->total_active_us += took;
    }
    if (node->host.trap)
        rc = node->host.trap;
    else if (node->host.tape.full)
        rc = LV_TRAP_OTHER;
    *paused = rc == LV_GUEST_PAUSED;
    if (rc != 0 && !*paused)
        stop(node, rc);
    lv_kept_save(&node->kept, node->host.uptime_ms, outputs != node->host.outputs);
    return rc == 0 || *paused ? LV_OK : refuse(node, LV_NAK_STOPPED, rc);
}

/* The same of an export that does not pause. */
static lv_status run(lv_node *node, lv_export which, const int32_t *arguments, int32_t *result)
{
    bool paused;
    return call(node, which, arguments, result, &paused);
}

/* What a call gave, on the tape behind the calls that the guest made in it.  A tape without room for
 * it would tell less than what happened: then the guest is stopped.  Whether it runs. */
static bool recorded(lv_node *node, uint8_t what, int count, int32_t a, int32_t b, int32_t c)
{
    lv_tape_numbers(&node->host.tape, what, count, a, b, c);
    if (node->host.tape.full)
        stop(node, LV_TRAP_OTHER);
    return !node->host.tape.full;
}

static void finish(lv_node *node, int32_t result, int32_t shortest_ms)
{
    lv_host *host = &node->host;
    if (!recorded(node, LV_CALL_RETURN, 1, result, 0, 0))
        return;
    if (result < 0) {
        stop(node, LV_TRAP_GUEST_FAULT);
        return;
    }
    int32_t wait = result < shortest_ms ? shortest_ms : result;
    if (wait > LV_LONGEST_WAKE_MS)
        wait = LV_LONGEST_WAKE_MS;
    node->wake_ms = host->time_ms + host->delayed_ms + wait;
}

static lv_status set(lv_node *node, int32_t id, int32_t value)
{
    const int32_t arguments[2] = {id, value};
    int32_t result = 0;
    if (!node->config->guest_has(node->config->context, LV_EXPORT_PARAM_SET))
        return refuse(node, LV_NAK_PARAMETER, id);
    lv_status status = run(node, LV_EXPORT_PARAM_SET, arguments, &result);
    if (status != LV_OK)
        return status;
    if (!recorded(node, LV_CALL_PARAM_SET, 3, id, value, result))
        return refuse(node, LV_NAK_STOPPED, LV_TRAP_OTHER);
    return result ? refuse(node, LV_NAK_PARAMETER, id) : LV_OK;
}

static lv_status get(lv_node *node, int32_t id, int32_t *value)
{
    if (!node->config->guest_has(node->config->context, LV_EXPORT_PARAM_GET))
        return refuse(node, LV_NAK_PARAMETER, id);
    return run(node, LV_EXPORT_PARAM_GET, &id, value);
}

/* Parameters as a message has them: each an id and a value. */
enum { PAIR_BYTES = 8, MOST_PAIRS = LV_MAX_BODY / PAIR_BYTES };

static int32_t id_at(const uint8_t *pairs, int k)
{
    return (int32_t)lv_get32(pairs + PAIR_BYTES * k);
}

static int32_t value_at(const uint8_t *pairs, int k)
{
    return (int32_t)lv_get32(pairs + PAIR_BYTES * k + 4);
}

static void put_pair(uint8_t *pairs, int k, int32_t id, int32_t value)
{
    LV_ASSERT(k >= 0 && k < LV_PARAMETERS);
    lv_put32(pairs + PAIR_BYTES * k, (uint32_t)id);
    lv_put32(pairs + PAIR_BYTES * k + 4, (uint32_t)value);
}

/* Set those that are not `done`, to what is wanted or to 0: LV_OK, or LV_NAK_STOPPED, and how many
 * the guest has accepted.  With `zero` they are not done yet. */
static lv_status set_round(lv_node *node, const uint8_t *pairs, int count, bool *done, bool zero,
                           int *accepted)
{
    *accepted = 0;
    for (int k = 0; k < count; k++) {
        if (done[k])
            continue;
        lv_status status = set(node, id_at(pairs, k), zero ? 0 : value_at(pairs, k));
        if (status != LV_OK && status != LV_NAK_PARAMETER)
            return status;
        *accepted += status == LV_OK;
        done[k] = status == LV_OK && !zero;
    }
    return LV_OK;
}

/* Set parameters in an order that the guest accepts.  A rule between two may hold only once the
 * other is set, so what is refused is asked for again after the rest; two that change places pass
 * through 0 (docs/abi.md). */
static lv_status set_all(lv_node *node, const uint8_t *pairs, int count)
{
    bool done[MOST_PAIRS] = {false};
    bool passed = false;
    LV_ASSERT(count >= 0 && count <= MOST_PAIRS);
    for (int left = count; left > 0;) {
        int accepted;
        lv_status status = set_round(node, pairs, count, done, false, &accepted);
        if (status == LV_OK && accepted == 0 && (passed || left == 1)) {
            int first = 0;
            while (done[first])
                first++;
            return refuse(node, LV_NAK_PARAMETER, id_at(pairs, first));
        }
        left -= accepted;
        if (status == LV_OK && accepted == 0) {
            passed = true;
            status = set_round(node, pairs, count, done, true, &accepted);
        }
        if (status != LV_OK)
            return status;
    }
    return LV_OK;
}

/* Those of the store that are for the module that is started. */
static int stored_pairs(const lv_store *store, uint8_t *pairs)
{
    int count = 0;
    for (int k = 0; k < store->parameter_count; k++)
        if (store->update.stage != LV_STAGE_RUNNING || store->update.carried >> k & 1)
            put_pair(pairs, count++, store->parameters[k][0], store->parameters[k][1]);
    return count;
}

/* Load the module that is in use or on trial, and run its init. */
static lv_status load(lv_node *node, const lv_msg_start *m)
{
    const lv_config *c = node->config;
    lv_host *host = &node->host;
    uint8_t stored[PAIR_BYTES * LV_PARAMETERS];
    uint32_t size;
    int32_t result = 0;
    const uint8_t *module = lv_store_guest(&node->store, &size);

    unload(node);
    pass_time(node, m->time_ms);
    lv_tape_clear(&host->tape);
    lv_tape_boot(&host->tape, m->time_ms);
    lv_host_renew_budget(host);
    host->ever_set = 0;
    host->trap = LV_TRAP_NONE;
    host->trap_call = 0;
    host->time_ms = m->time_ms;
    host->uptime_ms = 0;
    host->delayed_ms = 0;
    lv_kept_begin(&node->kept, node->store.sha256[lv_store_slot(&node->store)]);
    if (m->flags & LV_START_FORGET)
        lv_kept_forget(&node->kept);
    lv_kept_save(&node->kept, 0, true);
    host->online = true;
    host->flow_read = false;
    for (int k = 0; k < 4; k++)
        host->readings[k] = LV_RESULT_UNAVAILABLE;
    node->active_us = 0;
    node->trap = LV_TRAP_NONE;
    node->finished = false;
    if (!module)
        return refuse(node, LV_NAK_NO_GUEST, 0);

    c->watchdog(c->context, node->deadline_ms);
    int rc = c->guest_load(c->context, module, size, host, &node->limits);
    c->watchdog(c->context, 0);
    if (rc < 0) {
        lv_tape_clear(&host->tape);
        return refuse(node, LV_NAK_LOAD, rc);
    }
    node->state = LV_NODE_RUNNING;
    if (rc > 0 || host->trap) { /* in its start function */
        stop(node, host->trap ? host->trap : rc);
        return LV_OK;
    }
    node->command = !(c->guest_has(c->context, LV_EXPORT_INIT) &&
                      c->guest_has(c->context, LV_EXPORT_STEP));
    if (node->command) { /* starts in its first step, when there are readings */
        if (!c->guest_has(c->context, LV_EXPORT_MAIN)) {
            unload(node);
            return refuse(node, LV_NAK_LOAD, 0);
        }
        node->wake_ms = m->time_ms;
        return LV_OK;
    }
    lv_host_begin(host, m->time_ms, INIT);
    lv_status status = run(node, LV_EXPORT_INIT, NULL, &result);
    if (status == LV_OK)
        finish(node, result, 0);
    if (m->flags & LV_START_STORED_PARAMETERS && node->state == LV_NODE_RUNNING)
        status = set_all(node, stored, stored_pairs(&node->store, stored));
    if (node->state == LV_NODE_RUNNING && status == LV_OK)
        status = set_all(node, m->parameters, m->parameters_count);
    if (status == LV_NAK_PARAMETER)
        unload(node);
    return status == LV_NAK_STOPPED ? LV_OK : status; /* a trap is a result, not a refusal */
}

/* The module before the one that has failed, as in the field: with what the store has. */
static lv_status load_former(lv_node *node, int64_t time_ms, int64_t uptime_ms)
{
    const lv_msg_start m = {.time_ms = time_ms, .flags = LV_START_STORED_PARAMETERS};
    node->resume = false;
    node->started_ms = uptime_ms;
    lv_store_secure(&node->store);
    return load(node, &m);
}

/* What waits goes on trial; what is held until it is committed is held from here on. */
static void begin_trial(lv_node *node)
{
    unload(node); /* before anything else: this closes what the guest before has opened */
    lv_store_secure(&node->store);
    if (lv_update_try(&node->update) != LV_OK) {
        node->rolled_back = true;
        return;
    }
    lv_host_hold_outputs(&node->host);
    lv_ring_hold(&node->ring);
    lv_kept_hold(&node->kept);
}

lv_status lv_node_start(lv_node *node, const lv_msg_start *m)
{
    uint32_t size;
    if (!lv_store_guest(&node->store, &size) && node->store.update.stage == LV_STAGE_NONE)
        return refuse(node, LV_NAK_NO_GUEST, 0);
    if (!is_time(m->time_ms))
        return refuse(node, LV_NAK_VALUE, 0);
    node->resume = false;
    node->started_ms = 0;
    if (node->store.update.stage == LV_STAGE_NONE)
        lv_store_secure(&node->store);
    else
        begin_trial(node);
    lv_status status = load(node, m);
    if (settle(node, status))
        return load_former(node, m->time_ms, 0);
    wake_in_trial(node);
    return status;
}

bool lv_node_wants_start(const lv_node *node)
{
    return node->store.update.stage == LV_STAGE_WAITING ||
           (node->state != LV_NODE_RUNNING && !node->resume);
}

/* Run the guest that is loaded, and say what it did behind what is on the tape. */
static lv_status run_step(lv_node *node, const lv_msg_step *m)
{
    lv_host *host = &node->host;
    int32_t result = 0;

    node->active_us = 0;
    host->uptime_ms = m->uptime_ms - node->started_ms;
    if (node->command && node->finished)
        return LV_OK;
    node->steps++;
    memcpy(host->readings, m->readings, sizeof host->readings);
    host->flow_read = false;
    host->online = m->flags & LV_STEP_ONLINE;
    if (!node->command) {
        lv_host_begin(host, m->time_ms, STEP);
        if (run(node, LV_EXPORT_STEP, NULL, &result) == LV_OK)
            finish(node, result, 1);
        return LV_OK;
    }
    lv_host_begin(host, m->time_ms, MAIN);
    host->pausing = true;
    bool paused;
    lv_status status = call(node, LV_EXPORT_MAIN, NULL, &result, &paused);
    host->pausing = false;
    if (paused)
        node->wake_ms = host->time_ms + (host->delayed_ms > 0 ? host->delayed_ms : 1);
    else if (status == LV_OK && recorded(node, LV_CALL_RETURN, 1, result, 0, 0)) {
        node->finished = true;
        node->wake_ms = LV_NEVER_MS;
    }
    return LV_OK;
}

/* The former module takes the place of the one that has failed, and misses no step. */
static lv_status step_former(lv_node *node, const lv_msg_step *m)
{
    lv_status status = load_former(node, m->time_ms, m->uptime_ms);
    if (status != LV_OK || node->state != LV_NODE_RUNNING)
        return status;
    if (lv_host_run_room(&node->host) > node->host.tape.capacity - node->host.tape.length)
        lv_tape_clear(&node->host.tape); /* what init did is told if it has room */
    return run_step(node, m);
}

lv_status lv_node_step(lv_node *node, const lv_msg_step *m)
{
    if (node->state == LV_NODE_STOPPED && !node->resume)
        return refuse(node, LV_NAK_STOPPED, node->trap);
    if (node->state != LV_NODE_RUNNING && !node->resume)
        return refuse(node, LV_NAK_NO_GUEST, 0);
    if (!is_time(m->time_ms))
        return refuse(node, LV_NAK_VALUE, 0);
    if (m->uptime_ms < 0 || !is_time(m->uptime_ms))
        return refuse(node, LV_NAK_VALUE, 3);
    if (node->resume)
        return step_former(node, m);
    pass_time(node, m->time_ms);
    lv_tape_clear(&node->host.tape);
    lv_status status = run_step(node, m);
    if (settle(node, status))
        return step_former(node, m);
    if (on_trial(node)) {
        lv_update_passed(&node->update);
        commit(node);
        wake_in_trial(node);
    }
    if (node->host.held && !on_trial(node))
        lv_host_release_outputs(&node->host);
    return status;
}

/* --- parameters ------------------------------------------------------------------------------- */

lv_status lv_node_get(lv_node *node, int32_t id, int32_t *value)
{
    if (node->state == LV_NODE_STOPPED)
        return refuse(node, LV_NAK_STOPPED, node->trap);
    if (node->state != LV_NODE_RUNNING)
        return refuse(node, LV_NAK_NO_GUEST, 0);
    if (node->command) /* its main is in the middle of a call */
        return refuse(node, LV_NAK_PARAMETER, id);
    lv_status status = get(node, id, value);
    (void)settle(node, status);
    return status;
}

/* All or none: what was set goes back, last first. */
static void put_back(lv_node *node, const uint8_t *before, int count)
{
    uint8_t changed[PAIR_BYTES * LV_PARAMETERS];
    int changes = 0;
    for (int k = count; k-- > 0 && node->state == LV_NODE_RUNNING;) {
        int32_t value;
        if (get(node, id_at(before, k), &value) == LV_OK && value != value_at(before, k))
            put_pair(changed, changes++, id_at(before, k), value_at(before, k));
    }
    if (node->state == LV_NODE_RUNNING)
        (void)set_all(node, changed, changes);
}

static lv_status calibrate(lv_node *node, const lv_msg_calibrate *m)
{
    uint8_t before[PAIR_BYTES * LV_PARAMETERS];
    int count = m->parameters_count;
    lv_status status = LV_OK;

    if (node->state == LV_NODE_STOPPED)
        return refuse(node, LV_NAK_STOPPED, node->trap);
    if (node->state != LV_NODE_RUNNING)
        return refuse(node, LV_NAK_NO_GUEST, 0);
    if (count > LV_PARAMETERS)
        return refuse(node, LV_NAK_SIZE, LV_PARAMETERS);
    lv_tape_clear(&node->host.tape);
    if (node->command && count)
        return refuse(node, LV_NAK_PARAMETER, id_at(m->parameters, 0));
    for (int k = 0; k < count && status == LV_OK; k++) {
        int32_t value = 0;
        status = get(node, id_at(m->parameters, k), &value);
        put_pair(before, k, id_at(m->parameters, k), value);
    }
    if (status != LV_OK)
        return status;
    status = set_all(node, m->parameters, count);
    if (status == LV_OK && (m->flags & 1))
        status = lv_store_keep(&node->store, m->parameters, m->parameters_count);
    if (status == LV_OK)
        return LV_OK;
    int32_t detail = node->detail;
    put_back(node, before, count);
    return refuse(node, status, detail);
}

lv_status lv_node_calibrate(lv_node *node, const lv_msg_calibrate *m)
{
    if (on_trial(node) && (m->flags & 1)) /* what is kept is the former module's */
        return refuse(node, LV_NAK_STATE, 0);
    bool ran = node->state == LV_NODE_RUNNING;
    lv_status status = calibrate(node, m);
    if (ran)
        (void)settle(node, status);
    return status;
}

/* --- the module ------------------------------------------------------------------------------- */

lv_status lv_node_install_begin(lv_node *node, uint32_t sender, const lv_msg_install_begin *m)
{
    int32_t detail = 0;
    int64_t time_s = node->seen_ms / 1000;
    bool known = time_s >= LV_CLOCK_SET_S && time_s <= UINT32_MAX;
    lv_status status = lv_update_begin(&node->update, sender, m, node->name,
                                       known ? (uint32_t)time_s : 0, &detail);
    return status == LV_OK ? LV_OK : refuse(node, status, detail);
}

/* What was received is whole, and the engine takes it.  The old guest runs on meanwhile. */
static lv_status verify(lv_node *node)
{
    const uint8_t *module;
    uint32_t size;
    lv_status status = lv_store_received(&node->store, &module, &size);
    if (status == LV_NAK_DIGEST)
        lv_update_refused(&node->update, LV_REASON_DIGEST, 0);
    if (status != LV_OK)
        return refuse(node, status, 0);
    int rc = node->config->guest_check(node->config->context, module, size, &node->limits);
    if (rc == 0)
        return LV_OK;
    lv_update_refused(&node->update, LV_REASON_LOAD, rc);
    return refuse(node, LV_NAK_LOAD, rc);
}

lv_status lv_node_install(lv_node *node)
{
    lv_status status = verify(node);
    if (status != LV_OK)
        return status;
    status = lv_store_commit(&node->store);
    if (status != LV_OK)
        return refuse(node, status, 0);
    unload(node);
    return LV_OK;
}

lv_status lv_node_install_trial(lv_node *node, const lv_msg_install_trial *m)
{
    int32_t detail = 0;
    lv_status status = verify(node);
    if (status != LV_OK)
        return status;
    status = lv_update_wait(&node->update, m, &detail);
    return status == LV_OK ? LV_OK : refuse(node, status, detail);
}

lv_status lv_node_confirm(lv_node *node, const uint8_t sha256[32])
{
    if (!on_trial(node))
        return refuse(node, LV_NAK_STATE, 0);
    if (memcmp(node->store.sha256[lv_store_slot(&node->store)], sha256, 32) != 0)
        return refuse(node, LV_NAK_VALUE, 0);
    node->update.confirmed = true;
    commit(node);
    return LV_OK;
}

lv_status lv_node_reject(lv_node *node)
{
    if (node->store.update.stage == LV_STAGE_NONE)
        return refuse(node, LV_NAK_STATE, 0);
    roll_back(node, LV_REASON_REJECTED, 0, true);
    return LV_OK;
}

void lv_node_install_abort(lv_node *node)
{
    if (node->store.update.stage != LV_STAGE_NONE)
        roll_back(node, LV_REASON_ABORTED, 0, false);
    else if (node->store.receiving)
        lv_update_refused(&node->update, LV_REASON_ABORTED, 0);
}

void lv_node_birth(const lv_node *node, lv_msg_birth *m)
{
    const lv_store *store = &node->store;
    memset(m, 0, sizeof *m);
    m->boot_id = store->boot_id;
    m->abi_version = LV_ABI_VERSION;
    m->reset_reason = node->config->reset_reason;
    m->slot = store->active;
    m->max_body = LV_MAX_BODY;
    m->slot_bytes = node->config->slot_bytes;
    m->guest_bytes = store->size[store->active];
    if (m->guest_bytes) {
        m->flags |= LV_BIRTH_INSTALLED;
        memcpy(m->guest_sha256, store->sha256[store->active], sizeof m->guest_sha256);
    }
    if (node->state == LV_NODE_RUNNING)
        m->flags |= (uint8_t)(LV_BIRTH_STARTED | (node->command ? LV_BIRTH_COMMAND : 0));
    if (node->state == LV_NODE_STOPPED)
        m->flags |= LV_BIRTH_STOPPED;
    m->flags |= LV_BIRTH_HEARTBEAT | LV_BIRTH_UPDATES;
    if (store->update.stage != LV_STAGE_NONE)
        m->flags |= LV_BIRTH_TRIAL;
    strncpy(m->engine, node->config->engine, sizeof m->engine - 1);
    strncpy(m->firmware, node->config->firmware, sizeof m->firmware - 1);
}

void lv_node_result(lv_node *node, lv_msg_step_result *m)
{
    memset(m, 0, sizeof *m);
    m->trap = node->trap;
    m->trap_call = node->host.trap_call;
    m->flags = (uint8_t)((lv_node_told_of_lease(node) ? LV_STEP_LEASE_EXPIRED : 0) |
                         (on_trial(node) ? LV_STEP_TRIAL : 0) |
                         (node->rolled_back ? LV_STEP_ROLLED_BACK : 0));
    node->rolled_back = false;
    m->outputs = node->host.outputs;
    m->ever_set = node->host.ever_set;
    m->wake_ms = node->wake_ms;
    m->host_calls = node->host.calls;
    m->active_us = node->active_us;
    m->tape_bytes = node->host.tape.length;
}

/* --- lease ------------------------------------------------------------------------------------ */

void lv_node_heard(lv_node *node, uint32_t now_ms) { node->heard_ms = now_ms; }

bool lv_node_told_of_lease(lv_node *node)
{
    bool expired = node->lease_expired;
    node->lease_expired = false;
    return expired;
}

void lv_node_tick(lv_node *node, uint32_t now_ms)
{
    if (lv_update_tick(&node->update, now_ms))
        roll_back(node, LV_REASON_TIMEOUT, node->update.steps, true);
    if (node->lease_ms == 0 || now_ms - node->heard_ms <= node->lease_ms || !node->host.outputs)
        return;
    lv_host_close_outputs(&node->host);
    node->lease_expired = true;
}
