#include "fake.h"

#include <string.h>

#define F fake *f = context

/* What the power cut leaves of an operation: anything. */
static void litter(fake *f, uint8_t *to, uint32_t length)
{
    for (uint32_t k = 0; f->litter && k < length; k++) {
        f->litter = f->litter * 1664525u + 1013904223u; /* Numerical Recipes */
        to[k] = (uint8_t)(f->litter >> 24);
    }
}

static int write_flash(fake *f, uint8_t *to, const uint8_t *from, uint32_t length, bool record)
{
    if (f->flash_broken)
        return -1;
    if (f->operations < FAKE_OPERATIONS) {
        f->operation[f->operations].at = f->written;
        f->operation[f->operations].length = length;
        f->operation[f->operations].record = record;
    }
    f->operations++;
    if (f->operations == f->failing)
        return -1;
    for (uint32_t k = 0; k < length; k++) {
        if (f->power == 0) {
            if (k) /* else it had not begun */
                litter(f, to + k, length - k);
            longjmp(f->cut, 1);
        }
        if (f->power > 0)
            f->power--;
        f->written++;
        to[k] = from ? from[k] : 0xFF;
    }
    return 0;
}

static int guest_check(void *context, const uint8_t *module, uint32_t length,
                       const lv_limits *limits)
{
    F;
    (void)module;
    (void)length;
    f->limits = *limits;
    return f->load_result < 0 ? f->load_result : 0;
}

static int guest_load(void *context, const uint8_t *module, uint32_t length, lv_host *host,
                      const lv_limits *limits)
{
    F;
    (void)length;
    f->module = module;
    f->host = host;
    f->load_watchdog_ms = f->watchdog_ms;
    f->loaded = f->load_result >= 0;
    f->limits = *limits;
    for (int k = 0; k < FAKE_PARAMETERS; k++)
        f->parameters[k] = 10;
    if (f->on_load)
        f->on_load(f);
    return f->load_result;
}

static int32_t set_parameter(fake *f, int32_t id, int32_t value)
{
    if (id < 0 || id >= FAKE_PARAMETERS || value < 0 || value > 100)
        return LV_RESULT_INVALID;
    int32_t before = f->parameters[id];
    f->parameters[id] = value;
    if (!f->rule || f->rule(f->parameters))
        return 0;
    f->parameters[id] = before;
    return LV_RESULT_INVALID;
}

static int guest_call(void *context, lv_export which, const int32_t *arguments, int32_t *result)
{
    F;
    f->watchdog_was_armed |= f->watchdog_ms != 0;
    *result = which == LV_EXPORT_INIT || which == LV_EXPORT_STEP ? 60000 : 0;
    if (which == LV_EXPORT_PARAM_GET)
        *result = arguments[0] < 0 || arguments[0] >= FAKE_PARAMETERS
                      ? LV_RESULT_INVALID
                      : f->parameters[arguments[0]];
    if (which == LV_EXPORT_PARAM_SET)
        *result = set_parameter(f, arguments[0], arguments[1]);
    return f->behave ? f->behave(f, which, arguments, result) : 0;
}

static void guest_unload(void *context)
{
    F;
    f->loaded = false;
    f->unloads++;
}

static bool guest_has(void *context, lv_export which)
{
    F;
    return f->has[which];
}

static int guest_pause(void *context)
{
    F;
    f->pauses++;
    return f->pause_result;
}

static void output(void *context, uint8_t pin, uint8_t state)
{
    F;
    f->pins[pin] = state;
    f->pin_writes++;
}

static int record_read(void *context, int record, uint8_t *bytes)
{
    F;
    memcpy(bytes, f->records[record], lv_record_bytes(record));
    return 0;
}

static int record_write(void *context, int record, const uint8_t *bytes)
{
    F;
    return write_flash(f, f->records[record], bytes, lv_record_bytes(record), true);
}

static int slot_erase(void *context, int slot)
{
    F;
    return write_flash(f, f->slots[slot], NULL, FAKE_SLOT_BYTES, false);
}

static int slot_write(void *context, int slot, uint32_t offset, const uint8_t *data,
                      uint32_t length)
{
    F;
    return write_flash(f, f->slots[slot] + offset, data, length, false);
}

static const uint8_t *slot_map(void *context, int slot)
{
    F;
    return f->slots[slot];
}

static int send(void *context, const uint8_t *bytes, uint32_t length)
{
    F;
    if (length > FAKE_SENT - f->sent_length)
        f->sent_length = 0; /* nobody reads that far back */
    memcpy(f->sent + f->sent_length, bytes, length);
    f->sent_length += length;
    f->valve_at_send = f->pins[23];
    return 0;
}

static void restart(void *context)
{
    F;
    f->restarts++;
}

static void watchdog(void *context, uint32_t ms)
{
    F;
    f->watchdog_ms = ms;
}

static uint32_t clock_us(void *context)
{
    F;
    return f->clock_us += 7;
}

void fake_new(fake *f)
{
    memset(f, 0, sizeof *f);
    memset(f->records, 0xFF, sizeof f->records);
    memset(f->slots, 0xFF, sizeof f->slots);
    f->power = -1;
    for (int k = 0; k < LV_EXPORTS; k++)
        f->has[k] = k != LV_EXPORT_MAIN;
    f->config = (lv_config){
        .context = f,
        .guest_check = guest_check,
        .guest_load = guest_load,
        .guest_call = guest_call,
        .guest_unload = guest_unload,
        .guest_has = guest_has,
        .guest_pause = guest_pause,
        .engine = "fake",
        .output = output,
        .record_read = record_read,
        .record_write = record_write,
        .slot_erase = slot_erase,
        .slot_write = slot_write,
        .slot_map = slot_map,
        .slot_bytes = FAKE_SLOT_BYTES,
        .send = send,
        .restart = restart,
        .watchdog = watchdog,
        .clock_us = clock_us,
        .firmware = "levada test",
        .tape = f->tape,
        .tape_bytes = sizeof f->tape,
        .ring = f->ring,
        .ring_bytes = sizeof f->ring,
    };
}

void fake_boot(fake *f)
{
    memset(f->pins, 0, sizeof f->pins);
    f->loaded = false;
    f->sent_length = 0;
    (void)lv_node_init(&f->node, &f->config);
    lv_link_init(&f->link, &f->node);
}

lv_status fake_install(fake *f, const uint8_t *wasm, uint32_t size)
{
    uint8_t digest[32];
    lv_sha256 sha;
    lv_sha256_begin(&sha);
    lv_sha256_add(&sha, wasm, size);
    lv_sha256_end(&sha, digest);
    lv_status status = lv_store_begin(&f->node.store, size, digest);
    for (uint32_t at = 0; at < size && status == LV_OK; at += 100)
        status = lv_store_chunk(&f->node.store, at, wasm + at, size - at < 100 ? size - at : 100);
    return status != LV_OK ? status : lv_node_install(&f->node);
}

int fake_ask(fake *f, uint8_t type, uint16_t sequence, const uint8_t *body, size_t length,
             const uint8_t **answer, uint16_t *answer_length)
{
    static lv_frame_decoder decoder;
    uint8_t frame[LV_FRAME_ENCODED];
    int found = 0;
    f->sent_length = 0;
    lv_link_receive(&f->link, frame, lv_frame_encode(type, sequence, body, length, frame));
    lv_frame_reset(&decoder);
    for (size_t k = 0; k < f->sent_length; k++)
        if (lv_frame_feed(&decoder, f->sent[k]) == LV_FRAME_READY) {
            found = decoder.type;
            if (answer) {
                *answer = decoder.body;
                *answer_length = decoder.length;
            }
        }
    return found;
}
