"""Payloads of devices that speak otherwise, by declaration: the `[[mapping]]` tables.

    [[mapping]]
    topic = "tele/+/SENSOR"        # `+` is the name of the node

    [[mapping.field]]
    signal = "raw"
    pointer = "/ANALOG/A0"
    unit = "counts"

`levada.sim.scenario.mapped` reads payloads by such tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from jsonpointer import JsonPointer, JsonPointerException
from pydantic import BeforeValidator, Field

from levada.guest.topic import is_node_name
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.diagnostics import Issue
from levada.sim.scenario.mapped import CONVERSIONS, read
from levada.sim.scenario.soil import as_tuple

__all__ = ["SIGNAL_UNITS", "FieldMapping", "PayloadMapping"]

Unit = Literal[
    "",
    "counts",
    "%",
    "ratio",
    "degC",
    "0.01 degC",
    "degF",
    "K",
    "mV",
    "V",
    "pulses",
    "L/min",
    "m3/h",
    "mm",
    "in",
    "kPa",
    "cbar",
    "hPa",
]
assert set(CONVERSIONS) == set(Unit.__args__)  # type: ignore[attr-defined]

SIGNAL_UNITS: Final[Mapping[str, str]] = {
    "raw": "counts",
    "pct": "%",
    "irrigar": "",
    "flow": "pulses",
    "temp_c": "degC",
    "battery_mv": "mV",
}
"""Signals that the twin knows, with their units in the store."""


class FieldMapping(Table):
    """Where one signal stands in the payload."""

    signal: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
    """Name in the store; `raw`, `pct`, `irrigar`, `flow`, `temp_c` and `battery_mv` are known."""
    pointer: str = Field(max_length=200)
    """JSON pointer to the value, such as `/ANALOG/A0`; `""` is the whole payload, which may then be
    a bare number or text."""
    unit: Unit = ""
    """Unit of the payload's value."""
    scale: float = 1.0
    """Multiplies the payload's value."""
    offset: float = 0.0
    """Added after scaling, in `unit`."""
    values: Annotated[dict[str, float], Field(max_length=64)] = {}  # noqa: RUF012 - pydantic copies it
    """Numbers that texts of the payload stand for, such as `{ ON = 1, OFF = 0 }`."""
    required: bool = False
    """Whether a payload without it, or with something that is no number, is refused; else the
    signal is left out."""

    def troubles(self) -> Iterator[Issue]:
        """A pointer as RFC 6901 has it, and a value that tells something."""
        if self.scale == 0.0:
            yield Issue(("scale",), "`scale` = 0: the payload's value would have no effect")
        known = SIGNAL_UNITS.get(self.signal)
        if self.unit and known is not None and CONVERSIONS[self.unit][0] != known:
            fitting = [f'"{unit}"' for unit, (to, _, _) in CONVERSIONS.items() if to == known]
            yield Issue(
                ("unit",),
                f'`unit` = "{self.unit}": `{self.signal}` is kept in {known or "no unit"}',
                f"allowed: {', '.join(fitting)}, or a signal with another name",
            )
        try:
            JsonPointer(self.pointer)
        except JsonPointerException:
            yield Issue(
                ("pointer",), f"`pointer` = {self.pointer!r}: must be a JSON pointer such as /a/0/b"
            )


class PayloadMapping(Table):
    """Payloads of one kind of device, made into signals of a twin with --shadow."""

    topic: str = Field(min_length=1, max_length=200)
    """Topic of the payloads; one level may be `+`, which is the name of the node."""
    node: str = ""
    """Name of the node, if the topic does not hold it."""
    field: Annotated[
        tuple[FieldMapping, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=64)
    ]
    """`[[mapping.field]]`: where each signal stands."""
    example: str | None = Field(default=None, max_length=65_536)
    """A payload as the device sends it; `levada lint` reads it by this table and says which field
    finds no number in it."""

    def covers(self, other: PayloadMapping) -> bool:
        """Whether every topic of the other table is one of this, too."""
        ours, theirs = self.topic.split("/"), other.topic.split("/")
        return len(ours) == len(theirs) and all(
            level in ("+", theirs[i]) for i, level in enumerate(ours)
        )

    def troubles(self) -> Iterator[Issue]:
        """One name for the node, no signal twice."""
        levels = self.topic.split("/")
        plus = levels.count("+")
        if "#" in self.topic or any("+" in lv and lv != "+" for lv in levels) or plus > 1:
            yield Issue(("topic",), f"`topic` = {self.topic!r}: permitted is one level `+`")
        elif bool(plus) == bool(self.node):
            yield Issue(("topic",), f"`topic` = {self.topic!r}: needs either a level `+` or `node`")
        if self.node and not is_node_name(self.node):
            yield Issue(
                ("node",),
                f"`node` = {self.node!r}: 1 to 64 characters without / + # $ are permitted",
            )
        seen: set[str] = set()
        for number, entry in enumerate(self.field):
            if entry.signal in seen:
                yield Issue(("field", number, "signal"), f"`{entry.signal}` is there twice")
            seen.add(entry.signal)
        if self.example is not None:
            yield from self._misread(self.example.encode())

    def _misread(self, example: bytes) -> Iterator[Issue]:
        """What the example does not hold."""
        try:
            found = read(self.field, example)
        except ValueError as error:
            yield Issue(("example",), f"`example` does not fit the fields: {error}")
            return
        for signal, why in {**found.absent, **found.unusable}.items():
            number = next(i for i, entry in enumerate(self.field) if entry.signal == signal)
            yield Issue(("field", number, "pointer"), f"`{signal}` is not in the example: {why}")
