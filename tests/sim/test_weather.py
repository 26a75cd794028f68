from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from levada.sim.weather import Site, WeatherError, read, wind_at_2m, write

FILES = Path(__file__).parents[2] / "levada/scenarios" / "weather"
GREELEY = Site(latitude_deg=40.4487, longitude_deg=-104.638, elevation_m=1427.4, utc_offset_h=-7.0)
FALLON = Site(
    latitude_deg=39.4575,
    longitude_deg=-118.7739,
    elevation_m=1208.5,
    utc_offset_h=-8.0,
    wind_height_m=3.0,
)
DAILY = "date,solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_m_s,rain_mm\n"
HOURLY = "time,solar_w_m2,temp_c,dewpoint_c,wind_m_s,rain_mm\n"


def daily(tmp_path: Path, *rows: str, header: str = DAILY) -> Path:
    path = tmp_path / "w.csv"
    path.write_text(header + "\n".join(rows) + "\n")
    return path


def hours(*absent: int, days: int = 3) -> list[str]:
    """Rows of `days` days from 1 May 2023, temperature counting the hours."""
    return [
        f"2023-05-{1 + h // 24:02d}T{h % 24:02d}:00,100,{h * 0.1:.1f},-5,2,{0.5 if h == 30 else 0}"
        for h in range(24 * days)
        if h not in absent
    ]


def test_the_shipped_daily_file_is_read_whole() -> None:
    path = FILES / "greeley_co_2023_daily.csv"
    weather = read(path, GREELEY, start=date(2023, 4, 15), end=date(2023, 9, 30))
    assert (weather.step, weather.start, weather.end) == (
        "daily",
        date(2023, 4, 15),
        date(2023, 9, 30),
    )
    assert weather.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert weather.time_ms.size == 24 * 169
    assert weather.filled == weather.notes == ()
    # the line of the file: 2023-07-04
    line = next(row for row in path.read_text().splitlines() if row.startswith("2023-07-04"))
    _, solar, tmax, tmin, tdew, _, rhmin, wind, rain = line.split(",")
    day = (date(2023, 7, 4) - weather.start).days
    assert weather.days.solar_mj_m2[day] == float(solar)
    assert weather.days.tmax_c[day] == float(tmax)
    assert weather.days.tmin_c[day] == float(tmin)
    assert weather.days.rhmin_pct[day] == float(rhmin)
    assert weather.days.wind_m_s[day] == float(wind)
    assert weather.days.rain_mm[day] == float(rain)
    vapour = 0.6108 * np.exp(17.27 * float(tdew) / (float(tdew) + 237.3))  # FAO-56 Eq. 14
    assert weather.days.ea_kpa[day] == pytest.approx(vapour)


def test_the_shipped_hourly_file_says_where_its_holes_are_and_fills_them_by_name() -> None:
    path = FILES / "fallon_nv_2015_hourly.csv"
    with pytest.raises(WeatherError, match=r"2 hours absent, first 2015-03-08T02:00.*time_zone"):
        read(path, FALLON)
    with pytest.raises(WeatherError, match="2 hours absent, first 2015-04-22T09:00"):
        read(path, FALLON, time_zone="America/Los_Angeles")
    weather = read(path, FALLON, time_zone="America/Los_Angeles", fill="linear")
    assert weather.filled == (
        "all columns absent in 2 of 8760 hours, filled by linear: "
        "2015-04-22T09:00, 2015-11-01T01:00",
    )
    assert (
        "clock time of America/Los_Angeles brought to standard time, moved by -1 h and 0 h"
        in weather.notes
    )
    assert "no rain column: no rain" in weather.notes
    assert len(weather.days) == 365
    # neighbours of the filled hour in the file, by its clock: 09:00 and 11:00 with 16.79, 20.59
    hour = 24 * (date(2015, 4, 22) - date(2015, 1, 1)).days + 9
    assert weather.temp_c[hour] == pytest.approx((16.79 + 20.59) / 2.0)
    without = read(path, FALLON, time_zone="America/Los_Angeles", end=date(2015, 4, 21))
    assert without.filled == ()


def test_clock_time_of_summer_is_brought_to_standard_time() -> None:
    path = FILES / "fallon_nv_2015_hourly.csv"
    weather = read(path, FALLON, time_zone="America/Los_Angeles", fill="linear")
    sun = weather.solar_mj_m2.reshape(-1, 24)
    february, june = (
        (sun[days] * np.arange(24)).sum() / sun[days].sum()
        for days in (slice(40, 60), slice(160, 180))
    )
    # solar noon differs by 13 minutes between the two (equation of time), the clock by an hour
    assert abs(february - june) < 0.4


def test_an_hour_that_the_clock_shows_twice_is_two_hours(tmp_path: Path) -> None:
    rows = [f"2023-11-05T{h:02d}:00,0,{h},-5,2,0" for h in (0, 1)]
    rows += [f"2023-11-05T{h:02d}:00,0,{h},-5,2,0" for h in range(1, 24)]
    rows += ["2023-11-06T00:00,0,24,-5,2,0"]
    site = Site(latitude_deg=40.0, longitude_deg=-120.0, elevation_m=0.0, utc_offset_h=-8.0)
    before = [f"2023-11-04T{h:02d}:00,0,-1,-5,2,0" for h in range(24)]
    path = daily(tmp_path, *before, *rows, header=HOURLY)
    weather = read(path, site, time_zone="America/Los_Angeles")
    # 00:00 and the first 01:00 of summer time are 23:00 and 00:00; then the clock goes back
    assert weather.end == date(2023, 11, 5)
    assert weather.temp_c[-24:].tolist() == [1.0, *range(1, 24)]
    with pytest.raises(WeatherError, match=r"2023-03-12T02:00:00; the clock of .* skips it"):
        read(
            daily(tmp_path, "2023-03-12T02:00,0,0,-5,2,0", header=HOURLY),
            site,
            time_zone="America/Los_Angeles",
        )


def test_previous_day_fills_with_the_same_hour_of_the_day_before(tmp_path: Path) -> None:
    path = daily(tmp_path, *hours(*range(30, 40)), header=HOURLY)
    weather = read(path, GREELEY, fill="previous-day")
    np.testing.assert_allclose(weather.temp_c[30:40], weather.temp_c[6:16])
    assert weather.filled == (
        "all columns absent in 10 of 72 hours, filled by previous-day: "
        "2023-05-02T06:00 to 2023-05-02T15:00",
    )
    with pytest.raises(WeatherError, match=r"hole of 10 steps .* linear fills at most 3"):
        read(path, GREELEY, fill="linear")
    early = daily(tmp_path, *hours(5), header=HOURLY)
    with pytest.raises(WeatherError, match="no day before 2023-05-01T05:00"):
        read(early, GREELEY, fill="previous-day")


def test_linear_fills_a_line_but_no_rain(tmp_path: Path) -> None:
    weather = read(daily(tmp_path, *hours(29, 30), header=HOURLY), GREELEY, fill="linear")
    np.testing.assert_allclose(weather.temp_c[28:32], [2.8, 2.9, 3.0, 3.1])
    assert weather.rain_mm.sum() == 0.0


ROW = ["2023-05-01,20,25,10,5,2,0", "2023-05-02,20,25,10,5,2,0", "2023-05-03,20,25,10,5,2,0"]


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([ROW[0], ROW[1], ROW[1]], 4, "2023-05-02T00:00 again; each time once, first on line 3"),
        ([ROW[0], ROW[2], ROW[1]], 4, "after 2023-05-03T00:00; times must ascend"),
        ([ROW[0], ROW[2]], 3, "1 day absent, first 2023-05-02; none may be, or name a method"),
        ([ROW[0], "2023-05-02,20,inf,10,5,2,0"], 3, "`inf` in column `tmax_c`; a finite number"),
        ([ROW[0], "2023-05-02,20,1_0,10,5,2,0"], 3, "`1_0` in column `tmax_c`; a number is needed"),
        ([ROW[0], "2023-05-02,20,25,x,5,2,0"], 3, "`x` in column `tmin_c`; a number is needed"),
        ([ROW[0], "2023-05-02,20,25,10,5,2"], 3, "6 cells; 7 are needed"),
        ([ROW[0], "2023-05-32,20,25,10,5,2,0"], 3, "time `2023-05-32`; write it like 2023-04-15"),
        ([ROW[0], "2023-05-02T06:00,20,25,10,5,2,0"], 3, "allowed are days"),
        ([ROW[0], "2023-05-02T00:00Z,20,25,10,5,2,0"], 3, "with an offset; local standard time"),
        # wrong units: degF, W m-2 for MJ m-2, an error code
        (["2023-05-01,20,88,10,5,2,0"], 2, "tmax_c = 88; allowed .* -90 to 57 degC"),
        (["2023-05-01,230,25,10,5,2,0"], 2, "solar_mj_m2 = 230; .* 0 to 45 MJ m-2 d-1"),
        (["2023-05-01,20,25,10,5,-999,0"], 2, "wind_m_s = -999; .* 0 to 60 m s-1"),
        (["2023-05-01,20,10,25,5,2,0"], 2, "tmin_c = 25; at most tmax_c = 10"),
    ],
)
def test_bad_rows_are_refused_with_their_line(
    tmp_path: Path, rows: list[str], line: int, message: str
) -> None:
    path = daily(tmp_path, *rows)
    with pytest.raises(WeatherError, match=message) as caught:
        read(path, GREELEY)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("date,solar_mj_m2,tmax_f,tmin_c,tdew_c,wind_m_s", "`tmax_f`; did you mean `tmax_c` .degC"),
        ("time,solar_w_m2,temp_f,dewpoint_c,wind_m_s", "`temp_f`; did you mean `temp_c`"),
        ("date,solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_mph", "did you mean `wind_m_s` .m s-1"),
        ("date,solar_mj_m2,tmax_c,tmin_c,tdew_c", "no column `wind_m_s`; mean wind speed"),
        ("date,solar_mj_m2,tmax_c,tmin_c,wind_m_s", "no humidity; needed is ea_kpa, or tdew_c"),
        ("day,solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_m_s", "neither column `date` nor `time`"),
        (
            "date,solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_m_s,rain_in",
            "`rain_in`; did you mean `rain_mm`",
        ),
        ("date,solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_km_h", "`wind_km_h`; did you mean `wind_m_s`"),
        ("date,solar_kwh_m2,tmax_c,tmin_c,tdew_c,wind_m_s", "did you mean `solar_mj_m2`"),
        ("time,solar_w_m2,temp_c,dewpoint_f,wind_m_s", "did you mean `dewpoint_c`"),
        ("date,time,tmax_c", "columns `date` and `time`"),
        ("date,tmax_c,tmax_c", "column `tmax_c` twice"),
    ],
)
def test_unknown_or_missing_columns_are_refused(tmp_path: Path, header: str, message: str) -> None:
    path = daily(tmp_path, "2023-05-01" + ",1" * header.count(","), header=header + "\n")
    with pytest.raises(WeatherError, match=message):
        read(path, GREELEY)


def test_relative_humidity_as_a_fraction_is_refused(tmp_path: Path) -> None:
    header = "date,solar_mj_m2,tmax_c,tmin_c,rhmax_pct,rhmin_pct,wind_m_s\n"
    rows = [f"2023-05-{d:02d},20,25,10,0.9,0.3,2" for d in range(1, 5)]
    with pytest.raises(WeatherError, match=r"a fraction\? percent is needed"):
        read(daily(tmp_path, *rows, header=header), GREELEY)


def season(tmp_path: Path, **change: Callable[[float], float]) -> Path:
    """Greeley from 15 April to 30 September with some columns in another unit."""
    header, *rows = (FILES / "greeley_co_2023_daily.csv").read_text().splitlines()
    names = header.split(",")
    changed = []
    for row in rows:
        cells = row.split(",")
        if "2023-04-15" <= cells[0] <= "2023-09-30":
            for name, convert in change.items():
                cells[names.index(name)] = f"{convert(float(cells[names.index(name)])):.2f}"
            changed.append(",".join(cells))
    return daily(tmp_path, *changed, header=header + "\n")


@pytest.mark.parametrize(
    ("column", "convert", "message"),
    [
        ("wind_m_s", lambda v: v * 3.6, r"mean wind at 2 m of 6.9 m/s in 169 days; are these km/h"),
        ("solar_mj_m2", lambda v: v / 3.6, r"sunniest of 169 days is 2\d % .* are these kWh m-2"),
        (
            "tdew_c",
            lambda v: 1.8 * v + 32.0,
            r"tdew_c = 40.73; allowed for dew point",
        ),
        ("tmax_c", lambda v: 1.8 * v + 32.0, r"tmax_c = .* -90 to 57 degC"),
    ],
)
def test_a_season_in_another_unit_is_refused(
    tmp_path: Path, column: str, convert: Callable[[float], float], message: str
) -> None:
    with pytest.raises(WeatherError, match=message):
        read(season(tmp_path, **{column: convert}), GREELEY)


def test_what_no_number_proves_is_doubted_in_a_note(tmp_path: Path) -> None:
    inches = read(season(tmp_path, rain_mm=lambda v: v / 25.4), GREELEY)
    assert len(inches.notes) == 1
    assert inches.notes[0].startswith("rain of the file is 12.6 mm in 169 days: are these inches?")
    # 1.93 m/s is the mean of the season: 5.8 as three times that
    windy = read(season(tmp_path, wind_m_s=lambda v: v * 3.0), GREELEY)
    assert windy.notes == (
        "mean wind at 2 m of 5.8 m/s in 169 days: are these km/h, mph or knots?",
    )
    assert read(season(tmp_path), GREELEY).notes == ()


def test_a_storm_or_a_dry_month_is_weather(tmp_path: Path) -> None:
    month = [f"2023-05-{d:02d},20,25,10,5,{20 if d == 3 else 3},0" for d in range(1, 32)]
    assert read(daily(tmp_path, *month), GREELEY).notes == ()


def test_what_is_cut_is_counted(tmp_path: Path) -> None:
    weather = read(
        FILES / "fallon_nv_2015_hourly.csv", FALLON, time_zone="America/Los_Angeles", fill="linear"
    )
    rows = (FILES / "fallon_nv_2015_hourly.csv").read_text().splitlines()[1:]
    above = sum(float(r.split(",")[2]) > float(r.split(",")[1]) + 0.015 for r in rows)
    note = next(note for note in weather.notes if "saturation" in note)
    assert f"above saturation in {above} of 8760 hours" in note
    nights = [row.replace(",100,", ",-3.5,") if "T0" in row else row for row in hours()]
    offset = read(daily(tmp_path, *nights, header=HOURLY), GREELEY)
    assert offset.notes == (
        "radiation below zero in 30 of 72 hours, at least -3.5 W m-2: set to 0",
    )
    assert offset.solar_mj_m2.min() == 0.0


def test_vapour_far_above_saturation_is_refused_as_another_unit(tmp_path: Path) -> None:
    # 10 degC holds 1.23 kPa: FAO-56 annex 2, table 2.3
    one = [row.replace(",-5,", ",30,") if "02T05" in row else row for row in hours()]
    with pytest.raises(WeatherError, match=r"above saturation in 1 of 72 hours.*another unit"):
        read(daily(tmp_path, *one, header=HOURLY), GREELEY)
    header = "date,solar_mj_m2,tmax_c,tmin_c,ea_kpa,wind_m_s\n"
    rows = [f"2023-05-{d:02d},20,10,0,1.35,2" for d in range(1, 11)]
    with pytest.raises(WeatherError, match=r"above saturation in 10 of 10 days.*\(10 %\)"):
        read(daily(tmp_path, *rows, header=header), GREELEY)


@pytest.mark.parametrize(
    ("columns", "values", "ea_kpa"),
    [
        # FAO-56 example 5: 18 to 25 degC, 54 to 82 % -> 1.70 kPa; mean 68 % -> 1.78 kPa (Eq. 19)
        ("rhmax_pct,rhmin_pct", "82,54", 1.70),
        ("rh_pct", "68", 1.78),
        ("ea_kpa", "1.5", 1.50),
        ("tdew_c", "14.8", 1.68),  # FAO-56 annex 2 table 2.3: e(14.8) = 1.68
    ],
)
def test_every_kind_of_humidity_becomes_vapour_pressure(
    tmp_path: Path, columns: str, values: str, ea_kpa: float
) -> None:
    header = f"date,solar_mj_m2,tmax_c,tmin_c,{columns},wind_m_s\n"
    path = daily(tmp_path, f"2023-05-01,20,25,18,{values},2", header=header)
    assert read(path, GREELEY).days.ea_kpa[0] == pytest.approx(ea_kpa, abs=0.005)


def test_wind_is_brought_to_two_metres() -> None:
    # FAO-56 example 14: 3.2 m/s at 10 m is 2.4 m/s at 2 m
    assert wind_at_2m(np.array([3.2]), 10.0) == pytest.approx([2.4], abs=0.05)
    assert wind_at_2m(np.array([3.2]), 2.0) == [3.2]


def test_a_period_outside_the_file_is_refused(tmp_path: Path) -> None:
    path = daily(tmp_path, *ROW)
    with pytest.raises(WeatherError, match="period 2023-05-01 to 2023-05-09; the file has 2023-05"):
        read(path, GREELEY, end=date(2023, 5, 9))
    weather = read(path, GREELEY)
    part = weather.period(date(2023, 5, 2), date(2023, 5, 2))
    assert part.start == part.end == date(2023, 5, 2)
    np.testing.assert_array_equal(part.temp_c, weather.temp_c[24:48])
    with pytest.raises(WeatherError, match="allowed 2023-05-01 to 2023-05-03"):
        weather.period(date(2023, 5, 2), date(2023, 5, 4))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    daily_weather = read(FILES / "greeley_co_2023_daily.csv", GREELEY, end=date(2023, 2, 1))
    hourly_weather = read(
        FILES / "fallon_nv_2015_hourly.csv", FALLON, start=date(2015, 12, 1), end=date(2015, 12, 9)
    )
    for weather, site in ((daily_weather, GREELEY), (hourly_weather, FALLON)):
        path = tmp_path / f"{weather.step}.csv"
        write(weather, path)
        again = read(path, Site(**{**vars(site), "wind_height_m": 2.0}))
        assert again.step == weather.step
        for name in ("temp_c", "ea_kpa", "wind_m_s", "solar_mj_m2", "rain_mm"):
            np.testing.assert_allclose(
                getattr(again, name), getattr(weather, name), atol=0.006, err_msg=name
            )


def test_an_empty_file_and_an_unknown_zone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeatherError, match="no rows"):
        read(daily(tmp_path), GREELEY)
    with pytest.raises(WeatherError, match="unknown time zone `Mars/Base`"):
        read(daily(tmp_path, *hours(), header=HOURLY), GREELEY, time_zone="Mars/Base")
    with pytest.raises(WeatherError, match="time_zone = America/Denver for a daily CSV file; only"):
        read(daily(tmp_path, *ROW), GREELEY, time_zone="America/Denver")
    path = tmp_path / "latin.csv"
    path.write_bytes(b"date,tmax_\xb0C\n1,2\n")
    with pytest.raises(WeatherError, match="not UTF-8"):
        read(path, GREELEY)
    with pytest.raises(ValueError, match="`fill` = guess: permitted none, linear"):
        read(daily(tmp_path, *ROW), GREELEY, fill="guess")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [("latitude_deg", 91.0), ("elevation_m", 9000.0), ("wind_height_m", float("nan"))],
)
def test_a_site_outside_the_earth_is_refused(field: str, value: float) -> None:
    with pytest.raises(
        ValueError, match=rf"`{field}` = {value:.4g}( m| deg)?: (permitted|must be)"
    ):
        GREELEY.but(**{field: value})


# Forms of our own files


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace(",", ";").replace(".", ","),
        lambda t: t.replace(",", "\t"),
        lambda t: "".join(",".join(f'"{c}"' for c in r.split(",")) + "\n" for r in t.splitlines()),
        lambda t: t.replace(",", " , "),
        lambda t: t + ",,,,,,\n",
    ],
    ids=["BOM", "CRLF", "CR", "semicolon, comma", "tab", "quoted", "blanks", "empty row"],
)
def test_our_own_files_however_a_program_writes_them(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    path = daily(tmp_path, *[row.replace(",20,", ",20.25,") for row in ROW])
    whole = read(path, GREELEY)
    path.write_bytes(change(path.read_text()).encode())
    weather = read(path, GREELEY)
    np.testing.assert_array_equal(weather.days.solar_mj_m2, whole.days.solar_mj_m2)
    np.testing.assert_array_equal(weather.days.tmax_c, whole.days.tmax_c)


def test_an_empty_cell_is_absent_in_its_column_only(tmp_path: Path) -> None:
    rows = [ROW[0], "2023-05-02,20,,10,5,2,NA", ROW[2].replace("25", "27")]
    path = daily(tmp_path, *rows)
    message = r"w.csv:3: tmax_c, rain_mm absent in 1 of 3 days: 2023-05-02; none may be"
    with pytest.raises(WeatherError, match=message):
        read(path, GREELEY)
    weather = read(path, GREELEY, fill="linear")
    assert weather.days.tmax_c.tolist() == [25.0, 26.0, 27.0]
    assert weather.filled == (
        "tmax_c, rain_mm absent in 1 of 3 days, filled by linear, rain taken as 0: 2023-05-02",
    )
    # outside the period it does not matter
    assert read(path, GREELEY, end=date(2023, 5, 1)).filled == ()


def test_relative_humidity_a_little_above_saturation_is_cut_and_counted(tmp_path: Path) -> None:
    header = "date,solar_mj_m2,tmax_c,tmin_c,rh_pct,wind_m_s,rain_mm\n"
    rows = [
        row.replace(",10,5,", f",24.9,{rh},") for row, rh in zip(ROW, (90, 101, 104.9), strict=True)
    ]
    notes = read(daily(tmp_path, *rows, header=header), GREELEY).notes
    assert "rh_pct above 100 % in 2 of 3 rows, first on line 3, at most 104.9: cut" in notes
    rows[1] = rows[1].replace(",101,", ",106,")
    message = r"w.csv:3: rh_pct = 106; allowed for mean relative humidity is 0 to 105 %"
    with pytest.raises(WeatherError, match=message):
        read(daily(tmp_path, *rows, header=header), GREELEY)


def test_a_clock_that_is_not_whole_hours_from_the_sites_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeatherError, match="clock of Asia/Kolkata is not whole hours from UTC-7"):
        read(daily(tmp_path, *hours(), header=HOURLY), GREELEY, time_zone="Asia/Kolkata")


def test_a_table_of_nasa_power_without_its_header_is_said_to_be_one(tmp_path: Path) -> None:
    path = daily(tmp_path, "2023,1,1,5", header="YEAR,MO,DY,T2M\n")
    with pytest.raises(WeatherError, match="but `YEAR`: of NASA POWER without the header"):
        read(path, GREELEY)


@pytest.mark.parametrize("code", ["-999", "9999", "-99.9", "-9999.0"])
def test_a_code_of_an_absent_value_is_named(tmp_path: Path, code: str) -> None:
    path = daily(tmp_path, ROW[0], f"2023-05-02,20,{code},10,5,2,0", ROW[2])
    with pytest.raises(WeatherError, match=r"csv:3: tmax_c .* absent value\? leave its cell"):
        read(path, GREELEY)
    path = daily(tmp_path, ROW[0], "2023-05-02,20,77,10,5,2,0", ROW[2])
    with pytest.raises(WeatherError, match=r"tmax_c = 77; allowed .* degC$"):
        read(path, GREELEY)
