"""Where an earlier twin on the same store has stopped: what it reported and stored is not
reported and stored again.

A twin of independent devices begins by going through all that they reported, at full speed.  What
it concludes up to where the twin before it had come is in the store; a twin that was killed has
lost what it had not committed, so the alerts that stand are then compared with those of the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from levada.sim.scenario.model import Scenario
from levada.twin.alerts import Active
from levada.twin.store.reads import StoreReader

__all__ = ["NEW", "ResumePoint", "resume_point"]

_MOST: Final = 100_000
"""Alerts of one zone and period that are gone through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumePoint:
    """How far an earlier twin has come with one zone."""

    upto_ms: int = -(1 << 62)
    """Time up to which every conclusion is in the store, in the scenario's time."""
    curve_ms: int = -(1 << 62)
    """Time of the newest row of the twin's own values that is in the store."""
    standing: Mapping[str, Active] = field(default_factory=dict)
    """Alerts that stood then, by kind."""


NEW: Final = ResumePoint()
"""There was no earlier twin, or nothing is left of it to take up."""


def resume_point(reader: StoreReader, zone: str, scenario: Scenario) -> ResumePoint:
    """How far the store's earlier twin has come with a zone in the scenario's period."""
    start_ms, end_ms = scenario.period.start_ms, scenario.period.end_ms
    judged = reader.window(
        zone, "cause", kind="twin", start_ms=start_ms, end_ms=end_ms, max_points=4
    ).time_ms
    decisions, alerts = (
        reader.events(node=zone, kind=kind, start_ms=start_ms, end_ms=end_ms, limit=limit)
        for kind, limit in (("decision", 1), ("alert", _MOST))
    )
    # of a slice, decisions are stored first, then points, then the alerts that its end raises
    curve_ms = max(map(int, judged[-1:]), default=NEW.curve_ms)
    known = [curve_ms, *(int(e["time_ms"]) for e in decisions + alerts)]
    if max(known) == NEW.upto_ms:
        return NEW
    standing: dict[str, Active] = {}
    for event in alerts:
        evidence = event["evidence"]
        kind = evidence["alert"]
        standing.pop(kind, None)
        if evidence["raised"]:
            standing[kind] = Active(
                kind=kind,
                since_ms=event["time_ms"] - evidence["hold_ms"],
                severity=event["severity"],
                text=event["text"],
                cause=evidence["cause"],
            )
    return ResumePoint(upto_ms=max(known), curve_ms=curve_ms, standing=standing)
