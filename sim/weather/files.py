"""A weather file of any known form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final, Literal

from levada.sim.errors import WeatherError
from levada.sim.settings.site import Site
from levada.sim.weather.csv_file import read_csv, step_of
from levada.sim.weather.epw import read_epw
from levada.sim.weather.estimates import Climate
from levada.sim.weather.from_table import build
from levada.sim.weather.gaps import Fill
from levada.sim.weather.nasa_power import read_nasa_power
from levada.sim.weather.open_meteo import read_open_meteo
from levada.sim.weather.series import Weather, WeatherTable
from levada.sim.weather.text import read_text

__all__ = ["Form", "form_of", "read"]

Form = Literal["EPW", "NASA POWER", "Open-Meteo", "daily", "hourly"]
"""Of others, or our own by its step."""

_FAR_DEG: Final = 1.0  # two cells of the reanalyses behind these services
_HIGH_M: Final = 200.0  # 1.3 K
_LAPSE_C_M: Final = 0.0065
"""Fall of temperature with height in the standard atmosphere (ISO 2533)."""
_READERS: Final[dict[Form, Callable[..., tuple[WeatherTable, Site]]]] = {
    "EPW": read_epw,
    "NASA POWER": read_nasa_power,
    "Open-Meteo": read_open_meteo,
}


def form_of(path: str | Path) -> Form | None:
    """What kind of file it is, by its first line; None if it is none that is known."""
    text = read_text(path)
    first = next((line for line in text.lines if line.strip()), "").strip('" \t').lower()
    if first.startswith(("location,", 'location",')):
        return "EPW"
    if "-begin header-" in first:
        return "NASA POWER"
    if all(word in first for word in ("latitude", "longitude", "utc_offset_seconds")):
        return "Open-Meteo"
    return step_of(text)


def read(
    path: str | Path,
    site: Site | None = None,
    *,
    start: date | None = None,
    end: date | None = None,
    fill: Fill = "none",
    from_temperature: Climate = "none",
    time_zone: str | None = None,
    seed: int = 0,
) -> Weather:
    """Weather of the days `start` to `end` (default: all whole days) of a file of any known form.

    `site` may be left out where the file tells it; a file for a place more than a degree away is
    refused.  `fill` names the method for absent values, `from_temperature` the climate by which
    radiation, humidity and wind are estimated that a daily file does not have, `time_zone` the IANA
    zone of an hourly file of our own that is kept on clock time, `seed` chooses the hours of rain
    of a daily file.  Raises WeatherError.
    """
    name, form = str(path), form_of(path)
    if time_zone is not None and form not in ("hourly", None):
        found = f"time_zone = {time_zone} for {said(form)}"
        raise WeatherError(name, 0, found, "only an hourly CSV file of levada's own is read by it")
    if form in _READERS:
        table, place = _READERS[form](path, site)
        if site is not None:
            _check_near(name, place, site)
            table = replace(table, notes=(*table.notes, *_height_note(place, site)))
        where = (site or place).but(wind_height_m=2.0)  # the reader has brought wind to 2 m
    elif site is None:
        raise WeatherError(name, 0, "a file that names no place", "a site is needed")
    else:
        estimated = from_temperature != "none"
        table = read_csv(
            path, time_zone=time_zone, utc_offset_h=site.utc_offset_h, estimated=estimated
        )
        where = site
    return build(
        table,
        where,
        start=start,
        end=end,
        fill=fill,
        from_temperature=from_temperature,
        seed=seed,
    )


def said(form: Form | None) -> str:
    """A form in words."""
    if form in ("daily", "hourly"):
        return f"a {form} CSV file" if form == "daily" else f"an {form} CSV file"
    return f"a file of {form}" if form != "EPW" else "an EPW file"


def _height_note(place: Site, site: Site) -> list[str]:
    """What a difference of height means for temperatures that are not corrected for it."""
    apart_m = site.elevation_m - place.elevation_m
    if abs(apart_m) <= _HIGH_M:
        return []
    return [
        f"the file is of {place.elevation_m:.0f} m, the site at {site.elevation_m:.0f} m: its "
        f"temperatures are taken as they are, and would be some {abs(apart_m) * _LAPSE_C_M:.1f} K "
        f"{'lower' if apart_m > 0.0 else 'higher'} there"
    ]


def _check_near(path: str, place: Site, site: Site) -> None:
    for field, turn in (("latitude_deg", 0.0), ("longitude_deg", 360.0)):
        theirs, ours = getattr(place, field), getattr(site, field)
        apart = abs(theirs - ours)
        if min(apart, abs(turn - apart) if turn else apart) > _FAR_DEG:
            raise WeatherError(
                path,
                0,
                f"the file's {field} is {theirs:g}, the site's {ours:g}",
                f"at most {_FAR_DEG:g} degree apart",
            )
