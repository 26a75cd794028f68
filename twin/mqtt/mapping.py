"""Payloads of other devices made into signals, as the scenario's `[[mapping]]` tables say.

The result is the pointer's value x scale + offset, converted to the unit of the store; the tables
themselves are in `levada.sim.scenario.mapping`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from levada.guest.text.json_text import parse
from levada.guest.topic import is_node_name
from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.sim.scenario.mapping import (
    CONVERSIONS,
    SIGNAL_UNITS,
    FieldMapping,
    PayloadMapping,
)
from levada.twin.errors import MappingError

__all__ = ["PayloadMap", "convert", "resolve_pointer"]

_MISSING: Final = object()
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ABSENT: Final = (None, "")


def resolve_pointer(document: Any, pointer: str) -> Any:
    """Value at a JSON pointer (RFC 6901); raises MappingError if there is none."""
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        found: Any = _MISSING
        if isinstance(value, dict):
            found = value.get(key, _MISSING)
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,8}", key):
            found = value[int(key)] if int(key) < len(value) else _MISSING
        if found is _MISSING:
            raise MappingError(f"payload has nothing at {pointer}")
        value = found
    return value


def convert(entry: FieldMapping, value: Any) -> float:
    """A value of the payload in the unit of the store; raises MappingError."""
    if isinstance(value, str):
        value = _number(entry, value)
    if not isinstance(value, bool | int | float):
        raise MappingError(f"{entry.pointer} holds a {type(value).__name__}: not a number")
    _, factor, shift = CONVERSIONS[entry.unit]
    try:
        result = (float(value) * entry.scale + entry.offset) * factor + shift
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise MappingError(f"{entry.pointer}: not a finite number")
    return result


def _number(entry: FieldMapping, words: str) -> float:
    if words in entry.values:
        return entry.values[words]
    if not _NUMBER.fullmatch(words.strip()):
        known = f"neither a number nor one of {', '.join(entry.values)}"
        raise MappingError(
            f"{entry.pointer} = {words[:40]!r}: {known if entry.values else 'not a number'}"
        )
    return float(words)


class PayloadMap:
    """Applies one table.

    What a payload lacks, or has as `null` or as an empty text, is left out.  Of anything else that
    is no number, `left_out` counts how often a signal was left out for it.
    """

    def __init__(self, table: PayloadMapping) -> None:
        self.table = table
        self.left_out: Counter[str] = Counter()
        levels = table.topic.split("/")
        self._pattern = re.compile(
            "/".join("([^/]+)" if lv == "+" else re.escape(lv) for lv in levels)
        )

    def node_of(self, topic: str) -> str | None:
        """Name of the node if `topic` is of this kind."""
        match = self._pattern.fullmatch(topic)
        if match is None:
            return None
        name = self.table.node or match[1]
        return name if is_node_name(name) else None

    def units(self) -> Mapping[str, str]:
        """Signal -> unit in the store."""
        return {
            entry.signal: CONVERSIONS[entry.unit][0] or SIGNAL_UNITS.get(entry.signal, "")
            for entry in self.table.field
        }

    def apply(self, payload: bytes) -> dict[str, float]:
        """Signals of a payload.

        Raises MappingError if it holds none of them, or not all that are required.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MappingError(f"payload of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES}")
        try:
            document = parse(payload)
        except ValueError:  # UnicodeDecodeError is one
            raise MappingError("payload is no JSON") from None
        found: dict[str, float] = {}
        unusable: list[str] = []
        for entry in self.table.field:
            try:
                value = resolve_pointer(document, entry.pointer)
                if value in _ABSENT and value not in entry.values:
                    raise MappingError(f"payload has {json.dumps(value)} at {entry.pointer}")
            except MappingError:
                if entry.required:
                    raise
                continue
            try:
                found[entry.signal] = convert(entry, value)
            except MappingError:
                if entry.required:
                    raise
                unusable.append(entry.signal)
        self.left_out.update(unusable)
        if not found:
            raise MappingError("payload holds none of the mapped values as a number")
        return found
