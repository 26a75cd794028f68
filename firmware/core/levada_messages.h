/* Written by hil/wire/messages_c.py from hil/wire/messages.py and guest/abi.py; do not edit.
 * Every body is packed, little endian; docs/wire.md explains the messages. */
#ifndef LEVADA_MESSAGES_H
#define LEVADA_MESSAGES_H

#include <stddef.h>
#include <string.h>

#include "bytes.h"

#define LV_ABI_VERSION 1
#define LV_KEEP_SLOTS 8
#define LV_WIRE_VERSION 1
#define LV_MAX_BODY 1024

enum lv_call {
    LV_CALL_STEP = 0,
    LV_CALL_READ_SENSOR = 1,
    LV_CALL_SET_OUTPUT = 2,
    LV_CALL_GET_CONFIG = 3,
    LV_CALL_MQTT_PUBLISH = 4,
    LV_CALL_WASM_LOG = 5,
    LV_CALL_LOG_INT = 6,
    LV_CALL_DELAY_MS = 7,
    LV_CALL_NOW_S = 8,
    LV_CALL_UPTIME_S = 9,
    LV_CALL_KEEP_GET = 10,
    LV_CALL_KEEP_SET = 11,
    LV_CALL_RETURN = 16,
    LV_CALL_TRAP = 17,
    LV_CALL_PARAM_SET = 18,
    LV_CALL_BOOT = 19,
};

enum lv_sensor {
    LV_SENSOR_MOISTURE = 0,
    LV_SENSOR_TEMPERATURE = 1,
    LV_SENSOR_BATTERY = 2,
    LV_SENSOR_FLOW = 3,
};

enum lv_config {
    LV_CONFIG_DRY = 0,
    LV_CONFIG_WET = 1,
    LV_CONFIG_LIMIT = 2,
};

enum lv_result {
    LV_RESULT_OK = 0,
    LV_RESULT_INVALID = -1,
    LV_RESULT_UNAVAILABLE = -2,
    LV_RESULT_REFUSED = -3,
    LV_RESULT_OFFLINE = -4,
};

enum lv_trap {
    LV_TRAP_NONE = 0,
    LV_TRAP_OUT_OF_FUEL = 1,
    LV_TRAP_DEADLINE = 2,
    LV_TRAP_MEMORY_OUT_OF_BOUNDS = 3,
    LV_TRAP_STACK_OVERFLOW = 4,
    LV_TRAP_UNREACHABLE = 5,
    LV_TRAP_INTEGER_DIVIDE = 6,
    LV_TRAP_BAD_INDIRECT_CALL = 7,
    LV_TRAP_POINTER = 8,
    LV_TRAP_DENIED = 9,
    LV_TRAP_HOST_CALLS = 10,
    LV_TRAP_LOG_BYTES = 11,
    LV_TRAP_PUBLISH_BYTES = 12,
    LV_TRAP_GUEST_FAULT = 13,
    LV_TRAP_OTHER = 14,
};

enum lv_nak {
    LV_NAK_NO_SESSION = 1,
    LV_NAK_SEQUENCE = 2,
    LV_NAK_UNKNOWN = 3,
    LV_NAK_LENGTH = 4,
    LV_NAK_VALUE = 5,
    LV_NAK_NO_GUEST = 6,
    LV_NAK_STATE = 7,
    LV_NAK_LOAD = 8,
    LV_NAK_PARAMETER = 9,
    LV_NAK_DIGEST = 10,
    LV_NAK_FLASH = 11,
    LV_NAK_SIZE = 12,
    LV_NAK_STOPPED = 13,
};

enum lv_reset {
    LV_RESET_POWER_ON = 0,
    LV_RESET_SOFTWARE = 1,
    LV_RESET_WATCHDOG = 2,
    LV_RESET_BROWN_OUT = 3,
    LV_RESET_PANIC = 4,
    LV_RESET_DEEP_SLEEP = 5,
    LV_RESET_UNKNOWN = 6,
};

enum lv_start {
    LV_START_STORED_PARAMETERS = 1,
    LV_START_FORGET = 2,
};

enum lv_step {
    LV_STEP_ONLINE = 1,
    LV_STEP_LEASE_EXPIRED = 2,
};

enum lv_birth {
    LV_BIRTH_INSTALLED = 1,
    LV_BIRTH_STARTED = 2,
    LV_BIRTH_STOPPED = 4,
    LV_BIRTH_COMMAND = 8,
    LV_BIRTH_HEARTBEAT = 16,
};

enum lv_fault {
    LV_FAULT_NONE = 0,
    LV_FAULT_RESET = 1,
    LV_FAULT_SLOW = 2,
    LV_FAULT_CORRUPT = 3,
    LV_FAULT_DROP = 4,
    LV_FAULT_CONSOLE = 5,
    LV_FAULT_HANG = 6,
};

enum lv_at {
    LV_AT_RECEIVED = 0,
    LV_AT_CALL = 1,
    LV_AT_EXECUTED = 2,
    LV_AT_HALF_SENT = 3,
    LV_AT_SENT = 4,
    LV_AT_FLASH_BEFORE = 5,
    LV_AT_FLASH_HALF = 6,
    LV_AT_FLASH_AFTER = 7,
};

enum lv_msg {
    LV_MSG_HELLO = 0x01,
    LV_MSG_CONFIGURE = 0x02,
    LV_MSG_START = 0x03,
    LV_MSG_STEP = 0x04,
    LV_MSG_READ_TAPE = 0x05,
    LV_MSG_CALIBRATE = 0x06,
    LV_MSG_GET_PARAMETER = 0x07,
    LV_MSG_INSTALL_BEGIN = 0x08,
    LV_MSG_INSTALL_CHUNK = 0x09,
    LV_MSG_INSTALL_END = 0x0a,
    LV_MSG_RESET = 0x0b,
    LV_MSG_PING = 0x0c,
    LV_MSG_CLOSE = 0x0d,
    LV_MSG_GET_TELEMETRY = 0x0e,
    LV_MSG_TELEMETRY_ACK = 0x0f,
    LV_MSG_FAULT = 0x10,
    LV_MSG_GET_STATISTICS = 0x11,
    LV_MSG_HEARTBEAT = 0x12,
    LV_MSG_ACK = 0x80,
    LV_MSG_NAK = 0x81,
    LV_MSG_BIRTH = 0x82,
    LV_MSG_STEP_RESULT = 0x83,
    LV_MSG_TAPE = 0x84,
    LV_MSG_CALIBRATED = 0x85,
    LV_MSG_PARAMETER = 0x86,
    LV_MSG_PONG = 0x87,
    LV_MSG_TELEMETRY = 0x88,
    LV_MSG_STATISTICS = 0x89,
};

/* Begin a session.  Always executed; the guest is not touched.  Answer: `Birth`. */
typedef struct {
    uint32_t session;
} lv_msg_hello;

static inline int lv_msg_hello_unpack(const uint8_t *body, size_t length, lv_msg_hello *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->session = lv_get32(body + 0);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_hello_pack(const lv_msg_hello *m, uint8_t *body)
{
    lv_put32(body + 0, m->session);
    return 4;
}

/* Who the node is and what its guest may use; in force at once.  Answer: `Ack`. */
typedef struct {
    char node[32];
    char prefix[16];
    int32_t counts[3];
    uint16_t imports;
    uint8_t pin_count;
    uint8_t pins[16];
    uint32_t instructions;
    uint32_t deadline_ms;
    uint32_t memory_pages;
    uint32_t host_calls;
    uint32_t log_bytes;
    uint32_t publish_bytes;
    uint32_t lease_ms;
} lv_msg_configure;

static inline int lv_msg_configure_unpack(const uint8_t *body, size_t length, lv_msg_configure *m)
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
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_configure_pack(const lv_msg_configure *m, uint8_t *body)
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

/* Instantiate the guest and run `init`; `main` waits for a Step.  Answer: `StepResult`. */
typedef struct {
    int64_t time_ms;
    uint8_t flags;
    const uint8_t *parameters; /* i32, i32 each */
    uint16_t parameters_count;
} lv_msg_start;

static inline int lv_msg_start_unpack(const uint8_t *body, size_t length, lv_msg_start *m)
{
    if (length < 9 || length > LV_MAX_BODY || (length - 9) % 8)
        return LV_NAK_LENGTH;
    m->time_ms = (int64_t)lv_get64(body + 0);
    m->flags = lv_get8(body + 8);
    m->parameters = body + 9;
    m->parameters_count = (uint16_t)((length - 9) / 8);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_start_pack(const lv_msg_start *m, uint8_t *body)
{
    lv_put64(body + 0, (uint64_t)m->time_ms);
    lv_put8(body + 8, m->flags);
    if (m->parameters_count)
        memcpy(body + 9, m->parameters, 8 * (size_t)m->parameters_count);
    return 9 + 8 * (size_t)m->parameters_count;
}

/* Inject readings and run the guest once.  Answer: `StepResult`. */
typedef struct {
    int64_t time_ms;
    uint8_t flags;
    int32_t readings[4];
    int64_t uptime_ms;
} lv_msg_step;

static inline int lv_msg_step_unpack(const uint8_t *body, size_t length, lv_msg_step *m)
{
    if (length != 33)
        return LV_NAK_LENGTH;
    m->time_ms = (int64_t)lv_get64(body + 0);
    m->flags = lv_get8(body + 8);
    for (int i = 0; i < 4; i++)
        m->readings[i] = (int32_t)lv_get32(body + 9 + 4 * i);
    m->uptime_ms = (int64_t)lv_get64(body + 25);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_step_pack(const lv_msg_step *m, uint8_t *body)
{
    lv_put64(body + 0, (uint64_t)m->time_ms);
    lv_put8(body + 8, m->flags);
    for (int i = 0; i < 4; i++)
        lv_put32(body + 9 + 4 * i, (uint32_t)m->readings[i]);
    lv_put64(body + 25, (uint64_t)m->uptime_ms);
    return 33;
}

/* Records of the last Start, Step or Calibrate that did not fit its answer.  Answer: `Tape`. */
typedef struct {
    uint32_t offset;
} lv_msg_read_tape;

static inline int lv_msg_read_tape_unpack(const uint8_t *body, size_t length, lv_msg_read_tape *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->offset = lv_get32(body + 0);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_read_tape_pack(const lv_msg_read_tape *m, uint8_t *body)
{
    lv_put32(body + 0, m->offset);
    return 4;
}

/* Set parameters, all or none, between steps.  Answer: `Calibrated`. */
typedef struct {
    uint8_t flags;
    const uint8_t *parameters; /* i32, i32 each */
    uint16_t parameters_count;
} lv_msg_calibrate;

static inline int lv_msg_calibrate_unpack(const uint8_t *body, size_t length, lv_msg_calibrate *m)
{
    if (length < 1 || length > LV_MAX_BODY || (length - 1) % 8)
        return LV_NAK_LENGTH;
    m->flags = lv_get8(body + 0);
    m->parameters = body + 1;
    m->parameters_count = (uint16_t)((length - 1) / 8);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_calibrate_pack(const lv_msg_calibrate *m, uint8_t *body)
{
    lv_put8(body + 0, m->flags);
    if (m->parameters_count)
        memcpy(body + 1, m->parameters, 8 * (size_t)m->parameters_count);
    return 1 + 8 * (size_t)m->parameters_count;
}

/* Read a parameter back from guest memory.  Answer: `Parameter`. */
typedef struct {
    int32_t id;
} lv_msg_get_parameter;

static inline int lv_msg_get_parameter_unpack(const uint8_t *body, size_t length, lv_msg_get_parameter *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->id = (int32_t)lv_get32(body + 0);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_get_parameter_pack(const lv_msg_get_parameter *m, uint8_t *body)
{
    lv_put32(body + 0, (uint32_t)m->id);
    return 4;
}

/* Open the slot that is not in use for a new guest.  Answer: `Ack`. */
typedef struct {
    uint32_t size;
    uint8_t sha256[32];
} lv_msg_install_begin;

static inline int lv_msg_install_begin_unpack(const uint8_t *body, size_t length, lv_msg_install_begin *m)
{
    if (length != 36)
        return LV_NAK_LENGTH;
    m->size = lv_get32(body + 0);
    memcpy(m->sha256, body + 4, 32);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_install_begin_pack(const lv_msg_install_begin *m, uint8_t *body)
{
    lv_put32(body + 0, m->size);
    memcpy(body + 4, m->sha256, 32);
    return 36;
}

/* Part of the module, in order.  Answer: `Ack` with the number of bytes received. */
typedef struct {
    uint32_t offset;
    const uint8_t *data;
    uint16_t data_length;
} lv_msg_install_chunk;

static inline int lv_msg_install_chunk_unpack(const uint8_t *body, size_t length, lv_msg_install_chunk *m)
{
    if (length < 4 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->offset = lv_get32(body + 0);
    m->data = body + 4;
    m->data_length = (uint16_t)(length - 4);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_install_chunk_pack(const lv_msg_install_chunk *m, uint8_t *body)
{
    lv_put32(body + 0, m->offset);
    if (m->data_length)
        memcpy(body + 4, m->data, m->data_length);
    return 4 + (size_t)m->data_length;
}

/* Verify the whole and switch slots; `Start` runs the new guest.  Answer: `Ack`. */
typedef struct {
    uint8_t none;
} lv_msg_install_end;

static inline int lv_msg_install_end_unpack(const uint8_t *body, size_t length, lv_msg_install_end *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_install_end_pack(const lv_msg_install_end *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

/* Restart the device.  Answer: `Ack`, before it does. */
typedef struct {
    uint8_t none;
} lv_msg_reset;

static inline int lv_msg_reset_unpack(const uint8_t *body, size_t length, lv_msg_reset *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_reset_pack(const lv_msg_reset *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

/* Answer: `Pong` with the same bytes. */
typedef struct {
    const uint8_t *data;
    uint16_t data_length;
} lv_msg_ping;

static inline int lv_msg_ping_unpack(const uint8_t *body, size_t length, lv_msg_ping *m)
{
    if (length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->data = body + 0;
    m->data_length = (uint16_t)(length - 0);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_ping_pack(const lv_msg_ping *m, uint8_t *body)
{
    if (m->data_length)
        memcpy(body + 0, m->data, m->data_length);
    return 0 + (size_t)m->data_length;
}

/* Outputs close, the guest is unloaded.  Answer: `Ack`; 1: the lease had ended before. */
typedef struct {
    uint8_t none;
} lv_msg_close;

static inline int lv_msg_close_unpack(const uint8_t *body, size_t length, lv_msg_close *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_close_pack(const lv_msg_close *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

/* Oldest publication that is not acknowledged.  Answer: `Telemetry`. */
typedef struct {
    uint8_t none;
} lv_msg_get_telemetry;

static inline int lv_msg_get_telemetry_unpack(const uint8_t *body, size_t length, lv_msg_get_telemetry *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_get_telemetry_pack(const lv_msg_get_telemetry *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

/* All publications of that boot up to that sequence number are stored.  Answer: `Ack`. */
typedef struct {
    uint32_t boot_id;
    uint32_t sequence;
} lv_msg_telemetry_ack;

static inline int lv_msg_telemetry_ack_unpack(const uint8_t *body, size_t length, lv_msg_telemetry_ack *m)
{
    if (length != 8)
        return LV_NAK_LENGTH;
    m->boot_id = lv_get32(body + 0);
    m->sequence = lv_get32(body + 4);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_telemetry_ack_pack(const lv_msg_telemetry_ack *m, uint8_t *body)
{
    lv_put32(body + 0, m->boot_id);
    lv_put32(body + 4, m->sequence);
    return 8;
}

/* Ask the virtual device to fail.  Answer: `Ack`; a board refuses it. */
typedef struct {
    uint8_t kind;
    uint8_t point;
    uint32_t after;
    uint32_t argument;
} lv_msg_fault;

static inline int lv_msg_fault_unpack(const uint8_t *body, size_t length, lv_msg_fault *m)
{
    if (length != 10)
        return LV_NAK_LENGTH;
    m->kind = lv_get8(body + 0);
    m->point = lv_get8(body + 1);
    m->after = lv_get32(body + 2);
    m->argument = lv_get32(body + 6);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_fault_pack(const lv_msg_fault *m, uint8_t *body)
{
    lv_put8(body + 0, m->kind);
    lv_put8(body + 1, m->point);
    lv_put32(body + 2, m->after);
    lv_put32(body + 6, m->argument);
    return 10;
}

/* Answer: `Statistics`. */
typedef struct {
    uint8_t none;
} lv_msg_get_statistics;

static inline int lv_msg_get_statistics_unpack(const uint8_t *body, size_t length, lv_msg_get_statistics *m)
{
    if (length != 0)
        return LV_NAK_LENGTH;
    (void)body;
    m->none = 0;
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_get_statistics_pack(const lv_msg_get_statistics *m, uint8_t *body)
{
    (void)m;
    (void)body;
    return 0;
}

/* The host lives: renews the lease of its session.  Outside the numbering; no answer. */
typedef struct {
    uint32_t session;
} lv_msg_heartbeat;

static inline int lv_msg_heartbeat_unpack(const uint8_t *body, size_t length, lv_msg_heartbeat *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->session = lv_get32(body + 0);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_heartbeat_pack(const lv_msg_heartbeat *m, uint8_t *body)
{
    lv_put32(body + 0, m->session);
    return 4;
}

/* Done. */
typedef struct {
    uint32_t value;
} lv_msg_ack;

static inline int lv_msg_ack_unpack(const uint8_t *body, size_t length, lv_msg_ack *m)
{
    if (length != 4)
        return LV_NAK_LENGTH;
    m->value = lv_get32(body + 0);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_ack_pack(const lv_msg_ack *m, uint8_t *body)
{
    lv_put32(body + 0, m->value);
    return 4;
}

/* Refused, without effect. */
typedef struct {
    uint8_t error;
    uint8_t request;
    int32_t detail;
} lv_msg_nak;

static inline int lv_msg_nak_unpack(const uint8_t *body, size_t length, lv_msg_nak *m)
{
    if (length != 6)
        return LV_NAK_LENGTH;
    m->error = lv_get8(body + 0);
    m->request = lv_get8(body + 1);
    m->detail = (int32_t)lv_get32(body + 2);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_nak_pack(const lv_msg_nak *m, uint8_t *body)
{
    lv_put8(body + 0, m->error);
    lv_put8(body + 1, m->request);
    lv_put32(body + 2, (uint32_t)m->detail);
    return 6;
}

/* Who the device is. */
typedef struct {
    uint32_t session;
    uint32_t boot_id;
    uint8_t abi_version;
    uint8_t flags;
    uint8_t reset_reason;
    uint8_t slot;
    uint16_t max_body;
    uint32_t guest_bytes;
    uint32_t slot_bytes;
    uint8_t guest_sha256[32];
    char engine[24];
    char firmware[24];
} lv_msg_birth;

static inline int lv_msg_birth_unpack(const uint8_t *body, size_t length, lv_msg_birth *m)
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
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_birth_pack(const lv_msg_birth *m, uint8_t *body)
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

/* What Start or Step did. */
typedef struct {
    uint8_t trap;
    uint8_t trap_call;
    uint8_t flags;
    uint16_t outputs;
    uint16_t ever_set;
    int64_t wake_ms;
    uint32_t host_calls;
    uint32_t active_us;
    uint32_t tape_bytes;
    const uint8_t *tape;
    uint16_t tape_length;
} lv_msg_step_result;

static inline int lv_msg_step_result_unpack(const uint8_t *body, size_t length, lv_msg_step_result *m)
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
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_step_result_pack(const lv_msg_step_result *m, uint8_t *body)
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

/* Part of the tape. */
typedef struct {
    uint32_t offset;
    const uint8_t *tape;
    uint16_t tape_length;
} lv_msg_tape;

static inline int lv_msg_tape_unpack(const uint8_t *body, size_t length, lv_msg_tape *m)
{
    if (length < 4 || length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->offset = lv_get32(body + 0);
    m->tape = body + 4;
    m->tape_length = (uint16_t)(length - 4);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_tape_pack(const lv_msg_tape *m, uint8_t *body)
{
    lv_put32(body + 0, m->offset);
    if (m->tape_length)
        memcpy(body + 4, m->tape, m->tape_length);
    return 4 + (size_t)m->tape_length;
}

/* Values in force, read back from guest memory. */
typedef struct {
    uint32_t tape_bytes;
    const uint8_t *parameters; /* i32, i32 each */
    uint16_t parameters_count;
} lv_msg_calibrated;

static inline int lv_msg_calibrated_unpack(const uint8_t *body, size_t length, lv_msg_calibrated *m)
{
    if (length < 4 || length > LV_MAX_BODY || (length - 4) % 8)
        return LV_NAK_LENGTH;
    m->tape_bytes = lv_get32(body + 0);
    m->parameters = body + 4;
    m->parameters_count = (uint16_t)((length - 4) / 8);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_calibrated_pack(const lv_msg_calibrated *m, uint8_t *body)
{
    lv_put32(body + 0, m->tape_bytes);
    if (m->parameters_count)
        memcpy(body + 4, m->parameters, 8 * (size_t)m->parameters_count);
    return 4 + 8 * (size_t)m->parameters_count;
}

/* A parameter as the guest has it. */
typedef struct {
    int32_t id;
    int32_t value;
} lv_msg_parameter;

static inline int lv_msg_parameter_unpack(const uint8_t *body, size_t length, lv_msg_parameter *m)
{
    if (length != 8)
        return LV_NAK_LENGTH;
    m->id = (int32_t)lv_get32(body + 0);
    m->value = (int32_t)lv_get32(body + 4);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_parameter_pack(const lv_msg_parameter *m, uint8_t *body)
{
    lv_put32(body + 0, (uint32_t)m->id);
    lv_put32(body + 4, (uint32_t)m->value);
    return 8;
}

/* The bytes of the Ping. */
typedef struct {
    const uint8_t *data;
    uint16_t data_length;
} lv_msg_pong;

static inline int lv_msg_pong_unpack(const uint8_t *body, size_t length, lv_msg_pong *m)
{
    if (length > LV_MAX_BODY)
        return LV_NAK_LENGTH;
    m->data = body + 0;
    m->data_length = (uint16_t)(length - 0);
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_pong_pack(const lv_msg_pong *m, uint8_t *body)
{
    if (m->data_length)
        memcpy(body + 0, m->data, m->data_length);
    return 0 + (size_t)m->data_length;
}

/* A publication of the guest that is not acknowledged yet. */
typedef struct {
    uint32_t boot_id;
    uint32_t sequence;
    int64_t time_ms;
    uint16_t waiting;
    uint32_t dropped;
    uint8_t topic_bytes;
    const uint8_t *payload;
    uint16_t payload_length;
} lv_msg_telemetry;

static inline int lv_msg_telemetry_unpack(const uint8_t *body, size_t length, lv_msg_telemetry *m)
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
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_telemetry_pack(const lv_msg_telemetry *m, uint8_t *body)
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

/* Counters since the start of the device. */
typedef struct {
    uint32_t frames;
    uint32_t bad_frames;
    uint32_t repeats;
    uint32_t steps;
    uint32_t host_calls;
    uint32_t publish_bytes;
    uint64_t active_us;
    uint64_t open_ms;
    uint32_t flash_writes;
    uint32_t stack_bytes;
} lv_msg_statistics;

static inline int lv_msg_statistics_unpack(const uint8_t *body, size_t length, lv_msg_statistics *m)
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
    return 0;
}

/* The caller has room for LV_MAX_BODY; returns the length of the body. */
static inline size_t lv_msg_statistics_pack(const lv_msg_statistics *m, uint8_t *body)
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

/* Unpack and pack again, for tests: length of the copy, or minus an error. */
static inline int lv_message_copy(uint8_t type, const uint8_t *body, size_t length, uint8_t *out)
{
    switch (type) {
    case LV_MSG_HELLO: {
        lv_msg_hello m;
        int error = lv_msg_hello_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_hello_pack(&m, out);
    }
    case LV_MSG_CONFIGURE: {
        lv_msg_configure m;
        int error = lv_msg_configure_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_configure_pack(&m, out);
    }
    case LV_MSG_START: {
        lv_msg_start m;
        int error = lv_msg_start_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_start_pack(&m, out);
    }
    case LV_MSG_STEP: {
        lv_msg_step m;
        int error = lv_msg_step_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_step_pack(&m, out);
    }
    case LV_MSG_READ_TAPE: {
        lv_msg_read_tape m;
        int error = lv_msg_read_tape_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_read_tape_pack(&m, out);
    }
    case LV_MSG_CALIBRATE: {
        lv_msg_calibrate m;
        int error = lv_msg_calibrate_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_calibrate_pack(&m, out);
    }
    case LV_MSG_GET_PARAMETER: {
        lv_msg_get_parameter m;
        int error = lv_msg_get_parameter_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_get_parameter_pack(&m, out);
    }
    case LV_MSG_INSTALL_BEGIN: {
        lv_msg_install_begin m;
        int error = lv_msg_install_begin_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_install_begin_pack(&m, out);
    }
    case LV_MSG_INSTALL_CHUNK: {
        lv_msg_install_chunk m;
        int error = lv_msg_install_chunk_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_install_chunk_pack(&m, out);
    }
    case LV_MSG_INSTALL_END: {
        lv_msg_install_end m;
        int error = lv_msg_install_end_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_install_end_pack(&m, out);
    }
    case LV_MSG_RESET: {
        lv_msg_reset m;
        int error = lv_msg_reset_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_reset_pack(&m, out);
    }
    case LV_MSG_PING: {
        lv_msg_ping m;
        int error = lv_msg_ping_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_ping_pack(&m, out);
    }
    case LV_MSG_CLOSE: {
        lv_msg_close m;
        int error = lv_msg_close_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_close_pack(&m, out);
    }
    case LV_MSG_GET_TELEMETRY: {
        lv_msg_get_telemetry m;
        int error = lv_msg_get_telemetry_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_get_telemetry_pack(&m, out);
    }
    case LV_MSG_TELEMETRY_ACK: {
        lv_msg_telemetry_ack m;
        int error = lv_msg_telemetry_ack_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_telemetry_ack_pack(&m, out);
    }
    case LV_MSG_FAULT: {
        lv_msg_fault m;
        int error = lv_msg_fault_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_fault_pack(&m, out);
    }
    case LV_MSG_GET_STATISTICS: {
        lv_msg_get_statistics m;
        int error = lv_msg_get_statistics_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_get_statistics_pack(&m, out);
    }
    case LV_MSG_HEARTBEAT: {
        lv_msg_heartbeat m;
        int error = lv_msg_heartbeat_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_heartbeat_pack(&m, out);
    }
    case LV_MSG_ACK: {
        lv_msg_ack m;
        int error = lv_msg_ack_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_ack_pack(&m, out);
    }
    case LV_MSG_NAK: {
        lv_msg_nak m;
        int error = lv_msg_nak_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_nak_pack(&m, out);
    }
    case LV_MSG_BIRTH: {
        lv_msg_birth m;
        int error = lv_msg_birth_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_birth_pack(&m, out);
    }
    case LV_MSG_STEP_RESULT: {
        lv_msg_step_result m;
        int error = lv_msg_step_result_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_step_result_pack(&m, out);
    }
    case LV_MSG_TAPE: {
        lv_msg_tape m;
        int error = lv_msg_tape_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_tape_pack(&m, out);
    }
    case LV_MSG_CALIBRATED: {
        lv_msg_calibrated m;
        int error = lv_msg_calibrated_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_calibrated_pack(&m, out);
    }
    case LV_MSG_PARAMETER: {
        lv_msg_parameter m;
        int error = lv_msg_parameter_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_parameter_pack(&m, out);
    }
    case LV_MSG_PONG: {
        lv_msg_pong m;
        int error = lv_msg_pong_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_pong_pack(&m, out);
    }
    case LV_MSG_TELEMETRY: {
        lv_msg_telemetry m;
        int error = lv_msg_telemetry_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_telemetry_pack(&m, out);
    }
    case LV_MSG_STATISTICS: {
        lv_msg_statistics m;
        int error = lv_msg_statistics_unpack(body, length, &m);
        return error ? -error : (int)lv_msg_statistics_pack(&m, out);
    }
    default:
        return -LV_NAK_UNKNOWN;
    }
}

#endif
