"""Files written here after the published descriptions of the formats; see sim.weather."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sim.weather import Site, WeatherError, read
from sim.weather.epw import read_epw

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
    path = Path(__file__).parents[2] / "scenarios" / "weather" / "greeley_co_2023_daily.csv"
    site = Site(latitude_deg=40.4, longitude_deg=-104.6, elevation_m=1427.0, utc_offset_h=-7.0)
    assert read(path, site, end=date(2023, 1, 3)).end == date(2023, 1, 3)
    with pytest.raises(WeatherError, match="a file that names no place; a site is needed"):
        read(path)
