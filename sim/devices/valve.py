"""Valves and flow meters: from the commanded output of a node to water on the zone.

A command moves the valve after a dead time; a command that comes back within it cancels the
movement.  An open valve passes q = q_nominal (p / p_nominal)^x, less what clogs it; a closed one
what it leaks.  The meter stands still below its least flow, loses a constant slip above it, and
counts a little more or less in each opening; it gives whole pulses, and the remainder waits for the
next.  An optional timer in the node's hardware closes a valve that was commanded open for too long,
whatever the guest does.

Everything happens at exact milliseconds: the soil model is told from when to when within an
interval water flows (`levada.sim.devices.kernels.valve_segment`), so no interval has to end at the
edges of a valve, unless it leaks.

Left out: ramps, water hammer, filling and draining of the pipe, a meter that counts less at the
upper end of its range.
Formulas and sources: docs/models/valve.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import inf
from typing import Final

import numpy as np

from levada.guest.text.ranges import check_range
from levada.sim.seeds import Key
from levada.sim.settings.explain import bounds_of
from levada.sim.settings.valve import AreaM2, Valve
from levada.sim.soil.model import FloatArray

__all__ = ["Draw", "ValveFault", "ValveParam", "ValveState", "Valves", "flow_l_min"]


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
    METER_DEAD = 5
    """The meter gives no pulses; magnitude unused."""
    METER_SLIP = 6
    """The meter counts `magnitude` (0 .. 1) of the water less."""
    METER_NOISE = 7
    """The meter gives `magnitude` pulses a minute that no water has made."""


class ValveParam(IntEnum):
    """Columns of the parameters of a valve, one row a zone."""

    OPENING_MS = 0
    CLOSING_MS = 1
    MAX_OPEN_MS = 2
    PULSES_PER_L = 3
    AREA_M2 = 4
    LATCHING = 5
    METER_LEAST_L_MIN = 6
    METER_SLIP_L_MIN = 7
    """Flow that passes the meter without turning it."""
    METER_SCATTER = 8
    METER_KEY = 9
    """Of the scatter: 53 bits of the zone's key, as many as a float holds exactly."""


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
    """Pulses since the start: those of METERED_L and the false ones, whole."""
    READ_PULSES = 11
    """Pulses handed to the node."""
    OPEN_S = 12
    """Time open since the start."""
    OPENINGS = 13
    LONGEST_S = 14
    """Longest uninterrupted opening so far; may be set to 0 to start a new observation, an
    opening under way then still counts from its beginning."""
    METERED_L = 15
    """Water since the start as the meter has seen it; `VOLUME_L` with an ideal one."""
    METER_SHARE = 16
    """Share of the water that it sees."""
    FALSE_PULSES = 17
    """Since the start."""
    FALSE_PER_MS = 18


Draw = tuple[float, float, float, float]
"""What `Valves.draw` tells of a zone."""
FLOAT_BITS: Final = 53
ORIFICE: Final = 0.5
"""Exponent of flow through an orifice: what a compensating emitter is until it regulates."""


def flow_l_min(
    nominal_l_min: float,
    pressure_kpa: float,
    nominal_pressure_kpa: float,
    exponent: float,
    least_kpa: float = 0.0,
) -> float:
    """Flow of emitters at a pressure [L min-1], q = k p^x; none without pressure.

    Keller and Karmeli (1974), Trans. ASAE 17(4), 678-684, Eq. 1.  Below `least_kpa` an emitter
    does not regulate and passes as an orifice does, so that nothing jumps there.
    """
    if pressure_kpa <= 0.0:
        return 0.0
    if pressure_kpa >= least_kpa:
        return nominal_l_min * float((pressure_kpa / nominal_pressure_kpa) ** exponent)
    at_least = nominal_l_min * float((least_kpa / nominal_pressure_kpa) ** exponent)
    return at_least * float((pressure_kpa / least_kpa) ** max(exponent, ORIFICE))


class Valves:
    """The valves of n zones.

    `parameters` and `state` have a row a zone and the columns `ValveParam` and `ValveState`;
    `levada.sim.devices.kernels` has the model as compiled functions for one zone.  Between two
    intervals, which must follow each other without gaps, commands and faults take effect at the
    instant given.
    """

    def __init__(
        self, valves: Sequence[Valve], areas_m2: Sequence[float], keys: Key | None = None
    ) -> None:
        """`areas_m2` are those of the zones: 1 L on 1 m2 is 1 mm; `keys` from `seeds.zone_keys`,
        needed by meters that scatter.
        """
        from levada.sim.devices import (
            kernels as device_kernels,  # numba takes half a second, configuration must not
        )

        for area_m2 in areas_m2:
            check_range("area_m2", area_m2, **bounds_of(AreaM2), unit="m2")
        self._kernels = device_kernels
        self._valves = tuple(valves)
        self.n = len(self._valves)
        self._pressures_kpa = [valve.pressure_kpa for valve in self._valves]
        if keys is None and any(valve.meter_scatter > 0.0 for valve in self._valves):
            raise ValueError("meters that scatter need the keys of their zones")
        known = [0] * self.n if keys is None else [int(key) for key in keys]
        self.parameters: FloatArray = np.array(
            [
                [
                    round(v.opening_delay_s * 1000.0),
                    round(v.closing_delay_s * 1000.0),
                    round(v.max_open_s * 1000.0),
                    v.pulses_per_l,
                    area_m2,
                    v.latching,
                    v.meter_least_l_min,
                    v.meter_slip * v.meter_least_l_min,
                    v.meter_scatter,
                    key >> (64 - FLOAT_BITS),
                ]
                for v, area_m2, key in zip(self._valves, areas_m2, known, strict=True)
            ],
            dtype=np.float64,
        ).reshape(self.n, len(ValveParam))
        self.state: FloatArray = np.zeros((self.n, len(ValveState)))
        self.state[:, ValveState.EDGE_MS] = inf
        self.state[:, ValveState.TIMER_MS] = inf
        self.state[:, ValveState.METER_SHARE] = 1.0
        self.fault_slip: FloatArray = np.zeros((self.n, 2))
        """By zone, what a dead meter and one that slips do not see."""
        self.fault_leak: FloatArray = np.zeros(self.n)
        self.fault_clog: FloatArray = np.zeros(self.n)
        for zone in range(self.n):
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
        if kind is ValveFault.METER_NOISE:
            row[ValveState.FALSE_PER_MS] = magnitude / 60_000.0 if active else 0.0
            return
        if kind in (ValveFault.METER_DEAD, ValveFault.METER_SLIP):
            slip = 1.0 if kind is ValveFault.METER_DEAD else magnitude
            check_range("magnitude", slip, 0.0, 1.0)
            self.fault_slip[zone, int(kind is ValveFault.METER_SLIP)] = slip if active else 0.0
            row[ValveState.METER_SHARE] = np.prod(1.0 - self.fault_slip[zone])
            return
        if not active:
            row[ValveState.STUCK] = 0
        elif kind is ValveFault.STUCK:
            row[ValveState.STUCK] = 1 if row[ValveState.OPEN] else 2
        else:
            row[ValveState.STUCK] = 1 if kind is ValveFault.STUCK_OPEN else 2
        self._kernels.set_open(zone, float(time_ms), self.state)

    def set_pressure(self, zone: int, pressure_kpa: float) -> None:
        """The supply of the zone has another pressure from now on."""
        self._pressures_kpa[zone] = pressure_kpa
        self._set_flow(zone)

    def draw(self, zone: int) -> Draw:
        """Flow [L/min] of the zone as its valve is now, at the nominal pressure; that pressure
        [kPa], the emitters' exponent, and the pressure [kPa] from which they regulate.
        """
        valve = self._valves[zone]
        passing, leak = self._passing(zone)
        share = passing if self.state[zone, ValveState.OPEN] else passing * leak
        return (
            valve.flow_l_min * share,
            valve.nominal_pressure_kpa,
            valve.emitter_exponent,
            valve.emitter_least_kpa,
        )

    def _passing(self, zone: int) -> tuple[float, float]:
        """Share of the flow that is not clogged, and of that what the closed valve leaks."""
        valve = self._valves[zone]
        passing = (1.0 - valve.clog) * (1.0 - float(self.fault_clog[zone]))
        return passing, min(1.0, valve.leak + float(self.fault_leak[zone]))

    def _set_flow(self, zone: int) -> None:
        valve = self._valves[zone]
        full = flow_l_min(
            valve.flow_l_min,
            self._pressures_kpa[zone],
            valve.nominal_pressure_kpa,
            valve.emitter_exponent,
            valve.emitter_least_kpa,
        )
        passing, leak = self._passing(zone)
        self.state[zone, ValveState.OPEN_L_MIN] = full * passing
        self.state[zone, ValveState.CLOSED_L_MIN] = full * passing * leak
