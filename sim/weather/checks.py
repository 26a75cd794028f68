"""Wrong units and bad sensors, as far as the numbers of a file show them.

Single values that cannot be are refused.  A file in another unit can pass that: wind in km/h is a
gale, rain in inches a drought, and both have happened somewhere.  Over a month they stand out, and
are refused where no cropland has such weather, else named in a note.  Whatever is cut is counted in
a note as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from levada.sim.errors import WeatherError
from levada.sim.weather.series import COLUMNS, FloatArray, WeatherTable, to_text

__all__ = [
    "check_order",
    "check_rain",
    "check_solar",
    "check_values",
    "check_wind",
    "cut_negative",
    "cut_vapour",
]

_MONTH_DAYS: Final = 30
_STRONG_WIND_M_S: Final = 5.0
"""FAO-56 Table 4: the highest class of monthly means at 2 m."""
_LARGEST_WIND_M_S: Final = 6.5
"""Mean of a month or more at 2 m.  Of 275 US stations only Mount Washington exceeds a mean of
7.9 m/s at 10 m, 5.9 at 2 m; Dodge City in its wheat has 6.2, 4.6 at 2 m (National Climatic Data
Center, Comparative Climatic Data, wind: average speed)."""
_OVERCAST: Final = 0.25
"""Share of extraterrestrial radiation that comes through a day without sun (FAO-56 Eq. 35, a_s)."""
_SUNNY_MJ_M2: Final = 5.0  # extraterrestrial; below it a sun at the horizon says little
_DRY_MM_PER_DAY: Final = 0.15  # 55 mm a year
_DRY_DAYS: Final = 60
_SHOWER_MM: Final = 5.0
_ROUNDING: Final = 1.001  # of files with two decimals
_HUMIDITY_ERROR: Final = 1.05
"""What sensors of relative humidity are good for in the field: 5 % (ASCE-EWRI 2005, App. D)."""
_WRONG_HOURS: Final = 0.05
_WRONG_RATIO: Final = 1.25  # over saturation; a dew point 3 to 4 K above the air's temperature
_WRONG_KPA: Final = 0.1  # in frost a small error of either is a large ratio


def check_order(table: WeatherTable) -> None:
    """Every time once, and ascending."""
    step = np.diff(table.time_ms)
    for row in np.flatnonzero(step <= 0)[:1]:
        line, time = int(table.line[row + 1]), int(table.time_ms[row + 1])
        if step[row] == 0 or time in table.time_ms[: row + 1]:
            first = int(table.line[np.flatnonzero(table.time_ms == time)[0]])
            found, allowed = f"{to_text(time)} again", f"each time once, first on line {first}"
        else:
            found = f"{to_text(time)} after {to_text(int(table.time_ms[row]))}"
            allowed = "times must ascend"
        raise WeatherError(table.path, line, found, allowed)


def check_values(table: WeatherTable) -> WeatherTable:
    """Every value within the bounds of its column, daily extremes in their order.

    Relative humidity a little above 100 % is a sensor's error, and cut.
    """
    columns, notes = dict(table.columns), list(table.notes)
    for name, values in table.columns.items():
        meaning, unit, low, high = COLUMNS[table.step][name]
        most = high * _HUMIDITY_ERROR if name.startswith("rh") else high
        for row in np.flatnonzero((values < low) | (values > most))[:1]:
            raise WeatherError(
                table.path,
                int(table.line[row]),
                f"{name} = {values[row]:g}",
                f"allowed for {meaning} is {low:g} to {most:g} {unit}{_code(values[row])}",
            )
        if (values > high).any():
            above = int((values > high).sum())
            found = f"{name} above {high:g} {unit} in {above} of {values.size} rows"
            first = int(table.line[np.argmax(values > high)])
            notes.append(f"{found}, first on line {first}, at most {np.nanmax(values):g}: cut")
            columns[name] = np.minimum(values, high)
    rh = [np.nanmax(v) for n, v in columns.items() if n.startswith("rh")]
    if rh and len(table.line) > 2 and max(rh) <= 1.0:
        raise WeatherError(
            table.path,
            int(table.line[0]),
            f"no relative humidity above {max(rh):g}",
            "a fraction? percent is needed, 0 to 100",
        )
    for low_name, high_name in (("tmin_c", "tmax_c"), ("rhmin_pct", "rhmax_pct")):
        if low_name in table.columns and high_name in columns:
            wrong = columns[low_name] > columns[high_name]
            for row in np.flatnonzero(wrong)[:1]:
                raise WeatherError(
                    table.path,
                    int(table.line[row]),
                    f"{low_name} = {columns[low_name][row]:g}",
                    f"at most {high_name} = {columns[high_name][row]:g}",
                )
    return replace(table, columns=columns, notes=tuple(notes))


def _code(value: float) -> str:
    """A hint if a value looks like what loggers and services write where they have none."""
    digits = f"{abs(value):g}".replace(".", "")
    code = len(digits) >= 3 and set(digits) == {"9"}
    return "; the code of an absent value? leave its cell empty" if code else ""


def cut_vapour(
    table: WeatherTable, ea_kpa: FloatArray, saturation_kpa: FloatArray
) -> tuple[FloatArray, list[str]]:
    """Vapour pressure [kPa] of each row of the table, cut at saturation (FAO-56 Eq. 11).

    Raises WeatherError if that is more than a sensor's error.
    """
    ratio = ea_kpa / saturation_kpa
    above = ratio > _ROUNDING
    if not above.any():
        return np.minimum(ea_kpa, saturation_kpa), []
    excess = ea_kpa - saturation_kpa
    far = (ratio > _WRONG_RATIO) & (excess > _WRONG_KPA)
    share = np.mean((ratio > _HUMIDITY_ERROR) & (excess > _WRONG_KPA / 10.0))
    worst = int(np.argmax(excess))
    what = "day" if table.step == "daily" else "hour"
    found = (
        f"vapour pressure above saturation in {above.sum()} of {above.size} {what}s, "
        f"at most {excess[worst]:.3f} kPa ({100.0 * (ratio[worst] - 1.0):.0f} %)"
    )
    if far.any() or share > _WRONG_HOURS:
        raise WeatherError(
            table.path,
            int(table.line[worst]),
            found,
            "a sensor's error is 5 %: is humidity or temperature in another unit?",
        )
    return np.minimum(ea_kpa, saturation_kpa), [f"{found}: cut"]


def cut_negative(solar_w_m2: FloatArray) -> tuple[FloatArray, list[str]]:
    """Radiation [W m-2] of hours without what a thermopile shows below zero at night."""
    below = solar_w_m2 < 0.0
    if not below.any():
        return solar_w_m2, []
    note = (
        f"radiation below zero in {below.sum()} of {below.size} hours, "
        f"at least {solar_w_m2.min():g} W m-2: set to 0"
    )
    return np.maximum(solar_w_m2, 0.0), [note]


def check_wind(path: str, wind_m_s: FloatArray) -> list[str]:
    """Notes on daily means at 2 m.  Raises WeatherError if no cropland has such wind."""
    mean, days = float(np.mean(wind_m_s)), wind_m_s.size
    if days < _MONTH_DAYS or mean <= _STRONG_WIND_M_S:
        return []
    found = f"mean wind at 2 m of {mean:.1f} m/s in {days} days"
    if mean > _LARGEST_WIND_M_S:
        raise WeatherError(
            path,
            0,
            found,
            f"are these km/h, mph or knots? m/s are needed; farm land has {_LARGEST_WIND_M_S:g} "
            "at most",
        )
    return [f"{found}: are these km/h, mph or knots?"]


def check_rain(rain_mm: FloatArray) -> list[str]:
    """Notes on daily sums: a desert, or another unit."""
    total, days = float(np.sum(rain_mm)), rain_mm.size
    little = 0.0 < total < _DRY_MM_PER_DAY * days and rain_mm.max() < _SHOWER_MM
    if days <= _DRY_DAYS or not little:
        return []
    return [f"rain of the file is {total:.1f} mm in {days} days: are these inches?"]


def check_solar(path: str, solar_mj_m2: FloatArray, extraterrestrial_mj_m2: FloatArray) -> None:
    """Raise WeatherError if the sun never shone in a month, or shone more than outside the air."""
    seen = extraterrestrial_mj_m2 > _SUNNY_MJ_M2
    if seen.sum() < _MONTH_DAYS:
        return
    share = solar_mj_m2[seen] / extraterrestrial_mj_m2[seen]
    if share.max() < _OVERCAST:
        raise WeatherError(
            path,
            0,
            f"radiation of the sunniest of {seen.sum()} days is {100.0 * share.max():.0f} % of "
            "that outside the air",
            f"a day without sun has {100.0 * _OVERCAST:.0f} %: are these kWh m-2, or MJ m-2 h-1?",
        )
    if share.mean() > 1.0:
        raise WeatherError(
            path,
            0,
            f"mean radiation of {seen.sum()} days is {100.0 * share.mean():.0f} % of that outside "
            "the air",
            "100 % at most: is it in another unit?",
        )
