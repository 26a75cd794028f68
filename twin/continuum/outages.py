"""When a link is down, in the seconds of whatever clock it runs by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from levada.sim.scenario.continuum import Link
from levada.sim.scenario.model import Period

__all__ = ["Outages"]


@dataclass(frozen=True, slots=True)
class Outages:
    """Times in which a link carries nothing."""

    intervals: tuple[tuple[float, float], ...] = ()
    """Start and end of each [s], the end excluded, sorted; they may overlap."""

    @classmethod
    def of(cls, link: Link, period: Period) -> Self:
        """Those of a link, in simulated seconds since the start of the period."""
        return cls(
            tuple(
                sorted(
                    (
                        start_s := (period.moment_ms(outage.start) - period.start_ms) / 1000.0,
                        start_s + outage.duration.total_seconds(),
                    )
                    for outage in link.outage
                    if outage.duration
                )
            )
        )

    def at_speed(self, speed: float, begin_s: float) -> Outages:
        """The same by a clock that shows `begin_s` at the start of the period.

        In one of its seconds, `speed` simulated seconds pass.
        """
        return Outages(
            tuple((begin_s + start / speed, begin_s + end / speed) for start, end in self.intervals)
        )

    def up_at(self, time_s: float, takes_s: float = 0.0) -> float:
        """From when on, `time_s` or later, the link is up for `takes_s` without a break [s]."""
        for start_s, end_s in self.intervals:
            if time_s < end_s and start_s <= time_s + takes_s:
                time_s = end_s
        return time_s
