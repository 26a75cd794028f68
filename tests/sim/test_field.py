from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import (
    column,
    new_plant,
    rows_of,
    run,
    run_plant,
    scenario,
)

from levada.guest.abi import Call, ErrorCode, Sensor
from levada.guest.tape import Record, TapeReader, iter_records
from levada.guest.wasm.node import WasmtimeNode
from levada.sim.run.build import NodeSettings
from levada.sim.run.clock import new_clock
from levada.sim.run.field import Field
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import run_scenario
from levada.sim.run.zone_columns import NodeCol
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.fault import timeline
from levada.testing import ScriptedNode, alternating, small_field


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("field")


def test_the_recorder_is_called_at_the_end_of_every_slice(directory: Path) -> None:
    loaded = scenario(directory)
    plant, zones = new_plant(loaded, lambda _: ScriptedNode(iter([])))
    called: list[int] = []

    def recorder(now_ms: int) -> None:
        called.append(now_ms)
        assert (plant.zones[:, NodeCol.NOW_MS] == now_ms).all(), "every zone is there"
        plant.take_rows()

    field = Field(
        new_clock(None), plant, faults=timeline(loaded, zones), recorder=recorder, slice_s=36_000
    )
    field.run()
    start_ms = loaded.period.start_ms
    hours = [(t - start_ms) / 3_600_000 for t in called]
    assert hours == [10.0, 20.0, 30.0, 40.0, 48.0]
    assert field.now_ms == loaded.period.end_ms


def test_a_fault_acts_from_its_instant_before_the_nodes_of_that_instant(directory: Path) -> None:
    """The node steps at every full ten minutes; without a link from exactly 3:00 to 4:00."""
    loaded = scenario(
        directory,
        days=1,
        extra='[[fault]]\nkind = "link-loss"\nstart = "3 h"\nduration = "1 h"\n',
    )
    node = ScriptedNode(iter([]))
    plant, zones = new_plant(loaded, lambda _: node)
    run_plant(loaded, plant, zones)
    start_ms = loaded.period.start_ms
    off = [
        (t - start_ms) / 60_000
        for t, online in zip(node.times_ms, node.online, strict=True)
        if not online
    ]
    assert off == [180.0 + 10 * k for k in range(6)]


SAME_INSTANT = """
[[fault]]
kind = "link-loss"
start = "3 h"
duration = "1 h"
[[fault]]
kind = "probe-open"
start = "3 h"
duration = "20 min"
magnitude = "-1 code"
[[fault]]
kind = "reboot"
start = "5 h"
"""
"""Every instant is a full ten minutes, when the guest steps."""


def test_faults_and_a_step_at_one_instant_are_the_same_inside_the_plant_and_outside(
    directory: Path,
) -> None:
    inside = run(directory, "inside", days=1, extra=SAME_INSTANT)

    def make_node(settings: NodeSettings) -> WasmtimeNode:
        return WasmtimeNode(settings.module, config=settings.config, parameters=settings.parameters)

    elsewhere = directory / "outside.toml"
    elsewhere.write_text(
        small_field(days=1, extra=SAME_INSTANT).replace("area_m2", 'node = "virtual"\narea_m2'),
        "utf-8",
    )
    run_scenario(
        scenarios.load(elsewhere), directory / "outside", make_node=make_node, report=False
    )
    outside = RunDir(directory / "outside")
    assert inside.summary["tape_digest"] == outside.summary["tape_digest"]
    for name in ("counts", "valve_commanded", "irrigation_mm", "theta_root"):
        np.testing.assert_array_equal(column(inside, name), column(outside, name), err_msg=name)
    # both faults act on the step of their instant: its probe is open, and it cannot publish
    start_ms = scenarios.load(inside.scenario_path).period.start_ms
    steps: dict[int, list[Record]] = {}
    for record in iter_records(TapeReader(inside.tape_path).tapes()[0]):
        if record.call == Call.STEP:
            now = steps.setdefault((record.values[0] - start_ms) // 1000, [])
        elif record.call in (Call.READ_SENSOR, Call.MQTT_PUBLISH):
            now.append(record)
    at_once = {
        record.call: record.values[-1]
        for record in steps[10_800]
        if record.call == Call.MQTT_PUBLISH or record.values[0] == Sensor.MOISTURE
    }
    assert at_once == {Call.READ_SENSOR: -1, Call.MQTT_PUBLISH: ErrorCode.OFFLINE}


def test_nodes_are_called_when_their_time_has_come_and_the_clock_shows_it(
    directory: Path,
) -> None:
    loaded = scenario(directory, days=1, zones=("a", "b"))
    seen: list[tuple[float, int]] = []
    clock = new_clock(None)

    class Watched(ScriptedNode):
        def step(self, time_ms, readings, **given):  # type: ignore[no-untyped-def]
            seen.append((clock.now, time_ms))
            return super().step(time_ms, readings, **given)

    plant, zones = new_plant(loaded, lambda i: Watched(alternating(1_234_567 + i, 7_654_321 + i)))
    field = Field(
        clock,
        plant,
        faults=timeline(loaded, zones),
        recorder=lambda _: plant.take_rows(),
    )
    field.run()
    plant.close()
    assert len(seen) > 30
    for now_s, time_ms in seen:
        assert time_ms - loaded.period.start_ms == pytest.approx(1000 * now_s, abs=1)


def test_a_reboot_wakes_a_node_that_would_have_slept(directory: Path) -> None:
    loaded = scenario(
        directory, days=1, extra='[[fault]]\nkind = "reboot"\nstart = "5 h 5 min 5 s"\n'
    )
    node = ScriptedNode(iter([(1, 86_000_000)]))
    plant, zones = new_plant(loaded, lambda _: node)
    rows = rows_of(plant, run_plant(loaded, plant, zones), 0)
    start_ms = loaded.period.start_ms
    assert node.boots_ms == [start_ms, start_ms + 18_305_000]
    # open from 10 min to the reboot, with equal delays
    assert rows["valve_open_s"].sum() == pytest.approx(18_305 - 600)
    assert np.flatnonzero(rows["valve_commanded"])[-1] == 30
