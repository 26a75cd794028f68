"""Rain gauge, forecast and source of reference ET: what guests are told of the weather."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import made_weather, new_plant, run_plant, scenario

from levada.guest.abi import ErrorCode, Sensor
from levada.sim.crop import et0
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.settings.station import Forecast
from levada.sim.weather.forecast import WET_DAY_MM, expected_rain_mm, told_rain_mm
from levada.testing import ScriptedNode

UNAVAILABLE = int(ErrorCode.UNAVAILABLE)
STATION = """
[zone.rain_gauge]
mm_per_tip = 0.2
[zone.forecast]
hit_rate = 1.0
[zone.et0]
factor = 1.0
"""
RAIN_MM = (0.0, 24.0, 7.0, 0.0)
WEATHER = made_weather("2023-07-06", RAIN_MM, [30.0] * 4)


def told(directory: Path, zone: str = STATION, **parts: Any) -> ScriptedNode:
    """A node that keeps its valve closed for four days, and what it read every ten minutes."""
    loaded = scenario(directory, days=4, zone=zone, **parts)
    node = ScriptedNode(repeat((0, 600_000)))
    plant, zones = new_plant(loaded, lambda _: node, WEATHER)
    run_plant(loaded, plant, zones)
    return node


def column(node: ScriptedNode, sensor: Sensor) -> list[int]:
    return [readings[sensor] for readings in node.readings]


def test_a_gauge_tips_once_for_every_resolution_of_rain(tmp_path: Path) -> None:
    """31 mm and 0.2 mm a tip: 155 tips, none lost between two reads."""
    assert sum(column(told(tmp_path), Sensor.RAIN)) == 155


@pytest.mark.parametrize(("mm_per_tip", "catch", "tips"), [(0.25, 1.0, 124), (0.2, 0.9, 139)])
def test_a_gauge_has_its_resolution_and_its_catch(
    mm_per_tip: float, catch: float, tips: int, tmp_path: Path
) -> None:
    """31 / 0.25 = 124; 31 x 0.9 / 0.2 = 139.5."""
    node = told(tmp_path, f"[zone.rain_gauge]\nmm_per_tip = {mm_per_tip}\ncatch = {catch}")
    assert sum(column(node, Sensor.RAIN)) == tips


def test_what_a_zone_does_not_have_is_unavailable(tmp_path: Path) -> None:
    node = told(tmp_path, "")
    assert {readings[4:] for readings in node.readings} == {(UNAVAILABLE,) * 3}
    gauge = told(tmp_path, "[zone.rain_gauge]\nmm_per_tip = 1.0")
    assert {readings[5:] for readings in gauge.readings} == {(UNAVAILABLE,) * 2}


def test_a_node_without_power_counts_no_tips(tmp_path: Path) -> None:
    """All of the second day's 24 mm fall in the dark: the 7 mm of the third are left, 35 tips."""
    dark = '[[fault]]\nkind = "brown-out"\nstart = "1 d"\nduration = "1 d"'
    assert sum(column(told(tmp_path, extra=dark), Sensor.RAIN)) == 35


def test_reference_et_adds_up_to_that_of_the_weather(tmp_path: Path) -> None:
    expected = 100.0 * et0.of_weather(WEATHER).sum()
    node = told(tmp_path)
    # the last step is ten minutes before the end, at night
    assert sum(column(node, Sensor.ET0)) == pytest.approx(expected, abs=2.0)
    half = told(tmp_path, "[zone.et0]\nfactor = 0.5")
    assert sum(column(half, Sensor.ET0)) == pytest.approx(0.5 * expected, abs=2.0)


def test_what_comes_over_the_link_waits_for_it_and_nothing_is_missed(tmp_path: Path) -> None:
    away = '[[fault]]\nkind = "link-loss"\nstart = "1 d"\nduration = "1 d"'
    node, always = told(tmp_path, extra=away), told(tmp_path)
    day = slice(144, 287)
    for sensor in (Sensor.FORECAST, Sensor.ET0):
        assert set(column(node, sensor)[day]) == {UNAVAILABLE}
    assert column(node, Sensor.RAIN) == column(always, Sensor.RAIN)
    et = [max(value, 0) for value in column(node, Sensor.ET0)]
    assert sum(et) == sum(column(always, Sensor.ET0))


def test_a_perfect_forecast_says_what_falls_in_the_next_24_hours(tmp_path: Path) -> None:
    """At midnight before the rainy days 240 and 70 tenths; nothing beyond the end."""
    node = told(tmp_path)
    at = dict(zip(node.times_ms, column(node, Sensor.FORECAST), strict=True))
    start = node.boots_ms[0]
    days = [at[start + day * 86_400_000 + (0 if day else 600_000)] for day in range(4)]
    assert days == [0, 240, 70, 0]


def scores(forecast: Forecast, rain: Sequence[float], seed: int = 1) -> tuple[float, float, float]:
    """Hit rate, false alarm ratio, and told over fallen rain of the hits."""
    hours = np.repeat(np.array(rain) / 24.0, 24)
    made = told_rain_mm(hours, forecast, np.random.default_rng(seed)).reshape(-1, 24).sum(axis=1)
    rainy, called = np.array(rain) >= WET_DAY_MM, made > 0.0
    hits = rainy & called
    ratio = made[hits].sum() / np.array(rain)[hits].sum()
    return hits.sum() / rainy.sum(), (called & ~rainy).sum() / called.sum(), ratio


def test_errors_of_a_forecast_have_the_scores_that_were_asked_for() -> None:
    """20,000 days, a third of them rainy; the deviations are four standard errors."""
    rain = [6.0, 0.0, 0.0] * 6667
    asked = Forecast(hit_rate=0.8, false_alarm_ratio=0.3, amount_error=0.5)
    hit_rate, false_alarms, amount = scores(asked, rain)
    assert hit_rate == pytest.approx(0.8, abs=0.02)
    assert false_alarms == pytest.approx(0.3, abs=0.025)
    assert amount == pytest.approx(1.0, abs=0.03)
    assert scores(Forecast(), rain) == (1.0, 0.0, 1.0)


def test_a_forecast_of_dry_weather_raises_no_alarm() -> None:
    dry = told_rain_mm(np.zeros(48), Forecast(false_alarm_ratio=0.5), np.random.default_rng(1))
    assert not dry.any()


def test_the_next_24_hours_begin_with_the_present_one() -> None:
    rain = np.arange(48.0)
    assert expected_rain_mm(rain)[[0, 24, 47]].tolist() == [276.0, 852.0, 47.0]


@pytest.mark.parametrize(
    ("zone", "says"),
    [
        ("[zone.rain_gauge]\nmm_per_tip = 0.0", "`mm_per_tip` = 0"),
        ("[zone.rain_gauge]\ncatch = 2.5", "`catch` = 2.5"),
        ("[zone.forecast]\nhit_rate = 1.1", "`hit_rate` = 1.1"),
        ("[zone.forecast]\nfalse_alarm_ratio = 1.0", "`false_alarm_ratio` = 1"),
        ("[zone.et0]\nfactor = 0.0", "`factor` = 0"),
    ],
)
def test_what_no_station_can_be_is_refused(zone: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenario(tmp_path, zone=zone)
    assert says in str(refused.value)
