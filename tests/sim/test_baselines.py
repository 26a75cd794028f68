"""Schedules beside the guest, and the account of water, on the small field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levada.sim.results.baselines import baseline_table
from levada.sim.run.baselines import LOOK_AHEADS_D, ScheduledNode, run_baselines
from levada.sim.run.build import forcing_tables
from levada.sim.run.runner import read_weather, run_scenario
from levada.sim.run.schedules import Calendar, IrrigatedZone
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.baselines import BASELINES, Baselines
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import ForcingCol
from levada.testing import ScriptedNode, small_field

SEASON: dict[str, Any] = {"start": "2023-06-15", "days": 60, "period": "record_s = 3600"}
CHEAP = '[baselines]\nrun = ["rainfed", "calendar", "fao56"]\n'


def scenario(
    directory: Path, *, soil: str = "", crop: str = "", valve: str = "", **parts: Any
) -> Scenario:
    """The small field with further keys in the tables of its zone."""
    text = small_field(**parts)
    for table, keys in (("soil", soil), ("crop", crop), ("valve", valve)):
        text = text.replace(f"[zone.{table}]\n", f"[zone.{table}]\n{keys}\n")
    path = directory / "small.toml"
    path.write_text(text, encoding="utf-8")
    return scenarios.load(path)


def summary(directory: Path, *, closed: bool = False, **parts: Any) -> dict[str, Any]:
    """Of a run; `closed`: by a node that never opens its valve."""
    loaded = scenario(directory, **parts)
    options: dict[str, Any] = {}
    if closed:
        loaded = loaded.model_copy(
            update={"zone": tuple(z.model_copy(update={"node": "virtual"}) for z in loaded.zone)}
        )
        options = {"make_node": lambda _settings: ScriptedNode(iter(()))}
    return run_scenario(loaded, directory / "run", report=False, **options).summary


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found["baselines"]["rows"]}


def irrigated(directory: Path, **parts: Any) -> tuple[IrrigatedZone, Baselines]:
    loaded = scenario(directory, **parts)
    zones = expand(loaded)
    tables, table = forcing_tables(zones, read_weather(loaded))
    one = IrrigatedZone(zone=zones[0], forcing=tables[table[0]], start_ms=loaded.period.start_ms)
    return one, loaded.baselines or Baselines()


@pytest.mark.parametrize("model", ["bucket", "richards"])
def test_rain_alone_is_the_run_of_a_node_that_never_opens(tmp_path: Path, model: str) -> None:
    days = {"bucket": 60, "richards": 10}[model]
    extra = '[baselines]\nrun = ["rainfed"]\n'
    found = summary(tmp_path, closed=True, model=model, extra=extra, **SEASON | {"days": days})
    rainfed, guest = by_name(found)["rainfed"], found["baselines"]["guest"]
    for key in ("et_mm", "drainage_mm", "runoff_mm", "dry_stress_days", "relative_yield"):
        assert rainfed[key] == pytest.approx(guest[key], rel=1e-9, abs=1e-9), key
    assert rainfed["gross_mm"] == guest["gross_mm"] == 0.0
    assert rainfed["irrigation_productivity"] is None


def test_baselines_change_nothing_of_the_run(tmp_path: Path) -> None:
    without = summary(tmp_path, days=3)
    beside = summary(tmp_path, days=3, extra=CHEAP)
    for key in ("tape_digest", "trace_digest", "irrigation_mm"):
        assert beside[key] == without[key]
    assert "baselines" not in without


def test_the_calendar_gives_its_depth_at_its_interval(tmp_path: Path) -> None:
    extra = '[baselines]\nrun = ["calendar"]\ninterval_d = 10\ndepth_mm = 24\n'
    row = by_name(summary(tmp_path, extra=extra, **SEASON))["calendar"]
    # planted on 2 May: days 50, 60, 70, 80, 90 and 100 fall into 15 June to 13 August
    assert row["valve_openings"] == 6
    assert row["gross_mm"] == pytest.approx(6 * 24.0, abs=0.05)
    assert (row["interval_d"], row["depth_mm"]) == (10, 24.0)


def test_the_calendar_of_the_training_manual_by_hand(tmp_path: Path) -> None:
    zone, settings = irrigated(tmp_path, **SEASON)
    calendar = Calendar(zone, settings)
    # RAW of maize with full roots: 1000 x 0.55 x (0.184 - 0.092) x 1.05 m = 53.13 mm
    assert calendar.gross_mm == 53.0
    mid = zone.forcing[:, ForcingCol.STAGE] == 2.0
    need_mm_d = 24.0 * zone.forcing[mid, ForcingCol.TRANSPIRATION_MM_H].mean()
    assert calendar.interval_d == int(53.0 / need_mm_d)
    assert 5 <= calendar.interval_d <= 12


def test_a_fao56_schedule_keeps_a_fao56_field_out_of_stress(tmp_path: Path) -> None:
    rows = by_name(summary(tmp_path, extra=CHEAP, **SEASON))
    assert rows["fao56"]["dry_stress_days"] <= 3  # those it needs to see that it is dry
    assert rows["fao56"]["gross_mm"] < rows["calendar"]["gross_mm"] * 1.5
    assert rows["fao56"]["relative_yield"] > 0.97 > rows["rainfed"]["relative_yield"]


def test_an_efficiency_is_made_up_for(tmp_path: Path) -> None:
    extra = '[baselines]\nrun = ["fao56"]\n'
    whole = by_name(summary(tmp_path, extra=extra, **SEASON))["fao56"]
    extra += "application_efficiency = 0.5\n"
    half = by_name(summary(tmp_path, extra=extra, **SEASON))["fao56"]
    assert half["gross_mm"] > 1.5 * whole["gross_mm"]
    assert half["drainage_mm"] > whole["drainage_mm"]


def test_no_schedule_of_fixed_depletion_beats_perfect_knowledge(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, extra='[baselines]\nrun = ["optimum"]\n', **SEASON)
    zones, weather = expand(loaded), read_weather(loaded)
    guest = {"zones": [_nothing() for _ in zones]}
    best = run_baselines(loaded, zones, weather, guest)["rows"][0]
    assert best["look_ahead_d"] in LOOK_AHEADS_D
    for allowed in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        table = Baselines(run=("fao56",), allowed_depletion=allowed)
        other = loaded.model_copy(update={"baselines": table})
        row = run_baselines(other, zones, weather, guest)["rows"][0]
        assert (row["dry_stress_days"], row["gross_mm"]) > (
            best["dry_stress_days"],
            best["gross_mm"],
        ), allowed


def _nothing() -> dict[str, Any]:
    figures = ("et_mm", "irrigation_mm", "drainage_mm", "runoff_mm")
    return {
        **dict.fromkeys((*figures, "dry_stress_days", "wet_stress_days"), 0.0),
        "valve_openings": 0,
        "irrigation_use": {"gross_mm": 0.0},
        "yield": None,
    }


def test_perfect_knowledge_waits_for_rain(tmp_path: Path) -> None:
    """With a flood at hand nothing is given that would only drain."""
    loaded = scenario(tmp_path, extra='[baselines]\nrun = ["optimum"]\n', **SEASON)
    zones, weather = expand(loaded), read_weather(loaded)
    rain = weather.rain_mm.copy()
    rain[24::24] += 12.0  # every midnight
    wet = replace(weather, rain_mm=rain)
    row = run_baselines(loaded, zones, wet, {"zones": [_nothing()]})["rows"][0]
    assert row["gross_mm"] < 25.0
    assert row["dry_stress_days"] <= 2


def test_guest_and_baselines_are_told_of_in_words(tmp_path: Path) -> None:
    found = summary(tmp_path, extra=CHEAP, **SEASON)
    table = baseline_table(found)
    assert table is not None
    assert [row.name for row in table.rows] == [
        "The guest",
        "Rain alone",
        "Calendar",
        "FAO-56 schedule",
    ]
    assert len(table.sentences) == 3
    assert table.sentences[0].startswith("Against rain alone: ")
    assert "mm more water" in table.sentences[0]
    assert table.productivity_unit == "% per 100 mm"
    assert baseline_table({}) is None


def test_a_yield_gives_productivity_in_kilograms(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, extra=CHEAP, **SEASON)
    zone = loaded.zone[0]
    crop = zone.crop.model_copy(update={"yield_t_ha": 12.0})
    loaded = loaded.model_copy(update={"zone": (zone.model_copy(update={"crop": crop}),)})
    found = run_scenario(loaded, tmp_path / "run", report=False).summary
    guest, rainfed = found["baselines"]["guest"], by_name(found)["rainfed"]
    expected = 100.0 * 12.0 * (guest["relative_yield"] - rainfed["relative_yield"])
    product = guest["irrigation_productivity"]
    assert product["kg_m3"] == pytest.approx(expected / guest["gross_mm"])
    assert product["pct_per_100_mm"] == pytest.approx(product["kg_m3"] / 12.0 * 100.0)
    grown = found["zones"][0]["yield"]
    assert grown["t_ha"] == pytest.approx(12.0 * grown["relative"])


def test_zones_of_a_field_are_averaged_by_area(tmp_path: Path) -> None:
    found = summary(tmp_path, zones=("a", "b"), extra=CHEAP, **SEASON)
    row = by_name(found)["calendar"]
    assert len(row["zones"]) == 2
    assert row["zones"][0] == row["zones"][1]  # alike but for their probes, which nobody reads
    assert row["valve_openings"] == sum(zone["valve_openings"] for zone in row["zones"])
    assert row["gross_mm"] == pytest.approx(row["zones"][0]["gross_mm"])
    assert found["irrigation_use"]["uniformity_among_zones"] == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ('run = ["calendar", "calendar"]', "each permitted once"),
        ('run = ["rainfed"]\ninterval_d = 7', "`interval_d` has no effect"),
        ("run = []", "run"),
        ('run = ["farmer"]', "rainfed"),
        ("hour = 24", "permitted 0 to 23"),
    ],
)
def test_a_table_that_means_nothing_is_refused(tmp_path: Path, extra: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        scenario(tmp_path, extra=f"[baselines]\n{extra}\n")


def test_every_baseline_says_what_it_is() -> None:
    assert set(BASELINES) == set(Baselines().run)


def test_a_node_that_has_no_rate_never_opens(tmp_path: Path) -> None:
    zone, _ = irrigated(tmp_path, valve="clog = 1.0", days=3)
    node = ScheduledNode(zone, 6)

    class Always:
        def depth_mm(self, now_ms: int) -> float:
            return 10.0

    node.schedule = Always()
    six_ms = zone.start_ms + 6 * 3_600_000
    assert node.boot(zone.start_ms).wake_ms == 6 * 3_600_000
    result = node.step(six_ms, (0, 0, 0, 0))
    assert set(result.outputs.values()) == {0}
    assert result.wake_ms == 86_400_000


# Account


def test_what_a_sprinkler_throws_is_lost_caught_or_arrives(tmp_path: Path) -> None:
    valve = 'method = "sprinkler"\nspray_drift = "solid-set"\ninterception_mm = 2'
    parts = SEASON | {"days": 20, "valve": valve}
    found = summary(tmp_path, **parts)["zones"][0]
    use = found["irrigation_use"]
    lost = use["spray_loss_mm"] + use["interception_mm"]
    assert use["gross_mm"] == pytest.approx(found["irrigation_mm"] + lost, rel=1e-9)
    assert 0.03 * use["gross_mm"] < use["spray_loss_mm"] < 0.4 * use["gross_mm"]
    assert use["interception_mm"] > 0.0
    assert found["balance_error_mm"] == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < use["application_efficiency"] < 1.0 - lost / use["gross_mm"] + 1e-9


def test_leaves_hold_what_they_can_and_spare_transpiration(tmp_path: Path) -> None:
    """One opening of 6 mm on dry leaves: they catch at least what they hold, once."""
    method = 'method = "sprinkler"\n'
    parts = {"days": 1, "start": "2023-07-20"}
    plain = summary(tmp_path, valve=method, **parts)["zones"][0]
    caught = summary(tmp_path, valve=method + "interception_mm = 1", **parts)["zones"][0]
    use = caught["irrigation_use"]
    assert plain["irrigation_use"]["interception_mm"] == 0.0
    assert 0.5 < use["interception_mm"] < 0.2 * use["gross_mm"] + 1.0
    assert caught["transpiration_mm"] < plain["transpiration_mm"]


def test_the_curve_number_takes_its_runoff_from_the_rain(tmp_path: Path) -> None:
    parts = SEASON | {"start": "2023-05-25", "days": 20}
    plain = summary(tmp_path, **parts)["zones"][0]
    soil = 'curve_number = 95\ncurve_number_moisture = "average"'
    found = summary(tmp_path, soil=soil, **parts)["zones"][0]
    assert found["rain_mm"] == pytest.approx(plain["rain_mm"], rel=1e-9)
    weather = read_weather(scenario(tmp_path, **parts))
    days_mm = weather.rain_mm.reshape(-1, 24).sum(axis=1)
    retention_mm = 25_400 / 95 - 254
    excess = np.maximum(days_mm - 0.2 * retention_mm, 0.0)
    by_hand = float((excess**2 / (excess + retention_mm)).sum())
    assert by_hand > 1.0
    assert found["irrigation_use"]["curve_number_runoff_mm"] == pytest.approx(by_hand, rel=1e-9)
    assert found["runoff_mm"] == pytest.approx(by_hand + plain["runoff_mm"], rel=1e-5)
    assert found["balance_error_mm"] == pytest.approx(0.0, abs=1e-6)


def test_the_stages_of_the_crop_add_up_to_its_evapotranspiration(tmp_path: Path) -> None:
    found = summary(tmp_path, closed=True, **SEASON)["zones"][0]
    grown = found["yield"]
    assert grown["crop_et_mm"] == pytest.approx(found["et_mm"], rel=1e-9)  # it stands all the time
    assert grown["ky"] == 1.25
    # in June to August maize is in development and mid-season
    assert grown["et_deficit_by_stage"]["late"] == 0.0
    assert grown["relative"] == pytest.approx(max(0.0, 1.0 - 1.25 * grown["et_deficit"]))
    assert grown["relative_by_stage"] is not None
    assert grown["within_limits"] == (
        max(grown["et_deficit"], *grown["et_deficit_by_stage"].values()) <= 0.5
    )


def test_a_crop_without_a_factor_has_no_yield(tmp_path: Path) -> None:
    assert summary(tmp_path, days=1)["yield"] is not None
    loaded = scenario(tmp_path, days=1)
    zone = loaded.zone[0]
    crop = zone.crop.model_copy(update={"name": "lettuce", "zr_max_m": None})
    loaded = loaded.model_copy(update={"zone": (zone.model_copy(update={"crop": crop}),)})
    assert run_scenario(loaded, tmp_path / "run", report=False).summary["yield"] is None


@pytest.mark.parametrize(
    ("table", "key", "says"),
    [
        ("valve", 'spray_drift = "solid-set"', "`spray_drift` has no effect"),
        ("valve", "interception_mm = 1", "`interception_mm` has no effect"),
        ("valve", "distribution_uniformity = 1.2", "permitted 0.2 to 1"),
        ("soil", "initial_abstraction = 0.05", "`initial_abstraction` has no effect"),
        ("soil", "curve_number = 101", "permitted 1 to 100"),
        ("crop", "ky_stages = [0.4, 1.5]", "ky_stages"),
        ("crop", "ky = 9", "permitted 0 to 3"),
    ],
)
def test_keys_of_the_account_are_refused_where_they_mean_nothing(
    tmp_path: Path, table: str, key: str, says: str
) -> None:
    with pytest.raises(ScenarioError, match=says):
        scenario(tmp_path, **{table: key})
