"""When somebody must be told: the `[[alert]]` tables of the live twin.

A rule raises its alert when a value has been at or beyond `raise_at` for as long as `hold`, and
clears it when the value has come back to `clear_at`: between the two nothing changes, so a value
that trembles around one threshold does not ring all night.  What the values are is in `ALERTS`;
`levada.twin.alerts` measures them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from pydantic import Field

from levada.guest.text.ranges import format_number
from levada.sim.quantities import Duration
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.fault import Zones
from levada.sim.settings.issue import Issue

__all__ = ["ALERTS", "Alert", "AlertKind"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertKind:
    """What a kind of alert watches."""

    value: str
    """The value, for people."""
    unit: str
    raise_at: float
    clear_at: float
    """Defaults; the alert stands while the value is on the far side of `clear_at`."""
    hold: timedelta
    sentence: str
    """What the alert says; `{value}` is the value with its unit."""
    name: str
    """What it is about, at the start of a sentence."""

    @property
    def falls(self) -> bool:
        """Whether small values are the bad ones."""
        return self.clear_at > self.raise_at


def _kind(
    value: str,
    unit: str,
    raise_at: float,
    clear_at: float,
    hold_min: float,
    sentence: str,
    name: str,
) -> AlertKind:
    hold = timedelta(minutes=hold_min)
    return AlertKind(
        value=value,
        unit=unit,
        raise_at=raise_at,
        clear_at=clear_at,
        hold=hold,
        sentence=sentence,
        name=name,
    )


ALERTS: Final[dict[str, AlertKind]] = {
    "residual": _kind(
        "Difference between the water content that the probe tells and that of the twin",
        "m3/m3",
        0.02,
        0.01,
        60,
        "Probe and twin differ by {value}",
        "Difference between probe and twin",
    ),
    "different-calls": _kind(
        "Steps in a row in which the guest was given equal readings and made different calls",
        "steps",
        1,
        0,
        0,
        "Equal readings, but the guest on the device acted differently: firmware or engine",
        "Different calls on equal readings",
    ),
    "probe-stuck": _kind(
        "Time in which the probe's reading stood still while that of the twin moved",
        "h",
        6,
        0.5,
        0,
        "The probe has not moved for {value} although the soil has",
        "Probe that stood still",
    ),
    "no-flow": _kind(
        "Time commanded open without flow since water last flowed",
        "min",
        5,
        1,
        0,
        "The valve was commanded open, but no water flowed for {value}",
        "No flow while commanded open",
    ),
    "unasked-flow": _kind(
        "Water in one go while the valve was commanded closed",
        "L",
        5,
        0.5,
        0,
        "{value} flowed although the valve was commanded closed",
        "Flow while commanded closed",
    ),
    "offline": _kind(
        "Time since the node was last heard of",
        "min",
        45,
        15,
        0,
        "The node has not been heard of for {value}",
        "Node not heard of",
    ),
    "silence": _kind(
        "Time for which the line of the node has been silent though an answer was due [wall clock]",
        "s",
        4,
        0,
        0,
        "The line of the node has been silent for {value}",
        "Silent line of the node",
    ),
    "budget": _kind(
        "Share of its budget that the guest used in one step; 100 and more: it was stopped",
        "%",
        90,
        80,
        0,
        "The guest used {value} of its budget",
        "Guest near its budget",
    ),
    "stress-forecast": _kind(
        "Time until the crop is stressed if no water comes and it uses as much as yesterday",
        "h",
        12,
        24,
        60,
        "The crop will be stressed in {value} if no water comes",
        "Crop stress ahead",
    ),
}
"""Kind -> what it watches, with its defaults."""

Kind = Literal[
    "residual",
    "different-calls",
    "probe-stuck",
    "no-flow",
    "unasked-flow",
    "offline",
    "silence",
    "budget",
    "stress-forecast",
]


class Alert(Table):
    """A rule of the live twin that tells somebody; without any, every kind has its defaults."""

    kind: Kind
    """What is watched, see the table of kinds."""
    zones: Zones = ("*",)
    """Names of `[[zone]]` tables or of single zones, or patterns such as `north-*`."""
    raise_at: float | None = Field(default=None, ge=0, le=1e6)
    """Value at which the alert is raised, in the unit of the kind."""
    clear_at: float | None = Field(default=None, ge=0, le=1e6)
    """Value at which it is cleared; nothing changes between the two."""
    hold: Duration | None = None
    """How long the value must have been there before the alert is raised."""
    severity: Literal["info", "warning", "error"] = "warning"
    """How loudly it is said."""

    def troubles(self) -> Iterator[Issue]:
        """Two thresholds, on the side that the kind has them."""
        rule = ALERTS[self.kind]
        low, high = self.thresholds
        if (high > low) != rule.falls or high == low:
            side = "above" if rule.falls else "below"
            yield Issue(
                ("clear_at",) if self.clear_at is not None else ("raise_at",),
                f"`clear_at` = {format_number(high)} {rule.unit}: must be {side} "
                f"`raise_at` = {format_number(low)} {rule.unit}",
            )

    @property
    def thresholds(self) -> tuple[float, float]:
        """`raise_at` and `clear_at`, the second in proportion if only the first is given."""
        rule = ALERTS[self.kind]
        at = rule.raise_at if self.raise_at is None else self.raise_at
        if self.clear_at is not None:
            return at, self.clear_at
        return at, rule.clear_at * (at / rule.raise_at)

    @property
    def hold_ms(self) -> int:
        """`hold` [ms]."""
        hold = ALERTS[self.kind].hold if self.hold is None else self.hold
        return round(hold.total_seconds() * 1000)


assert set(ALERTS) == set(Kind.__args__)  # type: ignore[attr-defined]
