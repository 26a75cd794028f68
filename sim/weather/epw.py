"""EPW: EnergyPlus Auxiliary Programs, "EnergyPlus Weather File (EPW) Data Dictionary".

Eight header lines, then a line an hour; hour 1 is 00:00 to 01:00 of local standard time; wind at
10 m.  Every field has its own code for a value that is absent.

Rows whose years go on from one to the next are what they say.  Where they do not, the months of a
typical year come from different years, and are put into one; 29 February is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from levada.sim.errors import WeatherError
from levada.sim.settings.site import Site
from levada.sim.weather.place import elevation_m, moment_ms, place, table
from levada.sim.weather.series import WeatherTable
from levada.sim.weather.text import Text, number, read_text, whole_number

__all__ = ["read_epw"]

_TYPICAL_YEAR: Final = 2001  # not a leap year: typical years have no 29 February
_STRAY_ROWS: Final = 24
"""Rows of another year that a change of time zone leaves at an end of a file of one year."""

_FIELDS: Final = {
    # our column: position in the row, and the least value that means "missing"
    "temp_c": (6, 99.9),
    "dewpoint_c": (7, 99.9),
    "rh_pct": (8, 999.0),
    "solar_w_m2": (13, 9999.0),
    "wind_m_s": (21, 999.0),
    "rain_mm": (33, 999.0),
}


class _Row(NamedTuple):
    line: int
    year: int
    month: int
    day: int
    hour: int
    """1 to 24, or 0 for the 24 of the day before."""
    cells: list[str]

    @property
    def in_year(self) -> tuple[int, int, int]:
        return self.month, self.day, self.hour


def read_epw(
    path: str | Path, site: Site | None = None, *, year: int | None = None
) -> tuple[WeatherTable, Site]:
    """Rows and place of an EPW file; raises WeatherError.

    `year` is the year of a typical year, and replaces that of every row.
    """
    text = read_text(path)
    name = text.path
    rows_from = _header_lines(text)
    head = text.cells(1)
    offset_h = number(name, 1, "time zone", head[8])
    where = place(
        name,
        1,
        head[6],
        head[7],
        elevation_m(name, 1, head[9], site),
        utc_offset_h=offset_h,
        wind_height_m=10.0,
    )
    if site is not None and site.utc_offset_h != offset_h:
        raise WeatherError(
            name,
            1,
            f"the file is in UTC{offset_h:+g}, the site's utc_offset_h is {site.utc_offset_h:g}",
            f"an EPW is in local standard time: utc_offset_h = {offset_h:g}",
        )
    rows = [_row(text, n) for n in range(rows_from, len(text.lines) + 1) if text.lines[n - 1]]
    if not rows:
        raise WeatherError(name, 0, "an EPW file cut short", "header lines and data are needed")
    _check_hourly(name, rows)
    rows, from_zero = _from_one(rows)
    dated, notes = _dated(rows, year)
    notes += from_zero
    columns = {
        field: [_value(name, row, field, at, absent) for row, _ in dated]
        for field, (at, absent) in _FIELDS.items()
    }
    if not any(value != value for value in columns["dewpoint_c"]):
        del columns["rh_pct"]  # of use where there is no dew point; the dictionary permits 110 %
    times = [moment_ms(name, r.line, y, r.month, r.day, r.hour - 1) for r, y in dated]
    lines = [row.line for row, _ in dated]
    return table(text, "hourly", times, lines, columns, where, notes), where


def _header_lines(text: Text) -> int:
    """The line on which the rows begin: after DATA PERIODS, which ends the header."""
    if len(text.cells(1)) >= 10:
        for line in range(2, min(len(text.lines), 40)):
            if text.lines[line - 1].lstrip('" ').upper().startswith("DATA PERIODS"):
                return line + 1
    raise WeatherError(text.path, 1, "an EPW file cut short", "8 header lines and data are needed")


def _row(text: Text, line: int) -> _Row:
    cells = text.cells(line)
    if len(cells) < 22:
        raise WeatherError(text.path, line, f"{len(cells)} cells", "at least 22 are needed")
    year, month, day, hour = (
        whole_number(text.path, line, "date and hour", cell) for cell in cells[:4]
    )
    if not 0 <= hour <= 24:
        raise WeatherError(text.path, line, f"hour {hour}", "allowed are 1 to 24")
    return _Row(line, year, month, day, hour, cells)


def _from_one(rows: list[_Row]) -> tuple[list[_Row], list[str]]:
    """Rows whose hours begin with 1; a file that begins with 0 names each hour's beginning."""
    if rows[0].hour != 0 or any(row.hour == 24 for row in rows):
        return rows, []
    note = "hours 0 to 23 instead of 1 to 24: taken as the beginning of each hour"
    return [row._replace(hour=row.hour + 1) for row in rows], [note]


def _value(path: str, row: _Row, field: str, at: int, absent: float) -> float:
    value = number(path, row.line, field, row.cells[at]) if at < len(row.cells) else absent
    return float("nan") if value >= absent else value


def _check_hourly(path: str, rows: Sequence[_Row]) -> None:
    for before, row in pairwise(rows):
        if (before.year, *before.in_year) == (row.year, *row.in_year):
            raise WeatherError(
                path,
                row.line,
                "several rows an hour",
                "one is needed: whether radiation is that of the interval or of an hour differs "
                "between such files; bring it to hours first",
            )


def _dated(rows: Sequence[_Row], year: int | None) -> tuple[list[tuple[_Row, int]], list[str]]:
    """The rows with the year in which each is taken, and notes."""
    counts = Counter(row.year for row in rows)
    usual, number_of_usual = counts.most_common(1)[0]
    strays = len(rows) - number_of_usual
    if year is None:
        if _goes_on(rows):
            return [(row, row.year) for row in rows], []
        if strays <= min(_STRAY_ROWS, len(rows) // 10):
            others = ", ".join(str(y) for y in sorted(counts) if y != usual)
            note = f"{strays} of {len(rows)} rows bear another year, {others}: taken as {usual}"
            return _in_order(rows, usual), [note]
    taken = _TYPICAL_YEAR if year is None else year
    notes = [f"a typical year of {min(counts)} to {max(counts)}, taken as {taken}"]
    kept = [row for row in rows if (row.month, row.day) != (2, 29)]
    if len(kept) < len(rows):
        notes.append(f"29 February of the typical year left out, {len(rows) - len(kept)} rows")
    return _in_order(kept, taken), notes


def _goes_on(rows: Sequence[_Row]) -> bool:
    """Whether years change only where one ends and the next begins."""
    for before, row in pairwise(rows):
        if row.year < before.year:
            return False
        if row.year > before.year and row.in_year >= before.in_year:
            return False
    return True


def _in_order(rows: Sequence[_Row], year: int) -> list[tuple[_Row, int]]:
    """The rows from `year` on, which goes up where December is followed by January."""
    dated = []
    for i, row in enumerate(rows):
        if i and row.month == 1 and rows[i - 1].month == 12:
            year += 1
        dated.append((row, year))
    return dated
