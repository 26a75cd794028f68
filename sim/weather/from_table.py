"""Weather from the rows of a file, after all checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from levada.guest.text.ranges import out_of_range
from levada.sim.settings.site import Site
from levada.sim.weather import checks, disaggregate, estimates, gaps
from levada.sim.weather.disaggregate import extraterrestrial_mj_m2, saturation_kpa
from levada.sim.weather.gaps import FILL_METHODS, Fill
from levada.sim.weather.series import (
    COLUMNS,
    HOUR_MS,
    HUMIDITY,
    REFERENCE_ET,
    Days,
    FloatArray,
    Step,
    Weather,
    WeatherTable,
    check_columns,
)
from levada.sim.weather.site import wind_at_2m

__all__ = ["build", "from_days"]

_SEASON_DAYS = 60
_LITTLE_ET_MM = 0.4  # a day; 10 mm/d in inches


def build(
    table: WeatherTable,
    site: Site,
    *,
    start: date | None = None,
    end: date | None = None,
    fill: Fill = "none",
    from_temperature: estimates.Climate = "none",
    seed: int = 0,
) -> Weather:
    """Weather of the days `start` to `end` (default: all whole days) from the rows of a file.

    `fill` names the method for absent values, `from_temperature` the climate by which radiation,
    humidity and wind are estimated that a daily file does not have, `seed` chooses the hours of
    rain of a daily file.  Raises WeatherError.
    """
    if fill not in FILL_METHODS:
        raise ValueError(out_of_range("fill", fill, ", ".join(FILL_METHODS)))
    columns = {name: v for name, v in table.columns.items() if not np.isnan(v).all()}
    check_columns(table.path, table.step, columns, estimated=from_temperature != "none")
    table = replace(table, columns=columns)
    checks.check_order(table)
    table = estimates.estimated(checks.check_values(table), site, from_temperature)
    table, filled = gaps.complete(gaps.without_gauge(table, start, end), start, end, fill)
    table = replace(table, notes=(*table.notes, *_given_notes(table)))
    if from_temperature != "none" and estimates.temperature_only(columns):
        table = estimates.with_hargreaves(table, site)
    notes = list(table.notes)
    columns = dict(table.columns)
    if "rain_mm" not in columns:
        columns["rain_mm"] = np.zeros(table.time_ms.size)
        if "rain_mm absent" not in "".join(notes):
            notes.append("no rain column: no rain")
    make = _from_daily if table.step == "daily" else _from_hourly
    weather = make(replace(table, columns=columns), site, seed)
    days = weather.days
    notes += checks.check_wind(table.path, days.wind_m_s)
    notes += checks.check_rain(days.rain_mm)
    outside = extraterrestrial_mj_m2(days.day_of_year, site.latitude_deg)
    checks.check_solar(table.path, days.solar_mj_m2, outside)
    return replace(
        weather,
        source=table.path,
        sha256=table.sha256,
        filled=filled,
        notes=(*notes, *weather.notes),
        reference_et={s: columns[name] for name, s in REFERENCE_ET.items() if name in columns},
    )


def _given_notes(table: WeatherTable) -> list[str]:
    """What reference ET the file brings, and where it has to be computed."""
    unit, least = ("days", 1.0) if table.step == "daily" else ("hours", 1.0 / 24.0)
    notes = []
    for name, surface in REFERENCE_ET.items():
        if name not in table.columns:
            continue
        values = table.columns[name]
        known = values[~np.isnan(values)]
        crops = "" if surface == "short" else ' for crops with `reference = "tall"`'
        what = COLUMNS[table.step][name][0] + crops
        note = f"{name}: {what} is the file's in {known.size} of {values.size} {unit}"
        notes.append(note + (", computed in the others" if known.size < values.size else ""))
        dew = int((known < 0.0).sum())
        if dew:
            notes.append(f"{name} below zero in {dew} of these: dew, counted as 0")
        if known.size * least >= _SEASON_DAYS and known.mean() < _LITTLE_ET_MM * least:
            mean = known.mean() / least
            notes.append(f"{name} is {mean:.2f} mm a day on average: are these inches?")
    return notes


def _vapour(step: Step, columns: Mapping[str, FloatArray]) -> tuple[FloatArray, list[str]]:
    """Actual vapour pressure [kPa] by the best humidity that every row has, and notes."""
    kinds = [kind for kind in HUMIDITY[step] if all(name in columns for name in kind)]
    vapour = _by(kinds[0], step, columns)
    notes = []
    for kind in kinds[1:]:
        absent = np.isnan(vapour)
        if not absent.any():
            break
        other = _by(kind, step, columns)
        helped = absent & ~np.isnan(other)
        if helped.any():
            vapour = np.where(helped, other, vapour)
            what = " and ".join(kinds[0])
            with_ = " and ".join(kind)
            notes.append(f"{what} absent in {helped.sum()} of {helped.size} rows: by {with_} there")
    return vapour, notes


def _by(kind: tuple[str, ...], step: Step, columns: Mapping[str, FloatArray]) -> FloatArray:
    """Vapour pressure [kPa] by one kind of humidity (`levada.sim.weather.series.HUMIDITY`).

    FAO-56: dew point Eq. 14, extremes of relative humidity Eq. 17, their mean Eq. 19, hours Eq. 54.
    """
    match kind:
        case ("ea_kpa",):
            return columns["ea_kpa"]
        case ("tdew_c",) | ("dewpoint_c",):
            return saturation_kpa(columns[kind[0]])
    if step == "hourly":
        return saturation_kpa(columns["temp_c"]) * columns["rh_pct"] / 100.0
    low, high = saturation_kpa(columns["tmin_c"]), saturation_kpa(columns["tmax_c"])
    if kind == ("rhmax_pct", "rhmin_pct"):
        return (low * columns["rhmax_pct"] + high * columns["rhmin_pct"]) / 200.0
    return (low + high) / 2.0 * columns["rh_pct"] / 100.0


def _from_daily(table: WeatherTable, site: Site, seed: int) -> Weather:
    columns = table.columns
    saturated = saturation_kpa(columns["tmax_c"])
    vapour, notes = _vapour("daily", columns)
    ea, cut = checks.cut_vapour(table, vapour, saturated)
    rhmin = 100.0 * ea / saturated
    if "rhmin_pct" in columns:
        rhmin = np.where(np.isnan(columns["rhmin_pct"]), rhmin, columns["rhmin_pct"])
    days = Days(
        time_ms=table.time_ms,
        tmax_c=columns["tmax_c"],
        tmin_c=columns["tmin_c"],
        ea_kpa=ea,
        rhmin_pct=rhmin,
        wind_m_s=wind_at_2m(columns["wind_m_s"], site.wind_height_m),
        solar_mj_m2=columns["solar_mj_m2"],
        rain_mm=columns["rain_mm"],
    )
    return replace(from_days(days, site, seed=seed), notes=(*notes, *cut))


def from_days(days: Days, site: Site, *, seed: int = 0) -> Weather:
    """Weather whose hours follow from its days (`sim.disaggregate`)."""
    hours = disaggregate.hours(
        day_ms=days.time_ms,
        day_of_year=days.day_of_year,
        tmax_c=days.tmax_c,
        tmin_c=days.tmin_c,
        ea_kpa=days.ea_kpa,
        wind_m_s=days.wind_m_s,
        solar_mj_m2=days.solar_mj_m2,
        rain_mm=days.rain_mm,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        utc_offset_h=site.utc_offset_h,
        seed=seed,
    )
    time_ms = (days.time_ms[:, None] + np.arange(24) * HOUR_MS).reshape(-1)
    return Weather(
        site=site,
        step="daily",
        time_ms=time_ms,
        temp_c=hours.temp_c.reshape(-1),
        ea_kpa=hours.ea_kpa.reshape(-1),
        wind_m_s=hours.wind_m_s.reshape(-1),
        solar_mj_m2=hours.solar_mj_m2.reshape(-1),
        rain_mm=hours.rain_mm.reshape(-1),
        days=days,
    )


def _from_hourly(table: WeatherTable, site: Site, seed: int) -> Weather:
    del seed  # only the hours of rain of a daily file are drawn
    columns, time_ms = table.columns, table.time_ms
    temp = columns["temp_c"]
    vapour, notes = _vapour("hourly", columns)
    ea, cut = checks.cut_vapour(table, vapour, saturation_kpa(temp))
    wind = wind_at_2m(columns["wind_m_s"], site.wind_height_m)
    solar_w_m2, set_to_zero = checks.cut_negative(columns["solar_w_m2"])
    solar = solar_w_m2 * 0.0036
    rain = columns["rain_mm"]
    days = Days(
        time_ms=time_ms[::24],
        tmax_c=_by_day(temp).max(axis=1),
        tmin_c=_by_day(temp).min(axis=1),
        ea_kpa=_by_day(ea).mean(axis=1),
        rhmin_pct=_by_day(100.0 * ea / saturation_kpa(temp)).min(axis=1),
        wind_m_s=_by_day(wind).mean(axis=1),
        solar_mj_m2=_by_day(solar).sum(axis=1),
        rain_mm=_by_day(rain).sum(axis=1),
    )
    return Weather(
        site=site,
        step="hourly",
        time_ms=time_ms,
        temp_c=temp,
        ea_kpa=ea,
        wind_m_s=wind,
        solar_mj_m2=solar,
        rain_mm=rain,
        days=days,
        notes=(*notes, *cut, *set_to_zero),
    )


def _by_day(hourly: FloatArray) -> FloatArray:
    return hourly.reshape(-1, 24)
