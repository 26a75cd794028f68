"""Runoff, sprinklers, efficiency and yield against published tables and calculations by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.sim.crop.table import TABLE as CROPS
from levada.sim.water.curve_number import (
    curve_numbers,
    hourly_runoff,
    moisture_classes,
    runoff_mm,
)
from levada.sim.water.efficiency import (
    distribution_uniformity,
    net_irrigation_mm,
    productivity_kg_m3,
)
from levada.sim.water.sprinkler import MOST_LOST, lost_share, relative_humidity_pct
from levada.sim.water.yield_response import TABLE, deficit, relative_yield, response

INCH_MM = 25.4

TR55 = {
    # NRCS TR-55 (1986), table 2-1: rain [in] -> runoff [in] by curve number
    2.0: {70: 0.24, 75: 0.38, 80: 0.56, 90: 1.09},
    3.0: {70: 0.71, 75: 0.96, 80: 1.25, 90: 1.98},
    4.0: {70: 1.33, 75: 1.67, 80: 2.04, 90: 2.92},
    5.0: {70: 2.04, 75: 2.45, 80: 2.89, 90: 3.88},
}


@pytest.mark.parametrize(("rain_in", "by_number"), TR55.items())
def test_runoff_is_that_of_the_table_of_tr55(rain_in: float, by_number: dict[int, float]) -> None:
    for number, expected_in in by_number.items():
        found_in = float(runoff_mm(rain_in * INCH_MM, number)) / INCH_MM
        assert found_in == pytest.approx(expected_in, abs=0.006), number


def test_nothing_runs_off_before_the_initial_abstraction() -> None:
    retention_mm = 25_400 / 80 - 254  # 63.5
    assert float(runoff_mm(0.2 * retention_mm, 80)) == 0.0
    assert float(runoff_mm(0.2 * retention_mm + 1.0, 80)) > 0.0
    assert float(runoff_mm(25.0, 100)) == 25.0  # a roof
    assert float(runoff_mm(0.0, 100)) == 0.0


@pytest.mark.parametrize("number", [0.0, -1.0, 100.1])
def test_a_curve_number_out_of_range_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="curve_number"):
        runoff_mm(50.0, number)


@pytest.mark.parametrize(
    ("average", "dry", "wet"),
    [(50, 31, 70), (60, 40, 78), (70, 51, 85), (75, 57, 88), (80, 63, 91)],
)
def test_curve_numbers_of_dry_and_wet_soil_are_those_of_neh4_table_10_1(
    average: float, dry: float, wet: float
) -> None:
    found = curve_numbers(average)
    assert found[0] == pytest.approx(dry, abs=1.0)
    assert found[1] == average
    assert found[2] == pytest.approx(wet, abs=1.0)


@pytest.mark.parametrize(
    ("growing", "five_days_in", "expected"),
    [
        # NEH-4 table 4.2
        (False, 0.4, 0),
        (False, 0.8, 1),
        (False, 1.2, 2),
        (True, 1.2, 0),
        (True, 1.8, 1),
        (True, 2.2, 2),
    ],
)
def test_antecedent_moisture_goes_by_the_rain_of_five_days(
    growing: bool, five_days_in: float, expected: int
) -> None:
    rain = np.array([five_days_in * INCH_MM / 5] * 5 + [0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    classes = moisture_classes(rain, np.full(rain.size, growing))
    assert classes[:5].tolist() == [1] * 5  # not all of it is known
    assert classes[5] == expected
    assert classes[10] == 0  # five days without rain


def test_hours_add_up_to_the_runoff_of_the_day() -> None:
    rain = np.zeros(72)
    rain[30:36] = [2.0, 10.0, 20.0, 15.0, 3.0, 1.0]  # 51 mm on the second day
    found = hourly_runoff(rain, 75.0, np.ones(3, bool), moisture="average")
    assert found.sum() == pytest.approx(float(runoff_mm(51.0, 75.0)), rel=1e-12)
    assert found[:31].sum() == 0.0  # the first 2 mm are within the abstraction
    assert found[36:].sum() == 0.0
    dry = hourly_runoff(rain, 75.0, np.ones(3, bool), moisture="dry")
    wet = hourly_runoff(rain, 75.0, np.ones(3, bool), moisture="wet")
    assert dry.sum() < found.sum() < wet.sum()


@given(
    rain=st.lists(st.floats(0.0, 80.0), min_size=48, max_size=48),
    number=st.floats(1.0, 100.0),
    abstraction=st.floats(0.0, 0.5),
)
def test_no_hour_runs_off_more_than_it_rained(
    rain: list[float], number: float, abstraction: float
) -> None:
    hours = np.array(rain)
    found = hourly_runoff(hours, number, np.zeros(2, bool), abstraction=abstraction)
    assert (found >= 0.0).all()
    assert (found <= hours).all()


def test_losses_of_sprinklers_are_the_regressions_of_playan() -> None:
    wind, rh, temp = np.array([4.0, 2.0]), np.array([40.0, 80.0]), np.array([25.0, 15.0])
    day = np.array([True, False])
    solid = lost_share("solid-set", wind_m_s=wind, rh_pct=rh, temp_c=temp, day=day)
    # by day 20.7 + 0.185 x 16 - 0.00214 x 1600; by night 3.7 + 1.31 x 4
    assert solid == pytest.approx([0.20236, 0.0894])
    lateral = lost_share("moving-lateral", wind_m_s=wind, rh_pct=rh, temp_c=temp, day=day)
    # -2.1 + 1.91 U + 0.231 T
    assert lateral == pytest.approx([0.11315, 0.05185])
    none = lost_share("none", wind_m_s=wind, rh_pct=rh, temp_c=temp, day=day)
    assert none.tolist() == [0.0, 0.0]


def test_losses_of_sprinklers_stay_within_what_was_measured() -> None:
    wind, rh, temp = np.array([0.0, 40.0]), np.array([100.0, 5.0]), np.array([-20.0, 45.0])
    day = np.array([True, False])
    for system in ("solid-set", "moving-lateral"):
        found = lost_share(system, wind_m_s=wind, rh_pct=rh, temp_c=temp, day=day)  # type: ignore[arg-type]
        assert found[0] == 0.0 or system == "solid-set"
        assert found[1] == MOST_LOST
        assert (found >= 0.0).all()


def test_relative_humidity_is_that_of_fao56() -> None:
    # FAO-56 table 2.3: es(20 degC) = 2.338 kPa, es(35 degC) = 5.624 kPa
    found = relative_humidity_pct(np.array([20.0, 35.0, 10.0]), np.array([1.169, 1.4, 5.0]))
    assert found == pytest.approx([50.0, 24.9, 100.0], abs=0.1)


SEASONAL = {
    # FAO-56 table 24, which repeats the seasonal factors of FAO-33
    **{"alfalfa": 1.10, "bean dry": 1.15, "bean green": 1.15, "cabbage": 0.95, "cotton": 0.85},
    **{"grape table": 0.85, "grape wine": 0.85, "groundnut": 0.70, "maize": 1.25, "onion": 1.10},
    **{"pea": 1.15, "pepper": 1.10, "potato": 1.10, "sorghum": 0.90, "soybean": 0.85},
    **{"sugar beet": 1.00, "sunflower": 0.95, "tomato": 1.05, "watermelon": 1.10, "wheat": 1.15},
}


def test_seasonal_factors_are_those_of_fao56_table_24() -> None:
    assert {name: TABLE[name].total for name in SEASONAL} == SEASONAL
    assert set(TABLE) - set(SEASONAL) == {"citrus", "wheat winter"}  # a range, and 1.05 there
    assert set(TABLE) <= set(CROPS)


def test_the_yield_of_maize_short_of_a_fifth_of_its_water() -> None:
    # FAO-33: 1 - Ya/Ym = 1.25 x 0.2 over the season, 1.5 x 0.2 at flowering
    maize = response("maize")
    assert maize is not None
    assert maize.stages == (0.40, 1.50, 0.50)
    assert relative_yield([maize.total], [0.2]) == pytest.approx(0.75)
    assert relative_yield(maize.stages, [0.0, 0.2, 0.0]) == pytest.approx(0.70)
    assert relative_yield(maize.stages, [0.1, 0.2, 0.1]) == pytest.approx(0.96 * 0.70 * 0.95)
    assert relative_yield(maize.stages, [0.0, 0.9, 0.0]) == 0.0  # none is left, not less than none


def test_the_deficit_is_what_stress_withheld_of_what_the_crop_could_use() -> None:
    assert deficit(400.0, 100.0) == pytest.approx(0.2)
    assert deficit(400.0, -1e-12) == 0.0
    assert deficit(0.0, 0.0) == 0.0


def test_factors_that_are_given_replace_those_of_the_table() -> None:
    assert response("lettuce") is None
    own = response("lettuce", 1.1)
    assert own is not None and (own.total, own.stages) == (1.1, None)
    changed = response("maize", 1.4)
    assert changed is not None and (changed.total, changed.stages) == (1.4, None)
    staged = response("maize", None, (0.3, 1.2, 0.4))
    assert staged is not None and (staged.total, staged.stages) == (1.25, (0.3, 1.2, 0.4))


def test_the_low_quarter_of_sixteen_catch_cans() -> None:
    cans_mm = [12, 14, 15, 16, 18, 18, 19, 20, 20, 21, 21, 22, 22, 23, 24, 25]
    # (12 + 14 + 15 + 16) / 4 = 14.25 over the mean of 19.375
    assert distribution_uniformity(cans_mm, [1.0] * 16) == pytest.approx(14.25 / 19.375)
    assert distribution_uniformity([10.0, 10.0], [3.0, 1.0]) == 1.0
    # one zone of a hundredth of the area cannot be the low quarter alone
    assert distribution_uniformity([0.0, 10.0], [1.0, 99.0]) == pytest.approx(24.0 / 25.0 / 0.99)
    assert np.isnan(distribution_uniformity([0.0, 0.0], [1.0, 1.0]))


def test_net_irrigation_bears_its_share_of_what_is_lost() -> None:
    # of 300 mm of irrigation and 100 mm of rain a tenth is lost: 40 mm
    assert net_irrigation_mm(300.0, 100.0, 30.0, 10.0) == pytest.approx(270.0)
    assert net_irrigation_mm(300.0, 100.0, -20.0, 0.0) == 300.0  # capillary rise is no loss
    assert net_irrigation_mm(0.0, 100.0, 30.0, 0.0) == 0.0
    assert net_irrigation_mm(10.0, 0.0, 50.0, 0.0) == 0.0  # what drains was in the soil before


def test_ten_tonnes_from_500_mm_are_two_kilograms_a_cubic_metre() -> None:
    assert productivity_kg_m3(10.0, 500.0) == pytest.approx(2.0)
    assert np.isnan(productivity_kg_m3(10.0, 0.0))
