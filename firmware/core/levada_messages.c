/* Written by hil/wire/messages_c.py from hil/wire/messages.py and guest/abi.py; do not edit.
 * Every body is packed, little endian; docs/wire.md explains the messages. */
#include "levada_messages.h"

#include <string.h>

#include "bytes.h"

lv_status lv_msg_hello_unpack(const uint8_t *body, size_t length, lv_msg_hello *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->session = lv_get32(body + 0);
    return LV_OK;
}

size_t lv_msg_hello_pack(const lv_msg_hello *m, uint8_t *body)
{
    lv_put32(body + 0, m->session);
    return 4;
}

lv_status lv_msg_configure_unpack(const uint8_t *body, size_t length, lv_msg_configure *m)
{
    if (length != 107)
        return LV_NAK_LENGTH;
    if (!lv_text_ok(body + 0, 32))
        return LV_NAK_VALUE;
    memcpy(m->node, body + 0, 32);
    if (!lv_text_ok(body + 32, 16))
        return LV_NAK_VALUE;
    memcpy(m->prefix, body + 32, 16);
    for (int i = 0; i < 3; i++)
        m->counts[i] = (int32_t)lv_get32(body + 48 + 4 * i);
    m->imports = lv_get16(body + 60);
    m->pin_count = lv_get8(body + 62);
    for (int i = 0; i < 16; i++)
        m->pins[i] = lv_get8(body + 63 + i);
    m->instructions = lv_get32(body + 79);
    m->deadline_ms = lv_get32(body + 83);
    m->memory_pages = lv_get32(body + 87);
    m->host_calls = lv_get32(body + 91);
    m->log_bytes = lv_get32(body + 95);
    m->publish_bytes = lv_get32(body + 99);
    m->lease_ms = lv_get32(body + 103);
    return LV_OK;
}

size_t lv_msg_configure_pack(const lv_msg_configure *m, uint8_t *body)
{
    memcpy(body + 0, m->node, 32);
    memcpy(body + 32, m->prefix, 16);
    for (int i = 0; i < 3; i++)
        lv_put32(body + 48 + 4 * i, (uint32_t)m->counts[i]);
    lv_put16(body + 60, m->imports);
    lv_put8(body + 62, m->pin_count);
    for (int i = 0; i < 16; i++)
        lv_put8(body + 63 + i, m->pins[i]);
    lv_put32(body + 79, m->instructions);
    lv_put32(body + 83, m->deadline_ms);
    lv_put32(body + 87, m->memory_pages);
    lv_put32(body + 91, m->host_calls);
    lv_put32(body + 95, m->log_bytes);
    lv_put32(body + 99, m->publish_bytes);
    lv_put32(body + 103, m->lease_ms);
    return 107;
}

lv_status lv_msg_start_unpack(const uint8_t *body, size_t length, lv_msg_start *m)
{
    if (length < 9 || length > LV_MAX_BODY || (length - 9) % 8)
        return LV_NAK_LENGTH;
    m->time_ms = (int64_t)lv_get64(body + 0);
    m->flags = lv_get8(body + 8);
    m->parameters = body + 9;
    m->parameters_count = (uint16_t)((length - 9) / 8);
    return LV_OK;
}

size_t lv_msg_start_pack(const lv_msg_start *m, uint8_t *body)
{
    lv_put64(body + 0, (uint64_t)m->time_ms);
    lv_put8(body + 8, m->flags);
    if (m->parameters_count)
        memcpy(body + 9, m->parameters, 8 * (size_t)m->parameters_count);
    return 9 + 8 * (size_t)m->parameters_count;
}

lv_status lv_msg_step_unpack(const uint8_t *body, size_t length, lv_msg_step *m)
{
    if (length < 33 || length > LV_MAX_BODY || (length - 33) % 8)
        return LV_NAK_LENGTH;
    m->time_ms = (int64_t)lv_get64(body + 0);
    m->flags = lv_get8(body + 8);
    for (int i = 0; i < 4; i++)
        m->readings[i] = (int32_t)lv_get32(body + 9 + 4 * i);
    m->uptime_ms = (int64_t)lv_get64(body + 25);
    m->further = body + 33;
    m->further_count = (uint16_t)((length - 33) / 8);
    return LV_OK;
}

size_t lv_msg_step_pack(const lv_msg_step *m, uint8_t *body)
{
    lv_put64(body + 0, (uint64_t)m->time_ms);
    lv_put8(body + 8, m->flags);
    for (int i = 0; i < 4; i++)
        lv_put32(body + 9 + 4 * i, (uint32_t)m->readings[i]);
    lv_put64(body + 25, (uint64_t)m->uptime_ms);
    if (m->further_count)
        memcpy(body + 33, m->further, 8 * (size_t)m->further_count);
    return 33 + 8 * (size_t)m->further_count;
}

lv_status lv_msg_read_tape_unpack(const uint8_t *body, size_t length, lv_msg_read_tape *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->offset = lv_get32(body + 0);
    return LV_OK;
}

size_t lv_msg_read_tape_pack(const lv_msg_read_tape *m, uint8_t *body)
{
    lv_put32(body + 0, m->offset);
    return 4;
}

lv_status lv_msg_calibrate_unpack(const uint8_t *body, size_t length, lv_msg_calibrate *m)
{
    if (length < 1 || length > LV_MAX_BODY || (length - 1) % 8)
        return LV_NAK_LENGTH;
    m->flags = lv_get8(body + 0);
    m->parameters = body + 1;
    m->parameters_count = (uint16_t)((length - 1) / 8);
    return LV_OK;
}

size_t lv_msg_calibrate_pack(const lv_msg_calibrate *m, uint8_t *body)
{
    lv_put8(body + 0, m->flags);
    if (m->parameters_count)
        memcpy(body + 1, m->parameters, 8 * (size_t)m->parameters_count);
    return 1 + 8 * (size_t)m->parameters_count;
}

lv_status lv_msg_get_parameter_unpack(const uint8_t *body, size_t length, lv_msg_get_parameter *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->id = (int32_t)lv_get32(body + 0);
    return LV_OK;
}

size_t lv_msg_get_parameter_pack(const lv_msg_get_parameter *m, uint8_t *body)
{
    lv_put32(body + 0, (uint32_t)m->id);
    return 4;
}

lv_status lv_msg_install_begin_unpack(const uint8_t *body, size_t length, lv_msg_install_begin *m)
{
    if (length < 36 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->size = lv_get32(body + 0);
    memcpy(m->sha256, body + 4, 32);
    m->envelope = body + 36;
    m->envelope_length = (uint16_t)(length - 36);
    return LV_OK;
}

size_t lv_msg_install_begin_pack(const lv_msg_install_begin *m, uint8_t *body)
{
    lv_put32(body + 0, m->size);
    memcpy(body + 4, m->sha256, 32);
    if (m->envelope_length)
        memcpy(body + 36, m->envelope, m->envelope_length);
    return 36 + (size_t)m->envelope_length;
}

lv_status lv_msg_install_chunk_unpack(const uint8_t *body, size_t length, lv_msg_install_chunk *m)
{
    if (length < 4 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->offset = lv_get32(body + 0);
    m->data = body + 4;
    m->data_length = (uint16_t)(length - 4);
    return LV_OK;
}

size_t lv_msg_install_chunk_pack(const lv_msg_install_chunk *m, uint8_t *body)
{
    lv_put32(body + 0, m->offset);
    if (m->data_length)
        memcpy(body + 4, m->data, m->data_length);
    return 4 + (size_t)m->data_length;
}

lv_status lv_msg_install_end_unpack(const uint8_t *body, size_t length, lv_msg_install_end *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_install_end_pack(const lv_msg_install_end *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_reset_unpack(const uint8_t *body, size_t length, lv_msg_reset *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_reset_pack(const lv_msg_reset *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_ping_unpack(const uint8_t *body, size_t length, lv_msg_ping *m)
{
    if (length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->data = body + 0;
    m->data_length = (uint16_t)(length - 0);
    return LV_OK;
}

size_t lv_msg_ping_pack(const lv_msg_ping *m, uint8_t *body)
{
    if (m->data_length)
        memcpy(body + 0, m->data, m->data_length);
    return 0 + (size_t)m->data_length;
}

lv_status lv_msg_close_unpack(const uint8_t *body, size_t length, lv_msg_close *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_close_pack(const lv_msg_close *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_get_telemetry_unpack(const uint8_t *body, size_t length, lv_msg_get_telemetry *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_get_telemetry_pack(const lv_msg_get_telemetry *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_telemetry_ack_unpack(const uint8_t *body, size_t length, lv_msg_telemetry_ack *m)
{
    if (length != 8)
        return LV_NAK_LENGTH;
    m->boot_id = lv_get32(body + 0);
    m->sequence = lv_get32(body + 4);
    return LV_OK;
}

size_t lv_msg_telemetry_ack_pack(const lv_msg_telemetry_ack *m, uint8_t *body)
{
    lv_put32(body + 0, m->boot_id);
    lv_put32(body + 4, m->sequence);
    return 8;
}

lv_status lv_msg_fault_unpack(const uint8_t *body, size_t length, lv_msg_fault *m)
{
    if (length != 10)
        return LV_NAK_LENGTH;
    m->kind = lv_get8(body + 0);
    m->point = lv_get8(body + 1);
    m->after = lv_get32(body + 2);
    m->argument = lv_get32(body + 6);
    return LV_OK;
}

size_t lv_msg_fault_pack(const lv_msg_fault *m, uint8_t *body)
{
    lv_put8(body + 0, m->kind);
    lv_put8(body + 1, m->point);
    lv_put32(body + 2, m->after);
    lv_put32(body + 6, m->argument);
    return 10;
}

lv_status lv_msg_get_statistics_unpack(const uint8_t *body, size_t length,
                                       lv_msg_get_statistics *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_get_statistics_pack(const lv_msg_get_statistics *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_heartbeat_unpack(const uint8_t *body, size_t length, lv_msg_heartbeat *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->session = lv_get32(body + 0);
    return LV_OK;
}

size_t lv_msg_heartbeat_pack(const lv_msg_heartbeat *m, uint8_t *body)
{
    lv_put32(body + 0, m->session);
    return 4;
}

lv_status lv_msg_install_trial_unpack(const uint8_t *body, size_t length, lv_msg_install_trial *m)
{
    if (length < 7 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->steps = lv_get16(body + 0);
    m->within_ms = lv_get32(body + 2);
    m->flags = lv_get8(body + 6);
    m->carried = body + 7;
    m->carried_length = (uint16_t)(length - 7);
    return LV_OK;
}

size_t lv_msg_install_trial_pack(const lv_msg_install_trial *m, uint8_t *body)
{
    lv_put16(body + 0, m->steps);
    lv_put32(body + 2, m->within_ms);
    lv_put8(body + 6, m->flags);
    if (m->carried_length)
        memcpy(body + 7, m->carried, m->carried_length);
    return 7 + (size_t)m->carried_length;
}

lv_status lv_msg_confirm_unpack(const uint8_t *body, size_t length, lv_msg_confirm *m)
{
    if (length != 32)
        return LV_NAK_LENGTH;
    memcpy(m->sha256, body + 0, 32);
    return LV_OK;
}

size_t lv_msg_confirm_pack(const lv_msg_confirm *m, uint8_t *body)
{
    memcpy(body + 0, m->sha256, 32);
    return 32;
}

lv_status lv_msg_reject_unpack(const uint8_t *body, size_t length, lv_msg_reject *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_reject_pack(const lv_msg_reject *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_install_abort_unpack(const uint8_t *body, size_t length, lv_msg_install_abort *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_install_abort_pack(const lv_msg_install_abort *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_get_update_status_unpack(const uint8_t *body, size_t length,
                                          lv_msg_get_update_status *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return LV_OK;
}

size_t lv_msg_get_update_status_pack(const lv_msg_get_update_status *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

lv_status lv_msg_ack_unpack(const uint8_t *body, size_t length, lv_msg_ack *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->value = lv_get32(body + 0);
    return LV_OK;
}

size_t lv_msg_ack_pack(const lv_msg_ack *m, uint8_t *body)
{
    lv_put32(body + 0, m->value);
    return 4;
}

lv_status lv_msg_nak_unpack(const uint8_t *body, size_t length, lv_msg_nak *m)
{
    if (length != 6)
        return LV_NAK_LENGTH;
    m->error = lv_get8(body + 0);
    m->request = lv_get8(body + 1);
    m->detail = (int32_t)lv_get32(body + 2);
    return LV_OK;
}

size_t lv_msg_nak_pack(const lv_msg_nak *m, uint8_t *body)
{
    lv_put8(body + 0, m->error);
    lv_put8(body + 1, m->request);
    lv_put32(body + 2, (uint32_t)m->detail);
    return 6;
}

lv_status lv_msg_birth_unpack(const uint8_t *body, size_t length, lv_msg_birth *m)
{
    if (length != 102)
        return LV_NAK_LENGTH;
    m->session = lv_get32(body + 0);
    m->boot_id = lv_get32(body + 4);
    m->abi_version = lv_get8(body + 8);
    m->flags = lv_get8(body + 9);
    m->reset_reason = lv_get8(body + 10);
    m->slot = lv_get8(body + 11);
    m->max_body = lv_get16(body + 12);
    m->guest_bytes = lv_get32(body + 14);
    m->slot_bytes = lv_get32(body + 18);
    memcpy(m->guest_sha256, body + 22, 32);
    if (!lv_text_ok(body + 54, 24))
        return LV_NAK_VALUE;
    memcpy(m->engine, body + 54, 24);
    if (!lv_text_ok(body + 78, 24))
        return LV_NAK_VALUE;
    memcpy(m->firmware, body + 78, 24);
    return LV_OK;
}

size_t lv_msg_birth_pack(const lv_msg_birth *m, uint8_t *body)
{
    lv_put32(body + 0, m->session);
    lv_put32(body + 4, m->boot_id);
    lv_put8(body + 8, m->abi_version);
    lv_put8(body + 9, m->flags);
    lv_put8(body + 10, m->reset_reason);
    lv_put8(body + 11, m->slot);
    lv_put16(body + 12, m->max_body);
    lv_put32(body + 14, m->guest_bytes);
    lv_put32(body + 18, m->slot_bytes);
    memcpy(body + 22, m->guest_sha256, 32);
    memcpy(body + 54, m->engine, 24);
    memcpy(body + 78, m->firmware, 24);
    return 102;
}

lv_status lv_msg_step_result_unpack(const uint8_t *body, size_t length, lv_msg_step_result *m)
{
    if (length < 27 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->trap = lv_get8(body + 0);
    m->trap_call = lv_get8(body + 1);
    m->flags = lv_get8(body + 2);
    m->outputs = lv_get16(body + 3);
    m->ever_set = lv_get16(body + 5);
    m->wake_ms = (int64_t)lv_get64(body + 7);
    m->host_calls = lv_get32(body + 15);
    m->active_us = lv_get32(body + 19);
    m->tape_bytes = lv_get32(body + 23);
    m->tape = body + 27;
    m->tape_length = (uint16_t)(length - 27);
    return LV_OK;
}

size_t lv_msg_step_result_pack(const lv_msg_step_result *m, uint8_t *body)
{
    lv_put8(body + 0, m->trap);
    lv_put8(body + 1, m->trap_call);
    lv_put8(body + 2, m->flags);
    lv_put16(body + 3, m->outputs);
    lv_put16(body + 5, m->ever_set);
    lv_put64(body + 7, (uint64_t)m->wake_ms);
    lv_put32(body + 15, m->host_calls);
    lv_put32(body + 19, m->active_us);
    lv_put32(body + 23, m->tape_bytes);
    if (m->tape_length)
        memcpy(body + 27, m->tape, m->tape_length);
    return 27 + (size_t)m->tape_length;
}

lv_status lv_msg_tape_unpack(const uint8_t *body, size_t length, lv_msg_tape *m)
{
    if (length < 4 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->offset = lv_get32(body + 0);
    m->tape = body + 4;
    m->tape_length = (uint16_t)(length - 4);
    return LV_OK;
}

size_t lv_msg_tape_pack(const lv_msg_tape *m, uint8_t *body)
{
    lv_put32(body + 0, m->offset);
    if (m->tape_length)
        memcpy(body + 4, m->tape, m->tape_length);
    return 4 + (size_t)m->tape_length;
}

lv_status lv_msg_calibrated_unpack(const uint8_t *body, size_t length, lv_msg_calibrated *m)
{
    if (length < 4 || length > LV_MAX_BODY || (length - 4) % 8)
        return LV_NAK_LENGTH;
    m->tape_bytes = lv_get32(body + 0);
    m->parameters = body + 4;
    m->parameters_count = (uint16_t)((length - 4) / 8);
    return LV_OK;
}

size_t lv_msg_calibrated_pack(const lv_msg_calibrated *m, uint8_t *body)
{
    lv_put32(body + 0, m->tape_bytes);
    if (m->parameters_count)
        memcpy(body + 4, m->parameters, 8 * (size_t)m->parameters_count);
    return 4 + 8 * (size_t)m->parameters_count;
}

lv_status lv_msg_parameter_unpack(const uint8_t *body, size_t length, lv_msg_parameter *m)
{
    if (length != 8)
        return LV_NAK_LENGTH;
    m->id = (int32_t)lv_get32(body + 0);
    m->value = (int32_t)lv_get32(body + 4);
    return LV_OK;
}

size_t lv_msg_parameter_pack(const lv_msg_parameter *m, uint8_t *body)
{
    lv_put32(body + 0, (uint32_t)m->id);
    lv_put32(body + 4, (uint32_t)m->value);
    return 8;
}

lv_status lv_msg_pong_unpack(const uint8_t *body, size_t length, lv_msg_pong *m)
{
    if (length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->data = body + 0;
    m->data_length = (uint16_t)(length - 0);
    return LV_OK;
}

size_t lv_msg_pong_pack(const lv_msg_pong *m, uint8_t *body)
{
    if (m->data_length)
        memcpy(body + 0, m->data, m->data_length);
    return 0 + (size_t)m->data_length;
}

lv_status lv_msg_telemetry_unpack(const uint8_t *body, size_t length, lv_msg_telemetry *m)
{
    if (length < 23 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->boot_id = lv_get32(body + 0);
    m->sequence = lv_get32(body + 4);
    m->time_ms = (int64_t)lv_get64(body + 8);
    m->waiting = lv_get16(body + 16);
    m->dropped = lv_get32(body + 18);
    m->topic_bytes = lv_get8(body + 22);
    m->payload = body + 23;
    m->payload_length = (uint16_t)(length - 23);
    return LV_OK;
}

size_t lv_msg_telemetry_pack(const lv_msg_telemetry *m, uint8_t *body)
{
    lv_put32(body + 0, m->boot_id);
    lv_put32(body + 4, m->sequence);
    lv_put64(body + 8, (uint64_t)m->time_ms);
    lv_put16(body + 16, m->waiting);
    lv_put32(body + 18, m->dropped);
    lv_put8(body + 22, m->topic_bytes);
    if (m->payload_length)
        memcpy(body + 23, m->payload, m->payload_length);
    return 23 + (size_t)m->payload_length;
}

lv_status lv_msg_statistics_unpack(const uint8_t *body, size_t length, lv_msg_statistics *m)
{
    if (length != 48)
        return LV_NAK_LENGTH;
    m->frames = lv_get32(body + 0);
    m->bad_frames = lv_get32(body + 4);
    m->repeats = lv_get32(body + 8);
    m->steps = lv_get32(body + 12);
    m->host_calls = lv_get32(body + 16);
    m->publish_bytes = lv_get32(body + 20);
    m->active_us = lv_get64(body + 24);
    m->open_ms = lv_get64(body + 32);
    m->flash_writes = lv_get32(body + 40);
    m->stack_bytes = lv_get32(body + 44);
    return LV_OK;
}

size_t lv_msg_statistics_pack(const lv_msg_statistics *m, uint8_t *body)
{
    lv_put32(body + 0, m->frames);
    lv_put32(body + 4, m->bad_frames);
    lv_put32(body + 8, m->repeats);
    lv_put32(body + 12, m->steps);
    lv_put32(body + 16, m->host_calls);
    lv_put32(body + 20, m->publish_bytes);
    lv_put64(body + 24, m->active_us);
    lv_put64(body + 32, m->open_ms);
    lv_put32(body + 40, m->flash_writes);
    lv_put32(body + 44, m->stack_bytes);
    return 48;
}

lv_status lv_msg_update_status_unpack(const uint8_t *body, size_t length, lv_msg_update_status *m)
{
    if (length != 108)
        return LV_NAK_LENGTH;
    m->state = lv_get8(body + 0);
    m->reason = lv_get8(body + 1);
    m->detail = (int32_t)lv_get32(body + 2);
    memcpy(m->sha256, body + 6, 32);
    m->received = lv_get32(body + 38);
    m->size = lv_get32(body + 42);
    m->steps = lv_get16(body + 46);
    m->counter = lv_get32(body + 48);
    memcpy(m->nonce, body + 52, 16);
    if (!lv_text_ok(body + 68, 40))
        return LV_NAK_VALUE;
    memcpy(m->version, body + 68, 40);
    return LV_OK;
}

size_t lv_msg_update_status_pack(const lv_msg_update_status *m, uint8_t *body)
{
    lv_put8(body + 0, m->state);
    lv_put8(body + 1, m->reason);
    lv_put32(body + 2, (uint32_t)m->detail);
    memcpy(body + 6, m->sha256, 32);
    lv_put32(body + 38, m->received);
    lv_put32(body + 42, m->size);
    lv_put16(body + 46, m->steps);
    lv_put32(body + 48, m->counter);
    memcpy(body + 52, m->nonce, 16);
    memcpy(body + 68, m->version, 40);
    return 108;
}

lv_status lv_message_copy(uint8_t type, const uint8_t *body, size_t length, uint8_t *out,
                          size_t *copied)
{
    switch (type) {
    case LV_MSG_HELLO: {
        lv_msg_hello m;
        lv_status status = lv_msg_hello_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_hello_pack(&m, out);
        return status;
    }
    case LV_MSG_CONFIGURE: {
        lv_msg_configure m;
        lv_status status = lv_msg_configure_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_configure_pack(&m, out);
        return status;
    }
    case LV_MSG_START: {
        lv_msg_start m;
        lv_status status = lv_msg_start_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_start_pack(&m, out);
        return status;
    }
    case LV_MSG_STEP: {
        lv_msg_step m;
        lv_status status = lv_msg_step_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_step_pack(&m, out);
        return status;
    }
    case LV_MSG_READ_TAPE: {
        lv_msg_read_tape m;
        lv_status status = lv_msg_read_tape_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_read_tape_pack(&m, out);
        return status;
    }
    case LV_MSG_CALIBRATE: {
        lv_msg_calibrate m;
        lv_status status = lv_msg_calibrate_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_calibrate_pack(&m, out);
        return status;
    }
    case LV_MSG_GET_PARAMETER: {
        lv_msg_get_parameter m;
        lv_status status = lv_msg_get_parameter_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_get_parameter_pack(&m, out);
        return status;
    }
    case LV_MSG_INSTALL_BEGIN: {
        lv_msg_install_begin m;
        lv_status status = lv_msg_install_begin_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_install_begin_pack(&m, out);
        return status;
    }
    case LV_MSG_INSTALL_CHUNK: {
        lv_msg_install_chunk m;
        lv_status status = lv_msg_install_chunk_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_install_chunk_pack(&m, out);
        return status;
    }
    case LV_MSG_INSTALL_END: {
        lv_msg_install_end m;
        lv_status status = lv_msg_install_end_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_install_end_pack(&m, out);
        return status;
    }
    case LV_MSG_RESET: {
        lv_msg_reset m;
        lv_status status = lv_msg_reset_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_reset_pack(&m, out);
        return status;
    }
    case LV_MSG_PING: {
        lv_msg_ping m;
        lv_status status = lv_msg_ping_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_ping_pack(&m, out);
        return status;
    }
    case LV_MSG_CLOSE: {
        lv_msg_close m;
        lv_status status = lv_msg_close_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_close_pack(&m, out);
        return status;
    }
    case LV_MSG_GET_TELEMETRY: {
        lv_msg_get_telemetry m;
        lv_status status = lv_msg_get_telemetry_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_get_telemetry_pack(&m, out);
        return status;
    }
    case LV_MSG_TELEMETRY_ACK: {
        lv_msg_telemetry_ack m;
        lv_status status = lv_msg_telemetry_ack_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_telemetry_ack_pack(&m, out);
        return status;
    }
    case LV_MSG_FAULT: {
        lv_msg_fault m;
        lv_status status = lv_msg_fault_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_fault_pack(&m, out);
        return status;
    }
    case LV_MSG_GET_STATISTICS: {
        lv_msg_get_statistics m;
        lv_status status = lv_msg_get_statistics_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_get_statistics_pack(&m, out);
        return status;
    }
    case LV_MSG_HEARTBEAT: {
        lv_msg_heartbeat m;
        lv_status status = lv_msg_heartbeat_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_heartbeat_pack(&m, out);
        return status;
    }
    case LV_MSG_INSTALL_TRIAL: {
        lv_msg_install_trial m;
        lv_status status = lv_msg_install_trial_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_install_trial_pack(&m, out);
        return status;
    }
    case LV_MSG_CONFIRM: {
        lv_msg_confirm m;
        lv_status status = lv_msg_confirm_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_confirm_pack(&m, out);
        return status;
    }
    case LV_MSG_REJECT: {
        lv_msg_reject m;
        lv_status status = lv_msg_reject_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_reject_pack(&m, out);
        return status;
    }
    case LV_MSG_INSTALL_ABORT: {
        lv_msg_install_abort m;
        lv_status status = lv_msg_install_abort_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_install_abort_pack(&m, out);
        return status;
    }
    case LV_MSG_GET_UPDATE_STATUS: {
        lv_msg_get_update_status m;
        lv_status status = lv_msg_get_update_status_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_get_update_status_pack(&m, out);
        return status;
    }
    case LV_MSG_ACK: {
        lv_msg_ack m;
        lv_status status = lv_msg_ack_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_ack_pack(&m, out);
        return status;
    }
    case LV_MSG_NAK: {
        lv_msg_nak m;
        lv_status status = lv_msg_nak_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_nak_pack(&m, out);
        return status;
    }
    case LV_MSG_BIRTH: {
        lv_msg_birth m;
        lv_status status = lv_msg_birth_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_birth_pack(&m, out);
        return status;
    }
    case LV_MSG_STEP_RESULT: {
        lv_msg_step_result m;
        lv_status status = lv_msg_step_result_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_step_result_pack(&m, out);
        return status;
    }
    case LV_MSG_TAPE: {
        lv_msg_tape m;
        lv_status status = lv_msg_tape_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_tape_pack(&m, out);
        return status;
    }
    case LV_MSG_CALIBRATED: {
        lv_msg_calibrated m;
        lv_status status = lv_msg_calibrated_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_calibrated_pack(&m, out);
        return status;
    }
    case LV_MSG_PARAMETER: {
        lv_msg_parameter m;
        lv_status status = lv_msg_parameter_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_parameter_pack(&m, out);
        return status;
    }
    case LV_MSG_PONG: {
        lv_msg_pong m;
        lv_status status = lv_msg_pong_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_pong_pack(&m, out);
        return status;
    }
    case LV_MSG_TELEMETRY: {
        lv_msg_telemetry m;
        lv_status status = lv_msg_telemetry_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_telemetry_pack(&m, out);
        return status;
    }
    case LV_MSG_STATISTICS: {
        lv_msg_statistics m;
        lv_status status = lv_msg_statistics_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_statistics_pack(&m, out);
        return status;
    }
    case LV_MSG_UPDATE_STATUS: {
        lv_msg_update_status m;
        lv_status status = lv_msg_update_status_unpack(body, length, &m);
        if (status == LV_OK)
            *copied = lv_msg_update_status_pack(&m, out);
        return status;
    }
    default:
        return LV_NAK_UNKNOWN;
    }
}
