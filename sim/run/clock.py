"""The clock: SimPy's environment, or one that keeps to the wall clock.

`WallClock` changes stepping and nothing else, after the pattern of SimPy's own `rt.py`: the same
processes run in both.  A factor of 60 means sixty simulated seconds a second.  Lateness is counted,
and is an error only where the caller sets a bound.
"""

from __future__ import annotations

import re
from math import inf
from time import monotonic, sleep

from simpy import Environment
from simpy.core import EmptySchedule, Infinity

from levada.guest.exit_codes import Exit
from levada.guest.text.ranges import check_range
from levada.sim.errors import SimError

__all__ = ["LateError", "WallClock", "new_clock", "parse_speed"]


class LateError(SimError, RuntimeError):
    """The computer could not keep up: simulated time fell behind the wall clock too far."""

    exit_code = Exit.INTERNAL


class WallClock(Environment):
    """An environment whose time runs at `factor` simulated seconds a wall-clock second.

    `late_s` is the largest lateness seen [wall-clock s], `overruns` the number of events that came
    later than `tolerance_s`.  With `bound_s`, being later than that raises LateError.
    """

    def __init__(
        self,
        initial_time: float = 0,
        *,
        factor: float = 1.0,
        tolerance_s: float = 0.1,
        bound_s: float | None = None,
    ) -> None:
        check_range("factor", factor, 0, None, above=True)
        super().__init__(initial_time)
        self.factor = factor
        self.tolerance_s = tolerance_s
        self.bound_s = bound_s
        self.overruns = 0
        self.late_s = 0.0
        self._origin_s = float(initial_time)
        self._wall_s: float | None = None  # of the first step: what comes before takes no time

    def step(self) -> None:
        """Wait until the next event is due, then process it."""
        due_s = self.peek()
        if due_s is Infinity:
            raise EmptySchedule()
        if self._wall_s is None:
            self._wall_s = monotonic()
        due_wall_s = self._wall_s + (due_s - self._origin_s) / self.factor
        late_s = monotonic() - due_wall_s
        while late_s < 0:
            sleep(-late_s)
            late_s = monotonic() - due_wall_s
        self.late_s = max(self.late_s, late_s)
        if late_s > self.tolerance_s:
            self.overruns += 1
        if self.bound_s is not None and late_s > self.bound_s:
            raise LateError(
                f"{late_s:.3f} s late at simulated second {due_s:.0f}; allowed are {self.bound_s} s"
            )
        super().step()

    def pace(self, factor: float) -> None:
        """Go on at another speed from now; lateness is counted anew."""
        check_range("factor", factor, 0, None, above=True)
        self.factor = factor
        self.overruns = 0
        self.late_s = 0.0
        self._origin_s = self.now
        self._wall_s = monotonic()


def parse_speed(text: str) -> float | None:
    """Simulated seconds a second from `max` (None), `1x` or `60x`; ValueError otherwise."""
    if text == "max":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x", text)
    if match is None or not 0 < float(match[1]) < inf:
        raise ValueError(f"speed {text!r}: must be `max` or a factor such as `1x` or `60x`")
    return float(match[1])


def new_clock(speed: float | None) -> Environment:
    """The plain environment for None, else one that keeps to the wall clock."""
    return Environment() if speed is None else WallClock(factor=speed)
