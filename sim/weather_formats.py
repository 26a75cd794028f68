"""Weather files of others: EPW, NASA POWER and Open-Meteo, recognised by their first line.

EPW         EnergyPlus Auxiliary Programs, "EnergyPlus Weather File (EPW) Data Dictionary": eight
            header lines, then a line an hour; hour 1 is 00:00 to 01:00 of local standard time;
            wind at 10 m.  The months of a typical year come from different years: they are all
            put into `year`.
NASA POWER  CSV of the daily and hourly point service (power.larc.nasa.gov): a header block that
            names parameters and units, -999 where a value is absent; wind at the height in the
            parameter's name; times in UTC or local solar time, which is taken as standard time
Open-Meteo  CSV of the archive and forecast services (open-meteo.com): place, empty line, table
            whose column names carry units.  Radiation and rain are those of the hour before the
            label, so the last day is whole only if the next midnight is in the file.

Each becomes a `sim.weather.Table` in our columns, with the same checks afterwards; a row without
one of the values is a hole.  Wind is brought to 2 m.  Left out: NetCDF and JSON of these services,
fetching (a run must not depend on the network), and what no balance here needs.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sim import weather
from sim.weather import HOUR_MS, Fill, Site, Step, Table, Weather, WeatherError, wind_at_2m

__all__ = ["read", "read_epw", "read_nasa_power", "read_open_meteo"]

FloatArray = npt.NDArray[np.float64]

_TYPICAL_YEAR: Final = 2001  # not a leap year: typical years have no 29 February
_FAR_DEG: Final = 1.0  # two cells of the reanalyses behind these services


def read(
    path: str | Path,
    site: Site | None = None,
    *,
    start: date | None = None,
    end: date | None = None,
    fill: Fill = "none",
    time_zone: str | None = None,
    seed: int = 0,
) -> Weather:
    """Weather from a file of any known format; as `sim.weather.read`.

    `site` may be left out where the file tells it.  A file for a place more than a degree away is
    refused.  `time_zone` is for our own CSV only.  Raises WeatherError.
    """
    name = str(path)
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
    reader: Callable[..., tuple[Table, Site]]
    if first.startswith("LOCATION,"):
        reader = read_epw
    elif first.startswith("-BEGIN HEADER-"):
        reader = read_nasa_power
    elif first.startswith("latitude,longitude,"):
        reader = read_open_meteo
    else:
        if site is None:
            raise WeatherError(name, 0, "a file that names no place", "a site is needed")
        return weather.read(
            path, site, start=start, end=end, fill=fill, time_zone=time_zone, seed=seed
        )
    table, place = reader(path, site)
    if site is not None:
        for field in ("latitude_deg", "longitude_deg"):
            theirs, ours = getattr(place, field), getattr(site, field)
            if abs(theirs - ours) > _FAR_DEG:
                raise WeatherError(
                    name,
                    0,
                    f"the file's {field} is {theirs:g}, the site's {ours:g}",
                    f"at most {_FAR_DEG:g} degree apart",
                )
    whole = replace(site or place, wind_height_m=2.0)
    return weather.build(table, whole, start=start, end=end, fill=fill, seed=seed)


def read_epw(
    path: str | Path, site: Site | None = None, *, year: int | None = None
) -> tuple[Table, Site]:
    """Rows and place of an EPW file.

    `year` replaces the year of every row; by default only where the rows are of several years.
    """
    del site
    lines, sha256 = _lines(path)
    name = str(path)
    head = lines[0].split(",")
    if len(head) < 10 or len(lines) < 9:
        raise WeatherError(name, 1, "an EPW file cut short", "8 header lines and data are needed")
    place = _place(name, 1, head[6], head[7], head[9], utc_offset_h=head[8], wind_height_m=10.0)
    rows = [(n, line.split(",")) for n, line in enumerate(lines, 1) if n > 8 and line.strip()]
    for number, cells in rows:
        if len(cells) < 22:
            raise WeatherError(name, number, f"{len(cells)} cells", "at least 22 are needed")
    years = {cells[0] for _, cells in rows}
    notes = []
    if year is None and len(years) > 1:
        year = _TYPICAL_YEAR
        notes.append(f"a typical year of {min(years)} to {max(years)}, taken as {year}")
    times = []
    for number, cells in rows:
        y, month, day, hour = (
            int(_number(name, number, "date and hour", cell)) for cell in cells[:4]
        )
        times.append(_moment(name, number, year or y, month, day, hour - 1))
    fields = {"temp_c": 6, "dewpoint_c": 7, "solar_w_m2": 13, "wind_m_s": 21, "rain_mm": 33}
    absent = {"temp_c": 99.9, "dewpoint_c": 99.9, "solar_w_m2": 9999.0, "wind_m_s": 999.0}
    columns: dict[str, list[float]] = {field: [] for field in fields}
    for number, cells in rows:
        for field, at in fields.items():
            cell = cells[at] if at < len(cells) else "999"
            value = _number(name, number, field, cell)
            columns[field].append(np.nan if value >= absent.get(field, 999.0) else value)
    return _table(name, sha256, "hourly", times, rows, columns, place, notes), place


def read_nasa_power(path: str | Path, site: Site | None = None) -> tuple[Table, Site]:
    """Rows and place of a NASA POWER file, daily or hourly."""
    lines, sha256 = _lines(path)
    name = str(path)
    end = next((n for n, line in enumerate(lines) if line.startswith("-END HEADER-")), 0)
    if not end or len(lines) < end + 3:
        raise WeatherError(name, 0, "no -END HEADER- with rows after it", "a whole file is needed")
    header = "\n".join(lines[:end])
    where = re.search(r"latitude\s+(-?[\d.]+)\s+longitude\s+(-?[\d.]+)", header)
    high = re.search(r"elevation.*=\s*(-?[\d.]+)\s*meters", header)
    if where is None or high is None:
        raise WeatherError(name, 0, "no latitude, longitude and elevation", "the header has them")
    units = dict(re.findall(r"^(\w+)\s.*\(([^()]*)\)\s*$", header, re.MULTILINE))
    utc = "in UTC" in header
    if utc and site is None:
        raise WeatherError(name, 0, "times in UTC", "a site with `utc_offset_h` is needed")
    longitude = float(where[2])
    offset = site.utc_offset_h if site else float(round(longitude / 15.0))
    place = _place(name, 0, where[1], where[2], high[1], utc_offset_h=str(offset))
    columns_at = {c.strip(): i for i, c in enumerate(lines[end + 1].split(","))}
    rows = [(n, line.split(",")) for n, line in enumerate(lines, 1) if n > end + 2 and line.strip()]
    for number, cells in rows:
        if len(cells) != len(columns_at):
            raise WeatherError(name, number, f"{len(cells)} cells", f"{len(columns_at)} are needed")
    step: Step = "hourly" if "HR" in columns_at else "daily"
    shift = round(offset) if utc and step == "hourly" else 0
    times = []
    for number, cells in rows:
        part = {
            key: int(_number(name, number, key, cells[columns_at[key]]))
            for key in ("YEAR", "MO", "DY", "DOY", "HR")
            if key in columns_at
        }
        if "DOY" in part:
            day = date(part["YEAR"], 1, 1) + timedelta(days=part["DOY"] - 1)
            part["MO"], part["DY"] = day.month, day.day
        hour = part.get("HR", 0) + shift
        times.append(_moment(name, number, part["YEAR"], part["MO"], part["DY"], hour))
    wanted = _NASA_DAILY if step == "daily" else _NASA_HOURLY
    found: dict[str, tuple[str, float]] = {}
    for parameter, column in wanted:
        if parameter in columns_at and column not in found:
            found[column] = (parameter, _nasa_factor(name, parameter, units.get(parameter, "")))
    columns = {
        column: [
            _absent(_number(name, number, parameter, cells[columns_at[parameter]]), -999.0) * factor
            for number, cells in rows
        ]
        for column, (parameter, factor) in found.items()
    }
    if "wind_m_s" in found:
        height = float(found["wind_m_s"][0].removeprefix("WS").removesuffix("M"))
        place = replace(place, wind_height_m=height)
    zone = "UTC brought to standard time" if utc else "local solar time taken as standard time"
    return _table(name, sha256, step, times, rows, columns, place, [f"NASA POWER: {zone}"]), place


# Parameters of NASA POWER in the order of preference, with our column.
_NASA_DAILY: Final = (
    ("T2M_MAX", "tmax_c"),
    ("T2M_MIN", "tmin_c"),
    ("T2MDEW", "tdew_c"),
    ("RH2M", "rh_pct"),
    ("WS2M", "wind_m_s"),
    ("WS10M", "wind_m_s"),
    ("ALLSKY_SFC_SW_DWN", "solar_mj_m2"),
    ("PRECTOTCORR", "rain_mm"),
)
_NASA_HOURLY: Final = (
    ("T2M", "temp_c"),
    ("T2MDEW", "dewpoint_c"),
    ("RH2M", "rh_pct"),
    ("WS2M", "wind_m_s"),
    ("WS10M", "wind_m_s"),
    ("ALLSKY_SFC_SW_DWN", "solar_w_m2"),
    ("PRECTOTCORR", "rain_mm"),
)
# Unit of a parameter, as the header prints it, to ours.
_NASA_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "ALLSKY_SFC_SW_DWN": {
        "MJ/m^2/day": 1.0,
        "kW-hr/m^2/day": 3.6,
        "kWh/m^2/day": 3.6,
        "MJ/hr": 1.0 / 0.0036,
        "MJ/m^2/hr": 1.0 / 0.0036,
        "Wh/m^2": 1.0,
        "W/m^2": 1.0,
    },
    "PRECTOTCORR": {"mm/day": 1.0, "mm/hour": 1.0},
    "RH2M": {"%": 1.0},
    "WS2M": {"m/s": 1.0},
    "WS10M": {"m/s": 1.0},
}


def _nasa_factor(path: str, parameter: str, unit: str) -> float:
    known = _NASA_UNITS.get(parameter, {"C": 1.0})
    if unit not in known:
        raise WeatherError(
            path, 0, f"{parameter} in `{unit}`", f"known units are {', '.join(known)}"
        )
    return known[unit]


def read_open_meteo(path: str | Path, site: Site | None = None) -> tuple[Table, Site]:
    """Rows and place of an Open-Meteo file; its hours if it has any, else its days."""
    lines, sha256 = _lines(path)
    name = str(path)
    at = lines[0].split(",")
    if len(lines) < 2 or len(lines[1].split(",")) != len(at):
        raise WeatherError(name, 2, "no line that tells the place", "a whole file is needed")
    about = dict(zip(at, lines[1].split(","), strict=True))
    seconds = _number(name, 2, "utc_offset_seconds", about.get("utc_offset_seconds", ""))
    offset = site.utc_offset_h if site else seconds / 3600.0
    place = _place(
        name,
        2,
        about["latitude"],
        about["longitude"],
        about.get("elevation", ""),
        utc_offset_h=str(offset),
        wind_height_m=10.0,
    )
    heads = [n for n, line in enumerate(lines, 1) if line.startswith("time,")]
    if not heads:
        raise WeatherError(name, 0, "no table", "a line that begins with `time,` is needed")
    hourly = [n for n in heads if n < len(lines) and "T" in lines[n].split(",")[0]]
    step: Step = "hourly" if hourly else "daily"
    head = (hourly or heads)[0]
    rows: list[tuple[int, list[str]]] = []
    for number in range(head + 1, len(lines) + 1):
        if not lines[number - 1].strip():
            break
        rows.append((number, lines[number - 1].split(",")))
    header = next(csv.reader([lines[head - 1]]))
    shift_ms = round((offset - seconds / 3600.0) * HOUR_MS) if step == "hourly" else 0
    if shift_ms % HOUR_MS:
        raise WeatherError(
            name, 2, f"utc_offset_seconds = {seconds:g}", "whole hours from the site"
        )
    times = [_iso(name, number, cells[0]) + shift_ms for number, cells in rows]
    columns: dict[str, list[float]] = {}
    for variable, column in _METEO_DAILY if step == "daily" else _METEO_HOURLY:
        for place_in_row, title in enumerate(header):
            match = re.fullmatch(r"(\w+) \((.*)\)", title)
            if match is None or match[1] != variable or column in columns:
                continue
            convert = _meteo_unit(name, head, variable, match[2])
            columns[column] = [
                convert(_meteo_number(name, number, title, cells, place_in_row))
                for number, cells in rows
            ]
    notes = []
    if step == "hourly":
        notes.append("Open-Meteo: radiation and rain moved to the start of their hour")
        for column in ("solar_w_m2", "rain_mm"):
            if column in columns:
                columns[column] = [*columns[column][1:], np.nan]
    return _table(name, sha256, step, times, rows, columns, place, notes), place


_METEO_DAILY: Final = (
    ("temperature_2m_max", "tmax_c"),
    ("temperature_2m_min", "tmin_c"),
    ("dew_point_2m_mean", "tdew_c"),
    ("relative_humidity_2m_max", "rhmax_pct"),
    ("relative_humidity_2m_min", "rhmin_pct"),
    ("relative_humidity_2m_mean", "rh_pct"),
    ("wind_speed_10m_mean", "wind_m_s"),
    ("shortwave_radiation_sum", "solar_mj_m2"),
    ("precipitation_sum", "rain_mm"),
    ("rain_sum", "rain_mm"),
)
_METEO_HOURLY: Final = (
    ("temperature_2m", "temp_c"),
    ("dew_point_2m", "dewpoint_c"),
    ("relative_humidity_2m", "rh_pct"),
    ("wind_speed_10m", "wind_m_s"),
    ("shortwave_radiation", "solar_w_m2"),
    ("precipitation", "rain_mm"),
    ("rain", "rain_mm"),
)
_METEO_UNITS: Final[Mapping[str, Callable[[float], float]]] = {
    "°C": lambda value: value,
    "°F": lambda value: (value - 32.0) / 1.8,
    "%": lambda value: value,
    "km/h": lambda value: value / 3.6,
    "m/s": lambda value: value,
    "mp/h": lambda value: value * 0.44704,
    "kn": lambda value: value * 1852.0 / 3600.0,
    "W/m²": lambda value: value,
    "MJ/m²": lambda value: value,
    "mm": lambda value: value,
    "inch": lambda value: value * 25.4,
}


def _meteo_unit(path: str, line: int, variable: str, unit: str) -> Callable[[float], float]:
    if unit not in _METEO_UNITS:
        known = ", ".join(_METEO_UNITS)
        raise WeatherError(path, line, f"{variable} in `{unit}`", f"known units are {known}")
    return _METEO_UNITS[unit]


def _meteo_number(path: str, line: int, column: str, cells: Sequence[str], at: int) -> float:
    if at >= len(cells):
        raise WeatherError(path, line, f"{len(cells)} cells", f"no `{column}`")
    if cells[at].strip() in ("", "NaN", "null"):
        return float("nan")
    return _number(path, line, column, cells[at])


def _lines(path: str | Path) -> tuple[list[str], str]:
    content = Path(path).read_bytes()
    # EPW headers carry place names in any encoding; numbers are ASCII in all three formats
    return content.decode("utf-8-sig", "replace").splitlines(), hashlib.sha256(content).hexdigest()


def _place(
    path: str,
    line: int,
    latitude: str,
    longitude: str,
    elevation: str,
    *,
    utc_offset_h: str,
    wind_height_m: float = 2.0,
) -> Site:
    try:
        return Site(
            latitude_deg=_number(path, line, "latitude", latitude),
            longitude_deg=_number(path, line, "longitude", longitude),
            elevation_m=_number(path, line, "elevation", elevation),
            utc_offset_h=_number(path, line, "offset of UTC", utc_offset_h),
            wind_height_m=wind_height_m,
        )
    except WeatherError:
        raise
    except ValueError as error:
        raise WeatherError(path, line, str(error), "see the file's header") from None


def _number(path: str, line: int, what: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise WeatherError(path, line, f"{what} `{cell.strip()}`", "a number is needed") from None
    if not np.isfinite(value):
        raise WeatherError(path, line, f"{what} `{cell.strip()}`", "a finite number is needed")
    return value


def _absent(value: float, code: float) -> float:
    return float("nan") if value == code else value


def _moment(path: str, line: int, year: int, month: int, day: int, hour: int) -> int:
    try:
        moment = datetime(year, month, day, tzinfo=UTC) + timedelta(hours=hour)
    except ValueError as error:
        found = f"{year}-{month}-{day}, hour {hour}"
        raise WeatherError(path, line, found, str(error)) from None
    return round(moment.timestamp() * 1000)


def _iso(path: str, line: int, text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        raise WeatherError(path, line, f"time `{text}`", "ISO 8601 is needed") from None


def _table(
    path: str,
    sha256: str,
    step: Step,
    times: Sequence[int],
    rows: Sequence[tuple[int, Sequence[str]]],
    columns: Mapping[str, Sequence[float]],
    place: Site,
    notes: Sequence[str],
) -> Table:
    """A table without the rows that lack a value, wind at 2 m; a column all absent is left out."""
    arrays = {name: np.array(values, np.float64) for name, values in columns.items()}
    arrays = {name: a for name, a in arrays.items() if np.isfinite(a).any()}
    arrays = {name: arrays[name] for name in weather.columns_for(path, step, arrays)}
    arrays["wind_m_s"] = wind_at_2m(arrays["wind_m_s"], place.wind_height_m)
    whole = np.all([np.isfinite(a) for a in arrays.values()], axis=0)
    return Table(
        path=path,
        sha256=sha256,
        step=step,
        time_ms=np.array(times, np.int64)[whole],
        line=np.array([number for number, _ in rows], np.int64)[whole],
        columns={name: a[whole] for name, a in arrays.items()},
        notes=tuple(notes),
    )
