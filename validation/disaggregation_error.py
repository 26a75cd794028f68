"""What the hours made from days are worth: measured hours beside hours made from their own days."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from levada.sim.crop import et0
from levada.sim.weather import Weather, from_days

__all__ = ["Error", "disaggregation_error"]

FloatArray = npt.NDArray[np.float64]


class Error(NamedTuple):
    """Of one quantity over all hours: made minus measured."""

    rmse: float
    bias: float
    mean: float
    """Of the measured values."""


def disaggregation_error(weather: Weather) -> dict[str, Error]:
    """Errors of hourly temp_c, solar_w_m2, wind_m_s, ea_kpa and et0_mm_h; raises ValueError.

    The measured hours are summed to days, the days spread over hours again.
    """
    if weather.step != "hourly":
        raise ValueError("the weather is daily: measured hours are needed")
    made = from_days(weather.days, weather.site)
    to_w_m2 = 1.0 / 0.0036
    pairs = {
        "temp_c": (made.temp_c, weather.temp_c),
        "solar_w_m2": (made.solar_mj_m2 * to_w_m2, weather.solar_mj_m2 * to_w_m2),
        "wind_m_s": (made.wind_m_s, weather.wind_m_s),
        "ea_kpa": (made.ea_kpa, weather.ea_kpa),
        "et0_mm_h": (et0.of_weather(made), et0.of_weather(weather)),
    }
    return {name: _error(mine, measured) for name, (mine, measured) in pairs.items()}


def _error(made: FloatArray, measured: FloatArray) -> Error:
    difference = made - measured
    return Error(
        rmse=float(np.sqrt(np.mean(difference**2))),
        bias=float(difference.mean()),
        mean=float(measured.mean()),
    )
