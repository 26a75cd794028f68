"""Reference evapotranspiration of short grass, by the day and by the hour.

The equations are those of the package `refet` with `method="asce"`: ASCE-EWRI (2005), The ASCE
Standardized Reference Evapotranspiration Equation.  By the day that is FAO-56 Eq. 6 (Allen et al.
1998).  By the hour the two publications differ, and `form` says which is meant:

                        "asce" (refet)                      "fao56" (here)
    surface resistance  Cd 0.24 by day, 0.96 by night       0.34 always (FAO-56 Eq. 53)
    cloudiness          Rs/Rso of the hour; clear sky       Rs/Rso of the hour; by night that of
                        while the sun is below 0.3 rad      the last hour with the sun above 0.3 rad

"asce" is the default: its hours add up to the day better (Allen et al. 2006, Agric. Water Manage.
81:1-22).  Both take soil heat flux as 0.1 Rn by day and 0.5 Rn by night, by day as zero.
`refet` also knows `method="refet"`, which copies rounding of an older program; it is not used.

Left out: dew (negative hours count as zero in `of_weather`), other reference surfaces.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from refet import Daily, Hourly, calcs

from levada.sim.units import HOUR_MS
from levada.sim.weather import Site, Weather

__all__ = ["daily", "hourly", "of_weather"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Form = Literal["asce", "fao56"]

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
) -> FloatArray:
    """ET0 [mm d-1], shape of the inputs, FAO-56 Eq. 6; wind [m s-1] at `site.wind_height_m`.

    `solar_mj_m2` and `soil_heat_mj_m2` in MJ m-2 d-1; soil heat matters over months (Eq. 43).
    """
    model = Daily(
        tmin=tmin_c,
        tmax=tmax_c,
        ea=ea_kpa,
        rs=solar_mj_m2,
        uz=wind_m_s,
        zw=site.wind_height_m,
        elev=site.elevation_m,
        lat=site.latitude_deg,
        doy=np.asarray(day_of_year),
        method="asce",
    )
    model.g = np.asarray(soil_heat_mj_m2)
    return np.asarray(model.eto(), np.float64)


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
) -> FloatArray:
    """ET0 [mm h-1] of consecutive hours, shape (hours,), negative on nights with dew.

    `hour` is the start of each hour in local standard time, `solar_mj_m2` in MJ m-2 h-1, wind
    [m s-1] at `site.wind_height_m`.
    """
    if form not in ("asce", "fao56"):
        raise ValueError(f"form = {form!r}: allowed is asce or fao56")
    doy, start_utc = np.atleast_1d(day_of_year), np.atleast_1d(hour) - site.utc_offset_h
    model = Hourly(
        tmean=temp_c,
        ea=ea_kpa,
        rs=solar_mj_m2,
        uz=wind_m_s,
        zw=site.wind_height_m,
        elev=site.elevation_m,
        lat=site.latitude_deg,
        lon=site.longitude_deg,
        doy=doy,
        time=start_utc,
        method="asce",
    )
    if form == "asce":
        return np.asarray(model.eto(), np.float64)
    low_sun = _sun_height(doy, start_utc + 0.5, site) < _LOW_SUN_RAD
    ratio = np.divide(model.rs, model.rso, out=np.zeros(model.rs.shape), where=~low_sun)
    ratio = _carried(np.clip(ratio, 0.3, 1.0), ~low_sun)
    rn = calcs.rn_hourly(model.rs, calcs.rnl_hourly(model.tmean, model.ea, 1.35 * ratio - 0.35))
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


def of_weather(weather: Weather, form: Form = "asce") -> FloatArray:
    """ET0 [mm h-1] of every hour, shape (hours,), never negative.

    Of a daily source the day's sum is the daily equation's, and the hourly one only spreads it.
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
            form=form,
        ),
        0.0,
    )
    if weather.step == "hourly":
        return by_hour
    days = weather.days
    by_day = daily(
        tmax_c=days.tmax_c,
        tmin_c=days.tmin_c,
        ea_kpa=days.ea_kpa,
        solar_mj_m2=days.solar_mj_m2,
        wind_m_s=days.wind_m_s,
        day_of_year=days.day_of_year,
        site=site,
    )
    share = by_hour.reshape(-1, 24)
    total = share.sum(axis=1, keepdims=True)
    even = np.full_like(share, 1.0 / 24.0)
    np.divide(share, total, out=even, where=total > 0.0)
    return (np.maximum(by_day, 0.0)[:, None] * even).reshape(-1)


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


def _carried(values: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Each unknown value replaced by the last known one before it."""
    last = np.maximum.accumulate(np.where(known, np.arange(values.size), -1))
    return np.where(last < 0, _CLOUDINESS_AT_FIRST, values[np.maximum(last, 0)])
