"""Our own weather files: columns whose names carry their units, daily or hourly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from levada.sim.errors import WeatherError
from levada.sim.units import HOUR_MS
from levada.sim.weather.series import COLUMNS, Step, WeatherTable, check_columns
from levada.sim.weather.text import Text, number, read_text

__all__ = ["read_csv", "step_of", "zone"]

_SEPARATORS: Final = ",;\t|"


def read_csv(
    path: str | Path,
    *,
    time_zone: str | None = None,
    utc_offset_h: float = 0.0,
    estimated: bool = False,
) -> WeatherTable:
    """The rows of a CSV file: names, numbers and times checked, values and order not yet.

    `time_zone` is the IANA zone of a file kept on clock time; `estimated` says that a daily file
    may lack all but its temperatures.  Raises WeatherError.
    """
    text = read_text(path, strict=True)
    name = text.path
    numbers = [n for n, line in enumerate(text.lines, 1) if _is_row(line)]
    if len(numbers) < 2:
        raise WeatherError(name, 0, "no rows", "a header and at least one row are needed")
    separator = _separator(text.lines[numbers[0] - 1])
    header = text.cells(numbers[0], separator)
    step = _header(name, numbers[0], header, estimated)
    clock = None if time_zone is None else zone(name, time_zone)
    time_at = header.index("date" if step == "daily" else "time")
    times, values = np.empty(len(numbers) - 1, np.int64), np.empty((len(numbers) - 1, len(header)))
    read_ms = times.copy()
    seen: set[int] = set()
    commas = 0
    for row, line in enumerate(numbers[1:]):
        cells = text.cells(line, separator)
        if len(cells) != len(header):
            raise WeatherError(name, line, f"{len(cells)} cells", f"{len(header)} are needed")
        times[row] = read_ms[row] = _time(name, line, cells[time_at], step)
        if clock is not None and step == "hourly":
            times[row] = _standard(name, line, int(times[row]), clock, utc_offset_h, seen)
            seen.add(int(times[row]))
        for column, cell in enumerate(cells):
            if column != time_at:
                if separator != "," and "," in cell:
                    cell, commas = cell.replace(",", ".", 1), commas + 1
                values[row, column] = number(name, line, header[column], cell)
    notes = []
    if clock is not None:
        moved_h = sorted(set(((times - read_ms) / HOUR_MS).tolist())) if step == "hourly" else []
        by = " and ".join(f"{hours:+g} h" if hours else "0 h" for hours in moved_h)
        notes.append(f"clock time of {time_zone} brought to standard time, moved by {by}")
    if commas:
        notes.append(f"{commas} numbers with a decimal comma")
    return WeatherTable(
        path=name,
        sha256=text.sha256,
        step=step,
        time_ms=times,
        line=np.array(numbers[1:], np.int64),
        columns={h: values[:, i].copy() for i, h in enumerate(header) if h in COLUMNS[step]},
        notes=tuple(notes),
    )


def step_of(text: Text) -> Step | None:
    """Daily or hourly as the header says, None if it is no header of ours."""
    first = next((n for n, line in enumerate(text.lines, 1) if _is_row(line)), 0)
    header = text.cells(first, _separator(text.lines[first - 1])) if first else []
    if "date" in header:
        return "daily"
    return "hourly" if "time" in header else None


def _is_row(line: str) -> bool:
    return bool(line.strip(' \t",;|')) and not line.lstrip().startswith("#")


def _separator(header: str) -> str:
    """What stands between the names; a comma if nothing does."""
    return max(_SEPARATORS, key=header.count)


def _header(path: str, line: int, header: Sequence[str], estimated: bool) -> Step:
    """Daily or hourly, after every column name was found to be a known one."""
    times = [name for name in ("date", "time") if name in header]
    if len(times) != 1:
        found = "columns `date` and `time`" if times else "neither column `date` nor `time`"
        if "YEAR" in header:
            found += ", but `YEAR`: of NASA POWER without the header that tells units?"
        raise WeatherError(path, line, found, "one of them: `date` for days, `time` for hours")
    step: Step = "daily" if times == ["date"] else "hourly"
    known = COLUMNS[step]
    unknown, hints = [], []
    for name in header:
        if header.count(name) > 1:
            raise WeatherError(path, line, f"column `{name}` twice", "each column once")
        if name not in known and name != times[0]:
            stem = [k for k in known if name.split("_")[0] == k.split("_")[0]]
            near = stem or get_close_matches(name, known, n=1)
            unknown.append(f"`{name}`")
            hints += [f"`{near[0]}` [{known[near[0]][1]}]"] if near else []
    if unknown:
        found = f"unknown column{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
        hint = f"did you mean {', '.join(dict.fromkeys(hints))}? " if hints else ""
        raise WeatherError(path, line, found, f"{hint}allowed: {', '.join(known)}")
    check_columns(path, step, header, line, estimated=estimated)
    return step


def zone(path: str, name: str) -> ZoneInfo:
    """The IANA zone of that name; raises WeatherError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
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
        if standard % HOUR_MS:
            found = f"the clock of {zone.key} is not whole hours from UTC{utc_offset_h:+g}"
            raise WeatherError(path, line, found, "the site's utc_offset_h as the zone has it")
        if standard not in seen:
            break
    return standard
