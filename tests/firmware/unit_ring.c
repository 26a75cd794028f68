/* The ring, the outbox and the back-off. */
#include <string.h>

#include "backoff.h"
#include "outbox.h"
#include "unit.h"

static void the_ring_keeps_order_and_counts_what_it_drops(void)
{
    uint8_t bytes[100];
    uint8_t out[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic;
    uint16_t length;
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    for (int k = 0; k < 1000; k++) { /* 11 + 4 + k % 20 bytes each: 2 to 6 fit */
        uint8_t message[20];
        memset(message, k, sizeof message);
        lv_ring_put(&ring, k, (const uint8_t *)"data", 4, message, (uint32_t)(k % 20));
        uint32_t last = lv_ring_peek(&ring, (uint16_t)(ring.waiting - 1), &time_ms, &topic,
                                     &length, out);
        EXPECT(last == (uint32_t)k + 1 && time_ms == k && topic == 4 && length == 4 + k % 20);
        EXPECT(memcmp(out, "data", 4) == 0 && memcmp(out + 4, message, (size_t)(k % 20)) == 0);
        EXPECT(ring.waiting + ring.dropped == (uint32_t)k + 1 && ring.used <= sizeof bytes);
    }
    EXPECT(ring.waiting >= 2);
}

static void the_ring_lets_go_of_what_is_acknowledged_and_nothing_else(void)
{
    uint8_t bytes[200];
    uint8_t out[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic;
    uint16_t length;
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    for (int k = 1; k <= 5; k++)
        lv_ring_put(&ring, k, (const uint8_t *)"t", 1, NULL, 0);
    lv_ring_acknowledge(&ring, 0);
    EXPECT(ring.waiting == 5);
    lv_ring_acknowledge(&ring, 3);
    EXPECT(lv_ring_peek(&ring, 0, &time_ms, &topic, &length, out) == 4);
    lv_ring_acknowledge(&ring, 3);
    EXPECT(ring.waiting == 2);
    lv_ring_acknowledge(&ring, 5);
    EXPECT(ring.waiting == 0 && ring.used == 0);
    EXPECT(lv_ring_peek(&ring, 0, &time_ms, &topic, &length, out) == 0);
}

static void the_ring_survives_a_wrap_of_its_numbers(void)
{
    uint8_t bytes[200];
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    ring.next = 0xFFFFFFFEu;
    for (int k = 0; k < 4; k++)
        lv_ring_put(&ring, k, (const uint8_t *)"t", 1, NULL, 0);
    lv_ring_acknowledge(&ring, 0xFFFFFFFEu);
    EXPECT(ring.waiting == 3);
    lv_ring_acknowledge(&ring, 0);
    EXPECT(ring.waiting == 1);
}

static void a_publication_larger_than_the_ring_is_counted(void)
{
    uint8_t bytes[10];
    lv_ring ring;
    lv_ring_init(&ring, bytes, sizeof bytes);
    lv_ring_put(&ring, 0, (const uint8_t *)"t", 1, NULL, 0);
    EXPECT(ring.waiting == 0 && ring.dropped == 1);
}

static void a_publication_of_exactly_the_room_that_is_left_fits(void)
{
    uint8_t bytes[24]; /* two of 8 bytes time, 3 of lengths, and 1 of topic */
    lv_ring ring;
    lv_ring_init(&ring, bytes, 12);
    lv_ring_put(&ring, 0, (const uint8_t *)"t", 1, NULL, 0);
    EXPECT(ring.waiting == 1 && ring.used == 12 && ring.dropped == 0);
    lv_ring_init(&ring, bytes, sizeof bytes);
    lv_ring_put(&ring, 0, (const uint8_t *)"t", 1, NULL, 0);
    lv_ring_hold(&ring);
    lv_ring_put(&ring, 0, (const uint8_t *)"t", 1, NULL, 0);
    EXPECT(ring.waiting == 1);
    lv_ring_release(&ring, true);
    EXPECT(ring.waiting == 2 && ring.used == 24 && ring.dropped == 0);
}

static lv_outbox box;
static lv_ring waiting;
static uint8_t waiting_bytes[4096];

static void put_records(int count)
{
    for (int k = 0; k < count; k++)
        lv_ring_put(&waiting, 0, (const uint8_t *)"data", 4, (const uint8_t *)"{}", 2);
}

static void begin_records(int count)
{
    lv_ring_init(&waiting, waiting_bytes, sizeof waiting_bytes);
    lv_outbox_begin(&box);
    put_records(count);
}

/* Send all that is due; the numbers sent are first..last, or none if last is 0. */
static uint32_t send_due(uint32_t now_ms, uint32_t *first)
{
    uint8_t out[LV_RING_PAYLOAD];
    int64_t time_ms;
    uint8_t topic;
    uint16_t length;
    uint16_t index;
    uint32_t last = 0;
    *first = 0;
    while (lv_outbox_due(&box, &waiting, now_ms, &index)) {
        uint32_t sequence = lv_ring_peek(&waiting, index, &time_ms, &topic, &length, out);
        if (*first == 0)
            *first = sequence;
        else if (sequence != last + 1)
            return 0;
        last = sequence;
        lv_outbox_sent(&box, now_ms);
    }
    return last;
}

static void what_is_newer_leaves_although_the_oldest_are_not_acknowledged(void)
{
    uint32_t first;
    begin_records(20);
    EXPECT(send_due(0, &first) == 8 && first == 1);
    EXPECT(send_due(LV_OUTBOX_PATIENCE_MS, &first) == 0);
    EXPECT(send_due(LV_OUTBOX_PATIENCE_MS + 1, &first) == 16 && first == 9);
    EXPECT(send_due(2 * LV_OUTBOX_PATIENCE_MS + 2, &first) == 20 && first == 17);
    put_records(1);
    EXPECT(send_due(2 * LV_OUTBOX_PATIENCE_MS + 3, &first) == 21 && first == 21);
    /* and then once more from the oldest */
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS, &first) == 0);
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS + 1, &first) == 8 && first == 1);
}

static void the_oldest_are_repeated_although_new_ones_keep_coming(void)
{
    uint32_t first = 0;
    uint32_t now_ms = 0;
    begin_records(1);
    EXPECT(send_due(now_ms, &first) == 1);
    for (first = 2; first != 1 && now_ms < 60000; now_ms += 1000) {
        put_records(1);
        (void)send_due(now_ms, &first);
    }
    EXPECT(first == 1);
}

static void an_acknowledgement_lets_as_many_more_leave(void)
{
    uint32_t first;
    begin_records(30);
    EXPECT(send_due(0, &first) == 8);
    lv_ring_acknowledge(&waiting, 3);
    lv_outbox_heard(&box, 10);
    EXPECT(send_due(10, &first) == 11 && first == 9);
    lv_ring_acknowledge(&waiting, 30);
    EXPECT(send_due(20, &first) == 0);
    put_records(1);
    EXPECT(send_due(30, &first) == 31 && first == 31);
}

static void a_new_client_has_sent_nothing_and_confirms_nothing(void)
{
    uint32_t first;
    begin_records(3);
    EXPECT(send_due(0, &first) == 3);
    lv_outbox_begin(&box);
    lv_outbox_confirmed(&box, &waiting);
    EXPECT(waiting.waiting == 3 && !lv_outbox_has_sent(&box, 1));
    EXPECT(send_due(1, &first) == 3 && first == 1);
    EXPECT(lv_outbox_has_sent(&box, 3) && !lv_outbox_has_sent(&box, 4));
    lv_outbox_confirmed(&box, &waiting);
    EXPECT(waiting.waiting == 0);
}

static void a_new_connection_begins_with_the_oldest_and_knows_what_has_left(void)
{
    uint32_t first;
    begin_records(10);
    EXPECT(send_due(0, &first) == 8);
    lv_outbox_again(&box);
    EXPECT(send_due(1, &first) == 8 && first == 1);
    EXPECT(lv_outbox_has_sent(&box, 8) && !lv_outbox_has_sent(&box, 9));
}

static void what_has_left_is_known_and_confirmed_by_its_number_whatever_that_is(void)
{
    static const uint32_t oldest[] = {1, 0x7FFFFFF8, 0x80000001, 0xFFFFFFF0};
    uint32_t first;
    for (size_t k = 0; k < sizeof oldest / sizeof *oldest; k++) {
        begin_records(0);
        waiting.next = oldest[k];
        put_records(10);
        EXPECT(!lv_outbox_has_sent(&box, oldest[k]) && !lv_outbox_has_sent(&box, UINT32_MAX));
        EXPECT(send_due(0, &first) == oldest[k] + 7 && first == oldest[k]);
        for (uint32_t behind = 0; behind < 10; behind++)
            EXPECT(lv_outbox_has_sent(&box, oldest[k] + behind) == (behind < 8));
        lv_outbox_confirmed(&box, &waiting); /* the eight that have left, and no other */
        EXPECT(waiting.waiting == 2);
    }
}

static void records_that_gave_way_in_a_full_ring_are_not_looked_for(void)
{
    uint32_t first;
    begin_records(4);
    EXPECT(send_due(0, &first) == 4);
    put_records(400);
    EXPECT(waiting.dropped > 0);
    uint32_t oldest = waiting.next - waiting.waiting;
    EXPECT(send_due(1, &first) == oldest + 7 && first == oldest);
}

static void the_outbox_works_across_a_wrap_of_numbers_and_of_the_clock(void)
{
    uint32_t first;
    begin_records(0);
    waiting.next = UINT32_MAX - 3;
    put_records(3);
    EXPECT(send_due(UINT32_MAX - 5, &first) == UINT32_MAX - 1 && first == UINT32_MAX - 3);
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS - 7, &first) == 0);
    EXPECT(send_due(LV_OUTBOX_AGAIN_MS, &first) == UINT32_MAX - 1);
}

static void the_wait_doubles_up_to_its_limit_and_is_scattered_over_its_upper_half(void)
{
    lv_backoff b = {.first_ms = 500, .most_ms = 300000};
    uint32_t longest = 500;
    for (int k = 0; k < 40; k++) {
        lv_backoff least = b;
        EXPECT(lv_backoff_wait_ms(&least, longest / 2) == longest - longest / 2);
        EXPECT(lv_backoff_wait_ms(&b, 0) == longest);
        longest = longest * 2 > 300000 ? 300000 : longest * 2;
    }
    lv_backoff_reset(&b);
    EXPECT(lv_backoff_wait_ms(&b, 0) == 500);
}

static void the_wait_is_twice_the_one_before_as_long_as_that_is_no_more_than_the_limit(void)
{
    static const struct {
        uint32_t first_ms, most_ms, waits_ms[4];
    } rows[] = {
        {500, 999, {500, 999, 999, 999}},
        {500, 1000, {500, 1000, 1000, 1000}},
        {500, 1001, {500, 1000, 1001, 1001}},
        {501, 1002, {501, 1002, 1002, 1002}},
        {2, 2, {2, 2, 2, 2}},
        {2, 17, {2, 4, 8, 16}},
        {700, 3000, {700, 1400, 2800, 3000}},
        {1u << 30, 1u << 31, {1u << 30, 1u << 31, 1u << 31, 1u << 31}},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        lv_backoff b = {.first_ms = rows[row].first_ms, .most_ms = rows[row].most_ms};
        for (int k = 0; k < 4; k++)
            EXPECT(lv_backoff_wait_ms(&b, 0) == rows[row].waits_ms[k]);
    }
}

/* Of 500 ms, from 250 to 500 in 251 steps; of 501 ms, whose half is 250, from 251 on. */
static void chance_reaches_both_ends_of_the_upper_half_and_nothing_beyond(void)
{
    static const struct {
        uint32_t first_ms, random, wait_ms;
    } rows[] = {
        {500, 249, 251}, {500, 250, 250}, {500, 251, 500}, {500, 252, 499}, {500, 502, 500},
        {501, 250, 251}, {501, 251, 501}, {500, UINT32_MAX, 378},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        lv_backoff b = {.first_ms = rows[row].first_ms, .most_ms = 300000};
        EXPECT(lv_backoff_wait_ms(&b, rows[row].random) == rows[row].wait_ms);
    }
}

const unit_test ring_tests[] = {
    TEST(the_ring_keeps_order_and_counts_what_it_drops),
    TEST(the_ring_lets_go_of_what_is_acknowledged_and_nothing_else),
    TEST(the_ring_survives_a_wrap_of_its_numbers),
    TEST(a_publication_larger_than_the_ring_is_counted),
    TEST(a_publication_of_exactly_the_room_that_is_left_fits),
    TEST(what_is_newer_leaves_although_the_oldest_are_not_acknowledged),
    TEST(the_oldest_are_repeated_although_new_ones_keep_coming),
    TEST(an_acknowledgement_lets_as_many_more_leave),
    TEST(a_new_client_has_sent_nothing_and_confirms_nothing),
    TEST(a_new_connection_begins_with_the_oldest_and_knows_what_has_left),
    TEST(what_has_left_is_known_and_confirmed_by_its_number_whatever_that_is),
    TEST(records_that_gave_way_in_a_full_ring_are_not_looked_for),
    TEST(the_outbox_works_across_a_wrap_of_numbers_and_of_the_clock),
    TEST(the_wait_doubles_up_to_its_limit_and_is_scattered_over_its_upper_half),
    TEST(the_wait_is_twice_the_one_before_as_long_as_that_is_no_more_than_the_limit),
    TEST(chance_reaches_both_ends_of_the_upper_half_and_nothing_beyond),
    {NULL, NULL},
};
