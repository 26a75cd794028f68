"""Radiation, humidity, wind and ET0 that nobody measured, beside the examples of FAO-56."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from levada.sim.crop import et0
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.sim.weather import Site, WeatherError, read
from levada.sim.weather.estimates import (
    Climate,
    day_length_h,
    et0_hargreaves,
    solar_from_sunshine,
    solar_from_temperature_range,
)

ROOT = Path(__file__).resolve().parents[2]
LYON = Site(latitude_deg=45 + 43 / 60, longitude_deg=4.85, elevation_m=200.0, utc_offset_h=1.0)
# Ten days around 15 July like that of FAO-56 examples 15 and 20, when dry.
DAYS = range(10, 20)


def lyon(tmp_path: Path, header: str, cells: str) -> Path:
    path = tmp_path / "lyon.csv"
    rows = [f"2023-07-{day},{cells}" for day in DAYS]
    path.write_text("\n".join([f"date,{header}", *rows]) + "\n")
    return path


def test_examples_9_and_10_rio_de_janeiro_in_may() -> None:
    # FAO-56: N 10.9 h, and with 220 hours of sunshine in the month Rs 14.5 MJ m-2 d-1
    assert day_length_h(135, -22.9) == pytest.approx(10.9, abs=0.05)
    assert solar_from_sunshine(220.0 / 31.0, 135, -22.9) == pytest.approx(14.45, abs=0.05)


def test_example_15_lyon_in_july() -> None:
    # FAO-56: 0.16 sqrt(26.6 - 14.8) 40.6 = 22.3 MJ m-2 d-1
    solar = solar_from_temperature_range(26.6, 14.8, 196, LYON.latitude_deg, k_rs=0.16)
    assert solar == pytest.approx(22.3, abs=0.05)


def test_radiation_is_at_most_that_of_a_clear_sky() -> None:
    # FAO-56 Eq. 37 with the example's Ra of 40.6: (0.75 + 2e-5 x 200) 40.6 = 30.6
    solar = solar_from_temperature_range(
        40.0, 10.0, 196, LYON.latitude_deg, k_rs=0.19, elevation_m=200.0
    )
    assert solar == pytest.approx(30.6, abs=0.05)


def test_hargreaves_by_hand() -> None:
    # With Ra 40.6 MJ m-2 d-1 = 16.56 mm/d of example 15: 0.0023 (20.7 + 17.8) sqrt(11.8) 16.56
    assert et0_hargreaves(26.6, 14.8, 196, LYON.latitude_deg) == pytest.approx(5.04, abs=0.01)
    assert et0_hargreaves(-20, -30, 10, 60.0) == 0.0


def test_no_sun_in_the_polar_night() -> None:
    assert day_length_h(355, 80.0) == 0.0
    assert solar_from_sunshine(0.0, 355, 80.0) == pytest.approx(0.025)


def test_sunshine_is_taken_where_there_is_no_pyranometer(tmp_path: Path) -> None:
    # FAO-56 example 18, Uccle on 6 July: n 9.25 h gives Rs 22.07 and ET0 3.88
    uccle = Site(
        latitude_deg=50.8, longitude_deg=4.35, elevation_m=100.0, utc_offset_h=1.0, wind_height_m=10
    )
    path = tmp_path / "uccle.csv"
    path.write_text(
        "date,sunshine_h,tmax_c,tmin_c,rhmax_pct,rhmin_pct,wind_m_s,rain_mm\n"
        "2023-07-06,9.25,21.5,12.3,84,63,2.778,0\n"
    )
    weather = read(path, uccle)
    assert weather.days.solar_mj_m2 == pytest.approx([22.07], abs=0.02)
    assert et0.of_weather(weather).sum() == pytest.approx(3.88, abs=0.01)
    assert weather.notes == (
        "no radiation: by sunshine_h (Angstrom, FAO-56 Eq. 35, a_s 0.25, b_s 0.50)",
    )


def test_sunshine_helps_out_where_radiation_is_absent(tmp_path: Path) -> None:
    path = lyon(tmp_path, "solar_mj_m2,sunshine_h,tmax_c,tmin_c,tdew_c,wind_m_s", "20,,26,14,12,2")
    text = path.read_text().replace("2023-07-12,20,,", "2023-07-12,,8.0,")
    path.write_text(text)
    weather = read(path, LYON)
    assert weather.days.solar_mj_m2[1] == 20.0
    by_sun = solar_from_sunshine(8.0, 193, LYON.latitude_deg)
    assert weather.days.solar_mj_m2[2] == pytest.approx(float(by_sun))
    assert "solar_mj_m2 absent in 1 of 10 rows: by sunshine_h (Angstrom" in weather.notes[0]
    path.write_text(text.replace("2023-07-13,20,", "2023-07-13,,"))  # and neither there
    with pytest.raises(
        WeatherError, match=r"csv:5: solar_mj_m2 absent in 1 of 10 days: 2023-07-13"
    ):
        read(path, LYON)
    filled = read(path, LYON, fill="previous-day")
    assert filled.days.solar_mj_m2[3] == filled.days.solar_mj_m2[2]


@pytest.mark.parametrize(("climate", "k_rs"), [("interior", 0.16), ("coast", 0.19)])
def test_temperature_alone_gives_hargreaves(tmp_path: Path, climate: Climate, k_rs: float) -> None:
    weather = read(
        lyon(tmp_path, "tmax_c,tmin_c,rain_mm", "26.6,14.8,0"), LYON, from_temperature=climate
    )
    expected = et0_hargreaves(26.6, 14.8, weather.days.day_of_year, LYON.latitude_deg)
    by_day = et0.of_weather(weather).reshape(-1, 24).sum(axis=1)
    np.testing.assert_allclose(by_day, expected)
    assert by_day[5] == pytest.approx(5.03, abs=0.02)
    solar = solar_from_temperature_range(26.6, 14.8, 196, LYON.latitude_deg, k_rs=k_rs)
    assert weather.days.solar_mj_m2[5] == pytest.approx(float(solar))
    assert weather.days.wind_m_s == pytest.approx(np.full(10, 2.0))
    assert weather.days.ea_kpa[0] == pytest.approx(1.683, abs=0.001)  # FAO-56 example 20: 1.68
    assert weather.notes == (
        f"no radiation: by the range of temperature (FAO-56 Eq. 50, k_Rs {k_rs}, {climate})",
        "no humidity: dew point taken as tmin_c (FAO-56 Eq. 48)",
        "no wind: 2 m/s at 2 m on every day (FAO-56 p. 63)",
        "temperature only: ET0 of grass by Hargreaves and Samani (1985, FAO-56 Eq. 52) on 10 of "
        "10 days",
    )


def test_with_one_more_instrument_it_is_penman_monteith(tmp_path: Path) -> None:
    # FAO-56 example 20: 4.56 mm/d on 15 July with wind 2 m/s.
    path = lyon(tmp_path, "tmax_c,tmin_c,wind_m_s,rain_mm", "26.6,14.8,2,0")
    weather = read(path, LYON, from_temperature="interior")
    assert et0.of_weather(weather).reshape(-1, 24).sum(axis=1)[5] == pytest.approx(4.56, abs=0.005)
    assert not any("Hargreaves and Samani" in note for note in weather.notes)


def test_wind_that_nobody_measured_is_2_m_s_at_2_m_whatever_the_height(tmp_path: Path) -> None:
    path = lyon(tmp_path, "tmax_c,tmin_c,rain_mm", "26.6,14.8,0")
    weather = read(path, LYON.but(wind_height_m=10.0), from_temperature="interior")
    assert weather.days.wind_m_s == pytest.approx(np.full(10, 2.0))


def test_a_day_without_temperature_is_a_hole(tmp_path: Path) -> None:
    path = lyon(tmp_path, "tmax_c,tmin_c,rain_mm", "26.6,14.8,0")
    path.write_text(path.read_text().replace("2023-07-13,26.6", "2023-07-13,"))
    with pytest.raises(WeatherError, match=r"solar_mj_m2, tmax_c absent in 1 of 10 days"):
        read(path, LYON, from_temperature="interior")
    weather = read(path, LYON, from_temperature="interior", fill="previous-day")
    assert "on 10 of 10 days" in weather.notes[-1]


def test_estimates_of_a_year_beside_what_was_measured() -> None:
    # Greeley 2023, of which docs/models/et0.md has the figures.
    site = Site(latitude_deg=40.4487, longitude_deg=-104.638, elevation_m=1427.4, utc_offset_h=-7.0)
    days = read(ROOT / "levada/scenarios/weather/greeley_co_2023_daily.csv", site).days
    place, when = site.latitude_deg, days.day_of_year
    solar = solar_from_temperature_range(
        days.tmax_c, days.tmin_c, when, place, elevation_m=site.elevation_m
    )
    assert np.sqrt(np.mean((solar - days.solar_mj_m2) ** 2)) == pytest.approx(3.17, abs=0.01)
    measured = et0.daily(
        tmax_c=days.tmax_c,
        tmin_c=days.tmin_c,
        ea_kpa=days.ea_kpa,
        solar_mj_m2=days.solar_mj_m2,
        wind_m_s=days.wind_m_s,
        day_of_year=when,
        site=site,
    )
    by_temperature = et0_hargreaves(days.tmax_c, days.tmin_c, when, place)
    assert by_temperature.sum() == pytest.approx(1.018 * measured.sum(), rel=0.001)
    assert np.sqrt(np.mean((by_temperature - measured) ** 2)) == pytest.approx(0.67, abs=0.01)


def test_a_run_and_its_report_say_what_was_estimated(tmp_path: Path) -> None:
    path = lyon(tmp_path, "tmax_c,tmin_c,rain_mm", "26.6,14.8,0")
    text = (
        'version = 1\nname = "lyon"\n[site]\nlatitude_deg = 45\nlongitude_deg = 5\n'
        "elevation_m = 200\nutc_offset_h = 1\n[period]\nstart = 2023-07-10\nend = 2023-07-12\n"
        f'[weather]\nfile = "{path.name}"\nfrom_temperature = "coast"\n[[zone]]\nname = "a"\n'
        'soil.texture = "loam"\ncrop.name = "maize"\ncrop.planting = 2023-05-02\n'
    )
    (tmp_path / "s.toml").write_text(text)
    scenario = scenarios.load(tmp_path / "s.toml")
    run_scenario(scenario, tmp_path / "run")
    notes = RunDir(tmp_path / "run").summary["weather"]["notes"]
    assert [note.split(":")[0] for note in notes] == [
        "no radiation",
        "no humidity",
        "no wind",
        "temperature only",
    ]
    report = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Hargreaves and Samani (1985, FAO-56 Eq. 52) on 3 of 3 days" in report


def test_nothing_absent_nothing_estimated(tmp_path: Path) -> None:
    path = lyon(tmp_path, "solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_m_s,rain_mm", "20,26,14,12,2,0")
    weather = read(path, LYON, from_temperature="coast")
    plain = read(path, LYON)
    np.testing.assert_array_equal(et0.of_weather(weather), et0.of_weather(plain))
    assert weather.notes == ("from_temperature = coast: nothing was absent, nothing estimated",)


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        (
            "tmax_c,tmin_c,tdew_c,wind_m_s",
            "26,14,12,2",
            r"no column `solar_mj_m2`; solar radiation \[MJ m-2 d-1\] is needed, or `sunshine_h`, "
            r"or an estimate: from_temperature = interior or coast",
        ),
        ("sunshine_h,tmax_c,tmin_c,tdew_c", "8,26,14,12", "no column `wind_m_s`; .* an estimate"),
        ("sunshine_h,tmax_c,tmin_c,wind_m_s", "8,26,14,2", "no humidity; .* an estimate: from"),
        ("sunshine_h,tmax_c,tdew_c,wind_m_s", "8,26,12,2", r"`tmin_c`; .* \[degC\] is needed$"),
        (
            "sunshine_h,tmax_c,tmin_c,tdew_c,wind_m_s",
            "17.5,26,14,12,2",
            r"csv:2: sunshine_h = 17.5; the day of 2023-07-10 lasts 15\.\d h at the site's",
        ),
        (
            "sunshine_h,tmax_c,tmin_c,tdew_c,wind_m_s",
            "480,26,14,12,2",
            "sunshine_h = 480; allowed for hours of bright sunshine is 0 to 24 h",
        ),
        (
            "sunshine_min,tmax_c,tmin_c,tdew_c,wind_m_s",
            "480,26,14,12,2",
            r"unknown column `sunshine_min`; did you mean `sunshine_h` \[h\]",
        ),
    ],
)
def test_what_is_lacking_or_wrong_is_named(
    tmp_path: Path, header: str, cells: str, message: str
) -> None:
    with pytest.raises(WeatherError, match=message):
        read(lyon(tmp_path, header, cells), LYON)


def test_a_month_of_fractions_is_no_sunshine(tmp_path: Path) -> None:
    path = tmp_path / "june.csv"
    rows = [f"2023-06-{day:02d},0.{day % 9},26,14,12,2" for day in range(1, 31)]
    path.write_text("\n".join(["date,sunshine_h,tmax_c,tmin_c,tdew_c,wind_m_s", *rows]) + "\n")
    with pytest.raises(WeatherError, match=r"is 0.8 at most in 30 days; a fraction of the day\?"):
        read(path, LYON)


def test_hours_are_not_estimated(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    rows = [f"2023-07-15T{h:02d}:00,100,20,12,2,0" for h in range(24)]
    path.write_text("\n".join(["time,solar_w_m2,temp_c,dewpoint_c,wind_m_s,rain_mm", *rows]) + "\n")
    with pytest.raises(WeatherError, match=r"csv:1: from_temperature for an hourly file; .* a da"):
        read(path, LYON, from_temperature="coast")
    path.write_text(path.read_text().replace("solar_w_m2", "ea_kpa").replace(",100,", ",1,"))
    with pytest.raises(WeatherError, match="from_temperature for an hourly file"):
        read(path, LYON, from_temperature="coast")


def test_an_unknown_climate_is_refused(tmp_path: Path) -> None:
    path = lyon(tmp_path, "tmax_c,tmin_c,rain_mm", "26.6,14.8,0")
    with pytest.raises(ValueError, match=r"from_temperature.*island.*none, interior, coast"):
        read(path, LYON, from_temperature="island")  # type: ignore[arg-type]
