/* Updates: who may install what, how a trial goes, and what becomes of it. */
#include <string.h>

#include "bytes.h"
#include "signer.h"
#include "unit.h"

static uint8_t trial_guest[400] = {7, 8, 9};
static const signer_job old_job = {.module = old_guest, .size = sizeof old_guest, .counter = 5};
static const signer_job new_job = {.module = new_guest, .size = sizeof new_guest, .counter = 6};
static const signer_job third_job = {.module = trial_guest, .size = 400, .counter = 7};

static int fails_at;     /* the step of the guest that traps, from 1; 0: none */
static int32_t result;   /* of its steps */
static int stepped;      /* by the module that is loaded */
static bool publishes;

static void draw(void *context, uint8_t *bytes, uint32_t length)
{
    (void)context;
    memset(bytes, 0xA5, length);
}

/* Opens the valve at once, publishes, and keeps how often it was stepped. */
static int busy(fake *of, lv_export which, const int32_t *arguments, int32_t *out)
{
    (void)arguments;
    if (which == LV_EXPORT_INIT)
        stepped = 0;
    if (which != LV_EXPORT_STEP)
        return 0;
    stepped++;
    lv_call_set_output(of->host, 23, 1);
    if (publishes)
        (void)lv_call_mqtt_publish(of->host, text("t"), text("m"));
    (void)lv_call_keep_set(of->host, 2, stepped);
    *out = result;
    return stepped == fails_at ? LV_TRAP_UNREACHABLE : 0;
}

/* The old guest runs, signed, its valve open, on a board that trusts two keys. */
static void running(void)
{
    fake_new(&f);
    signer_trust(&f);
    f.config.random = draw;
    fake_boot(&f);
    f.behave = busy;
    fails_at = 0;
    result = 60000;
    publishes = true;
    (void)signer_send(&f, &old_job);
    (void)lv_node_install(&f.node);
    (void)start();
    (void)step(2000);
}

static bool in_use(const signer_job *job)
{
    const lv_store *s = &f.node.store;
    return s->size[s->active] == job->size &&
           memcmp(f.slots[s->active], job->module, job->size) == 0;
}

static lv_msg_update_status said(void)
{
    lv_msg_update_status m;
    lv_update_status(&f.node.update, &m);
    return m;
}

static lv_msg_step_result told(void)
{
    lv_msg_step_result m;
    lv_node_result(&f.node, &m);
    return m;
}

static bool failed_with(uint8_t reason, int32_t detail)
{
    lv_msg_update_status m = said();
    return m.state == LV_UPDATE_FAILED && m.reason == reason && m.detail == detail;
}

/* The old guest goes on as if nothing had been, and has just made a step. */
static bool goes_on(void)
{
    return in_use(&old_job) && f.node.state == LV_NODE_RUNNING && f.loaded &&
           f.node.store.update.stage == LV_STAGE_NONE && !f.node.host.held;
}

static const uint8_t *digest(const signer_job *job)
{
    static uint8_t out[32];
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, job->module, job->size);
    lv_sha256_end(&sha, out);
    return out;
}

static lv_status keep(uint32_t id, uint32_t value)
{
    uint8_t pair[8];
    lv_put32(pair, id);
    lv_put32(pair + 4, value);
    const lv_msg_calibrate m = {.flags = 1, .parameters = pair, .parameters_count = 1};
    return lv_node_calibrate(&f.node, &m);
}

/* --- who may install ------------------------------------------------------------------------------ */

static void o10_what_no_trusted_key_has_signed_writes_nothing(void)
{
    uint8_t envelope[LV_ENVELOPE_BYTES];
    running();
    uint32_t writes = f.node.store.writes;
    signer_job job = new_job;
    job.key = 2;
    EXPECT(signer_begin(&f, &job) == LV_NAK_SIGNATURE);
    job.counter = 0; /* no envelope */
    EXPECT(signer_begin(&f, &job) == LV_NAK_SIGNATURE);
    job = new_job;
    lv_msg_install_begin m = {.size = job.size, .envelope = envelope};
    memcpy(m.sha256, digest(&job), 32);
    uint16_t length = signer_seal(&job, envelope);
    for (m.envelope_length = 0; m.envelope_length < length; m.envelope_length++)
        EXPECT(lv_node_install_begin(&f.node, 1, &m) != LV_OK);
    for (uint32_t bit = 0; bit < 8u * length; bit++) {
        envelope[bit / 8] ^= (uint8_t)(1u << bit % 8);
        EXPECT(lv_node_install_begin(&f.node, 1, &m) != LV_OK);
        envelope[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    m.size--; /* signed, but not for that */
    EXPECT(lv_node_install_begin(&f.node, 1, &m) == LV_NAK_DIGEST);
    m.size++;
    m.sha256[31] ^= 1;
    EXPECT(lv_node_install_begin(&f.node, 1, &m) == LV_NAK_DIGEST);
    EXPECT(f.node.store.writes == writes && !f.node.store.receiving);
    EXPECT(said().state == LV_UPDATE_UPDATED && step(3000) == LV_OK && f.pins[23] == 1);
    m.sha256[31] ^= 1;
    EXPECT(lv_node_install_begin(&f.node, 1, &m) == LV_OK);
}

static void o11_an_older_module_and_another_of_the_same_counter_are_refused(void)
{
    running();
    EXPECT(f.node.store.update.counter == 5 && said().counter == 5);
    uint32_t writes = f.node.store.writes;
    signer_job job = new_job;
    for (job.counter = 1; job.counter <= 5; job.counter++) {
        EXPECT(signer_begin(&f, &job) == LV_NAK_ROLLBACK && f.node.detail == 5);
        EXPECT(f.node.store.writes == writes);
    }
    EXPECT(signer_begin(&f, &old_job) == LV_OK); /* the same again */
    lv_node_install_abort(&f.node);
    EXPECT(signer_send(&f, &job) == LV_OK && lv_node_install(&f.node) == LV_OK);
    EXPECT(said().counter == 6 && strcmp(said().version, "1.0") == 0);
}

static void o12_a_counter_that_was_lowered_by_hand_is_what_the_envelope_says(void)
{
    running();
    EXPECT(signer_send(&f, &new_job) == LV_OK && lv_node_install(&f.node) == LV_OK);
    fake_boot(&f);
    for (int k = 0; k < LV_STORE_RECORDS; k++) { /* as whoever has the board on the bench */
        uint8_t *r = f.records[k];
        lv_put32(r + 344, 1);
        lv_put32(r + 440, lv_crc32(0, r, 440));
    }
    fake_boot(&f);
    EXPECT(f.node.store.update.counter == 6 && lv_get32(f.records[0] + 344) * 7 % 6 <= 1);
    for (int k = 0; k < LV_STORE_RECORDS; k++) { /* and names the older slot */
        uint8_t *r = f.records[k];
        lv_put32(r + 344, 1);
        lv_put16(r + 12, !lv_get16(r + 12));
        lv_put32(r + 440, lv_crc32(0, r, 440));
    }
    fake_boot(&f);
    EXPECT(f.node.store.update.counter == 6 && in_use(&old_job));
    signer_job job = third_job;
    job.counter = 5;
    EXPECT(signer_begin(&f, &job) == LV_NAK_ROLLBACK);
}

static void o13_a_module_for_another_node_or_abi_is_refused(void)
{
    lv_msg_configure m = limits(100, 100, 1000);
    running();
    uint32_t writes = f.node.store.writes;
    signer_job job = new_job;
    job.target = "zone7";
    EXPECT(signer_begin(&f, &job) == LV_NAK_TARGET);
    job.target = "esp32"; /* as it is called before anybody gives it a name */
    EXPECT(signer_begin(&f, &job) == LV_OK);
    lv_node_install_abort(&f.node);
    memcpy(m.node, "zone7", 6);
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    EXPECT(signer_begin(&f, &job) == LV_NAK_TARGET);
    job.target = "zone7";
    EXPECT(signer_begin(&f, &job) == LV_OK);
    lv_node_install_abort(&f.node);
    writes = f.node.store.writes;
    job.abi = LV_ABI_VERSION + 1;
    EXPECT(signer_begin(&f, &job) == LV_NAK_TARGET && f.node.store.writes == writes);
}

static void o14_what_is_too_large_is_refused_at_once_and_no_byte_more_than_announced(void)
{
    running();
    lv_msg_install_begin m = {.size = FAKE_SLOT_BYTES + 1};
    uint32_t writes = f.node.store.writes;
    EXPECT(lv_node_install_begin(&f.node, 1, &m) == LV_NAK_SIZE);
    m.size = 0;
    EXPECT(lv_node_install_begin(&f.node, 1, &m) == LV_NAK_SIZE && f.node.store.writes == writes);
    EXPECT(signer_send(&f, &new_job) == LV_OK);
    const lv_msg_install_chunk more = {
        .offset = sizeof new_guest, .data = new_guest, .data_length = 1};
    for (int k = 0; k < 1000; k++)
        EXPECT(lv_update_chunk(&f.node.update, 77, &more) == LV_NAK_SIZE);
    EXPECT(said().state == LV_UPDATE_DOWNLOADED && lv_node_install(&f.node) == LV_OK);
}

static void a_manifest_that_has_expired_or_answers_another_is_refused(void)
{
    uint8_t nonce[LV_NONCE_BYTES];
    running();
    signer_job job = new_job;
    job.expiry_s = LV_CLOCK_SET_S + 10;
    EXPECT(signer_begin(&f, &job) == LV_OK); /* the clock was never set */
    lv_node_install_abort(&f.node);
    EXPECT(step((LV_CLOCK_SET_S + 10) * INT64_C(1000)) == LV_OK);
    EXPECT(signer_begin(&f, &job) == LV_OK);
    lv_node_install_abort(&f.node);
    EXPECT(step((LV_CLOCK_SET_S + 11) * INT64_C(1000)) == LV_OK);
    EXPECT(signer_begin(&f, &job) == LV_NAK_EXPIRED);
    job.expiry_s = 0;
    memset(nonce, 0xA5, sizeof nonce);
    EXPECT(memcmp(said().nonce, nonce, sizeof nonce) == 0);
    job.nonce = nonce;
    job.counter = 2; /* who has signed this knows what the device has */
    EXPECT(signer_begin(&f, &job) == LV_OK);
    lv_node_install_abort(&f.node);
    nonce[15] ^= 1;
    EXPECT(signer_begin(&f, &job) == LV_NAK_EXPIRED);
    memset(nonce, 0, sizeof nonce);
    f.node.update.has_nonce = false; /* a port that cannot draw */
    EXPECT(signer_begin(&f, &job) == LV_NAK_EXPIRED);
}

static lv_status begin_as(uint32_t sender, const signer_job *job)
{
    uint8_t envelope[LV_ENVELOPE_BYTES];
    lv_msg_install_begin m = {.size = job->size, .envelope = envelope};
    memcpy(m.sha256, digest(job), 32);
    m.envelope_length = signer_seal(job, envelope);
    return lv_node_install_begin(&f.node, sender, &m);
}

static void o25_of_two_senders_one_is_told_that_the_device_is_busy(void)
{
    const lv_msg_install_chunk part = {.data = new_guest, .data_length = 100};
    running();
    lv_node_tick(&f.node, 50000);
    EXPECT(begin_as(1, &new_job) == LV_OK && lv_update_chunk(&f.node.update, 1, &part) == LV_OK);
    EXPECT(begin_as(2, &third_job) == LV_NAK_BUSY && f.node.detail == LV_SENDER_SILENCE_MS + 1);
    EXPECT(lv_update_chunk(&f.node.update, 2, &part) == LV_NAK_BUSY);
    EXPECT(lv_update_sender(&f.node.update, 2) == LV_NAK_BUSY);
    EXPECT(begin_as(1, &new_job) == LV_OK && f.node.store.received == 100);
    /* the same module by another one goes on, as after a new session */
    EXPECT(begin_as(2, &new_job) == LV_OK && f.node.store.received == 100);
    EXPECT(lv_update_chunk(&f.node.update, 1, &part) == LV_NAK_BUSY);
    lv_node_tick(&f.node, 60000);
    lv_node_tick(&f.node, 60000 + LV_SENDER_SILENCE_MS);
    EXPECT(begin_as(1, &third_job) == LV_NAK_BUSY && f.node.detail == 1);
    lv_node_tick(&f.node, 60001 + LV_SENDER_SILENCE_MS);
    EXPECT(begin_as(1, &third_job) == LV_OK && f.node.store.received == 0);
    EXPECT(begin_as(1, &new_job) == LV_OK); /* its own */
    lv_node_install_abort(&f.node);
    EXPECT(failed_with(LV_REASON_ABORTED, 0) && begin_as(2, &third_job) == LV_OK);
}

static void while_a_module_waits_or_is_tried_no_other_one_takes_its_place(void)
{
    running();
    EXPECT(signer_try(&f, &new_job, 2, 0, 0) == LV_OK);
    EXPECT(begin_as(2, &third_job) == LV_NAK_BUSY && f.node.detail == 0);
    EXPECT(begin_as(2, &new_job) == LV_OK && f.node.store.received == sizeof new_guest);
    EXPECT(said().state == LV_UPDATE_DOWNLOADED);
    EXPECT(signer_try(&f, &new_job, 2, 0, 0) == LV_OK);
    EXPECT(begin_as(77, &third_job) == LV_OK); /* its own is given up for another */
    EXPECT(signer_try(&f, &third_job, 2, 0, 0) == LV_OK && start() == LV_OK);
    EXPECT(begin_as(77, &new_job) == LV_NAK_BUSY && begin_as(77, &third_job) == LV_NAK_BUSY);
    EXPECT(f.node.detail == 0 && f.node.store.update.stage == LV_STAGE_RUNNING);
}

static void a_transfer_says_how_far_it_is(void)
{
    lv_msg_install_chunk part = {.data = new_guest, .data_length = 100};
    running();
    EXPECT(signer_begin(&f, &new_job) == LV_OK);
    uint32_t writes = f.node.store.writes;
    EXPECT(signer_begin(&f, &new_job) == LV_OK && f.node.store.writes == writes);
    EXPECT(said().state == LV_UPDATE_DOWNLOADING && said().received == 0);
    EXPECT(said().size == sizeof new_guest && said().detail == 0);
    EXPECT(memcmp(said().sha256, digest(&new_job), 32) == 0);
    EXPECT(lv_update_chunk(&f.node.update, 77, &part) == LV_OK && said().received == 100);
    EXPECT(said().state == LV_UPDATE_DOWNLOADING);
    part.offset = 200;
    EXPECT(lv_update_chunk(&f.node.update, 77, &part) == LV_NAK_STATE && said().received == 100);
    EXPECT(signer_send(&f, &new_job) == LV_OK && said().state == LV_UPDATE_DOWNLOADED);
    EXPECT(said().received == sizeof new_guest);
    f.slots[!f.node.store.active][7] ^= 1;
    EXPECT(lv_node_install(&f.node) == LV_NAK_DIGEST && failed_with(LV_REASON_DIGEST, 0));
    EXPECT(memcmp(said().sha256, digest(&old_job), 32) == 0 && goes_on());
    EXPECT(signer_begin(&f, &new_job) == LV_OK && said().reason == LV_REASON_NONE);
    EXPECT(keep(1, 21) == LV_OK); /* with which the record is written */
    fake_boot(&f);
    EXPECT(said().state == LV_UPDATE_IDLE && said().reason == LV_REASON_NONE);
    EXPECT(said().detail == 0 && signer_begin(&f, &new_job) == LV_OK);
    lv_node_close(&f.node);
    EXPECT(failed_with(LV_REASON_ABORTED, 0) && !f.node.store.receiving);
}

static void a_board_without_a_module_says_nothing_of_one(void)
{
    static const uint8_t zeros[32];
    lv_msg_update_status m;
    fake_new(&f);
    fake_boot(&f);
    memset(&m, 0xFF, sizeof m);
    lv_update_status(&f.node.update, &m);
    EXPECT(m.state == LV_UPDATE_IDLE && m.size == 0 && m.received == 0 && m.version[0] == 0);
    EXPECT(memcmp(m.sha256, zeros, sizeof m.sha256) == 0);
}

static void what_the_other_slot_has_is_not_sent_again(void)
{
    running();
    EXPECT(signer_send(&f, &new_job) == LV_OK && lv_node_install(&f.node) == LV_OK);
    uint32_t writes = f.node.store.writes;
    signer_job job = old_job;
    job.counter = 7;
    EXPECT(signer_begin(&f, &job) == LV_OK && f.node.store.received == sizeof old_guest);
    EXPECT(f.node.store.writes == writes + 1); /* the envelope */
    EXPECT(lv_node_install(&f.node) == LV_OK && in_use(&old_job) && said().counter == 7);
    fake_boot(&f);
    EXPECT(in_use(&old_job) && said().counter == 7 && start() == LV_OK);
}

/* --- trial -------------------------------------------------------------------------------------- */

static void o22_a_trial_drives_publishes_and_keeps_nothing_before_it_is_committed(void)
{
    running();
    EXPECT(f.pins[23] == 1 && f.node.ring.waiting == 1);
    uint32_t next = f.node.ring.next;
    EXPECT(signer_try(&f, &new_job, 3, 0, 0) == LV_OK && said().state == LV_UPDATE_VERIFIED);
    EXPECT(step(3000) == LV_OK && f.pins[23] == 1); /* until the next start all goes on */
    EXPECT(f.node.kept.values[2] == 2 && f.node.ring.waiting == 2);
    EXPECT(start() == LV_OK && f.pins[23] == 0);
    EXPECT(said().state == LV_UPDATE_UPDATING && in_use(&old_job));
    for (int k = 1; k <= 2; k++) {
        int writes = f.operations;
        EXPECT(step(3000 + k) == LV_OK && f.pins[23] == 0 && f.node.host.outputs == 0);
        EXPECT(told().flags == LV_STEP_TRIAL && said().steps == k && f.operations == writes);
        EXPECT(f.node.ring.waiting == 2 && f.node.ring.next == next + 1);
    }
    EXPECT(step(4000) == LV_OK && in_use(&new_job) && told().flags == 0);
    EXPECT(f.pins[23] == 1 && f.node.host.outputs == 1); /* as the module in use wishes */
    EXPECT(f.node.ring.waiting == 5 && f.node.ring.next == next + 4);
    EXPECT(said().state == LV_UPDATE_UPDATED && said().counter == 6);
    fake_boot(&f);
    EXPECT(in_use(&new_job) && said().state == LV_UPDATE_UPDATED);
    EXPECT(start() == LV_OK && f.node.kept.values[2] == 3);
}

/* A trial that has begun, with the old guest's one publication in the ring. */
static void trying(uint16_t steps, uint8_t flags, uint32_t within_ms)
{
    running();
    (void)signer_try(&f, &new_job, steps, flags, within_ms);
    (void)start();
}

static void o18_a_trial_that_traps_is_rolled_back_in_the_same_step(void)
{
    for (int at = 2; at <= 5; at++) { /* not in the first, in which the old one would trap as well */
        trying(9, 0, 0);
        for (int k = 1; k < at; k++)
            EXPECT(step(3000 + k) == LV_OK && told().flags == LV_STEP_TRIAL);
        fails_at = at;
        EXPECT(step(4000) == LV_OK && goes_on() && told().flags == LV_STEP_ROLLED_BACK);
        EXPECT(stepped == 1 && f.node.host.time_ms == 4000); /* and the old one has made it */
        EXPECT(failed_with(LV_REASON_TRAP, LV_TRAP_UNREACHABLE));
        EXPECT(f.node.ring.waiting == 2 && f.pins[23] == 1); /* its own, none of the trial's */
        EXPECT(f.node.kept.values[2] == 1);
        EXPECT(lv_store_barred(&f.node.store, digest(&new_job)));
        EXPECT(signer_begin(&f, &new_job) == LV_NAK_BARRED && told().flags == 0);
        fails_at = 0;
        EXPECT(step(5000) == LV_OK && stepped == 2 && f.node.host.uptime_ms == 0);
    }
    trying(9, 0, 0);
    fails_at = 1; /* that of the old one is its own affair */
    EXPECT(step(4000) == LV_OK && f.node.state == LV_NODE_STOPPED && in_use(&old_job));
}

static void o18_a_trial_that_traps_or_does_not_load_at_its_start_never_runs(void)
{
    running();
    EXPECT(signer_try(&f, &new_job, 9, 0, 0) == LV_OK);
    f.load_result = LV_TRAP_UNREACHABLE; /* so does the old one */
    EXPECT(start() == LV_OK && failed_with(LV_REASON_TRAP, LV_TRAP_UNREACHABLE));
    EXPECT(in_use(&old_job) && f.node.state == LV_NODE_STOPPED && f.pins[23] == 0);
    f.load_result = 0;
    EXPECT(start() == LV_OK && goes_on());
    running();
    EXPECT(signer_try(&f, &new_job, 9, 0, 0) == LV_OK);
    f.load_result = -3;
    EXPECT(start() == LV_NAK_LOAD && failed_with(LV_REASON_LOAD, -3));
    EXPECT(lv_store_barred(&f.node.store, digest(&new_job)));
}

static void o19_a_budget_that_is_used_up_and_a_negative_result_end_a_trial(void)
{
    trying(9, 0, 0);
    EXPECT(step(3000) == LV_OK);
    result = -7;
    EXPECT(step(3001) == LV_OK && failed_with(LV_REASON_FAULT, LV_TRAP_GUEST_FAULT));
    EXPECT(in_use(&old_job));
    lv_msg_configure m = limits(2, 100, 1000);
    trying(9, 0, 0);
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    EXPECT(step(3000) == LV_OK && failed_with(LV_REASON_BUDGET, LV_TRAP_HOST_CALLS));
}

static void o21_a_trial_that_is_not_committed_in_time_is_rolled_back(void)
{
    running();
    lv_node_tick(&f.node, 500);
    publishes = false;
    EXPECT(signer_try(&f, &new_job, 2, LV_TRIAL_REPORT, 1000) == LV_OK && start() == LV_OK);
    lv_node_tick(&f.node, 700000); /* the first that the trial sees */
    for (int k = 0; k < 5; k++)
        EXPECT(step(3000 + k) == LV_OK && told().flags == LV_STEP_TRIAL);
    lv_node_tick(&f.node, 701000);
    EXPECT(said().state == LV_UPDATE_UPDATING);
    lv_node_tick(&f.node, 701001);
    EXPECT(failed_with(LV_REASON_TIMEOUT, 5) && f.node.state == LV_NODE_IDLE && f.pins[23] == 0);
    const lv_msg_step m = {.time_ms = 9000, .uptime_ms = 700};
    EXPECT(lv_node_step(&f.node, &m) == LV_OK && goes_on());
    EXPECT(told().flags == LV_STEP_ROLLED_BACK && stepped == 1);
    EXPECT(f.node.host.uptime_ms == 0); /* of the old one, which has begun anew */
    EXPECT(lv_store_barred(&f.node.store, digest(&new_job)));
}

static void a_module_on_trial_is_run_once_an_hour_whatever_it_asks_for(void)
{
    const int32_t longest = LV_LONGEST_WAKE_MS;
    running();
    result = longest;
    EXPECT(signer_try(&f, &new_job, 3, 0, 0) == LV_OK);
    EXPECT(step(3000) == LV_OK && told().wake_ms == 3000 + longest); /* the one in use */
    EXPECT(start() == LV_OK && told().wake_ms <= 1000 + LV_TRIAL_WAKE_MS);
    for (int k = 1; k <= 2; k++)
        EXPECT(step(4000 * k) == LV_OK && told().wake_ms == 4000 * k + LV_TRIAL_WAKE_MS);
    EXPECT(step(12000) == LV_OK && in_use(&new_job) && told().wake_ms == 12000 + longest);
    trying(9, 0, 0);
    result = LV_TRIAL_WAKE_MS - 1; /* sooner is as it wishes */
    EXPECT(step(3000) == LV_OK && told().wake_ms == 3000 + LV_TRIAL_WAKE_MS - 1);
    fails_at = 2; /* and what is rolled back is no trial any more */
    result = longest;
    EXPECT(step(4000) == LV_OK && goes_on() && told().wake_ms == 4000 + longest);
}

static void a_report_or_a_confirmation_that_is_wanted_is_waited_for(void)
{
    trying(2, LV_TRIAL_CONFIRM, 0);
    publishes = false;
    for (int k = 0; k < 3; k++)
        EXPECT(step(3000 + k) == LV_OK && told().flags == LV_STEP_TRIAL);
    EXPECT(lv_node_confirm(&f.node, digest(&old_job)) == LV_NAK_VALUE);
    EXPECT(lv_node_confirm(&f.node, digest(&new_job)) == LV_OK && in_use(&new_job));
    EXPECT(f.pins[23] == 0); /* an update opens no valve: the next step does */
    EXPECT(step(4000) == LV_OK && f.pins[23] == 1);
    EXPECT(lv_node_confirm(&f.node, digest(&new_job)) == LV_NAK_STATE);
    trying(2, LV_TRIAL_CONFIRM | LV_TRIAL_REPORT, 0);
    publishes = false;
    EXPECT(step(3000) == LV_OK && lv_node_confirm(&f.node, digest(&new_job)) == LV_OK);
    EXPECT(step(3001) == LV_OK && in_use(&old_job));
    publishes = true;
    EXPECT(step(3002) == LV_OK && in_use(&new_job));
    trying(1, LV_TRIAL_CONFIRM, 0);
    EXPECT(lv_node_confirm(&f.node, digest(&new_job)) == LV_OK);
    lv_node_install_abort(&f.node); /* the next one is not confirmed by that */
    EXPECT(signer_try(&f, &third_job, 1, LV_TRIAL_CONFIRM, 0) == LV_OK && start() == LV_OK);
    EXPECT(step(3000) == LV_OK && in_use(&old_job));
}

static void a_trial_that_is_no_trial_is_refused_by_the_number_of_its_field(void)
{
    lv_msg_install_trial m = {.steps = 0};
    running();
    EXPECT(signer_send(&f, &new_job) == LV_OK);
    EXPECT(lv_node_install_trial(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 0);
    m.steps = 1;
    m.flags = 4;
    EXPECT(lv_node_install_trial(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 2);
    m.flags = 3;
    m.carried_length = 5;
    EXPECT(lv_node_install_trial(&f.node, &m) == LV_NAK_VALUE && f.node.detail == 3);
    m.carried_length = 0;
    EXPECT(lv_node_install_trial(&f.node, &m) == LV_OK);
    EXPECT(lv_node_install_trial(&f.node, &m) == LV_NAK_STATE);
    EXPECT(lv_node_install(&f.node) == LV_NAK_STATE && in_use(&old_job));
    f.load_result = -2;
    EXPECT(signer_send(&f, &third_job) == LV_OK);
    EXPECT(lv_node_install_trial(&f.node, &m) == LV_NAK_LOAD && failed_with(LV_REASON_LOAD, -2));
}

static void reject_bars_and_abort_does_not(void)
{
    running();
    EXPECT(lv_node_reject(&f.node) == LV_NAK_STATE);
    lv_node_install_abort(&f.node);
    EXPECT(said().state == LV_UPDATE_UPDATED);
    for (int waits = 0; waits < 2; waits++)
        for (int bars = 0; bars < 2; bars++) {
            trying(9, 0, 0);
            if (waits) {
                running();
                EXPECT(signer_try(&f, &new_job, 9, 0, 0) == LV_OK);
            }
            if (bars)
                EXPECT(lv_node_reject(&f.node) == LV_OK && failed_with(LV_REASON_REJECTED, 0));
            else
                lv_node_install_abort(&f.node);
            EXPECT(bars || failed_with(LV_REASON_ABORTED, 0));
            EXPECT(lv_store_barred(&f.node.store, digest(&new_job)) == bars);
            EXPECT(step(5000) == LV_OK && goes_on() && f.pins[23] == 1);
            EXPECT((told().flags == LV_STEP_ROLLED_BACK) == !waits);
            EXPECT(signer_begin(&f, &new_job) == (bars ? LV_NAK_BARRED : LV_OK));
            EXPECT(bars || f.node.store.received == sizeof new_guest); /* it is still there */
        }
}

static void what_was_kept_in_memory_alone_outlives_a_trial_that_failed(void)
{
    running();
    f.config.keep_every_ms = 3600000;
    EXPECT(step(3000) == LV_OK && f.node.kept.values[2] == 2 && f.node.kept.dirty);
    EXPECT(signer_try(&f, &new_job, 9, 0, 0) == LV_OK && start() == LV_OK);
    EXPECT(step(4000) == LV_OK && f.node.kept.values[2] == 1);
    EXPECT(lv_node_reject(&f.node) == LV_OK && f.node.kept.values[2] == 2);
}

static void reject_and_abort_by_request_are_answered(void)
{
    const uint8_t session[4] = {0};
    const uint8_t *body;
    uint16_t length;
    running();
    EXPECT(fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL) == LV_MSG_BIRTH);
    EXPECT(fake_ask(&f, LV_MSG_REJECT, 6, NULL, 0, &body, &length) == LV_MSG_NAK);
    EXPECT(body[0] == LV_NAK_STATE && body[1] == LV_MSG_REJECT);
    EXPECT(signer_try(&f, &new_job, 9, 0, 0) == LV_OK);
    EXPECT(fake_ask(&f, LV_MSG_REJECT, 7, session, 1, &body, &length) == LV_MSG_NAK);
    EXPECT(body[0] == LV_NAK_LENGTH && said().state == LV_UPDATE_VERIFIED);
    EXPECT(fake_ask(&f, LV_MSG_REJECT, 8, NULL, 0, &body, &length) == LV_MSG_ACK);
    EXPECT(failed_with(LV_REASON_REJECTED, 0) && length == 4 && lv_get32(body) == 0);
    EXPECT(signer_try(&f, &third_job, 9, 0, 0) == LV_OK);
    EXPECT(fake_ask(&f, LV_MSG_INSTALL_ABORT, 9, session, 1, &body, &length) == LV_MSG_NAK);
    EXPECT(body[0] == LV_NAK_LENGTH && said().state == LV_UPDATE_VERIFIED);
    EXPECT(fake_ask(&f, LV_MSG_INSTALL_ABORT, 10, NULL, 0, &body, &length) == LV_MSG_ACK);
    EXPECT(failed_with(LV_REASON_ABORTED, 0) && length == 4 && lv_get32(body) == 0);
    EXPECT(fake_ask(&f, LV_MSG_GET_UPDATE_STATUS, 11, session, 1, &body, &length) == LV_MSG_NAK);
    EXPECT(fake_ask(&f, LV_MSG_GET_UPDATE_STATUS, 12, NULL, 0, &body, &length) ==
           LV_MSG_UPDATE_STATUS);
    EXPECT(body[0] == LV_UPDATE_FAILED && body[1] == LV_REASON_ABORTED);
}

static void a_field_starts_what_waits_and_what_has_stopped_and_no_other(void)
{
    running();
    EXPECT(!lv_node_wants_start(&f.node));
    EXPECT(signer_try(&f, &new_job, 9, 0, 0) == LV_OK && lv_node_wants_start(&f.node));
    EXPECT(start() == LV_OK && !lv_node_wants_start(&f.node));
    EXPECT(lv_node_reject(&f.node) == LV_OK && !lv_node_wants_start(&f.node)); /* the next step does */
    EXPECT(step(3000) == LV_OK && !lv_node_wants_start(&f.node));
    fails_at = stepped + 1;
    EXPECT(step(4000) == LV_OK && lv_node_wants_start(&f.node));
    fails_at = 0;
    fake_boot(&f);
    EXPECT(lv_node_wants_start(&f.node));
}

static void a_module_that_failed_may_come_again_as_an_answer_to_this_device(void)
{
    uint8_t nonce[LV_NONCE_BYTES];
    trying(9, 0, 0);
    EXPECT(lv_node_reject(&f.node) == LV_OK);
    memset(nonce, 0xA5, sizeof nonce);
    signer_job job = new_job;
    job.counter = 99;
    EXPECT(signer_begin(&f, &job) == LV_NAK_BARRED);
    job.nonce = nonce;
    EXPECT(signer_begin(&f, &job) == LV_OK);
}

static void the_last_four_that_failed_are_barred(void)
{
    static uint8_t module[6][50];
    running();
    for (int k = 0; k < 6; k++) {
        module[k][0] = (uint8_t)(100 + k);
        const signer_job job = {.module = module[k], .size = 50, .counter = 10};
        EXPECT(signer_try(&f, &job, 1, 0, 0) == LV_OK && lv_node_reject(&f.node) == LV_OK);
    }
    fake_boot(&f);
    for (int k = 0; k < 6; k++) {
        const signer_job job = {.module = module[k], .size = 50, .counter = 10};
        EXPECT(lv_store_barred(&f.node.store, digest(&job)) == (k >= 2));
    }
}

/* --- restarts ----------------------------------------------------------------------------------- */

static void a_restart_ends_a_trial_and_bars_its_module_if_it_may_have_caused_it(void)
{
    for (uint8_t reason = LV_RESET_POWER_ON; reason <= LV_RESET_UNKNOWN; reason++) {
        trying(9, 0, 0);
        EXPECT(step(3000) == LV_OK);
        f.config.reset_reason = reason;
        fake_boot(&f);
        EXPECT(in_use(&old_job) && failed_with(LV_REASON_RESTART, reason));
        bool guilty = reason == LV_RESET_WATCHDOG || reason == LV_RESET_PANIC ||
                      reason == LV_RESET_UNKNOWN;
        EXPECT(lv_store_barred(&f.node.store, digest(&new_job)) == guilty);
        EXPECT(start() == LV_OK && goes_on() && f.node.kept.values[2] == 1);
    }
}

static void what_waits_waits_over_a_restart(void)
{
    running();
    EXPECT(signer_try(&f, &new_job, 2, 0, 0) == LV_OK);
    fake_boot(&f);
    lv_msg_birth birth;
    lv_node_birth(&f.node, &birth);
    EXPECT(birth.flags & LV_BIRTH_TRIAL && memcmp(birth.guest_sha256, digest(&old_job), 32) == 0);
    EXPECT(said().state == LV_UPDATE_VERIFIED && said().size == sizeof new_guest);
    EXPECT(start() == LV_OK && step(3000) == LV_OK && step(3001) == LV_OK && in_use(&new_job));
    running();
    EXPECT(signer_try(&f, &new_job, 2, 0, 0) == LV_OK);
    f.slots[!f.node.store.active][3] ^= 1;
    lv_store waiting = f.node.store;
    EXPECT(start() == LV_OK && failed_with(LV_REASON_DIGEST, 0) && goes_on());
    EXPECT(waiting.update.stage == LV_STAGE_WAITING);
    running();
    EXPECT(signer_try(&f, &new_job, 2, 0, 0) == LV_OK);
    f.slots[!f.node.store.active][3] ^= 1;
    fake_boot(&f);
    EXPECT(failed_with(LV_REASON_DIGEST, 0) && start() == LV_OK && goes_on());
}

static void a_start_in_a_trial_begins_it_anew_with_what_was_held(void)
{
    trying(2, LV_TRIAL_CONFIRM, 0);
    EXPECT(step(3000) == LV_OK && lv_node_confirm(&f.node, digest(&new_job)) == LV_OK);
    lv_node_close(&f.node);
    EXPECT(step(3001) == LV_NAK_NO_GUEST && said().state == LV_UPDATE_UPDATING);
    EXPECT(start() == LV_OK && said().steps == 0 && f.pins[23] == 0);
    EXPECT(step(3002) == LV_OK && in_use(&old_job) && step(3003) == LV_OK && in_use(&new_job));
    trying(2, 0, 0);
    f.slots[!f.node.store.active][3] ^= 1;
    EXPECT(start() == LV_OK && failed_with(LV_REASON_DIGEST, 0) && goes_on());
}

static void the_steps_of_a_trial_are_counted_up_to_what_has_16_bits(void)
{
    trying(UINT16_MAX, LV_TRIAL_CONFIRM, 0);
    for (long k = 0; k < 70000; k++)
        lv_update_passed(&f.node.update);
    EXPECT(said().steps == 65535 && said().state == LV_UPDATE_UPDATING);
    EXPECT(lv_node_confirm(&f.node, digest(&new_job)) == LV_OK && in_use(&new_job));
}

static void flash_that_cannot_be_written_lets_no_trial_begin_or_end(void)
{
    running();
    EXPECT(signer_try(&f, &new_job, 1, 0, 0) == LV_OK);
    f.flash_broken = true;
    EXPECT(start() == LV_OK && failed_with(LV_REASON_FLASH, 0) && goes_on());
    f.flash_broken = false;
    trying(1, 0, 0);
    f.flash_broken = true;
    EXPECT(step(3000) == LV_OK && said().state == LV_UPDATE_UPDATING && f.pins[23] == 0);
    f.flash_broken = false;
    EXPECT(step(3001) == LV_OK && in_use(&new_job));
    trying(9, 0, 0);
    f.flash_broken = true;
    EXPECT(lv_node_reject(&f.node) == LV_OK && step(3000) == LV_OK && goes_on());
    f.flash_broken = false;
    running();
    f.flash_broken = true;
    EXPECT(signer_begin(&f, &new_job) == LV_NAK_FLASH && !f.node.store.receiving);
}

/* --- after it was committed --------------------------------------------------------------------- */

static void crash(int64_t time_ms)
{
    fails_at = stepped + 1;
    (void)step(time_ms);
    fails_at = 0;
    if (f.node.state == LV_NODE_STOPPED)
        (void)start();
}

static void updated(void)
{
    trying(1, 0, 0);
    (void)step(3000);
}

static void a_module_that_crashes_three_times_within_a_day_goes_back_once(void)
{
    updated();
    EXPECT(in_use(&new_job));
    crash(10000);
    crash(10000 + LV_CRASHES_MS);
    EXPECT(in_use(&new_job) && f.node.state == LV_NODE_RUNNING);
    fails_at = stepped + 1;
    EXPECT(fails_at == 1 && step(20000) == LV_OK && in_use(&old_job)); /* both trap at once */
    EXPECT(failed_with(LV_REASON_CRASHES, LV_TRAP_UNREACHABLE) && said().counter == 6);
    EXPECT(lv_store_barred(&f.node.store, digest(&new_job)));
    EXPECT(told().flags == LV_STEP_ROLLED_BACK);
    fails_at = 0;
    EXPECT(start() == LV_OK && step(21000) == LV_OK && goes_on());
    for (int k = 0; k < 9; k++) /* it has nowhere to go back to */
        crash(22000 + k);
    EXPECT(in_use(&old_job) && f.node.state == LV_NODE_RUNNING);
    signer_job job = third_job;
    job.counter = 5;
    EXPECT(signer_begin(&f, &job) == LV_NAK_ROLLBACK); /* the counter stays */
    fake_boot(&f);
    EXPECT(in_use(&old_job) && failed_with(LV_REASON_CRASHES, LV_TRAP_UNREACHABLE));
}

static void crashes_further_apart_than_a_day_count_anew(void)
{
    updated();
    for (int64_t day = 0; day < 9; day++) {
        crash(10000 + 2 * day * (LV_CRASHES_MS + 1));
        crash(10000 + (2 * day + 1) * (LV_CRASHES_MS + 1));
        EXPECT(in_use(&new_job));
    }
    crash(5); /* a clock that was not set yet: another day */
    crash(6);
    EXPECT(in_use(&new_job));
    crash(4);
    EXPECT(in_use(&old_job));
}

static void a_watchdog_that_bites_counts_as_a_crash(void)
{
    for (uint8_t reason = LV_RESET_POWER_ON; reason <= LV_RESET_UNKNOWN; reason++) {
        updated();
        f.config.reset_reason = reason;
        for (int k = 0; k < 2; k++) {
            fake_boot(&f);
            EXPECT(in_use(&new_job));
        }
        fake_boot(&f);
        bool crashed = reason == LV_RESET_WATCHDOG || reason == LV_RESET_PANIC;
        EXPECT(in_use(crashed ? &old_job : &new_job));
        EXPECT(!crashed || failed_with(LV_REASON_CRASHES, LV_TRAP_DEADLINE));
    }
    updated();
    f.config.reset_reason = LV_RESET_WATCHDOG;
    fake_boot(&f);
    EXPECT(start() == LV_OK);
    crash(5000000000);
    crash(5000000000 + LV_CRASHES_MS);
    EXPECT(in_use(&old_job));
}

static void a_module_that_was_installed_at_once_never_goes_back(void)
{
    running();
    EXPECT(signer_send(&f, &new_job) == LV_OK && lv_node_install(&f.node) == LV_OK);
    EXPECT(start() == LV_OK);
    for (int k = 0; k < 9; k++)
        crash(3000 + k);
    EXPECT(in_use(&new_job) && f.node.state == LV_NODE_RUNNING);
    f.config.reset_reason = LV_RESET_PANIC;
    for (int k = 0; k < 9; k++)
        fake_boot(&f);
    EXPECT(in_use(&new_job));
}

static void without_the_one_before_a_module_that_crashes_stays(void)
{
    updated();
    f.slots[!f.node.store.active][9] ^= 1;
    for (int k = 0; k < 5; k++)
        crash(5000 + k);
    EXPECT(in_use(&new_job) && f.node.state == LV_NODE_RUNNING && !f.node.store.update.watched);
}

/* --- parameters --------------------------------------------------------------------------------- */

static lv_status start_stored(void)
{
    const lv_msg_start m = {.time_ms = 1000, .flags = LV_START_STORED_PARAMETERS};
    return lv_node_start(&f.node, &m);
}

static void o28_of_the_parameters_those_are_carried_over_that_both_declare(void)
{
    running();
    for (uint32_t id = 0; id < 3; id++)
        EXPECT(keep(id, 20 + id) == LV_OK);
    EXPECT(signer_try(&f, &new_job, 2, 0, 0) == LV_OK); /* carries 1 */
    EXPECT(start_stored() == LV_OK);
    EXPECT(f.parameters[0] == 10 && f.parameters[1] == 21 && f.parameters[2] == 10);
    EXPECT(keep(1, 50) == LV_NAK_STATE && f.parameters[1] == 21); /* it is the other's */
    EXPECT(f.node.detail == 0);
    EXPECT(lv_node_reject(&f.node) == LV_OK && step(3000) == LV_OK);
    EXPECT(f.parameters[0] == 20 && f.parameters[1] == 21 && f.parameters[2] == 22);
    signer_job job = third_job;
    EXPECT(signer_try(&f, &job, 1, 0, 0) == LV_OK && start_stored() == LV_OK);
    EXPECT(step(3001) == LV_OK && in_use(&job) && f.node.store.parameter_count == 1);
    EXPECT(keep(1, 51) == LV_OK && keep(3, 33) == LV_OK);
    for (int k = 0; k < 3; k++) { /* back: what both have, with its latest value */
        fails_at = stepped + 1;
        EXPECT(step(4000 + k) == LV_OK);
        fails_at = 0;
        if (k < 2)
            EXPECT(start_stored() == LV_OK && f.parameters[3] == 33);
    }
    EXPECT(in_use(&old_job) && f.node.store.parameter_count == 1);
    EXPECT(start_stored() == LV_OK && f.parameters[1] == 51 && f.parameters[3] == 10);
}

static void several_parameters_are_carried_each_by_its_id(void)
{
    static const uint8_t ids[12] = {2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0}; /* 2, 9 and 0 */
    const lv_msg_install_trial m = {.steps = 1, .carried = ids, .carried_length = sizeof ids};
    running();
    for (uint32_t id = 0; id < 4; id++)
        EXPECT(keep(3 - id, 20 + id) == LV_OK);
    EXPECT(signer_send(&f, &new_job) == LV_OK && lv_node_install_trial(&f.node, &m) == LV_OK);
    EXPECT(f.node.store.update.carried == 10); /* places 1 and 3: the ids 2 and 0 */
    EXPECT(start_stored() == LV_OK && f.parameters[0] == 23 && f.parameters[2] == 21);
    EXPECT(f.parameters[1] == 10 && f.parameters[3] == 10);
    EXPECT(step(3000) == LV_OK && in_use(&new_job) && f.node.store.parameter_count == 2);
    EXPECT(f.node.store.parameters[0][0] == 2 && f.node.store.parameters[1][0] == 0);
    EXPECT(f.node.store.update.carried == 3);
    running();
    EXPECT(keep(1, 21) == LV_OK && signer_send(&f, &new_job) == LV_OK);
    EXPECT(lv_node_install(&f.node) == LV_OK); /* upon which there is none */
    EXPECT(signer_try(&f, &third_job, 1, 0, 0) == LV_OK && f.node.store.update.carried == 0);
}

/* --- open devices, other firmware ---------------------------------------------------------------- */

static void a_device_without_keys_tries_a_module_of_anybody(void)
{
    uint8_t nonce[LV_NONCE_BYTES];
    signer_job job = new_job;
    job.counter = 0;
    ready();
    f.behave = busy;
    fails_at = 0;
    result = 1000;
    EXPECT(start() == LV_OK);
    EXPECT(signer_try(&f, &job, 1, 0, 0) == LV_OK && start() == LV_OK);
    EXPECT(lv_node_reject(&f.node) == LV_OK && step(3000) == LV_OK && in_use(&old_job));
    EXPECT(signer_try(&f, &job, 1, 0, 0) == LV_NAK_BARRED); /* which only a trial asks for */
    EXPECT(!f.node.store.receiving && f.node.detail == 0);
    memset(nonce, 0, sizeof nonce);
    job.counter = 6;
    job.nonce = nonce;
    f.node.update.has_nonce = true; /* all zeros */
    EXPECT(signer_try(&f, &job, 1, 0, 0) == LV_OK);
    lv_node_install_abort(&f.node);
    job.counter = 0;
    EXPECT(signer_send(&f, &job) == LV_OK && lv_node_install(&f.node) == LV_OK && in_use(&job));
    EXPECT(said().counter == 0 && said().version[0] == 0);
}

static void a_device_that_is_given_keys_runs_nothing_that_is_not_signed(void)
{
    ready();
    signer_trust(&f);
    fake_boot(&f);
    EXPECT(start() == LV_NAK_NO_GUEST && f.pins[23] == 0);
    EXPECT(signer_send(&f, &new_job) == LV_OK && lv_node_install(&f.node) == LV_OK);
    EXPECT(start() == LV_OK && in_use(&new_job));
    f.records[LV_STORE_RECORDS + LV_KEPT_RECORDS + f.node.store.active][60] ^= 1;
    fake_boot(&f);
    EXPECT(start() == LV_NAK_NO_GUEST);
}

/* The record of an envelope, as store.c writes it: the text, its length, two zeros, its bytes. */
static void put_envelope(int slot, const uint8_t *envelope, uint16_t length)
{
    uint8_t *r = f.records[LV_STORE_RECORDS + LV_KEPT_RECORDS + slot];
    memset(r, 0, LV_ENVELOPE_RECORD_BYTES);
    memcpy(r, "lve1", 4);
    lv_put16(r + 4, length);
    memcpy(r + 8, envelope, length);
    lv_put32(r + LV_ENVELOPE_RECORD_BYTES - 4, lv_crc32(0, r, LV_ENVELOPE_RECORD_BYTES - 4));
}

static void an_envelope_that_flash_has_lost_or_that_cannot_be_read_says_nothing(void)
{
    uint8_t envelope[LV_ENVELOPE_BYTES];
    ready();
    f.behave = busy;
    fails_at = 0;
    result = 1000;
    EXPECT(start() == LV_OK && signer_try(&f, &new_job, 1, 0, 0) == LV_OK);
    put_envelope(!f.node.store.active, envelope, 0);
    EXPECT(start() == LV_OK && step(3000) == LV_OK && in_use(&new_job));
    EXPECT(said().counter == 0 && said().version[0] == 0);
    uint16_t length = signer_seal(&new_job, envelope);
    put_envelope(f.node.store.active, envelope, length);
    fake_boot(&f);
    EXPECT(said().counter == 6 && strcmp(said().version, "1.0") == 0);
    ready();
    EXPECT(fake_install(&f, new_guest, sizeof new_guest) == LV_OK);
    for (uint16_t k = 0; k + 1 < length; k++)
        if (envelope[k] == 0xAB && envelope[k + 1] == 1) /* the manifest, a map of 11: */
            envelope[k]++;                               /* one member more than there is */
    put_envelope(f.node.store.active, envelope, length);
    fake_boot(&f);
    EXPECT(in_use(&new_job) && said().counter == 0 && said().version[0] == 0);
}

static void a_module_that_flash_loses_between_two_starts_is_not_started(void)
{
    updated();
    f.slots[f.node.store.active][5] ^= 1;
    EXPECT(start() == LV_OK && in_use(&old_job) && step(5000) == LV_OK);
    f.slots[f.node.store.active][5] ^= 1;
    EXPECT(start() == LV_NAK_NO_GUEST && f.pins[23] == 0);
}

static void a_module_that_was_adopted_is_the_one_in_use(void)
{
    uint8_t sha[32];
    ready();
    EXPECT(start() == LV_OK && keep(1, 21) == LV_OK);
    uint8_t slot = !f.node.store.active;
    memcpy(f.slots[slot], new_guest, sizeof new_guest);
    memcpy(sha, digest(&new_job), 32);
    EXPECT(lv_store_adopt(&f.node.store, slot, sizeof new_guest, sha) == LV_OK);
    EXPECT(in_use(&new_job) && f.node.store.parameter_count == 0 && start() == LV_OK);
    fake_boot(&f);
    EXPECT(in_use(&new_job));
    f.slots[slot][1] ^= 1;
    fake_boot(&f);
    EXPECT(in_use(&old_job));
    EXPECT(signer_send(&f, &new_job) == LV_OK && lv_node_install(&f.node) == LV_OK);
    EXPECT(strcmp(said().version, "1.0") == 0);
    slot = f.node.store.active; /* in place of a module with an envelope */
    memcpy(f.slots[slot], trial_guest, sizeof trial_guest);
    memcpy(sha, digest(&third_job), 32);
    EXPECT(lv_store_adopt(&f.node.store, slot, sizeof trial_guest, sha) == LV_OK);
    EXPECT(in_use(&third_job) && said().version[0] == 0);
}

static void a_wake_up_from_deep_sleep_checks_the_module_in_use_alone(void)
{
    updated();
    f.slots[!f.node.store.active][5] ^= 1;
    f.config.reset_reason = LV_RESET_DEEP_SLEEP;
    fake_boot(&f);
    EXPECT(in_use(&new_job) && f.node.store.size[!f.node.store.active] != 0);
    crash(1);
    crash(2);
    crash(3);
    EXPECT(in_use(&new_job)); /* what it would go back to is looked at now */
}

const unit_test update_tests[] = {
    TEST(o10_what_no_trusted_key_has_signed_writes_nothing),
    TEST(o11_an_older_module_and_another_of_the_same_counter_are_refused),
    TEST(o12_a_counter_that_was_lowered_by_hand_is_what_the_envelope_says),
    TEST(o13_a_module_for_another_node_or_abi_is_refused),
    TEST(o14_what_is_too_large_is_refused_at_once_and_no_byte_more_than_announced),
    TEST(a_manifest_that_has_expired_or_answers_another_is_refused),
    TEST(o25_of_two_senders_one_is_told_that_the_device_is_busy),
    TEST(while_a_module_waits_or_is_tried_no_other_one_takes_its_place),
    TEST(a_transfer_says_how_far_it_is),
    TEST(a_board_without_a_module_says_nothing_of_one),
    TEST(what_the_other_slot_has_is_not_sent_again),
    TEST(o22_a_trial_drives_publishes_and_keeps_nothing_before_it_is_committed),
    TEST(o18_a_trial_that_traps_is_rolled_back_in_the_same_step),
    TEST(o18_a_trial_that_traps_or_does_not_load_at_its_start_never_runs),
    TEST(o19_a_budget_that_is_used_up_and_a_negative_result_end_a_trial),
    TEST(o21_a_trial_that_is_not_committed_in_time_is_rolled_back),
    TEST(a_module_on_trial_is_run_once_an_hour_whatever_it_asks_for),
    TEST(a_report_or_a_confirmation_that_is_wanted_is_waited_for),
    TEST(a_trial_that_is_no_trial_is_refused_by_the_number_of_its_field),
    TEST(reject_bars_and_abort_does_not),
    TEST(what_was_kept_in_memory_alone_outlives_a_trial_that_failed),
    TEST(reject_and_abort_by_request_are_answered),
    TEST(a_field_starts_what_waits_and_what_has_stopped_and_no_other),
    TEST(a_module_that_failed_may_come_again_as_an_answer_to_this_device),
    TEST(the_last_four_that_failed_are_barred),
    TEST(a_restart_ends_a_trial_and_bars_its_module_if_it_may_have_caused_it),
    TEST(what_waits_waits_over_a_restart),
    TEST(a_start_in_a_trial_begins_it_anew_with_what_was_held),
    TEST(the_steps_of_a_trial_are_counted_up_to_what_has_16_bits),
    TEST(flash_that_cannot_be_written_lets_no_trial_begin_or_end),
    TEST(a_module_that_crashes_three_times_within_a_day_goes_back_once),
    TEST(crashes_further_apart_than_a_day_count_anew),
    TEST(a_watchdog_that_bites_counts_as_a_crash),
    TEST(a_module_that_was_installed_at_once_never_goes_back),
    TEST(without_the_one_before_a_module_that_crashes_stays),
    TEST(o28_of_the_parameters_those_are_carried_over_that_both_declare),
    TEST(several_parameters_are_carried_each_by_its_id),
    TEST(a_device_without_keys_tries_a_module_of_anybody),
    TEST(a_device_that_is_given_keys_runs_nothing_that_is_not_signed),
    TEST(an_envelope_that_flash_has_lost_or_that_cannot_be_read_says_nothing),
    TEST(a_module_that_flash_loses_between_two_starts_is_not_started),
    TEST(a_module_that_was_adopted_is_the_one_in_use),
    TEST(a_wake_up_from_deep_sleep_checks_the_module_in_use_alone),
    {NULL, NULL},
};
