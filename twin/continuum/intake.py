"""Telemetry of nodes as fog takes it: read, judged, told apart from what was taken before.

What is read, and what is refused, is what `levada.twin.mqtt.messages.Telemetry` says; here it is
done for thousands of messages a second, without making an object of each.

Of a life of a node messages are taken in the order of their numbers, so that what is computed of
them does not depend on what was lost, late or repeated on the way.  One that comes before its turn
is not acknowledged; it is held in memory until those before it have come, and if there is no room,
or fog ends, the node sends it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from levada.hil.errors import PayloadError
from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.twin.continuum.tier import Sample
from levada.twin.mqtt.messages import (
    U32,
    ForwardedRow,
    Telemetry,
    decode,
    signals_of,
    split_topic,
)
from levada.twin.mqtt.sequence import Received, check_oldest, unwrap
from levada.twin.store.rows import StoreSettings

__all__ = ["Arrival", "Intake", "Reason", "Taken"]

NODES: Final = StoreSettings().nodes
"""Nodes at most; messages of more are refused."""
SIGNALS: Final = StoreSettings().signals
"""Signals of one message that are forwarded at most."""
AHEAD_MS: Final = StoreSettings().ahead_ms
"""How far a node's clock may be ahead and still be believed [ms]."""
UNSET_MS: Final = 1_000_000_000_000
"""September 2001: the time before is that of a clock that nobody has set [ms since 1970]."""
LIVES: Final = 16_384
"""Lives of nodes that are held in memory at most; the others are in the buffer."""
EARLY: Final = 2_000
"""Messages that are held until their turn comes at most; beyond, all of them are forgotten."""
UP_MS: Final = 2**53
_FIELDS: Final = frozenset(ForwardedRow.model_fields)

_Telemetry = TypedDict(  # type: ignore[misc]  # the same fields, without objects
    "_Telemetry",
    {name: get_type_hints(Telemetry, include_extras=True)[name] for name in Telemetry.model_fields},
    total=False,
)
_Telemetry.__pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[attr-defined]
_read: Final = TypeAdapter(_Telemetry).validator.validate_json


class _Numbers(BaseModel):
    """Which message it is, whatever else it says."""

    boot: U32
    seq: U32
    oldest: U32


class _Message(NamedTuple):
    """A message that was read."""

    sample: Sample
    row: dict[str, Any]


class Arrival(NamedTuple):
    """A message as the network thread hands it over."""

    topic: str
    payload: bytes
    received_us: int
    """By fog's monotonic clock [us]."""
    received_ms: int
    """By the clock on the wall [ms since 1970]."""


class Reason(StrEnum):
    """Why a message was not taken."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    FOREIGN = "foreign"
    """On a topic that is none of a node."""
    NAME = "name"
    """Of a node that has fog's own name."""
    WINDOW = "window"
    """Its number is too far ahead of the first missing one."""
    NODES = "nodes"
    """Of more nodes than there may be."""
    FULL = "full"
    """The buffer has no room."""
    OVERRUN = "overrun"
    """Messages come faster than they can be taken."""


@dataclass(slots=True)
class Taken:
    """What a group of messages holds."""

    samples: list[Sample] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of each sample what is relayed, as members of `ForwardedRow`."""
    lives: dict[tuple[str, int], Received] = field(default_factory=dict)
    """Those that a message was of, repetitions included."""
    duplicates: int = 0
    early: int = 0
    """Messages that came before their turn."""
    refused: Counter[Reason] = field(default_factory=Counter)
    malformed: list[tuple[str, str]] = field(default_factory=list)
    """Node, and what is wrong with its message."""


class Intake:
    """Reads messages; `life(node, boot)` is what was taken before of a life that is not in memory,
    `nodes` names the nodes that are known already, `own_name` is the one that none may have."""

    def __init__(
        self,
        life: Callable[[str, int], Received | None],
        nodes: Sequence[str] = (),
        own_name: str = "",
    ) -> None:
        self._stored_life = life
        self._own_name = own_name
        self._lives: dict[tuple[str, int], Received] = {}
        self._nodes: dict[str, str] = {f"ic/{node}/data": node for node in nodes}
        """Topic -> node."""
        self._early: dict[tuple[str, int], dict[int, _Message | None]] = {}
        """Life -> number -> what waits for its turn; None: it could not be read."""
        self.held = 0
        """How many messages that are."""

    def forget_early(self) -> None:
        """Hold nothing any more; the nodes, which have no acknowledgement of it, send it again."""
        self._early.clear()
        self.held = 0

    def take(self, arrivals: Sequence[Arrival]) -> Taken:
        """What is new in `arrivals`, in their order."""
        taken = Taken()
        for arrival in arrivals:
            self._one(arrival, taken)
        if len(self._lives) > LIVES:
            self._lives.clear()  # all are in the buffer by the next time
        return taken

    def _one(self, arrival: Arrival, taken: Taken) -> None:
        node = self._nodes.get(arrival.topic) or self._admit(arrival.topic, taken)
        if node is None:
            return
        try:
            values = _telemetry(arrival.payload)
            boot, seq, oldest = values.get("boot"), values.get("seq"), values.get("oldest")
            if seq is not None and oldest is not None:
                check_oldest(seq, oldest)
        except (PayloadError, ValueError) as error:
            taken.refused[Reason.MALFORMED] += 1
            taken.malformed.append((node, str(error)))
            self._pass_over(node, arrival.payload, taken)
            return
        if boot is None or seq is None or oldest is None:
            _add(taken, _message(node, None, None, values, arrival))
        else:
            message = _message(node, boot, seq, values, arrival)
            self._in_turn((node, boot), seq, oldest, message, taken)

    def _pass_over(self, node: str, payload: bytes, taken: Taken) -> None:
        """A message that cannot be read holds up none behind it, if its number can be."""
        try:
            numbers = _Numbers.model_validate_json(payload)
            check_oldest(numbers.seq, numbers.oldest)
        except ValueError:  # pydantic's is one, too
            return
        self._in_turn((node, numbers.boot), numbers.seq, numbers.oldest, None, taken)

    def _admit(self, topic: str, taken: Taken) -> str | None:
        place = split_topic(topic)
        if place is None or place[1] != "data":
            taken.refused[Reason.FOREIGN] += 1
            return None
        if place[0] == self._own_name:
            taken.refused[Reason.NAME] += 1
            return None
        if len(self._nodes) >= NODES:
            taken.refused[Reason.NODES] += 1
            return None
        self._nodes[topic] = place[0]
        return place[0]

    def _in_turn(
        self, key: tuple[str, int], seq: int, oldest: int, message: _Message | None, taken: Taken
    ) -> None:
        """Take a message, and those that have waited for it; or hold it until its turn comes."""
        life = taken.lives.get(key)
        if life is None:
            life = self._lives.get(key) or self._stored_life(*key)
            life = taken.lives[key] = self._lives[key] = life or Received.before(oldest)
        first = unwrap(oldest, life.contiguous + 1)
        if first > life.contiguous + 1:
            self._release(key, life, taken, given_up=first)
        number = unwrap(seq, life.contiguous + 1)
        if life.has(number):
            taken.duplicates += 1
        elif number <= life.highest + 1:
            _take(number, message, life, taken)
            self._release(key, life, taken)
        elif life.fits(number):
            taken.early += 1
            self._hold(key, number, message)
        else:
            taken.refused[Reason.WINDOW] += 1

    def _hold(self, key: tuple[str, int], number: int, message: _Message | None) -> None:
        if self.held >= EARLY:
            self.forget_early()
        early = self._early.setdefault(key, {})
        self.held += number not in early
        early[number] = message

    def _release(
        self, key: tuple[str, int], life: Received, taken: Taken, given_up: int | None = None
    ) -> None:
        """Take what has waited and whose turn it is; nothing is to come below `given_up`."""
        early = self._early.pop(key, {})
        self.held -= len(early)
        if given_up is not None:
            for number in sorted(number for number in early if number < given_up):
                _take(number, early.pop(number), life, taken)
            life.skip(given_up)
        while (number := life.highest + 1) in early:
            _take(number, early.pop(number), life, taken)
        if early:
            self._early[key] = early
            self.held += len(early)


def _take(number: int, message: _Message | None, life: Received, taken: Taken) -> None:
    """It is the turn of a message; one that cannot be read is passed over, not acknowledged."""
    if message is None:
        life.highest = max(life.highest, number)
    else:
        life.add(number)
        _add(taken, message)


def _add(taken: Taken, message: _Message) -> None:
    taken.samples.append(message.sample)
    taken.rows.append(message.row)


def _message(
    node: str, boot: int | None, seq: int | None, values: dict[str, Any], arrival: Arrival
) -> _Message:
    row: dict[str, Any] = {"node": node}
    if boot is not None:
        row["boot"] = boot
        row["seq"] = seq
    told_ms = values.get("t")
    if told_ms is not None:
        row["t"] = told_ms
    signals = signals_of(values)
    up_ms = values.get("up_ms")
    if type(up_ms) is int and 0 <= up_ms <= UP_MS:
        row["up_ms"] = up_ms
    row["received_us"] = arrival.received_us
    if not _FIELDS.isdisjoint(signals) or len(signals) > SIGNALS:
        kept = [name for name in signals if name not in _FIELDS][:SIGNALS]
        signals = {name: signals[name] for name in kept}
    row.update(signals)
    now_ms = arrival.received_ms
    if told_ms is not None and UNSET_MS <= told_ms <= now_ms + AHEAD_MS:
        return _Message(Sample(node, boot, seq, told_ms, signals), row)
    return _Message(Sample(node, boot, seq, now_ms, signals, timed=False), row)


def _telemetry(payload: bytes) -> dict[str, Any]:
    """Members of a message; raises PayloadError that names the first wrong one."""
    if len(payload) <= MAX_PAYLOAD_BYTES:
        try:
            found: dict[str, Any] = _read(payload)
        except ValidationError:
            pass
        else:
            return found
    message = decode(Telemetry, payload)
    raise PayloadError(f"cannot be read: {message!r:.80}")
