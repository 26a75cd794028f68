"""What nodes are told of the weather: tips of a rain gauge, a forecast, reference ET.

The gauge is a tipping bucket: a tip for every `mm_per_tip` of what it catches, the rest stays in
the bucket.  A node without power counts no tips.  Forecast and reference ET come over the link, and
are unavailable while it is down; reference ET that has gathered meanwhile comes later.

Left out: loss while the bucket tips, evaporation from it, snow.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import floor
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import ErrorCode, Sensor
from levada.guest.fast.jit import njit
from levada.sim.settings.station import EtSource, ZoneGauge
from levada.sim.soil.model import FloatArray

__all__ = ["StationParam", "StationState", "Stations", "advance_station", "station_readings"]

UNAVAILABLE: Final = int(ErrorCode.UNAVAILABLE)
RAIN: Final = int(Sensor.RAIN)
FORECAST: Final = int(Sensor.FORECAST)
ET0: Final = int(Sensor.ET0)
I32_MAX: Final = 2**31 - 1


class StationParam(IntEnum):
    """Columns of the parameters of a station, one row a zone."""

    MM_PER_TIP = 0
    """0: no gauge."""
    CATCH = 1
    FORECAST = 2
    """Column of the weather's hours with the rain expected [mm]; 0: no forecast."""
    ET0_FACTOR = 3
    """0: no source of reference ET."""


class StationState(IntEnum):
    """Columns of the state of a station, one row a zone."""

    RAIN_MM = 0
    """Caught since the start."""
    READ_TIPS = 1
    """Tips since the start that the node has had, or was without power for."""
    ET0_MM = 2
    """Since the start."""
    READ_ET0 = 3
    """What of it the node was told [0.01 mm]."""


class Stations:
    """The stations of n zones: `parameters` and `state` have a row a zone."""

    def __init__(
        self,
        gauges: Sequence[ZoneGauge | None],
        forecasts: Sequence[int],
        sources: Sequence[EtSource | None],
    ) -> None:
        """`forecasts` are columns of the weather's hours, 0 where there is none."""
        self.parameters: FloatArray = np.array(
            [
                [
                    gauge.mm_per_tip if gauge else 0.0,
                    gauge.catch if gauge else 0.0,
                    forecast,
                    source.factor if source else 0.0,
                ]
                for gauge, forecast, source in zip(gauges, forecasts, sources, strict=True)
            ],
            dtype=np.float64,
        ).reshape(len(gauges), len(StationParam))
        self.state: FloatArray = np.zeros((len(gauges), len(StationState)))


@njit
def _tips(i: int, parameters: FloatArray, state: FloatArray) -> float:
    """Tips since the start; from the sum, so that no rounding is lost or gathered."""
    tips = state[i, StationState.RAIN_MM] / parameters[i, StationParam.MM_PER_TIP]
    return float(floor(tips + 1e-9))


@njit
def advance_station(
    i: int,
    dt_s: float,
    rain_mm_h: float,
    et0_mm_h: float,
    alive: bool,
    parameters: FloatArray,
    state: FloatArray,
) -> None:
    """Let rain fall into the gauge of zone `i` and reference ET gather for `dt_s`."""
    if parameters[i, StationParam.MM_PER_TIP] > 0.0:
        caught_mm_h = rain_mm_h * parameters[i, StationParam.CATCH]
        state[i, StationState.RAIN_MM] += caught_mm_h * dt_s / 3600.0
        if not alive:
            state[i, StationState.READ_TIPS] = _tips(i, parameters, state)
    told_mm_h = et0_mm_h * parameters[i, StationParam.ET0_FACTOR]
    state[i, StationState.ET0_MM] += told_mm_h * dt_s / 3600.0


@njit
def station_readings(
    i: int,
    expected: FloatArray,
    online: bool,
    parameters: FloatArray,
    state: FloatArray,
    readings: npt.NDArray[np.int32],
) -> None:
    """What the node of zone `i` reads; `expected` is the present row of the weather's hours."""
    if parameters[i, StationParam.MM_PER_TIP] > 0.0:
        tips = _tips(i, parameters, state)
        readings[i, RAIN] = int(min(tips - state[i, StationState.READ_TIPS], float(I32_MAX)))
        state[i, StationState.READ_TIPS] = tips
    column = int(parameters[i, StationParam.FORECAST])
    if column != 0:
        tenths = floor(expected[column] * 10.0 + 0.5)
        readings[i, FORECAST] = int(tenths) if online else UNAVAILABLE
    if parameters[i, StationParam.ET0_FACTOR] > 0.0:
        readings[i, ET0] = UNAVAILABLE
        if online:
            et0 = floor(state[i, StationState.ET0_MM] * 100.0 + 1e-6)
            readings[i, ET0] = int(min(et0 - state[i, StationState.READ_ET0], float(I32_MAX)))
            state[i, StationState.READ_ET0] = et0
