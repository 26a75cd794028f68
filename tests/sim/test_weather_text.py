"""Lines, cells and separators of our own weather files, as programs and people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from levada.sim.weather import WeatherError
from levada.sim.weather.csv_file import read_csv, step_of
from levada.sim.weather.text import Text, read_text

DAYS = (
    "date;solar_mj_m2;tmax_c;tmin_c;tdew_c;wind_m_s;rain_mm\n"
    "2023-04-01;20,5;21,5;9,0;2,5;1,5;0,0\n"
    "2023-04-02;21,5;22,25;10,5;3,5;2,5;1,5\n"
    "2023-04-03;22,5;23,5;11,5;4,5;3,5;2,5\n"
)
NAMES = "date,solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_m_s,rain_mm"
HOUR_NAMES = "time,solar_w_m2,temp_c,rh_pct,wind_m_s"
HOURS = f"{HOUR_NAMES}\n2023-04-01T00:00,0,9.5,80,1\n2023-04-01T01:00,0,9,80,1\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path, **options: str) -> str:
    """What is said of a file, without its folder."""
    with pytest.raises(WeatherError) as told:
        read_csv(path, **options)  # type: ignore[arg-type]
    return str(told.value).removeprefix(f"{path.parent}/")


@pytest.mark.parametrize("above", ["", "# a|b|c|d, of the station\n", "\n# a\n\n"])
def test_decimal_commas_are_numbers_where_another_sign_separates(
    tmp_path: Path, above: str
) -> None:
    """In every row there are as many decimal commas as separators, so only the header tells."""
    table = read_csv(written(tmp_path, above + DAYS))
    assert table.columns["tmax_c"].tolist() == [21.5, 22.25, 23.5]
    assert table.columns["tmin_c"].tolist() == [9.0, 10.5, 11.5]
    assert table.notes == ("18 numbers with a decimal comma",)
    assert (table.line - above.count("\n")).tolist() == [2, 3, 4]


def test_a_comma_within_quotes_is_no_decimal_comma_where_commas_separate(tmp_path: Path) -> None:
    found = refused(written(tmp_path, f'{NAMES}\n2023-04-01,20,"21,5",9,2,1,0\n'))
    assert found == "own.csv:2: `21,5` in column `tmax_c`; a number is needed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "own.csv: no rows; a header and at least one row are needed"),
        ("# date\n", "own.csv: no rows; a header and at least one row are needed"),
        ("date,tmax_c,tmin_c\n", "own.csv: no rows; a header and at least one row are needed"),
        ("# a\n\ndate,tmax_c,tmax_c\n2023-04-01,1,1\n", "own.csv:3: column `tmax_c` twice; each"),
        (
            "date,rain_inches_per_day\n2023-04-01,1\n",
            "own.csv:1: unknown column `rain_inches_per_day`; did you mean `rain_mm` [",
        ),
        (
            "date,taxm_c\n2023-04-01,1\n",
            "own.csv:1: unknown column `taxm_c`; did you mean `tmax_c` [",
        ),
        (
            "date,taxm_c,tmin_c,rain_in\n2023-04-01,1,1,1\n",
            "own.csv:1: unknown columns `taxm_c`, `rain_in`; did you mean `tmax_c` [degC], ",
        ),
        (
            "date,tmin_c,solar_mj_m2\n2023-04-01,1,1\n",
            "own.csv:1: no columns `tmax_c`, `wind_m_s`; ",
        ),
    ],
)
def test_the_line_at_fault_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert refused(written(tmp_path, text)).startswith(message)


def test_a_clock_without_an_offset_of_its_site_is_that_of_greenwich(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path, HOURS), time_zone="UTC")
    midnight = datetime(2023, 4, 1, tzinfo=UTC).timestamp() * 1000
    assert table.time_ms.tolist() == [midnight, midnight + 3_600_000]


def test_a_zone_that_there_is_not_is_no_fault_of_a_line(tmp_path: Path) -> None:
    found = refused(written(tmp_path, HOURS), time_zone="Mars/Olympus")
    assert found.startswith("own.csv: unknown time zone `Mars/Olympus`; ")


@pytest.mark.parametrize("year", [1800, 2300])
def test_times_are_of_the_years_1800_to_2300(tmp_path: Path, year: int) -> None:
    day = f"{NAMES}\n{{}}-06-30,20,21.5,9,2,1,0\n"
    table = read_csv(written(tmp_path, day.format(year)))
    assert table.time_ms[0] == datetime(year, 6, 30, tzinfo=UTC).timestamp() * 1000
    beyond = year + 1 if year == 2300 else year - 1
    found = refused(written(tmp_path, day.format(beyond)))
    assert found == f"own.csv:2: time `{beyond}-06-30`; allowed are days from 1800 to 2300"


@pytest.mark.parametrize("time", ["00:30", "00:00:01", "00:00:00.5", "00:00:01.5"])
def test_hours_are_full_hours(tmp_path: Path, time: str) -> None:
    text = f"{HOUR_NAMES}\n2023-04-01T{time},0,9.5,80,1\n"
    found = refused(written(tmp_path, text))
    wanted = "allowed are full hours, years 1800 to 2300"
    assert found == f"own.csv:2: time `2023-04-01T{time}`; {wanted}"


@pytest.mark.parametrize(
    ("names", "cells", "example"),
    [
        (NAMES, "20,21.5,9,2,1,0", "2023-04-15"),
        (HOUR_NAMES, "0,9.5,80,1", "2015-01-01T00:00"),
    ],
)
def test_a_time_that_is_none_is_refused_with_one_that_can_be_read(
    tmp_path: Path, names: str, cells: str, example: str
) -> None:
    found = refused(written(tmp_path, f"{names}\n1.4.2023,{cells}\n"))
    assert found == f"own.csv:2: time `1.4.2023`; write it like {example}"
    read_csv(written(tmp_path, f"{names}\n{example},{cells}\n"))


@pytest.mark.parametrize(
    ("lines", "step"),
    [
        (["# a|b|c|d", *DAYS.splitlines()], "daily"),
        (DAYS.splitlines(), "daily"),
        (HOURS.splitlines(), "hourly"),
        (["# made of columns, date, and others"], None),
        (["station,47"], None),
    ],
)
def test_the_header_tells_the_step(lines: list[str], step: str | None) -> None:
    assert step_of(Text("own.csv", lines, "")) == step


def test_a_cell_without_end_is_no_row() -> None:
    """The limit is that of Python's module `csv`, 131072 characters."""
    text = Text("own.csv", ["short", "x" * 131_073], "")
    with pytest.raises(WeatherError, match=r"^own\.csv:2: not a row: field larger than .*131072"):
        text.cells(2)


def test_what_is_not_utf_8_is_refused_or_read_as_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes("St-Étienne".encode("latin-1"))
    assert read_text(path).lines == ["St-Étienne"]
    with pytest.raises(WeatherError) as told:
        read_text(path, strict=True)
    assert str(told.value) == f"{path}: byte 3 is not UTF-8; save as UTF-8"
