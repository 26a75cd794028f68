"""What fog forwards (`Relayed`, `Processed`), as rows of the store.

Fog numbers its rows in one sequence, whichever node they are of, and keeps each until an
acknowledgement covers it.  So no row may hold up those behind it: what cannot be read, or is of a
node that is not expected, takes its number in the store all the same, without signals, and is
refused in words.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from levada.guest.text.json_text import parse
from levada.guest.topic import is_node_name
from levada.hil.errors import PayloadError
from levada.twin.mqtt.messages import (
    Ack,
    Forwarded,
    ForwardedRow,
    M,
    decode,
    validation_text,
)
from levada.twin.mqtt.sequence import MODULUS
from levada.twin.store.rows import Aggregate

__all__ = ["Acknowledgements", "NumberedRow", "aggregates_of", "rows_of"]

_PARTS: Final = {"count": "count", "mean": "mean", "min": "low", "max": "high", "sum": "total"}
"""Ending of a signal of a window -> field of `Aggregate`."""
_REMEMBERED: Final = 256
"""Messages of one fog that wait for their acknowledgement and whose times are remembered."""
_SHOWN: Final = 2_000
"""Characters that are kept of a row that cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberedRow:
    """A row with the number that fog has given it."""

    seq: int
    """Modulo 2^32."""
    row: ForwardedRow | None
    """None: it cannot be read."""
    payload: str
    """As JSON, for the store."""
    wrong: str = ""
    """Why it cannot be read."""


def rows_of(kind: type[Forwarded], payload: bytes) -> tuple[Forwarded, list[NumberedRow]]:
    """What was forwarded together, and each of its rows.

    Raises PayloadError if it cannot be told which rows they are.
    """
    found: list[Any]
    try:
        message = decode(kind, payload)
        found = list(message.rows)
    except PayloadError:
        message, found = _one_by_one(kind, payload)
    return message, [_numbered(part, (message.seq + i) % MODULUS) for i, part in enumerate(found)]


def _one_by_one(kind: type[M], payload: bytes) -> tuple[M, list[Any]]:
    """A message of which some rows cannot be read, and all of them as they came."""
    try:
        data = parse(payload)
    except ValueError:
        data = None
    found = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(found, list) or not found:
        return decode(kind, payload), []  # raises, and says what is wrong
    return decode(kind, json.dumps({**data, "rows": [{"node": "-"}] * len(found)}).encode()), found


def _numbered(part: Any, seq: int) -> NumberedRow:
    try:
        row = ForwardedRow.model_validate(part)
    except ValidationError as error:
        return _unreadable(part, seq, validation_text(error))
    if not is_node_name(row.node):
        return _unreadable(part, seq, f"node {row.node!r}: no node may be called so")
    if row.window_s is not None and row.t is None:
        return _unreadable(part, seq, "t: the row of a window says when it began")
    return NumberedRow(seq=seq, row=row, payload=row.model_dump_json(exclude_none=True))


def _unreadable(part: Any, seq: int, wrong: str) -> NumberedRow:
    as_it_came = part.model_dump(exclude_none=True) if isinstance(part, ForwardedRow) else part
    kept = json.dumps({"refused": wrong, "row": json.dumps(as_it_came)[:_SHOWN]})
    return NumberedRow(seq=seq, row=None, payload=kept, wrong=wrong)


def aggregates_of(row: ForwardedRow, start_ms: int) -> tuple[Aggregate, ...]:
    """What a window's row says of each signal, such as `raw_mean`; empty if it is of no window."""
    if row.window_s is None:
        return ()
    parts: dict[str, dict[str, Any]] = {}
    for name, value in row.signals().items():
        signal, _, ending = name.rpartition("_")
        if signal and ending in _PARTS:
            parts.setdefault(signal, {})[_PARTS[ending]] = value
    for found in parts.values():
        if "count" in found:
            found["count"] = int(found["count"])
    return tuple(
        Aggregate(
            signal=signal,
            start_ms=start_ms,
            length_s=row.window_s,
            revision=row.revision or 0,
            **found,
        )
        for signal, found in sorted(parts.items())
    )


class Acknowledgements:
    """What is told with an acknowledgement, so that fog can compare its clock with ours."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[int, int, int, int]]] = {}
        """Fog -> (boot, last number, sent and received [us]) of its messages."""

    def heard(self, fog: str, message: Forwarded, rows: int, received_us: int) -> None:
        """A message has come, with so many rows."""
        if message.sent_us is not None:
            last = (message.seq + rows - 1) % MODULUS
            with self._lock:
                waiting = self._waiting.setdefault(fog, deque(maxlen=_REMEMBERED))
                waiting.append((message.boot, last, message.sent_us, received_us))

    def make(self, fog: str, boot: int, contiguous: int, sent_us: int) -> Ack:
        """The acknowledgement of everything up to `contiguous`."""
        ack = Ack(boot=boot, seq=contiguous % MODULUS, host=self._host)
        with self._lock:
            waiting = self._waiting.get(fog, deque())
            covered = [m for m in waiting if m[0] == boot and _covers(contiguous, m[1])]
            for message in covered:
                waiting.remove(message)
        if not covered:
            return ack
        _, _, echo_us, received_us = max(covered, key=lambda m: m[3])
        return ack.model_copy(
            update={"echo_us": echo_us, "received_us": received_us, "sent_us": sent_us}
        )


def _covers(contiguous: int, last: int) -> bool:
    return (contiguous - last) % MODULUS < MODULUS // 2
