"""The host calls, and a step, as functions over arrays: written once, for every path.

A guest's host state is one row of `int64` (columns below), a tape buffer, and the guest's memory
as bytes.  The ordinary path calls these functions from Python callbacks; for the fast path
`levada.guest.fast.native` compiles them into callbacks that wasmtime calls without Python.

Any integer is a legal argument of a host call.  A call checks in this order: allowed by the
profile, call budget, pointers, byte budget; the first that fails stops the guest.  Only then are
values checked, and a wrong one is answered by an error code.  A call that stops the guest leaves
no record of itself on the tape, only the trap.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import KEEP_SLOTS, Call, ErrorCode, Sensor, TrapKind
from levada.guest.fast.jit import njit
from levada.guest.fast.strings import MAX_TOPIC_BYTES, Bytes, text_length, topic_allowed, utf8_valid

__all__ = [
    "LEAST_SENSORS",
    "LONGEST_WAKE_MS",
    "MAX_LOG_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_PINS",
    "MAX_TOPIC_BYTES",
    "NEVER_MS",
    "ROW",
    "SENSORS",
    "begin",
    "delay_ms",
    "finish",
    "get_config",
    "inject",
    "keep_get",
    "keep_set",
    "log_int",
    "mqtt_publish",
    "now_s",
    "put_boot",
    "put_param_set",
    "put_return",
    "read_sensor",
    "renew_budget",
    "set_output",
    "stop",
    "uptime_s",
    "wasm_log",
]

MAX_MESSAGE_BYTES: Final = 512
MAX_LOG_BYTES: Final = 256
MAX_PINS: Final = 16
LONGEST_WAKE_MS: Final = 86_400_000
NEVER_MS: Final = 1 << 62
"""Wake time of a guest that does not want to run again."""

# Columns of the row of one guest.
TIME: Final = 0  # virtual time of this run [ms since 1970]
DELAYED: Final = 1  # delays asked for in this run [ms]
WAKE: Final = 2  # absolute time of the next run [ms]
TRAP: Final = 3  # TrapKind, 0 while running
TRAP_CALL: Final = 4  # the host call that stopped the guest, 0 if none did
ONLINE: Final = 5
CALLS: Final = 6  # used in this run
LOGGED: Final = 7
PUBLISHED: Final = 8
CALL_LIMIT: Final = 9
LOG_LIMIT: Final = 10
PUBLISH_LIMIT: Final = 11
ALLOWED: Final = 12  # bit set of Call
FUEL: Final = 13
TICKS: Final = 14  # epoch ticks until the deadline
TAPING: Final = 15
POSITION: Final = 16  # bytes on the tape
READ: Final = 17  # bit set of the sensors read in this run
READINGS: Final = 18  # in the order of Sensor
SENSORS: Final = len(Sensor)
CONFIG: Final = READINGS + SENSORS  # 3 columns, in the order of ConfigKey
PIN_COUNT: Final = CONFIG + 3
PINS: Final = PIN_COUNT + 1
OUTPUTS: Final = PINS + MAX_PINS
EVER_SET: Final = OUTPUTS + MAX_PINS  # bit set of outputs
RESULT: Final = EVER_SET + 1  # what init, step or main returned last
SKEW: Final = RESULT + 1  # what TIME is ahead of the true time [ms]
BOOTED: Final = SKEW + 1  # true time of the start [ms since 1970]
KEPT: Final = BOOTED + 1  # KEEP_SLOTS columns; they survive a boot
# What only `levada.guest.fast.native` uses.
CONTEXT: Final = KEPT + KEEP_SLOTS  # wasmtime_context_t*
HAS_MEMORY: Final = CONTEXT + 1
MEMORY: Final = HAS_MEMORY + 1  # wasmtime_memory_t, 24 bytes
STEP: Final = MEMORY + 3  # wasmtime_func_t, 16 bytes
TRAP_POINTER: Final = STEP + 2
ERROR_POINTER: Final = TRAP_POINTER + 1
TAPE_ADDRESS: Final = ERROR_POINTER + 1
TAPE_CAPACITY: Final = TAPE_ADDRESS + 1
TAPE_ROOM: Final = TAPE_CAPACITY + 1  # the most that one run can write
PREFIX_ADDRESS: Final = TAPE_ROOM + 1
PREFIX_LENGTH: Final = PREFIX_ADDRESS + 1
USED: Final = PREFIX_LENGTH + 1  # instructions of the last run
ROW: Final = USED + 1

OK: Final = int(ErrorCode.OK)
INVALID: Final = int(ErrorCode.INVALID)
REFUSED: Final = int(ErrorCode.REFUSED)
OFFLINE: Final = int(ErrorCode.OFFLINE)
UNAVAILABLE: Final = int(ErrorCode.UNAVAILABLE)
COUNTED: Final = 1 << Sensor.FLOW | 1 << Sensor.RAIN | 1 << Sensor.ET0
"""Sensors that tell what has come since they were read last."""
CARRIED: Final = 1 << Sensor.RAIN | 1 << Sensor.ET0
"""Those of them of which a run that does not ask leaves the count to the next one."""
LEAST_SENSORS: Final = int(Sensor.FLOW) + 1
"""Every node has so many readings; what is left out beyond them is unavailable."""
MOST_COUNT: Final = 2**31 - 1

CALL_STEP: Final = int(Call.STEP)
CALL_READ_SENSOR: Final = int(Call.READ_SENSOR)
CALL_SET_OUTPUT: Final = int(Call.SET_OUTPUT)
CALL_GET_CONFIG: Final = int(Call.GET_CONFIG)
CALL_MQTT_PUBLISH: Final = int(Call.MQTT_PUBLISH)
CALL_WASM_LOG: Final = int(Call.WASM_LOG)
CALL_LOG_INT: Final = int(Call.LOG_INT)
CALL_DELAY_MS: Final = int(Call.DELAY_MS)
CALL_NOW_S: Final = int(Call.NOW_S)
CALL_UPTIME_S: Final = int(Call.UPTIME_S)
CALL_KEEP_GET: Final = int(Call.KEEP_GET)
CALL_KEEP_SET: Final = int(Call.KEEP_SET)
CALL_RETURN: Final = int(Call.RETURN)
CALL_TRAP: Final = int(Call.TRAP)
CALL_PARAM_SET: Final = int(Call.PARAM_SET)
CALL_BOOT: Final = int(Call.BOOT)

TRAP_DENIED: Final = int(TrapKind.DENIED)
TRAP_HOST_CALLS: Final = int(TrapKind.HOST_CALLS)
TRAP_POINTER_KIND: Final = int(TrapKind.POINTER)
TRAP_LOG_BYTES: Final = int(TrapKind.LOG_BYTES)
TRAP_PUBLISH_BYTES: Final = int(TrapKind.PUBLISH_BYTES)
TRAP_GUEST_FAULT: Final = int(TrapKind.GUEST_FAULT)
TRAP_OTHER: Final = int(TrapKind.OTHER)

Row = npt.NDArray[np.int64]

# Tape records: `levada.guest.tape` describes and decodes them.


@njit
def _put8(z: Row, tape: Bytes, value: int) -> None:
    tape[z[POSITION]] = value & 0xFF
    z[POSITION] += 1


@njit
def _put(z: Row, tape: Bytes, value: int, size: int) -> None:
    at = z[POSITION]
    for k in range(size):
        tape[at + k] = (value >> (8 * k)) & 0xFF
    z[POSITION] = at + size


@njit
def _put_text(z: Row, tape: Bytes, memory: Bytes, start: int, size: int) -> None:
    _put(z, tape, size, 2)
    at = z[POSITION]
    for k in range(size):
        tape[at + k] = memory[start + k]
    z[POSITION] = at + size


@njit
def _put_call(z: Row, tape: Bytes, call: int, a: int) -> None:
    if z[TAPING] != 0:
        _put8(z, tape, call)
        _put(z, tape, a, 4)


@njit
def _put_call2(z: Row, tape: Bytes, call: int, a: int, b: int) -> None:
    if z[TAPING] != 0:
        _put8(z, tape, call)
        _put(z, tape, a, 4)
        _put(z, tape, b, 4)


@njit
def _put_call3(z: Row, tape: Bytes, call: int, a: int, b: int, c: int) -> None:
    if z[TAPING] != 0:
        _put_call2(z, tape, call, a, b)
        _put(z, tape, c, 4)


@njit
def put_boot(z: Row, tape: Bytes, time_ms: int) -> None:
    """Record that the guest is instantiated at `time_ms`, when `uptime_s` begins to count.

    Until its first step nothing is measured.
    """
    z[BOOTED] = time_ms - z[SKEW]
    for k in range(SENSORS):
        z[READINGS + k] = UNAVAILABLE
    z[READ] = 0
    if z[TAPING] != 0:
        _put8(z, tape, CALL_BOOT)
        _put(z, tape, time_ms, 8)


@njit
def put_return(z: Row, tape: Bytes, result: int) -> None:
    """Record what the guest returned."""
    z[RESULT] = result
    _put_call(z, tape, CALL_RETURN, result)


@njit
def put_param_set(z: Row, tape: Bytes, parameter: int, value: int, result: int) -> None:
    """Record that the host set a parameter."""
    _put_call3(z, tape, CALL_PARAM_SET, parameter, value, result)


# One run of a guest.


@njit
def renew_budget(z: Row) -> None:
    """Give the guest what one run may use."""
    z[CALLS] = 0
    z[LOGGED] = 0
    z[PUBLISHED] = 0


@njit
def begin(z: Row, tape: Bytes, time_ms: int, entry: int) -> None:
    """Start a run at virtual `time_ms`; `entry` is 0 for init, 1 for step, 2 for main."""
    renew_budget(z)
    z[TIME] = time_ms
    z[DELAYED] = 0
    if z[TAPING] != 0:
        _put8(z, tape, CALL_STEP)
        _put(z, tape, time_ms, 8)
        _put8(z, tape, entry)


@njit
def inject(z: Row, readings: npt.NDArray[np.int32]) -> None:
    """Set what `read_sensor` answers in the coming run."""
    for k in range(SENSORS):
        value = readings[k] if k < readings.size else UNAVAILABLE
        if value >= 0 and (CARRIED & ~z[READ]) >> k & 1 != 0:
            value = min(value + max(z[READINGS + k], 0), MOST_COUNT)
        z[READINGS + k] = value
    z[READ] = 0


@njit
def stop(z: Row, tape: Bytes, kind: int) -> None:
    """Stop the guest: safe state, every output 0."""
    z[TRAP] = kind
    for k in range(z[PIN_COUNT]):
        z[OUTPUTS + k] = 0
    if z[TAPING] != 0:
        _put8(z, tape, CALL_TRAP)
        _put8(z, tape, kind)


@njit
def finish(z: Row, tape: Bytes, result: int, shortest_ms: int) -> None:
    """End a run of `init` or `step` that returned `result`: next wake, or a fault."""
    put_return(z, tape, result)
    if result < 0:
        stop(z, tape, TRAP_GUEST_FAULT)
    else:
        z[WAKE] = z[TIME] + z[DELAYED] + min(max(result, shortest_ms), LONGEST_WAKE_MS)


# The host calls.


@njit
def _refuse(z: Row, call: int, kind: int) -> None:
    z[TRAP] = kind
    z[TRAP_CALL] = call


@njit
def _enter(z: Row, call: int) -> bool:
    """Whether the call may go on: allowed by the profile, and within the budget of calls."""
    if (z[ALLOWED] >> call) & 1 == 0:
        _refuse(z, call, TRAP_DENIED)
        return False
    z[CALLS] += 1
    if z[CALLS] > z[CALL_LIMIT]:
        _refuse(z, call, TRAP_HOST_CALLS)
        return False
    return True


@njit
def read_sensor(z: Row, tape: Bytes, kind: int) -> int:
    """Injected reading; what is counted is what has come since it was last read."""
    if not _enter(z, CALL_READ_SENSOR):
        return 0
    result = INVALID
    if kind >= 0 and kind < SENSORS:
        result = z[READINGS + kind]
        if result >= 0 and COUNTED >> kind & 1 != 0:
            if z[READ] >> kind & 1 != 0:
                result = 0
            z[READ] |= 1 << kind
    _put_call2(z, tape, CALL_READ_SENSOR, kind, result)
    return result


@njit
def set_output(z: Row, tape: Bytes, pin: int, state: int) -> int:
    """Command an output; a pin outside the pin map is ignored."""
    if not _enter(z, CALL_SET_OUTPUT):
        return 0
    for k in range(z[PIN_COUNT]):
        if z[PINS + k] == pin:
            z[OUTPUTS + k] = 1 if state != 0 else 0
            z[EVER_SET] |= 1 << k
    _put_call2(z, tape, CALL_SET_OUTPUT, pin, state)
    return 0


@njit
def get_config(z: Row, tape: Bytes, key: int) -> int:
    """Calibration counts."""
    if not _enter(z, CALL_GET_CONFIG):
        return 0
    result = INVALID
    if key >= 0 and key < 3:
        result = z[CONFIG + key]
    _put_call2(z, tape, CALL_GET_CONFIG, key, result)
    return result


@njit
def mqtt_publish(
    z: Row, tape: Bytes, memory: Bytes, prefix: Bytes, topic: int, message: int
) -> int:
    """Publish, if the topic is the guest's to use; the tape has it as the guest gave it."""
    if not _enter(z, CALL_MQTT_PUBLISH):
        return 0
    topic &= 0xFFFFFFFF
    message &= 0xFFFFFFFF
    topic_length = text_length(memory, topic)
    message_length = text_length(memory, message)
    if topic_length < 0 or message_length < 0:
        _refuse(z, CALL_MQTT_PUBLISH, TRAP_POINTER_KIND)
        return 0
    topic_kept = min(topic_length, MAX_TOPIC_BYTES)
    message_kept = min(message_length, MAX_MESSAGE_BYTES)
    z[PUBLISHED] += topic_kept + message_kept
    if z[PUBLISHED] > z[PUBLISH_LIMIT]:
        _refuse(z, CALL_MQTT_PUBLISH, TRAP_PUBLISH_BYTES)
        return 0
    if (
        message_length > MAX_MESSAGE_BYTES
        or not topic_allowed(memory, topic, topic_length, prefix)
        or not utf8_valid(memory, message, message_length)
    ):
        result = REFUSED
    elif z[ONLINE] == 0:
        result = OFFLINE
    else:
        result = OK
    if z[TAPING] != 0:
        _put8(z, tape, CALL_MQTT_PUBLISH)
        _put_text(z, tape, memory, topic, topic_kept)
        _put_text(z, tape, memory, message, message_kept)
        _put(z, tape, result, 4)
    return result


@njit
def wasm_log(z: Row, tape: Bytes, memory: Bytes, message: int) -> int:
    """Log a text; longer ones are cut."""
    if not _enter(z, CALL_WASM_LOG):
        return 0
    message &= 0xFFFFFFFF
    length = text_length(memory, message)
    if length < 0:
        _refuse(z, CALL_WASM_LOG, TRAP_POINTER_KIND)
        return 0
    kept = min(length, MAX_LOG_BYTES)
    z[LOGGED] += kept
    if z[LOGGED] > z[LOG_LIMIT]:
        _refuse(z, CALL_WASM_LOG, TRAP_LOG_BYTES)
        return 0
    if z[TAPING] != 0:
        _put8(z, tape, CALL_WASM_LOG)
        _put_text(z, tape, memory, message, kept)
    return 0


@njit
def log_int(z: Row, tape: Bytes, value: int) -> int:
    """Log a number; it counts 4 bytes."""
    if not _enter(z, CALL_LOG_INT):
        return 0
    z[LOGGED] += 4
    if z[LOGGED] > z[LOG_LIMIT]:
        _refuse(z, CALL_LOG_INT, TRAP_LOG_BYTES)
        return 0
    _put_call(z, tape, CALL_LOG_INT, value)
    return 0


@njit
def delay_ms(z: Row, tape: Bytes, ms: int) -> int:
    """Let virtual time pass; nothing waits here."""
    if not _enter(z, CALL_DELAY_MS):
        return 0
    z[DELAYED] += max(ms, 0)
    _put_call(z, tape, CALL_DELAY_MS, ms)
    return 0


@njit
def now_s(z: Row, tape: Bytes) -> int:
    """Virtual seconds since 1970, as i32."""
    if not _enter(z, CALL_NOW_S):
        return 0
    result = _seconds(z[TIME] + z[DELAYED])
    _put_call(z, tape, CALL_NOW_S, result)
    return result


@njit
def uptime_s(z: Row, tape: Bytes) -> int:
    """Seconds since the guest was started, as i32."""
    if not _enter(z, CALL_UPTIME_S):
        return 0
    result = _seconds(z[TIME] + z[DELAYED] - z[SKEW] - z[BOOTED])
    _put_call(z, tape, CALL_UPTIME_S, result)
    return result


@njit
def _seconds(ms: int) -> int:
    """Whole seconds as i32, which wraps."""
    return ((int(ms // 1000) + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@njit
def keep_get(z: Row, tape: Bytes, slot: int) -> int:
    """What was kept in the slot, 0 if nothing was."""
    if not _enter(z, CALL_KEEP_GET):
        return 0
    result = INVALID
    if slot >= 0 and slot < KEEP_SLOTS:
        result = z[KEPT + slot]
    _put_call2(z, tape, CALL_KEEP_GET, slot, result)
    return result


@njit
def keep_set(z: Row, tape: Bytes, slot: int, value: int) -> int:
    """Keep a value over the next start of this guest."""
    if not _enter(z, CALL_KEEP_SET):
        return 0
    result = INVALID
    if slot >= 0 and slot < KEEP_SLOTS:
        z[KEPT + slot] = value
        result = OK
    _put_call3(z, tape, CALL_KEEP_SET, slot, value, result)
    return result
