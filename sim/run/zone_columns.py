"""Columns of the arrays that `levada.sim.run.zone_loop` works on, one row a zone."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from levada.sim.soil.model import FloatArray

__all__ = [
    "HOUR_ET0",
    "Bytes",
    "Devices",
    "Forcings",
    "IntArray",
    "NodeCol",
    "Readings",
    "Soils",
    "Stop",
    "TotalsCol",
    "Water",
]


HOUR_ET0: Final = 2
"""Column of the weather's hours with the reference ET of grass [mm/h], 0 if nobody asks for it."""


class NodeCol(IntEnum):
    """Columns of the state of a zone's node, int64, one row a zone."""

    NOW_MS = 0
    WAKE_MS = 1
    """When the guest runs next."""
    NATIVE = 2
    """1: the guest is stepped here, row HOST of the host's arrays."""
    HOST = 3
    POWERED = 4
    """0: the node is off (brown-out); it boots when power comes back."""
    TRAP = 5
    COMMANDED = 6
    BOOT_MS = 7
    """When the field must boot the node again; NEVER_MS: not planned."""
    RESTART_MS = 8
    """How long after a trap that is, at least 1; negative: never."""
    SKEW_MS = 9
    """What the node's clock is ahead of the true one."""
    ONLINE = 10
    FAULTS = 11
    """Bit set of the faults that act, for the trace."""
    TABLE = 12
    """Which table of hourly forcing."""
    SOIL = 13
    """0 bucket, 1 Richards."""
    SOIL_ROW = 14
    NEXT_ROW_MS = 15
    ROW = 16
    """Rows written into the present buffer."""
    STEPS = 17
    """Guest steps since the start."""
    ROW_STEPS = 18
    ROW_PULSES = 19
    PCT = 20
    WHY = 21
    DARK = 22
    """1: the battery is empty."""
    STOP = 23
    """Why the zone returned; see Stop."""
    TRAPS = 24
    """How often the guest was stopped since the start."""
    ROW_TRAP = 25
    """Class of the last trap since the last row: a restart may be quicker than the trace."""
    FORGET = 26
    """1: at its next boot the node finds nothing of what its guest kept."""
    STOPPED_MS = 27
    """When the guest was stopped first, if it was."""
    COMMAND_LOST = 28
    """1: what the node commands does not reach its valve."""


class Stop(IntEnum):
    """Why a zone returned, or DONE: it has reached the end of the interval."""

    DONE = 0
    BOOT = 1
    """The node has to be booted now."""
    TAPE = 2
    """The tape has no room for another step."""
    SOIL = 3
    """The soil model could not solve."""
    ROWS = 4
    """The buffer of rows is full."""
    STEP = 5
    """The guest runs elsewhere, and is due."""


class TotalsCol(IntEnum):
    """Columns of the sums of a zone, float64, one row a zone."""

    RAIN_MM = 0
    IRRIGATION_MM = 1
    EVAPORATION_MM = 2
    TRANSPIRATION_MM = 3
    DRAINAGE_MM = 4
    RUNOFF_MM = 5
    ET0_MM = 6
    """Since the start, like all above."""
    ROW_ET0_MM = 7
    """Since the last row."""
    ROW_ENERGY_J = 8
    """State of the counters at the last row."""
    ROW_VOLUME_L = 9
    ROW_OPEN_S = 10
    ZR_M = 11
    LONGEST_S = 12
    """Longest uninterrupted opening since the start."""
    DAY_POTENTIAL_MM = 13
    """Transpiration of the day as it would be without stress."""
    DAY_ACTUAL_MM = 14
    DAY_AIRLESS_MM = 15
    """What roots in soil too wet did not take of the day's potential."""
    STRESS_DAYS = 16
    """Days on which the crop transpired less than STRESS of what it could."""
    WET_STRESS_DAYS = 17
    """Those on which at least half of the rest was lost to want of air, not to drought."""
    SPRAY_LOSS_MM = 18
    """Lost between sprinkler and crop since the start, like all below."""
    INTERCEPTED_MM = 19
    """Caught by the leaves."""
    CANOPY_MM = 20
    """What of it they hold now."""
    CURVE_RUNOFF_MM = 21
    """Rain that ran off by the curve number, a part of RUNOFF_MM."""
    BARE_ET_MM = 22
    """ET while no crop stands; next to it that of the stages of ForcingCol.STAGE, in order."""
    VEGETATIVE_ET_MM = 23
    MID_ET_MM = 24
    LATE_ET_MM = 25
    BARE_LOST_MM = 26
    """Potential transpiration that stress withheld, by stage in the same order."""
    VEGETATIVE_LOST_MM = 27
    MID_LOST_MM = 28
    LATE_LOST_MM = 29


IntArray = npt.NDArray[np.int64]
Readings = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]


class Forcings(NamedTuple):
    """What acts on the zones."""

    hours: FloatArray
    """Air temperature, radiation and reference ET of every hour, and what forecasts say."""
    tables: FloatArray
    """Hourly forcing of every different crop."""
    now: FloatArray
    """Forcing of every zone in the present interval."""


class Soils(NamedTuple):
    """Both soil models."""

    bucket_parameters: FloatArray
    bucket_state: FloatArray
    cells: FloatArray
    scalars: FloatArray
    settings: FloatArray
    hydraulics: FloatArray


class Devices(NamedTuple):
    """Probes, valves, supplies and stations of all zones, and what their nodes read."""

    probe_parameters: FloatArray
    probe_state: FloatArray
    probe_keys: npt.NDArray[np.uint64]
    valve_parameters: FloatArray
    valve_state: FloatArray
    power_parameters: FloatArray
    power_state: FloatArray
    work: FloatArray
    readings: Readings
    station_parameters: FloatArray
    station_state: FloatArray


class Water(NamedTuple):
    """What flowed since the last row, what is to be seen of the soil, and sums since the start."""

    fluxes: FloatArray
    observed: FloatArray
    totals: FloatArray
