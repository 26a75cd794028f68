"""The state of one zone of a twin, and what follows from that state alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final

import numpy as np

from levada.guest.abi import TrapKind
from levada.guest.limits import PROFILES
from levada.guest.module.inspect import ModuleInfo
from levada.guest.node import Birth, Node
from levada.guest.tape import Difference
from levada.guest.text.redaction import redacted
from levada.guest.wasm.node import WasmtimeNode
from levada.sim.run import build
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.soil.model import FloatArray, Observed
from levada.sim.units import DAY_MS
from levada.twin import signals as values_of
from levada.twin.calibration.parameters import same_guest
from levada.twin.diagnosis import Cause, Diagnoser, Verdict
from levada.twin.observer import StepObservation
from levada.twin.sources.resume import NEW, ResumePoint

__all__ = ["ZoneState", "guest_node", "new_zone"]

LOG_LINES: Final = 200
_FORECAST_H: Final = 20.0
"""A forecast rests on the water use of at least this time [h]."""
_FORECAST_MM: Final = 0.5
"""A forecast rests on at least this water use [mm]."""
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
    """The state of a zone at the time that the twin has come to."""

    settings: build.NodeSettings
    """What the nodes of the zone are given."""
    mirror: WasmtimeNode
    birth: Birth
    diagnoser: Diagnoser
    parameters: Mapping[str, int]
    """In force on the device, by name."""
    curve: values_of.Curve | None
    """Counts, rising, and the water content for them; None: the probe does not tell it."""
    band: float
    """Difference of water content that noise alone explains [m3/m3]."""
    judged: Verdict
    """Of the device's last step."""
    device: deque[tuple[int, StepObservation, Difference | None]] = field(default_factory=deque)
    """Runs not judged yet: true time, what was seen, where its calls differ from the mirror's."""
    twin: deque[tuple[int, StepObservation]] = field(default_factory=deque)
    """Runs of the twin's guest that no run of the device has been compared with yet."""
    last_twin: StepObservation | None = None
    last: StepObservation | None = None
    heard_ms: int = 0
    """When the device was last heard."""
    silent_s: int = 0
    """How long the line to the device has been silent though an answer was due [wall-clock s]; 0:
    not for longer than a device waits for its host."""
    resume: ResumePoint = NEW
    """What an earlier twin of the same device has concluded."""
    decided: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """What `device` and `twin` decided last."""
    decision: str = ""
    pct: int | None = None
    dry_since_ms: int | None = None
    """Since when the valve has been commanded open without flow, in virtual time."""
    unasked_l: float = 0.0
    """Water that has flowed without a break while the valve was commanded closed [L]."""
    still_since_ms: int | None = None
    steps: int = 0
    metered: bool = True
    """Whether anything is known of the water that flowed."""
    water_l: float = 0.0
    day: int = 0
    water_today_l: float = 0.0
    energy_j: float | None = None
    """Energy that the device has used [J]; None: its plant is not simulated here."""
    used_mm: deque[tuple[int, float]] = field(default_factory=deque)
    """Evapotranspiration of the last day, by row."""
    flowed: bool = False
    logs: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    @property
    def config(self) -> ZoneConfig:
        """The zone as the scenario has it."""
        return self.settings.zone

    @property
    def node_text(self) -> str:
        """The URL of the zone's node, without a password."""
        node = self.config.node
        return redacted(":".join(part for part in (node.kind, node.target) if part))

    @property
    def verdict(self) -> Verdict:
        """What is to be said of the device now: about its last step, or about a silent line."""
        if not self.silent_s:
            return self.judged
        return Verdict(
            time_ms=self.judged.time_ms,
            cause=Cause.LINK,
            text=f"The line has been silent for {self.silent_s} s though an answer was due.",
            evidence={"silent_s": self.silent_s},
        )

    def measure_flow(self, now_ms: int, opened: int, pulses: int, step_ms: int) -> None:
        """Note the flow meter's pulses of a step, at whose start the valve was `opened`."""
        litres = max(pulses, 0) / self.config.valve.pulses_per_l
        if opened and pulses == 0:
            if self.dry_since_ms is None:
                self.dry_since_ms = now_ms - step_ms
        elif pulses > 0:
            self.dry_since_ms = None
        self.unasked_l = self.unasked_l + litres if self.diagnoser.leaks else 0.0

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

    def alert_values(
        self, now_ms: int, observed: FloatArray, instructions: int
    ) -> dict[str, float | None]:
        """The values that alerts watch, by kind; `instructions` is the guest's budget of a step."""
        difference = self.residual
        return {
            "residual": None if difference is None else abs(difference),
            "different-calls": self.diagnoser.different_calls,
            "probe-stuck": self._still_h(now_ms),
            "no-flow": 0.0 if self.dry_since_ms is None else (now_ms - self.dry_since_ms) / 60e3,
            "unasked-flow": self.unasked_l,
            "offline": (now_ms - self.heard_ms) / 60e3,
            "silence": self.silent_s,
            "budget": self._budget_pct(instructions),
            "stress-forecast": self.stress_h(observed),
        }

    def _still_h(self, now_ms: int) -> float:
        moved = self.diagnoser.still_twin_counts > self.diagnoser.tolerance_counts
        if not moved or self.still_since_ms is None:
            return 0.0
        return (now_ms - self.still_since_ms) / 3.6e6

    def _budget_pct(self, instructions: int) -> float:
        if self.last is None:
            return 0.0
        if self.last.result.trap in _BUDGET_TRAPS:
            return 100.0
        return 100.0 * self.last.result.instructions / instructions


def new_zone(settings: build.NodeSettings, device: Node, info: ModuleInfo) -> ZoneState:
    """A zone before anything has been seen; TwinMismatchError if `device` runs another guest."""
    birth = device.birth()
    same_guest(settings.zone.name, birth, info)
    probe = settings.zone.probe
    curve = values_of.curve(probe)
    slope = 0.0
    if curve is not None:
        slope = float(np.ptp(curve[1]) / max(np.ptp(curve[0]), 1))
    # two readings of noise s differ by less than 3 sqrt(2) s in 997 of 1000 cases
    tolerance = max(3 * sqrt(2) * probe.noise_counts, 2.0 ** (12 - probe.adc_bits))
    names = {p.id: p.name for p in info.parameters}
    parameters = {p.name: p.default for p in info.parameters}
    parameters |= {names[key]: value for key, value in settings.parameters.items()}
    return ZoneState(
        settings=settings,
        mirror=guest_node(settings),
        birth=birth,
        diagnoser=Diagnoser(tolerance),
        parameters=parameters,
        curve=curve,
        band=tolerance * slope,
        judged=Verdict(time_ms=0, cause=Cause.NONE, text="Nothing seen yet.", compared=False),
    )


def guest_node(settings: build.NodeSettings) -> WasmtimeNode:
    """The guest of a zone in Wasmtime: a mirror, the twin's, or a simulated device."""
    guest = settings.scenario.guest
    return WasmtimeNode(
        settings.module,
        name=settings.zone.name,
        budget=guest.limits(),
        profile=PROFILES[guest.profile],
        config=settings.config,
        parameters=settings.parameters,
    )
