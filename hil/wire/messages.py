"""Messages of the serial wire: the one table, from which the C header is generated.

A message is a frozen dataclass; the annotation of a field is its form on the wire, in order, little
endian, unpadded.  Only the last field may have a variable length.  `levada.hil.wire.messages_c`
writes `firmware/core/levada_messages.h` and `.c` from this table, and `docs/wire.md` explains it.

The host asks, the device answers, one answer a request.  Requests have types below 0x80.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from levada.hil.wire.fault_messages import Fault, FaultKind, FaultPoint
from levada.hil.wire.message import (
    I32,
    I64,
    MESSAGES,
    U8,
    U16,
    U32,
    U64,
    I32x3,
    I32x4,
    Message,
    Pairs,
    Rest,
    Sha256,
    Text16,
    Text24,
    Text32,
    U8x16,
    message_type,
)
from levada.hil.wire.update_messages import (
    Confirm,
    GetUpdateStatus,
    InstallAbort,
    InstallBegin,
    InstallChunk,
    InstallEnd,
    InstallTrial,
    Reject,
    TrialFlag,
    UpdateReason,
    UpdateState,
    UpdateStatus,
)

__all__ = [
    "MESSAGES",
    "WIRE_VERSION",
    "Ack",
    "Birth",
    "BirthFlag",
    "Calibrate",
    "Calibrated",
    "Close",
    "Configure",
    "Confirm",
    "Fault",
    "FaultKind",
    "FaultPoint",
    "GetParameter",
    "GetStatistics",
    "GetTelemetry",
    "GetUpdateStatus",
    "Hello",
    "InstallAbort",
    "InstallBegin",
    "InstallChunk",
    "InstallEnd",
    "InstallTrial",
    "Nak",
    "NakError",
    "Parameter",
    "Ping",
    "Pong",
    "ReadTape",
    "Reject",
    "Reset",
    "ResetReason",
    "Start",
    "StartFlag",
    "Statistics",
    "Step",
    "StepFlag",
    "StepResult",
    "Tape",
    "Telemetry",
    "TelemetryAck",
    "TrialFlag",
    "UpdateReason",
    "UpdateState",
    "UpdateStatus",
]

WIRE_VERSION: Final = 1


class NakError(IntEnum):
    """Why the device refused a request; it had no effect."""

    NO_SESSION = 1
    """No HELLO since the device started: it has rebooted."""
    SEQUENCE = 2
    """Neither the last sequence number nor its successor."""
    UNKNOWN = 3
    """A type the device does not know."""
    LENGTH = 4
    """A body too short or too long."""
    VALUE = 5
    """A field outside its range; detail: index of the field or parameter id."""
    NO_GUEST = 6
    """No module is installed, or none is started."""
    STATE = 7
    """Not possible now, e.g. a chunk without a begin."""
    LOAD = 8
    """The engine refuses the module; detail: an engine's reason."""
    PARAMETER = 9
    """The guest refused a value; detail: parameter id.  None of the values is in force."""
    DIGEST = 10
    """The installed bytes do not have the promised SHA-256, or the manifest is of others."""
    FLASH = 11
    """The store could not be written."""
    SIZE = 12
    """Larger than the guest slot."""
    STOPPED = 13
    """The guest was stopped by a trap; detail: TrapKind.  Start it again."""
    SIGNATURE = 14
    """No key that the device trusts has signed the module."""
    ROLLBACK = 15
    """Older than the module in use, or as new and another; detail: counter of the one in use."""
    TARGET = 16
    """The module is for another node, tier, ABI or feature profile."""
    EXPIRED = 17
    """The manifest holds no more, or answers another request."""
    BARRED = 18
    """This module was tried here, and failed."""
    BUSY = 19
    """Another sender is installing."""


class ResetReason(IntEnum):
    """Why the device last started."""

    POWER_ON = 0
    SOFTWARE = 1
    WATCHDOG = 2
    BROWN_OUT = 3
    PANIC = 4
    DEEP_SLEEP = 5
    UNKNOWN = 6


class StartFlag(IntFlag):
    """Flags of `Start`."""

    STORED_PARAMETERS = 1
    """First apply the parameters of the store, as the device does when alone in the field."""
    FORGET = 2
    """The guest finds nothing of what it kept: a run begins alike on every node."""


class StepFlag(IntFlag):
    """Flags of `Step` and `StepResult`."""

    ONLINE = 1
    """In `Step`: `mqtt_publish` finds a link."""
    LEASE_EXPIRED = 2
    """In `StepResult`: the host was silent beyond the lease, so the outputs had been closed."""
    TRIAL = 4
    """In `StepResult`: the module is on trial; its outputs are closed whatever it says."""
    ROLLED_BACK = 8
    """In `StepResult`, once: the module before is in use again, and is what has run."""


class BirthFlag(IntFlag):
    """What state the guest is in, and what the device takes."""

    INSTALLED = 1
    STARTED = 2
    STOPPED = 4
    """By a trap."""
    COMMAND = 8
    """It exports `main`, and not `step`."""
    HEARTBEAT = 16
    """The device takes `Heartbeat`."""
    UPDATES = 32
    """The device takes `InstallTrial` and all that belongs to it."""
    TRIAL = 64
    """A module waits for its trial, or is on it."""


# --- requests: host to device -------------------------------------------------------------------


@message_type(0x01)
class Hello(Message):
    """Begin a session.  Always executed; the guest is not touched.  Answer: `Birth`."""

    session: U32
    """Any number; the answer repeats it, so that an answer to an older HELLO is recognised."""


@message_type(0x02)
class Configure(Message):
    """Who the node is and what its guest may use; in force at once.  Answer: `Ack`."""

    node: Text32
    """The guest publishes to `<prefix><node>/...` only."""
    prefix: Text16
    counts: I32x3
    """`get_config`: dry, wet, limit [ADC counts]."""
    imports: U16
    """Bit `Call.X` set: the profile allows the import."""
    pin_count: U8
    """0..16."""
    pins: U8x16
    """Outputs the node has; bit i of every `outputs` is pin i of this list."""
    instructions: U32
    """Budget of one call of the guest, from 1."""
    deadline_ms: U32
    """Time on the clock after which the watchdog restarts the board [ms]; 0: none."""
    memory_pages: U32
    """Linear memory, 1..65536 pages of 64 KiB."""
    host_calls: U32
    """Budget of one run."""
    log_bytes: U32
    """Budget of one run [bytes]."""
    publish_bytes: U32
    """Budget of one run [bytes]."""
    lease_ms: U32
    """Silence of this session's host after which outputs close [ms]; 0: never."""


@message_type(0x03)
class Start(Message):
    """Instantiate the guest and run `init`; `main` waits for a Step.  Answer: `StepResult`."""

    time_ms: I64
    """Virtual time [ms since 1970], less than 2^61 from it; so are all times."""
    flags: U8
    """StartFlag."""
    parameters: Pairs
    """Parameter id and value, set after `init` in this order."""


@message_type(0x04)
class Step(Message):
    """Inject readings and run the guest once.  Answer: `StepResult`."""

    time_ms: I64
    flags: U8
    """StepFlag.ONLINE or 0."""
    readings: I32x4
    """Moisture [counts], temperature [0.01 degC], battery [mV], flow [pulses]; negative: error."""
    uptime_ms: I64
    """Since the guest was started; it does not jump with `time_ms`."""
    further: Pairs = ()
    """Kind and value of what else the node can read: rain, forecast, reference ET; a kind that is
    not named is unavailable."""


@message_type(0x05)
class ReadTape(Message):
    """Records of the last Start, Step or Calibrate that did not fit its answer.  Answer: `Tape`."""

    offset: U32


@message_type(0x06)
class Calibrate(Message):
    """Set parameters, all or none, between steps.  Answer: `Calibrated`."""

    flags: U8
    """1: keep them in the store, so that they hold after a reset."""
    parameters: Pairs


@message_type(0x07)
class GetParameter(Message):
    """Read a parameter back from guest memory.  Answer: `Parameter`."""

    id: I32


@message_type(0x0B)
class Reset(Message):
    """Restart the device.  Answer: `Ack`, before it does."""


@message_type(0x0C)
class Ping(Message):
    """Answer: `Pong` with the same bytes."""

    data: Rest


@message_type(0x0D)
class Close(Message):
    """Outputs close, the guest is unloaded.  Answer: `Ack`; 1: the lease had ended before."""


@message_type(0x0E)
class GetTelemetry(Message):
    """Oldest publication that is not acknowledged.  Answer: `Telemetry`."""


@message_type(0x0F)
class TelemetryAck(Message):
    """All publications of that boot up to that sequence number are stored.  Answer: `Ack`."""

    boot_id: U32
    sequence: U32


@message_type(0x11)
class GetStatistics(Message):
    """Answer: `Statistics`."""


@message_type(0x12)
class Heartbeat(Message):
    """The host lives: renews the lease of its session.  Outside the numbering; no answer."""

    session: U32
    """Of the HELLO; another one is ignored."""


# --- answers: device to host --------------------------------------------------------------------


@message_type(0x80)
class Ack(Message):
    """Done."""

    value: U32
    """Depends on the request; 0 if it says nothing."""


@message_type(0x81)
class Nak(Message):
    """Refused, without effect."""

    error: U8
    """NakError."""
    request: U8
    """Type of the request."""
    detail: I32


@message_type(0x82)
class Birth(Message):
    """Who the device is."""

    session: U32
    """Of the HELLO."""
    boot_id: U32
    """Counts the starts of this device, from a random number where its flash was empty."""
    abi_version: U8
    flags: U8
    """BirthFlag."""
    reset_reason: U8
    """ResetReason."""
    slot: U8
    """Guest slot in use, 0 or 1."""
    max_body: U16
    guest_bytes: U32
    """Size of the installed module."""
    slot_bytes: U32
    """Largest module the device takes."""
    guest_sha256: Sha256
    engine: Text24
    firmware: Text24


@message_type(0x83)
class StepResult(Message):
    """What Start or Step did."""

    trap: U8
    """TrapKind; not 0: the guest is stopped and the outputs are closed."""
    trap_call: U8
    """Call that stopped the guest, 0 if none did."""
    flags: U8
    """StepFlag."""
    outputs: U16
    """Bit i: state of pin i of the pin list."""
    ever_set: U16
    """Bit i: the guest has set pin i since it was started."""
    wake_ms: I64
    """Virtual time at which the guest wants to run again [ms since 1970]; 2^62: never."""
    host_calls: U32
    active_us: U32
    """Time the guest ran, by the device's clock [us]; 0 if it has none."""
    tape_bytes: U32
    """Length of the tape of this run; what is not in `tape` is read with ReadTape."""
    tape: Rest


@message_type(0x84)
class Tape(Message):
    """Part of the tape."""

    offset: U32
    tape: Rest


@message_type(0x85)
class Calibrated(Message):
    """Values in force, read back from guest memory."""

    tape_bytes: U32
    """Length of the tape of this request, to be read with ReadTape."""
    parameters: Pairs


@message_type(0x86)
class Parameter(Message):
    """A parameter as the guest has it."""

    id: I32
    value: I32


@message_type(0x87)
class Pong(Message):
    """The bytes of the Ping."""

    data: Rest


@message_type(0x88)
class Telemetry(Message):
    """A publication of the guest that is not acknowledged yet."""

    boot_id: U32
    sequence: U32
    """From 1; 0: nothing is waiting."""
    time_ms: I64
    waiting: U16
    """Publications in the ring."""
    dropped: U32
    """Publications of this boot that were overwritten before they were acknowledged."""
    topic_bytes: U8
    payload: Rest
    """Topic, then message."""


@message_type(0x89)
class Statistics(Message):
    """Counters since the start of the device."""

    frames: U32
    """Requests received undamaged."""
    bad_frames: U32
    """Runs between zeros that were no frame, or a damaged one."""
    repeats: U32
    """Requests answered from the stored answer."""
    steps: U32
    host_calls: U32
    publish_bytes: U32
    active_us: U64
    """Time the guest ran [us]."""
    open_ms: U64
    """Virtual time that output 0, the valve, was open [ms]."""
    flash_writes: U32
    stack_bytes: U32
    """Deepest stack seen; 0 if unknown."""
