"""Every row of the tables of fields, units and codes that weather files come with.

Codes, fields and units are those of the publishers' own descriptions; factors are worked out by
hand from the definitions of the units.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from levada.sim.weather import Site, WeatherError
from levada.sim.weather.csv_file import read_csv
from levada.sim.weather.epw import read_epw
from levada.sim.weather.nasa_power import read_nasa_power
from levada.sim.weather.open_meteo import read_open_meteo
from levada.sim.weather.series import COLUMNS, WeatherTable

TO_2M = 4.87 / math.log(67.8 * 10.0 - 5.42)  # FAO-56 Eq. 47, from 10 m
FROM_50_M = 4.87 / math.log(67.8 * 50.0 - 5.42)
DRY_DEW = "99.9"

# "EnergyPlus Weather File (EPW) Data Dictionary": field, position from 0, code for missing, a
# value that is none, and what it is here.  Of the dictionary: dry bulb "missing 99.9", dew point
# 99.9, relative humidity 999., global horizontal radiation 9999., wind speed 999., liquid
# precipitation depth 999.
EPW = [
    ("temp_c", 6, "99.9", "31.5", 31.5),
    ("dewpoint_c", 7, "99.9", "-3.5", -3.5),
    ("rh_pct", 8, "999", "71", 71.0),
    ("solar_w_m2", 13, "9999", "998.5", 998.5),
    ("wind_m_s", 21, "999", "7.5", 7.5 * TO_2M),
    ("rain_mm", 33, "999", "12.5", 12.5),
]


def epw(tmp_path: Path, changes: dict[int, str], *, length: int = 35) -> WeatherTable:
    """A day of an EPW file whose third hour has other cells; every field has its own number."""
    lines = ["LOCATION,Lyon,Rhone,FRA,TMYx,074810,45.73,5.08,1.0,240.0"]
    lines += [f"HEADER {k},0" for k in range(6)]
    lines += ["DATA PERIODS,1,1,Data,Sunday, 1/ 1, 1/ 2"]
    for hour in range(1, 25):
        cells = ["2005", "1", "1", str(hour), "60", "flags"]
        cells += [str(k + hour / 100.0) for k in range(6, length)]
        cells[7] = DRY_DEW if hour == 9 else cells[7]  # so that the humidity is needed
        if hour == 3:
            for at, value in changes.items():
                cells[at] = value
        lines.append(",".join(cells))
    path = tmp_path / "lyon.epw"
    path.write_text("\n".join(lines) + "\n")
    return read_epw(path)[0]


@pytest.mark.parametrize(("column", "at", "code", "value", "ours"), EPW)
def test_a_field_of_an_epw_is_the_one_of_the_dictionary(
    tmp_path: Path, column: str, at: int, code: str, value: str, ours: float
) -> None:
    table = epw(tmp_path, {at: value})
    assert set(table.columns) == {column for column, *_ in EPW}
    assert table.columns[column][2] == pytest.approx(ours)
    factor = TO_2M if column == "wind_m_s" else 1.0
    assert table.columns[column][3] == pytest.approx((at + 0.04) * factor)


@pytest.mark.parametrize("more", [0.0, 0.1, 1000.0])
@pytest.mark.parametrize(("column", "at", "code", "value", "ours"), EPW)
def test_the_code_for_missing_of_an_epw_is_no_weather(
    tmp_path: Path, column: str, at: int, code: str, value: str, ours: float, more: float
) -> None:
    whole = epw(tmp_path, {})
    table = epw(tmp_path, {at: str(round(float(code) + more, 1))})
    for name, values in table.columns.items():
        expected = whole.columns[name].copy()
        if name == column:
            expected[2] = np.nan
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize(("column", "at", "code", "value", "ours"), EPW)
def test_what_lies_just_below_the_code_is_a_value(
    tmp_path: Path, column: str, at: int, code: str, value: str, ours: float
) -> None:
    below = float(code) - 0.1
    factor = TO_2M if column == "wind_m_s" else 1.0
    assert epw(tmp_path, {at: str(below)}).columns[column][2] == pytest.approx(below * factor)


def test_an_epw_without_the_last_fields_has_no_rain(tmp_path: Path) -> None:
    table = epw(tmp_path, {}, length=22)
    assert np.isnan(table.columns["rain_mm"]).all()
    assert not np.isnan(table.columns["wind_m_s"]).any()
    with pytest.raises(WeatherError, match=r"lyon\.epw:9: 21 cells; at least 22 are needed"):
        epw(tmp_path, {}, length=21)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The day of `epw` with another text in it."""
    epw(tmp_path, {})
    path = tmp_path / "lyon.epw"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1.0,240.0", ",x,240.0", "1: `x` in column `time zone`; a number is needed"),
        (",1.0,240.0", ",1.0,x", "1: `x` in column `elevation`; a number is needed"),
        (",45.73,", ",x,", "1: `x` in column `latitude`; a number is needed"),
        (",5.08,", ",x,", "1: `x` in column `longitude`; a number is needed"),
        (",45.73,", ",95,", "1: `latitude_deg` = 95 deg: permitted -90 to 90 deg; see the file's"),
        ("2005,1,1,3,60", "2005,1,1,2,60", "11: several rows an hour; one is needed: whether "
         "radiation is that of the interval or of an hour differs between such files; bring it to "
         "hours first"),
        ("2005,1,1,3,60", "2005,1,1,-1,60", "11: hour -1; allowed are 1 to 24"),
        ("2005,1,1,3,60", "2005,1,1,2.5,60", "11: `2.5` in column `date and hour`; a whole number"),
        ("DATA PERIODS", "DATES", "1: an EPW file cut short; 8 header lines and data are needed"),
        ("074810,45.73,5.08,1.0,240.0", "", "1: an EPW file cut short; 8 header lines and"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_an_epw_is_said_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(WeatherError) as caught:
        read_epw(path)
    assert str(caught.value).startswith(f"{path}:{message}")


def test_an_epw_of_header_lines_alone_is_cut_short(tmp_path: Path) -> None:
    path = changed(tmp_path, "LOCATION", "LOCATION")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:8]) + "\n\n")
    with pytest.raises(WeatherError) as caught:
        read_epw(path)
    assert str(caught.value) == f"{path}: an EPW file cut short; header lines and data are needed"


@pytest.mark.parametrize(("others", "taken"), [(0, True), (37, True), (38, False)])
def test_rows_begin_behind_the_data_periods_up_to_line_39(
    tmp_path: Path, others: int, taken: bool
) -> None:
    path = changed(tmp_path, "LOCATION", "LOCATION")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(["COMMENTS 1,x"] * others), *lines[7:]]) + "\n")
    if taken:
        assert read_epw(path)[0].time_ms.size == 24
    else:
        with pytest.raises(WeatherError, match="cut short"):
            read_epw(path)


def test_a_row_that_ends_right_before_the_rain_has_none(tmp_path: Path) -> None:
    assert np.isnan(epw(tmp_path, {}, length=33).columns["rain_mm"]).all()


@pytest.mark.parametrize(
    ("days", "strays", "note"),
    [
        (10, 24, "24 of 240 rows bear another year, 2023: taken as 2024"),
        (11, 25, "a typical year of 2023 to 2024, taken as 2001"),
        (9, 22, "a typical year of 2023 to 2024, taken as 2001"),
    ],
)
def test_a_tenth_of_the_rows_and_a_day_may_bear_another_year(
    tmp_path: Path, days: int, strays: int, note: str
) -> None:
    path = changed(tmp_path, "2005,1,1,", "2024,1,1,")
    lines = path.read_text().splitlines()
    rows = [
        row.replace("2024,1,1,", f"2024,3,{day},")
        for day in range(1, days + 1)
        for row in lines[8:]
    ]
    rows[-strays:] = [row.replace("2024,", "2023,", 1) for row in rows[-strays:]]
    path.write_text("\n".join([*lines[:8], *rows]) + "\n")
    assert read_epw(path)[0].notes == (note,)


def test_the_same_hour_of_the_next_year_does_not_go_on_from_the_one_before(tmp_path: Path) -> None:
    path = changed(tmp_path, "2005,1,1,", "2005,1,1,")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], lines[8].replace("2005", "2006", 1)]) + "\n")
    assert read_epw(path)[0].notes == ("a typical year of 2005 to 2006, taken as 2001",)


# NASA POWER: unit as its service prints it or has printed it, a value in it, and the same in MJ m-2
# or mm of the step.  A kWh is 3.6 MJ, a day has 86 400 s.
NASA_SOLAR = {
    "daily": [
        ("MJ/m^2/day", 18.0, 18.0),
        ("kW-hr/m^2/day", 5.0, 18.0),
        ("kWh/m2/day", 5.0, 18.0),
        ("Wh/m^2/day", 5000.0, 18.0),
        ("MJ/hr", 0.75, 18.0),
        ("MJ/m^2/hr", 0.75, 18.0),
        ("MJ/m^2/hour", 0.75, 18.0),
        ("W/m^2", 250.0, 21.6),
        ("W m-2", 250.0, 21.6),
        ("Wh/m^2", 5000.0, 18.0),
        ("kW-hr/m^2", 5.0, 18.0),
        ("kWh/m^2", 5.0, 18.0),
        ("MJ/m^2", 18.0, 18.0),
    ],
    # in W m-2: 0.9 MJ in an hour are 250 W m-2
    "hourly": [
        ("MJ/m^2/day", 21.6, 250.0),
        ("kW-hr/m^2/day", 6.0, 250.0),
        ("kWh/m2/day", 6.0, 250.0),
        ("Wh/m^2/day", 6000.0, 250.0),
        ("MJ/hr", 0.9, 250.0),
        ("MJ/m^2/hr", 0.9, 250.0),
        ("MJ/m^2/hour", 0.9, 250.0),
        ("W/m^2", 250.0, 250.0),
        ("W m-2", 250.0, 250.0),
        ("Wh/m^2", 250.0, 250.0),
        ("kW-hr/m^2", 0.25, 250.0),
        ("kWh/m^2", 0.25, 250.0),
        ("MJ/m^2", 0.9, 250.0),
    ],
}
NASA_RAIN = {
    "daily": [
        ("mm/day", 12.0, 12.0),
        ("mm day-1", 12.0, 12.0),
        ("mm/hour", 0.5, 12.0),
        ("mm/hr", 0.5, 12.0),
        ("mm/h", 0.5, 12.0),
        ("kg/m^2/s", 1e-4, 8.64),
        ("kg m-2 s-1", 1e-4, 8.64),
        ("kg m**-2 s**-1", 1e-4, 8.64),
        ("mm", 12.0, 12.0),
    ],
    "hourly": [
        ("mm/day", 12.0, 0.5),
        ("mm day-1", 12.0, 0.5),
        ("mm/hour", 0.5, 0.5),
        ("mm/hr", 0.5, 0.5),
        ("mm/h", 0.5, 0.5),
        ("kg/m^2/s", 1e-4, 0.36),
        ("kg m-2 s-1", 1e-4, 0.36),
        ("kg m**-2 s**-1", 1e-4, 0.36),
        ("mm", 0.5, 0.5),
    ],
}
NASA_OTHERS = {
    "daily": [
        ("T2M_MAX", "C", "tmax_c", 1.0),
        ("T2M_MAX", "degC", "tmax_c", 1.0),
        ("T2M_MIN", "C", "tmin_c", 1.0),
        ("T2MDEW", "°C", "tdew_c", 1.0),
        ("RH2M", "%", "rh_pct", 1.0),
        ("WS2M", "m/s", "wind_m_s", 1.0),
        ("WS10M", "m/s", "wind_m_s", TO_2M),
        ("WS50M", "m s-1", "wind_m_s", FROM_50_M),
    ],
    "hourly": [
        ("T2M", "C", "temp_c", 1.0),
        ("T2MDEW", "C", "dewpoint_c", 1.0),
        ("RH2M", "%", "rh_pct", 1.0),
        ("WS2M", "m/s", "wind_m_s", 1.0),
        ("WS10M", "m/s", "wind_m_s", TO_2M),
        ("WS50M", "m/s", "wind_m_s", FROM_50_M),
    ],
}


def nasa(
    tmp_path: Path,
    step: str,
    columns: list[tuple[str, str, float]],
    *,
    missing: str = "-999",
    cells: dict[int, str] | None = None,
) -> WeatherTable:
    """Two days or hours of a NASA POWER file with these parameters, units and values."""
    head = [
        "-BEGIN HEADER-",
        "NASA/POWER Source Native Resolution Data",
        "Dates (month/day/year): 01/01/2023 through 01/02/2023 in LST",
        "Location: latitude  45.7   longitude 4.9",
        "elevation from MERRA-2: Average for 0.5 x 0.625 degree lat/lon region = 250.5 meters",
        f"The value for missing source data that cannot be computed is: {missing}",
        "Parameter(s):",
        *(f"{name}     MERRA-2 Something at 2 Meters ({unit})" for name, unit, _ in columns),
        "-END HEADER-",
        ",".join(
            ["YEAR", "MO", "DY", *(["HR"] if step == "hourly" else []), *(n for n, _, _ in columns)]
        ),
    ]
    for k in range(2):
        when = ["2023", "1", "1", str(k)] if step == "hourly" else ["2023", "1", str(k + 1)]
        values = [str(value) for _, _, value in columns]
        if k == 1:
            for at, text in (cells or {}).items():
                values[at] = text
        head.append(",".join([*when, *values]))
    path = tmp_path / "power.csv"
    path.write_text("\n".join(head) + "\n")
    return read_nasa_power(path)[0]


@pytest.mark.parametrize(
    ("step", "unit", "value", "ours"),
    [(step, *row) for step, rows in NASA_SOLAR.items() for row in rows],
)
def test_radiation_of_nasa_power_in_every_unit(
    tmp_path: Path, step: str, unit: str, value: float, ours: float
) -> None:
    table = nasa(tmp_path, step, [("ALLSKY_SFC_SW_DWN", unit, value)])
    column = "solar_mj_m2" if step == "daily" else "solar_w_m2"
    assert table.columns[column] == pytest.approx([ours, ours])
    assert len(table.notes) == 1 + (step == "hourly" and "day" in unit)


@pytest.mark.parametrize("parameter", ["PRECTOTCORR", "PRECTOT"])
@pytest.mark.parametrize(
    ("step", "unit", "value", "ours"),
    [(step, *row) for step, rows in NASA_RAIN.items() for row in rows],
)
def test_rain_of_nasa_power_in_every_unit(
    tmp_path: Path, parameter: str, step: str, unit: str, value: float, ours: float
) -> None:
    table = nasa(tmp_path, step, [(parameter, unit, value)])
    assert table.columns["rain_mm"] == pytest.approx([ours, ours])


@pytest.mark.parametrize(
    ("step", "parameter", "unit", "column", "factor"),
    [(step, *row) for step, rows in NASA_OTHERS.items() for row in rows],
)
def test_a_parameter_of_nasa_power_is_the_one_of_its_name(
    tmp_path: Path, step: str, parameter: str, unit: str, column: str, factor: float
) -> None:
    table = nasa(tmp_path, step, [("PS", "kPa", 99.0), (parameter, unit, 7.25)])
    assert set(table.columns) == {column}
    assert table.columns[column] == pytest.approx([7.25 * factor] * 2)
    with pytest.raises(WeatherError, match=f"{parameter} in `K`; known units are"):
        nasa(tmp_path, step, [(parameter, "K", 7.25)])


@pytest.mark.parametrize("missing", ["-999", "-99", "-999.0", "-9999.5"])
@pytest.mark.parametrize("at", range(6))
def test_the_code_for_missing_of_nasa_power_is_the_one_of_its_header(
    tmp_path: Path, missing: str, at: int
) -> None:
    columns = [
        ("T2M_MAX", "C", 12.0),
        ("T2M_MIN", "C", 4.0),
        ("T2MDEW", "C", 3.0),
        ("WS2M", "m/s", 5.0),
        ("ALLSKY_SFC_SW_DWN", "MJ/m^2/day", 9.0),
        ("PRECTOTCORR", "mm/day", 1.5),
    ]
    table = nasa(tmp_path, "daily", columns, missing=missing, cells={at: missing})
    for k, (_, values) in enumerate(table.columns.items()):
        assert np.isnan(values).tolist() == [False, k == at]
    # -999 is absent whatever the header says, and nothing else is
    other = nasa(
        tmp_path, "daily", columns, missing=missing, cells={at: "-999", (at + 1) % 6: "-98"}
    )
    names = list(other.columns)
    assert np.isnan(other.columns[names[at]][1])
    assert other.columns[names[(at + 1) % 6]][1] == -98.0


def test_of_two_winds_and_rains_of_nasa_power_the_better_is_taken(tmp_path: Path) -> None:
    both = [("PRECTOT", "mm/day", 9.0), ("PRECTOTCORR", "mm/day", 1.5)]
    both += [("WS50M", "m/s", 9.0), ("WS10M", "m/s", 8.0), ("WS2M", "m/s", 4.0)]
    for step in ("daily", "hourly"):
        table = nasa(tmp_path, step, both)
        assert table.columns["wind_m_s"][0] == 4.0
        assert table.columns["rain_mm"][0] == pytest.approx(1.5 / (24.0 if step == "hourly" else 1))
    table = nasa(tmp_path, "daily", both[:4])
    assert table.columns["wind_m_s"][0] == pytest.approx(8.0 * TO_2M)


SOLAR_TIME = "NASA POWER: local solar time taken as standard time"
WIND = [("WS2M", "m/s", 4.0)]


def renamed(tmp_path: Path, *changes: tuple[str, str], step: str = "daily") -> Path:
    """A NASA POWER file of wind with other texts in it."""
    nasa(tmp_path, step, WIND)
    path = tmp_path / "power.csv"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def day_of(path: Path, row: int = 0) -> str:
    return str(np.datetime64(int(read_nasa_power(path)[0].time_ms[row]), "ms").astype("M8[h]"))


@pytest.mark.parametrize(
    ("titles", "first", "time"),
    [
        ("YEAR,MO,DY", "2024,2,29", "2024-02-29T00"),
        ("YEAR,MM,DD", "2024,2,29", "2024-02-29T00"),
        ("YEAR,DOY,X", "2024,60,0", "2024-02-29T00"),
        ("YEAR,DOY,X", "2023,1,0", "2023-01-01T00"),
        ("YEAR,DOY,X", "2024,366,0", "2024-12-31T00"),
        ("YEAR,DOY,X", "1,1,0", "0001-01-01T00"),
        ("YEAR,DOY,X", "9998,365,0", "9998-12-31T00"),
        ("YYYYMMDD,X,Y", "2024-02-29,0,0", "2024-02-29T00"),
        ("YYYYMMDD,X,Y", "20240229,0,0", "2024-02-29T00"),
        ("YYYYMMDD,X,Y", "20241231,0,0", "2024-12-31T00"),
        ("YEAR,MO,DOY", "2024,3,60", "2024-02-29T00"),  # a day is needed, so that of the year is
    ],
)
def test_a_date_of_nasa_power_however_it_is_told(
    tmp_path: Path, titles: str, first: str, time: str
) -> None:
    path = renamed(tmp_path, ("YEAR,MO,DY", titles), ("2023,1,1,", f"{first},"))
    if "DOY" in titles or "YYYY" in titles:
        text = path.read_text().replace("2023,1,2,", f"{first},")
        path.write_text(text)
    assert day_of(path) == time


@pytest.mark.parametrize(
    ("titles", "first", "message"),
    [
        ("YEAR,DOY,X", "2024,0,0", "11: day 0 of 2024; MO and DY, or DOY"),
        ("YEAR,DOY,X", "2024,367,0", "11: day 367 of 2024; MO and DY, or DOY"),
        ("YEAR,DOY,X", "0,5,0", "11: day 5 of 0; MO and DY, or DOY"),
        ("YEAR,DOY,X", "9999,5,0", "11: day 5 of 9999; MO and DY, or DOY"),
        ("YEAR,X,Y", "2024,5,0", "11: day None of 2024; MO and DY, or DOY"),
        ("YYYYMMDD,X,Y", "2024022,0,0", "11: `2024022`; a date is needed"),
        ("YYYYMMDD,X,Y", "202402299,0,0", "11: `202402299`; a date is needed"),
        ("YEAR,MO,DY", "2024,x,1", "11: `x` in column `MO`; a number is needed"),
        ("YEAR,MO,DY", "2024,13,1", "11: 2024-13-1, hour 0; month must be in 1..12"),
        ("JAN,FEB,MAR", "2024,1,1", "10: no row for each day or hour; daily or hourly"),
        ("YEAR,MO,PARAMETER", "2024,1,1", "10: no row for each day or hour; daily or hourly"),
        ("YEAR,LAT,DOY", "2023,2,1", "10: 2 values of LAT; one place: ask for a point"),
        ("YEAR,LON,DOY", "2023,2,1", "10: 2 values of LON; one place: ask for a point"),
        ("YEAR,MO,DY", "2024,1", "11: 3 cells; 4 are needed"),
    ],
)
def test_what_is_wrong_in_a_file_of_nasa_power_is_said_with_its_line(
    tmp_path: Path, titles: str, first: str, message: str
) -> None:
    path = renamed(tmp_path, ("YEAR,MO,DY", titles), ("2023,1,1,", f"{first},"))
    with pytest.raises(WeatherError) as caught:
        read_nasa_power(path)
    assert str(caught.value).startswith(f"{path}:{message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("-END HEADER-", "-END-"), "no -END HEADER- with rows after it; a whole file is needed"),
        (("2023,1", "#"), "no -END HEADER- with rows after it; a whole file is needed"),
        (("latitude", "north"), "no latitude, longitude and elevation; the header has them"),
        (("= 250.5 meters", ""), "no latitude, longitude and elevation; the header has them"),
        (("250.5", "high"), "`high` in column `elevation`; a number is needed"),
        (("45.7", "95"), "`latitude_deg` = 95 deg: permitted -90 to 90 deg; see the file's header"),
        (("(m/s)", "(knots)"), "WS2M in `knots`; known units are m/s, ms1"),
    ],
)
def test_a_header_of_nasa_power_that_lacks_what_is_needed(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = renamed(tmp_path, change)
    if change[1] == "#":
        path.write_text("\n".join(t for t in path.read_text().splitlines() if t[0] != "#") + "\n")
    with pytest.raises(WeatherError) as caught:
        read_nasa_power(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_single_row_of_nasa_power_is_enough_and_empty_ones_are_none(tmp_path: Path) -> None:
    path = renamed(tmp_path, ("2023,1,2,4.0", ' ,;"\t'))
    assert day_of(path) == "2023-01-01T00"
    assert read_nasa_power(path)[0].line.tolist() == [11]


@pytest.mark.parametrize(("more", "taken"), [(491, True), (492, False)])
def test_a_header_of_nasa_power_ends_within_500_lines(
    tmp_path: Path, more: int, taken: bool
) -> None:
    path = renamed(tmp_path, ("Parameter(s):", "\n".join(["Parameter(s):", *["note"] * more])))
    if taken:
        assert day_of(path) == "2023-01-01T00"
    else:
        with pytest.raises(WeatherError, match="no -END HEADER-"):
            read_nasa_power(path)


@pytest.mark.parametrize(
    ("longitude", "offset_h", "note"),
    [
        ("4.9", None, SOLAR_TIME),
        ("4.9", 0.0, SOLAR_TIME),
        ("4.9", 1.0, f"{SOLAR_TIME}, which is 1 h ahead of it"),
        ("4.9", -1.5, f"{SOLAR_TIME}, which is 1.5 h behind it"),
        ("104.9", 8.0, f"{SOLAR_TIME}, which is 1 h ahead of it"),
        ("112.6", 9.0, f"{SOLAR_TIME}, which is 1 h ahead of it"),  # 7.507 h, so 8
        ("4.9", 0.05, f"{SOLAR_TIME}, which is 0.05 h ahead of it"),
    ],
)
def test_local_solar_time_beside_standard_time(
    tmp_path: Path, longitude: str, offset_h: float | None, note: str
) -> None:
    path = renamed(tmp_path, ("longitude 4.9", f"longitude {longitude}"))
    site = None
    if offset_h is not None:
        site = Site(latitude_deg=45.7, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=offset_h)
    table, where = read_nasa_power(path, site)
    assert table.notes == (note,)
    assert where.utc_offset_h == (0.0 if offset_h is None else offset_h)
    assert (where.elevation_m, where.wind_height_m) == (250.5, 2.0)
    assert day_of(path) == "2023-01-01T00"


def test_cells_are_parted_as_the_titles_are(tmp_path: Path) -> None:
    path = renamed(tmp_path, ("YEAR,MO,DY,WS2M", "YEAR;MO;DY;WS2M"), ("2023,1,1,4.0", "2023;1;1;4"))
    path.write_text(path.read_text().replace("2023,1,2,4.0", "2023;1;2;4.5"))
    table, where = read_nasa_power(path)
    assert table.columns["wind_m_s"].tolist() == [4.0, 4.5]
    nasa(tmp_path, "daily", [("T2M_MAX", "C", 20.0)])
    assert read_nasa_power(path)[1].wind_height_m == where.wind_height_m == 2.0


def test_days_of_utc_are_taken_as_they_are_and_hours_are_moved(tmp_path: Path) -> None:
    path = renamed(tmp_path, ("in LST", "in UTC"))
    assert read_nasa_power(path)[0].notes == (
        "NASA POWER: days of UTC taken as days of standard time",
    )
    assert day_of(path) == "2023-01-01T00"
    path = renamed(tmp_path, ("in LST", "in UTC"), step="hourly")
    half = Site(latitude_deg=45.7, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=0.5)
    with pytest.raises(WeatherError) as caught:
        read_nasa_power(path, half)
    assert str(caught.value).startswith(f"{path}: hours of UTC, and a site at UTC+0.5; whole")
    with pytest.raises(WeatherError) as caught:
        read_nasa_power(path)
    assert str(caught.value) == f"{path}: times in UTC; a site with `utc_offset_h` is needed"
    site = Site(latitude_deg=45.7, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=-3.0)
    table, _ = read_nasa_power(path, site)
    assert table.notes == ("NASA POWER: UTC brought to standard time",)
    assert np.datetime64(int(table.time_ms[0]), "ms") == np.datetime64("2022-12-31T21:00")


# Open-Meteo (open-meteo.com/en/docs): variable, our column.
METEO = {
    "daily": [
        ("temperature_2m_max", "tmax_c", "°C"),
        ("temperature_2m_min", "tmin_c", "°C"),
        ("dew_point_2m_mean", "tdew_c", "°C"),
        ("dewpoint_2m_mean", "tdew_c", "°C"),
        ("relative_humidity_2m_max", "rhmax_pct", "%"),
        ("relative_humidity_2m_min", "rhmin_pct", "%"),
        ("relative_humidity_2m_mean", "rh_pct", "%"),
        ("relativehumidity_2m_mean", "rh_pct", "%"),
        ("wind_speed_10m_mean", "wind_m_s", "m/s"),
        ("windspeed_10m_mean", "wind_m_s", "m/s"),
        ("shortwave_radiation_sum", "solar_mj_m2", "MJ/m²"),
        ("precipitation_sum", "rain_mm", "mm"),
        ("rain_sum", "rain_mm", "mm"),
    ],
    "hourly": [
        ("temperature_2m", "temp_c", "°C"),
        ("dew_point_2m", "dewpoint_c", "°C"),
        ("relative_humidity_2m", "rh_pct", "%"),
        ("wind_speed_10m", "wind_m_s", "m/s"),
        ("shortwave_radiation", "solar_w_m2", "W/m²"),
        ("precipitation", "rain_mm", "mm"),
        ("rain", "rain_mm", "mm"),
    ],
}
# By definition: an inch is 25.4 mm, a mile 1609.344 m, a nautical mile 1852 m; 50 °F are 10 °C.
METEO_UNITS = [
    ("temperature_2m", "temp_c", "°C", 10.0, 10.0),
    ("temperature_2m", "temp_c", "°F", 50.0, 10.0),
    ("temperature_2m", "temp_c", "Â°F", -40.0, -40.0),
    ("relative_humidity_2m", "rh_pct", "%", 55.0, 55.0),
    ("wind_speed_10m", "wind_m_s", "km/h", 36.0, 10.0 * TO_2M),
    ("wind_speed_10m", "wind_m_s", "kmh", 36.0, 10.0 * TO_2M),
    ("wind_speed_10m", "wind_m_s", "m/s", 10.0, 10.0 * TO_2M),
    ("wind_speed_10m", "wind_m_s", "ms", 10.0, 10.0 * TO_2M),
    ("wind_speed_10m", "wind_m_s", "mp/h", 10.0, 4.4704 * TO_2M),
    ("wind_speed_10m", "wind_m_s", "mph", 10.0, 4.4704 * TO_2M),
    ("wind_speed_10m", "wind_m_s", "kn", 36.0, 18.52 * TO_2M),
    ("wind_speed_10m", "wind_m_s", "kt", 36.0, 18.52 * TO_2M),
    ("shortwave_radiation", "solar_w_m2", "W/m²", 250.0, 250.0),
    ("precipitation", "rain_mm", "mm", 2.5, 2.5),
    ("precipitation", "rain_mm", "inch", 0.5, 12.7),
    ("precipitation", "rain_mm", "in", 0.5, 12.7),
]


def meteo(tmp_path: Path, step: str, columns: list[tuple[str, str, str]]) -> WeatherTable:
    """Three days or hours of an Open-Meteo file with these variables, units and cells."""
    lines = [
        "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation",
        "45.69,4.92,201.0,3600,Europe/Paris,CET",
        "",
        ",".join(["time", *(f"{name} ({unit})" for name, unit, _ in columns)]),
    ]
    for k in range(3):
        when = f"2023-06-01T0{k}:00" if step == "hourly" else f"2023-06-0{k + 1}"
        lines.append(",".join([when, *(cell for _, _, cell in columns)]))
    path = tmp_path / "meteo.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_open_meteo(path)[0]


@pytest.mark.parametrize(
    ("step", "variable", "column", "unit"),
    [(step, *row) for step, rows in METEO.items() for row in rows],
)
def test_a_variable_of_open_meteo_is_the_one_of_its_name(
    tmp_path: Path, step: str, variable: str, column: str, unit: str
) -> None:
    table = meteo(tmp_path, step, [("cloud_cover", "%", "99"), (variable, unit, "7.25")])
    assert set(table.columns) == {column}
    factor = TO_2M if column == "wind_m_s" else 1.0
    assert table.columns[column][0] == pytest.approx(7.25 * factor)


@pytest.mark.parametrize(("variable", "column", "unit", "value", "ours"), METEO_UNITS)
def test_a_variable_of_open_meteo_in_every_unit(
    tmp_path: Path, variable: str, column: str, unit: str, value: float, ours: float
) -> None:
    table = meteo(tmp_path, "hourly", [(variable, unit, str(value))])
    assert table.columns[column][0] == pytest.approx(ours)
    with pytest.raises(WeatherError, match=rf"meteo.csv:4: {variable} in `K`; known units are °C"):
        meteo(tmp_path, "hourly", [(variable, "K", str(value))])


@pytest.mark.parametrize("cell", ["", "NaN", "nan", "NA", "n/a", "null", "none"])
@pytest.mark.parametrize(
    ("step", "variable", "column", "unit"),
    [(step, *row) for step, rows in METEO.items() for row in rows],
)
def test_an_absent_cell_of_open_meteo_is_absent(
    tmp_path: Path, step: str, variable: str, column: str, unit: str, cell: str
) -> None:
    table = meteo(tmp_path, step, [("rain_note", "mm", "1"), (variable, unit, cell)])
    assert np.isnan(table.columns[column]).all()


def test_of_two_rains_of_open_meteo_that_with_snow_is_taken(tmp_path: Path) -> None:
    two = [("rain", "mm", "9"), ("precipitation", "mm", "2")]
    assert meteo(tmp_path, "hourly", two).columns["rain_mm"][0] == 2.0
    two = [("rain_sum", "mm", "9"), ("precipitation_sum", "mm", "2")]
    assert meteo(tmp_path, "daily", two).columns["rain_mm"][0] == 2.0


OPEN = [("temperature_2m", "°C", "10.5"), ("precipitation", "mm", "1")]


def replaced(tmp_path: Path, *changes: tuple[str, str], step: str = "hourly") -> Path:
    """An Open-Meteo file with other texts in it."""
    meteo(tmp_path, step, OPEN)
    path = tmp_path / "meteo.csv"
    text = path.read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("01T01:00,10.5,1", "01T01:00,10.5"), ":6: 2 cells; 3 are needed"),
        (("01T01:00,10.5", "01T01:00,x"), ":6: `x` in column `temperature_2m (°C)`; a number is"),
        (("2023-06-01T01:00", "noon"), ":6: time `noon`; ISO 8601 or seconds since 1970 are"),
        ((",3600,", ",,"), ":2: no utc_offset_seconds; a whole file is needed"),
        ((",3600,", ",x,"), ":2: `x` in column `utc_offset_seconds`; a number is needed"),
        (("45.69", "x"), ":2: `x` in column `latitude`; a number is needed"),
        (("201.0", ""), ":2: no elevation in the file; a site is needed"),
        (("201.0", "9000"), ":2: `elevation_m` = 9000 m: permitted -430 to 6000 m; see the file's"),
        (("time,", "when,"), ": no table of hours or days; a column `time` is needed"),
        (("T01:00", "T00:15"), ": no table of hours or days; a column `time` is needed"),
    ],
)
def test_what_is_wrong_in_a_file_of_open_meteo_is_said_with_its_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = replaced(tmp_path, change)
    with pytest.raises(WeatherError) as caught:
        read_open_meteo(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_file_of_open_meteo_without_its_place_is_refused(tmp_path: Path) -> None:
    path = replaced(tmp_path)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    for text in (lines[0], ""):
        path.write_text(text, "utf-8")
        with pytest.raises(WeatherError) as caught:
            read_open_meteo(path)
        assert str(caught.value) == (
            f"{path}:2: no line that tells the place; a whole file is needed"
        )


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ((), "2023-06-01T00:00"),
        # instants with an offset of their own, and seconds since 1970, are brought to UTC+1
        ((("T00:00", "T00:00Z"), ("T01:00", "T01:00Z"), ("T02:00", "T02:00Z")), "2023-06-01T01:00"),
        (
            (("T00:00", "T00:00+03:00"), ("T01:00", "T01:00+03:00"), ("T02:00", "T02:00+03:00")),
            "2023-05-31T22:00",
        ),
        (
            (
                ("2023-06-01T00:00", "1685577600"),  # 2023-06-01T00:00Z
                ("2023-06-01T01:00", "1685581200"),
                ("2023-06-01T02:00", "1685584800"),
            ),
            "2023-06-01T01:00",
        ),
    ],
)
def test_a_time_of_open_meteo_however_it_is_told(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], first: str
) -> None:
    table, where = read_open_meteo(replaced(tmp_path, *changes))
    assert np.datetime64(int(table.time_ms[0]), "ms") == np.datetime64(first)
    assert (where.utc_offset_h, where.wind_height_m, where.elevation_m) == (1.0, 10.0, 201.0)
    assert table.notes == ("Open-Meteo: radiation and rain moved to the start of their hour",)


@pytest.mark.parametrize("offset_h", [3.0, -2.0])
def test_hours_of_open_meteo_go_to_the_sites_standard_time(tmp_path: Path, offset_h: float) -> None:
    site = Site(latitude_deg=45.7, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=offset_h)
    table, _ = read_open_meteo(replaced(tmp_path), site)
    there = np.datetime64("2023-06-01T00:00") + np.timedelta64(int(offset_h) - 1, "h")
    assert np.datetime64(int(table.time_ms[0]), "ms") == there
    days, _ = read_open_meteo(replaced(tmp_path, ("temperature_2m (", "temperature_2m_max ("),
                                       step="daily"), site)  # fmt: skip
    assert days.notes == (f"Open-Meteo: days of UTC+1 taken as days of UTC{offset_h:+g}",)


def test_sums_of_the_hour_before_a_gap_have_no_label(tmp_path: Path) -> None:
    path = replaced(tmp_path, ("T01:00,10.5,1", "T01:00,10.5,7"), ("T02:00", "T03:00"))
    rain = read_open_meteo(path)[0].columns["rain_mm"]
    # the hour from 0 to 1 is labelled 1; the one from 1 to 2 is missing; 3 to 4 is not told
    np.testing.assert_array_equal(rain, [7.0, np.nan, np.nan])


@pytest.mark.parametrize(
    ("places", "taken"),
    [
        ([("45.0", "5.0"), ("46.0", "4.8")], 1),
        ([("45.7", "6.0"), ("46.4", "4.9")], 1),  # 1.1 degrees east are 0.77 north here
        ([("45.7", "5.8"), ("46.4", "4.9")], 0),
        ([("45.0", "4.9"), ("46.0", "4.9")], 1),
    ],
)
def test_of_several_places_the_nearest_is_taken(
    tmp_path: Path, places: list[tuple[str, str]], taken: int
) -> None:
    site = Site(latitude_deg=45.7, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=1.0)
    lines = ["location_id,latitude,longitude,elevation,utc_offset_seconds"]
    lines += [f"{k},{north},{east},{100 + k},3600" for k, (north, east) in enumerate(places)]
    lines += ["", "location_id,time,temperature_2m (°C)"]
    lines += [f"{k},2023-06-01T0{h}:00,{k}{h}" for k in range(len(places)) for h in range(2)]
    path = tmp_path / "meteo.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table, where = read_open_meteo(path, site)
    assert where.elevation_m == 100.0 + taken
    assert table.columns["temp_c"].tolist() == [10.0 * taken, 10.0 * taken + 1]
    assert table.notes[0] == f"Open-Meteo: location_id {taken} of 2, nearest to the site"
    with pytest.raises(WeatherError) as caught:
        read_open_meteo(path)
    assert str(caught.value) == (
        f"{path}:1: 2 places in one file; a site is needed, to take the nearest"
    )


# Files of our own


@pytest.mark.parametrize(
    ("step", "column"), [(step, name) for step, columns in COLUMNS.items() for name in columns]
)
def test_every_column_of_our_own_files_passes_through_and_may_be_empty(
    tmp_path: Path, step: str, column: str
) -> None:
    values = {"solar_mj_m2": 20.0, "solar_w_m2": 20.0, "tmax_c": 30.0, "tmin_c": 9.0}
    values |= {"temp_c": 15.0, "wind_m_s": 3.0, "ea_kpa": 1.1, "rain_mm": 0.5}
    values |= {"tdew_c": 8.0, "dewpoint_c": 8.0, "rh_pct": 50.0, "rhmax_pct": 80.0}
    values |= {"rhmin_pct": 30.0, "sunshine_h": 7.5, "et0_mm": 1.2, "etr_mm": 1.6}
    names = list(COLUMNS[step])  # type: ignore[index]
    path = tmp_path / "own.csv"
    time = "date" if step == "daily" else "time"
    at = ("2023-05-01", "2023-05-02")
    at = at if step == "daily" else ("2023-05-01T00:00", "2023-05-01T01:00")
    rows = [
        ",".join([at[0], *(str(values[n]) for n in names)]),
        ",".join([at[1], *("" if n == column else str(values[n]) for n in names)]),
    ]
    path.write_text("\n".join([",".join([time, *names]), *rows]) + "\n")
    table = read_csv(path, utc_offset_h=-7.0)
    assert table.columns[column][0] == values[column]
    assert np.isnan(table.columns[column][1])
    for other in set(names) - {column}:
        assert table.columns[other].tolist() == [values[other]] * 2


def test_a_site_of_another_zone_is_refused(tmp_path: Path) -> None:
    epw(tmp_path, {})
    site = Site(latitude_deg=45.7, longitude_deg=5.0, elevation_m=200.0, utc_offset_h=2.0)
    with pytest.raises(WeatherError, match=r"UTC\+1, the site's utc_offset_h is 2"):
        read_epw(tmp_path / "lyon.epw", site)
