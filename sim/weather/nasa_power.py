"""NASA POWER: CSV of the daily and hourly point service (power.larc.nasa.gov).

A header block names the place, the parameters with their units, and the code of a value that is
absent; its spelling has changed over the years.  Wind is that at the height in the parameter's
name.  Times are UTC or local solar time, which is taken as standard time.  A rate, such as mm/day,
is brought to the step of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from levada.sim.errors import WeatherError
from levada.sim.settings.site import Site
from levada.sim.weather.place import elevation_m, moment_ms, place, table
from levada.sim.weather.series import Step, WeatherTable
from levada.sim.weather.text import number, read_text, whole_number

__all__ = ["read_nasa_power"]

_NUMBER: Final = r"(-?\d+(?:\.\d+)?)"
_PLACE: Final = re.compile(rf"latitude\s*:?\s*{_NUMBER}\s+longitude\s*:?\s*{_NUMBER}", re.I)
_ELEVATION: Final = re.compile(r"elevation.*=\s*(\S+)\s*meters", re.I)
_MISSING: Final = re.compile(rf"value for missing.*:\s*{_NUMBER}[\s;,\"]*$", re.I | re.M)
_UNIT: Final = re.compile(r"^\W*(\w+) .*\(([^()]*)\)[\s;,\"]*$", re.M)
_ABSENT: Final = -999.0
_MAX_HEADER: Final = 500
"""Lines of a header, and characters of one; those of NASA have about 30 and 120."""

# Parameters in the order of preference, with our column.
_PARAMETERS: Final[Mapping[Step, tuple[tuple[str, str], ...]]] = {
    "daily": (
        ("T2M_MAX", "tmax_c"),
        ("T2M_MIN", "tmin_c"),
        ("T2MDEW", "tdew_c"),
        ("RH2M", "rh_pct"),
        ("WS2M", "wind_m_s"),
        ("WS10M", "wind_m_s"),
        ("WS50M", "wind_m_s"),
        ("ALLSKY_SFC_SW_DWN", "solar_mj_m2"),
        ("PRECTOTCORR", "rain_mm"),
        ("PRECTOT", "rain_mm"),
    ),
    "hourly": (
        ("T2M", "temp_c"),
        ("T2MDEW", "dewpoint_c"),
        ("RH2M", "rh_pct"),
        ("WS2M", "wind_m_s"),
        ("WS10M", "wind_m_s"),
        ("WS50M", "wind_m_s"),
        ("ALLSKY_SFC_SW_DWN", "solar_w_m2"),
        ("PRECTOTCORR", "rain_mm"),
        ("PRECTOT", "rain_mm"),
    ),
}
# Unit as the header prints it, small and without blanks, `^` and `-`: what one of it is a second,
# or in the whole step, as joule per square metre or millimetre.
_J_A_SECOND: Final = {
    "mj/m2/day": 1e6 / 86_400,
    "kwhr/m2/day": 3.6e6 / 86_400,
    "kwh/m2/day": 3.6e6 / 86_400,
    "wh/m2/day": 3600 / 86_400,
    "mj/hr": 1e6 / 3600,
    "mj/m2/hr": 1e6 / 3600,
    "mj/m2/hour": 1e6 / 3600,
    "w/m2": 1.0,
    "wm2": 1.0,
}
_J_A_STEP: Final = {
    "wh/m2": 3600.0,
    "kwhr/m2": 3.6e6,
    "kwh/m2": 3.6e6,
    "mj/m2": 1e6,
}
_MM_A_SECOND: Final = {
    "mm/day": 1 / 86_400,
    "mmday1": 1 / 86_400,
    "mm/hour": 1 / 3600,
    "mm/hr": 1 / 3600,
    "mm/h": 1 / 3600,
    "kg/m2/s": 1.0,
    "kgm2s1": 1.0,
}
_MM_A_STEP: Final = {"mm": 1.0}
_STEP_S: Final[Mapping[Step, float]] = {"daily": 86_400.0, "hourly": 3600.0}
_OTHERS: Final[Mapping[str, frozenset[str]]] = {
    "T": frozenset(("c", "degc", "°c")),
    "R": frozenset("%"),
    "W": frozenset(("m/s", "ms1")),
}


def read_nasa_power(path: str | Path, site: Site | None = None) -> tuple[WeatherTable, Site]:
    """Rows and place of a NASA POWER file, daily or hourly; raises WeatherError."""
    text = read_text(path)
    name = text.path
    begin = text.lines[:_MAX_HEADER]
    end = next((n for n, t in enumerate(begin, 1) if "-END HEADER-" in t.upper()), 0)
    rows = [n for n, t in enumerate(text.lines, 1) if n > end and t.strip(' ,;"\t')]
    if not end or len(rows) < 2:
        raise WeatherError(name, 0, "no -END HEADER- with rows after it", "a whole file is needed")
    header = "\n".join(" ".join(line.split())[:_MAX_HEADER] for line in begin[:end])
    separator = max(",;\t", key=text.lines[rows[0] - 1].count)
    at = {title.upper(): i for i, title in enumerate(text.cells(rows[0], separator))}
    lines = rows[1:]
    cells = {line: text.cells(line, separator) for line in lines}
    for line, row in cells.items():
        if len(row) != len(at):
            raise WeatherError(name, line, f"{len(row)} cells", f"{len(at)} are needed")
    _check_one_place(name, rows[0], at, cells)
    step: Step = "hourly" if "HR" in at else "daily"
    where, shift_h, note = _where(name, header, site, step)
    times = [_time(name, line, cells[line], at, shift_h) for line in lines]
    code = _MISSING.search(header)
    absent = {_ABSENT} | ({float(code[1])} if code else set())
    units = {parameter.upper(): unit for parameter, unit in _UNIT.findall(header)}
    notes = [note]
    columns: dict[str, list[float]] = {}
    for parameter, column in _PARAMETERS[step]:
        if parameter not in at or column in columns:
            continue
        unit = units.get(parameter, "")
        factor = _factor(name, parameter, unit, step)
        if step == "hourly" and "day" in unit:
            notes.append(f"NASA POWER: {parameter} in {unit}: a rate, 1/24 of it in each hour")
        values = [number(name, n, parameter, cells[n][at[parameter]]) for n in lines]
        columns[column] = [float("nan") if v in absent else v * factor for v in values]
        if column == "wind_m_s":
            height = float(parameter.removeprefix("WS").removesuffix("M"))
            where = where.but(wind_height_m=height)
    return table(text, step, times, lines, columns, where, notes), where


def _where(path: str, header: str, site: Site | None, step: Step) -> tuple[Site, int, str]:
    """The place, the hours from the file's times to standard time, and a note on them."""
    found, high = _PLACE.search(header), _ELEVATION.search(header)
    if found is None or (high is None and site is None):
        raise WeatherError(path, 0, "no latitude, longitude and elevation", "the header has them")
    solar_h = float(round(float(found[2]) / 15.0))
    offset_h = site.utc_offset_h if site else solar_h
    where = place(
        path,
        0,
        found[1],
        found[2],
        elevation_m(path, 0, high[1] if high else "", site),
        utc_offset_h=offset_h,
        wind_height_m=2.0,
    )
    if not re.search(r"\bin UTC\b", header, re.I):
        note = "NASA POWER: local solar time taken as standard time"
        ahead_h = offset_h - solar_h
        side = "ahead of" if ahead_h > 0.0 else "behind"
        return where, 0, note + (f", which is {abs(ahead_h):g} h {side} it" if ahead_h else "")
    if step == "daily":
        return where, 0, "NASA POWER: days of UTC taken as days of standard time"
    if site is None:
        raise WeatherError(path, 0, "times in UTC", "a site with `utc_offset_h` is needed")
    if offset_h != round(offset_h):
        raise WeatherError(
            path,
            0,
            f"hours of UTC, and a site at UTC{offset_h:+g}",
            "whole hours are needed, for an hour cannot be cut in two: ask the service for local "
            "solar time (LST)",
        )
    return where, round(offset_h), "NASA POWER: UTC brought to standard time"


def _check_one_place(
    path: str, head: int, at: Mapping[str, int], cells: Mapping[int, list[str]]
) -> None:
    if "PARAMETER" in at or ("YEAR" not in at and "YYYYMMDD" not in at):
        raise WeatherError(path, head, "no row for each day or hour", "daily or hourly")
    for name in ("LAT", "LON"):
        if name not in at:
            continue
        places = {row[at[name]] for row in cells.values()}
        if len(places) > 1:
            raise WeatherError(
                path, head, f"{len(places)} values of {name}", "one place: ask for a point"
            )


def _time(path: str, line: int, row: list[str], at: Mapping[str, int], shift_h: int) -> int:
    def part(*names: str) -> int | None:
        for name in names:
            if name in at:
                return whole_number(path, line, name, row[at[name]])
        return None

    hour = (part("HR") or 0) + shift_h
    year, month, day = part("YEAR"), part("MO", "MM"), part("DY", "DD")
    if year is None:
        digits = re.sub(r"\D", "", row[at["YYYYMMDD"]])
        if len(digits) != 8:
            raise WeatherError(path, line, f"`{row[at['YYYYMMDD']]}`", "a date is needed")
        year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:])
    if month is None or day is None:
        of_year = part("DOY")
        if of_year is None or not 1 <= of_year <= 366 or not 1 <= year <= 9998:
            raise WeatherError(path, line, f"day {of_year} of {year}", "MO and DY, or DOY")
        found = date(year, 1, 1) + timedelta(days=of_year - 1)
        year, month, day = found.year, found.month, found.day
    return moment_ms(path, line, year, month, day, hour)


def _factor(path: str, parameter: str, unit: str, step: Step) -> float:
    """From the unit of a parameter to that of our column, for one step."""
    plain = re.sub(r"[\s^\-]|\*\*", "", unit).lower()
    seconds = _STEP_S[step]
    if parameter.startswith("ALLSKY"):
        to_ours = 1e-6 if step == "daily" else 1.0 / 3600.0
        rates, sums = _J_A_SECOND, _J_A_STEP
    elif parameter.startswith("PRECTOT"):
        to_ours, rates, sums = 1.0, _MM_A_SECOND, _MM_A_STEP
    else:
        known = _OTHERS[parameter[0]]
        if plain in known:
            return 1.0
        raise _unknown(path, parameter, unit, known)
    if plain in rates:
        return rates[plain] * seconds * to_ours
    if plain in sums:
        return sums[plain] * to_ours
    raise _unknown(path, parameter, unit, {**rates, **sums})


def _unknown(path: str, parameter: str, unit: str, known: object) -> WeatherError:
    names = ", ".join(sorted(known))  # type: ignore[call-overload]
    return WeatherError(path, 0, f"{parameter} in `{unit}`", f"known units are {names}")
