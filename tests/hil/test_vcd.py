"""The dump of a run, read back with another program (vcdvcd)."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from vcdvcd import VCDVCD

from guest.abi import Call
from guest.tape import TapeReader, iter_records
from hil.vcd import write_vcd
from sim import runner, scenario
from sim.rundir import RunDir

# importing vcdvcd lets a broken pipe end the process, as fits a command but not a test run
signal.signal(signal.SIGPIPE, signal.SIG_IGN)

QUICKSTART = Path(__file__).parents[2] / "scenarios" / "quickstart.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    period = [("period.start", "2023-06-25"), ("period.end", "2023-07-10")]
    loaded = scenario.load(QUICKSTART, period)
    path = tmp_path_factory.mktemp("vcd") / "run"
    runner.run_scenario(loaded, path, report=False)
    return RunDir(path)


@pytest.fixture(scope="module")
def dump(run: RunDir, tmp_path_factory: pytest.TempPathFactory) -> VCDVCD:
    path = tmp_path_factory.mktemp("vcd") / "run.vcd"
    write_vcd(run, path)
    return VCDVCD(str(path))


def test_the_valve_changes_when_the_guest_changed_it(run: RunDir, dump: VCDVCD) -> None:
    reader = TapeReader(run.tape_path)
    now, state, expected = 0, 0, [(0, "0")]
    for call, values, _ in iter_records(reader.tapes()[0]):
        if call == Call.STEP:
            now = values[0] - reader.start_ms
        elif call == Call.SET_OUTPUT and values[0] == 23 and values[1] != state:
            state = values[1]
            expected.append((now, str(state)))
    assert len(expected) > 2
    assert dump["maize.valve_commanded"].tv == expected


def test_a_step_is_an_event_at_its_time(run: RunDir, dump: VCDVCD) -> None:
    times = [time for time, _ in dump["maize.step"].tv]
    assert len(times) == run.summary["steps"] + 1  # and init
    assert set(np.diff(times[1:])) == {600_000}


def test_readings_are_those_that_the_guest_was_given(run: RunDir, dump: VCDVCD) -> None:
    seen = {int(value, 2) for _, value in dump["maize.moisture_counts"].tv}
    counts = run.trace["counts"]
    assert seen >= {int(c) for c in counts[1:]}


def test_flow_is_that_of_the_valve(dump: VCDVCD) -> None:
    flows = {float(value) for _, value in dump["maize.flow_l_min"].tv}
    assert max(flows) == 5.5  # as the valve of the scenario
    assert min(flows) == 0.0


def test_signals_have_the_names_of_the_zone_and_the_pins(dump: VCDVCD) -> None:
    assert {"maize.valve_open", "maize.output_18", "maize.trapped"} <= set(dump.signals)
