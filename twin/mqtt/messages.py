"""What travels over MQTT: the one source of topics and payloads.

`docs/asyncapi.json` is generated from these types (`levada.twin.mqtt.asyncapi`), `docs/mqtt.md`
explains them. Payloads are JSON objects of at most 64 KiB.  Of telemetry, keys that are not known
are kept where they are numbers (they become series of their own); of anything else they are
ignored, so that a newer device can talk to an older twin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from levada.guest.topic import is_node_name
from levada.hil.errors import PayloadError
from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.sequence import Identity, check_oldest

__all__ = [
    "COUNTS",
    "TOPICS",
    "U32",
    "Ack",
    "Alert",
    "Ask",
    "Config",
    "ConfigAck",
    "Forwarded",
    "ForwardedRow",
    "Message",
    "OtaRequest",
    "OtaState",
    "OtaWant",
    "Processed",
    "Relayed",
    "Status",
    "Telemetry",
    "check_node",
    "decode",
    "is_finite",
    "is_signal",
    "node_topic",
    "signals_of",
    "split_topic",
    "validation_text",
]

COUNTS: Final = {"seco": "dry_counts", "molhado": "wet_counts", "limiar": "limit_counts"}
"""Calibration as nodes flashed long ago know it -> parameter of the guest."""
_PREFIX: Final = "ic/"
_SIGNAL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_FORMER: Final = {"umidade": "raw", "seco": "irrigar"}
"""Name in the first generation of devices -> name of the signal."""
_NO_SIGNALS: Final = frozenset({"boot", "seq", "oldest", "t", "up_ms", *_FORMER})

M = TypeVar("M", bound="Message")
U32 = Annotated[int, Field(ge=0, le=0xFFFF_FFFF, strict=True)]
Counts = Annotated[int, Field(ge=-(2**31), le=2**31 - 1, strict=True)]
TimeMs = Annotated[int, Field(ge=-(2**53), le=2**53, strict=True)]
TimeUs = Annotated[int, Field(ge=0, le=2**53, strict=True)]
HostId = Annotated[str, Field(min_length=1, max_length=64)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
TransferId = Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")]
RequestId = Annotated[str, Field(min_length=1, max_length=64)]


class Message(BaseModel):
    """Base of all payloads."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="null")
    topic: ClassVar[str]
    """Topic with `{node}` for the name of the node."""

    def encode(self) -> bytes:
        """JSON without what is not set."""
        return self.model_dump_json(exclude_none=True, by_alias=True).encode()


class Telemetry(Message):
    """What a node measured and decided.

    With `boot`, `seq` and `oldest` the delivery is exactly once: the device repeats a message
    until an `Ack` covers it.  Without them (devices flashed long ago) it is as good as the broker.
    """

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_inf_nan="null")
    topic: ClassVar[str] = "ic/{node}/data"

    boot: U32 | None = None
    """Changes with every start of the device."""
    seq: U32 | None = None
    """Counts the messages of one life from 0 on, modulo 2^32."""
    oldest: U32 | None = None
    """Lowest `seq` of this life that the device still holds."""
    t: TimeMs | None = None
    """Time of the measurement by the device's clock [ms since 1970]."""
    up_ms: int | float | None = None
    """When the device sent it first, by its monotonic clock [ms]; whole, and from 0 on."""
    raw: Counts | None = None
    """Probe reading [counts]; negative: error code."""
    umidade: Counts | None = None
    """The same in the first generation of devices [counts]."""
    pct: Counts | None = None
    """Moisture of the calibrated span [%]."""
    filt: Counts | None = None
    """Filtered probe reading [counts]."""
    irrigar: Annotated[int, Field(ge=0, le=1)] | None = None
    """Valve commanded: 1 open."""
    seco: Annotated[int, Field(ge=0, le=1)] | None = None
    """Dry, hence irrigating, in the first generation of devices."""
    why: Counts | None = None
    """Reason code of the guest, see `docs/abi.md`."""

    @model_validator(mode="after")
    def _has_what_it_sends(self) -> Self:
        if self.seq is not None and self.oldest is not None:
            check_oldest(self.seq, self.oldest)
        return self

    @property
    def identity(self) -> Identity | None:
        """Boot and number; None of a device that does not number its messages."""
        if self.boot is None or self.seq is None or self.oldest is None:
            return None
        return Identity(self.boot, self.seq, self.oldest)

    def signals(self) -> dict[str, float]:
        """All numbers but the identity, by the names of the store."""
        values = {**self.model_dump(exclude_none=True), **(self.model_extra or {})}
        return {name: float(value) for name, value in signals_of(values).items()}


class ForwardedRow(BaseModel):
    """One message of a node as fog forwards it; numbers beside the keys here are its signals.

    A row of `Relayed` holds what the node said; one of `Processed` what was computed from it, or
    from the messages of a window.  Nothing is in it that was not measured or computed from
    measurements.
    """

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_inf_nan="null")

    node: Annotated[str, Field(min_length=1, max_length=64)]
    """The node that measured."""
    boot: U32 | None = None
    """Life of the node in which it measured; None of a device that numbers nothing."""
    seq: U32 | None = None
    """Number of its message in that life."""
    oldest: U32 | None = None
    """Lowest number of that life that the node still held then."""
    t: TimeMs | None = None
    """Time of the measurement, or start of the window, by the node's clock [ms since 1970]."""
    up_ms: TimeUs | None = None
    """When the node sent it first, by its monotonic clock [ms]."""
    received_us: TimeUs | None = None
    """When fog received it, by fog's monotonic clock [us]."""
    window_s: Annotated[int, Field(ge=1, le=31_622_400)] | None = None
    """Length of the window, if the row sums up one [s]."""
    revision: U32 | None = None
    """How often the row of this window was sent before: late messages correct it."""

    def signals(self) -> dict[str, float]:
        """All numbers that are no keys of the row, by the names of the store."""
        return {name: float(value) for name, value in signals_of(self.model_extra or {}).items()}


class Forwarded(Message):
    """Base of what fog forwards: rows of many nodes, numbered by fog itself.

    One sequence runs through all of a fog node's rows, relayed or processed: `seq` is the number
    of the first row here, and those that follow have the next ones.
    """

    boot: U32
    """Changes when fog has lost its buffer, and only then."""
    seq: U32
    """Number of the first row."""
    oldest: U32
    """Lowest number that fog still holds."""
    sent_us: TimeUs | None = None
    """When this was sent, by fog's monotonic clock [us]."""
    echo_us: TimeUs | None = None
    """`sent_us` of the newest `Ack` that fog has heard, by the clock of who sent that,"""
    heard_us: TimeUs | None = None
    """and when fog heard it [us]: four timestamps give the difference of the clocks."""
    rows: Annotated[tuple[ForwardedRow, ...], Field(min_length=1, max_length=1_000)]


class Relayed(Forwarded):
    """Telemetry of nodes as it came: the raw stream."""

    topic: ClassVar[str] = "ic/{node}/relayed"


class Processed(Forwarded):
    """What fog has computed of it, with reference to the raw messages: the filtered stream."""

    topic: ClassVar[str] = "ic/{node}/processed"


class Config(Message):
    """Calibration wanted.

    `seco`, `molhado` and `limiar` are what devices know since long; `set` names any parameter of
    the module.  All or none of the values are taken, between two steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")
    topic: ClassVar[str] = "ic/{node}/config"

    id: RequestId | None = None
    """Comes back in the answer; devices flashed long ago ignore it."""
    seco: Counts | None = None
    """Probe reading in dry soil [counts]."""
    molhado: Counts | None = None
    """Probe reading in wet soil [counts]."""
    limiar: Counts | None = None
    """Reading above which the soil is too dry [counts]."""
    set: dict[str, Counts] | None = None
    """Parameter name -> value, in the parameter's unit."""

    def values(self) -> dict[str, int]:
        """Parameter of the guest -> value wanted."""
        old = {new: getattr(self, name) for name, new in COUNTS.items()}
        return {k: v for k, v in old.items() if v is not None} | (self.set or {})


class ConfigAck(Message):
    """Calibration in force."""

    topic: ClassVar[str] = "ic/{node}/config/ack"

    id: RequestId
    """Of the request."""
    ok: bool
    values: dict[str, Counts] = Field(default_factory=dict)
    """Parameter name -> value read back from the guest's memory."""
    error: Annotated[str, Field(max_length=500)] = ""
    """Why not, if not `ok`."""


class Status(Message):
    """Birth, heartbeat and death of a node."""

    topic: ClassVar[str] = "ic/{node}/status"

    state: Literal["birth", "alive", "death"]
    boot: U32 | None = None
    every_ms: Annotated[int, Field(ge=100, le=86_400_000)] | None = None
    """Heartbeat: a node silent for three of them counts as gone [ms]."""
    guest_sha256: Sha256 | None = None
    guest_name: Annotated[str, Field(max_length=64)] | None = None
    guest_version: Annotated[str, Field(max_length=64)] | None = None
    abi_version: U32 | None = None
    engine: Annotated[str, Field(max_length=64)] | None = None
    firmware: Annotated[str, Field(max_length=64)] | None = None
    counts: tuple[Counts, Counts, Counts] | None = None
    """What `get_config` tells the guest: dry, wet and limit [counts]."""
    parameters: dict[str, Counts] | None = None
    """Parameter name -> value in force, in the parameter's unit."""
    host: HostId | None = None
    """Start of the machine whose monotonic clock it tells times by: equal ids, one clock."""
    buffer_rows: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Of fog: rows that wait for the cloud's acknowledgement,"""
    buffer_limit_rows: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """how many it keeps at most,"""
    dropped_rows: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """and how many it has dropped because it kept too many."""


class Ack(Message):
    """Everything of life `boot` up to `seq` is in the store, durably; the device may forget it."""

    topic: ClassVar[str] = "ic/{node}/ack"

    boot: U32 | None = None
    seq: U32 | None = None
    refused: Annotated[str, Field(max_length=500)] | None = None
    """Instead of `boot` and `seq`: why a message was not taken."""
    echo_us: TimeUs | None = None
    """`sent_us` of the newest message that it covers, by the clock of who sent that,"""
    received_us: TimeUs | None = None
    """when that message was received,"""
    sent_us: TimeUs | None = None
    """and when this was sent, by the monotonic clock of who acknowledges [us]."""
    host: HostId | None = None
    """Start of the machine with that clock, as in `Status`."""


class Alert(Message):
    """Somebody should know."""

    topic: ClassVar[str] = "ic/{node}/alert"

    alert: Annotated[str, Field(min_length=1, max_length=64)]
    """Kind, as in the scenario's `[[alert]]` tables."""
    raised: bool
    """False: it is over."""
    t: TimeMs
    """When, in the twin's time [ms since 1970]."""
    severity: Literal["info", "warning", "error"]
    text: str
    """One sentence for people."""
    evidence: dict[str, Any] = Field(default_factory=dict)
    """What it rests on: values, thresholds, readings, parameters."""


class Ask(Message):
    """Asks a node to say something again; nothing rests on retained messages."""

    topic: ClassVar[str] = "ic/{node}/ask"

    what: Literal["birth"]


class OtaRequest(Message):
    """Asks a node to take another module, to give that up, or to say where it stands.

    The node fetches the bytes itself, with `OtaWant`; a request that is repeated changes nothing.
    """

    topic: ClassVar[str] = "ic/{node}/ota/request"

    id: TransferId
    """Of module and envelope together."""
    action: Literal["install", "abort", "status"]
    attempt: RequestId | None = None
    """Another one tries again what has failed."""
    name: Annotated[str, Field(max_length=64)] = ""
    version: Annotated[str, Field(max_length=64)] = ""
    size: Annotated[int, Field(ge=0, le=1 << 20, strict=True)] = 0
    """Of the module [bytes]."""
    sha256: Sha256 | None = None
    """Of the module."""
    envelope: Annotated[str, Field(max_length=1_024, pattern="^[A-Za-z0-9+/]*={0,2}$")] = ""
    """Signed manifest (base64 of RFC 4648); none: only a node without keys takes it."""
    trial_steps: Annotated[int, Field(ge=0, le=65_535, strict=True)] = 3
    """Steps that the new module must run without fault before it is committed; 0: at once."""
    who: Annotated[str, Field(max_length=64)] = ""
    """Who sends it, for the record."""
    override: Annotated[str, Field(max_length=500)] = ""
    """Why it is sent although the gate has refused it, for the record."""


class OtaWant(Message):
    """A node asks for the next bytes of a module; who has them answers on
    `ic/<node>/ota/chunk/<id>/<offset>` with their CRC-32 (4 bytes, little endian) and the bytes."""

    topic: ClassVar[str] = "ic/{node}/ota/want"

    id: TransferId
    offset: Annotated[int, Field(ge=0, le=1 << 20, strict=True)]
    bytes: Annotated[int, Field(ge=1, le=32_768, strict=True)]


class OtaState(Message):
    """Where the update of a node stands, and which module it runs."""

    topic: ClassVar[str] = "ic/{node}/ota/state"

    id: TransferId | None = None
    """Of the request; None: there was none since the node started."""
    attempt: RequestId | None = None
    """Of the request likewise: a node tells the attempts to install one module apart by it."""
    state: UpdateStage
    received: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    """Bytes that are there,"""
    size: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    """of so many."""
    reason: Annotated[str, Field(max_length=32)] = ""
    """Why it has failed: a code, such as `SIGNATURE`."""
    text: Annotated[str, Field(max_length=500)] = ""
    """The same for people."""
    guest_sha256: Sha256 | None = None
    """Of the module that runs."""
    guest_name: Annotated[str, Field(max_length=64)] | None = None
    guest_version: Annotated[str, Field(max_length=64)] | None = None
    counter: U32 | None = None
    """Of the module that runs: a lower one is refused."""
    nonce: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    """Of this start of the node: a manifest that holds it may bring an older module back."""


TOPICS: Final[dict[str, type[Message]]] = {
    "data": Telemetry,
    "config": Config,
    "config/ack": ConfigAck,
    "status": Status,
    "ack": Ack,
    "ask": Ask,
    "alert": Alert,
    "relayed": Relayed,
    "processed": Processed,
    "ota/request": OtaRequest,
    "ota/want": OtaWant,
    "ota/state": OtaState,
}
"""What follows `ic/<node>/` -> payload; of `relayed` and `processed` the node is a fog node."""


def check_node(name: str) -> str:
    """`name`, if a node may be called so; raises PayloadError."""
    if not is_node_name(name):
        raise PayloadError(
            f"node name {name[:80]!r}: permitted are 1 to 64 characters without / + # $ "
            "and control characters"
        )
    return name


def node_topic(message: type[Message], node: str) -> str:
    """Topic of a message type for one node."""
    return message.topic.format(node=check_node(node)) if "{" in message.topic else message.topic


def split_topic(topic: str) -> tuple[str, str] | None:
    """`ic/<node>/<rest>` -> (node, rest), with `rest` a key of `TOPICS`; None if it is not ours."""
    if not topic.startswith(_PREFIX):
        return None
    node, _, rest = topic[len(_PREFIX) :].partition("/")
    if rest not in TOPICS or not is_node_name(node):
        return None
    return node, rest


def decode(kind: type[M], payload: bytes) -> M:
    """A payload as a message; raises PayloadError that names the first wrong field."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadError(f"payload of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES}")
    try:
        return kind.model_validate_json(payload)
    except ValidationError as error:
        raise PayloadError(validation_text(error)) from None


def validation_text(error: ValidationError) -> str:
    """The first wrong field in words."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "payload"
    return f"{where} = {_shown(first['input'])}: {first['msg']}"


def _shown(value: Any) -> str:
    try:
        return repr(str(value)[:60])
    except ValueError:  # an integer of more than 4,300 digits
        return "a number of thousands of digits"


def signals_of(values: Mapping[str, Any]) -> dict[str, int | float]:
    """The signals of telemetry, as they are: finite numbers under a name that a signal may have.

    Names of the first generation of devices are replaced; identity and time are no signals.
    """
    for old, new in _FORMER.items():
        if old in values:
            values = {new: values[old], **values}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float)
        and name not in _NO_SIGNALS
        and is_signal(name)
        and is_finite(value)
    }


@lru_cache(maxsize=4_096)
def is_signal(name: str) -> bool:
    """Whether a signal may be called so."""
    return _SIGNAL.fullmatch(name) is not None


def is_finite(value: float) -> bool:
    """Whether a number, of any length, is one that a signal may have."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floating-point numbers
        return False
