from __future__ import annotations

from pathlib import Path

import pytest
from small import ROOT, reactor, run

from levada.guest.abi import Call
from levada.guest.build import build
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import TapeReader, iter_records
from levada.sim.results.replay import replay_run
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.testing import small_field


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


FAULTS = """
[[fault]]
kind = "link-loss"
start = "3 h"
duration = "5 h"
[[fault]]
kind = "reboot"
start = "9 h 5 min"
[[fault]]
kind = "probe-open"
start = "12 h"
duration = "1 h"
magnitude = "-1 code"
[[fault]]
kind = "clock-skew"
start = "20 h"
duration = "3 h"
magnitude = "-45 min"
[[fault]]
kind = "brown-out"
start = "30 h"
duration = "2 h"
"""


@pytest.fixture(scope="module")
def left(directory: Path) -> RunDir:
    return run(directory, "left", zones=("a", "b"), extra=FAULTS)


def test_the_same_guest_makes_the_same_calls(left: RunDir) -> None:
    replay = replay_run(left)
    assert replay.exact, replay.difference
    assert replay.zones == 2
    # every step of the run, and an `init` at the start, the reboot and the return of power
    assert replay.steps == left.summary["steps"] + 2 * 3
    # a step of this guest makes eight calls here and some to keep its day; `init` reads the time
    # and eight values, and sets the valve
    kept = sum(
        record.call == Call.KEEP_SET
        for tape in TapeReader(left.tape_path).tapes()
        for record in iter_records(tape)
    )
    assert 0 < kept < 2 * 100 * 8
    assert replay.calls == 8 * left.summary["steps"] + kept + 10 * 6


def test_another_guest_is_told_apart_at_its_first_other_call(directory: Path, left: RunDir) -> None:
    """The shipped guest, but it reports a count more than it reads."""
    source = (ROOT / "levada/guest/irrigation/irrigation.c").read_text("utf-8")
    changed = directory / "irrigation.c"
    changed.write_text(
        source.replace('add_field("raw", raw)', 'add_field("raw", raw + 1)'), "utf-8"
    )
    build([changed], directory / "other.wasm")
    replay = replay_run(left, directory / "other.wasm")
    assert not replay.exact
    assert replay.zone == "a"
    assert replay.difference is not None
    start_ms = scenarios.load(left.scenario_path).period.start_ms
    assert replay.difference.time_ms == start_ms + 600_000, "the first step publishes"
    said = str(replay.difference)
    assert "raw" in said


def test_a_guest_of_another_make_replays_up_to_its_first_other_call(
    directory: Path, left: RunDir
) -> None:
    """The example in C: it has none of the parameters, and closes the valve before all else."""
    build([ROOT / "levada/guest/examples/threshold.c"], directory / "threshold.wasm")
    replay = replay_run(left, directory / "threshold.wasm")
    assert replay.complete
    assert not replay.exact
    assert replay.notes == tuple(
        f"zone {name}: this guest has no max_open_s, min_pause_s, off_pct, on_pct; left out"
        for name in ("a", "b")
    )
    assert replay.difference is not None
    start_ms = scenarios.load(left.scenario_path).period.start_ms
    assert replay.difference.time_ms == start_ms


def test_a_run_with_traps_and_restarts_replays(directory: Path) -> None:
    guest = directory / "traps.wasm"
    guest.write_bytes(reactor("unreachable"))
    body = small_field(days=1).partition("[zone.parameters]")[0]
    path = directory / "traps.toml"
    path.write_text(f'{body}[guest]\nfile = "{guest}"\nrestart = "2 h"\n', encoding="utf-8")
    run_scenario(scenarios.load(path), directory / "traps", report=False)
    replay = replay_run(RunDir(directory / "traps"))
    assert replay.exact, replay.difference
    assert replay.steps == 2 * 12


def test_a_command_guest_replays(directory: Path) -> None:
    build([ROOT / "levada/guest/examples/loop.c"], directory / "loop.wasm")
    body = small_field(days=1).partition("[zone.parameters]")[0]
    body = body.replace("available_pct = 60", "available_pct = 20")
    path = directory / "loop.toml"
    path.write_text(f'{body}[guest]\nfile = "{directory / "loop.wasm"}"\n', encoding="utf-8")
    run_scenario(scenarios.load(path), directory / "loop", report=False)
    replay = replay_run(RunDir(directory / "loop"))
    assert replay.exact, replay.difference
    assert replay.calls > 24


def test_a_guest_that_has_changed_since_is_refused(directory: Path) -> None:
    guest = directory / "mine.wasm"
    guest.write_bytes(DEFAULT_GUEST.read_bytes())
    run(directory, "mine", days=1, extra=f'[guest]\nfile = "{guest}"\n')
    guest.write_bytes(reactor("i32.const 60000"))
    with pytest.raises((RunDirError, ValueError), match=r"sha256|no longer the guest"):
        replay_run(RunDir(directory / "mine"))
