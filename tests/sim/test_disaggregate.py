from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from levada.sim.weather import Site, read
from levada.sim.weather.disaggregate import Hours, hours, saturation_kpa
from validation.disaggregation_error import disaggregation_error

FILES = Path(__file__).parents[2] / "levada/scenarios" / "weather"


def made(
    *,
    rain_mm: float = 0.0,
    latitude_deg: float = 40.0,
    first_day: int = 100,
    seed: int = 0,
    days: int = 3,
    tmax_c: float = 28.0,
    tmin_c: float = 12.0,
) -> Hours:
    day = np.arange(first_day, first_day + days)
    return hours(
        day_ms=day * 86_400_000,
        day_of_year=day % 365 + 1,
        tmax_c=np.full(days, tmax_c),
        tmin_c=np.full(days, tmin_c),
        ea_kpa=np.full(days, 1.2),
        wind_m_s=np.full(days, 2.5),
        solar_mj_m2=np.full(days, 22.0),
        rain_mm=np.full(days, rain_mm),
        latitude_deg=latitude_deg,
        longitude_deg=-105.0,
        utc_offset_h=-7.0,
        seed=seed,
    )


@example(rain_mm=5e-324, latitude_deg=0.0, first_day=0, seed=0, tmax_c=10.0, tmin_c=0.0)
@given(
    rain_mm=st.floats(0.0, 300.0),
    latitude_deg=st.floats(-90.0, 90.0),
    first_day=st.integers(0, 20_000),
    seed=st.integers(0, 2**32),
    tmax_c=st.floats(10.0, 45.0),
    tmin_c=st.floats(-20.0, 10.0),
)
def test_sums_and_means_of_the_day_are_kept(
    rain_mm: float, latitude_deg: float, first_day: int, seed: int, tmax_c: float, tmin_c: float
) -> None:
    result = made(
        rain_mm=rain_mm,
        latitude_deg=latitude_deg,
        first_day=first_day,
        seed=seed,
        tmax_c=tmax_c,
        tmin_c=tmin_c,
    )
    np.testing.assert_allclose(result.solar_mj_m2.sum(axis=1), 22.0, rtol=1e-12)
    np.testing.assert_allclose(result.rain_mm.sum(axis=1), rain_mm, rtol=1e-12)
    np.testing.assert_allclose(result.wind_m_s.mean(axis=1), 2.5, rtol=1e-12)
    assert result.temp_c.max() <= tmax_c + 1e-9
    assert result.temp_c.min() >= tmin_c - 1e-9
    assert np.all(result.ea_kpa <= saturation_kpa(result.temp_c) + 1e-12)
    for values in result:
        assert np.isfinite(values).all()


def test_it_is_warmest_after_noon_and_coldest_at_sunrise() -> None:
    # Day 101 at 40 N: sunrise 5:28, noon 12:01 of local standard time; Parton and Logan's maximum
    # comes 1.86 h after noon.
    day = made().temp_c[1]
    assert int(day.argmax()) == 13
    assert int(day.argmin()) in (4, 5)
    assert day.max() == pytest.approx(28.0, abs=0.1)
    assert np.all(np.diff(day[14:]) < 0.0)


def test_the_sun_shines_by_its_height_and_not_at_night() -> None:
    # On the equator radiation of an hour is the integral of the cosine of the sun's hour angle; in
    # mid April solar time is clock time: (sin 60 - sin 45) / (sin 15 - sin 0) deg = 0.6141.
    sun = made(latitude_deg=0.0, first_day=105).solar_mj_m2[0]
    assert sun[8] / sun[11] == pytest.approx(0.6141, abs=0.002)
    assert not sun[:5].any()
    assert not sun[19:].any()


def test_rain_is_one_event_whose_length_follows_its_depth() -> None:
    for depth, lasts in ((0.5, 1), (12.0, 3), (200.0, 24)):
        rain = made(rain_mm=depth).rain_mm[1]
        wet = np.flatnonzero(rain)
        assert wet.size == lasts
        assert wet[-1] - wet[0] == lasts - 1
        assert np.ptp(rain[wet]) == 0.0


def test_the_hours_of_rain_depend_on_seed_and_day_but_not_on_the_period() -> None:
    whole = made(rain_mm=6.0, days=30).rain_mm
    later = made(rain_mm=6.0, days=10, first_day=110).rain_mm
    np.testing.assert_array_equal(whole[10:20], later)
    starts = whole.argmax(axis=1)
    assert len(set(starts.tolist())) > 8
    assert np.any(starts != made(rain_mm=6.0, days=30, seed=1).rain_mm.argmax(axis=1))


def test_a_rain_without_intensity_is_refused() -> None:
    with pytest.raises(ValueError, match="`rain_intensity_mm_h` = 0 mm/h: permitted above 0 mm/h"):
        hours(
            **dict.fromkeys(("tmax_c", "tmin_c", "ea_kpa", "wind_m_s"), np.ones(1)),
            day_ms=np.zeros(1, np.int64),
            day_of_year=np.ones(1, np.int64),
            solar_mj_m2=np.ones(1),
            rain_mm=np.ones(1),
            latitude_deg=0.0,
            longitude_deg=0.0,
            utc_offset_h=0.0,
            rain_intensity_mm_h=0.0,
        )


def test_its_error_on_a_year_of_fallon_is_what_the_documentation_says() -> None:
    site = Site(
        latitude_deg=39.4575,
        longitude_deg=-118.7739,
        elevation_m=1208.5,
        utc_offset_h=-8.0,
        wind_height_m=3.0,
    )
    weather = read(
        FILES / "fallon_nv_2015_hourly.csv",
        site,
        fill="linear",
        time_zone="America/Los_Angeles",
    )
    error = disaggregation_error(weather)
    # docs/models/weather.md; a worse or better method changes these numbers and that table
    assert error["temp_c"].rmse == pytest.approx(2.53, abs=0.01)
    assert error["solar_w_m2"].rmse == pytest.approx(84.2, abs=0.1)
    assert error["wind_m_s"].rmse == pytest.approx(0.955, abs=0.001)
    assert error["ea_kpa"].rmse == pytest.approx(0.113, abs=0.001)
    assert error["et0_mm_h"].rmse == pytest.approx(0.063, abs=0.001)
    assert error["solar_w_m2"].bias == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="the weather is daily"):
        disaggregation_error(read(FILES / "greeley_co_2023_daily.csv", site, end=date(2023, 1, 5)))
