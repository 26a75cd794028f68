from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import (
    made_weather,
    new_plant,
    rows_of,
    run_plant,
    scenario,
)

from levada.guest.abi import ErrorCode
from levada.sim.devices.energy import EnergyState
from levada.sim.devices.valve import ValveState
from levada.sim.run.trace import INDEX
from levada.sim.run.zone_columns import NodeCol, TotalsCol
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import Flux, Observed
from levada.sim.units import HOUR_MS
from levada.testing import ScriptedNode, alternating, small_field


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plant")


def balance_error_mm(plant: Any, zone: int) -> float:
    """What came in less what went out less the change of storage."""
    t = plant.totals[zone]
    change = plant.observed[zone, Observed.STORAGE_MM] - plant.storage_start_mm[zone]
    gone = sum(
        t[k]
        for k in (
            Flux.EVAPORATION_MM,
            Flux.TRANSPIRATION_MM,
            Flux.DRAINAGE_MM,
            Flux.RUNOFF_MM,
        )
    )
    return float(t[Flux.RAIN_MM] + t[Flux.IRRIGATION_MM] - gone - change)


def loaded(directory: Path, **parts: Any) -> Scenario:
    return scenario(directory, **parts)


class TestWater:
    @settings(max_examples=40)
    @given(
        model=st.sampled_from(["bucket", "richards"]),
        rain_mm=st.lists(st.integers(0, 1200), min_size=2, max_size=2),
        tmax_c=st.lists(st.floats(5.0, 42.0), min_size=2, max_size=2),
        available_pct=st.integers(0, 150),
        flow_l_min=st.floats(0.5, 200.0),
        leak=st.sampled_from([0.0, 0.02, 1.0]),
        pattern=st.lists(
            st.tuples(st.integers(0, 1), st.integers(1, 20_000_000)), min_size=1, max_size=60
        ),
    )
    def test_none_is_made_or_lost_whatever_weather_and_valve_do(
        self,
        directory: Path,
        model: str,
        rain_mm: Sequence[int],
        tmax_c: Sequence[float],
        available_pct: int,
        flow_l_min: float,
        leak: float,
        pattern: list[tuple[int, int]],
    ) -> None:
        given_ = small_field(model=model).replace(
            "available_pct = 60", f"available_pct = {available_pct}"
        )
        given_ = given_.replace("flow_l_min = 10", f"flow_l_min = {flow_l_min}\nleak = {leak}")
        path = directory / "water.toml"
        path.write_text(given_, encoding="utf-8")
        dry = scenarios.load(path)
        weather = made_weather("2023-07-06", [tenths / 10 for tenths in rain_mm], tmax_c)
        plant, zones = new_plant(dry, lambda _: ScriptedNode(iter(pattern)), weather)
        run_plant(dry, plant, zones)
        assert abs(balance_error_mm(plant, 0)) < 1e-6
        assert plant.totals[0, TotalsCol.RAIN_MM] == pytest.approx(sum(rain_mm) / 10, abs=1e-9)
        # what the valve let through is what reached the zone: 100 L on 100 m2 are 1 mm
        volume_l = plant.valves.state[0, ValveState.VOLUME_L]
        assert plant.totals[0, TotalsCol.IRRIGATION_MM] == pytest.approx(volume_l / 100.0, rel=1e-9)

    def test_an_hour_of_10_l_min_on_100_m2_is_6_mm(self, directory: Path) -> None:
        dry = loaded(directory)
        plant, zones = new_plant(dry, lambda _: ScriptedNode(iter([(1, HOUR_MS), (0, HOUR_MS)])))
        rows = rows_of(plant, run_plant(dry, plant, zones), 0)
        assert rows["irrigation_mm"].sum() == pytest.approx(6.0, abs=1e-9)
        assert rows["flow_l"].sum() == pytest.approx(600.0, abs=1e-6)
        assert rows["flow_pulses"].sum() == 600 * 450
        assert rows["valve_open_s"].sum() == pytest.approx(3600.0, abs=1e-6)
        assert rows["valve_run_s"].max() == pytest.approx(3600.0, abs=1e-6)

    def test_the_sums_of_the_trace_are_the_totals(self, directory: Path) -> None:
        dry = loaded(directory, model="richards", days=3)
        plant, zones = new_plant(dry, lambda _: ScriptedNode(alternating(HOUR_MS, 5 * HOUR_MS)))
        rows = rows_of(plant, run_plant(dry, plant, zones), 0)
        for flux in Flux:
            total = plant.totals[0, flux]
            assert rows[flux.name.lower()].sum() == pytest.approx(total, abs=1e-9), flux
        assert rows["storage_mm"][-1] - rows["storage_mm"][0] == pytest.approx(
            plant.observed[0, Observed.STORAGE_MM] - plant.storage_start_mm[0], abs=1e-9
        )


class TestTime:
    def test_a_row_stands_for_each_step_and_one_for_the_start(self, directory: Path) -> None:
        dry = loaded(directory)
        plant, zones = new_plant(dry, lambda _: ScriptedNode(iter([])))
        rows = rows_of(plant, run_plant(dry, plant, zones), 0)
        times = rows["time_ms"]
        assert len(times) == 2 * 144 + 1
        assert (np.diff(times) == 600_000).all()
        assert (times[0], times[-1]) == (dry.period.start_ms, dry.period.end_ms)

    @pytest.mark.parametrize("slice_s", [3600, 600])
    @pytest.mark.parametrize("model", ["bucket", "richards"])
    def test_slices_make_no_difference(self, directory: Path, model: str, slice_s: int) -> None:
        """Bit by bit, with nodes that wake at odd times and faults between two steps."""
        extra = (
            '[[fault]]\nkind = "valve-clog"\nstart = "7 h 13 min"\n'
            'duration = "5 h 1 s"\nmagnitude = "30 %"\n'
        )
        dry = loaded(directory, model=model, extra=extra, period="record_s = 3600")

        def rows(slice_s: int) -> Any:
            plant, zones = new_plant(dry, lambda _: ScriptedNode(alternating(777_777, 3_333_333)))
            return run_plant(dry, plant, zones, slice_s)

        np.testing.assert_array_equal(rows(slice_s), rows(86_400))

    def test_a_zone_does_not_depend_on_the_others(self, directory: Path) -> None:
        """Others have faults, and nodes that wake at other times."""
        extra = (
            '[[fault]]\nkind = "valve-stuck-open"\nzones = "b"\nstart = "3 h 7 min"\n'
            'duration = "77 min"\n[[fault]]\nkind = "reboot"\nzones = "c"\nstart = "11 h 11 s"\n'
        )

        def script(i: int) -> ScriptedNode:
            return ScriptedNode(alternating(1_000_000 + 77_777 * i, 3_000_000 + 55_555 * i))

        alone = loaded(directory, model="richards", zones=("a",))
        plant, zones = new_plant(alone, script)
        only = rows_of(plant, run_plant(alone, plant, zones), 0)
        among = loaded(directory, model="richards", zones=("a", "b", "c"), extra=extra)
        plant, zones = new_plant(among, script)
        rows = run_plant(among, plant, zones)
        for name, values in rows_of(plant, rows, 0).items():
            np.testing.assert_array_equal(values, only[name], err_msg=name)
        assert (rows_of(plant, rows, 1)["irrigation_mm"] != only["irrigation_mm"]).any()


class TestNodes:
    def test_a_step_is_given_what_there_is_to_read(self, directory: Path) -> None:
        dry = loaded(directory)
        node = ScriptedNode(iter([(1, 600_000), (0, 600_000)]))
        plant, zones = new_plant(dry, lambda _: node)
        run_plant(dry, plant, zones)
        start_ms = dry.period.start_ms
        assert node.boots_ms == [start_ms]
        assert node.times_ms[:3] == [start_ms + k * 600_000 for k in (1, 2, 3)]
        assert len(node.times_ms) == 2 * 144 - 1, "none at the end of the run"
        counts, temp, battery, pulses, *weather = zip(*node.readings, strict=True)
        assert weather == [(int(ErrorCode.UNAVAILABLE),) * len(counts)] * 3
        assert all(0 <= c <= 4095 for c in counts)
        assert all(-1000 < t < 5000 for t in temp)
        assert 4000 < battery[0] <= 4200
        # open from 10 to 20 min, with 2 s to open and 2 s to close: 10 min of 10 L/min
        assert pulses[:4] == (0, pytest.approx(450 * 100 * 598 / 600, abs=1), 450 * 10 * 2 // 60, 0)

    def test_a_trap_closes_the_valve_and_the_policy_restarts_the_node(
        self, directory: Path
    ) -> None:
        stays = loaded(directory)
        node = ScriptedNode(alternating(HOUR_MS, HOUR_MS), trap_at=frozenset({1}))
        plant, zones = new_plant(stays, lambda _: node)
        rows = rows_of(plant, run_plant(stays, plant, zones), 0)
        assert len(node.times_ms) == 2
        assert rows["trap"][-1] != 0
        assert rows["valve_open_s"].sum() == pytest.approx(3600.0)

        again = loaded(directory, extra='[guest]\nrestart = "90 s"\n')
        node = ScriptedNode(alternating(HOUR_MS, HOUR_MS), trap_at=frozenset({1}))
        plant, zones = new_plant(again, lambda _: node)
        rows = rows_of(plant, run_plant(again, plant, zones), 0)
        assert node.boots_ms[1] - node.times_ms[1] == 90_000
        assert rows["trap"][-1] == 0
        assert np.count_nonzero(rows["trap"]) == 1, "the trace tells of a trap that is over"
        assert plant.zones[0, NodeCol.TRAPS] == 1

    def test_a_guest_that_stops_at_once_does_not_stop_time(self, directory: Path) -> None:
        dry = loaded(directory, days=1, extra='[guest]\nrestart = "0 s"\n')
        node = ScriptedNode(iter([]), trap_at=frozenset(range(1000)), boot_wake_ms=1)
        plant, zones = new_plant(dry, lambda _: node)
        run_plant(dry, plant, zones)
        between = np.diff(node.boots_ms)
        assert len(between) == 1000
        assert (between >= 1000).all(), "no node starts in less than a second"

    def test_an_empty_battery_closes_the_valve_until_the_sun_shines(self, directory: Path) -> None:
        """A relay of 200 mA drains a small cell in the evening; a panel charges it next day."""
        energy = (
            "[zone.energy]\ncapacity_mah = 200\ninitial_charge = 0.5\nvalve_ma = 200\n"
            "solar_w = 0.5\n"
        )
        dry = loaded(directory, zone=energy)
        node = ScriptedNode(alternating(24 * HOUR_MS, HOUR_MS))
        plant, zones = new_plant(dry, lambda _: node)
        rows = rows_of(plant, run_plant(dry, plant, zones), 0)
        dark = np.flatnonzero((rows["valve_open"] == 0) & (rows["steps"] == 0))[2:]
        assert plant.powers.state[0, EnergyState.BROWNOUTS] >= 1
        assert len(node.boots_ms) >= 2, "it came back"
        gone_ms = rows["time_ms"][dark[0]]
        assert rows["battery_mv"][dark[1]] < 3500
        back_ms = node.boots_ms[1]
        between = (rows["time_ms"] > gone_ms) & (rows["time_ms"] < back_ms)
        assert between.any()
        assert (rows["irrigation_mm"][between] == 0).all()
        assert not any(gone_ms < t < back_ms for t in node.times_ms)

    @pytest.mark.parametrize("cutoff_mv", [2500, 2600, 3200])
    def test_no_node_draws_more_than_its_cell_had_and_the_sun_gave(
        self, directory: Path, cutoff_mv: int
    ) -> None:
        """Restarts, brown-outs and a cut-off that the voltage of a cell alone never reaches."""
        energy = (
            "[zone.energy]\ncapacity_mah = 5\nvalve_ma = 30\nvalve_pulse_j = 0.6\n"
            f"probe_ma = 5.3\nsolar_w = 0.02\ncutoff_mv = {cutoff_mv}\nrestart_mv = 3400\n"
        )
        cut = "".join(
            f'[[fault]]\nkind = "brown-out"\nstart = "{start} h"\nduration = "20 min"\n'
            for start in (1, 9, 30)
        )
        restarts = '[[fault]]\nkind = "reboot"\nstart = "12 h"\n'
        dry = loaded(directory, zone=energy, extra=cut + restarts)
        node = ScriptedNode(alternating(2 * HOUR_MS, HOUR_MS))
        plant, zones = new_plant(dry, lambda _: node)
        run_plant(dry, plant, zones)
        state = plant.powers.state[0]
        assert state[EnergyState.BROWNOUTS] >= 1
        assert state[EnergyState.SOLAR_MC] > 0
        drawn_mc = state[EnergyState.ENERGY_J] / 3.3 * 1000.0
        had_mc = 5.0 * 3600.0 + state[EnergyState.SOLAR_MC]
        assert drawn_mc + state[EnergyState.CHARGE_MC] <= had_mc * (1 + 1e-9)

    def test_a_node_whose_battery_is_empty_at_the_start_waits_for_the_sun(
        self, directory: Path
    ) -> None:
        energy = "[zone.energy]\ninitial_charge = 0\nsolar_w = 1\ncapacity_mah = 100\n"
        dry = loaded(directory, zone=energy)
        node = ScriptedNode(alternating(HOUR_MS, HOUR_MS))
        plant, zones = new_plant(dry, lambda _: node)
        run_plant(dry, plant, zones)
        # the sun of the first day rises hours after midnight
        assert node.boots_ms[0] >= plant.start_ms + 4 * HOUR_MS
        assert node.times_ms[0] >= node.boots_ms[0]


def test_threads_do_not_change_a_bit(directory: Path) -> None:
    many = loaded(directory, zones=("a",)).model_dump_json()
    assert many  # the text below makes forty zones of one table
    path = directory / "many.toml"
    path.write_text(
        small_field(model="richards").replace("area_m2 = 100", "area_m2 = 100\ncount = 40")
        + "\n[zone.spread]\nvalve.flow_l_min = 0.2\n",
        encoding="utf-8",
    )
    forty = scenarios.load(path)

    def rows(threads: int) -> Any:
        plant, zones = new_plant(
            forty,
            lambda i: ScriptedNode(alternating(1_000_000 + 10_000 * i, 5_000_000)),
            threads=threads,
        )
        found = run_plant(forty, plant, zones)
        return found[np.lexsort((found[:, INDEX["time_ms"]], found[:, INDEX["zone"]]))]

    np.testing.assert_array_equal(rows(2), rows(1))
