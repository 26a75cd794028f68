"""Weather of a site: read, checked, and brought to hours.

A file in comma-separated columns whose names carry their units is either daily (column `date`) or
hourly (column `time`, the start of the hour).  Times are local standard time; a file kept on a
clock that changes to daylight saving time names its zone, and is brought to standard time.

Nothing is repaired silently: an unknown column, a value that is missing, not a number or
implausible for its unit, a time twice, back in time or absent is refused with file and line.
A period whose values fit another unit better is refused, or doubted in `Weather.notes`, which also
counts what was cut (`sim.weather_units`).
Absent times are filled only by a method that the caller names, and are listed in `Weather.filled`.

    WeatherError    the file cannot be used, with path, line, what was found and what is allowed

Humidity becomes actual vapour pressure: dew point (FAO-56 Eq. 14) before extremes of relative
humidity (Eq. 17) before their mean (Eq. 19).  Wind is brought to 2 m (Eq. 47).  Left out:
corrections of rain gauges for wind, of radiation for dirty or shaded sensors.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from sim import disaggregate
from sim.disaggregate import extraterrestrial_mj_m2, saturation_kpa
from sim.errors import WeatherError
from sim.weather_units import check_rain, check_solar, check_wind, cut_negative, cut_vapour

__all__ = [
    "FILL_METHODS",
    "Days",
    "Fill",
    "Site",
    "Table",
    "Weather",
    "WeatherError",
    "build",
    "columns_for",
    "from_days",
    "read",
    "read_table",
    "wind_at_2m",
    "write",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Fill = Literal["none", "linear", "previous-day"]
Step = Literal["daily", "hourly"]

FILL_METHODS: Final = ("none", "linear", "previous-day")
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
_LONGEST_LINEAR: Final = 3  # steps: beyond it a straight line misses the night, or a front
_EPOCH: Final = date(1970, 1, 1)

# name: meaning, unit, smallest and largest plausible value.  The bounds are the world's records,
# slightly widened (WMO World Weather and Climate Extremes Archive), so that they catch a wrong
# unit or a sensor's error code and never weather.
_COLUMNS: Final[Mapping[Step, Mapping[str, tuple[str, str, float, float]]]] = {
    "daily": {
        "solar_mj_m2": ("solar radiation", "MJ m-2 d-1", 0.0, 45.0),
        "tmax_c": ("highest temperature", "degC", -90.0, 57.0),
        "tmin_c": ("lowest temperature", "degC", -90.0, 57.0),
        "tdew_c": ("dew point", "degC", -95.0, 36.0),
        "ea_kpa": ("vapour pressure", "kPa", 0.0, 6.0),
        "rhmax_pct": ("highest relative humidity", "%", 0.0, 100.0),
        "rhmin_pct": ("lowest relative humidity", "%", 0.0, 100.0),
        "rh_pct": ("mean relative humidity", "%", 0.0, 100.0),
        "wind_m_s": ("mean wind speed", "m s-1", 0.0, 60.0),
        "rain_mm": ("rain", "mm", 0.0, 1900.0),
    },
    "hourly": {
        "solar_w_m2": ("solar radiation", "W m-2", -20.0, 1500.0),
        "temp_c": ("temperature", "degC", -90.0, 57.0),
        "dewpoint_c": ("dew point", "degC", -95.0, 36.0),
        "ea_kpa": ("vapour pressure", "kPa", 0.0, 6.0),
        "rh_pct": ("relative humidity", "%", 0.0, 100.0),
        "wind_m_s": ("mean wind speed", "m s-1", 0.0, 90.0),
        "rain_mm": ("rain", "mm", 0.0, 410.0),
    },
}
_NEEDED: Final[Mapping[Step, tuple[str, ...]]] = {
    "daily": ("solar_mj_m2", "tmax_c", "tmin_c", "wind_m_s"),
    "hourly": ("solar_w_m2", "temp_c", "wind_m_s"),
}
_HUMIDITY: Final[Mapping[Step, tuple[tuple[str, ...], ...]]] = {
    "daily": (("ea_kpa",), ("tdew_c",), ("rhmax_pct", "rhmin_pct"), ("rh_pct",)),
    "hourly": (("ea_kpa",), ("dewpoint_c",), ("rh_pct",)),
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the weather was measured."""

    latitude_deg: float
    """North positive, -90 to 90."""
    longitude_deg: float
    """East positive, -180 to 180."""
    elevation_m: float
    """Above sea level, -430 to 6000."""
    utc_offset_h: float
    """Local standard time minus UTC, -12 to 14; no daylight saving time."""
    wind_height_m: float = 2.0
    """Height of the anemometer, 0.5 to 200."""
    name: str = ""

    def __post_init__(self) -> None:
        for field, low, high in (
            ("latitude_deg", -90.0, 90.0),
            ("longitude_deg", -180.0, 180.0),
            ("elevation_m", -430.0, 6000.0),
            ("utc_offset_h", -12.0, 14.0),
            ("wind_height_m", 0.5, 200.0),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise ValueError(f"{field} = {value}: allowed is {low:g} to {high:g}")


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
        return _day_of_year(self.time_ms)


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
    """Times that were absent, with the method, e.g. `2015-04-22T09:00 linear`."""
    notes: tuple[str, ...] = ()
    """What a user should know, e.g. that there was no rain gauge."""

    @property
    def start(self) -> date:
        """First day."""
        return _to_date(int(self.time_ms[0]))

    @property
    def end(self) -> date:
        """Last day, inclusive."""
        return _to_date(int(self.time_ms[-1]))

    @property
    def day_of_year(self) -> IntArray:
        """Of every hour; 1 on the first of January."""
        return _day_of_year(self.time_ms)

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
        filled = tuple(f for f in self.filled if str(first) <= f[:10] <= str(last))
        hours = {name: getattr(self, name)[hour] for name in names}
        return replace(self, days=Days(**days), filled=filled, **hours)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows of a weather file, before any check; other formats are turned into one."""

    path: str
    sha256: str
    step: Step
    time_ms: IntArray
    line: IntArray
    """Line of the file that each row stands on, from 1."""
    columns: Mapping[str, FloatArray]
    """By the names of the CSV columns."""
    notes: tuple[str, ...] = ()


def read(
    path: str | Path,
    site: Site,
    *,
    start: date | None = None,
    end: date | None = None,
    fill: Fill = "none",
    time_zone: str | None = None,
    seed: int = 0,
) -> Weather:
    """Weather of the days `start` to `end` (default: all whole days) of a CSV file.

    `fill` names the method for absent times, `time_zone` the IANA zone of a file kept on clock
    time, `seed` chooses the hours of rain of a daily file.  Raises WeatherError.
    """
    return build(
        read_table(path, time_zone=time_zone, utc_offset_h=site.utc_offset_h),
        site,
        start=start,
        end=end,
        fill=fill,
        seed=seed,
    )


def read_table(
    path: str | Path, *, time_zone: str | None = None, utc_offset_h: float = 0.0
) -> Table:
    """The rows of a CSV file: names, numbers and times checked, values and order not yet."""
    name = str(path)
    content = Path(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WeatherError(name, 0, f"byte {error.start} is not UTF-8", "save as UTF-8") from None
    lines = [
        (number, cells)
        for number, cells in enumerate(csv.reader(text.splitlines()), 1)
        if cells and any(c.strip() for c in cells) and not cells[0].lstrip().startswith("#")
    ]
    if len(lines) < 2:
        raise WeatherError(name, 0, "no rows", "a header and at least one row are needed")
    header_line, header = lines[0][0], [cell.strip() for cell in lines[0][1]]
    step = _header(name, header_line, header)
    zone = None if time_zone is None else _zone(name, time_zone)
    first = _COLUMNS[step]
    time_at = header.index("date" if step == "daily" else "time")
    times, values = np.empty(len(lines) - 1, np.int64), np.empty((len(lines) - 1, len(header)))
    seen: set[int] = set()
    for row, (number, cells) in enumerate(lines[1:]):
        if len(cells) != len(header):
            raise WeatherError(name, number, f"{len(cells)} cells", f"{len(header)} are needed")
        times[row] = _time(name, number, cells[time_at].strip(), step)
        if zone is not None and step == "hourly":
            times[row] = _standard(name, number, int(times[row]), zone, utc_offset_h, seen)
            seen.add(int(times[row]))
        for column, cell in enumerate(cells):
            if column != time_at:
                values[row, column] = _number(name, number, header[column], cell)
    columns = {h: values[:, i].copy() for i, h in enumerate(header) if h in first}
    return Table(
        path=name,
        sha256=hashlib.sha256(content).hexdigest(),
        step=step,
        time_ms=times,
        line=np.array([number for number, _ in lines[1:]], np.int64),
        columns=columns,
        notes=() if zone is None else (f"clock time of {time_zone} brought to standard time",),
    )


def build(
    table: Table,
    site: Site,
    *,
    start: date | None = None,
    end: date | None = None,
    fill: Fill = "none",
    seed: int = 0,
) -> Weather:
    """Weather from the rows of a file, after all checks; see `read`."""
    if fill not in FILL_METHODS:
        raise ValueError(f"fill = {fill!r}: allowed is one of {', '.join(FILL_METHODS)}")
    if not table.time_ms.size:
        raise WeatherError(table.path, 0, "no row with all values", "at least one day is needed")
    _check_order(table)
    _check_values(table)
    table, filled = _complete(table, start, end, fill)
    notes = list(table.notes)
    columns = dict(table.columns)
    if "rain_mm" not in columns:
        columns["rain_mm"] = np.zeros(table.time_ms.size)
        notes.append("no rain column: no rain")
    make = _from_daily if table.step == "daily" else _from_hourly
    weather = make(replace(table, columns=columns), site, seed)
    days = weather.days
    notes += check_wind(table.path, days.wind_m_s)
    notes += check_rain(days.rain_mm)
    outside = extraterrestrial_mj_m2(days.day_of_year, site.latitude_deg)
    check_solar(table.path, days.solar_mj_m2, outside)
    return replace(
        weather,
        source=table.path,
        sha256=table.sha256,
        filled=filled,
        notes=(*notes, *weather.notes),
    )


def wind_at_2m(wind_m_s: FloatArray, height_m: float) -> FloatArray:
    """Wind speed [m s-1] at 2 m from that at `height_m`, FAO-56 Eq. 47; at 2 m unchanged."""
    if height_m == 2.0:
        return wind_m_s
    factor: float = 4.87 / math.log(67.8 * height_m - 5.42)
    return wind_m_s * factor


def write(weather: Weather, path: str | Path) -> None:
    """Write the weather as a CSV file in the step of its source, which `read` reads back.

    Wind is at 2 m in the file, whatever the height of the anemometer was.
    """
    days, lines = weather.days, []
    if weather.step == "daily":
        lines.append("date,solar_mj_m2,tmax_c,tmin_c,ea_kpa,rhmin_pct,wind_m_s,rain_mm")
        for i in range(len(days)):
            lines.append(
                f"{_to_date(int(days.time_ms[i]))},{days.solar_mj_m2[i]:.3f},{days.tmax_c[i]:.2f},"
                f"{days.tmin_c[i]:.2f},{days.ea_kpa[i]:.4f},{days.rhmin_pct[i]:.1f},"
                f"{days.wind_m_s[i]:.3f},{days.rain_mm[i]:.2f}"
            )
    else:
        lines.append("time,solar_w_m2,temp_c,ea_kpa,wind_m_s,rain_mm")
        for i in range(weather.time_ms.size):
            lines.append(
                f"{_to_text(int(weather.time_ms[i]))},{weather.solar_mj_m2[i] / 0.0036:.1f},"
                f"{weather.temp_c[i]:.2f},{weather.ea_kpa[i]:.4f},{weather.wind_m_s[i]:.3f},"
                f"{weather.rain_mm[i]:.2f}"
            )
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def columns_for(path: str, step: Step, names: Collection[str], line: int = 0) -> tuple[str, ...]:
    """The columns among `names` that a balance uses; raises WeatherError if they are not enough."""
    for name in _NEEDED[step]:
        if name not in names:
            meaning, unit = _COLUMNS[step][name][:2]
            raise WeatherError(path, line, f"no column `{name}`", f"{meaning} [{unit}] is needed")
    for kind in _HUMIDITY[step]:
        if all(name in names for name in kind):
            rain = ("rain_mm",) if "rain_mm" in names else ()
            return (*_NEEDED[step], *kind, *rain)
    choices = ", or ".join(" and ".join(kind) for kind in _HUMIDITY[step])
    raise WeatherError(path, line, "no humidity", f"needed is {choices}")


def _header(path: str, line: int, header: Sequence[str]) -> Step:
    """Daily or hourly, after every column name was found to be a known one."""
    times = [name for name in ("date", "time") if name in header]
    if len(times) != 1:
        found = "columns `date` and `time`" if times else "neither column `date` nor `time`"
        raise WeatherError(path, line, found, "one of them: `date` for days, `time` for hours")
    step: Step = "daily" if times == ["date"] else "hourly"
    known = _COLUMNS[step]
    for name in header:
        if header.count(name) > 1:
            raise WeatherError(path, line, f"column `{name}` twice", "each column once")
        if name not in known and name != times[0]:
            stem = [k for k in known if name.split("_")[0] == k.split("_")[0]]
            near = stem or get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}` [{known[near[0]][1]}]? " if near else ""
            raise WeatherError(
                path, line, f"unknown column `{name}`", f"{hint}allowed: {', '.join(known)}"
            )
    columns_for(path, step, header, line)
    return step


def _zone(path: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        allowed = "allowed is a name such as America/Los_Angeles"
        raise WeatherError(path, 0, f"unknown time zone `{name}`", allowed) from None


def _time(path: str, line: int, text: str, step: Step) -> int:
    """Milliseconds since 1970 of `2023-04-15` or `2015-01-01T00:00`."""
    form = "2023-04-15" if step == "daily" else "2015-01-01T00:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WeatherError(path, line, f"time `{text}`", f"write it like {form}") from None
    if moment.tzinfo is not None:
        raise WeatherError(path, line, f"time `{text}` with an offset", "local standard time")
    whole = moment.time() == datetime.min.time() if step == "daily" else moment.minute == 0
    if not whole or moment.second or moment.microsecond or not 1800 <= moment.year <= 2300:
        wanted = "days from 1800 to 2300" if step == "daily" else "full hours, years 1800 to 2300"
        raise WeatherError(path, line, f"time `{text}`", f"allowed are {wanted}")
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _standard(
    path: str, line: int, clock_ms: int, zone: ZoneInfo, utc_offset_h: float, seen: set[int]
) -> int:
    """Standard time of a clock time; of an hour shown twice, the first row is the earlier one."""
    naive = datetime.fromtimestamp(clock_ms / 1000, UTC).replace(tzinfo=None)
    standard = 0
    for fold in (0, 1):
        local = naive.replace(tzinfo=zone, fold=fold)
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
            raise WeatherError(
                path, line, f"time {naive.isoformat()}", f"the clock of {zone.key} skips it"
            )
        standard = round(local.timestamp() * 1000 + utc_offset_h * HOUR_MS)
        if standard not in seen:
            break
    return standard


def _number(path: str, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        found = f"`{cell.strip()}` in column `{column}`" if cell.strip() else f"empty `{column}`"
        raise WeatherError(path, line, found, "a number is needed") from None
    if not np.isfinite(value):
        raise WeatherError(
            path,
            line,
            f"`{cell.strip()}` in column `{column}`",
            "a finite number is needed; leave the row out and name a `fill` method instead",
        )
    return value


def _check_order(table: Table) -> None:
    step = np.diff(table.time_ms)
    for row in np.flatnonzero(step <= 0)[:1]:
        line, time = int(table.line[row + 1]), int(table.time_ms[row + 1])
        if step[row] == 0 or time in table.time_ms[: row + 1]:
            first = int(table.line[np.flatnonzero(table.time_ms == time)[0]])
            found, allowed = f"{_to_text(time)} again", f"each time once, first on line {first}"
        else:
            found = f"{_to_text(time)} after {_to_text(int(table.time_ms[row]))}"
            allowed = "times must ascend"
        raise WeatherError(table.path, line, found, allowed)


def _check_values(table: Table) -> None:
    """Every value within the bounds of its column; daily extremes in their order."""
    for name, values in table.columns.items():
        meaning, unit, low, high = _COLUMNS[table.step][name]
        for row in np.flatnonzero(~((values >= low) & (values <= high)))[:1]:
            raise WeatherError(
                table.path,
                int(table.line[row]),
                f"{name} = {values[row]:g}",
                f"allowed for {meaning} is {low:g} to {high:g} {unit}",
            )
    rh = [v.max() for n, v in table.columns.items() if n.startswith("rh")]
    if rh and len(table.line) > 2 and max(rh) <= 1.0:
        raise WeatherError(
            table.path,
            int(table.line[0]),
            f"no relative humidity above {max(rh):g}",
            "a fraction? percent is needed, 0 to 100",
        )
    for low_name, high_name in (("tmin_c", "tmax_c"), ("rhmin_pct", "rhmax_pct")):
        if low_name in table.columns and high_name in table.columns:
            wrong = table.columns[low_name] > table.columns[high_name]
            for row in np.flatnonzero(wrong)[:1]:
                raise WeatherError(
                    table.path,
                    int(table.line[row]),
                    f"{low_name} = {table.columns[low_name][row]:g}",
                    f"at most {high_name} = {table.columns[high_name][row]:g}",
                )


def _complete(
    table: Table, start: date | None, end: date | None, fill: Fill
) -> tuple[Table, tuple[str, ...]]:
    """The rows of whole days from `start` to `end`, absent ones filled, and their list."""
    step_ms = DAY_MS if table.step == "daily" else HOUR_MS
    first = -(-int(table.time_ms[0]) // DAY_MS) * DAY_MS
    last = (int(table.time_ms[-1]) + step_ms) // DAY_MS * DAY_MS - DAY_MS
    low = first if start is None else _to_ms(start)
    high = last if end is None else _to_ms(end)
    if low < first or high > last or low > high:
        whole = f"{_to_date(first)} to {_to_date(last)}" if first <= last else "not one whole day"
        found = f"period {_to_date(low)} to {_to_date(high)}"
        raise WeatherError(table.path, 0, found, f"the file has {whole}")
    grid = np.arange(low, high + DAY_MS, step_ms, dtype=np.int64)
    absent = np.setdiff1d(grid, table.time_ms)
    columns = dict(table.columns)
    if absent.size:
        if fill == "none":
            raise _hole(table, absent, step_ms)
        before = grid[0] - DAY_MS  # the day before may serve as the previous day
        keep = (table.time_ms >= before) & (table.time_ms <= grid[-1] + step_ms)
        columns = {k: v[keep] for k, v in columns.items()}
        filler = _linear if fill == "linear" else _previous_day
        columns = filler(table, table.time_ms[keep], columns, grid, absent, step_ms)
    else:
        keep = np.isin(table.time_ms, grid)
        columns = {k: v[keep] for k, v in columns.items()}
    filled = tuple(f"{_to_text(int(t), table.step)} {fill}" for t in absent)
    line = np.zeros(grid.size, np.int64)
    return replace(table, time_ms=grid, line=line, columns=columns), filled


def _hole(table: Table, absent: IntArray, step_ms: int) -> WeatherError:
    first = int(absent[0])
    row = int(np.searchsorted(table.time_ms, first))
    what = "day" if step_ms == DAY_MS else "hour"
    count = f"1 {what}" if absent.size == 1 else f"{absent.size} {what}s"
    moment = datetime.fromtimestamp(first / 1000, UTC)
    hint = ""
    if what == "hour" and moment.weekday() == 6 and 1 <= moment.hour <= 3:
        hint = "; a clock changed to daylight saving time? then name its `time_zone`"
    return WeatherError(
        table.path,
        int(table.line[min(row, table.line.size - 1)]),
        f"{count} absent, first {_to_text(first, table.step)}",
        f"none may be, or name a method: fill = linear or previous-day{hint}",
    )


def _linear(
    table: Table,
    time_ms: IntArray,
    columns: Mapping[str, FloatArray],
    grid: IntArray,
    absent: IntArray,
    step_ms: int,
) -> dict[str, FloatArray]:
    """A straight line over at most three absent steps; no rain in them."""
    after = np.searchsorted(time_ms, absent)
    for row, time in zip(after, absent, strict=True):
        inside = 0 < row < time_ms.size
        gap = int(time_ms[row] - time_ms[row - 1]) // step_ms - 1 if inside else 0
        if not 0 < gap <= _LONGEST_LINEAR:
            raise WeatherError(
                table.path,
                0,
                f"hole of {gap or 'unknown'} steps at {_to_text(int(time))}",
                f"linear fills at most {_LONGEST_LINEAR}; use previous-day or another period",
            )
    out = {name: np.interp(grid, time_ms, values) for name, values in columns.items()}
    if "rain_mm" in out:
        out["rain_mm"][np.isin(grid, absent)] = 0.0
    return out


def _previous_day(
    table: Table,
    time_ms: IntArray,
    columns: Mapping[str, FloatArray],
    grid: IntArray,
    absent: IntArray,
    step_ms: int,
) -> dict[str, FloatArray]:
    """The same time of the day before, itself possibly filled."""
    at = {int(t): i for i, t in enumerate(time_ms)}
    for time in absent:
        source = at.get(int(time) - DAY_MS)
        if source is None:
            raise WeatherError(
                table.path,
                0,
                f"no day before {_to_text(int(time))}",
                "previous-day needs one; begin later",
            )
        at[int(time)] = source
    rows = np.array([at[int(t)] for t in grid])
    return {name: values[rows] for name, values in columns.items()}


def _vapour(step: Step, columns: Mapping[str, FloatArray]) -> FloatArray:
    """Actual vapour pressure [kPa] by the best of the humidity columns."""
    if "ea_kpa" in columns:
        return columns["ea_kpa"]
    for name in ("tdew_c", "dewpoint_c"):
        if name in columns:
            return saturation_kpa(columns[name])
    if step == "hourly":
        return saturation_kpa(columns["temp_c"]) * columns["rh_pct"] / 100.0
    low, high = saturation_kpa(columns["tmin_c"]), saturation_kpa(columns["tmax_c"])
    if "rhmax_pct" in columns and "rhmin_pct" in columns:
        return (low * columns["rhmax_pct"] + high * columns["rhmin_pct"]) / 200.0
    return (low + high) / 2.0 * columns["rh_pct"] / 100.0


def _from_daily(table: Table, site: Site, seed: int) -> Weather:
    columns = table.columns
    ea, notes = cut_vapour(
        table.path, _vapour("daily", columns), saturation_kpa(columns["tmax_c"]), "day"
    )
    rhmin = columns.get("rhmin_pct")
    if rhmin is None:
        rhmin = 100.0 * ea / saturation_kpa(columns["tmax_c"])
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
    return replace(from_days(days, site, seed=seed), notes=tuple(notes))


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


def _from_hourly(table: Table, site: Site, seed: int) -> Weather:
    del seed  # only the hours of rain of a daily file are drawn
    columns, time_ms = table.columns, table.time_ms
    temp = columns["temp_c"]
    ea, cut = cut_vapour(table.path, _vapour("hourly", columns), saturation_kpa(temp), "hour")
    wind = wind_at_2m(columns["wind_m_s"], site.wind_height_m)
    solar_w_m2, set_to_zero = cut_negative(columns["solar_w_m2"])
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
        notes=(*cut, *set_to_zero),
    )


def _by_day(hourly: FloatArray) -> FloatArray:
    return hourly.reshape(-1, 24)


def _day_of_year(time_ms: IntArray) -> IntArray:
    day = time_ms.astype("datetime64[ms]").astype("datetime64[D]")
    first = day.astype("datetime64[Y]").astype("datetime64[D]")
    return np.asarray((day - first).astype(np.int64) + 1)


def _to_ms(day: date) -> int:
    return (day - _EPOCH).days * DAY_MS


def _to_date(time_ms: int) -> date:
    return _EPOCH + timedelta(days=time_ms // DAY_MS)


def _to_text(time_ms: int, step: Step = "hourly") -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d" if step == "daily" else "%Y-%m-%dT%H:%M")
