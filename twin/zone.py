"""What a twin keeps of one zone, and what can be said of it from that alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import numpy as np

from levada.guest.abi import TrapKind
from levada.guest.node import Birth, StepResult
from levada.guest.wasm.node import WasmtimeNode
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.soil.model import FloatArray, Observed
from levada.sim.units import DAY_MS
from levada.twin import signals as values_of
from levada.twin.diagnosis import Diagnoser, Verdict
from levada.twin.observer import StepObservation

__all__ = ["ZoneState"]

LOG_LINES: Final = 200
_FORECAST_H: Final = 20.0
"""A forecast rests on the use of so many hours at least,"""
_FORECAST_MM: Final = 0.5
"""and on so much."""
_BUDGET_TRAPS: Final = frozenset(
    {
        TrapKind.OUT_OF_FUEL,
        TrapKind.DEADLINE,
        TrapKind.HOST_CALLS,
        TrapKind.LOG_BYTES,
        TrapKind.PUBLISH_BYTES,
    }
)


@dataclass(slots=True)
class ZoneState:
    """A zone, as far as the twin has come."""

    config: ZoneConfig
    mirror: WasmtimeNode
    birth: Birth
    comparison: Diagnoser
    parameters: Mapping[str, int]
    """In force on the device, by name."""
    curve: values_of.Curve | None
    """Counts, rising, and the water content for them; None: the probe does not tell it."""
    band: float
    """Difference of water content that noise alone explains [m3/m3]."""
    verdict: Verdict
    device: deque[tuple[int, StepObservation, StepResult]] = field(default_factory=deque)
    """Runs not judged yet: true time, what was seen, what the mirror did."""
    twin: deque[tuple[int, StepObservation]] = field(default_factory=deque)
    last_twin: StepObservation | None = None
    last: StepObservation | None = None
    numbers: Any = field(default_factory=lambda: count(1))
    heard_ms: int = 0
    decided: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """What `device` and `twin` decided last."""
    decision: str = ""
    pct: int | None = None
    dry_since_ms: int | None = None
    """Commanded open without flow: since when, virtual time."""
    unasked_l: float = 0.0
    """Water in one go while commanded closed."""
    still_since_ms: int | None = None
    steps: int = 0
    metered: bool = True
    """Whether anything is known of the water that flowed."""
    water_l: float = 0.0
    day: int = 0
    water_today_l: float = 0.0
    energy_j: float | None = None
    """Of the device, if its plant is simulated here."""
    used_mm: deque[tuple[int, float]] = field(default_factory=deque)
    """Evapotranspiration of the last day, by row."""
    flowed: bool = False
    logs: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    def measure_flow(self, now_ms: int, opened: int, pulses: int, step_ms: int) -> None:
        """Note the flow meter's pulses of a step, at whose start the valve was `opened`."""
        litres = max(pulses, 0) / self.config.valve.pulses_per_l
        if opened and pulses == 0:
            if self.dry_since_ms is None:
                self.dry_since_ms = now_ms - step_ms
        elif pulses > 0:
            self.dry_since_ms = None
        self.unasked_l = self.unasked_l + litres if self.comparison.leaks else 0.0

    def count_water(self, time_ms: int, litres: float) -> None:
        """Add water to the sums of the day and of all."""
        day = time_ms // DAY_MS
        if day != self.day:
            self.day, self.water_today_l = day, 0.0
        self.water_l += litres
        self.water_today_l += litres

    def use(self, time_ms: int, et_mm: float) -> None:
        """Note evapotranspiration of a row."""
        self.used_mm.append((time_ms, et_mm))
        while self.used_mm[0][0] <= time_ms - DAY_MS:
            self.used_mm.popleft()

    @property
    def residual(self) -> float | None:
        """Water content that the device's reading tells, less that of the twin's [m3/m3]."""
        last, twin = self.last, self.last_twin
        if last is None or twin is None or last.readings is None or twin.readings is None:
            return None
        mine = values_of.theta(self.curve, last.readings[0])
        other = values_of.theta(self.curve, twin.readings[0])
        return None if mine is None or other is None else mine - other

    def stress_h(self, observed: FloatArray) -> float | None:
        """Hours until depletion reaches RAW at the mean use of the last day.

        `observed` is the zone's row of the twin's plant (`levada.sim.soil.model.Observed`).
        """
        spare_mm = float(observed[Observed.RAW_MM] - observed[Observed.DR_MM])
        used_mm = float(np.sum([mm for _, mm in self.used_mm]))
        span_h = (self.used_mm[-1][0] - self.used_mm[0][0]) / 3.6e6 if self.used_mm else 0.0
        if span_h < _FORECAST_H or used_mm < _FORECAST_MM:
            return None
        return max(0.0, spare_mm / (used_mm / span_h))

    def watched(
        self, now_ms: int, observed: FloatArray, instructions: int
    ) -> dict[str, float | None]:
        """What alerts watch, by kind; `instructions` is the guest's budget of a step."""
        difference = self.residual
        return {
            "residual": None if difference is None else abs(difference),
            "different-calls": self.comparison.different_calls,
            "probe-stuck": self._still_h(now_ms),
            "no-flow": 0.0 if self.dry_since_ms is None else (now_ms - self.dry_since_ms) / 60e3,
            "unasked-flow": self.unasked_l,
            "offline": (now_ms - self.heard_ms) / 60e3,
            "budget": self._budget_pct(instructions),
            "stress-forecast": self.stress_h(observed),
        }

    def _still_h(self, now_ms: int) -> float:
        moved = self.comparison.still_twin_counts > self.comparison.tolerance_counts
        if not moved or self.still_since_ms is None:
            return 0.0
        return (now_ms - self.still_since_ms) / 3.6e6

    def _budget_pct(self, instructions: int) -> float:
        if self.last is None:
            return 0.0
        if self.last.result.trap in _BUDGET_TRAPS:
            return 100.0
        return 100.0 * self.last.result.instructions / instructions
