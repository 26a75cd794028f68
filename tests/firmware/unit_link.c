/* The link. */
#include "unit.h"

static void a_reset_restarts_after_the_answer(void)
{
    const uint8_t session[4] = {0};
    ready();
    EXPECT(fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL) == LV_MSG_BIRTH);
    EXPECT(fake_ask(&f, LV_MSG_RESET, 6, NULL, 0, NULL, NULL) == LV_MSG_ACK);
    EXPECT(f.restarts == 1);
    /* a stale request ends the session; what comes under an old number then is refused */
    EXPECT(fake_ask(&f, LV_MSG_PING, 99, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    EXPECT(fake_ask(&f, LV_MSG_RESET, 6, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    EXPECT(f.restarts == 1);
}

static void a_reset_closes_the_valve_before_it_answers(void)
{
    const uint8_t session[4] = {0};
    ready();
    start();
    lv_call_set_output(&f.node.host, 23, 1);
    EXPECT(f.pins[23] == 1);
    EXPECT(fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL) == LV_MSG_BIRTH);
    lv_call_set_output(&f.node.host, 23, 1);
    f.valve_at_send = -1;
    EXPECT(fake_ask(&f, LV_MSG_RESET, 6, NULL, 0, NULL, NULL) == LV_MSG_ACK);
    EXPECT(f.valve_at_send == 0 && f.restarts == 1);
}

static void a_board_refuses_faults(void)
{
    const uint8_t session[4] = {0};
    const uint8_t fault[10] = {1};
    const uint8_t *body;
    uint16_t length;
    ready();
    fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL);
    EXPECT(fake_ask(&f, LV_MSG_FAULT, 6, fault, 10, &body, &length) == LV_MSG_NAK);
    EXPECT(body[0] == LV_NAK_UNKNOWN);
}

static void answers_are_ignored_as_requests(void)
{
    const uint8_t session[4] = {0};
    ready();
    fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL);
    for (int type = LV_MSG_ACK; type < 256; type++)
        EXPECT(fake_ask(&f, (uint8_t)type, (uint16_t)(type - LV_MSG_ACK + 6), NULL, 0, NULL,
                        NULL) == LV_MSG_NAK);
}

enum { LEASE_MS = 4000 };

/* A valve that a guest has opened for the host of session 7, asked last at 10 s. */
static void opened_for_session_7(void)
{
    const uint8_t session[4] = {7};
    uint8_t body[LV_MAX_BODY];
    lv_msg_configure m = limits(10, 10, 10);
    lv_msg_step s = {.time_ms = 2000};
    m.lease_ms = LEASE_MS;
    ready();
    f.behave = open_valve;
    (void)fake_ask(&f, LV_MSG_HELLO, 5, session, 4, NULL, NULL);
    (void)fake_ask(&f, LV_MSG_CONFIGURE, 6, body, lv_msg_configure_pack(&m, body), NULL, NULL);
    (void)start();
    (void)fake_ask(&f, LV_MSG_STEP, 7, body, lv_msg_step_pack(&s, body), NULL, NULL);
    lv_link_tick(&f.link, 10000);
}

static void heartbeat(uint8_t session)
{
    const uint8_t body[4] = {session};
    (void)fake_ask(&f, LV_MSG_HEARTBEAT, 0, body, 4, NULL, NULL);
}

static void a_heartbeat_renews_the_lease_is_not_answered_and_takes_no_number(void)
{
    opened_for_session_7();
    uint32_t frames = f.link.frames;
    for (uint32_t now_ms = 10000; now_ms <= 70000; now_ms += LEASE_MS) {
        heartbeat(7);
        EXPECT(f.sent_length == 0);
        lv_link_tick(&f.link, now_ms);
    }
    EXPECT(f.pins[23] == 1 && !f.node.lease_expired);
    EXPECT(f.link.frames == frames); /* it is no request */
    EXPECT(fake_ask(&f, LV_MSG_PING, 8, NULL, 0, NULL, NULL) == LV_MSG_PONG);
}

static void without_its_host_the_valve_is_closed_one_lease_after_the_last_heartbeat(void)
{
    opened_for_session_7();
    heartbeat(7);
    lv_link_tick(&f.link, 12000);
    lv_link_tick(&f.link, 12000 + LEASE_MS);
    EXPECT(f.pins[23] == 1);
    lv_link_tick(&f.link, 12000 + LEASE_MS + 1);
    EXPECT(f.pins[23] == 0);
}

static void a_host_that_has_lost_its_session_keeps_no_valve_open(void)
{
    opened_for_session_7();
    heartbeat(6);
    lv_link_tick(&f.link, 14001);
    EXPECT(f.pins[23] == 0);

    opened_for_session_7(); /* a stale request ends the session: nobody has it then */
    EXPECT(fake_ask(&f, LV_MSG_PING, 99, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    heartbeat(7);
    EXPECT(fake_ask(&f, LV_MSG_PING, 100, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    lv_link_tick(&f.link, 14001);
    EXPECT(f.pins[23] == 0);
}

static void a_heartbeat_counts_although_the_session_ends_before_the_next_look(void)
{
    opened_for_session_7();
    heartbeat(7);
    EXPECT(fake_ask(&f, LV_MSG_PING, 99, NULL, 0, NULL, NULL) == LV_MSG_NAK);
    lv_link_tick(&f.link, 12000);
    lv_link_tick(&f.link, 12000 + LEASE_MS);
    EXPECT(f.pins[23] == 1);
    lv_link_tick(&f.link, 12000 + LEASE_MS + 1);
    EXPECT(f.pins[23] == 0);
}

static void a_heartbeat_of_another_length_renews_nothing(void)
{
    const uint8_t body[5] = {7};
    opened_for_session_7();
    (void)fake_ask(&f, LV_MSG_HEARTBEAT, 0, body, 3, NULL, NULL);
    (void)fake_ask(&f, LV_MSG_HEARTBEAT, 0, body, 5, NULL, NULL);
    EXPECT(f.sent_length == 0);
    lv_link_tick(&f.link, 14001);
    EXPECT(f.pins[23] == 0);
}

static void the_lease_counts_from_the_answer_however_long_the_guest_ran(void)
{
    uint8_t body[LV_MAX_BODY];
    lv_msg_step s = {.time_ms = 3000};
    opened_for_session_7();
    (void)fake_ask(&f, LV_MSG_STEP, 8, body, lv_msg_step_pack(&s, body), NULL, NULL);
    lv_link_tick(&f.link, 15000); /* a step of 5 s */
    EXPECT(f.pins[23] == 1);
    lv_link_tick(&f.link, 19001);
    EXPECT(f.pins[23] == 0);
}

static void the_end_of_a_lease_is_told_once_by_whatever_comes_next(void)
{
    const uint8_t *body;
    uint16_t length;
    uint8_t request[LV_MAX_BODY];
    lv_msg_start s = {.time_ms = 3000};
    const uint8_t other[4] = {8};

    opened_for_session_7();
    lv_link_tick(&f.link, 14001);
    EXPECT(fake_ask(&f, LV_MSG_START, 8, request, lv_msg_start_pack(&s, request), &body, &length));
    EXPECT(body[2] == LV_STEP_LEASE_EXPIRED);
    EXPECT(fake_ask(&f, LV_MSG_CLOSE, 9, NULL, 0, &body, &length) == LV_MSG_ACK && body[0] == 0);

    opened_for_session_7();
    lv_link_tick(&f.link, 14001);
    EXPECT(fake_ask(&f, LV_MSG_CLOSE, 8, NULL, 0, &body, &length) == LV_MSG_ACK && body[0] == 1);

    opened_for_session_7(); /* another host is not told of the lease of the one before */
    lv_link_tick(&f.link, 14001);
    (void)fake_ask(&f, LV_MSG_HELLO, 50, other, 4, NULL, NULL);
    EXPECT(fake_ask(&f, LV_MSG_CLOSE, 51, NULL, 0, &body, &length) == LV_MSG_ACK && body[0] == 0);
}

const unit_test link_tests[] = {
    TEST(a_reset_restarts_after_the_answer),
    TEST(a_reset_closes_the_valve_before_it_answers),
    TEST(a_board_refuses_faults),
    TEST(answers_are_ignored_as_requests),
    TEST(a_heartbeat_renews_the_lease_is_not_answered_and_takes_no_number),
    TEST(without_its_host_the_valve_is_closed_one_lease_after_the_last_heartbeat),
    TEST(a_host_that_has_lost_its_session_keeps_no_valve_open),
    TEST(a_heartbeat_counts_although_the_session_ends_before_the_next_look),
    TEST(a_heartbeat_of_another_length_renews_nothing),
    TEST(the_lease_counts_from_the_answer_however_long_the_guest_ran),
    TEST(the_end_of_a_lease_is_told_once_by_whatever_comes_next),
    {NULL, NULL},
};
