"""Payloads of other devices, mapped by declaration: where a value stands, its unit, its scale.

    [[mapping]]
    topic = "tele/+/SENSOR"                  # `+` is the name of the node
    [mapping.fields]
    raw = { pointer = "/ANALOG/A0", unit = "counts" }
    temp_c = { pointer = "/DS18B20/Temperature", unit = "degF" }
    battery_mv = { pointer = "/battery", unit = "V" }

A pointer is a JSON pointer (RFC 6901).  The result is pointer's value x scale + offset, converted
from `unit` to the unit of the store.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twin.errors import MappingError, PayloadError
from twin.messages import MAX_PAYLOAD_BYTES, check_node

__all__ = ["CONVERSIONS", "FieldMap", "PayloadMap", "resolve_pointer"]

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

_MISSING: Final = object()
_ESCAPE: Final = re.compile(r"~(?![01])")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


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


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldMap:
    """Where one signal stands."""

    pointer: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    """Added after scaling, in `unit`."""
    required: bool = False
    """Whether a payload without it is refused; else the signal is left out."""

    def __post_init__(self) -> None:
        if (self.pointer and not self.pointer.startswith("/")) or _ESCAPE.search(self.pointer):
            raise MappingError(f"pointer {self.pointer!r}: must be a JSON pointer such as /a/0/b")
        if self.unit not in CONVERSIONS:
            raise MappingError(
                f"unit {self.unit!r}: permitted {', '.join(u for u in CONVERSIONS if u)}"
            )
        if not (math.isfinite(self.scale) and math.isfinite(self.offset)):
            raise MappingError(f"scale {self.scale} and offset {self.offset}: must be finite")

    def convert(self, value: Any) -> float:
        """A value of the payload in the unit of the store; raises MappingError."""
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise MappingError(f"{self.pointer} = {value[:40]!r}: not a number") from None
        if not isinstance(value, bool | int | float):
            raise MappingError(f"{self.pointer} holds a {type(value).__name__}: not a number")
        _, factor, shift = CONVERSIONS[self.unit]
        try:
            result = (float(value) * self.scale + self.offset) * factor + shift
        except OverflowError:
            result = math.inf
        if not math.isfinite(result):
            raise MappingError(f"{self.pointer} = {value}: not a finite number")
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadMap:
    """Payloads of one kind of device."""

    topic: str
    """At most one `+`, which is the name of the node."""
    fields: Mapping[str, FieldMap]
    node: str = ""
    """Name of the node, if the topic does not hold it."""
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        levels = self.topic.split("/")
        plus = levels.count("+")
        if "#" in self.topic or any("+" in lv and lv != "+" for lv in levels) or plus > 1:
            raise MappingError(f"topic {self.topic!r}: permitted is one level `+`")
        if bool(plus) == bool(self.node):
            raise MappingError(f"topic {self.topic!r}: needs either a level `+` or `node`")
        if self.node:
            check_node(self.node)
        for name in self.fields:
            if not _NAME.fullmatch(name):
                raise MappingError(f"signal {name!r}: letters, digits, `_`, `.` and `-` permitted")
        if not self.fields:
            raise MappingError(f"topic {self.topic!r}: no fields")
        pattern = "/".join("([^/]+)" if lv == "+" else re.escape(lv) for lv in levels)
        object.__setattr__(self, "_pattern", re.compile(pattern))

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> PayloadMap:
        """From a table of a scenario; raises MappingError that names the key."""
        known = {"topic", "node", "fields"}
        unknown = sorted(set(table) - known)
        if unknown:
            raise MappingError(f"unknown key {unknown[0]!r}: permitted {', '.join(sorted(known))}")
        try:
            fields = {name: FieldMap(**entry) for name, entry in table["fields"].items()}
            return cls(topic=table["topic"], node=table.get("node", ""), fields=fields)
        except KeyError as error:
            raise MappingError(f"key {error.args[0]!r} is missing") from None
        except TypeError as error:
            raise MappingError(f"mapping of {table.get('topic')!r}: {error}") from None

    def node_of(self, topic: str) -> str | None:
        """Name of the node if `topic` is of this kind."""
        match = self._pattern.fullmatch(topic)
        if match is None:
            return None
        if self.node:
            return self.node
        try:
            return check_node(match[1])
        except PayloadError:
            return None

    def units(self) -> dict[str, str]:
        """Signal -> unit in the store."""
        return {name: CONVERSIONS[entry.unit][0] for name, entry in self.fields.items()}

    def apply(self, payload: bytes) -> dict[str, float]:
        """Signals of a payload; raises MappingError if it holds none of them."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MappingError(f"payload of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES}")
        try:
            document = json.loads(payload.decode())
        except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
            raise MappingError("payload is no JSON") from None
        found: dict[str, float] = {}
        for name, entry in self.fields.items():
            try:
                value = resolve_pointer(document, entry.pointer)
            except MappingError:
                if entry.required:
                    raise
                continue
            found[name] = entry.convert(value)
        if not found:
            raise MappingError("payload holds none of the mapped values")
        return found
