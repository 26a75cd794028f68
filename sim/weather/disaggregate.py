"""Hours from days: the course of a day that a daily weather file does not tell.

radiation   in proportion to extraterrestrial radiation of the hour (ASCE-EWRI 2005 Eq. 48)
temperature sine by day, exponential by night: Parton and Logan (1981), Agric. Meteorol. 23:205-216,
            their air temperature at 1.5 m; the night is shifted so that it ends at the minimum
            (Goudriaan and van Laar 1994, Modelling Potential Crop Growth Processes, section 3.3)
vapour      constant over the day, but never above saturation
wind        daily mean times 1 + 0.5 cos(2 pi (h - 15) / 24)
rain        one event a day of constant intensity, its start drawn from a stream of its own seed
            and day, so that a day's rain does not depend on where the period begins

Sums of radiation and rain and means of wind are those of the day, to rounding.  Left out: weather
fronts (every day follows the sun), several showers a day, wind that rises with the storm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from refet import calcs

from levada.guest.text.ranges import check_range
from levada.sim.units import DAY_MS

__all__ = ["Hours", "extraterrestrial_mj_m2", "hours", "saturation_kpa"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LAG_OF_MAXIMUM_H = 1.86  # Parton and Logan 1981, Table 1, a at 1.5 m
_NIGHT_COOLING = 2.20  # the same, b
_WIND_SWING = 0.5  # of the daily mean
_WINDIEST_H = 15.0


class Hours(NamedTuple):
    """Hourly values, each of shape (days, 24)."""

    temp_c: FloatArray
    ea_kpa: FloatArray
    wind_m_s: FloatArray
    solar_mj_m2: FloatArray
    rain_mm: FloatArray


def saturation_kpa(temp_c: FloatArray) -> FloatArray:
    """Saturation vapour pressure [kPa] at a temperature [degC], FAO-56 Eq. 11."""
    return 0.6108 * np.exp(17.27 * temp_c / (temp_c + 237.3))


def extraterrestrial_mj_m2(day_of_year: IntArray, latitude_deg: float) -> FloatArray:
    """Radiation outside the air [MJ m-2 d-1], FAO-56 Eq. 21; at least 0.1 in the polar night."""
    ra = calcs.ra_daily(np.radians(latitude_deg), day_of_year, "asce")
    return np.asarray(np.maximum(ra, 0.1), np.float64)


def hours(
    *,
    day_ms: IntArray,
    day_of_year: IntArray,
    tmax_c: FloatArray,
    tmin_c: FloatArray,
    ea_kpa: FloatArray,
    wind_m_s: FloatArray,
    solar_mj_m2: FloatArray,
    rain_mm: FloatArray,
    latitude_deg: float,
    longitude_deg: float,
    utc_offset_h: float,
    rain_intensity_mm_h: float = 5.0,
    seed: int = 0,
) -> Hours:
    """Hourly values from daily ones; every input has shape (days,), every output (days, 24).

    `solar_mj_m2` [MJ m-2 d-1] becomes [MJ m-2 h-1]; `rain_mm` lasts
    ceil(rain / `rain_intensity_mm_h`) hours, at most 24.
    """
    check_range("rain_intensity_mm_h", rain_intensity_mm_h, 0.0, None, "mm/h", above=True)
    temp = _temperature(day_of_year, tmax_c, tmin_c, latitude_deg, longitude_deg, utc_offset_h)
    swing = 1.0 + _WIND_SWING * np.cos(2.0 * np.pi * (np.arange(24) + 0.5 - _WINDIEST_H) / 24.0)
    return Hours(
        temp_c=temp,
        ea_kpa=np.minimum(ea_kpa[:, None], saturation_kpa(temp)),
        wind_m_s=wind_m_s[:, None] * swing,
        solar_mj_m2=solar_mj_m2[:, None]
        * _solar_share(day_of_year, latitude_deg, longitude_deg, utc_offset_h),
        rain_mm=_rain(day_ms, rain_mm, rain_intensity_mm_h, seed),
    )


def _solar_share(
    day_of_year: IntArray, latitude_deg: float, longitude_deg: float, utc_offset_h: float
) -> FloatArray:
    """Part of the day's radiation in each hour, shape (days, 24), each row summing to 1."""
    ra = calcs.ra_hourly(
        np.radians(latitude_deg),
        np.radians(longitude_deg),
        day_of_year[:, None],
        np.arange(24) + 0.5 - utc_offset_h,
        "asce",
    )
    total = ra.sum(axis=1, keepdims=True)
    share = np.full(ra.shape, 1.0 / 24.0)  # polar night: whatever was measured, evenly
    np.divide(ra, total, out=share, where=total > 0.0)
    return share


def _temperature(
    day_of_year: IntArray,
    tmax_c: FloatArray,
    tmin_c: FloatArray,
    latitude_deg: float,
    longitude_deg: float,
    utc_offset_h: float,
) -> FloatArray:
    """Air temperature [degC] at the middle of each hour, shape (days, 24).

    Parton and Logan (1981): a sine by day (Eq. 1), an exponential by night (Eq. 2), which is
    shifted so that it ends at the lowest temperature (Goudriaan and van Laar 1994, section 3.3).
    """
    lat = np.radians(latitude_deg)
    half_day = calcs.sunset_hour_angle(lat, calcs.declination(day_of_year, "asce")) * 12.0 / np.pi
    half_day = np.clip(half_day, 0.5, 11.5)  # keeps both branches defined at the poles
    noon = 12.0 + utc_offset_h - longitude_deg / 15.0 - calcs.seasonal_correction(day_of_year)
    rise, set_ = noon - half_day, noon + half_day
    length = set_ - rise
    at_sunset = tmin_c + (tmax_c - tmin_c) * np.sin(
        np.pi * length / (length + 2.0 * _LAG_OF_MAXIMUM_H)
    )
    hour = np.arange(24) + 0.5

    def night(since: FloatArray, lasts: FloatArray, begin: FloatArray, end: FloatArray) -> Any:
        decay = np.exp(-_NIGHT_COOLING * np.clip(since / lasts[:, None], 0.0, 1.0))
        last = np.exp(-_NIGHT_COOLING)
        return end[:, None] + (begin - end)[:, None] * (decay - last) / (1.0 - last)

    before = np.concatenate([at_sunset[:1], at_sunset[:-1]])
    set_before = np.concatenate([set_[:1], set_[:-1]])
    after = np.concatenate([tmin_c[1:], tmin_c[-1:]])
    rise_after = np.concatenate([rise[1:], rise[-1:]])
    morning = night(hour + 24.0 - set_before[:, None], rise + 24.0 - set_before, before, tmin_c)
    evening = night(hour - set_[:, None], rise_after + 24.0 - set_, at_sunset, after)
    day = tmin_c[:, None] + (tmax_c - tmin_c)[:, None] * np.sin(
        np.pi * (hour - rise[:, None]) / (length + 2.0 * _LAG_OF_MAXIMUM_H)[:, None]
    )
    temp = np.where(hour < rise[:, None], morning, np.where(hour > set_[:, None], evening, day))
    return np.asarray(temp, np.float64)


def _rain(day_ms: IntArray, rain_mm: FloatArray, intensity_mm_h: float, seed: int) -> FloatArray:
    """Rain [mm] of each hour, shape (days, 24)."""
    out = np.zeros((rain_mm.size, 24))
    for day in np.flatnonzero(rain_mm > 0.0):
        lasts = min(24, max(1, int(np.ceil(rain_mm[day] / intensity_mm_h))))
        stream = np.random.default_rng([seed, abs(int(day_ms[day])) // DAY_MS])
        begin = int(stream.integers(0, 24 - lasts + 1))
        out[day, begin : begin + lasts] = rain_mm[day] / lasts
    return out
