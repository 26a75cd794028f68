"""Reference evapotranspiration of short grass and of tall alfalfa, by the day and by the hour.

The equations are those of the package `refet` with `method="asce"`: ASCE-EWRI (2005), The ASCE
Standardized Reference Evapotranspiration Equation, whose Table 1 has the coefficients:

                        short (ET0)              tall (ETr)
    by the day          Cn 900, Cd 0.34          Cn 1600, Cd 0.38
    by the hour, day    Cn 37, Cd 0.24, G/Rn 0.1   Cn 66, Cd 0.25, G/Rn 0.04
    by the hour, night  Cn 37, Cd 0.96, G/Rn 0.5   Cn 66, Cd 1.7, G/Rn 0.2

By the day ET0 is FAO-56 Eq. 6 (Allen et al. 1998).  By the hour the two publications differ, and
`form` says which is meant:

                        "asce"                              "fao56"
    surface resistance  Cd 0.24 by day, 0.96 by night       0.34 always (FAO-56 Eq. 53)

"asce" is the default: its hours add up to the day better (Allen et al. 2006, Agric. Water Manage.
81:1-22).  FAO-56 has no tall reference.  In both, cloudiness is Rs/Rso of the hour, and while the
sun is below 0.3 rad that of the last hour in which it was higher, as in Ref-ET.  "refet" is "asce"
as the package computes it, with a clear sky while the sun is low; it spreads a day over made hours,
whose clouds are the day's.

`refet` also knows `method="refet"`, which copies rounding of an older program, and Rso of turbidity
and vapour (ASCE Appendix D), which brings hours no closer to Ref-ET; neither is used.

Reference ET that a weather file brings is taken as it is.  Left out: dew (negative hours count as
zero in `of_weather`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from refet import Daily, Hourly, calcs

from levada.sim.settings.crop import Surface
from levada.sim.units import HOUR_MS
from levada.sim.weather import Site, Weather

__all__ = ["Form", "Surface", "daily", "hourly", "of_weather"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Form = Literal["asce", "fao56", "refet"]

_LOW_SUN_RAD = 0.3  # FAO-56 p. 75: below it Rs/Rso says nothing
_CLOUDINESS_AT_FIRST = 0.8  # FAO-56 p. 75: 0.7 to 0.8 in arid and semi-arid climates


def daily(
    *,
    tmax_c: npt.ArrayLike,
    tmin_c: npt.ArrayLike,
    ea_kpa: npt.ArrayLike,
    solar_mj_m2: npt.ArrayLike,
    wind_m_s: npt.ArrayLike,
    day_of_year: npt.ArrayLike,
    site: Site,
    soil_heat_mj_m2: npt.ArrayLike = 0.0,
    surface: Surface = "short",
) -> FloatArray:
    """Reference ET [mm d-1], shape of the inputs, ASCE-EWRI 2005 Eq. 1 (of grass FAO-56 Eq. 6).

    `solar_mj_m2` and `soil_heat_mj_m2` in MJ m-2 d-1; soil heat matters over months (FAO-56
    Eq. 43); wind [m s-1] at `site.wind_height_m`.
    """
    _check_surface(surface)
    # `refet` multiplies its copies in place, which integers do not bear.
    model = Daily(
        tmin=_floats(tmin_c),
        tmax=_floats(tmax_c),
        ea=_floats(ea_kpa),
        rs=_floats(solar_mj_m2),
        uz=_floats(wind_m_s),
        zw=float(site.wind_height_m),
        elev=float(site.elevation_m),
        lat=float(site.latitude_deg),
        doy=np.asarray(day_of_year),
        method="asce",
    )
    model.g = _floats(soil_heat_mj_m2)
    return np.asarray(model.etsz(surface), np.float64)


def hourly(
    *,
    temp_c: npt.ArrayLike,
    ea_kpa: npt.ArrayLike,
    solar_mj_m2: npt.ArrayLike,
    wind_m_s: npt.ArrayLike,
    day_of_year: npt.ArrayLike,
    hour: npt.ArrayLike,
    site: Site,
    form: Form = "asce",
    surface: Surface = "short",
) -> FloatArray:
    """Reference ET [mm h-1] of consecutive hours, shape (hours,), negative on nights with dew.

    `hour` is the start of each hour in local standard time, `solar_mj_m2` in MJ m-2 h-1, wind
    [m s-1] at `site.wind_height_m`.
    """
    if form not in ("asce", "fao56", "refet"):
        raise ValueError(f"form = {form!r}: allowed is asce, fao56 or refet")
    _check_surface(surface)
    if form == "fao56" and surface != "short":
        raise ValueError(f"surface = {surface!r} with form fao56: allowed is short, or form asce")
    given = [_floats(v) for v in (temp_c, ea_kpa, solar_mj_m2, wind_m_s, hour)]
    doy, temp, ea, solar, wind, start = np.broadcast_arrays(np.atleast_1d(day_of_year), *given)
    start_utc = start - float(site.utc_offset_h)
    model = Hourly(
        tmean=temp,
        ea=ea,
        rs=solar,
        uz=wind,
        zw=float(site.wind_height_m),
        elev=float(site.elevation_m),
        lat=float(site.latitude_deg),
        lon=float(site.longitude_deg),
        doy=doy,
        time=start_utc,
        method="asce",
    )
    if form == "refet":
        return np.asarray(model.etsz(surface), np.float64)
    # The height of the sun is that at the start of the hour in `refet`, as in Ref-ET.
    height = _sun_height(doy, start_utc + (0.5 if form == "fao56" else 0.0), site)
    ratio = _cloudiness(model, height, doy, form)
    rn = calcs.rn_hourly(model.rs, calcs.rnl_hourly(model.tmean, model.ea, 1.35 * ratio - 0.35))
    if form == "asce":
        model.rn = rn
        return np.asarray(model.etsz(surface), np.float64)
    et0 = calcs.etsz(  # FAO-56 Eq. 53; G from Eq. 45 and 46
        rn=rn,
        g=rn * np.where(rn < 0.0, 0.5, 0.1),
        tmean=model.tmean,
        u2=model.u2,
        vpd=model.vpd,
        es_slope=model.es_slope,
        psy=model.psy,
        cn=37.0,
        cd=0.34,
    )
    return np.asarray(et0, np.float64)


def of_weather(weather: Weather, form: Form = "asce", surface: Surface = "short") -> FloatArray:
    """Reference ET [mm h-1] of every hour, shape (hours,), never negative.

    What the file has of it is taken, and the rest computed.  Of a daily source the day's sum is the
    file's or the daily equation's, and the hourly one only spreads it.
    """
    # Weather holds wind at 2 m already: tell the equations so, whatever the anemometer's height.
    site = _with_wind_at_2m(weather.site)
    by_hour = np.maximum(
        hourly(
            temp_c=weather.temp_c,
            ea_kpa=weather.ea_kpa,
            solar_mj_m2=weather.solar_mj_m2,
            wind_m_s=weather.wind_m_s,
            day_of_year=weather.day_of_year,
            hour=weather.time_ms // HOUR_MS % 24,
            site=site,
            form="refet" if form == "asce" and weather.step == "daily" else form,
            surface=surface,
        ),
        0.0,
    )
    given = weather.reference_et.get(surface)
    if weather.step == "hourly":
        return by_hour if given is None else _given_or(given, by_hour)
    days = weather.days
    by_day = daily(
        tmax_c=days.tmax_c,
        tmin_c=days.tmin_c,
        ea_kpa=days.ea_kpa,
        solar_mj_m2=days.solar_mj_m2,
        wind_m_s=days.wind_m_s,
        day_of_year=days.day_of_year,
        site=site,
        surface=surface,
    )
    if given is not None:
        by_day = _given_or(given, by_day)
    share = by_hour.reshape(-1, 24)
    total = share.sum(axis=1, keepdims=True)
    even = np.full_like(share, 1.0 / 24.0)
    np.divide(share, total, out=even, where=total > 0.0)
    return (np.maximum(by_day, 0.0)[:, None] * even).reshape(-1)


def _given_or(given: FloatArray, computed: FloatArray) -> FloatArray:
    """What the file has, and elsewhere what was computed; dew counts as zero."""
    return np.where(np.isnan(given), computed, np.maximum(given, 0.0))


def _floats(values: npt.ArrayLike) -> FloatArray:
    return np.asarray(values, np.float64)


def _check_surface(surface: str) -> None:
    if surface not in ("short", "tall"):
        raise ValueError(f"surface = {surface!r}: allowed is short or tall")


def _with_wind_at_2m(site: Site) -> Site:
    return site.but(wind_height_m=2.0)


def _sun_height(day_of_year: IntArray, middle_utc: FloatArray, site: Site) -> FloatArray:
    """Angle of the sun above the horizon [rad], FAO-56 Eq. 3-15 of its annex (ASCE Eq. 62)."""
    latitude, longitude = np.radians(site.latitude_deg), np.radians(site.longitude_deg)
    delta = calcs.declination(day_of_year, "asce")
    solar = calcs.solar_time_rad(longitude, middle_utc, calcs.seasonal_correction(day_of_year))
    omega = calcs.solar_hour_angle(solar)
    height = np.sin(latitude) * np.sin(delta) + np.cos(latitude) * np.cos(delta) * np.cos(omega)
    return np.asarray(np.arcsin(height), np.float64)


def _cloudiness(model: Any, height: FloatArray, day_of_year: IntArray, form: Form) -> FloatArray:
    """Rs/Rso of every hour of refet's `model`, while the sun is low that of the last higher one.

    At the start that of the first higher one (FAO-56: 0.8).
    """
    lowest = _LOW_SUN_RAD if form == "fao56" else _high_sun_rad(height, day_of_year)
    known = (height >= lowest) & (model.rso > 0.0)
    ratio = np.divide(model.rs, model.rso, out=np.zeros(known.shape), where=known)
    ratio = np.clip(ratio, 0.3, 1.0)
    first = _CLOUDINESS_AT_FIRST if form == "fao56" else _first(ratio, known)
    return _carried(ratio, known, first)


def _high_sun_rad(height: FloatArray, day_of_year: IntArray) -> FloatArray:
    """Height from which Rs/Rso counts: 0.3 rad, or the highest of a day that does not reach it."""
    _, of_day = np.unique(day_of_year, return_inverse=True)
    highest = np.full(of_day.max() + 1, -np.inf)
    np.maximum.at(highest, of_day, height)
    return np.minimum(_LOW_SUN_RAD, highest[of_day])


def _first(values: FloatArray, known: npt.NDArray[np.bool_]) -> float:
    """The first known value; 1.0, a clear sky, if there is none."""
    return float(values[np.argmax(known)]) if known.any() else 1.0


def _carried(values: FloatArray, known: npt.NDArray[np.bool_], first: float) -> FloatArray:
    """Each unknown value replaced by the last known one before it, or by `first`."""
    last = np.maximum.accumulate(np.where(known, np.arange(values.size), -1))
    return np.where(last < 0, first, values[np.maximum(last, 0)])
