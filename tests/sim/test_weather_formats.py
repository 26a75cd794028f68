"""Files written here after the published descriptions of the formats; see sim.weather."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from levada.sim.weather import Site, WeatherError, read
from levada.sim.weather.epw import read_epw
from levada.sim.weather.nasa_power import read_nasa_power
from levada.sim.weather.open_meteo import read_open_meteo

LYON = Site(latitude_deg=45.7, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=1.0)
TO_2M = 4.87 / np.log(67.8 * 10.0 - 5.42)  # FAO-56 Eq. 47, from 10 m


def epw(
    tmp_path: Path, *, years: tuple[int, ...] = (2005, 2005), days: int = 2, rain: str = "0.5"
) -> Path:
    """January days of an EPW file: temperature counts the hours of the day."""
    lines = [
        "LOCATION,Lyon,Rhone,FRA,TMYx,074810,45.73,5.08,1.0,240.0",
        "DESIGN CONDITIONS,0",
        "TYPICAL/EXTREME PERIODS,0",
        "GROUND TEMPERATURES,0",
        "HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0",
        "COMMENTS 1,written for a test",
        "COMMENTS 2,",
        "DATA PERIODS,1,1,Data,Sunday, 1/ 1, 1/ 2",
    ]
    for day in range(1, days + 1):
        for hour in range(1, 25):
            cells = [str(years[(day - 1) % len(years)]), "1", str(day), str(hour), "60", "flags"]
            cells += [f"{hour - 1}.0", "-2.0", "60", "99000", "0", "0", "300", "150", "0", "0"]
            cells += ["0", "0", "0", "0", "180", "4.0", "5", "5", "9999", "99999", "9", "0", "10"]
            cells += ["0.1", "0", "88", "0.2", rain, "1.0"]
            lines.append(",".join(cells))
    path = tmp_path / "lyon.epw"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_epw_hour_one_begins_at_midnight(tmp_path: Path) -> None:
    weather = read(epw(tmp_path))
    assert (weather.start, weather.end) == (date(2005, 1, 1), date(2005, 1, 2))
    np.testing.assert_array_equal(weather.temp_c[:24], np.arange(24.0))
    assert weather.solar_mj_m2[5] == pytest.approx(150.0 * 0.0036)
    assert weather.wind_m_s[0] == pytest.approx(4.0 * TO_2M)
    assert weather.rain_mm.sum() == 24.0
    assert weather.site.latitude_deg == 45.73
    assert (weather.site.elevation_m, weather.site.utc_offset_h) == (240.0, 1.0)


def test_epw_of_several_years_becomes_one_year(tmp_path: Path) -> None:
    path = epw(tmp_path, years=(2004, 2009))
    weather = read(path, LYON)
    assert weather.start == date(2001, 1, 1)
    assert "a typical year of 2004 to 2009, taken as 2001" in weather.notes
    table, _ = read_epw(path, year=2023)
    assert table.time_ms[0] == np.datetime64("2023-01-01", "ms").astype(np.int64)


def test_epw_without_rain_says_so_and_missing_values_are_holes(tmp_path: Path) -> None:
    assert "no rain column: no rain" in read(epw(tmp_path, rain="999")).notes
    path = epw(tmp_path)
    text = path.read_text().replace("2005,1,2,7,60,flags,6.0", "2005,1,2,7,60,flags,99.9")
    path.write_text(text)
    with pytest.raises(WeatherError, match="temp_c absent in 1 of 48 hours: 2005-01-02T06:00"):
        read(path)
    assert read(path, fill="linear").temp_c[30] == pytest.approx(6.0)


NASA_DAILY = """-BEGIN HEADER-
NASA/POWER Source Native Resolution Daily Data
Dates (month/day/year): 01/01/2023 through 01/02/2023 in LST
Location: latitude  45.7   longitude 4.9
elevation from MERRA-2: Average for 0.5 x 0.625 degree lat/lon region = 250.5 meters
The value for missing source data that cannot be computed is -999
Parameter(s):
ALLSKY_SFC_SW_DWN     CERES SYN1deg All Sky Surface Shortwave Downward Irradiance (kW-hr/m^2/day)
T2M_MAX               MERRA-2 Temperature at 2 Meters Maximum (C)
T2M_MIN               MERRA-2 Temperature at 2 Meters Minimum (C)
T2MDEW                MERRA-2 Dew/Frost Point at 2 Meters (C)
WS10M                 MERRA-2 Wind Speed at 10 Meters (m/s)
PRECTOTCORR           MERRA-2 Precipitation Corrected (mm/day)
-END HEADER-
YEAR,MO,DY,ALLSKY_SFC_SW_DWN,T2M_MAX,T2M_MIN,T2MDEW,WS10M,PRECTOTCORR
2023,1,1,1.5,12.0,4.0,3.0,5.0,1.25
2023,1,2,2.0,10.0,2.0,1.0,3.0,0.0
"""


def test_nasa_power_days_in_their_units(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY)
    weather = read(path)
    assert weather.step == "daily"
    assert weather.days.solar_mj_m2.tolist() == pytest.approx([5.4, 7.2])  # 3.6 MJ a kWh
    assert weather.days.tmax_c.tolist() == [12.0, 10.0]
    assert weather.days.wind_m_s == pytest.approx([5.0 * TO_2M, 3.0 * TO_2M])
    assert weather.days.rain_mm.tolist() == [1.25, 0.0]
    assert weather.site.elevation_m == 250.5
    by_day_of_year = NASA_DAILY.replace("YEAR,MO,DY", "YEAR,DOY").replace("2023,1,", "2023,")
    path.write_text(by_day_of_year)
    assert read(path).start == date(2023, 1, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2023,1,2,2.0", "2023,1,2,-999", "solar_mj_m2 absent in 1 of 2 days: 2023-01-02"),
        ("(kW-hr/m^2/day)", "(langley)", "ALLSKY_SFC_SW_DWN in `langley`; known units are"),
        (",T2MDEW", ",T2M", "no humidity"),
        ("-END HEADER-", "", "no -END HEADER-"),
        ("2023,1,2,2.0,", "2023,1,2,x,", r"power.csv:17: `x` in column `ALLSKY_SFC_SW_DWN`; a"),
        ("2023,1,2,2.0,", "2023,1,2,", r"power.csv:17: 8 cells; 9 are needed"),
        ("2023,1,2,", "2023,2,30,", "day is out of range"),
    ],
)
def test_nasa_power_files_that_cannot_be_used_are_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY.replace(old, new))
    with pytest.raises(WeatherError, match=message):
        read(path, end=date(2023, 1, 2))


def test_nasa_power_hours_in_utc_are_brought_to_standard_time(tmp_path: Path) -> None:
    head = NASA_DAILY.split("ALLSKY")[0].replace("in LST", "in UTC")
    head += (
        "ALLSKY_SFC_SW_DWN  CERES Irradiance (MJ/hr)\nT2M  MERRA-2 Temperature (C)\n"
        "RH2M  MERRA-2 Relative Humidity (%)\nWS2M  MERRA-2 Wind Speed (m/s)\n"
        "PRECTOTCORR  MERRA-2 Precipitation (mm/hour)\n-END HEADER-\n"
        "YEAR,MO,DY,HR,ALLSKY_SFC_SW_DWN,T2M,RH2M,WS2M,PRECTOTCORR\n"
    )
    rows = [f"2023,1,{1 + h // 24},{h % 24},0.9,{h / 4},70,2.0,0.1" for h in range(48)]
    path = tmp_path / "hourly.csv"
    path.write_text(head + "\n".join(rows) + "\n")
    weather = read(path, LYON)
    assert weather.start == weather.end == date(2023, 1, 2)  # 23:00 UTC is 00:00 in Lyon
    assert weather.temp_c[0] == pytest.approx(23 / 4)
    assert weather.solar_mj_m2[0] == pytest.approx(0.9)
    assert weather.wind_m_s[0] == 2.0
    with pytest.raises(WeatherError, match="times in UTC; a site with"):
        read(path)


def open_meteo(tmp_path: Path, *, hours: int = 49, offset_s: int = 3600) -> Path:
    lines = [
        "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation",
        f"45.69,4.92,201.0,{offset_s},Europe/Paris,CET",
        "",
        "time,temperature_2m (°C),relative_humidity_2m (%),precipitation (mm),"
        "wind_speed_10m (km/h),shortwave_radiation (W/m²)",
    ]
    for h in range(hours):
        day, hour = 1 + h // 24, h % 24
        lines.append(f"2023-06-{day:02d}T{hour:02d}:00,{10 + hour},55,{h / 10:.1f},18.0,{h}.0")
    path = tmp_path / "meteo.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_open_meteo_moves_sums_of_the_hour_before_to_their_hour(tmp_path: Path) -> None:
    weather = read(open_meteo(tmp_path), LYON)
    assert (weather.start, weather.end) == (date(2023, 6, 1), date(2023, 6, 2))
    assert weather.temp_c[5] == 15.0
    assert weather.rain_mm[5] == pytest.approx(0.6)  # labelled 06:00
    assert weather.solar_mj_m2[5] == pytest.approx(6.0 * 0.0036)
    assert weather.wind_m_s[0] == pytest.approx(5.0 * TO_2M)
    # without the next midnight the last hour, and so the last day, is not whole
    assert read(open_meteo(tmp_path, hours=48), LYON).end == date(2023, 6, 1)


def test_open_meteo_in_another_zone_is_brought_to_the_sites(tmp_path: Path) -> None:
    weather = read(open_meteo(tmp_path, offset_s=0), LYON)
    assert weather.start == weather.end == date(2023, 6, 2)
    assert weather.temp_c[0] == 10.0 + 23.0


OPEN_METEO_DAILY = """latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation
45.69,4.92,201.0,3600,Europe/Paris,CET

time,temperature_2m_max (°F),temperature_2m_min (°F),precipitation_sum (inch),\
shortwave_radiation_sum (MJ/m²),wind_speed_10m_mean (mp/h),dew_point_2m_mean (°F)
2023-06-01,77.0,50.0,0.10,25.0,10.0,41.0
2023-06-02,86.0,59.0,,26.0,10.0,41.0
2023-06-03,86.0,59.0,0.00,26.0,10.0,41.0
"""


def test_open_meteo_days_in_other_units_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "meteo.csv"
    path.write_text(OPEN_METEO_DAILY, encoding="utf-8")
    with pytest.raises(WeatherError, match=r"meteo.csv:6: rain_mm absent in 1 of 3 days: 2023"):
        read(path, LYON)
    weather = read(path, LYON, fill="previous-day")
    assert weather.filled == ("rain_mm absent in 1 of 3 days, filled by previous-day: 2023-06-02",)
    assert weather.days.tmax_c == pytest.approx([25.0, 30.0, 30.0])
    assert weather.days.rain_mm == pytest.approx([2.54, 2.54, 0.0])
    assert weather.days.wind_m_s[0] == pytest.approx(4.4704 * TO_2M)


def test_a_file_of_another_place_is_refused(tmp_path: Path) -> None:
    far = Site(latitude_deg=40.4, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=1.0)
    with pytest.raises(WeatherError, match=r"latitude_deg is 45.73, the site's 40.4; at most 1"):
        read(epw(tmp_path), far)


def test_our_own_files_pass_through_and_need_a_site() -> None:
    path = Path(__file__).parents[2] / "levada/scenarios" / "weather" / "greeley_co_2023_daily.csv"
    site = Site(latitude_deg=40.4, longitude_deg=-104.6, elevation_m=1427.0, utc_offset_h=-7.0)
    assert read(path, site, end=date(2023, 1, 3)).end == date(2023, 1, 3)
    with pytest.raises(WeatherError, match="a file that names no place; a site is needed"):
        read(path)


# What is absent is absent in its column only


def with_cells(path: Path, at: int, value: str, rows: range) -> Path:
    """The EPW file with another value in one field of some of its hours."""
    lines = path.read_text().splitlines()
    for row in rows:
        cells = lines[8 + row].split(",")
        cells[at] = value
        lines[8 + row] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return path


# field of the EPW data dictionary, its code for "missing", our column
EPW_CODES = [
    (6, "99.9", "temp_c"),
    (13, "9999", "solar_w_m2"),
    (21, "999", "wind_m_s"),
    (33, "999", "rain_mm"),
    (33, "", "rain_mm"),
]


@pytest.mark.parametrize(("at", "code", "column"), EPW_CODES)
def test_a_missing_field_of_an_epw_leaves_the_others_of_its_hours(
    tmp_path: Path, at: int, code: str, column: str
) -> None:
    whole = read(epw(tmp_path, days=4))
    path = with_cells(epw(tmp_path, days=4), at, code, range(30, 42))
    message = f"lyon.epw:39: {column} absent in 12 of 96 hours: 2005-01-02T06:00 to 2005-01-02T17"
    with pytest.raises(WeatherError, match=message):
        read(path)
    filled = read(path, fill="previous-day")
    assert filled.filled == (
        f"{column} absent in 12 of 96 hours, filled by previous-day: "
        "2005-01-02T06:00 to 2005-01-02T17:00",
    )
    # the days are equal, so that the day before has what is lacking, and nothing else has changed
    for name in ("temp_c", "ea_kpa", "wind_m_s", "solar_mj_m2", "rain_mm"):
        np.testing.assert_allclose(getattr(filled, name), getattr(whole, name))


def test_hours_without_dew_point_have_their_relative_humidity(tmp_path: Path) -> None:
    path = with_cells(epw(tmp_path, days=2), 7, "99.9", range(12, 18))
    weather = read(path)
    assert "dewpoint_c absent in 6 of 48 rows: by rh_pct there" in weather.notes
    # 60 % of saturation at 14 degC, 1.60 kPa (FAO-56 annex 2, table 2.3)
    assert weather.ea_kpa[14] == pytest.approx(0.6 * 1.60, abs=0.005)
    path = with_cells(path, 7, "99.9", range(48))
    assert read(path).ea_kpa[14] == pytest.approx(0.6 * 1.60, abs=0.005)
    wet = with_cells(epw(tmp_path), 8, "110", range(6, 7))
    assert "dewpoint_c" not in "".join(read(wet).notes)
    path = with_cells(epw(tmp_path), 7, "99.9", range(48))
    both = with_cells(path, 8, "999", range(3, 4))
    with pytest.raises(WeatherError, match="rh_pct absent in 1 of 48 hours: 2005-01-01T03:00"):
        read(both)


def test_rain_that_is_mostly_missing_is_no_rain_column(tmp_path: Path) -> None:
    weather = read(with_cells(epw(tmp_path), 33, "999", range(40)))
    assert weather.notes == (
        "rain_mm absent in 40 of 48 hours: taken as no rain column, 4.0 mm in the others left out",
    )
    assert weather.rain_mm.sum() == 0.0
    assert weather.temp_c[23] == 23.0


def test_rain_is_judged_in_the_period_and_not_in_the_file(tmp_path: Path) -> None:
    path = with_cells(epw(tmp_path, days=6), 33, "999", range(48, 144))
    weather = read(path, start=date(2005, 1, 1), end=date(2005, 1, 2))
    assert weather.rain_mm.sum() == pytest.approx(24.0)  # 48 hours of 0.5 mm
    assert weather.notes == ()
    weather = read(path, start=date(2005, 1, 3), end=date(2005, 1, 4))
    assert weather.notes == ("rain_mm absent in 48 of 48 hours: taken as no rain column",)
    # a gauge that was off for most of the period only has a hole, which is filled by name
    path = with_cells(epw(tmp_path, days=6), 33, "999", range(48, 72))
    with pytest.raises(WeatherError, match="rain_mm absent in 24 of 24 hours"):
        read(path, start=date(2005, 1, 3), end=date(2005, 1, 3))


def test_a_file_of_another_height_is_noted(tmp_path: Path) -> None:
    high = LYON.but(elevation_m=1240.0)  # the file is of 240 m; 6.5 K a km, ISO 2533
    assert read(epw(tmp_path), high).notes == (
        "the file is of 240 m, the site at 1240 m: its temperatures are taken as they are, and "
        "would be some 6.5 K lower there",
    )
    assert read(epw(tmp_path), LYON.but(elevation_m=400.0)).notes == ()


def test_holes_in_sum_and_not_one_by_one(tmp_path: Path) -> None:
    path = with_cells(epw(tmp_path, days=6), 21, "999", range(24, 144, 12))
    (said,) = read(path, fill="linear").filled
    assert said == (
        "wind_m_s absent in 10 of 144 hours, filled by linear: 2005-01-02T00:00, "
        "2005-01-02T12:00, 2005-01-03T00:00, 2005-01-03T12:00, and 6 more times up to "
        "2005-01-06T12:00"
    )


def test_radiation_that_ends_before_the_rest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    rows = "".join(f"2023,1,{d},{'-999' if d > 4 else '1.5'},12,4,3,5,1\n" for d in range(3, 9))
    path.write_text(NASA_DAILY + rows)
    with pytest.raises(WeatherError, match="solar_mj_m2 absent in 4 of 8 days: 2023-01-05 to 2023"):
        read(path, start=date(2023, 1, 1), end=date(2023, 1, 8))
    assert read(path).end == date(2023, 1, 4)


# The years of an EPW


def epw_days(tmp_path: Path, *days: tuple[int, int, int]) -> Path:
    """An EPW with these days, (year, month, day), each of 24 hours."""
    path = epw(tmp_path, days=1)
    lines = path.read_text().splitlines()
    rows = [
        ",".join([str(y), str(m), str(d), *row.split(",")[3:]])
        for y, m, d in days
        for row in lines[8:32]
    ]
    path.write_text("\n".join([*lines[:8], *rows]) + "\n")
    return path


def test_two_years_in_order_are_two_years(tmp_path: Path) -> None:
    weather = read(epw_days(tmp_path, (2022, 12, 30), (2022, 12, 31), (2023, 1, 1), (2023, 1, 2)))
    assert (weather.start, weather.end) == (date(2022, 12, 30), date(2023, 1, 2))
    assert weather.notes == ()


def test_a_leap_day_is_one_in_a_real_year_and_none_in_a_typical_one(tmp_path: Path) -> None:
    real = read(epw_days(tmp_path, (2024, 2, 28), (2024, 2, 29), (2024, 3, 1)))
    assert (real.start, real.end) == (date(2024, 2, 28), date(2024, 3, 1))
    typical = read(epw_days(tmp_path, (1992, 2, 28), (1992, 2, 29), (1987, 3, 1), (1987, 3, 2)))
    assert (typical.start, typical.end) == (date(2001, 2, 28), date(2001, 3, 2))
    assert typical.notes == (
        "a typical year of 1987 to 1992, taken as 2001",
        "29 February of the typical year left out, 24 rows",
    )


def test_a_row_of_another_year_at_the_end_of_a_real_one(tmp_path: Path) -> None:
    path = epw_days(tmp_path, *[(2024, 2, d) for d in range(20, 30)], (2024, 3, 1))
    lines = path.read_text().splitlines()
    for other in ("2023", "2025"):
        last = [other, *lines[-1].split(",")[1:]]
        path.write_text("\n".join([*lines[:-1], ",".join(last)]) + "\n")
        weather = read(path)
        assert (weather.start, weather.end) == (date(2024, 2, 20), date(2024, 3, 1))
        assert weather.notes == (f"1 of 264 rows bear another year, {other}: taken as 2024",)


def test_a_typical_year_that_begins_in_july_goes_over_new_year(tmp_path: Path) -> None:
    weather = read(epw_days(tmp_path, (1999, 12, 30), (1999, 12, 31), (1985, 1, 1), (1985, 1, 2)))
    assert (weather.start, weather.end) == (date(2001, 12, 30), date(2002, 1, 2))


# Forms of an EPW


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.replace(b"LOCATION,Lyon,", b'LOCATION,"Lyon, North Field",'),
        lambda b: b.replace(b"LOCATION,Lyon,", 'LOCATION,"Orléans",'.encode("latin-1")),
        lambda b: b.replace(b"LOCATION,Lyon,", b"Location, Lyon ,"),
        lambda b: b.replace(b"LOCATION,Lyon,", b"LOCATION,Lyon\x85,"),
        lambda b: b.replace(b"COMMENTS 2,", b'COMMENTS 2,"never closed'),
        lambda b: b.replace(b",flags,", b',"?9,?9",'),
        lambda b: b.replace(b",60,flags,", b",0,flags,"),
        lambda b: b.replace(b"\n", b"\r\n"),
        lambda b: b.replace(b"COMMENTS 2,\n", b""),
        lambda b: b"\xef\xbb\xbf" + b,
        lambda b: b.decode().encode("utf-16"),
        lambda b: b + b"\n\n",
    ],
    ids=[
        "quoted name",
        "latin-1",
        "small letters",
        "dots of Windows",
        "open quote",
        "quoted flags",
        "minute 0",
        "CRLF",
        "seven header lines",
        "BOM",
        "UTF-16",
        "empty lines",
    ],
)
def test_an_epw_however_it_is_written(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = epw(tmp_path)
    whole = read(path)
    path.write_bytes(change(path.read_bytes()))
    weather = read(path, LYON)
    np.testing.assert_array_equal(weather.temp_c, whole.temp_c)
    np.testing.assert_array_equal(weather.rain_mm, whole.rain_mm)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1.0,240.0", ",-7.0,240.0", r"file is in UTC-7, the site's utc_offset_h is 1; .* = -7"),
        ("2005,1,1,2,60", "2005,1,1,1,30", "lyon.epw:10: several rows an hour; one is needed"),
        ("2005,1,1,2,60", "2005,13,1,2,60", "lyon.epw:10: 2005-13-1, hour 1; month must be in"),
        ("2005,1,1,2,60", "2005,1,1,25,60", "lyon.epw:10: hour 25; allowed are 1 to 24"),
        ("2005,1,1,2,60", "2005,1,1,x,60", "lyon.epw:10: `x` in column `date and hour`"),
        ("2005,1,1,2,60,flags,1.0", "2005,1,1,2,60,flags,1e9", "temp_c absent in 1 of 48"),
        ("2005,1,1,2,60,flags,1.0", "2005,1,1,2,60,flags,-99", "lyon.epw:10: temp_c = -99"),
        ("DATA PERIODS", "DATES", "an EPW file cut short"),
    ],
)
def test_an_epw_that_cannot_be_used(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = epw(tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(WeatherError, match=message):
        read(path, LYON)


def test_an_epw_that_counts_hours_from_zero(tmp_path: Path) -> None:
    path = epw(tmp_path)
    whole = read(path)
    lines = path.read_text().splitlines()

    def renumbered(date_and_hour: Callable[[int, int], str]) -> Path:
        rows = [
            f"2005,1,{date_and_hour(1 + i // 24, i % 24)},{row.split(',', 4)[4]}"
            for i, row in enumerate(lines[8:])
        ]
        path.write_text("\n".join([*lines[:8], *rows]) + "\n")
        return path

    begins = read(renumbered(lambda day, hour: f"{day},{hour}"))
    np.testing.assert_array_equal(begins.temp_c, whole.temp_c)
    assert begins.notes == (
        "hours 0 to 23 instead of 1 to 24: taken as the beginning of each hour",
    )
    # midnight as hour 0 of the next day
    ends = read(renumbered(lambda day, hour: f"{day + (hour == 23)},{(hour + 1) % 24}"))
    np.testing.assert_array_equal(ends.temp_c, whole.temp_c)
    assert ends.notes == ()


# Forms of NASA POWER

CAPITALS = {
    "Location: latitude  45.7   longitude 4.9": "Location: Latitude  45.7   Longitude 4.9 ",
    "elevation from": "Elevation from",
    "The value for missing source data that cannot be computed is -999": (
        "Value for missing model data cannot be computed or out of model availability range: -99 "
    ),
    "Parameter(s):": "Parameter(s): ",
    "PRECTOTCORR           MERRA-2 Precipitation Corrected (mm/day)": (
        "PRECTOT MERRA2 1/2x1/2 Precipitation (mm day-1) "
    ),
    "PRECTOTCORR": "PRECTOT",
    "YEAR,MO,DY,": "LON,LAT,YEAR,MM,DD,DOY,YYYYMMDD,",
    "2023,1,1,": "4.9,45.7,2023,1,1,1,2023-01-01,",
    "2023,1,2,": "4.9,45.7,2023,1,2,2,2023-01-02,",
}


def spelt(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def test_nasa_power_as_it_was_spelt_for_years(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY)
    now = read(path)
    path.write_text(spelt(NASA_DAILY, CAPITALS))
    then = read(path)
    assert then.site == now.site
    for name in ("tmax_c", "rain_mm", "solar_mj_m2", "wind_m_s", "ea_kpa"):
        np.testing.assert_array_equal(getattr(then.days, name), getattr(now.days, name))
    path.write_text(spelt(NASA_DAILY, CAPITALS).replace(",2.0,10.0,", ",-99,10.0,"))
    with pytest.raises(WeatherError, match="solar_mj_m2 absent in 1 of 2 days: 2023-01-02"):
        read(path, end=date(2023, 1, 2))


def test_nasa_power_without_elevation_takes_the_sites(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY.replace("= 250.5 meters", "= na meters"))
    assert read(path, LYON).site.elevation_m == 200.0
    with pytest.raises(WeatherError, match="no elevation in the file; a site is needed"):
        read(path)


def test_nasa_power_saved_by_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY)
    now = read(path)
    head, rows = NASA_DAILY.split("-END HEADER-\n")
    padded = "".join(f"{line},,,,,,,,\n" for line in f"{head}-END HEADER-".splitlines())
    for text in (padded + rows, padded.replace(",,", ";;") + rows.replace(",", ";")):
        path.write_text(text.replace("\n", "\r\n"))
        then = read(path)
        np.testing.assert_array_equal(then.days.solar_mj_m2, now.days.solar_mj_m2)
        np.testing.assert_array_equal(then.days.rain_mm, now.days.rain_mm)


@pytest.mark.parametrize(
    ("unit", "value", "mj"),
    [
        # by hand: 1 kWh is 3.6 MJ, a day has 86 400 s
        ("kW-hr/m^2/day", 5.0, 18.0),
        ("kWh/m2/day", 5.0, 18.0),
        ("MJ/m^2/day", 18.0, 18.0),
        ("Wh/m^2", 5000.0, 18.0),
        ("MJ/m^2", 18.0, 18.0),
        ("W/m^2", 208.3333, 18.0),
        ("MJ/hr", 0.75, 18.0),
    ],
)
def test_nasa_power_radiation_of_a_day_in_every_unit(
    tmp_path: Path, unit: str, value: float, mj: float
) -> None:
    path = tmp_path / "power.csv"
    text = NASA_DAILY.replace("kW-hr/m^2/day", unit).replace(",1,1.5,", f",1,{value},")
    path.write_text(text.replace(",2,2.0,", f",2,{value},"))
    assert read(path).days.solar_mj_m2[0] == pytest.approx(mj, rel=1e-5)


@pytest.mark.parametrize(
    ("unit", "value", "mm"), [("mm/day", 1.25, 1.25), ("mm/hour", 0.5, 12.0), ("mm", 1.25, 1.25)]
)
def test_nasa_power_rain_of_a_day_in_every_unit(
    tmp_path: Path, unit: str, value: float, mm: float
) -> None:
    path = tmp_path / "power.csv"
    text = NASA_DAILY.replace("Corrected (mm/day)", f"Corrected ({unit})")
    path.write_text(text.replace(",5.0,1.25", f",5.0,{value}"))
    assert read(path).days.rain_mm[0] == pytest.approx(mm)


def nasa_hours(tmp_path: Path, rain: str, solar: str = "Wh/m^2", utc: bool = False) -> Path:
    head = NASA_DAILY.split("ALLSKY")[0]
    head = head.replace("in LST", "in UTC") if utc else head
    head += (
        f"ALLSKY_SFC_SW_DWN  CERES Irradiance ({solar})\nT2M  MERRA-2 Temperature (C)\n"
        "RH2M  MERRA-2 Relative Humidity (%)\nWS2M  MERRA-2 Wind Speed (m/s)\n"
        f"PRECTOTCORR  MERRA-2 Precipitation ({rain})\n-END HEADER-\n"
        "YEAR,MO,DY,HR,ALLSKY_SFC_SW_DWN,T2M,RH2M,WS2M,PRECTOTCORR\n"
    )
    rows = [f"2023,1,{1 + h // 24},{h % 24},100,{h / 4},70,2.0,24.0" for h in range(48)]
    path = tmp_path / "hourly.csv"
    path.write_text(head + "\n".join(rows) + "\n")
    return path


def test_a_rate_of_rain_is_held_against_the_step(tmp_path: Path) -> None:
    # 24 mm a day is 1 mm an hour; 24 mm an hour is 24 mm in each
    weather = read(nasa_hours(tmp_path, "mm/day"))
    assert weather.days.rain_mm[0] == pytest.approx(24.0)
    assert "NASA POWER: PRECTOTCORR in mm/day: a rate, 1/24 of it in each hour" in weather.notes
    assert read(nasa_hours(tmp_path, "mm/hour")).days.rain_mm[0] == pytest.approx(576.0)
    # 100 MJ m-2 a day is 1157.4 W m-2, 4.1667 MJ in an hour
    rate = read(nasa_hours(tmp_path, "mm/day", "MJ/m^2/day"))
    assert rate.solar_mj_m2[12] == pytest.approx(4.16667, rel=1e-5)
    assert read(nasa_hours(tmp_path, "mm/day")).solar_mj_m2[12] == pytest.approx(0.36)


@pytest.mark.parametrize("offset_h", [5.5, 5.75, 3.5, 4.5, -3.5, 9.5])
def test_hours_of_utc_are_not_cut_in_two(tmp_path: Path, offset_h: float) -> None:
    path = nasa_hours(tmp_path, "mm/hour", utc=True)
    site = LYON.but(utc_offset_h=offset_h)
    with pytest.raises(WeatherError, match=rf"hours of UTC, and a site at UTC\{offset_h:+g}; who"):
        read(path, site)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("YEAR,MO,DY,", "PARAMETER,YEAR,JAN,", "no row for each day or hour"),
        ("YEAR,MO,DY,ALLSKY", "YEAR,MO,LAT,ALLSKY", "2 values of LAT; one place"),
        ("Corrected (mm/day)", "Corrected (in/day)", "PRECTOTCORR in `in/day`; known units are"),
        ("2023,1,2,2.0,", "2023,1,2,1_000,", "`1_000` in column `ALLSKY_SFC_SW_DWN`"),
    ],
)
def test_nasa_power_of_other_kinds_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY.replace(old, new))
    with pytest.raises(WeatherError, match=message):
        read(path)


# Forms of Open-Meteo


def test_open_meteo_with_its_older_names_and_mangled_units(tmp_path: Path) -> None:
    path = open_meteo(tmp_path)
    now = read(path, LYON)
    old = path.read_text("utf-8").replace("relative_humidity_2m", "relativehumidity_2m")
    old = old.replace("wind_speed_10m", "windspeed_10m")
    for text in (old.encode(), old.encode("latin-1"), old.replace("°", "Â°").encode()):
        path.write_bytes(text)
        then = read(path, LYON)
        for name in ("temp_c", "ea_kpa", "wind_m_s", "solar_mj_m2", "rain_mm"):
            np.testing.assert_array_equal(getattr(then, name), getattr(now, name))


@pytest.mark.parametrize(
    ("unit", "value"),
    [("km/h", 36.0), ("m/s", 10.0), ("mp/h", 22.3694), ("mph", 22.3694), ("kn", 19.4384)],
)
def test_open_meteo_wind_in_every_unit(tmp_path: Path, unit: str, value: float) -> None:
    path = open_meteo(tmp_path)
    text = path.read_text("utf-8").replace("(km/h)", f"({unit})").replace(",18.0,", f",{value},")
    path.write_text(text, encoding="utf-8")
    assert read(path, LYON).wind_m_s[0] == pytest.approx(10.0 * TO_2M, rel=1e-5)


def test_open_meteo_in_seconds_since_1970(tmp_path: Path) -> None:
    path = open_meteo(tmp_path)
    now = read(path, LYON)
    lines = path.read_text("utf-8").splitlines()
    # the instants are UTC, the offset of the file is an hour
    begin = round(datetime(2023, 6, 1, tzinfo=UTC).timestamp()) - 3600
    rows = [f"{begin + 3600 * h},{row.split(',', 1)[1]}" for h, row in enumerate(lines[4:])]
    path.write_text("\n".join([*lines[:4], *rows]) + "\n", encoding="utf-8")
    then = read(path, LYON)
    np.testing.assert_array_equal(then.time_ms, now.time_ms)
    np.testing.assert_array_equal(then.temp_c, now.temp_c)


@pytest.mark.parametrize("since_s", [864_000, 946_684_800])
def test_open_meteo_seconds_of_any_length(tmp_path: Path, since_s: int) -> None:
    """Of 6 digits, as of 11 January 1970, and of 9."""
    path = open_meteo(tmp_path)
    lines = path.read_text("utf-8").splitlines()
    begin = since_s - since_s % 86_400 - 3600
    rows = [f"{begin + 3600 * h},{row.split(',', 1)[1]}" for h, row in enumerate(lines[4:])]
    path.write_text("\n".join([*lines[:4], *rows]) + "\n", encoding="utf-8")
    assert read_open_meteo(path, LYON)[0].time_ms[0] == (begin + 3600) * 1000


def test_open_meteo_in_milliseconds_is_refused(tmp_path: Path) -> None:
    path = open_meteo(tmp_path)
    text = path.read_text("utf-8").replace("2023-06-01T00:00", "1685577600000")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WeatherError, match="time `1685577600000`; ISO 8601 or seconds"):
        read(path, LYON)


def test_open_meteo_of_several_places_takes_the_nearest(tmp_path: Path) -> None:
    path = open_meteo(tmp_path)
    alone = read(path, LYON)
    lines = path.read_text("utf-8").splitlines()
    text = [
        f"location_id,{lines[0]}",
        "0,60.0,10.0,5.0,3600,Europe/Oslo,CET",
        f"1,{lines[1]}",
        "",
        "location_id,current_weather_time,temperature (°C)",
        "0,2022-07-13T16:00,23.0",
        "",
        f"location_id,{lines[3]}",
        *(f"0,{row.replace(',55,', ',99,')}" for row in lines[4:]),
        *(f"1,{row}" for row in lines[4:]),
    ]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    weather = read(path, LYON)
    np.testing.assert_array_equal(weather.ea_kpa, alone.ea_kpa)
    assert "Open-Meteo: location_id 1 of 2, nearest to the site" in weather.notes
    with pytest.raises(WeatherError, match="2 places in one file; a site is needed"):
        read(path)


def test_open_meteo_hours_that_do_not_fit_and_days_of_another_zone(tmp_path: Path) -> None:
    with pytest.raises(
        WeatherError, match=r"hours of UTC\+5.5, and a site at UTC\+1; whole hours apart"
    ):
        read(open_meteo(tmp_path, offset_s=19800), LYON)
    path = tmp_path / "days.csv"
    text = OPEN_METEO_DAILY.replace(",3600,", ",0,").replace(",,", ",0.00,")
    path.write_text(text, encoding="utf-8")
    assert "Open-Meteo: days of UTC+0 taken as days of UTC+1" in read(path, LYON).notes


# What a site and a file say of each other


def test_a_place_across_the_date_line_is_near(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY.replace("longitude 4.9", "longitude -179.9"))
    site = Site(latitude_deg=45.7, longitude_deg=179.9, elevation_m=0.0, utc_offset_h=12.0)
    assert read(path, site).start == date(2023, 1, 1)


@pytest.mark.parametrize("kind", ["epw", "power", "meteo"])
def test_a_time_zone_beside_a_file_that_knows_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "power.csv"
    path.write_text(NASA_DAILY)
    files = {"epw": epw(tmp_path), "power": path, "meteo": open_meteo(tmp_path)}
    with pytest.raises(WeatherError, match=r"time_zone = Europe/Paris for an? .*; only an hourly"):
        read(files[kind], LYON, time_zone="Europe/Paris")


@pytest.mark.parametrize(
    "line",
    [
        "elevation" * 30_000,
        "value for missing:" * 20_000,
        "latitude" + " " * 200_000,
        "-" * 200_000,
    ],
    ids=["elevation", "missing", "latitude", "dashes"],
)
def test_a_header_of_any_length_is_refused_at_once(tmp_path: Path, line: str) -> None:
    """Expressions that backtrack would take the square of its length."""
    path = tmp_path / "power.csv"
    path.write_text(f"{line}\n-END HEADER-\nYEAR,MO,DY,T2M\n2023,1,1,3.0\n")
    with pytest.raises(WeatherError):
        read_nasa_power(path)
