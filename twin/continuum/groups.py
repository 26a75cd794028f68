"""A group of messages, from telemetry to what is written and acknowledged: fog without threads.

`Groups.prepare` computes, `Groups.commit` writes; an acknowledgement is given after that.  A commit
that fails may be tried again, as often as need be: nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic_core import to_json

from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.twin.continuum.buffer import Buffer, Change, Outgoing, Stream
from levada.twin.continuum.intake import Arrival, Intake, Reason, Taken
from levada.twin.continuum.tier import Tier
from levada.twin.errors import BufferFullError
from levada.twin.mqtt.sequence import MODULUS

__all__ = ["ENVELOPE_BYTES", "Group", "Groups"]

ENVELOPE_BYTES: Final = 256
"""Room in a message for what stands around its rows."""
_ROWS: Final = 256
"""Of one message."""
_MOST_ROWS_EACH: Final = 4
"""That one message of a node can give: relayed, processed, and two windows that it completes."""

Policy = Literal["stop", "drop-oldest", "fail"]


@dataclass(slots=True)
class Group:
    """Messages that are taken together."""

    taken: Taken
    change: Change
    acks: list[tuple[str, int, int]] = field(default_factory=list)
    """Node, boot, number up to which nothing is missing, modulo 2^32."""
    processed: int = 0
    """Rows that were computed."""


class Groups:
    """Takes groups one after the other into `buffer`."""

    def __init__(
        self, buffer: Buffer, tier: Tier, *, rows: int, full: Policy, own_name: str = ""
    ) -> None:
        self._buffer = buffer
        self._tier = tier
        self._most_rows = rows
        self._full = full
        self._intake = Intake(buffer.life, buffer.nodes(), own_name)
        self.is_full = False
        """Whether nothing is taken for want of room."""

    @property
    def held(self) -> int:
        """Messages that wait until one before them has come."""
        return self._intake.held

    def prepare(self, arrivals: Sequence[Arrival], acknowledged: int, now_ms: int) -> Group:
        """Compute what the next commit has to write; `acknowledged` is up to where the cloud has
        all rows.

        Raises BufferFullError where that is the policy.
        """
        kept = self._buffer.kept()
        room = len(arrivals)
        if self._full != "drop-oldest":
            room = max(0, self._most_rows - kept.rows) // _MOST_ROWS_EACH
            self.is_full = room < len(arrivals)
            if room < len(arrivals) + self._intake.held:
                self._intake.forget_early()
            if self.is_full and self._full == "fail":
                raise BufferFullError(
                    f"buffer {self._buffer.file} is full: it holds {kept.rows} rows, permitted are "
                    f'{self._most_rows}, and `buffer_full` = "fail"'
                )
        taken = self._intake.take(arrivals[:room])
        if room < len(arrivals):
            taken.refused[Reason.FULL] += len(arrivals) - room
        drops = self._full == "drop-oldest"
        change = Change(
            lives=taken.lives,
            acknowledged=acknowledged,
            most_rows=self._most_rows if drops else None,
        )
        group = Group(taken, change)
        self._compute(group, now_ms)
        group.acks = [
            (node, boot, life.contiguous % MODULUS)
            for (node, boot), life in taken.lives.items()
            if life.contiguous >= 0  # below, modulo 2^32 it would cover everything
        ]
        return group

    def _compute(self, group: Group, now_ms: int) -> None:
        tier, taken, change = self._tier, group.taken, group.change
        processed: list[dict[str, Any]] = []
        if tier.computes and taken.samples:
            nodes = list(dict.fromkeys(sample.node for sample in taken.samples))
            for node in nodes:
                if not tier.knows(node) and (before := self._buffer.state(node)) is not None:
                    tier.resume(node, *before)
            processed = tier.take(taken.samples)
            change.states = tier.states(nodes)
            change.windows = [
                (node, start_ms, state)
                for node in nodes
                for start_ms, state in tier.window_changes(node)
            ]
        group.processed = len(processed)
        outgoing: list[Outgoing] = []
        first = self._buffer.next
        streams: tuple[tuple[Stream, list[dict[str, Any]]], ...] = (
            ("relayed", taken.rows),
            ("processed", processed),
        )
        for stream, rows in streams:
            for count, payload in _payloads(rows):
                outgoing.append(Outgoing(first, count, stream, now_ms, payload))
                first += count
        change.outgoing = outgoing

    def commit(self, group: Group) -> None:
        """Make a group durable; raises sqlite3.Error, and may then be called again."""
        self._buffer.write(group.change)


def _payloads(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[int, bytes]]:
    """Rows as JSON arrays that each fit into a message, and how many rows each holds."""
    for start in range(0, len(rows), _ROWS):
        yield from _fitting(rows[start : start + _ROWS])


def _fitting(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[int, bytes]]:
    payload = to_json(rows)
    if len(payload) <= MAX_PAYLOAD_BYTES - ENVELOPE_BYTES or len(rows) == 1:
        yield len(rows), payload
        return
    half = len(rows) // 2
    yield from _fitting(rows[:half])
    yield from _fitting(rows[half:])
