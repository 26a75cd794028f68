"""The tape: the exact record of what a guest did, the same bytes from every host.

Little endian; a byte that says which call (`levada.guest.abi.Call`), then:

    STEP          i64 time_ms, u8 entry (0 init, 1 step, 2 main)     start of a run of the guest
    READ_SENSOR   i32 kind, i32 result
    SET_OUTPUT    i32 pin, i32 state
    GET_CONFIG    i32 key, i32 result
    MQTT_PUBLISH  u16 length, topic, u16 length, message, i32 result
    WASM_LOG      u16 length, text
    LOG_INT       i32 value
    DELAY_MS      i32 ms
    NOW_S         i32 result
    UPTIME_S      i32 result
    KEEP_GET      i32 slot, i32 result
    KEEP_SET      i32 slot, i32 value, i32 result
    RETURN        i32 result                                         of init, step or main
    TRAP          u8 kind (`levada.guest.abi.TrapKind`)
    PARAM_SET     i32 id, i32 value, i32 result                      by the host, between runs
    BOOT          i64 time_ms                                        guest instantiated

Pointers are not recorded, what they point to is; so tapes of different engines and builds can be
compared byte by byte.  Texts are bytes as the guest gave them, UTF-8 or not, cut to what a host
call takes.

In a file: a CBOR sequence (RFC 8742), first a map that says what follows, then arrays
`[zone, zlib-compressed records]` in the order of time.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import cbor2

from levada.guest.abi import Call, ConfigKey, ErrorCode, Sensor, TrapKind
from levada.guest.errors import GuestError
from levada.guest.lifecycle import Closing

__all__ = [
    "RECORD_BYTES",
    "Difference",
    "Publication",
    "Record",
    "TapeDigest",
    "TapeError",
    "TapeReader",
    "TapeWriter",
    "encode",
    "first_difference",
    "iter_records",
    "outcome",
    "publications",
    "record_text",
    "stop_text",
    "tape_digest",
]

FORMAT: Final = "levada-tape"
VERSION: Final = 1
MAX_CHUNK_BYTES: Final = 1 << 28
"""The most that one compressed item of a file may unfold to."""

ENTRIES: Final = ("init", "step", "main")

_I32: Final = struct.Struct("<i")
_I32_2: Final = struct.Struct("<ii")
_I32_3: Final = struct.Struct("<iii")
_RUN: Final = struct.Struct("<qB")
_TIME: Final = struct.Struct("<q")
_KIND: Final = struct.Struct("<B")
_LENGTH: Final = struct.Struct("<H")

_FIXED: Final[dict[int, struct.Struct]] = {
    Call.STEP: _RUN,
    Call.READ_SENSOR: _I32_2,
    Call.SET_OUTPUT: _I32_2,
    Call.GET_CONFIG: _I32_2,
    Call.LOG_INT: _I32,
    Call.DELAY_MS: _I32,
    Call.NOW_S: _I32,
    Call.UPTIME_S: _I32,
    Call.KEEP_GET: _I32_2,
    Call.KEEP_SET: _I32_3,
    Call.RETURN: _I32,
    Call.TRAP: _KIND,
    Call.PARAM_SET: _I32_3,
    Call.BOOT: _TIME,
}
RECORD_BYTES: Final = {int(call): 1 + form.size for call, form in _FIXED.items()}
"""Size of each record that has no text."""
_LENGTHS: Final = {c: size for c, size in RECORD_BYTES.items() if c != Call.LOG_INT}
_PUBLISH: Final = int(Call.MQTT_PUBLISH)
_LOG: Final = int(Call.WASM_LOG)
_ZERO: Final = bytes(4)
_CALLS: Final = {int(call): call for call in Call}


class TapeError(GuestError):
    """Bytes that are not a tape."""


class Record(NamedTuple):
    """One record: the call, its arguments and result in the order above, and where it begins."""

    call: Call
    values: tuple[Any, ...]
    offset: int


class Publication(NamedTuple):
    """One `mqtt_publish` of a guest."""

    time_ms: int
    """When the run began that published."""
    topic: bytes
    message: bytes
    result: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Where two tapes part."""

    run: int
    """Runs of the guest (init, step, main) that began before the difference, less one: the index
    of the run with the difference; -1 before the first."""
    time_ms: int | None
    """Virtual time of that run [ms since 1970]."""
    call: int
    """Index of the record within the run, 0 for the record that starts it."""
    left: str | None
    """The record on the first tape; None if it has ended."""
    right: str | None
    """The record on the second tape."""
    context: tuple[str, ...]
    """The records before, the same on both, oldest first."""

    def __str__(self) -> str:
        when = f" at {time_text(self.time_ms)}" if self.time_ms is not None else ""
        return "\n".join(
            (
                f"first difference in run {self.run}{when}, record {self.call}:",
                *(f"    {line}" for line in self.context),
                f"  - {self.left or '(the tape has ended)'}",
                f"  + {self.right or '(the tape has ended)'}",
            )
        )


def encode(call: Call, *values: Any) -> bytes:
    """The bytes of one record.

    >>> encode(Call.READ_SENSOR, 0, 2210).hex()
    '0100000000a2080000'
    """
    head = bytes((call,))
    if call == Call.MQTT_PUBLISH:
        topic, message, result = values
        return head + _text(topic) + _text(message) + _I32.pack(result)
    if call == Call.WASM_LOG:
        (text,) = values
        return head + _text(text)
    return head + _FIXED[call].pack(*values)


def iter_records(tape: bytes, offset: int = 0) -> Iterator[Record]:
    """Every record from a record boundary on; TapeError where the bytes make no sense."""
    size = len(tape)
    while offset < size:
        start = offset
        call = _CALLS.get(tape[offset])
        if call is None:
            raise TapeError(f"byte {start}: unknown record type {tape[offset]}")
        offset += 1
        try:
            fixed = _FIXED.get(call)
            values: tuple[Any, ...]
            if fixed is not None:
                values = fixed.unpack_from(tape, offset)
                offset += fixed.size
            else:
                first, offset = _read_text(tape, offset)
                if call == Call.WASM_LOG:
                    values = (first,)
                else:
                    second, offset = _read_text(tape, offset)
                    values = (first, second, _I32.unpack_from(tape, offset)[0])
                    offset += 4
        except struct.error:
            raise TapeError(f"byte {start}: the tape ends within {call.name}") from None
        yield Record(call, values, start)


def publications(tape: bytes) -> list[Publication]:
    """What the guest published, refused or offline ones too (see `result`)."""
    found = []
    time_ms = 0
    for record in iter_records(tape):
        if record.call == Call.STEP:
            time_ms = record.values[0]
        elif record.call == Call.MQTT_PUBLISH:
            found.append(Publication(time_ms, *record.values))
    return found


def outcome(tape: bytes) -> tuple[list[tuple[str, str]], list[str]]:
    """What was published, as (topic, message), and what was logged."""
    published: list[tuple[str, str]] = []
    logs: list[str] = []
    offset, size = 0, len(tape)
    while offset < size:
        length = _LENGTHS.get(tape[offset])
        if length is not None:  # nearly all of them, so they are not unpacked
            offset += length
            continue
        call = tape[offset]
        if call == _PUBLISH:
            topic, offset = _read_text(tape, offset + 1)
            message, offset = _read_text(tape, offset)
            if tape[offset : offset + 4] == _ZERO:
                published.append((topic.decode(), message.decode()))
            offset += 4
        elif call == _LOG:
            text, offset = _read_text(tape, offset + 1)
            logs.append(text.decode("utf-8", "replace"))
        else:
            record = next(iter_records(tape, offset))
            offset += 5
            logs.append(str(record.values[0]))
    return published, logs


def record_text(record: Record) -> str:
    """One line for people.

    >>> record_text(Record(Call.READ_SENSOR, (0, -2), 0))
    'read_sensor(moisture) -> unavailable'
    """
    call, v = record.call, record.values
    match call:
        case Call.STEP:
            entry = ENTRIES[v[1]] if v[1] < len(ENTRIES) else f"entry {v[1]}"
            return f"{entry} at {time_text(v[0])}"
        case Call.BOOT:
            return f"boot at {time_text(v[0])}"
        case Call.READ_SENSOR:
            return f"read_sensor({_name(Sensor, v[0])}) -> {_result(v[1])}"
        case Call.GET_CONFIG:
            return f"get_config({_name(ConfigKey, v[0])}) -> {_result(v[1])}"
        case Call.SET_OUTPUT:
            return f"set_output({v[0]}, {v[1]})"
        case Call.MQTT_PUBLISH:
            return f"mqtt_publish({_quoted(v[0])}, {_quoted(v[1])}) -> {_result(v[2])}"
        case Call.WASM_LOG:
            return f"wasm_log({_quoted(v[0])})"
        case Call.PARAM_SET:
            return f"param_set({v[0]}, {v[1]}) -> {_result(v[2])}"
        case Call.TRAP:
            return f"trap: {_name(TrapKind, v[0]).replace('_', ' ')}"
        case Call.RETURN:
            return f"return {v[0]}"
        case Call.NOW_S | Call.UPTIME_S:
            return f"{call.name.lower()}() -> {v[0]}"
        case Call.KEEP_GET:  # any number may have been kept, so none is a name
            return f"keep_get({v[0]}) -> {v[1]}"
        case Call.KEEP_SET:
            return f"keep_set({v[0]}, {v[1]}) -> {_result(v[2])}"
        case _:
            return f"{call.name.lower()}({v[0]})"


def stop_text(tape: bytes, trap: TrapKind) -> str:
    """Which function of the guest a trap has stopped, as the tape of that run tells it, and why."""
    function, returned = "step", ""
    for record in iter_records(tape):
        if record.call == Call.STEP and record.values[1] < len(ENTRIES):
            function = ENTRIES[record.values[1]]
        elif record.call == Call.RETURN and trap == TrapKind.GUEST_FAULT:
            returned = f" ({function} returned {record.values[0]})"
    return f"guest stopped in {function}: {_name(TrapKind, trap).replace('_', ' ')}{returned}"


def time_text(time_ms: int) -> str:
    """Virtual time as ISO 8601, to the millisecond where there are any."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    except OverflowError:
        return f"{time_ms} ms"
    fine = "milliseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=fine)


def first_difference(left: bytes, right: bytes, *, context: int = 3) -> Difference | None:
    """Where two tapes of one guest part, or None if they are equal."""
    at = _common_prefix(left, right)
    if at == len(left) == len(right):
        return None
    run, time_ms, call = -1, None, -1
    before: list[Record] = []
    first: Record | None = None
    for record in iter_records(left):
        # The record that holds the first different byte: the last one that begins at or before.
        if record.offset > at:
            break
        if first is not None:
            before.append(first)
            del before[: -max(context, 1)]
        first = record
        if record.call == Call.STEP:
            run, time_ms, call = run + 1, record.values[0], 0
        else:
            call += 1
    boundary = first.offset if first is not None else 0
    if first is not None and boundary + len(encode(first.call, *first.values)) <= at:
        # The left tape has ended here; the difference is what the right one has more.
        before.append(first)
        first, boundary, call = None, at, call + 1
    second = next(iter_records(right, boundary), None)
    if first is None and second is not None and second.call == Call.STEP:
        run, time_ms, call = run + 1, second.values[0], 0
    return Difference(
        run=run,
        time_ms=time_ms,
        call=max(call, 0),
        left=record_text(first) if first is not None else None,
        right=record_text(second) if second is not None else None,
        context=tuple(record_text(r) for r in (before[-context:] if context else [])),
    )


class TapeDigest:
    """SHA-256 over the zone digests in order; a zone digest is that of its record bytes."""

    def __init__(self, zones: int) -> None:
        self._zones = [hashlib.sha256() for _ in range(zones)]

    def update(self, zone: int, records: bytes) -> None:
        """Add the next records of a zone."""
        self._zones[zone].update(records)

    def hexdigest(self) -> str:
        """The digest so far."""
        return hashlib.sha256(b"".join(z.digest() for z in self._zones)).hexdigest()


def tape_digest(tapes: Iterable[bytes]) -> str:
    """The digest of whole tapes, one a zone."""
    inner = b"".join(hashlib.sha256(tape).digest() for tape in tapes)
    return hashlib.sha256(inner).hexdigest()


class TapeWriter(Closing):
    """Writes `tape.cbor` and keeps its digest; readable at any moment up to the last `add`."""

    def __init__(
        self, path: Path, *, guest_sha256: str, zones: Sequence[str], start_ms: int
    ) -> None:
        self.digest = TapeDigest(len(zones))
        self._file: BinaryIO = path.open("wb")
        cbor2.dump(
            {
                "format": FORMAT,
                "version": VERSION,
                "guest_sha256": guest_sha256,
                "zones": list(zones),
                "start_ms": start_ms,
            },
            self._file,
        )

    def add(self, zone: int, records: bytes) -> None:
        """Append the next records of a zone."""
        if records:
            self.digest.update(zone, records)
            cbor2.dump([zone, zlib.compress(records, 1)], self._file)
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TapeReader:
    """Reads `tape.cbor`; a last item that was cut off is left out and `truncated` is set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truncated = False
        with path.open("rb") as file:
            try:
                head = cbor2.load(file)
            except (cbor2.CBORDecodeError, ValueError, RecursionError) as error:
                raise TapeError(f"{path}: not a tape: {error}") from None
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise TapeError(f"{path}: not a tape: the first item is no {FORMAT} header")
        if head.get("version") != VERSION:
            raise TapeError(f"{path}: tape version {head.get('version')}: only {VERSION} is known")
        try:
            self.guest_sha256 = str(head["guest_sha256"])
            self.zones = tuple(str(name) for name in head["zones"])
            self.start_ms = int(head["start_ms"])
        except (KeyError, TypeError, ValueError) as error:
            raise TapeError(f"{path}: incomplete header: {error!r}") from None

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """(zone, records) in the order they were added."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            decoder = cbor2.CBORDecoder(file)
            decoder.decode()
            while (start := file.tell()) < size:
                try:
                    item = decoder.decode()
                except cbor2.CBORDecodeEOF:
                    self.truncated = True
                    return
                except (cbor2.CBORDecodeError, ValueError, RecursionError) as error:
                    raise TapeError(f"{self.path}: damaged at byte {start}: {error}") from None
                yield self._chunk(item)

    def _chunk(self, item: object) -> tuple[int, bytes]:
        match item:
            case [int(zone), bytes(packed)] if 0 <= zone < len(self.zones):
                unpacker = zlib.decompressobj()
                try:
                    records = unpacker.decompress(packed, MAX_CHUNK_BYTES)
                except zlib.error as error:
                    raise TapeError(f"{self.path}: damaged records: {error}") from None
                if not unpacker.eof:
                    raise TapeError(f"{self.path}: damaged or overlong records of zone {zone}")
                return zone, records
        raise TapeError(f"{self.path}: an item is not [zone, records]")

    def tapes(self) -> list[bytes]:
        """The whole tape of every zone."""
        parts: list[list[bytes]] = [[] for _ in self.zones]
        for zone, records in self.chunks():
            parts[zone].append(records)
        return [b"".join(p) for p in parts]


def _text(text: bytes) -> bytes:
    return _LENGTH.pack(len(text)) + text


def _read_text(tape: bytes, offset: int) -> tuple[bytes, int]:
    (size,) = _LENGTH.unpack_from(tape, offset)
    offset += 2
    if offset + size > len(tape):
        raise struct.error
    return tape[offset : offset + size], offset + size


def _common_prefix(left: bytes, right: bytes) -> int:
    """Length of the common prefix, by halving: comparing slices runs in C."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _name(names: Any, value: int) -> str:
    try:
        return str(names(value).name).lower()
    except ValueError:
        return str(value)


def _result(value: int) -> str:
    return _name(ErrorCode, value) if value < 0 else str(value)


def _quoted(text: bytes) -> str:
    escaped = text.decode("utf-8", "replace").encode("unicode_escape").decode().replace('"', '\\"')
    return f'"{escaped}"'
