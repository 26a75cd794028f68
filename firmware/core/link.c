#include "link.h"

#include <string.h>

#include "bytes.h"

void lv_link_init(lv_link *link, lv_node *node)
{
    LV_ASSERT(node->config);
    memset(link, 0, sizeof *link);
    link->node = node;
    lv_frame_reset(&link->decoder);
}

static void at(const lv_link *link, uint8_t point)
{
    const lv_config *config = link->node->config;
    if (config->at)
        config->at(config->context, point);
}

static void transmit(lv_link *link)
{
    const lv_config *config = link->node->config;
    at(link, LV_AT_EXECUTED);
    (void)config->send(config->context, link->answer, link->answer_length);
    at(link, LV_AT_SENT);
}

static void answer(lv_link *link, uint16_t sequence, uint8_t type, size_t length)
{
    link->answer_length =
        (uint16_t)lv_frame_encode(type, sequence, link->body, length, link->answer);
}

static void refuse(lv_link *link, const lv_frame_decoder *frame, lv_status status, int32_t detail)
{
    lv_msg_nak m = {.error = (uint8_t)status, .request = frame->type, .detail = detail};
    answer(link, frame->sequence, LV_MSG_NAK, lv_msg_nak_pack(&m, link->body));
}

/* --- one function a request, whose answer is in link->body if it is LV_OK ---------------------- */

typedef struct {
    uint8_t type;
    size_t length;
    int32_t detail; /* of a refusal */
} reply;

static lv_status acknowledge(lv_link *link, reply *r, uint32_t value)
{
    lv_msg_ack m = {.value = value};
    r->type = LV_MSG_ACK;
    r->length = lv_msg_ack_pack(&m, link->body);
    return LV_OK;
}

static lv_status hello(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_hello m;
    lv_msg_birth birth;
    lv_status status = lv_msg_hello_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    lv_node_birth(link->node, &birth);
    birth.session = m.session;
    link->session_number = m.session;
    (void)lv_node_told_of_lease(link->node); /* it was another host's */
    r->type = LV_MSG_BIRTH;
    r->length = lv_msg_birth_pack(&birth, link->body);
    return LV_OK;
}

static lv_status configure(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_configure m;
    lv_status status = lv_msg_configure_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_node_configure(link->node, &m);
    return status ? status : acknowledge(link, r, 0);
}

/* The head of the tape rides on the result, so that most steps need one round trip. */
static void result(lv_link *link, reply *r)
{
    lv_msg_step_result m;
    const lv_tape *tape = &link->node->host.tape;
    uint32_t room = LV_MAX_BODY - 27;
    lv_node_result(link->node, &m);
    m.tape = tape->bytes;
    m.tape_length = (uint16_t)(tape->length < room ? tape->length : room);
    r->type = LV_MSG_STEP_RESULT;
    r->length = lv_msg_step_result_pack(&m, link->body);
}

static lv_status start(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_start m;
    lv_status status = lv_msg_start_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_node_start(link->node, &m);
    if (status == LV_OK)
        result(link, r);
    return status;
}

static lv_status step(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_step m;
    lv_status status = lv_msg_step_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_node_step(link->node, &m);
    if (status == LV_OK)
        result(link, r);
    return status;
}

static lv_status read_tape(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_read_tape m;
    const lv_tape *tape = &link->node->host.tape;
    uint32_t room = LV_MAX_BODY - 4;
    lv_status status = lv_msg_read_tape_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    if (m.offset > tape->length) {
        link->node->detail = (int32_t)tape->length;
        return LV_NAK_VALUE;
    }
    uint32_t left = tape->length - m.offset;
    lv_msg_tape part = {.offset = m.offset,
                        .tape = tape->bytes + m.offset,
                        .tape_length = (uint16_t)(left < room ? left : room)};
    r->type = LV_MSG_TAPE;
    r->length = lv_msg_tape_pack(&part, link->body);
    return LV_OK;
}

static lv_status calibrate(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_calibrate m;
    uint8_t values[8 * LV_PARAMETERS];
    lv_status status = lv_msg_calibrate_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    status = lv_node_calibrate(link->node, &m);
    for (int k = 0; k < m.parameters_count && status == LV_OK; k++) {
        int32_t id = (int32_t)lv_get32(m.parameters + 8 * k);
        int32_t value = 0;
        status = lv_node_get(link->node, id, &value);
        lv_put32(values + 8 * k, (uint32_t)id);
        lv_put32(values + 8 * k + 4, (uint32_t)value);
    }
    if (status != LV_OK)
        return status;
    lv_msg_calibrated done = {.tape_bytes = link->node->host.tape.length,
                              .parameters = values,
                              .parameters_count = m.parameters_count};
    r->type = LV_MSG_CALIBRATED;
    r->length = lv_msg_calibrated_pack(&done, link->body);
    return LV_OK;
}

static lv_status get_parameter(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_get_parameter m;
    lv_msg_parameter found;
    lv_status status = lv_msg_get_parameter_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    found.id = m.id;
    found.value = 0;
    lv_tape_clear(&link->node->host.tape);
    status = lv_node_get(link->node, m.id, &found.value);
    r->type = LV_MSG_PARAMETER;
    r->length = lv_msg_parameter_pack(&found, link->body);
    return status;
}

static lv_status install_begin(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_install_begin m;
    lv_status status = lv_msg_install_begin_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_node_install_begin(link->node, link->session_number, &m);
    return status ? status : acknowledge(link, r, link->node->store.received);
}

static lv_status install_chunk(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_install_chunk m;
    lv_status status = lv_msg_install_chunk_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_update_chunk(&link->node->update, link->session_number, &m);
    link->node->detail = (int32_t)link->node->store.received;
    return status ? status : acknowledge(link, r, link->node->store.received);
}

static lv_status install_end(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_install_end m;
    lv_status status = lv_msg_install_end_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_update_sender(&link->node->update, link->session_number);
    if (status == LV_OK)
        status = lv_node_install(link->node);
    return status ? status : acknowledge(link, r, 0);
}

static lv_status install_trial(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_install_trial m;
    lv_status status = lv_msg_install_trial_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_update_sender(&link->node->update, link->session_number);
    if (status == LV_OK)
        status = lv_node_install_trial(link->node, &m);
    return status ? status : acknowledge(link, r, 0);
}

static lv_status confirm(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_confirm m;
    lv_status status = lv_msg_confirm_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_node_confirm(link->node, m.sha256);
    return status ? status : acknowledge(link, r, link->node->store.update.state);
}

static lv_status reject(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_reject m;
    lv_status status = lv_msg_reject_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = lv_node_reject(link->node);
    return status ? status : acknowledge(link, r, 0);
}

static lv_status install_abort(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_install_abort m;
    lv_status status = lv_msg_install_abort_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    lv_node_install_abort(link->node);
    return acknowledge(link, r, 0);
}

static lv_status get_update_status(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_get_update_status m;
    lv_msg_update_status found;
    lv_status status = lv_msg_get_update_status_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    lv_update_status(&link->node->update, &found);
    r->type = LV_MSG_UPDATE_STATUS;
    r->length = lv_msg_update_status_pack(&found, link->body);
    return LV_OK;
}

static lv_status reset(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_reset m;
    lv_status status = lv_msg_reset_unpack(f->body, f->length, &m);
    link->restart = status == LV_OK;
    if (link->restart) /* before the answer, which may have to wait for its line */
        lv_host_close_outputs(&link->node->host);
    return status ? status : acknowledge(link, r, 0);
}

static lv_status ping(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_ping m;
    lv_status status = lv_msg_ping_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    lv_msg_pong pong = {.data = m.data, .data_length = m.data_length};
    r->type = LV_MSG_PONG;
    r->length = lv_msg_pong_pack(&pong, link->body);
    return LV_OK;
}

static lv_status close_node(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_close m;
    lv_status status = lv_msg_close_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    lv_node_close(link->node);
    return acknowledge(link, r, lv_node_told_of_lease(link->node));
}

static lv_status get_telemetry(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_get_telemetry m;
    const lv_ring *ring = &link->node->ring;
    uint8_t payload[LV_RING_PAYLOAD];
    lv_msg_telemetry oldest = {.boot_id = link->node->store.boot_id,
                               .waiting = ring->waiting,
                               .dropped = ring->dropped,
                               .payload = payload};
    lv_status status = lv_msg_get_telemetry_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    oldest.sequence = lv_ring_peek(ring, 0, &oldest.time_ms, &oldest.topic_bytes,
                                   &oldest.payload_length, payload);
    r->type = LV_MSG_TELEMETRY;
    r->length = lv_msg_telemetry_pack(&oldest, link->body);
    return LV_OK;
}

static lv_status telemetry_ack(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_telemetry_ack m;
    lv_node *node = link->node;
    lv_status status = lv_msg_telemetry_ack_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    if (m.boot_id == node->store.boot_id && m.sequence < node->ring.next)
        lv_ring_acknowledge(&node->ring, m.sequence);
    return acknowledge(link, r, node->ring.waiting);
}

static lv_status fault(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_fault m;
    const lv_config *config = link->node->config;
    lv_status status = lv_msg_fault_unpack(f->body, f->length, &m);
    if (status == LV_OK)
        status = config->fault ? config->fault(config->context, &m) : LV_NAK_UNKNOWN;
    return status ? status : acknowledge(link, r, 0);
}

static lv_status get_statistics(lv_link *link, const lv_frame_decoder *f, reply *r)
{
    lv_msg_get_statistics m;
    const lv_node *node = link->node;
    const lv_config *config = node->config;
    lv_status status = lv_msg_get_statistics_unpack(f->body, f->length, &m);
    if (status != LV_OK)
        return status;
    lv_msg_statistics s = {
        .frames = link->frames,
        .bad_frames = link->bad_frames,
        .repeats = link->repeats,
        .steps = node->steps,
        .host_calls = node->host.total_calls,
        .publish_bytes = node->host.total_published,
        .active_us = node->total_active_us,
        .open_ms = node->open_ms,
        .flash_writes = node->store.writes + node->kept.writes,
        .stack_bytes = config->stack_bytes ? config->stack_bytes(config->context) : 0,
    };
    r->type = LV_MSG_STATISTICS;
    r->length = lv_msg_statistics_pack(&s, link->body);
    return LV_OK;
}

typedef lv_status (*handler)(lv_link *link, const lv_frame_decoder *f, reply *r);

static const handler handlers[] = {
    [LV_MSG_HELLO] = hello,
    [LV_MSG_CONFIGURE] = configure,
    [LV_MSG_START] = start,
    [LV_MSG_STEP] = step,
    [LV_MSG_READ_TAPE] = read_tape,
    [LV_MSG_CALIBRATE] = calibrate,
    [LV_MSG_GET_PARAMETER] = get_parameter,
    [LV_MSG_INSTALL_BEGIN] = install_begin,
    [LV_MSG_INSTALL_CHUNK] = install_chunk,
    [LV_MSG_INSTALL_END] = install_end,
    [LV_MSG_RESET] = reset,
    [LV_MSG_PING] = ping,
    [LV_MSG_CLOSE] = close_node,
    [LV_MSG_GET_TELEMETRY] = get_telemetry,
    [LV_MSG_TELEMETRY_ACK] = telemetry_ack,
    [LV_MSG_FAULT] = fault,
    [LV_MSG_GET_STATISTICS] = get_statistics,
    [LV_MSG_INSTALL_TRIAL] = install_trial,
    [LV_MSG_CONFIRM] = confirm,
    [LV_MSG_REJECT] = reject,
    [LV_MSG_INSTALL_ABORT] = install_abort,
    [LV_MSG_GET_UPDATE_STATUS] = get_update_status,
};

static void execute(lv_link *link, const lv_frame_decoder *f)
{
    reply r = {0};
    handler handle = f->type < sizeof handlers / sizeof *handlers ? handlers[f->type] : NULL;
    link->node->detail = 0;
    lv_status status = handle ? handle(link, f, &r) : LV_NAK_UNKNOWN;
    if (status != LV_OK)
        refuse(link, f, status, link->node->detail);
    else
        answer(link, f->sequence, r.type, r.length);
}

/* The host of the session lives.  One that has lost its session keeps no valve open. */
static void heartbeat(lv_link *link)
{
    lv_msg_heartbeat m;
    const lv_frame_decoder *f = &link->decoder;
    if (link->session && lv_msg_heartbeat_unpack(f->body, f->length, &m) == 0 &&
        m.session == link->session_number)
        link->heard = true;
}

static void request(lv_link *link)
{
    const lv_frame_decoder *f = &link->decoder;
    at(link, LV_AT_RECEIVED);
    link->frames++;
    if (f->type == LV_MSG_HELLO) {
        execute(link, f);
        link->session = true;
        link->sequence = f->sequence;
        link->answered = false; /* HELLO is executed however often it comes */
    } else if (!link->session) {
        refuse(link, f, LV_NAK_NO_SESSION, (int32_t)link->node->store.boot_id);
    } else if (link->answered && f->sequence == link->sequence) {
        link->repeats++;
    } else if (f->sequence == (uint16_t)(link->sequence + 1)) {
        execute(link, f);
        link->sequence = f->sequence;
        link->answered = true;
    } else {
        /* not ours to execute; what was kept for the last request is lost with this answer */
        refuse(link, f, LV_NAK_SEQUENCE, link->sequence);
        link->session = false;
    }
    link->heard |= link->session; /* what is refused renews no lease */
    transmit(link);
    if (link->restart) {
        link->restart = false;
        lv_node_close(link->node);
        link->node->config->restart(link->node->config->context);
    }
}

void lv_link_receive(lv_link *link, const uint8_t *bytes, size_t length)
{
    LV_ASSERT(bytes || length == 0);
    for (size_t k = 0; k < length; k++) {
        lv_frame_status status = lv_frame_feed(&link->decoder, bytes[k]);
        if (status == LV_FRAME_READY && link->decoder.type == LV_MSG_HEARTBEAT)
            heartbeat(link);
        else if (status == LV_FRAME_READY)
            request(link);
        else if (status != LV_FRAME_NONE)
            link->bad_frames++;
    }
}

void lv_link_tick(lv_link *link, uint32_t now_ms)
{
    if (link->heard) /* from the answer on: a guest may run for longer than a lease */
        lv_node_heard(link->node, now_ms);
    link->heard = false;
    lv_node_tick(link->node, now_ms);
}
