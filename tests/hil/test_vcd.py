"""The dump of a run, read back with another program (vcdvcd)."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from vcdvcd import VCDVCD

from levada.guest.abi import Call
from levada.guest.tape import TapeReader, iter_records
from levada.hil.vcd import _of_trace, write_vcd
from levada.sim.run import runner
from levada.sim.run.rundir import RunDir
from levada.sim.scenario import load as scenario

# importing vcdvcd lets a broken pipe end the process, as fits a command but not a test run
signal.signal(signal.SIGPIPE, signal.SIG_IGN)

QUICKSTART = Path(__file__).parents[2] / "levada/scenarios" / "quickstart.toml"


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
    (begin, unknown), *read = dump["maize.moisture_counts"].tv
    assert (begin, unknown) == (0, "x")
    seen = {int(value, 2) for _, value in read}
    counts = run.trace["counts"]
    assert seen >= {int(c) for c in counts[1:]}


def test_flow_is_that_of_the_valve(dump: VCDVCD) -> None:
    flows = {float(value) for _, value in dump["maize.flow_l_min"].tv}
    assert max(flows) == 5.5  # as the valve of the scenario
    assert min(flows) == 0.0


def test_water_flows_from_when_the_valve_has_opened_until_it_has_closed(
    run: RunDir, dump: VCDVCD
) -> None:
    delay_ms = 2000  # of the scenario's valve, both ways
    moved = [(time + delay_ms, state) for time, state in dump["maize.valve_commanded"].tv[1:]]
    assert len(moved) > 2
    assert dump["maize.valve_open"].tv == [(0, "0"), *moved]
    flow = [(time, float(value)) for time, value in dump["maize.flow_l_min"].tv]
    assert flow == [(0, 0.0), *((time, 5.5 * int(state)) for time, state in moved)]
    litres = sum(value * (end - time) / 60_000 for (time, value), (end, _) in pairwise(flow))
    assert litres == pytest.approx(run.summary["water_l"], rel=1e-5)


@pytest.mark.parametrize(
    ("is_open", "open_s", "litres", "commands", "expected"),
    [
        # opened and closed between two rows, where the guest said
        ((0, 0), 600, 50, [(1_200_000, 1)], [(0, 0, 0), (1_200_000, 1, 5), (1_800_000, 0, 0)]),
        # the same without a word of the guest: from the row on
        ((0, 0), 600, 50, [], [(0, 0, 0), (0, 1, 5), (600_000, 0, 0)]),
        # closed and opened again
        ((1, 1), 3000, 250, [(60_000, 0)], [(0, 1, 5), (60_000, 0, 0), (660_000, 1, 5)]),
        # a leak
        ((0, 0), 0, 6, [], [(0, 0, 0.1)]),
    ],
)
def test_between_two_rows_the_valve_moves_where_the_guest_moved_it(
    is_open: tuple[int, int],
    open_s: float,
    litres: float,
    commands: list[tuple[int, int]],
    expected: list[tuple[int, int, float]],
) -> None:
    rows = {
        "zone": (0, 0),
        "time_ms": (0, 3_600_000),
        "valve_open": is_open,
        "valve_open_s": (0, open_s),
        "flow_l": (0, litres),
    }
    trace = {name: np.array(values) for name, values in rows.items()}
    found = list(_of_trace(SimpleNamespace(trace=trace), 0, commands))  # type: ignore[arg-type]
    assert [(t, v) for t, signal, v in found if signal == "valve_open"] == [e[:2] for e in expected]
    assert [v for _, signal, v in found if signal == "flow_l_min"] == [e[2] for e in expected]


def test_signals_have_the_names_of_the_zone_and_the_pins(dump: VCDVCD) -> None:
    assert {"maize.valve_open", "maize.output_18", "maize.trapped"} <= set(dump.signals)
