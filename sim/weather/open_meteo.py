"""Open-Meteo: CSV of the archive and forecast services (open-meteo.com).

Blocks with empty lines between them: places, then tables whose column names carry units.  Of
several places the one nearest to the site is taken.  Radiation and rain are those of the hour
before the label, so the last day is whole only if the next midnight is in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from levada.sim.errors import WeatherError
from levada.sim.settings.site import Site
from levada.sim.units import DAY_MS, HOUR_MS
from levada.sim.weather.place import elevation_m, place, table
from levada.sim.weather.series import Step, WeatherTable
from levada.sim.weather.text import Text, number, read_text

__all__ = ["read_open_meteo"]

_VARIABLES: Final[Mapping[Step, tuple[tuple[str, str], ...]]] = {
    "daily": (
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
        ("sunshine_duration", "sunshine_h"),
        ("et0_fao_evapotranspiration", "et0_mm"),
    ),
    "hourly": (
        ("temperature_2m", "temp_c"),
        ("dew_point_2m", "dewpoint_c"),
        ("relative_humidity_2m", "rh_pct"),
        ("wind_speed_10m", "wind_m_s"),
        ("shortwave_radiation", "solar_w_m2"),
        ("precipitation", "rain_mm"),
        ("rain", "rain_mm"),
        ("et0_fao_evapotranspiration", "et0_mm"),
    ),
}
_OLD_NAMES: Final = (
    ("relativehumidity", "relative_humidity"),
    ("dewpoint", "dew_point"),
    ("windspeed", "wind_speed"),
)
_SUMS: Final = ("solar_w_m2", "rain_mm", "et0_mm")
# Units by their ASCII letters, which survive whatever encoding a file went through; of radiation
# W/m and MJ/m are left.
_UNITS: Final[Mapping[str, Callable[[float], float]]] = {
    "C": lambda value: value,
    "F": lambda value: (value - 32.0) / 1.8,
    "%": lambda value: value,
    "km/h": lambda value: value / 3.6,
    "kmh": lambda value: value / 3.6,
    "m/s": lambda value: value,
    "ms": lambda value: value,
    "mp/h": lambda value: value * 0.44704,
    "mph": lambda value: value * 0.44704,
    "kn": lambda value: value * 1852.0 / 3600.0,
    "kt": lambda value: value * 1852.0 / 3600.0,
    "W/m": lambda value: value,
    "MJ/m": lambda value: value,
    "mm": lambda value: value,
    "s": lambda value: value / 3600.0,
    "inch": lambda value: value * 25.4,
    "in": lambda value: value * 25.4,
}


@dataclass(frozen=True, slots=True)
class _Block:
    """A table between empty lines."""

    line: int
    """Of the titles."""
    titles: list[str]
    rows: dict[int, list[str]]
    """By line."""

    def at(self, title: str) -> int | None:
        return self.titles.index(title) if title in self.titles else None


def read_open_meteo(path: str | Path, site: Site | None = None) -> tuple[WeatherTable, Site]:
    """Rows and place of an Open-Meteo file; its hours if it has any, else its days."""
    text = read_text(path)
    name = text.path
    blocks = list(_blocks(text))
    if not blocks or not blocks[0].rows:
        raise WeatherError(name, 2, "no line that tells the place", "a whole file is needed")
    line, about, notes = _nearest(name, blocks[0], site)
    seconds = number(name, line, "utc_offset_seconds", about.get("utc_offset_seconds", ""))
    if seconds != seconds:
        raise WeatherError(name, line, "no utc_offset_seconds", "a whole file is needed")
    offset_h = site.utc_offset_h if site else seconds / 3600.0
    where = place(
        name,
        line,
        about["latitude"],
        about["longitude"],
        elevation_m(name, line, about.get("elevation", ""), site),
        utc_offset_h=offset_h,
        wind_height_m=10.0,
    )
    step, block, times = _rows(name, blocks[1:], about.get("location_id"), seconds)
    off_ms = round(offset_h * HOUR_MS - seconds * 1000.0)
    if step == "hourly":
        if off_ms % HOUR_MS:
            found = f"hours of UTC{seconds / 3600.0:+g}, and a site at UTC{offset_h:+g}"
            allowed = "whole hours apart: ask the service for the time zone of the site"
            raise WeatherError(name, line, found, allowed)
        times = [time + off_ms for time in times]
        notes.append("Open-Meteo: radiation and rain moved to the start of their hour")
    elif off_ms:
        notes.append(
            f"Open-Meteo: days of UTC{seconds / 3600.0:+g} taken as days of UTC{offset_h:+g}"
        )
    columns = _columns(name, step, block)
    if step == "hourly":
        for column in _SUMS:
            if column in columns:
                columns[column] = _of_hour_before(columns[column], times)
    return table(text, step, times, list(block.rows), columns, where, notes), where


def _blocks(text: Text) -> Iterator[_Block]:
    """The blocks of the file; a row of another length is refused."""
    block: _Block | None = None
    for line, content in enumerate(text.lines, 1):
        if not content.strip(' ,"\t'):
            block = None
            continue
        cells = text.cells(line)
        if block is None:
            block = _Block(line, cells, {})
            yield block
        elif len(cells) != len(block.titles):
            found, allowed = f"{len(cells)} cells", f"{len(block.titles)} are needed"
            raise WeatherError(text.path, line, found, allowed)
        else:
            block.rows[line] = cells


def _nearest(path: str, block: _Block, site: Site | None) -> tuple[int, dict[str, str], list[str]]:
    """Line and cells of the place nearest to the site, and a note if there are several."""
    places = [(n, dict(zip(block.titles, row, strict=True))) for n, row in block.rows.items()]
    if len(places) == 1:
        return *places[0], []
    if site is None:
        found = f"{len(places)} places in one file"
        raise WeatherError(path, block.line, found, "a site is needed, to take the nearest")

    def distance(about: tuple[int, Mapping[str, str]]) -> float:
        line, cells = about
        north = number(path, line, "latitude", cells["latitude"]) - site.latitude_deg
        east = number(path, line, "longitude", cells["longitude"]) - site.longitude_deg
        return float(np.hypot(north, east * np.cos(np.radians(site.latitude_deg))))

    line, about = min(places, key=distance)
    which = about.get("location_id", "?")
    return line, about, [f"Open-Meteo: location_id {which} of {len(places)}, nearest to the site"]


def _rows(
    path: str, blocks: Sequence[_Block], location: str | None, offset_s: float
) -> tuple[Step, _Block, list[int]]:
    """Step, rows and local times of the hours of the place, or of its days."""
    found: dict[Step, tuple[_Block, list[int]]] = {}
    for block in blocks:
        at, place_at = block.at("time"), block.at("location_id")
        if at is None:
            continue
        rows = {
            line: row
            for line, row in block.rows.items()
            if place_at is None or location is None or row[place_at] == location
        }
        times = [_time(path, line, row[at], offset_s) for line, row in rows.items()]
        step = _step(times)
        if step is not None:
            found.setdefault(step, (_Block(block.line, block.titles, rows), times))
    for step in ("hourly", "daily"):
        if step in found:
            return step, *found[step]
    raise WeatherError(path, 0, "no table of hours or days", "a column `time` is needed")


def _step(times: Sequence[int]) -> Step | None:
    """Days or hours; None for quarters of an hour, and for what is told of one moment."""
    if not any(time % DAY_MS for time in times):
        return "daily" if times else None
    whole = not any(time % HOUR_MS for time in times)
    return "hourly" if whole and len(times) > 1 else None


def _time(path: str, line: int, text: str, offset_s: float) -> int:
    """Local time of `2023-06-01T00:00`, or of seconds since 1970, which are UTC."""
    if re.fullmatch(r"-?\d{6,12}", text) and len(text) != 8:
        return round((int(text) + offset_s) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        allowed = "ISO 8601 or seconds since 1970 are needed"
        raise WeatherError(path, line, f"time `{text}`", allowed) from None
    if moment.tzinfo is not None:
        return round((moment.timestamp() + offset_s) * 1000)
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _columns(path: str, step: Step, block: _Block) -> dict[str, list[float]]:
    titles: dict[str, tuple[int, str]] = {}
    for at, title in enumerate(block.titles):
        match = re.fullmatch(r"(\w+) \((.*)\)", title)
        if match is not None:
            variable = match[1]
            for old, new in _OLD_NAMES:
                variable = re.sub(rf"^{old}(?=_)", new, variable)
            titles.setdefault(variable, (at, match[2]))
    columns: dict[str, list[float]] = {}
    for variable, column in _VARIABLES[step]:
        if variable in titles and column not in columns:
            at, unit = titles[variable]
            convert = _unit(path, block.line, variable, unit)
            title = block.titles[at]
            columns[column] = [
                convert(number(path, line, title, row[at])) for line, row in block.rows.items()
            ]
    return columns


def _unit(path: str, line: int, variable: str, unit: str) -> Callable[[float], float]:
    plain = re.sub(r"[^A-Za-z/%]", "", unit)
    if plain not in _UNITS:
        known = "°C, °F, %, km/h, m/s, mp/h, kn, W/m², MJ/m², mm, inch"
        raise WeatherError(path, line, f"{variable} in `{unit}`", f"known units are {known}")
    return _UNITS[plain]


def _of_hour_before(values: Sequence[float], times: Sequence[int]) -> list[float]:
    """A sum that is labelled by the end of its hour, at the label of its beginning."""
    at = dict(zip(times, values, strict=True))
    return [at.get(time + HOUR_MS, float("nan")) for time in times]
