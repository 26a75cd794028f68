"""What the comparisons with measured water compute beside the models, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from validation import maize_layers, sheep_station
from validation.comparison import DATA
from validation.sheep_station import NAMES, YEARS
from validation.soil_water import mean_of_depths

SEASON = 184 * 6
"""Intervals of four hours from 15 April to 15 October."""


def test_a_depth_takes_of_each_cell_what_lies_within() -> None:
    shares = mean_of_depths(np.array([0.0, 0.1, 0.3, 0.4]), [(0.0, 0.2), (0.25, 0.35)])
    np.testing.assert_allclose(shares, [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])


@pytest.mark.parametrize("name", ["sheep_station_soil_water", "sheep_station_days"])
def test_an_excerpt_names_source_licence_and_program(name: str) -> None:
    path = DATA / f"{name}.csv"
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 150_000
    for part in ("akleinhesselink/sheepweather", "70e085c", "CC0 1.0", "sheep_station_excerpt.py"):
        assert part in text


@pytest.mark.parametrize("year", YEARS)
def test_a_season_has_every_interval_and_most_readings(year: int) -> None:
    water = sheep_station.measured(year)
    assert water.shape == (SEASON, len(NAMES))
    assert np.isfinite(water).mean(axis=0).min() > 0.8
    # from no water at all to the pores of loam
    assert np.nanmin(water) > -0.1
    assert np.nanmax(water) < 0.45


def test_rain_of_a_season_is_the_sum_of_the_station() -> None:
    # 2015 has no day without a reading; sums of the file by hand
    days = sheep_station.season_weather(2015).days
    assert days.rain_mm.sum() == pytest.approx(232.4)
    assert days.tmax_c.max() == 36.1


def test_treatments_get_half_all_and_half_as_much_again_of_the_rain() -> None:
    given = np.add(sheep_station.RAIN, sheep_station.IRRIGATION)
    assert dict(zip(sheep_station.TREATMENTS, given.tolist(), strict=True)) == {
        "control": 1.0,
        "drought": 0.5,
        "irrigation": 1.5,
    }


def test_errors_by_hand_leave_out_what_was_not_measured() -> None:
    water = np.tile([[0.1], [0.2], [np.nan]], len(NAMES))
    found = np.tile([[0.13], [0.24], [0.9]], len(NAMES))
    errors = sheep_station.errors(found, water)
    np.testing.assert_allclose(errors.bias, 0.035)
    np.testing.assert_allclose(errors.rms, np.sqrt((0.03**2 + 0.04**2) / 2.0))
    np.testing.assert_allclose(errors.correlation, 1.0)
    assert errors.overall == pytest.approx(errors.rms[0])


def test_a_correction_of_the_first_season_is_applied_to_the_second() -> None:
    first = np.repeat([[0.1], [0.2], [0.3]], len(NAMES), axis=1)
    second = first + 0.01
    water = 0.5 * first + 0.02
    np.testing.assert_allclose(
        sheep_station.corrected([first, second], water, 1), 0.5 * second + 0.02
    )
    np.testing.assert_allclose(sheep_station.corrected([first, second], water, 0), second - 0.08)
    np.testing.assert_allclose(sheep_station.shifted(second, first, water), second - 0.08)


def test_the_effect_counts_only_what_both_treatments_have() -> None:
    water = np.zeros((3, len(NAMES)))
    water[:, 4] = [0.3, 0.5, 0.9]  # irrigation, 5 cm
    water[:, 2] = [0.1, 0.1, np.nan]  # drought, 5 cm
    np.testing.assert_allclose(sheep_station.effect(np.nan_to_num(water), water), [0.3, 0.0])


def test_days_since_the_last_wetting_are_those_of_the_plot() -> None:
    # 33 mm of irrigation on 29 June 2023, 58 days after 2 May; 4 mm on later days are no wetting
    at = np.array([58, 59, 62])
    np.testing.assert_array_equal(maize_layers.days_since_wetting(at), [0, 1, 4])
