/*
 * Any bytes for the codec, the parsers and a whole board: nothing may be read or written beyond its
 * bounds, and whatever is accepted must mean the same when sent again.
 *
 * Built for libFuzzer (clang, `make fuzz`), or with fuzz_main.c, which makes its own inputs.
 */
#include <stdlib.h>
#include <string.h>

#include "../../firmware/engine/engine.h"
#include "fake.h"
#include "json.h"
#include "manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) \
    if (!(condition))      \
    abort()

static fake f;

static void decode(const uint8_t *data, size_t size)
{
    static lv_frame_decoder decoder;
    uint8_t again[LV_FRAME_ENCODED];
    lv_frame_reset(&decoder);
    for (size_t k = 0; k < size; k++) {
        if (lv_frame_feed(&decoder, data[k]) != LV_FRAME_READY)
            continue;
        size_t length = lv_frame_encode(decoder.type, decoder.sequence, decoder.body,
                                        decoder.length, again);
        REQUIRE(length <= sizeof again);
        /* there is one encoding, so what was just read must be it */
        size_t run = length - 1; /* without the zero before it */
        REQUIRE(k + 1 >= run && memcmp(again + 1, data + k + 1 - run, run) == 0);
    }
}

static void parse(const uint8_t *data, size_t size)
{
    uint8_t copy[LV_MAX_BODY];
    uint8_t *exact = malloc(size); /* so that a sanitizer sees one byte too many */
    memcpy(exact, data + 1, size - 1);
    size_t length = 0;
    if (lv_message_copy(data[0], exact, size - 1, copy, &length) == LV_OK)
        REQUIRE(length == size - 1 && memcmp(copy, exact, size - 1) == 0);
    free(exact);
}

static void walk(lv_json value, int level)
{
    char text[64];
    int64_t number;
    lv_json name;
    lv_json item = {NULL, NULL};
    REQUIRE(level <= LV_JSON_DEPTH);
    (void)lv_json_integer(value, &number);
    if (lv_json_copy(value, text, sizeof text))
        REQUIRE(lv_json_equals(value, text));
    while (lv_json_next(value, &name, &item)) {
        REQUIRE(item.at < item.end && (!name.at || lv_json_is_text(name)));
        walk(item, level + 1);
    }
}

static void read_json(const uint8_t *data, size_t size)
{
    char *exact = malloc(size);
    lv_json root;
    memcpy(exact, data, size);
    if (lv_json_read(exact, size, &root) == LV_JSON_OK)
        walk(root, 0);
    free(exact);
}

static int misbehave(fake *of, lv_export which, const int32_t *arguments, int32_t *result)
{
    /* the readings of the step say what the guest does */
    const int32_t *r = of->host->readings;
    lv_text text = {of->sent, (uint32_t)r[1] % FAKE_SENT, r[1] > 0};
    (void)arguments;
    if (which != LV_EXPORT_STEP)
        return 0;
    for (int k = 0; k < (r[0] & 7) && !of->host->trap; k++) {
        switch (((r[0] >> (3 + 3 * k)) & 7) + (r[1] & 3)) {
        case 0: lv_call_read_sensor(of->host, r[2]); break;
        case 1: lv_call_set_output(of->host, r[2], r[3]); break;
        case 2: lv_call_get_config(of->host, r[2]); break;
        case 3: lv_call_mqtt_publish(of->host, text, text); break;
        case 4: lv_call_wasm_log(of->host, text); break;
        case 5: lv_call_log_int(of->host, r[2]); break;
        case 6: (void)lv_call_delay_ms(of->host, r[2]); break;
        case 7: lv_call_now_s(of->host); break;
        case 8: lv_call_uptime_s(of->host); break;
        case 9: lv_call_keep_get(of->host, r[2]); break;
        default: lv_call_keep_set(of->host, r[2], r[3]); break;
        }
    }
    *result = r[3];
    return of->host->trap;
}

/* The input as requests: type, length, body each, sent with right framing and numbers. */
static void talk(const uint8_t *data, size_t size)
{
    static const uint8_t guest[40] = {9};
    const uint8_t session[4] = {0};
    uint16_t sequence = 0xFFF0;
    fake_new(&f);
    fake_boot(&f);
    f.behave = misbehave;
    REQUIRE(fake_install(&f, guest, sizeof guest) == LV_OK);
    REQUIRE(fake_ask(&f, LV_MSG_HELLO, sequence, session, 4, NULL, NULL) == LV_MSG_BIRTH);
    while (size > 2) {
        size_t length = data[1] * 4u;
        uint8_t type = data[0];
        data += 2;
        size -= 2;
        if (length > size)
            length = size;
        uint8_t *body = malloc(length);
        memcpy(body, data, length);
        int answer = fake_ask(&f, type, ++sequence, body, length, NULL, NULL);
        free(body);
        REQUIRE(type == LV_MSG_HEARTBEAT ? answer == 0 : answer >= LV_MSG_ACK);
        if (type == LV_MSG_HEARTBEAT)
            sequence--; /* it uses up no number */
        lv_link_tick(&f.link, (uint32_t)size);
        REQUIRE(f.node.host.tape.length <= FAKE_TAPE && f.node.ring.used <= FAKE_RING);
        /* whoever is in charge, a pin is only open while a guest runs */
        for (int pin = 0; pin < 256; pin++)
            REQUIRE(!f.pins[pin] || f.loaded);
        data += length;
        size -= length;
        if (type == LV_MSG_HELLO)
            REQUIRE(f.link.sequence == sequence);
    }
}

/* The input as what follows the head of a module. */
static void survey(const uint8_t *data, size_t size)
{
    static const uint8_t head[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    const lv_limits limits = {.instructions = 1, .memory_pages = 1};
    uint8_t *module = malloc(size + sizeof head);
    memcpy(module, head, sizeof head);
    memcpy(module + sizeof head, data, size);
    int refused = lv_module_check(module, (uint32_t)(size + sizeof head), &limits);
    REQUIRE(refused <= 0);
    (void)lv_module_keeps_globals(module, (uint32_t)(size + sizeof head));
    free(module);
}

static int any_signature_holds(void *context, const uint8_t signature[64], const uint8_t *message,
                               size_t length, const uint8_t key[32])
{
    uint8_t sum = 0; /* all that is handed over can be read */
    (void)context;
    for (size_t k = 0; k < length; k++)
        sum ^= message[k];
    for (size_t k = 0; k < 64; k++)
        sum ^= signature[k];
    REQUIRE(length >= sizeof LV_MANIFEST_DOMAIN &&
            memcmp(message, LV_MANIFEST_DOMAIN, sizeof LV_MANIFEST_DOMAIN) == 0);
    return sum == key[0]; /* some hold, some do not */
}

/* The input as an envelope, for a device with keys and for one without, and what it permits. */
static void open_manifest(const uint8_t *data, size_t size)
{
    static const uint8_t keys[LV_KEYS][32] = {{1}, {2}};
    static const uint8_t digest[32];
    const lv_manifest_reader by = {
        .node = "n", .tier = LV_TIER_EDGE, .room = 4096, .counter = 0x102, .sha256 = digest};
    uint8_t *exact = malloc(size);
    memcpy(exact, data, size);
    lv_config config = {.keys = keys, .verify = any_signature_holds};
    for (config.key_count = 0; config.key_count <= LV_KEYS; config.key_count++) {
        lv_manifest m;
        if (lv_manifest_open(&config, exact, size, &m) != LV_OK)
            continue;
        REQUIRE(m.counter && m.size && m.abi && m.tiers >= 1 && m.tiers <= 7 && m.profile);
        REQUIRE(strlen(m.name) < sizeof m.name && strlen(m.version) < sizeof m.version);
        REQUIRE(*m.target && strlen(m.target) < sizeof m.target);
        REQUIRE(config.key_count == 0 || m.key < config.key_count);
        (void)lv_manifest_permits(&m, &by);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    switch (data[0] % 7) {
    case 0: decode(data + 1, size - 1); break;
    case 1: parse(data + 1, size - 1); break;
    case 2: talk(data + 1, size - 1); break;
    case 3: read_json(data + 1, size - 1); break;
    case 4: survey(data + 1, size - 1); break;
    case 5: open_manifest(data + 1, size - 1); break;
    default: /* raw bytes into a board that listens */
        fake_new(&f);
        fake_boot(&f);
        lv_link_receive(&f.link, data + 1, size - 1);
        lv_link_tick(&f.link, (uint32_t)size);
    }
    return 0;
}
