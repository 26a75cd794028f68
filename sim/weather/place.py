"""What the files of others have in common: a place, dates, wind brought to 2 m."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from levada.sim.errors import WeatherError
from levada.sim.settings.site import Site
from levada.sim.weather.series import Step, WeatherTable
from levada.sim.weather.site import wind_at_2m
from levada.sim.weather.text import Text, number

__all__ = ["elevation_m", "moment_ms", "place", "table"]


def place(
    path: str,
    line: int,
    latitude: str,
    longitude: str,
    elevation_m: float,
    *,
    utc_offset_h: float,
    wind_height_m: float,
) -> Site:
    """The place that a file tells; raises WeatherError."""
    try:
        return Site(
            latitude_deg=number(path, line, "latitude", latitude),
            longitude_deg=number(path, line, "longitude", longitude),
            elevation_m=elevation_m,
            utc_offset_h=utc_offset_h,
            wind_height_m=wind_height_m,
        )
    except WeatherError:
        raise
    except ValueError as error:
        raise WeatherError(path, line, str(error), "see the file's header") from None


def elevation_m(path: str, line: int, cell: str, site: Site | None) -> float:
    """The elevation in a cell; where the file has none, that of the site."""
    value = number(path, line, "elevation", cell)
    if value == value:
        return value
    if site is None:
        raise WeatherError(path, line, "no elevation in the file", "a site is needed")
    return site.elevation_m


def moment_ms(path: str, line: int, year: int, month: int, day: int, hour: int) -> int:
    """Milliseconds since 1970 of a date and an hour, which may be beyond the day's."""
    try:
        moment = datetime(year, month, day, tzinfo=UTC) + timedelta(hours=hour)
    except (ValueError, OverflowError) as error:
        found = f"{year}-{month}-{day}, hour {hour}"
        raise WeatherError(path, line, found, str(error)) from None
    return round(moment.timestamp() * 1000)


def table(
    text: Text,
    step: Step,
    times: Sequence[int],
    lines: Sequence[int],
    columns: Mapping[str, Iterable[float]],
    where: Site,
    notes: Sequence[str],
) -> WeatherTable:
    """The rows as a table, wind at 2 m."""
    arrays = {name: np.array(list(values), np.float64) for name, values in columns.items()}
    if "wind_m_s" in arrays:
        arrays["wind_m_s"] = wind_at_2m(arrays["wind_m_s"], where.wind_height_m)
    return WeatherTable(
        path=text.path,
        sha256=text.sha256,
        step=step,
        time_ms=np.array(times, np.int64),
        line=np.array(lines, np.int64),
        columns=arrays,
        notes=tuple(notes),
    )
