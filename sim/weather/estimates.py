"""What a station does not measure, estimated by days as FAO-56 does (Allen et al. 1998, chapter 3).

radiation   from hours of bright sunshine (Eq. 35, Angstrom), or from the range of temperature
            (Eq. 50, Hargreaves) with k_Rs 0.16 in the interior and 0.19 at the coast
humidity    dew point at the lowest temperature (Eq. 48); dry places are 2 to 3 K below it
wind        2 m s-1 at 2 m, the mean of 2000 stations (p. 63)
ET0         where temperatures are all there is: Hargreaves and Samani (1985), Eq. 52

Sunshine is a measurement and is used wherever radiation is absent.  What temperature alone tells is
an estimate, which a user asks for by naming the climate.  Left out: Eq. 50 by the hour, the
adjustment of Eq. 51 to a nearby station, islands (Eq. 51 of p. 62).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from refet import calcs

from levada.guest.text.ranges import out_of_range
from levada.sim.errors import WeatherError
from levada.sim.settings.site import Site
from levada.sim.weather.disaggregate import extraterrestrial_mj_m2
from levada.sim.weather.series import HUMIDITY, FloatArray, WeatherTable, day_of_year, to_text
from levada.sim.weather.site import wind_at_2m

__all__ = [
    "CLIMATES",
    "Climate",
    "day_length_h",
    "estimated",
    "et0_hargreaves",
    "solar_from_sunshine",
    "solar_from_temperature_range",
    "temperature_only",
    "with_hargreaves",
]

Climate = Literal["none", "interior", "coast"]
CLIMATES: Final = ("none", "interior", "coast")

_K_RS: Final = {"interior": 0.16, "coast": 0.19}  # FAO-56 p. 60
_WIND_M_S: Final = 2.0
_SUNSHINE_ERROR: Final = 1.05
_SUNSHINE_ERROR_H: Final = 0.5
_MONTH_DAYS: Final = 30


def day_length_h(day_of_year: npt.ArrayLike, latitude_deg: float) -> FloatArray:
    """Greatest possible hours of sunshine N, FAO-56 Eq. 34."""
    declination = calcs.declination(np.asarray(day_of_year), "asce")
    angle = calcs.sunset_hour_angle(np.radians(latitude_deg), declination)
    return np.asarray(angle * 24.0 / np.pi, np.float64)


def solar_from_sunshine(
    sunshine_h: npt.ArrayLike,
    day_of_year: npt.ArrayLike,
    latitude_deg: float,
    *,
    a_s: float = 0.25,
    b_s: float = 0.50,
) -> FloatArray:
    """Solar radiation [MJ m-2 d-1] by Angstrom's formula, FAO-56 Eq. 35.

    `a_s` and `b_s` are those that FAO-56 recommends where none were calibrated.
    """
    longest = day_length_h(day_of_year, latitude_deg)
    sunshine = np.asarray(sunshine_h, np.float64)
    share = np.divide(sunshine, longest, out=np.zeros_like(sunshine + longest), where=longest > 0.0)
    share = np.where(np.isnan(sunshine), np.nan, np.minimum(share, 1.0))
    outside = extraterrestrial_mj_m2(np.asarray(day_of_year), latitude_deg)
    return (a_s + b_s * share) * outside


def solar_from_temperature_range(
    tmax_c: npt.ArrayLike,
    tmin_c: npt.ArrayLike,
    day_of_year: npt.ArrayLike,
    latitude_deg: float,
    *,
    k_rs: float = 0.16,
    elevation_m: float = 0.0,
) -> FloatArray:
    """Solar radiation [MJ m-2 d-1], FAO-56 Eq. 50, at most that of a clear sky (Eq. 37)."""
    outside = extraterrestrial_mj_m2(np.asarray(day_of_year), latitude_deg)
    share = k_rs * np.sqrt(np.subtract(tmax_c, tmin_c, dtype=np.float64))
    return np.minimum(share, 0.75 + 2e-5 * elevation_m) * outside


def et0_hargreaves(
    tmax_c: npt.ArrayLike,
    tmin_c: npt.ArrayLike,
    day_of_year: npt.ArrayLike,
    latitude_deg: float,
) -> FloatArray:
    """ET0 of grass [mm d-1] of Hargreaves and Samani (1985), FAO-56 Eq. 52, at least 0.

    `Ra` of the equation in mm d-1 is that in MJ m-2 d-1 times 0.408 (FAO-56 Eq. 20).
    """
    high, low = np.asarray(tmax_c, np.float64), np.asarray(tmin_c, np.float64)
    outside_mm = 0.408 * extraterrestrial_mj_m2(np.asarray(day_of_year), latitude_deg)
    et0 = 0.0023 * ((high + low) / 2.0 + 17.8) * np.sqrt(high - low) * outside_mm
    return np.maximum(et0, 0.0)


def estimated(table: WeatherTable, site: Site, climate: Climate) -> WeatherTable:
    """The table with radiation from sunshine, and what else it lacks from temperature.

    Raises WeatherError where sunshine outlasts the day.
    """
    if climate not in CLIMATES:
        raise ValueError(out_of_range("from_temperature", climate, ", ".join(CLIMATES)))
    if table.step == "hourly":
        return table
    columns, notes = dict(table.columns), list(table.notes)
    day = day_of_year(table.time_ms)
    solar = columns.get("solar_mj_m2", np.full(day.size, np.nan))
    if "sunshine_h" in columns:
        _check_sunshine(table, day_length_h(day, site.latitude_deg))
        by_sun = solar_from_sunshine(columns["sunshine_h"], day, site.latitude_deg)
        notes += _note(solar, by_sun, "by sunshine_h (Angstrom, FAO-56 Eq. 35, a_s 0.25, b_s 0.50)")
        solar = np.where(np.isnan(solar), by_sun, solar)
    if climate != "none":
        by_range = solar_from_temperature_range(
            columns["tmax_c"],
            columns["tmin_c"],
            day,
            site.latitude_deg,
            k_rs=_K_RS[climate],
            elevation_m=site.elevation_m,
        )
        how = f"by the range of temperature (FAO-56 Eq. 50, k_Rs {_K_RS[climate]}, {climate})"
        notes += _note(solar, by_range, how)
        solar = np.where(np.isnan(solar), by_range, solar)
        if not any(all(name in columns for name in kind) for kind in HUMIDITY["daily"]):
            columns["tdew_c"] = columns["tmin_c"]
            notes.append("no humidity: dew point taken as tmin_c (FAO-56 Eq. 48)")
        if "wind_m_s" not in columns:
            at_2m = wind_at_2m(np.ones(day.size), site.wind_height_m)
            columns["wind_m_s"] = _WIND_M_S / at_2m
            notes.append(f"no wind: {_WIND_M_S:g} m/s at 2 m on every day (FAO-56 p. 63)")
        if len(notes) == len(table.notes):
            notes.append(f"from_temperature = {climate}: nothing was absent, nothing estimated")
    if not np.isnan(solar).all():
        columns["solar_mj_m2"] = solar
    return replace(table, columns=columns, notes=tuple(notes))


def temperature_only(names: object) -> bool:
    """Whether neither radiation, sunshine, humidity nor wind is among the columns `names`."""
    others = {"solar_mj_m2", "sunshine_h", "wind_m_s"}
    others |= {name for kind in HUMIDITY["daily"] for name in kind}
    return not others & set(names)  # type: ignore[call-overload]


def with_hargreaves(table: WeatherTable, site: Site) -> WeatherTable:
    """The table with ET0 of Hargreaves and Samani on the days that have no `et0_mm`."""
    columns = dict(table.columns)
    by_temperature = et0_hargreaves(
        columns["tmax_c"], columns["tmin_c"], day_of_year(table.time_ms), site.latitude_deg
    )
    given = columns.get("et0_mm", np.full(by_temperature.size, np.nan))
    absent = np.isnan(given)
    if not absent.any():
        return table
    columns["et0_mm"] = np.where(absent, by_temperature, given)
    note = (
        f"temperature only: ET0 of grass by Hargreaves and Samani (1985, FAO-56 Eq. 52) on "
        f"{absent.sum()} of {absent.size} days"
    )
    return replace(table, columns=columns, notes=(*table.notes, note))


def _note(before: FloatArray, other: FloatArray, how: str) -> list[str]:
    """What an estimate helped out with."""
    helped = np.isnan(before) & ~np.isnan(other)
    if not helped.any():
        return []
    if np.isnan(before).all():
        return [f"no radiation: {how}"]
    return [f"solar_mj_m2 absent in {helped.sum()} of {helped.size} rows: {how} there"]


def _check_sunshine(table: WeatherTable, longest_h: FloatArray) -> None:
    sunshine = table.columns["sunshine_h"]
    most = longest_h * _SUNSHINE_ERROR + _SUNSHINE_ERROR_H
    for row in np.flatnonzero(sunshine > most)[:1]:
        raise WeatherError(
            table.path,
            int(table.line[row]),
            f"sunshine_h = {sunshine[row]:g}",
            f"the day of {to_text(int(table.time_ms[row]), 'daily')} lasts "
            f"{longest_h[row]:.1f} h at the site's latitude",
        )
    known = sunshine[~np.isnan(sunshine)]
    if known.size >= _MONTH_DAYS and 0.0 < known.max() <= 1.0:
        raise WeatherError(
            table.path,
            0,
            f"sunshine_h is {known.max():g} at most in {known.size} days",
            "a fraction of the day? hours are needed",
        )
