"""What a `[[mapping]]` table reads out of a payload.

The value at a JSON pointer (RFC 6901) x scale + offset, converted to the unit of the store.  A
payload that is no JSON is a text, which the empty pointer reads.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jsonpointer import EndOfList, JsonPointer, JsonPointerException

from levada.guest.text.json_text import parse

if TYPE_CHECKING:
    from levada.sim.scenario.mapping import FieldMapping

__all__ = ["CONVERSIONS", "Reading", "at", "convert", "read"]

CONVERSIONS: Final[Mapping[str, tuple[str, float, float]]] = {
    "": ("", 1.0, 0.0),
    "counts": ("counts", 1.0, 0.0),
    "%": ("%", 1.0, 0.0),
    "ratio": ("%", 100.0, 0.0),
    "degC": ("degC", 1.0, 0.0),
    "0.01 degC": ("degC", 0.01, 0.0),
    "degF": ("degC", 5 / 9, -160 / 9),
    "K": ("degC", 1.0, -273.15),
    "mV": ("mV", 1.0, 0.0),
    "V": ("mV", 1000.0, 0.0),
    "pulses": ("pulses", 1.0, 0.0),
    "L/min": ("L/min", 1.0, 0.0),
    "m3/h": ("L/min", 1000 / 60, 0.0),
    "mm": ("mm", 1.0, 0.0),
    "in": ("mm", 25.4, 0.0),
    "kPa": ("kPa", 1.0, 0.0),
    "cbar": ("kPa", 1.0, 0.0),
    "hPa": ("kPa", 0.1, 0.0),
}
"""Unit of a payload -> (unit of the store, factor, offset)."""

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ABSENT: Final = (None, "")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in one payload."""

    signals: dict[str, float] = field(default_factory=dict)
    """Signal -> value in the unit of the store."""
    absent: dict[str, str] = field(default_factory=dict)
    """Signal -> why its value is not there."""
    unusable: dict[str, str] = field(default_factory=dict)
    """Signal -> why its value, which is there, is no number."""


def at(document: Any, pointer: str) -> Any:
    """The value at a JSON pointer; ValueError if there is none."""
    with suppress(JsonPointerException):
        value = JsonPointer(pointer).resolve(document)
        if not isinstance(value, EndOfList):
            return value
    raise ValueError(f"payload has nothing at {pointer}")


def convert(entry: FieldMapping, value: Any) -> float:
    """A value of the payload in the unit of the store; ValueError if it is no number."""
    if isinstance(value, str):
        value = _number(entry, value)
    if not isinstance(value, bool | int | float):
        kind = "a list" if isinstance(value, list) else "an object"
        raise ValueError(f"{_place(entry)} holds {kind}: not a number")
    _, factor, shift = CONVERSIONS[entry.unit]
    try:
        result = (float(value) * entry.scale + entry.offset) * factor + shift
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{_place(entry)}: not a finite number")
    return result


def read(entries: Iterable[FieldMapping], payload: bytes) -> Reading:
    """The signals of a payload.

    ValueError if it is neither JSON nor, where a pointer is empty, text; if it lacks a value that
    is required; or if it holds none of the values as a number.
    """
    fields = tuple(entries)
    document = _document(fields, payload)
    found = Reading()
    for entry in fields:
        try:
            value = at(document, entry.pointer)
            if value in _ABSENT and value not in entry.values:
                raise ValueError(f"{_place(entry)} is {json.dumps(value)}")
        except ValueError as error:
            if entry.required:
                raise
            found.absent[entry.signal] = str(error)
            continue
        try:
            found.signals[entry.signal] = convert(entry, value)
        except ValueError as error:
            if entry.required:
                raise
            found.unusable[entry.signal] = str(error)
    if not found.signals:
        why = next(iter([*found.unusable.values(), *found.absent.values()]))
        raise ValueError(f"payload holds none of the mapped values as a number: {why}")
    return found


def _document(fields: Iterable[FieldMapping], payload: bytes) -> Any:
    try:
        return parse(payload)
    except UnicodeDecodeError:
        raise ValueError("payload is no UTF-8") from None
    except ValueError:
        if any(not entry.pointer for entry in fields):
            return payload.decode().strip()
        raise ValueError("payload is no JSON") from None


def _number(entry: FieldMapping, words: str) -> float:
    if words in entry.values:
        return entry.values[words]
    if not _NUMBER.fullmatch(words.strip()):
        known = f"neither a number nor one of {', '.join(entry.values)}"
        raise ValueError(
            f"{_place(entry)} = {words[:40]!r}: {known if entry.values else 'not a number'}"
        )
    return float(words)


def _place(entry: FieldMapping) -> str:
    return entry.pointer or "the payload"
