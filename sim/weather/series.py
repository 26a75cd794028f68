"""Weather as the models take it, and the rows of a file before any check."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from levada.sim.errors import WeatherError
from levada.sim.settings.crop import Surface
from levada.sim.settings.site import Site
from levada.sim.units import DAY_MS, HOUR_MS

__all__ = [
    "COLUMNS",
    "DAY_MS",
    "HOUR_MS",
    "HUMIDITY",
    "NEEDED",
    "REFERENCE_ET",
    "Days",
    "FloatArray",
    "IntArray",
    "Step",
    "Weather",
    "WeatherTable",
    "check_columns",
    "day_of_year",
    "to_date",
    "to_ms",
    "to_text",
    "write",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Step = Literal["daily", "hourly"]

_EPOCH: Final = date(1970, 1, 1)

# name: meaning, unit, smallest and largest plausible value.  The bounds are the world's records,
# slightly widened (WMO World Weather and Climate Extremes Archive), so that they catch a wrong
# unit or a sensor's error code and never weather.
COLUMNS: Final[Mapping[Step, Mapping[str, tuple[str, str, float, float]]]] = {
    "daily": {
        "solar_mj_m2": ("solar radiation", "MJ m-2 d-1", 0.0, 45.0),
        "sunshine_h": ("hours of bright sunshine", "h", 0.0, 24.0),
        "tmax_c": ("highest temperature", "degC", -90.0, 57.0),
        "tmin_c": ("lowest temperature", "degC", -90.0, 57.0),
        "tdew_c": ("dew point", "degC", -95.0, 36.0),
        "ea_kpa": ("vapour pressure", "kPa", 0.0, 6.0),
        "rhmax_pct": ("highest relative humidity", "%", 0.0, 100.0),
        "rhmin_pct": ("lowest relative humidity", "%", 0.0, 100.0),
        "rh_pct": ("mean relative humidity", "%", 0.0, 100.0),
        "wind_m_s": ("mean wind speed", "m s-1", 0.0, 60.0),
        "rain_mm": ("rain", "mm", 0.0, 1900.0),
        "et0_mm": ("reference ET of grass", "mm", -1.0, 25.0),
        "etr_mm": ("reference ET of alfalfa", "mm", -1.0, 35.0),
    },
    "hourly": {
        "solar_w_m2": ("solar radiation", "W m-2", -20.0, 1500.0),
        "temp_c": ("temperature", "degC", -90.0, 57.0),
        "dewpoint_c": ("dew point", "degC", -95.0, 36.0),
        "ea_kpa": ("vapour pressure", "kPa", 0.0, 6.0),
        "rh_pct": ("relative humidity", "%", 0.0, 100.0),
        "wind_m_s": ("mean wind speed", "m s-1", 0.0, 90.0),
        "rain_mm": ("rain", "mm", 0.0, 410.0),
        "et0_mm": ("reference ET of grass", "mm", -0.5, 2.5),
        "etr_mm": ("reference ET of alfalfa", "mm", -0.5, 3.5),
    },
}
NEEDED: Final[Mapping[Step, tuple[str, ...]]] = {
    "daily": ("solar_mj_m2", "tmax_c", "tmin_c", "wind_m_s"),
    "hourly": ("solar_w_m2", "temp_c", "wind_m_s"),
}
REFERENCE_ET: Final[Mapping[str, Surface]] = {"et0_mm": "short", "etr_mm": "tall"}
HUMIDITY: Final[Mapping[Step, tuple[tuple[str, ...], ...]]] = {
    "daily": (("ea_kpa",), ("tdew_c",), ("rhmax_pct", "rhmin_pct"), ("rh_pct",)),
    "hourly": (("ea_kpa",), ("dewpoint_c",), ("rh_pct",)),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Days:
    """Daily values, each of shape (days,)."""

    time_ms: IntArray
    """Midnight at the start of the day."""
    tmax_c: FloatArray
    tmin_c: FloatArray
    ea_kpa: FloatArray
    """Mean actual vapour pressure."""
    rhmin_pct: FloatArray
    """Lowest relative humidity; from vapour pressure and `tmax_c` where it was not measured."""
    wind_m_s: FloatArray
    """Mean wind speed at 2 m."""
    solar_mj_m2: FloatArray
    """MJ m-2 d-1."""
    rain_mm: FloatArray

    def __len__(self) -> int:
        return int(self.time_ms.size)

    @property
    def day_of_year(self) -> IntArray:
        """1 on the first of January."""
        return day_of_year(self.time_ms)


@dataclass(frozen=True, kw_only=True, eq=False)
class Weather:
    """Weather of whole days, by the hour: arrays of shape (24 days,)."""

    site: Site
    step: Step
    """Of the source.  Of a daily source the hours are `sim.disaggregate`'s."""
    time_ms: IntArray
    """Start of the hour: ms since 1970, local standard time taken as if it were UTC."""
    temp_c: FloatArray
    ea_kpa: FloatArray
    """Actual vapour pressure, at most saturation."""
    wind_m_s: FloatArray
    """At 2 m."""
    solar_mj_m2: FloatArray
    """MJ m-2 h-1."""
    rain_mm: FloatArray
    days: Days
    source: str = ""
    """File, or what made it."""
    sha256: str = ""
    """Of the file; empty if there was none."""
    filled: tuple[str, ...] = ()
    """What was absent and filled: columns, how many values, by which method, and when."""
    notes: tuple[str, ...] = ()
    """What a user should know, e.g. that there was no rain gauge."""
    reference_et: Mapping[Surface, FloatArray] = field(default_factory=dict)
    """Reference ET that the source has [mm], of its days or hours; NaN where it is to be computed.
    """

    @property
    def start(self) -> date:
        """First day."""
        return to_date(int(self.time_ms[0]))

    @property
    def end(self) -> date:
        """Last day, inclusive."""
        return to_date(int(self.time_ms[-1]))

    @property
    def day_of_year(self) -> IntArray:
        """Of every hour; 1 on the first of January."""
        return day_of_year(self.time_ms)

    def period(self, start: date | None = None, end: date | None = None) -> Weather:
        """The days from `start` to `end`, both included; raises WeatherError outside the data."""
        first, last = start or self.start, end or self.end
        if first < self.start or last > self.end or first > last:
            raise WeatherError(
                self.source, 0, f"period {first} to {last}", f"allowed {self.start} to {self.end}"
            )
        low, high = (first - self.start).days, (last - self.start).days + 1
        hour = slice(24 * low, 24 * high)
        days = {k: v[low:high] for k, v in vars(self.days).items()}
        names = ("time_ms", "temp_c", "ea_kpa", "wind_m_s", "solar_mj_m2", "rain_mm")
        hours = {name: getattr(self, name)[hour] for name in names}
        step = slice(low, high) if self.step == "daily" else hour
        given = {surface: values[step] for surface, values in self.reference_et.items()}
        return replace(self, days=Days(**days), reference_et=given, **hours)


@dataclass(frozen=True, kw_only=True, eq=False)
class WeatherTable:
    """Rows of a weather file, before any check; other formats are turned into one."""

    path: str
    sha256: str
    step: Step
    time_ms: IntArray
    line: IntArray
    """Line of the file that each row stands on, from 1."""
    columns: Mapping[str, FloatArray]
    """By the names of the CSV columns; NaN where a value is absent."""
    notes: tuple[str, ...] = ()


def write(weather: Weather, path: str | Path) -> None:
    """Write the weather as a CSV file in the step of its source, which `read` reads back.

    Wind is at 2 m in the file, whatever the height of the anemometer was.
    """
    days, lines = weather.days, []
    et = weather.reference_et
    given = {name: et[surface] for name, surface in REFERENCE_ET.items() if surface in et}

    def also(i: int) -> str:
        cells = ("" if np.isnan(values[i]) else f"{values[i]:.4f}" for values in given.values())
        return "".join("," + cell for cell in cells)

    if weather.step == "daily":
        header = "date,solar_mj_m2,tmax_c,tmin_c,ea_kpa,rhmin_pct,wind_m_s,rain_mm"
        lines.append(",".join([header, *given]))
        for i in range(len(days)):
            lines.append(
                f"{to_date(int(days.time_ms[i]))},{days.solar_mj_m2[i]:.3f},{days.tmax_c[i]:.2f},"
                f"{days.tmin_c[i]:.2f},{days.ea_kpa[i]:.4f},{days.rhmin_pct[i]:.1f},"
                f"{days.wind_m_s[i]:.3f},{days.rain_mm[i]:.2f}{also(i)}"
            )
    else:
        lines.append(",".join(["time,solar_w_m2,temp_c,ea_kpa,wind_m_s,rain_mm", *given]))
        for i in range(weather.time_ms.size):
            lines.append(
                f"{to_text(int(weather.time_ms[i]))},{weather.solar_mj_m2[i] / 0.0036:.1f},"
                f"{weather.temp_c[i]:.2f},{weather.ea_kpa[i]:.4f},{weather.wind_m_s[i]:.3f},"
                f"{weather.rain_mm[i]:.2f}{also(i)}"
            )
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_columns(
    path: str, step: Step, names: Collection[str], line: int = 0, *, estimated: bool = False
) -> None:
    """Raise WeatherError if the columns `names` are not enough for a balance.

    `estimated` says that a daily file may lack all but its temperatures
    (`levada.sim.weather.estimates`).
    """
    daily = step == "daily"
    if estimated and not daily:
        found = "from_temperature for an hourly file"
        raise WeatherError(path, line, found, "it estimates days: a daily file is needed")
    hint = ", or an estimate: from_temperature = interior or coast" if daily else ""
    absent, needed, hints = [], [], ""
    for name in NEEDED[step]:
        by_temperature = daily and estimated and name not in ("tmax_c", "tmin_c")
        if name in names or by_temperature or (name == "solar_mj_m2" and "sunshine_h" in names):
            continue
        meaning, unit = COLUMNS[step][name][:2]
        other = ", or `sunshine_h`" if name == "solar_mj_m2" else ""
        hints = hint if name not in ("tmax_c", "tmin_c") else hints
        absent.append(f"`{name}`")
        needed.append(f"{meaning} [{unit}] is needed{other}")
    if absent:
        found = f"no column{'s' if len(absent) > 1 else ''} {', '.join(absent)}"
        raise WeatherError(path, line, found, f"{'; '.join(needed)}{hints}")
    if daily and estimated:
        return
    if not any(all(name in names for name in kind) for kind in HUMIDITY[step]):
        choices = ", or ".join(" and ".join(kind) for kind in HUMIDITY[step])
        raise WeatherError(path, line, "no humidity", f"needed is {choices}{hint}")


def day_of_year(time_ms: IntArray) -> IntArray:
    """Days of the year of times, 1 on the first of January."""
    day = time_ms.astype("datetime64[ms]").astype("datetime64[D]")
    first = day.astype("datetime64[Y]").astype("datetime64[D]")
    return np.asarray((day - first).astype(np.int64) + 1)


def to_ms(day: date) -> int:
    """Midnight at the start of a day, ms since 1970."""
    return (day - _EPOCH).days * DAY_MS


def to_date(time_ms: int) -> date:
    """The day of a time."""
    return _EPOCH + timedelta(days=time_ms // DAY_MS)


def to_text(time_ms: int, step: Step = "hourly") -> str:
    """`2015-01-01T00:00`, or the day alone."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d" if step == "daily" else "%Y-%m-%dT%H:%M")
