"""Where weather is measured, and what the place says of its own numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Site", "wind_at_2m"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the weather was measured."""

    latitude_deg: float
    """North positive, -90 to 90."""
    longitude_deg: float
    """East positive, -180 to 180."""
    elevation_m: float
    """Above sea level, -430 to 6000."""
    utc_offset_h: float
    """Local standard time minus UTC, -12 to 14; no daylight saving time."""
    wind_height_m: float = 2.0
    """Height of the anemometer, 0.5 to 200."""
    name: str = ""

    def __post_init__(self) -> None:
        for field, low, high in (
            ("latitude_deg", -90.0, 90.0),
            ("longitude_deg", -180.0, 180.0),
            ("elevation_m", -430.0, 6000.0),
            ("utc_offset_h", -12.0, 14.0),
            ("wind_height_m", 0.5, 200.0),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise ValueError(f"{field} = {value}: allowed is {low:g} to {high:g}")


def wind_at_2m(wind_m_s: FloatArray, height_m: float) -> FloatArray:
    """Wind speed [m s-1] at 2 m from that at `height_m`, FAO-56 Eq. 47; at 2 m unchanged."""
    if height_m == 2.0:
        return wind_m_s
    factor: float = 4.87 / math.log(67.8 * height_m - 5.42)
    return wind_m_s * factor
