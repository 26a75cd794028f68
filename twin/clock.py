"""The clock of a twin: at full speed up to a moment, then at the speed that was asked for."""

from __future__ import annotations

from typing import Final

from levada.sim.run.clock import WallClock

__all__ = ["ATTENTION_S", "FULL_SPEED", "LONGEST_S", "PacedClock"]

FULL_SPEED: Final = 1e9
"""Simulated seconds a second, more than any computer can pass."""
ATTENTION_S: Final = 0.2
"""Wall-clock time between two looks at what other threads want."""
LONGEST_S: Final = 600.0
"""Simulated time between two such looks at most, at whatever speed."""


class PacedClock(WallClock):
    """A clock that passes its first `skip_s` [simulated s] at full speed, then keeps to `speed`.

    `speed` is in simulated seconds a second; None means full speed all the way.
    """

    def __init__(self, speed: float | None, *, skip_s: float = 0.0) -> None:
        self.speed = speed or FULL_SPEED
        self._skip_s = skip_s
        super().__init__(factor=FULL_SPEED if skip_s > 0 else self.speed, tolerance_s=1.0)

    @classmethod
    def skipping(cls, speed: float | None, start_ms: int, skip_to_ms: int | None) -> PacedClock:
        """A clock that starts at `start_ms` and skips what is before `skip_to_ms`, if given."""
        return cls(speed, skip_s=0.0 if skip_to_ms is None else (skip_to_ms - start_ms) / 1000.0)

    def keep_pace(self) -> float:
        """Set the pace; the time until that is to be done again [simulated s]."""
        if self._skip_s > 0 and self.now >= self._skip_s:
            self._skip_s = 0.0
            self.pace(self.speed)
        return min(max(1.0, round(ATTENTION_S * self.factor)), LONGEST_S)
