"""A hundred generated years beside the measured one that they were fitted to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from levada.sim.crop import et0
from levada.sim.weather import Days, Site, Weather, from_days, read
from levada.sim.weather.generator import Climate, fit, generate
from levada.testing import small_field
from levada.twin.cli.main import app

FILE = Path(__file__).parents[2] / "levada/scenarios" / "weather" / "greeley_co_2023_daily.csv"
SITE = Site(latitude_deg=40.4487, longitude_deg=-104.638, elevation_m=1427.4, utc_offset_h=-7.0)
START, END = date(2023, 1, 1), date(2023, 10, 31)
YEARS = 100

FloatArray = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def measured() -> Weather:
    return read(FILE, SITE)


@pytest.fixture(scope="module")
def climate(measured: Weather) -> Climate:
    return fit(measured)


@pytest.fixture(scope="module")
def years(climate: Climate) -> list[Days]:
    return [generate(climate, START, END, seed=seed).days for seed in range(YEARS)]


def month_of(days: Days) -> FloatArray:
    return days.time_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(int) % 12


def monthly(days: Days, name: str) -> FloatArray:
    month = month_of(days)
    return np.array([getattr(days, name)[month == m].mean() for m in range(10)])


# One year is a sample of a climate: a month of it differs from the smooth yearly course, by design.
@pytest.mark.parametrize(
    ("name", "of_month", "of_all"),
    [
        ("tmax_c", 2.0, 0.3),
        ("tmin_c", 2.0, 0.3),
        ("ea_kpa", 0.15, 0.03),
        ("wind_m_s", 0.35, 0.1),
        ("solar_mj_m2", 1.0, 0.3),
        ("rain_mm", 0.4, 0.2),
    ],
)
def test_monthly_means_of_generated_years_are_those_of_the_measured_one(
    measured: Weather, years: list[Days], name: str, of_month: float, of_all: float
) -> None:
    mean = np.mean([monthly(days, name) for days in years], axis=0)
    np.testing.assert_allclose(mean, monthly(measured.days, name), rtol=0.0, atol=of_month)
    everything = np.mean([getattr(days, name).mean() for days in years])
    assert everything == pytest.approx(getattr(measured.days, name).mean(), abs=of_all)


def test_wet_days_and_amounts_follow_the_fitted_chain_and_distribution(
    climate: Climate, years: list[Days]
) -> None:
    month = month_of(years[0])
    for m in range(10):
        rain = np.concatenate([days.rain_mm[month == m] for days in years])
        wet = rain > 0.0
        # the mean of a Markov chain over 3000 days, spread by its memory
        assert wet.mean() == pytest.approx(climate.wet_share()[m], abs=0.05)
        expected = climate.wet_day_mm[m]
        error = expected / np.sqrt(climate.shape * wet.sum())
        assert rain[wet].mean() == pytest.approx(expected, abs=4.0 * error + 0.03)
    together = np.array([days.rain_mm > 0.0 for days in years])
    may = (month[1:] == 4) & (month[:-1] == 4)
    after_wet = together[:, 1:][:, may][together[:, :-1][:, may]]
    after_dry = together[:, 1:][:, may][~together[:, :-1][:, may]]
    assert after_wet.mean() == pytest.approx(climate.wet_after_wet[4], abs=0.05)
    assert after_dry.mean() == pytest.approx(climate.wet_after_dry[4], abs=0.05)


def test_probabilities_are_counted_as_by_hand() -> None:
    # Sixty days of wet, wet, dry: of 20 wet-wet pairs and 20 wet-dry pairs half stay wet; every dry
    # day is followed by a wet one.  The prior of one day of the file's own mean changes nothing.
    rain = np.tile([4.0, 4.0, 0.0], 21)
    climate = fit(steady(rain))
    january = 0
    assert climate.wet_after_wet[january] == pytest.approx(0.5, abs=0.03)
    assert climate.wet_after_dry[january] == pytest.approx(1.0)
    assert climate.wet_day_mm[january] == pytest.approx(4.0)
    assert climate.wet_share()[january] == pytest.approx(2.0 / 3.0, abs=0.03)


def steady(rain_mm: FloatArray) -> Weather:
    """Weather of February-like days with noise, from 1 January 2023."""
    count, noise = rain_mm.size, np.random.default_rng(5)
    first = np.datetime64("2023-01-01", "ms").astype(np.int64)
    tmin = 5.0 + noise.normal(size=count)
    days = Days(
        time_ms=first + np.arange(count) * 86_400_000,
        tmax_c=tmin + 8.0 + noise.uniform(size=count),
        tmin_c=tmin,
        ea_kpa=0.7 + 0.1 * noise.uniform(size=count),
        rhmin_pct=np.full(count, 40.0),
        wind_m_s=2.0 + noise.uniform(size=count),
        solar_mj_m2=8.0 + 3.0 * noise.uniform(size=count),
        rain_mm=rain_mm,
    )
    return from_days(days, SITE)


def test_days_are_spread_and_remembered_as_measured(measured: Weather, years: list[Days]) -> None:
    for name in ("tmax_c", "tmin_c", "solar_mj_m2", "wind_m_s"):
        spread = np.mean([getattr(days, name).std() for days in years])
        assert spread == pytest.approx(getattr(measured.days, name).std(), rel=0.1), name

    def memory(values: FloatArray) -> float:
        return float(np.corrcoef(values[1:], values[:-1])[0, 1])

    made = np.mean([memory(days.tmax_c) for days in years])
    assert made == pytest.approx(memory(measured.days.tmax_c), abs=0.05)


def test_wet_days_are_dull_and_dry_days_bright(measured: Weather, years: list[Days]) -> None:
    summer = slice(120, 240)

    def difference(days: Days) -> float:
        wet = days.rain_mm[summer] > 0.1
        return float(days.solar_mj_m2[summer][~wet].mean() - days.solar_mj_m2[summer][wet].mean())

    made = np.mean([difference(days) for days in years])
    assert made == pytest.approx(difference(measured.days), abs=2.0)
    assert made > 2.0


def test_every_generated_day_is_possible(years: list[Days]) -> None:
    for days in years:
        assert np.all(days.tmin_c < days.tmax_c)
        assert np.all((days.rhmin_pct > 0.0) & (days.rhmin_pct <= 100.0))
        assert np.all((days.solar_mj_m2 > 0.0) & (days.solar_mj_m2 < 42.0))
        assert np.all((days.wind_m_s > 0.0) & (days.wind_m_s < 20.0))
        assert np.all(days.rain_mm >= 0.0)


def test_equal_seeds_give_equal_weather_and_others_another(climate: Climate) -> None:
    one = generate(climate, date(2030, 4, 1), date(2030, 9, 30), seed=7)
    again = generate(climate, date(2030, 4, 1), date(2030, 9, 30), seed=7)
    other = generate(climate, date(2030, 4, 1), date(2030, 9, 30), seed=8)
    for name in ("temp_c", "ea_kpa", "wind_m_s", "solar_mj_m2", "rain_mm"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
        assert np.any(getattr(one, name) != getattr(other, name))
    assert one.source == f"generated after {FILE}"
    assert one.sha256 == climate.sha256
    assert one.start == date(2030, 4, 1)
    assert one.time_ms.size == 24 * 183


def test_warming_and_rain_factor_change_what_they_say(climate: Climate) -> None:
    plain = generate(climate, date(2023, 5, 1), date(2023, 8, 31), seed=3)
    changed = generate(
        climate, date(2023, 5, 1), date(2023, 8, 31), seed=3, rain_factor=0.5, warming_c=2.0
    )
    np.testing.assert_allclose(changed.days.tmax_c, plain.days.tmax_c + 2.0)
    np.testing.assert_allclose(changed.days.rain_mm, plain.days.rain_mm * 0.5)
    assert changed.days.rhmin_pct == pytest.approx(plain.days.rhmin_pct, abs=2.0)


def test_months_without_data_are_not_invented(climate: Climate) -> None:
    with pytest.raises(ValueError, match=r"fewer than 10 days of months \[11, 12\]"):
        generate(climate, date(2023, 9, 1), date(2023, 12, 31), seed=0)


def test_a_file_without_rain_makes_dry_years(measured: Weather) -> None:
    dry = replace(measured, days=replace(measured.days, rain_mm=np.zeros(len(measured.days))))
    assert generate(fit(dry), START, END, seed=1).rain_mm.sum() == 0.0


def test_a_climate_of_temperatures_alone_has_the_estimates_of_its_file(
    tmp_path: Path, measured: Weather
) -> None:
    days = measured.days
    rows = [
        f"{np.datetime64(int(days.time_ms[i]), 'ms').astype('datetime64[D]')},"
        f"{days.tmax_c[i]:.2f},{days.tmin_c[i]:.2f},{days.rain_mm[i]:.2f}"
        for i in range(len(days))
    ]
    path = tmp_path / "temperatures.csv"
    path.write_text("\n".join(["date,tmax_c,tmin_c,rain_mm", *rows]) + "\n")
    alone = read(path, measured.site, from_temperature="interior")
    made = generate(fit(alone), date(2023, 5, 1), date(2023, 8, 31), seed=3)
    assert made.days.wind_m_s == pytest.approx(np.full(len(made.days), 2.0))
    sum_mm = et0.of_weather(made).sum()
    of_file = et0.of_weather(alone.period(date(2023, 5, 1), date(2023, 8, 31))).sum()
    assert sum_mm == pytest.approx(of_file, rel=0.1)
    assert made.notes[-1] == (
        "fitted weather: its reference ET is not learnt: that of random weather is computed"
    )


def test_impossible_requests_are_refused(climate: Climate, measured: Weather) -> None:
    with pytest.raises(ValueError, match="59 days; at least 60"):
        fit(measured.period(START, date(2023, 2, 28)))
    with pytest.raises(ValueError, match="end = 2023-01-01: before start"):
        generate(climate, date(2023, 2, 1), date(2023, 1, 1), seed=0)
    for change in ({"rain_factor": -1.0}, {"warming_c": 20.0}):
        with pytest.raises(ValueError, match="permitted"):
            generate(climate, START, END, seed=0, **change)


def test_runs_of_a_scenario_have_the_weather_of_their_seeds(tmp_path: Path) -> None:
    body = small_field(days=20).replace(f'file = "{FILE}"', f'generator.like = "{FILE}"')
    assert "generator.like" in body
    (tmp_path / "mine.toml").write_text(body, encoding="utf-8")
    rain = {}
    for name, seed in (("first", 1), ("second", 2), ("again", 1)):
        arguments = ["run", "mine.toml", "--seed", str(seed), "--out", name, "--quiet"]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            done = CliRunner().invoke(app, arguments)
        assert done.exit_code in (0, 5), done.output
        summary = json.loads((tmp_path / name / "summary.json").read_text("utf-8"))
        assert summary["seed"] == seed
        assert summary["weather"]["notes"] == [f"generated weather, seed {seed}"]
        rain[name] = summary["rain_mm"]
    assert rain["first"] == rain["again"] != rain["second"]
