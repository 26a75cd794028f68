"""What goes wrong, and when: the `[[fault]]` tables and the timeline they make.

A fault acts on zones from `start` for `duration`.  This module declares faults and says when each
begins and ends; what a stuck probe reads or a leaking valve passes is the business of
`levada.sim.devices.probe`, `levada.sim.devices.valve` and of the nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from levada.guest.text.ranges import format_number
from levada.sim.quantities import Duration, Moment, parse_quantity
from levada.sim.scenario.config_table import Table
from levada.sim.settings.issue import Issue

if TYPE_CHECKING:
    from levada.sim.scenario.model import Period, Scenario

__all__ = [
    "CONTRADICTIONS",
    "FAULTS",
    "Fault",
    "FaultEvent",
    "FaultKind",
    "FaultSpan",
    "Named",
    "Zones",
    "matching",
    "spans",
    "timeline",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultKind:
    """What a kind of fault does and what its magnitude means."""

    effect: str
    units: dict[str, float] | None = None
    """Permitted units of `magnitude` and their factors to what the models take (counts, counts a
    day, shares 0 to 1, seconds, error codes); None: no magnitude."""
    low: float = 0.0
    high: float = 0.0
    """Range of the magnitude, in the first unit."""
    optional: bool = False
    """Whether `magnitude` may be left out."""
    instant: bool = False
    """Whether it happens at once, without a duration."""

    @property
    def unit(self) -> str:
        """The first unit of the magnitude."""
        return next(iter(self.units)) if self.units else ""

    @property
    def permitted(self) -> str:
        """Range of the magnitude with its unit."""
        return f"{format_number(self.low)} to {format_number(self.high)} {self.unit}"


_COUNTS: Final = {"counts": 1.0}
_SHARE: Final = {"%": 0.01}

FAULTS: Final[dict[str, FaultKind]] = {
    "probe-stuck": FaultKind(effect="The probe keeps its last reading."),
    "probe-drift": FaultKind(
        effect="Readings move away steadily from the start of the fault.",
        units={"counts/d": 1.0, "counts/h": 24.0},
        low=-4095,
        high=4095,
    ),
    "probe-spike": FaultKind(
        effect="Every reading is off by the magnitude.", units=_COUNTS, low=-4095, high=4095
    ),
    "probe-open": FaultKind(
        effect="Broken wire: the reading is 4095, or the negative error code given as magnitude.",
        units={"code": 1.0},
        low=-4,
        high=-1,
        optional=True,
    ),
    "valve-stuck-open": FaultKind(effect="The valve is open whatever the node commands."),
    "valve-stuck-closed": FaultKind(effect="The valve is closed whatever the node commands."),
    "valve-leak": FaultKind(
        effect="The closed valve passes this share of its open flow.", units=_SHARE, low=0, high=100
    ),
    "valve-clog": FaultKind(
        effect="The open valve passes less by this share.", units=_SHARE, low=0, high=100
    ),
    "meter-dead": FaultKind(effect="The flow meter gives no pulses, whatever flows."),
    "meter-slip": FaultKind(
        effect="The flow meter counts this share of the water less: worn or dirty.",
        units=_SHARE,
        low=0,
        high=100,
    ),
    "meter-noise": FaultKind(
        effect="The flow meter gives pulses that no water has made: interference on its cable.",
        units={"pulses/min": 1.0, "pulses/h": 1.0 / 60.0},
        low=0,
        high=100_000,
    ),
    "command-loss": FaultKind(
        effect="What the node commands does not reach its valve, which stays as it is until the "
        "next step after the fault, although the link is up."
    ),
    "reboot": FaultKind(effect="The node starts again; its outputs fall to 0.", instant=True),
    "keep-loss": FaultKind(
        effect="The node starts again and finds nothing of what its guest kept (`keep_set`): worn "
        "or erased flash.",
        instant=True,
    ),
    "reinstall": FaultKind(
        effect="The guest is installed again: another module takes its place and gives it back, "
        "the node starts again, and the guest finds nothing of what it kept. Nothing happens to a "
        "node without power.",
        instant=True,
    ),
    "brown-out": FaultKind(
        effect="The node is without power, outputs 0; it boots at the end of the fault."
    ),
    "clock-skew": FaultKind(
        effect="The node's clock is ahead by the magnitude.",
        units={"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0},
        low=-31_622_400,
        high=31_622_400,
    ),
    "clock-unset": FaultKind(
        effect="The node starts again, and its clock begins at 1970; it is set at the end of the "
        "fault."
    ),
    "link-loss": FaultKind(effect="Nothing that the node publishes gets out."),
}
"""Kind -> effect and magnitude."""

CONTRADICTIONS: Final = (
    frozenset({"valve-stuck-open", "valve-stuck-closed"}),
    frozenset({"clock-skew", "clock-unset"}),
)
"""Kinds that cannot act on one zone at the same time."""

Kind = Literal[
    "probe-stuck",
    "probe-drift",
    "probe-spike",
    "probe-open",
    "valve-stuck-open",
    "valve-stuck-closed",
    "valve-leak",
    "valve-clog",
    "meter-dead",
    "meter-slip",
    "meter-noise",
    "command-loss",
    "reboot",
    "keep-loss",
    "reinstall",
    "brown-out",
    "clock-skew",
    "clock-unset",
    "link-loss",
]


def _names(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Zones = Annotated[
    tuple[str, ...],
    BeforeValidator(_names),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Names or patterns of zones."""


class Fault(Table):
    """One thing that goes wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {
                "properties": {
                    "kind": {"enum": [n for n, k in FAULTS.items() if k.units and not k.optional]}
                }
            },
            "then": {"required": ["magnitude"]},
        }
    )

    name: str = Field(default="", max_length=64)
    """How expectations and the report call it; without it, its kind."""
    kind: Kind
    """What goes wrong, see the table of kinds."""
    zones: Zones = ("*",)
    """Names of `[[zone]]` tables or of single zones, or patterns such as `north-*`."""
    start: Moment
    """Local date (and time), or the time since the start of the period: `"12 d 6 h"`."""
    duration: Duration | None = None
    """How long it lasts; without it, to the end of the period."""
    magnitude: str | None = None
    """How strong, a number with its unit: `"-40 counts/d"`, `"30 %"`, `"90 s"`."""

    def troubles(self) -> Iterator[Issue]:
        """Duration and magnitude as the kind has them."""
        kind = FAULTS[self.kind]
        if kind.instant and self.duration is not None:
            yield Issue(("duration",), f"`duration`: a {self.kind} happens at once, leave it out")
        if self.duration is not None and self.duration < timedelta(seconds=1):
            yield Issue(("duration",), "`duration` = 0 s: permitted at least 1 s")
        if kind.units is None:
            if self.magnitude is not None:
                yield Issue(("magnitude",), f"`magnitude`: {self.kind} has none, leave it out")
        elif self.magnitude is not None:
            yield from self._magnitude(self.magnitude, kind, kind.units)
        elif not kind.optional:
            yield Issue((), f"`magnitude` is missing: {self.kind} needs one in {kind.unit}")

    def _magnitude(self, text: str, kind: FaultKind, units: dict[str, float]) -> Iterator[Issue]:
        says = f'`magnitude` = "{text}"'
        try:
            value = parse_quantity(text, units) / units[kind.unit]
        except ValueError as error:
            yield Issue(("magnitude",), f"{says}: {error}")
            return
        if not kind.low <= value <= kind.high:
            yield Issue(("magnitude",), f"{says}: permitted {kind.permitted}")
        elif value == 0.0:
            yield Issue(("magnitude",), f"{says}: changes nothing, leave the fault out")
        elif kind.unit == "code" and not value.is_integer():
            yield Issue(("magnitude",), f"{says}: a code is a whole number")

    @property
    def label(self) -> str:
        """Name, or kind if it has none."""
        return self.name or self.kind

    @property
    def value(self) -> float | None:
        """The magnitude as the models take it, see `FaultKind.units`."""
        units = FAULTS[self.kind].units
        if self.magnitude is None or units is None:
            return None
        return parse_quantity(self.magnitude, units)


class Named(Protocol):
    """What is needed of a zone."""

    @property
    def name(self) -> str:
        """Its own name."""

    @property
    def group(self) -> str:
        """Name of the `[[zone]]` table it came from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultEvent:
    """A fault begins (`active`) or ends in one zone; an instant kind only begins."""

    time_ms: int
    """Virtual time since 1970."""
    zone_index: int
    kind: str
    active: bool
    magnitude: float | None
    """As the models take it, see `FaultKind.units`."""
    fault_index: int
    """Position of the `[[fault]]` table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultSpan:
    """When one fault acts, in ms since 1970; `end_ms` equals `start_ms` for an instant kind."""

    start_ms: int
    end_ms: int
    zones: tuple[int, ...]


def matching(patterns: Sequence[str], zones: Sequence[Named]) -> list[int]:
    """Indices of the zones whose own or table's name fits one of the patterns."""
    return [
        i
        for i, zone in enumerate(zones)
        if any(fnmatchcase(zone.name, p) or fnmatchcase(zone.group, p) for p in patterns)
    ]


def spans(period: Period, faults: Sequence[Fault], zones: Sequence[Named]) -> list[FaultSpan]:
    """When and where each fault acts, in the order of the file; the end is cut at the period's."""
    found = []
    for fault in faults:
        start_ms = period.moment_ms(fault.start)
        end_ms = period.end_ms
        if FAULTS[fault.kind].instant:
            end_ms = start_ms
        elif fault.duration is not None:
            end_ms = min(end_ms, start_ms + round(fault.duration.total_seconds()) * 1000)
        acts_on = tuple(matching(fault.zones, zones))
        found.append(FaultSpan(start_ms=start_ms, end_ms=end_ms, zones=acts_on))
    return found


def timeline(scenario: Scenario, zones: Sequence[Named]) -> list[FaultEvent]:
    """Every beginning and end, sorted by time; at one instant ends come before beginnings.

    A fault that lasts to the end of the period has no end event.
    """
    events = []
    acting = spans(scenario.period, scenario.fault, zones)
    for index, (fault, span) in enumerate(zip(scenario.fault, acting, strict=True)):
        instants = [(span.start_ms, True)]
        if not FAULTS[fault.kind].instant and span.end_ms < scenario.period.end_ms:
            instants.append((span.end_ms, False))
        events += [
            FaultEvent(
                time_ms=time_ms,
                zone_index=zone,
                kind=fault.kind,
                active=active,
                magnitude=fault.value,
                fault_index=index,
            )
            for time_ms, active in instants
            for zone in span.zones
        ]
    return sorted(events, key=lambda e: (e.time_ms, e.active, e.zone_index, e.fault_index))
