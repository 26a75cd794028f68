#include "modules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../core/bytes.h"
#include "../../../core/frame.h"
#include "../../../core/json.h"
#include "../../../core/sha256.h"
#include "board.h"
#include "esp_attr.h"
#include "esp_log.h"
#include "mbedtls/base64.h"
#include "metadata.h"
#include "watchdog.h"

enum {
    PART_BYTES = 1024, /* asked for at once; with CRC and topic it fits the client's buffer */
    CRC_BYTES = 4,
    ID_BYTES = 32 + 1, /* of an offer, in hexadecimal digits */
    ATTEMPT_BYTES = 4 * 64 + 1,
    SAID_BYTES = 1024,
    DAMAGED = 5, /* so often one part may come damaged */
    REPEAT_MS = 500,
    REPEAT_MOST_MS = 5000,
    STALL_MS = 120000,
    DOWNLOAD_MS = 3600000,
    BEAT_MS = 5000,
    MOST_STEPS = 65535,
    SENDER = 0x4F5441, /* who installs: no session of a host has this number but by chance */
};

typedef enum { NOTHING, FETCHING, GIVEN, REFUSED } phase;

static const char tag[] = "modules";
static modules_say *say;

/* The offer that was taken last, and how far it is; deep sleep does not forget it. */
static RTC_DATA_ATTR struct {
    bool known; /* since the power came */
    phase phase;
    char id[ID_BYTES];
    char attempt[ATTEMPT_BYTES];
    uint8_t sha256[32];
    uint32_t size;
    uint16_t steps;
    const char *reason; /* of REFUSED */
    uint8_t damaged;    /* so often the present part */
    uint32_t wait_ms;   /* for an answer */
    uint32_t began_ms, asked_ms, news_ms, said_ms;
    uint8_t told; /* lv_update_state that was told last */
} offer;

static const char *const states[] = {"IDLE",     "DOWNLOADING", "DOWNLOADED", "VERIFIED",
                                     "UPDATING", "UPDATED",     "FAILED"};
static const char *const reasons[] = {"",       "TRAP",   "FAULT", "BUDGET",  "TIMEOUT", "REJECTED",
                                      "RESTART", "LOAD", "DIGEST", "FLASH", "CRASHES", "ABORTED"};

static const char *refusal(lv_status status)
{
    switch (status) {
    case LV_NAK_BUSY: return "BUSY";
    case LV_NAK_ROLLBACK: return "ROLLBACK";
    case LV_NAK_TARGET: return "TARGET";
    case LV_NAK_EXPIRED: return "EXPIRED";
    case LV_NAK_BARRED: return "BARRED";
    case LV_NAK_SIZE: return "SIZE";
    case LV_NAK_LOAD: return "LOAD";
    case LV_NAK_DIGEST: return "DIGEST";
    case LV_NAK_FLASH: return "FLASH";
    default: return "SIGNATURE"; /* there is none that holds, or what should hold it is malformed */
    }
}

/* --- what is said ----------------------------------------------------------------------------- */

/* Where an update stands; `id` empty: of nobody's offer. */
static void tell(const lv_node *node, const char *id, const char *attempt, uint8_t state,
                 const char *reason, const char *text)
{
    char said[SAID_BYTES];
    lv_json_writer w;
    lv_msg_birth birth;
    lv_msg_update_status status;
    lv_node_birth(node, &birth);
    lv_update_status(&node->update, &status);
    lv_json_begin(&w, said, sizeof said);
    if (id[0])
        lv_json_put_text(&w, "id", id);
    if (attempt[0])
        lv_json_put_text(&w, "attempt", attempt);
    lv_json_put_text(&w, "state", states[state]);
    if (id == offer.id) {
        bool whole = state == LV_UPDATE_UPDATED || offer.phase == GIVEN;
        lv_json_put_integer(&w, "received", whole ? offer.size : node->store.received);
        lv_json_put_integer(&w, "size", offer.size);
    }
    lv_json_put_text(&w, "reason", reason);
    lv_json_put_text(&w, "text", text);
    if (birth.flags & LV_BIRTH_INSTALLED)
        metadata_put_bytes(&w, "guest_sha256", birth.guest_sha256, sizeof birth.guest_sha256);
    if (status.version[0])
        lv_json_put_text(&w, "guest_version", status.version);
    if (status.counter)
        lv_json_put_integer(&w, "counter", status.counter);
    if (node->update.has_nonce)
        metadata_put_bytes(&w, "nonce", status.nonce, sizeof status.nonce);
    if (lv_json_end(&w))
        say("/ota/state", said);
    else
        ESP_LOGE(tag, "the state has no room in %d bytes", (int)sizeof said);
}

static uint8_t state_of(const lv_node *node)
{
    if (offer.phase == REFUSED)
        return LV_UPDATE_FAILED;
    return offer.phase == FETCHING ? LV_UPDATE_DOWNLOADING : node->store.update.state;
}

static bool under_way(const lv_node *node)
{
    uint8_t state = state_of(node);
    return offer.phase != NOTHING && state != LV_UPDATE_UPDATED && state != LV_UPDATE_FAILED;
}

static void report_with(const lv_node *node, const char *text)
{
    const lv_update_record *u = &node->store.update;
    uint8_t state = state_of(node);
    const char *reason = "";
    if (offer.phase == REFUSED)
        reason = offer.reason;
    else if (state == LV_UPDATE_FAILED && u->reason < sizeof reasons / sizeof *reasons)
        reason = reasons[u->reason];
    offer.said_ms = board_now_ms();
    offer.told = state;
    tell(node, offer.id, offer.attempt, state, reason, text);
}

static void report(const lv_node *node) { report_with(node, ""); }

static void fail(const lv_node *node, const char *reason)
{
    ESP_LOGW(tag, "%s: %s", offer.id, reason);
    offer.phase = REFUSED;
    offer.reason = reason;
    report(node);
}

/* --- the bytes -------------------------------------------------------------------------------- */

static uint32_t wanted_bytes(const lv_node *node)
{
    uint32_t missing = offer.size - node->store.received;
    return missing < PART_BYTES ? missing : PART_BYTES;
}

static void ask(const lv_node *node)
{
    char text[96];
    lv_json_writer w;
    lv_json_begin(&w, text, sizeof text);
    lv_json_put_text(&w, "id", offer.id);
    lv_json_put_integer(&w, "offset", node->store.received);
    lv_json_put_integer(&w, "bytes", wanted_bytes(node));
    offer.asked_ms = board_now_ms();
    if (lv_json_end(&w))
        say("/ota/want", text);
}

/* All is there: let it wait for its trial, with the parameters that both declare alike. */
static void hand_over(lv_node *node)
{
    uint8_t ids[4 * LV_PARAMETERS];
    lv_msg_install_trial m = {.steps = offer.steps, .carried = ids};
    const uint8_t *module;
    uint32_t size;
    watchdog_feed(); /* it is read and checked as a whole */
    if (lv_store_received(&node->store, &module, &size) == LV_OK)
        m.carried_length =
            metadata_carried(metadata_read(node), metadata_of(module, size), ids, sizeof ids);
    lv_status status = lv_node_install_trial(node, &m);
    if (status != LV_OK) {
        fail(node, refusal(status));
        return;
    }
    offer.phase = GIVEN;
    report(node);
}

static void go_on(lv_node *node)
{
    if (node->store.received == offer.size)
        hand_over(node);
    else
        ask(node);
}

void modules_chunk(lv_node *node, const char *place, const char *payload, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)payload;
    char wanted[ID_BYTES + 12];
    if (offer.phase != FETCHING)
        return;
    snprintf(wanted, sizeof wanted, "%s/%lu", offer.id, (unsigned long)node->store.received);
    if (strcmp(place, wanted) != 0)
        return; /* a repetition, or too late */
    if (length != CRC_BYTES + wanted_bytes(node) ||
        lv_get32(bytes) != lv_crc32(0, bytes + CRC_BYTES, length - CRC_BYTES)) {
        if (++offer.damaged >= DAMAGED)
            fail(node, "DIGEST");
        else
            ask(node);
        return;
    }
    const lv_msg_install_chunk m = {
        .offset = node->store.received,
        .data = bytes + CRC_BYTES,
        .data_length = (uint16_t)(length - CRC_BYTES),
    };
    lv_status status = lv_update_chunk(&node->update, SENDER, &m);
    if (status != LV_OK) {
        fail(node, refusal(status));
        return;
    }
    offer.damaged = 0;
    offer.wait_ms = REPEAT_MS;
    offer.news_ms = board_now_ms();
    go_on(node);
}

/* --- requests --------------------------------------------------------------------------------- */

/* The first digits of the SHA-256 of the module's SHA-256 and the envelope. */
static void identify(const uint8_t sha256[32], const uint8_t *envelope, uint16_t length,
                     char id[ID_BYTES])
{
    lv_sha256 hash;
    uint8_t digest[32];
    lv_sha256_begin(&hash);
    lv_sha256_add(&hash, sha256, 32);
    lv_sha256_add(&hash, envelope, length);
    lv_sha256_end(&hash, digest);
    metadata_hexadecimal(digest, (ID_BYTES - 1) / 2, id);
}

static bool read_digest(lv_json value, uint8_t sha256[32])
{
    char text[65];
    char again[65];
    if (!lv_json_copy(value, text, sizeof text) || strlen(text) != 64)
        return false;
    for (int k = 0; k < 32; k++) {
        char digits[3] = {text[2 * k], text[2 * k + 1], 0};
        sha256[k] = (uint8_t)strtoul(digits, NULL, 16);
    }
    metadata_hexadecimal(sha256, 32, again);
    return strcmp(text, again) == 0;
}

/* The envelope behind its base64; false if it is none, or too long. */
static bool read_envelope(lv_json value, uint8_t *envelope, uint16_t *length)
{
    char text[LV_ENVELOPE_BYTES / 3 * 4 + 8] = "";
    size_t size = 0;
    if (value.at && (!lv_json_copy(value, text, sizeof text) ||
                     mbedtls_base64_decode(envelope, LV_ENVELOPE_BYTES, &size,
                                           (const uint8_t *)text, strlen(text)) != 0))
        return false;
    *length = (uint16_t)size;
    return true;
}

/* Whether the module of the offer is the one in use, by an envelope that is not newer, or none. */
static bool runs_already(const lv_node *node, const lv_msg_install_begin *m)
{
    const lv_store *store = &node->store;
    lv_manifest manifest;
    if (!store->size[store->active] ||
        memcmp(store->sha256[store->active], m->sha256, sizeof m->sha256) != 0)
        return false;
    return m->envelope_length == 0 ||
           (lv_manifest_open(node->config, m->envelope, m->envelope_length, &manifest) == LV_OK &&
            manifest.counter <= store->counter[store->active]);
}

/* Whether it is what failed last, which a restart has kept us from telling. */
static bool failed_before(const lv_node *node)
{
    const lv_store *store = &node->store;
    return store->update.state == LV_UPDATE_FAILED && !store->receiving &&
           memcmp(store->sha256[!store->active], offer.sha256, sizeof offer.sha256) == 0;
}

static void begin(lv_node *node, const lv_msg_install_begin *m)
{
    bool first = !offer.known;
    offer.known = true;
    offer.phase = GIVEN;
    offer.began_ms = offer.news_ms = board_now_ms();
    offer.wait_ms = REPEAT_MS;
    offer.damaged = 0;
    watchdog_feed(); /* a signature is verified, a slot erased */
    if (runs_already(node, m)) {
        node->store.update.state = LV_UPDATE_UPDATED;
        report_with(node, "it runs already");
        return;
    }
    if (first && failed_before(node)) {
        report(node);
        return;
    }
    lv_status status = lv_node_install_begin(node, SENDER, m);
    if (status != LV_OK) {
        fail(node, refusal(status));
        return;
    }
    offer.phase = FETCHING;
    report(node);
    go_on(node);
}

/* Another offer than the present one is taken if it makes sense. */
static void take(lv_node *node, lv_json root, const char *id, const char *attempt)
{
    uint8_t envelope[LV_ENVELOPE_BYTES];
    char own_id[ID_BYTES];
    int64_t size;
    int64_t steps = 3;
    lv_msg_install_begin m = {.envelope = envelope};
    lv_json wanted_steps = lv_json_member(root, "trial_steps");
    if (!lv_json_integer(lv_json_member(root, "size"), &size) || size < 1 || size > UINT32_MAX ||
        !read_digest(lv_json_member(root, "sha256"), m.sha256) ||
        !read_envelope(lv_json_member(root, "envelope"), envelope, &m.envelope_length) ||
        (wanted_steps.at && (!lv_json_integer(wanted_steps, &steps) || steps < 0 || steps > MOST_STEPS))) {
        ESP_LOGW(tag, "a request that says nothing: ignored");
        return;
    }
    identify(m.sha256, envelope, m.envelope_length, own_id);
    if (strcmp(id, own_id) != 0) {
        ESP_LOGW(tag, "a request whose id is not that of its module: ignored");
        return;
    }
    m.size = (uint32_t)size;
    strcpy(offer.id, own_id);
    strcpy(offer.attempt, attempt);
    memcpy(offer.sha256, m.sha256, sizeof offer.sha256);
    offer.size = m.size;
    offer.steps = steps ? (uint16_t)steps : 1; /* what runs once may be taken */
    begin(node, &m);
}

static void abandon(lv_node *node, bool ours)
{
    if (ours && state_of(node) == LV_UPDATE_UPDATED)
        report_with(node, "an abort comes too late: it is committed");
    else if (ours && offer.phase == FETCHING) {
        lv_node_install_abort(node);
        fail(node, "ABORTED");
    } else {
        if (ours && under_way(node))
            lv_node_install_abort(node);
        report(node);
    }
}

void modules_request(lv_node *node, const char *json, size_t length)
{
    char id[2 * ID_BYTES];
    char attempt[ATTEMPT_BYTES] = "";
    lv_json root;
    if (lv_json_read(json, length, &root) != LV_JSON_OK ||
        !lv_json_copy(lv_json_member(root, "id"), id, sizeof id))
        return;
    lv_json action = lv_json_member(root, "action");
    lv_json said = lv_json_member(root, "attempt");
    if (lv_json_is_text(said) && !lv_json_copy(said, attempt, sizeof attempt))
        return;
    bool ours = offer.phase != NOTHING && strcmp(id, offer.id) == 0;
    if (lv_json_equals(action, "status"))
        report(node);
    else if (lv_json_equals(action, "abort"))
        abandon(node, ours);
    else if (!lv_json_equals(action, "install"))
        ESP_LOGW(tag, "a request for what is not known here: ignored");
    else if (under_way(node) && !ours)
        tell(node, id, attempt, LV_UPDATE_FAILED, "BUSY", "another update is under way");
    else if (ours && (under_way(node) || strcmp(attempt, offer.attempt) == 0))
        report(node);
    else
        take(node, root, id, attempt);
}

/* --- time ------------------------------------------------------------------------------------- */

void modules_begin(modules_say *publish)
{
    say = publish;
    /* while the radio was off nothing could come; after deep sleep the clock begins anew as well */
    offer.began_ms = offer.asked_ms = offer.news_ms = offer.said_ms = board_now_ms();
}

bool modules_busy(void) { return offer.phase == FETCHING; }

void modules_again(lv_node *node)
{
    if (offer.phase == FETCHING && !node->store.receiving)
        offer.phase = NOTHING; /* it has slept: whoever sends says again what */
    if (!under_way(node))
        return;
    offer.wait_ms = REPEAT_MS;
    report(node);
    if (offer.phase == FETCHING)
        ask(node);
}

void modules_serve(lv_node *node)
{
    uint32_t now_ms = board_now_ms();
    if (offer.phase == NOTHING)
        return;
    if (state_of(node) != offer.told || (under_way(node) && now_ms - offer.said_ms >= BEAT_MS))
        report(node);
    if (offer.phase != FETCHING)
        return;
    if (now_ms - offer.news_ms >= STALL_MS || now_ms - offer.began_ms >= DOWNLOAD_MS)
        fail(node, "TIMEOUT");
    else if (now_ms - offer.asked_ms >= offer.wait_ms) {
        offer.wait_ms = offer.wait_ms < REPEAT_MOST_MS / 2 ? 2 * offer.wait_ms : REPEAT_MOST_MS;
        ask(node);
    }
}
