"""Looking into a step of a run: `levada replay --until --dump`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import wasmtime

from levada.guest.module.all_globals import global_names, with_all_globals
from levada.sim.results.replay import replay_run
from levada.sim.results.step_dump import dump_step, memory_lines
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.testing import small_field
from levada.twin.cli.main import _run

STEP_MS = 600_000


def counting(by: int, *, most: int = 1000) -> bytes:
    """Adds `by` to a global in each step, copies it to byte 64, logs it; stops above `most`."""
    return bytes(
        wasmtime.wat2wasm(
            f"""(module
              (import "env" "log_int" (func $log_int (param i32)))
              (memory (export "memory") 1)
              (global $total (mut i32) (i32.const 0))
              (global (export "mine") i32 (i32.const -7))
              (func (export "abi_version") (result i32) i32.const 1)
              (func (export "init") (result i32) i32.const {STEP_MS})
              (func (export "step") (result i32)
                (global.set $total (i32.add (global.get $total) (i32.const {by})))
                (i32.store (i32.const 64) (global.get $total))
                (if (i32.gt_s (global.get $total) (i32.const {most})) (then unreachable))
                (call $log_int (global.get $total))
                i32.const {STEP_MS}))"""
        )
    )


def made(directory: Path, guest: bytes, zones: tuple[str, ...] = ("a",)) -> RunDir:
    directory.mkdir()
    (directory / "guest.wasm").write_bytes(guest)
    body = re.sub(r"\[zone.parameters\]\n(\w+ = \d+\n)+", "", small_field(days=1, zones=zones))
    path = directory / "s.toml"
    path.write_text(f'{body}[guest]\nfile = "guest.wasm"\n', "utf-8")
    run_scenario(scenarios.load(path), directory / "run", report=False)
    return RunDir(directory / "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return made(tmp_path_factory.mktemp("dump") / "one", counting(3))


def start_ms(run: RunDir) -> int:
    return scenarios.load(run.scenario_path).period.start_ms


def test_memory_and_globals_are_those_of_that_step(run: RunDir) -> None:
    dump = dump_step(run, start_ms(run) + 4 * STEP_MS + 1)
    assert dump.time_ms == start_ms(run) + 4 * STEP_MS
    # `init` is run 0; four steps of 3
    assert (dump.run, dump.globals) == (4, {"total": 12, "mine": -7})
    assert dump.memory[64:68] == b"\x0c\0\0\0"
    assert dump.recorded == dump.made
    assert "log_int(12)" in dump.made
    assert list(memory_lines(dump.memory)) == [f"0x000040  0c{' 00' * 15}  {'.' * 16}"]


def test_another_guest_does_what_it_would_have_done(run: RunDir, tmp_path: Path) -> None:
    other = tmp_path / "other.wasm"
    other.write_bytes(counting(5))
    dump = dump_step(run, start_ms(run) + 2 * STEP_MS, guest=other)
    assert dump.globals["total"] == 10
    assert "log_int(6)" in dump.recorded
    assert "log_int(10)" in dump.made


def test_of_a_stopped_guest_what_it_held_is_shown(tmp_path: Path) -> None:
    run = made(tmp_path / "trap", counting(4, most=10))
    dump = dump_step(run)
    assert dump.globals["total"] == 12
    assert dump.made[-1].startswith("trap")
    assert dump.parameters == {}


def test_up_to_a_moment_a_changed_guest_may_be_exact(run: RunDir, tmp_path: Path) -> None:
    other = tmp_path / "later.wasm"
    other.write_bytes(counting(3, most=10))
    whole = replay_run(run, other)
    assert not whole.exact
    early = replay_run(run, other, until_ms=start_ms(run) + 3 * STEP_MS)
    assert early.exact
    assert early.steps == 4


def test_the_command_prints_all_of_it(run: RunDir, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run(["replay", str(run.path), "--until", "40 min", "--dump"]) == 0
    shown = capfd.readouterr().out
    for part in ("zone a, ", "log_int(12)", "total = 12 (0xc)", "mine = -7", "0x000040  0c 00"):
        assert part in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--until", "soon"), "must be a time such as"),
        (("--until", "2000-01-01"), "before the start of the run"),
        (("--until", "2023-07-06T01:00+02:00"), "leave the UTC offset out"),
        (("--zone", "a"), "only with --dump"),
        (("--dump", "--zone", "b"), "no zone 'b'; there are a"),
    ],
)
def test_what_cannot_be_shown_is_said(
    run: RunDir, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    assert _run(["replay", str(run.path), *arguments]) == 2
    assert says in " ".join(capfd.readouterr().err.replace("│", " ").split())


def test_of_several_zones_one_must_be_named(tmp_path: Path) -> None:
    run = made(tmp_path / "two", counting(1), zones=("a", "b"))
    with pytest.raises(RunDirError, match="2 zones; name one: a, b"):
        dump_step(run)
    assert dump_step(run, zone="b").zone == "b"


def test_a_global_has_the_name_of_the_name_section() -> None:
    module = counting(1)
    assert global_names(module)[0] == "total"
    exports = wasmtime.Module(wasmtime.Engine(), with_all_globals(module)).exports
    assert sorted(e.name for e in exports if isinstance(e.type, wasmtime.GlobalType)) == [
        "levada global 0",
        "mine",
    ]
