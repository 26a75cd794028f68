"""Alerts: rules of the scenario with hysteresis, each with its evidence.

A rule knows one value of one zone.  The alert is raised when the value has been bad for as long as
the rule says, and cleared when it is good; between the two thresholds nothing changes.  A value
that is not known (None) changes nothing either: silence is the business of `offline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from levada.guest.text.ranges import format_number
from levada.sim.quantities import say_duration
from levada.sim.scenario.alert import ALERTS, Alert
from levada.sim.scenario.fault import Named, matching

__all__ = ["Active", "Alerts", "Change"]

_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An alert that was raised or cleared."""

    zone: int
    kind: str
    raised: bool
    time_ms: int
    severity: Literal["info", "warning", "error"]
    text: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Active:
    """An alert that was raised and has not been cleared."""

    kind: str
    since_ms: int
    severity: str
    text: str
    cause: str


class _Rule:
    """One rule in one zone."""

    def __init__(self, rule: Alert) -> None:
        self.kind = ALERTS[rule.kind]
        self.rule = rule
        self.raise_at, self.clear_at = rule.thresholds
        self.bad_since_ms: int | None = None
        self.active: Active | None = None

    def update(self, time_ms: int, value: float) -> bool:
        """Whether the alert has to be raised or cleared now."""
        sign = -1.0 if self.kind.falls else 1.0
        if self.active is not None:
            return sign * value <= sign * self.clear_at
        if sign * value < sign * self.raise_at:
            self.bad_since_ms = None
            return False
        if self.bad_since_ms is None:
            self.bad_since_ms = time_ms
        return time_ms - self.bad_since_ms >= self.rule.hold_ms


def _shown(value: float, unit: str) -> str:
    """The value with its unit, durations in the form that all pages have."""
    if unit in _SECONDS:
        return say_duration(value * _SECONDS[unit])
    return f"{format_number(float(f'{value:.3g}'))} {unit}"


class Alerts:
    """The alerts of all zones; without `rules`, every kind with its defaults."""

    def __init__(self, rules: Sequence[Alert], zones: Sequence[Named]) -> None:
        wanted = rules or [Alert.model_validate({"kind": kind}) for kind in ALERTS]
        self._rules: list[dict[str, _Rule]] = [{} for _ in zones]
        for rule in wanted:
            for i in matching(rule.zones, zones):
                self._rules[i][rule.kind] = _Rule(rule)  # the last rule of a kind holds

    def update(
        self,
        zone: int,
        time_ms: int,
        values: Mapping[str, float | None],
        *,
        cause: str,
        evidence: Mapping[str, Any],
    ) -> list[Change]:
        """What changes with these values, by kind; `cause` and `evidence` go with alerts."""
        changes = []
        for kind, rule in self._rules[zone].items():
            value = values.get(kind)
            if value is None or not rule.update(time_ms, value):
                continue
            shown = _shown(value, rule.kind.unit)
            since = rule.active
            raised = since is None
            if since is None:
                text = rule.kind.sentence.format(value=shown)
                text += f". Probable cause: {cause}." if cause else "."
                since_ms = rule.bad_since_ms if rule.bad_since_ms is not None else time_ms
                rule.active = Active(
                    kind=kind,
                    since_ms=since_ms,
                    severity=rule.rule.severity,
                    text=text,
                    cause=cause,
                )
            else:
                lasted = say_duration((time_ms - since.since_ms) / 1000)
                text = f"{rule.kind.name}: over after {lasted}."
                rule.active = None
            rule.bad_since_ms = None
            changes.append(
                Change(
                    zone=zone,
                    kind=kind,
                    raised=raised,
                    time_ms=time_ms,
                    severity=rule.rule.severity if raised else "info",
                    text=text,
                    evidence={
                        "alert": kind,
                        "raised": raised,
                        "value": value,
                        "unit": rule.kind.unit,
                        "raise_at": rule.raise_at,
                        "clear_at": rule.clear_at,
                        "hold_ms": rule.rule.hold_ms,
                        "cause": cause,
                        **evidence,
                    },
                )
            )
        return changes

    def resume(self, zone: int, standing: Mapping[str, Active]) -> None:
        """Go on where an earlier twin stopped, which had reported the alerts `standing` by kind.

        An alert that stands without having been reported is raised with the next bad value.
        """
        for kind, rule in self._rules[zone].items():
            before, rule.active = rule.active, standing.get(kind)
            if before is not None and rule.active is None:
                rule.bad_since_ms = before.since_ms

    def active(self, zone: int) -> list[Active]:
        """Alerts of a zone that were raised and have not been cleared."""
        return [rule.active for rule in self._rules[zone].values() if rule.active is not None]
