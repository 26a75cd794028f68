/* Known answers by Python and its packages, from the file that vectors.py writes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "json.h"
#include "unit.h"

enum { FIELDS = 5 };

typedef struct {
    char kind;
    int count;
    struct {
        const uint8_t *bytes;
        uint32_t length;
    } field[FIELDS];
} vector;

static const uint8_t *file;
static size_t file_length;

static void load(void)
{
    FILE *from = unit_vectors ? fopen(unit_vectors, "rb") : NULL;
    if (!from)
        return;
    uint8_t *room = malloc(1u << 24);
    file_length = room ? fread(room, 1, 1u << 24, from) : 0;
    file = room;
    fclose(from);
}

/* The next vector of that kind behind `*at`. */
static bool next(char kind, size_t *at, vector *v)
{
    if (!file)
        load();
    while (*at < file_length) {
        v->kind = (char)file[*at];
        v->count = file[*at + 1];
        *at += 2;
        for (int k = 0; k < v->count; k++) {
            v->field[k].length = lv_get32(file + *at);
            v->field[k].bytes = file + *at + 4;
            *at += 4 + v->field[k].length;
        }
        if (v->kind == kind)
            return true;
    }
    return false;
}

static bool same(const vector *v, int k, const void *bytes, size_t length)
{
    return v->field[k].length == length &&
           (length == 0 || memcmp(v->field[k].bytes, bytes, length) == 0);
}

/* A field in memory that is no longer than it, so that a sanitizer notices whoever reads on. */
static void *exactly(const vector *v, int k)
{
    void *bytes = malloc(v->field[k].length);
    if (bytes)
        memcpy(bytes, v->field[k].bytes, v->field[k].length);
    return bytes;
}

static void utf_8_is_that_of_rfc_3629_as_python_has_it(void)
{
    vector v;
    int count = 0;
    for (size_t at = 0; next('u', &at, &v); count++) {
        uint8_t *bytes = exactly(&v, 0);
        bool valid = lv_utf8_valid(bytes, v.field[0].length);
        free(bytes);
        EXPECT(valid == v.field[1].bytes[0]);
    }
    EXPECT(count > 5000);
}

static void a_topic_is_allowed_if_python_allows_it(void)
{
    vector v;
    int count = 0;
    lv_msg_configure m = limits(1, 1, 1);
    strcpy(m.node, "zone1");
    ready();
    EXPECT(lv_node_configure(&f.node, &m) == LV_OK);
    for (size_t at = 0; next('t', &at, &v); count++) {
        uint8_t *topic = exactly(&v, 0);
        bool allowed = lv_topic_allowed(&f.node.host, topic, v.field[0].length);
        free(topic);
        EXPECT(allowed == v.field[1].bytes[0]);
    }
    EXPECT(count > 1900);
}

static void a_text_is_json_if_python_reads_it_and_means_the_same(void)
{
    static char out[1 << 14];
    vector v;
    int read = 0;
    int count = 0;
    for (size_t at = 0; next('j', &at, &v); count++) {
        const char *shown;
        char *bytes = exactly(&v, 0);
        lv_json_status status =
            unit_show_json(bytes, v.field[0].length, out, sizeof out, &shown);
        free(bytes);
        EXPECT((status == LV_JSON_OK) == (v.count == 2));
        if (status != LV_JSON_OK)
            continue;
        read++;
        EXPECT(shown && same(&v, 1, shown, strlen(shown)));
    }
    EXPECT(count > 3000 && read > 400);
}

static void put_record(lv_tape *tape, const vector *v)
{
    const uint8_t *n = v->field[0].bytes;
    int64_t a = (int64_t)lv_get64(n + 1);
    int64_t b = (int64_t)lv_get64(n + 9);
    int64_t c = (int64_t)lv_get64(n + 17);
    switch (n[0]) {
    case LV_CALL_BOOT: lv_tape_boot(tape, a); break;
    case LV_CALL_STEP: lv_tape_begin(tape, a, (uint8_t)b); break;
    case LV_CALL_TRAP: lv_tape_trap(tape, (uint8_t)a); break;
    case LV_CALL_WASM_LOG: lv_tape_log(tape, v->field[1].bytes, v->field[1].length); break;
    case LV_CALL_MQTT_PUBLISH:
        lv_tape_publish(tape, v->field[1].bytes, v->field[1].length, v->field[2].bytes,
                        v->field[2].length, (int32_t)a);
        break;
    default:
        lv_tape_numbers(tape, n[0], (int)(v->field[3].length / 4), (int32_t)a, (int32_t)b,
                        (int32_t)c);
    }
}

static void every_record_of_the_tape_is_that_of_python_whole_or_not_there(void)
{
    static uint8_t bytes[1024];
    vector v;
    int count = 0;
    for (size_t at = 0; next('p', &at, &v); count++) {
        uint32_t size = v.field[3].length;
        lv_tape tape = {.bytes = bytes, .capacity = size};
        put_record(&tape, &v);
        EXPECT(same(&v, 3, bytes, tape.length) && !tape.full);
        put_record(&tape, &v); /* no room */
        EXPECT(tape.length == size && tape.full);
        lv_tape_clear(&tape);
        EXPECT(tape.length == 0 && !tape.full);
        tape.capacity = size - 1;
        put_record(&tape, &v);
        EXPECT(tape.length == 0 && tape.full);
        tape.capacity = sizeof bytes; /* room comes too late: a record is missing */
        put_record(&tape, &v);
        EXPECT(tape.length == 0 && tape.full);
    }
    EXPECT(count > 300);
}

static void times_are_the_seconds_of_python(void)
{
    vector v;
    int count = 0;
    ready();
    lv_host *h = &f.node.host;
    for (size_t at = 0; next('s', &at, &v); count++) {
        int64_t ms = (int64_t)lv_get64(v.field[0].bytes);
        int32_t expected = (int32_t)lv_get32(v.field[1].bytes);
        lv_host_begin(h, ms, 1);
        h->uptime_ms = 5;
        EXPECT(lv_call_now_s(h) == expected && lv_call_uptime_s(h) == 0);
        lv_host_begin(h, 5, 1);
        h->uptime_ms = ms;
        EXPECT(lv_call_uptime_s(h) == expected && lv_call_now_s(h) == 0);
    }
    EXPECT(count > 30);
}

static void the_record_of_the_store_is_the_one_that_is_described(void)
{
    vector v;
    int count = 0;
    for (size_t at = 0; next('r', &at, &v); count++) {
        uint32_t generation = lv_get32(v.field[0].bytes);
        fake_new(&f);
        memcpy(f.records[generation % LV_STORE_RECORDS], v.field[1].bytes, v.field[1].length);
        for (int k = 0; k < LV_SLOTS; k++)
            memcpy(f.slots[k], v.field[3 + k].bytes, v.field[3 + k].length);
        fake_boot(&f);
        EXPECT(f.node.store.boot_id == 42);
        EXPECT(same(&v, 2, f.records[(generation + 1) % LV_STORE_RECORDS], LV_RECORD_BYTES));
        EXPECT(same(&v, 1, f.records[generation % LV_STORE_RECORDS], LV_RECORD_BYTES));
    }
    EXPECT(count == 3 * 2 * 3 * 3);
}

static void the_record_of_what_is_kept_is_the_one_that_is_described(void)
{
    vector v;
    int count = 0;
    for (size_t at = 0; next('k', &at, &v); count++) {
        lv_kept kept;
        fake_new(&f);
        memcpy(f.records[LV_STORE_RECORDS + 1], v.field[0].bytes, v.field[0].length);
        lv_kept_open(&kept, &f.config);
        lv_kept_begin(&kept, v.field[1].bytes);
        EXPECT(same(&v, 0, f.records[LV_STORE_RECORDS + 1], LV_KEPT_BYTES));
        lv_kept_set(&kept, 5, -77);
        lv_kept_save(&kept, 0, false);
        EXPECT(same(&v, 2, f.records[LV_STORE_RECORDS], LV_KEPT_BYTES));
        EXPECT(same(&v, 0, f.records[LV_STORE_RECORDS + 1], LV_KEPT_BYTES));
    }
    EXPECT(count == 3);
}

static void a_frame_is_that_of_the_packages_both_ways(void)
{
    static uint8_t out[LV_FRAME_ENCODED];
    static lv_frame_decoder d;
    vector v;
    int count = 0;
    lv_frame_reset(&d);
    for (size_t at = 0; next('f', &at, &v); count++) {
        uint8_t type = v.field[0].bytes[0];
        uint16_t sequence = lv_get16(v.field[0].bytes + 1);
        size_t length =
            lv_frame_encode(type, sequence, v.field[1].bytes, v.field[1].length, out);
        EXPECT(same(&v, 2, out, length));
        for (size_t k = 0; k + 1 < length; k++)
            EXPECT(lv_frame_feed(&d, v.field[2].bytes[k]) == LV_FRAME_NONE);
        EXPECT(lv_frame_feed(&d, 0) == LV_FRAME_READY);
        EXPECT(d.type == type && d.sequence == sequence && same(&v, 1, d.body, d.length));
    }
    EXPECT(count > 100);
}

static void a_digest_is_that_of_hashlib(void)
{
    vector v;
    int count = 0;
    for (size_t at = 0; next('h', &at, &v); count++) {
        uint8_t digest[32];
        lv_sha256 sha;
        uint32_t half = v.field[0].length / 2;
        lv_sha256_begin(&sha);
        lv_sha256_add(&sha, v.field[0].bytes, half);
        lv_sha256_add(&sha, v.field[0].bytes + half, v.field[0].length - half);
        lv_sha256_end(&sha, digest);
        EXPECT(same(&v, 1, digest, sizeof digest));
    }
    EXPECT(count > 130);
}

static void an_envelope_is_read_if_python_reads_it_and_says_the_same(void)
{
    uint8_t out[300];
    size_t used;
    vector v;
    int count = 0;
    int read = 0;
    for (size_t at = 0; next('m', &at, &v); count++) {
        uint8_t *bytes = exactly(&v, 0);
        lv_status status = unit_open_manifest(bytes, v.field[0].length, out, &used);
        free(bytes);
        EXPECT((status == LV_OK) == (v.field[1].length > 0));
        EXPECT(status != LV_OK || same(&v, 1, out, used));
        read += status == LV_OK;
    }
    EXPECT(count > 5000 && read > 500);
}

static void what_is_verified_is_what_python_signs(void)
{
    size_t length;
    vector v;
    int count = 0;
    for (size_t at = 0; next('e', &at, &v); count++) {
        lv_status status = unit_verify_manifest(v.field[0].bytes, v.field[2].bytes,
                                                v.field[3].bytes, v.field[3].length);
        const uint8_t *message = unit_verified(&length);
        EXPECT(status == LV_OK && same(&v, 1, message, length));
    }
    EXPECT(count == 7);
}

const unit_test vectors_tests[] = {
    TEST(utf_8_is_that_of_rfc_3629_as_python_has_it),
    TEST(a_topic_is_allowed_if_python_allows_it),
    TEST(a_text_is_json_if_python_reads_it_and_means_the_same),
    TEST(every_record_of_the_tape_is_that_of_python_whole_or_not_there),
    TEST(times_are_the_seconds_of_python),
    TEST(the_record_of_the_store_is_the_one_that_is_described),
    TEST(the_record_of_what_is_kept_is_the_one_that_is_described),
    TEST(a_frame_is_that_of_the_packages_both_ways),
    TEST(a_digest_is_that_of_hashlib),
    TEST(an_envelope_is_read_if_python_reads_it_and_says_the_same),
    TEST(what_is_verified_is_what_python_signs),
    {NULL, NULL},
};
