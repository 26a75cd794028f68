"""Faults that reports of the field tell of, each with an answer that is known by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from small import column, made_weather, new_plant, run, run_plant

from levada.guest.abi import Sensor
from levada.guest.fast import fastpath
from levada.guest.tape import TapeReader, iter_records
from levada.sim.devices.supply import pressure_kpa
from levada.sim.devices.valve import ValveState
from levada.sim.run.plant import Plant
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.model import Scenario
from levada.sim.settings.supply import WaterSupply
from levada.testing import ScriptedNode, small_field

STEP_MS = 600_000
WEATHER = made_weather("2023-07-06", [0.0, 0.0], [30.0] * 2)
VALVE = "opening_delay_s = 0\nclosing_delay_s = 0\nmax_open_s = 43200\n"
"""Behind what the small field says of its valve: 10 L a minute."""


def fault(kind: str, start: str, duration: str, magnitude: str = "") -> str:
    text = f'[[fault]]\nkind = "{kind}"\nstart = "{start}"\nduration = "{duration}"\n'
    return text + (f'magnitude = "{magnitude}"\n' if magnitude else "")


def open_from(first: int, steps: int) -> Iterator[tuple[int, int]]:
    """Open at the first-th step for so many steps, then closed."""
    return chain(repeat((0, STEP_MS), first), repeat((1, STEP_MS), steps), repeat((0, STEP_MS)))


def field_of(directory: Path, valve: str = VALVE, supply: str = "", **parts: Any) -> Scenario:
    """The small field with further keys of its zones' valves, and a supply if one is named."""
    text = small_field(**parts).replace("flow_l_min = 10\n", f"flow_l_min = 10\n{valve}\n")
    if supply:
        text = text.replace("area_m2 = 100\n", f'area_m2 = 100\nsupply = "{supply}"\n')
    path = directory / "field.toml"
    path.write_text(text, "utf-8")
    return scenarios.load(path)


def watered(
    directory: Path, script: Iterator[tuple[int, int]], valve: str = VALVE, **parts: Any
) -> tuple[ScriptedNode, Plant]:
    """A node that follows the script for two days, and its plant."""
    loaded = field_of(directory, valve, **parts)
    node = ScriptedNode(script)
    plant, zones = new_plant(loaded, lambda _: node, WEATHER)
    run_plant(loaded, plant, zones)
    return node, plant


def litres(plant: Plant, zone: int = 0) -> float:
    return float(plant.valves.state[zone, ValveState.VOLUME_L])


# --- a latching valve -----------------------------------------------------------------------------


@pytest.mark.parametrize(("latching", "minutes"), [("false", 60), ("true", 60 + 120)])
def test_a_latching_valve_stays_open_while_the_power_is_gone(
    latching: str, minutes: int, tmp_path: Path
) -> None:
    """Opened at 2:00, power gone from 3:00 to 5:00: the boot closes it; 10 L a minute."""
    valve = f"{VALVE}latching = {latching}\n"
    script = open_from(11, 6)
    _, plant = watered(tmp_path, script, valve, extra=fault("brown-out", "3 h", "2 h"))
    assert litres(plant) == pytest.approx(10.0 * minutes)


def test_a_latching_valve_that_is_closed_stays_closed(tmp_path: Path) -> None:
    valve = f"{VALVE}latching = true\n"
    closed = repeat((0, STEP_MS))
    _, plant = watered(tmp_path, closed, valve, extra=fault("brown-out", "3 h", "2 h"))
    assert litres(plant) == 0.0


def test_the_timer_of_a_latching_valve_has_no_power_either(tmp_path: Path) -> None:
    """A timer of 90 minutes does not close what was opened an hour before the power went."""
    valve = VALVE.replace("43200", "5400") + "latching = true\n"
    _, plant = watered(tmp_path, open_from(11, 6), valve, extra=fault("brown-out", "3 h", "2 h"))
    assert litres(plant) == pytest.approx(10.0 * 180)


# --- the flow meter -------------------------------------------------------------------------------


def pulses(node: ScriptedNode) -> int:
    return sum(readings[Sensor.FLOW] for readings in node.readings)


@pytest.mark.parametrize(
    ("kind", "magnitude", "counted"),
    [
        # an hour of 10 L a minute and 450 pulses a litre, the second half under the fault
        ("meter-dead", "", 0.5 * 270_000),
        ("meter-slip", "30 %", (0.5 + 0.5 * 0.7) * 270_000),
        ("meter-noise", "20 pulses/min", 270_000 + 20 * 60),
    ],
)
def test_a_meter_counts_wrong_while_its_fault_lasts(
    kind: str, magnitude: str, counted: float, tmp_path: Path
) -> None:
    """Open from 2:00 to 3:00; the fault acts from 2:30 to 3:30."""
    script = open_from(11, 6)
    node, plant = watered(tmp_path, script, extra=fault(kind, "150 min", "1 h", magnitude))
    assert litres(plant) == pytest.approx(600.0)
    assert pulses(node) == pytest.approx(counted, abs=1)


# --- the clock ------------------------------------------------------------------------------------


def test_a_clock_that_is_not_set_begins_at_1970_with_the_restart(tmp_path: Path) -> None:
    node, _ = watered(tmp_path, repeat((0, STEP_MS)), extra=fault("clock-unset", "6 h", "2 h"))
    start_ms = node.boots_ms[0]
    assert node.boots_ms[1:] == [0]
    unset = [time for time in node.times_ms if time < start_ms]
    assert unset == [600_000 * k for k in range(1, 12)]
    # set again at 8:00, and no step is missed
    after = [time - start_ms for time in node.times_ms if time >= start_ms + 8 * 3_600_000]
    assert after[:2] == [8 * 3_600_000, 8 * 3_600_000 + STEP_MS]


# --- a command that is lost -----------------------------------------------------------------------


def test_a_command_that_is_lost_leaves_the_valve_as_it_is(tmp_path: Path) -> None:
    """Opened at 2:00, closed at 3:00, which does not arrive before 4:30."""
    script = open_from(11, 6)
    node, plant = watered(tmp_path, script, extra=fault("command-loss", "150 min", "2 h"))
    assert litres(plant) == pytest.approx(10.0 * 150)
    assert all(node.online), "the link is up"


def test_an_opening_that_is_lost_gives_no_water(tmp_path: Path) -> None:
    _, plant = watered(tmp_path, open_from(11, 6), extra=fault("command-loss", "110 min", "2 h"))
    assert litres(plant) == 0.0


# --- a supply that is shared ----------------------------------------------------------------------

PUMP = '[[supply]]\nname = "pump"\nshutoff_kpa = 200\nflow_l_min = 40\npressure_kpa = 100\n'


def fed(directory: Path, extra: str = PUMP, valve: str = VALVE, supply: str = "pump") -> Scenario:
    """Zones a and b, which have that supply."""
    return field_of(directory, valve, supply, zones=("a", "b"), extra=extra)


def test_the_pressure_of_a_pump_is_where_its_curve_meets_the_emitters() -> None:
    """p = 200 - 100 (Q / 40)^2 with Q = n 10 (p / 100)^0.5 has p = 200 / (1 + n^2 / 16)."""
    pump = WaterSupply(name="pump", shutoff_kpa=200.0, flow_l_min=40.0, pressure_kpa=100.0)
    for n in range(5):
        draws = [(10.0, 100.0, 0.5, 0.0)] * n
        assert pressure_kpa(pump, draws) == pytest.approx(200.0 / (1.0 + n * n / 16.0))
    assert pressure_kpa(pump, [(20.0, 100.0, 0.0, 0.0)]) == pytest.approx(175.0)
    assert pressure_kpa(pump, [(1000.0, 100.0, 0.0, 0.0)]) == 0.0


def test_zones_that_water_together_have_less_each(tmp_path: Path) -> None:
    """b waters from 1:00 to 3:00, a from 2:00 to 3:00: alone 10 (200 / 1.0625 / 100)^0.5 L/min,
    together 10 (160 / 100)^0.5 each.  Pressure follows with the step of the field, ten minutes.
    """
    loaded = fed(tmp_path)
    scripts = (open_from(11, 6), open_from(5, 12))
    plant, zones = new_plant(loaded, lambda i: ScriptedNode(scripts[i]), WEATHER)
    run_plant(loaded, plant, zones)
    none, alone, both = (10.0 * (p / 100.0) ** 0.5 for p in (200.0, 200.0 / 1.0625, 160.0))
    # in its first ten minutes an opening still finds the pressure of before
    assert litres(plant, 1) == pytest.approx(10 * none + 60 * alone + 50 * both)
    assert litres(plant, 0) == pytest.approx(10 * alone + 50 * both)


def test_zones_that_share_a_supply_have_the_same_tape_on_nodes_elsewhere(tmp_path: Path) -> None:
    """The guests of one run step inside the plant, those of the other are called one by one."""
    path = tmp_path / "field.toml"
    fed(tmp_path)
    tapes = []
    for place in ("fast", "ordinary"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fastpath, "chosen", lambda place=place: place)
            run_scenario(scenarios.load(path), tmp_path / place, report=False)
        tapes.append(RunDir(tmp_path / place).summary["tape_digest"])
        flow = column(RunDir(tmp_path / place), "flow_l")
        assert flow.sum() > 0.0
    assert tapes[0] == tapes[1]


def test_a_shared_supply_does_not_depend_on_how_time_is_sliced(tmp_path: Path) -> None:
    found = []
    for slice_s in (600, 3600, 86_400):
        loaded = fed(tmp_path)
        scripts = (open_from(11, 6), open_from(5, 12))
        plant, zones = new_plant(loaded, lambda i: ScriptedNode(scripts[i]), WEATHER)  # noqa: B023
        run_plant(loaded, plant, zones, slice_s)
        found.append([litres(plant, zone) for zone in (0, 1)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"supply": "pomp"}, "no [[supply]] has this name"),
        ({"supply": ""}, "no zone has it as its `supply`"),
        ({"extra": PUMP + PUMP}, "given twice"),
        ({"extra": PUMP.replace("100", "300")}, "permitted below `shutoff_kpa`"),
        ({"valve": "pressure_kpa = 150"}, "the pressure is that of its `supply`"),
    ],
)
def test_a_supply_that_cannot_be_meant_is_refused(
    changes: dict[str, str], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError) as refused:
        fed(tmp_path, **changes)
    assert says in str(refused.value)


def test_the_guest_reads_1970_on_the_tape_too(tmp_path: Path) -> None:
    left = run(tmp_path, extra=fault("clock-unset", "6 h", "2 h"))
    tape = TapeReader(left.path / "tape.cbor").tapes()[0]
    clocks = [r.values[0] for r in iter_records(tape) if r.call.name == "NOW_S"]
    assert [clock for clock in clocks if clock < 86_400] == [600 * k for k in range(1, 12)]
