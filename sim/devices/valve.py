"""Valves and flow meters: from the commanded output of a node to water on the zone.

A command moves the valve after a dead time; a command that comes back within it cancels the
movement.  An open valve passes q = q_nominal (p / p_nominal)^x, less what clogs it; a closed one
what it leaks.  The meter gives whole pulses; the remainder waits for the next.  An optional timer
in the node's hardware closes a valve that was commanded open for too long, whatever the guest does.

Everything happens at exact milliseconds: `Valves.segment` tells the soil model for each zone from
when to when within an interval water flows, so no interval has to be cut at the edges of a valve,
with one exception (`Valves.next_cut_ms`).

Left out: ramps, water hammer, filling and draining of the pipe, least flow the meter can see.
Formulas and sources: docs/models/valve.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from levada.guest.exit_codes import Exit
from levada.guest.text.ranges import check_range
from levada.sim.errors import SimError
from levada.sim.settings.explain import bounds_of
from levada.sim.settings.valve import AreaM2, PressureKpa, Valve
from levada.sim.soil.model import FloatArray

__all__ = ["ValveError", "ValveFault", "ValveParam", "ValveState", "Valves", "flow_l_min"]

Outputs = npt.NDArray[np.int8]
Readings = npt.NDArray[np.int32]


class ValveError(SimError, ValueError):
    """An interval asked for that cannot be told to the soil model in one piece."""

    exit_code = Exit.INTERNAL


class ValveFault(IntEnum):
    """What can happen to a valve; `magnitude` in the unit given."""

    STUCK = 0
    """Stays as it is at the start of the fault; magnitude unused."""
    STUCK_OPEN = 1
    STUCK_CLOSED = 2
    LEAK = 3
    """Passes `magnitude` (0 .. 1) of its open flow while closed, on top of its own leak."""
    CLOG = 4
    """Passes `magnitude` (0 .. 1) less."""


class ValveParam(IntEnum):
    """Columns of the parameters of a valve, one row a zone."""

    OPENING_MS = 0
    CLOSING_MS = 1
    MAX_OPEN_MS = 2
    PULSES_PER_L = 3
    AREA_M2 = 4


class ValveState(IntEnum):
    """Columns of the state of a valve, one row a zone."""

    COMMANDED = 0
    POSITION = 1
    """Where the drive has put it, 1 = open; what `OPEN` would be without a fault."""
    OPEN = 2
    """Whether it is open, faults included."""
    EDGE_MS = 3
    """When the drive changes position next; inf: not moving."""
    TIMER_MS = 4
    """When the hardware timer closes; inf: not running, -inf: it has closed, until it is closed."""
    STUCK = 5
    """0 free, 1 open, 2 closed."""
    OPEN_L_MIN = 6
    """Flow if open, at the present pressure and clogging."""
    CLOSED_L_MIN = 7
    """Flow if closed."""
    SINCE_MS = 8
    """When it opened last."""
    VOLUME_L = 9
    """Water since the start."""
    PULSES = 10
    """Pulses since the start: floor(volume * pulses per litre)."""
    READ_PULSES = 11
    """Pulses handed to the node."""
    OPEN_S = 12
    """Time open since the start."""
    OPENINGS = 13
    LONGEST_S = 14
    """Longest uninterrupted opening so far; may be set to 0 to start a new observation, an
    opening under way then still counts from its beginning."""


def flow_l_min(
    nominal_l_min: float, pressure_kpa: float, nominal_pressure_kpa: float, exponent: float
) -> float:
    """Flow of emitters at a pressure [L min-1], q = k p^x; none without pressure.

    Keller and Karmeli (1974), Trans. ASAE 17(4), 678-684, Eq. 1.
    """
    if pressure_kpa <= 0.0:
        return 0.0
    return nominal_l_min * float((pressure_kpa / nominal_pressure_kpa) ** exponent)


class Valves:
    """The valves of n zones.

    `parameters` and `state` have a row a zone and the columns `ValveParam` and `ValveState`;
    `levada.sim.devices.kernels` has the same model as compiled functions for one zone and for all.
    Between two calls of `segment`, which must follow each other without gaps, commands, pressures
    and faults take effect at the instant given.
    """

    def __init__(self, valves: Sequence[Valve], areas_m2: Sequence[float]) -> None:
        """`areas_m2` are those of the zones: 1 L on 1 m2 is 1 mm."""
        from levada.sim.devices import (
            kernels as device_kernels,  # numba takes half a second, configuration must not
        )

        for area_m2 in areas_m2:
            check_range("area_m2", area_m2, **bounds_of(AreaM2), unit="m2")
        self._kernels = device_kernels
        self._valves = tuple(valves)
        self.n = len(self._valves)
        self.parameters: FloatArray = np.array(
            [
                [
                    round(v.opening_delay_s * 1000.0),
                    round(v.closing_delay_s * 1000.0),
                    round(v.max_open_s * 1000.0),
                    v.pulses_per_l,
                    area_m2,
                ]
                for v, area_m2 in zip(self._valves, areas_m2, strict=True)
            ],
            dtype=np.float64,
        ).reshape(self.n, len(ValveParam))
        self.state: FloatArray = np.zeros((self.n, len(ValveState)))
        self.state[:, ValveState.EDGE_MS] = inf
        self.state[:, ValveState.TIMER_MS] = inf
        self.pressure_kpa: FloatArray = np.array([v.pressure_kpa for v in self._valves])
        self.fault_leak: FloatArray = np.zeros(self.n)
        self.fault_clog: FloatArray = np.zeros(self.n)
        for zone in range(self.n):
            self._set_flow(zone)

    @property
    def leaks(self) -> bool:
        """Whether any valve passes water while closed, so that `next_cut_ms` matters."""
        return bool(np.any(self.state[:, ValveState.CLOSED_L_MIN] > 0.0))

    def command(self, time_ms: int, commanded: Outputs) -> None:
        """The outputs of all nodes at `time_ms`, shape (n,), 0 closed, otherwise open."""
        self._kernels.command_valves(time_ms, commanded, self.parameters, self.state)

    def next_cut_ms(self, t0_ms: int, t1_ms: int) -> int:
        """Where an interval from `t0_ms` must end so that `segment` can take it, at most `t1_ms`.

        A zone's forcing has one rate and one delivery an interval.  Between two commands a valve
        opens and closes at most once, so that is enough, except for a valve that leaks: it has two
        rates, and the interval must be cut at its edges.
        """
        return int(self._kernels.next_valve_cut(t0_ms, t1_ms, self.state))

    def segment(self, t0_ms: int, t1_ms: int, forcing: FloatArray) -> None:
        """Fill the irrigation columns of `forcing` for [t0, t1) and count water, pulses and time.

        Raises ValveError if the interval had to be cut (`next_cut_ms`); the state is then lost.
        """
        zone = self._kernels.valve_segments(t0_ms, t1_ms, self.parameters, self.state, forcing)
        if zone >= 0:
            raise ValveError(
                f"interval {t0_ms} .. {t1_ms} ms: the leaking valve of zone {zone} moves within "
                "it; end it at next_cut_ms()"
            )

    def read(self, time_ms: int, wake_ms: npt.NDArray[np.int64], readings: Readings) -> None:
        """Hand the pulses since the last reading to the nodes due, into `readings[:, 3]`."""
        self._kernels.read_meters(time_ms, wake_ms, self.state, readings)

    @property
    def flow_l_min(self) -> FloatArray:
        """Present flow, shape (n,) [L min-1]."""
        return np.where(
            self.state[:, ValveState.OPEN] > 0,
            self.state[:, ValveState.OPEN_L_MIN],
            self.state[:, ValveState.CLOSED_L_MIN],
        )

    def set_pressure(self, pressure_kpa: float, zones: Sequence[int] | None = None) -> None:
        """Supply pressure from now on [kPa], for all zones or some."""
        check_range("pressure_kpa", pressure_kpa, **bounds_of(PressureKpa), unit="kPa")
        for zone in range(self.n) if zones is None else zones:
            self.pressure_kpa[zone] = pressure_kpa
            self._set_flow(zone)

    def set_fault(
        self, time_ms: int, zone: int, kind: ValveFault, active: bool, magnitude: float = 0.0
    ) -> None:
        """Start or end a fault at `time_ms`; unit of `magnitude`: see `ValveFault`."""
        row = self.state[zone]
        if kind in (ValveFault.LEAK, ValveFault.CLOG):
            check_range("magnitude", magnitude, 0.0, 1.0)
            target = self.fault_leak if kind is ValveFault.LEAK else self.fault_clog
            target[zone] = magnitude if active else 0.0
            self._set_flow(zone)
            return
        if not active:
            row[ValveState.STUCK] = 0
        elif kind is ValveFault.STUCK:
            row[ValveState.STUCK] = 1 if row[ValveState.OPEN] else 2
        else:
            row[ValveState.STUCK] = 1 if kind is ValveFault.STUCK_OPEN else 2
        self._kernels.set_open(zone, float(time_ms), self.state)

    def _set_flow(self, zone: int) -> None:
        valve = self._valves[zone]
        full = flow_l_min(
            valve.flow_l_min,
            float(self.pressure_kpa[zone]),
            valve.nominal_pressure_kpa,
            valve.emitter_exponent,
        )
        passing = (1.0 - valve.clog) * (1.0 - float(self.fault_clog[zone]))
        leak = min(1.0, valve.leak + float(self.fault_leak[zone]))
        self.state[zone, ValveState.OPEN_L_MIN] = full * passing
        self.state[zone, ValveState.CLOSED_L_MIN] = full * passing * leak

    def snapshot(self) -> dict[str, Any]:
        """A copy of everything that changes."""
        return {
            "state": self.state.copy(),
            "pressure_kpa": self.pressure_kpa.copy(),
            "fault_leak": self.fault_leak.copy(),
            "fault_clog": self.fault_clog.copy(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.state[:] = snapshot["state"]
        self.pressure_kpa[:] = snapshot["pressure_kpa"]
        self.fault_leak[:] = snapshot["fault_leak"]
        self.fault_clog[:] = snapshot["fault_clog"]
