/* Written by hil/wire/messages_c.py from hil/wire/messages.py and guest/abi.py; do not edit.
 * Every body is packed, little endian; docs/wire.md explains the messages. */
#ifndef LEVADA_MESSAGES_H
#define LEVADA_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#define LV_ABI_VERSION 1
#define LV_KEEP_SLOTS 8
#define LV_SENSORS 7
#define LV_WIRE_VERSION 1
#define LV_MAX_BODY 1024 /* bytes */

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
    LV_SENSOR_RAIN = 4,
    LV_SENSOR_FORECAST = 5,
    LV_SENSOR_ET0 = 6,
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
    LV_STEP_TRIAL = 4,
    LV_STEP_ROLLED_BACK = 8,
};

enum lv_birth {
    LV_BIRTH_INSTALLED = 1,
    LV_BIRTH_STARTED = 2,
    LV_BIRTH_STOPPED = 4,
    LV_BIRTH_COMMAND = 8,
    LV_BIRTH_HEARTBEAT = 16,
    LV_BIRTH_UPDATES = 32,
    LV_BIRTH_TRIAL = 64,
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

enum lv_update {
    LV_UPDATE_IDLE = 0,
    LV_UPDATE_DOWNLOADING = 1,
    LV_UPDATE_DOWNLOADED = 2,
    LV_UPDATE_VERIFIED = 3,
    LV_UPDATE_UPDATING = 4,
    LV_UPDATE_UPDATED = 5,
    LV_UPDATE_FAILED = 6,
};

enum lv_reason {
    LV_REASON_NONE = 0,
    LV_REASON_TRAP = 1,
    LV_REASON_FAULT = 2,
    LV_REASON_BUDGET = 3,
    LV_REASON_TIMEOUT = 4,
    LV_REASON_REJECTED = 5,
    LV_REASON_RESTART = 6,
    LV_REASON_LOAD = 7,
    LV_REASON_DIGEST = 8,
    LV_REASON_FLASH = 9,
    LV_REASON_CRASHES = 10,
    LV_REASON_ABORTED = 11,
};

enum lv_trial {
    LV_TRIAL_CONFIRM = 1,
    LV_TRIAL_REPORT = 2,
};

/* LV_OK, or why a request is refused. */
typedef enum {
    LV_OK = 0,
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
    LV_NAK_SIGNATURE = 14,
    LV_NAK_ROLLBACK = 15,
    LV_NAK_TARGET = 16,
    LV_NAK_EXPIRED = 17,
    LV_NAK_BARRED = 18,
    LV_NAK_BUSY = 19,
} lv_status;

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
    LV_MSG_INSTALL_TRIAL = 0x13,
    LV_MSG_CONFIRM = 0x14,
    LV_MSG_REJECT = 0x15,
    LV_MSG_INSTALL_ABORT = 0x16,
    LV_MSG_GET_UPDATE_STATUS = 0x17,
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
    LV_MSG_UPDATE_STATUS = 0x8a,
};

/*
 * Of every message below, where neither pointer may be NULL, but that of a body of no bytes:
 *
 * lv_msg_*_unpack reads a body of `length` bytes into *m: LV_OK, LV_NAK_LENGTH, or LV_NAK_VALUE for
 * a text field that no NUL closes, and then *m is not to be used.  Fields that are pointers point
 * into the body, which must outlive them.
 *
 * lv_msg_*_pack writes *m to a body with room for LV_MAX_BODY bytes, which *m with its tail must
 * not exceed: the length of the body.
 */

/* Begin a session.  Always executed; the guest is not touched.  Answer: `Birth`. */
typedef struct {
    uint32_t session;
} lv_msg_hello;

/* Reads the body of Hello. */
lv_status lv_msg_hello_unpack(const uint8_t *body, size_t length, lv_msg_hello *m);
/* Writes the body of Hello. */
size_t lv_msg_hello_pack(const lv_msg_hello *m, uint8_t *body);

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

/* Reads the body of Configure. */
lv_status lv_msg_configure_unpack(const uint8_t *body, size_t length, lv_msg_configure *m);
/* Writes the body of Configure. */
size_t lv_msg_configure_pack(const lv_msg_configure *m, uint8_t *body);

/* Instantiate the guest and run `init`; `main` waits for a Step.  Answer: `StepResult`. */
typedef struct {
    int64_t time_ms;
    uint8_t flags;
    const uint8_t *parameters; /* i32, i32 each */
    uint16_t parameters_count;
} lv_msg_start;

/* Reads the body of Start. */
lv_status lv_msg_start_unpack(const uint8_t *body, size_t length, lv_msg_start *m);
/* Writes the body of Start. */
size_t lv_msg_start_pack(const lv_msg_start *m, uint8_t *body);

/* Inject readings and run the guest once.  Answer: `StepResult`. */
typedef struct {
    int64_t time_ms;
    uint8_t flags;
    int32_t readings[4];
    int64_t uptime_ms;
    const uint8_t *further; /* i32, i32 each */
    uint16_t further_count;
} lv_msg_step;

/* Reads the body of Step. */
lv_status lv_msg_step_unpack(const uint8_t *body, size_t length, lv_msg_step *m);
/* Writes the body of Step. */
size_t lv_msg_step_pack(const lv_msg_step *m, uint8_t *body);

/* Records of the last Start, Step or Calibrate that did not fit its answer.  Answer: `Tape`. */
typedef struct {
    uint32_t offset;
} lv_msg_read_tape;

/* Reads the body of ReadTape. */
lv_status lv_msg_read_tape_unpack(const uint8_t *body, size_t length, lv_msg_read_tape *m);
/* Writes the body of ReadTape. */
size_t lv_msg_read_tape_pack(const lv_msg_read_tape *m, uint8_t *body);

/* Set parameters, all or none, between steps.  Answer: `Calibrated`. */
typedef struct {
    uint8_t flags;
    const uint8_t *parameters; /* i32, i32 each */
    uint16_t parameters_count;
} lv_msg_calibrate;

/* Reads the body of Calibrate. */
lv_status lv_msg_calibrate_unpack(const uint8_t *body, size_t length, lv_msg_calibrate *m);
/* Writes the body of Calibrate. */
size_t lv_msg_calibrate_pack(const lv_msg_calibrate *m, uint8_t *body);

/* Read a parameter back from guest memory.  Answer: `Parameter`. */
typedef struct {
    int32_t id;
} lv_msg_get_parameter;

/* Reads the body of GetParameter. */
lv_status lv_msg_get_parameter_unpack(const uint8_t *body, size_t length, lv_msg_get_parameter *m);
/* Writes the body of GetParameter. */
size_t lv_msg_get_parameter_pack(const lv_msg_get_parameter *m, uint8_t *body);

/* Open the slot that is not in use for a new guest.  Answer: `Ack`, bytes already there. */
typedef struct {
    uint32_t size;
    uint8_t sha256[32];
    const uint8_t *envelope;
    uint16_t envelope_length;
} lv_msg_install_begin;

/* Reads the body of InstallBegin. */
lv_status lv_msg_install_begin_unpack(const uint8_t *body, size_t length, lv_msg_install_begin *m);
/* Writes the body of InstallBegin. */
size_t lv_msg_install_begin_pack(const lv_msg_install_begin *m, uint8_t *body);

/* Part of the module, in order.  Answer: `Ack` with the number of bytes received. */
typedef struct {
    uint32_t offset;
    const uint8_t *data;
    uint16_t data_length;
} lv_msg_install_chunk;

/* Reads the body of InstallChunk. */
lv_status lv_msg_install_chunk_unpack(const uint8_t *body, size_t length, lv_msg_install_chunk *m);
/* Writes the body of InstallChunk. */
size_t lv_msg_install_chunk_pack(const lv_msg_install_chunk *m, uint8_t *body);

/* Verify the whole and switch slots; `Start` runs the new guest.  Answer: `Ack`. */
typedef struct {
    uint8_t none;
} lv_msg_install_end;

/* Reads the body of InstallEnd. */
lv_status lv_msg_install_end_unpack(const uint8_t *body, size_t length, lv_msg_install_end *m);
/* Writes the body of InstallEnd. */
size_t lv_msg_install_end_pack(const lv_msg_install_end *m, uint8_t *body);

/* Restart the device.  Answer: `Ack`, before it does. */
typedef struct {
    uint8_t none;
} lv_msg_reset;

/* Reads the body of Reset. */
lv_status lv_msg_reset_unpack(const uint8_t *body, size_t length, lv_msg_reset *m);
/* Writes the body of Reset. */
size_t lv_msg_reset_pack(const lv_msg_reset *m, uint8_t *body);

/* Answer: `Pong` with the same bytes. */
typedef struct {
    const uint8_t *data;
    uint16_t data_length;
} lv_msg_ping;

/* Reads the body of Ping. */
lv_status lv_msg_ping_unpack(const uint8_t *body, size_t length, lv_msg_ping *m);
/* Writes the body of Ping. */
size_t lv_msg_ping_pack(const lv_msg_ping *m, uint8_t *body);

/* Outputs close, the guest is unloaded.  Answer: `Ack`; 1: the lease had ended before. */
typedef struct {
    uint8_t none;
} lv_msg_close;

/* Reads the body of Close. */
lv_status lv_msg_close_unpack(const uint8_t *body, size_t length, lv_msg_close *m);
/* Writes the body of Close. */
size_t lv_msg_close_pack(const lv_msg_close *m, uint8_t *body);

/* Oldest publication that is not acknowledged.  Answer: `Telemetry`. */
typedef struct {
    uint8_t none;
} lv_msg_get_telemetry;

/* Reads the body of GetTelemetry. */
lv_status lv_msg_get_telemetry_unpack(const uint8_t *body, size_t length, lv_msg_get_telemetry *m);
/* Writes the body of GetTelemetry. */
size_t lv_msg_get_telemetry_pack(const lv_msg_get_telemetry *m, uint8_t *body);

/* All publications of that boot up to that sequence number are stored.  Answer: `Ack`. */
typedef struct {
    uint32_t boot_id;
    uint32_t sequence;
} lv_msg_telemetry_ack;

/* Reads the body of TelemetryAck. */
lv_status lv_msg_telemetry_ack_unpack(const uint8_t *body, size_t length, lv_msg_telemetry_ack *m);
/* Writes the body of TelemetryAck. */
size_t lv_msg_telemetry_ack_pack(const lv_msg_telemetry_ack *m, uint8_t *body);

/* Ask the virtual device to fail.  Answer: `Ack`; a board refuses it. */
typedef struct {
    uint8_t kind;
    uint8_t point;
    uint32_t after;
    uint32_t argument;
} lv_msg_fault;

/* Reads the body of Fault. */
lv_status lv_msg_fault_unpack(const uint8_t *body, size_t length, lv_msg_fault *m);
/* Writes the body of Fault. */
size_t lv_msg_fault_pack(const lv_msg_fault *m, uint8_t *body);

/* Answer: `Statistics`. */
typedef struct {
    uint8_t none;
} lv_msg_get_statistics;

/* Reads the body of GetStatistics. */
lv_status lv_msg_get_statistics_unpack(const uint8_t *body, size_t length,
                                       lv_msg_get_statistics *m);
/* Writes the body of GetStatistics. */
size_t lv_msg_get_statistics_pack(const lv_msg_get_statistics *m, uint8_t *body);

/* The host lives: renews the lease of its session.  Outside the numbering; no answer. */
typedef struct {
    uint32_t session;
} lv_msg_heartbeat;

/* Reads the body of Heartbeat. */
lv_status lv_msg_heartbeat_unpack(const uint8_t *body, size_t length, lv_msg_heartbeat *m);
/* Writes the body of Heartbeat. */
size_t lv_msg_heartbeat_pack(const lv_msg_heartbeat *m, uint8_t *body);

/* Verify the whole; the next `Start` puts it on trial.  Answer: `Ack`. */
typedef struct {
    uint16_t steps;
    uint32_t within_ms;
    uint8_t flags;
    const uint8_t *carried;
    uint16_t carried_length;
} lv_msg_install_trial;

/* Reads the body of InstallTrial. */
lv_status lv_msg_install_trial_unpack(const uint8_t *body, size_t length, lv_msg_install_trial *m);
/* Writes the body of InstallTrial. */
size_t lv_msg_install_trial_pack(const lv_msg_install_trial *m, uint8_t *body);

/* The module on trial does well, as far as the host sees.  Answer: `Ack`, its UpdateState. */
typedef struct {
    uint8_t sha256[32];
} lv_msg_confirm;

/* Reads the body of Confirm. */
lv_status lv_msg_confirm_unpack(const uint8_t *body, size_t length, lv_msg_confirm *m);
/* Writes the body of Confirm. */
size_t lv_msg_confirm_pack(const lv_msg_confirm *m, uint8_t *body);

/* Roll back the module on trial, or that waits for it, and bar it.  Answer: `Ack`. */
typedef struct {
    uint8_t none;
} lv_msg_reject;

/* Reads the body of Reject. */
lv_status lv_msg_reject_unpack(const uint8_t *body, size_t length, lv_msg_reject *m);
/* Writes the body of Reject. */
size_t lv_msg_reject_pack(const lv_msg_reject *m, uint8_t *body);

/* Drop whatever is being installed or tried; it is not barred.  Answer: `Ack`. */
typedef struct {
    uint8_t none;
} lv_msg_install_abort;

/* Reads the body of InstallAbort. */
lv_status lv_msg_install_abort_unpack(const uint8_t *body, size_t length, lv_msg_install_abort *m);
/* Writes the body of InstallAbort. */
size_t lv_msg_install_abort_pack(const lv_msg_install_abort *m, uint8_t *body);

/* Answer: `UpdateStatus`. */
typedef struct {
    uint8_t none;
} lv_msg_get_update_status;

/* Reads the body of GetUpdateStatus. */
lv_status lv_msg_get_update_status_unpack(const uint8_t *body, size_t length,
                                          lv_msg_get_update_status *m);
/* Writes the body of GetUpdateStatus. */
size_t lv_msg_get_update_status_pack(const lv_msg_get_update_status *m, uint8_t *body);

/* Done. */
typedef struct {
    uint32_t value;
} lv_msg_ack;

/* Reads the body of Ack. */
lv_status lv_msg_ack_unpack(const uint8_t *body, size_t length, lv_msg_ack *m);
/* Writes the body of Ack. */
size_t lv_msg_ack_pack(const lv_msg_ack *m, uint8_t *body);

/* Refused, without effect. */
typedef struct {
    uint8_t error;
    uint8_t request;
    int32_t detail;
} lv_msg_nak;

/* Reads the body of Nak. */
lv_status lv_msg_nak_unpack(const uint8_t *body, size_t length, lv_msg_nak *m);
/* Writes the body of Nak. */
size_t lv_msg_nak_pack(const lv_msg_nak *m, uint8_t *body);

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

/* Reads the body of Birth. */
lv_status lv_msg_birth_unpack(const uint8_t *body, size_t length, lv_msg_birth *m);
/* Writes the body of Birth. */
size_t lv_msg_birth_pack(const lv_msg_birth *m, uint8_t *body);

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

/* Reads the body of StepResult. */
lv_status lv_msg_step_result_unpack(const uint8_t *body, size_t length, lv_msg_step_result *m);
/* Writes the body of StepResult. */
size_t lv_msg_step_result_pack(const lv_msg_step_result *m, uint8_t *body);

/* Part of the tape. */
typedef struct {
    uint32_t offset;
    const uint8_t *tape;
    uint16_t tape_length;
} lv_msg_tape;

/* Reads the body of Tape. */
lv_status lv_msg_tape_unpack(const uint8_t *body, size_t length, lv_msg_tape *m);
/* Writes the body of Tape. */
size_t lv_msg_tape_pack(const lv_msg_tape *m, uint8_t *body);

/* Values in force, read back from guest memory. */
typedef struct {
    uint32_t tape_bytes;
    const uint8_t *parameters; /* i32, i32 each */
    uint16_t parameters_count;
} lv_msg_calibrated;

/* Reads the body of Calibrated. */
lv_status lv_msg_calibrated_unpack(const uint8_t *body, size_t length, lv_msg_calibrated *m);
/* Writes the body of Calibrated. */
size_t lv_msg_calibrated_pack(const lv_msg_calibrated *m, uint8_t *body);

/* A parameter as the guest has it. */
typedef struct {
    int32_t id;
    int32_t value;
} lv_msg_parameter;

/* Reads the body of Parameter. */
lv_status lv_msg_parameter_unpack(const uint8_t *body, size_t length, lv_msg_parameter *m);
/* Writes the body of Parameter. */
size_t lv_msg_parameter_pack(const lv_msg_parameter *m, uint8_t *body);

/* The bytes of the Ping. */
typedef struct {
    const uint8_t *data;
    uint16_t data_length;
} lv_msg_pong;

/* Reads the body of Pong. */
lv_status lv_msg_pong_unpack(const uint8_t *body, size_t length, lv_msg_pong *m);
/* Writes the body of Pong. */
size_t lv_msg_pong_pack(const lv_msg_pong *m, uint8_t *body);

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

/* Reads the body of Telemetry. */
lv_status lv_msg_telemetry_unpack(const uint8_t *body, size_t length, lv_msg_telemetry *m);
/* Writes the body of Telemetry. */
size_t lv_msg_telemetry_pack(const lv_msg_telemetry *m, uint8_t *body);

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

/* Reads the body of Statistics. */
lv_status lv_msg_statistics_unpack(const uint8_t *body, size_t length, lv_msg_statistics *m);
/* Writes the body of Statistics. */
size_t lv_msg_statistics_pack(const lv_msg_statistics *m, uint8_t *body);

/* How far the last update is. */
typedef struct {
    uint8_t state;
    uint8_t reason;
    int32_t detail;
    uint8_t sha256[32];
    uint32_t received;
    uint32_t size;
    uint16_t steps;
    uint32_t counter;
    uint8_t nonce[16];
    char version[40];
} lv_msg_update_status;

/* Reads the body of UpdateStatus. */
lv_status lv_msg_update_status_unpack(const uint8_t *body, size_t length, lv_msg_update_status *m);
/* Writes the body of UpdateStatus. */
size_t lv_msg_update_status_pack(const lv_msg_update_status *m, uint8_t *body);

/* A body of that type unpacked and packed again into `out`, which has room for LV_MAX_BODY bytes,
 * with its length in *copied; or why it is none, with LV_NAK_UNKNOWN for another type.  It tries
 * both directions at once, and no board calls it. */
lv_status lv_message_copy(uint8_t type, const uint8_t *body, size_t length, uint8_t *out,
                          size_t *copied);

#endif
