"""A guest that was stopped: the run has failed, and says when, in which function, and why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import wasmtime

from levada.sim.results.golden import accept
from levada.sim.results.report import write
from levada.sim.run import stops
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.testing import small_field
from levada.twin.cli.main import _run


def guest(decide: str, *, init: str = "i32.const 0", result: str = "i32.const 0") -> bytes:
    """A guest with names, which opens its valve and then calls `decide`."""
    return bytes(
        wasmtime.wat2wasm(
            f"""(module
              (import "env" "set_output" (func $set_output (param i32 i32)))
              (import "env" "wasm_log" (func $wasm_log (param i32)))
              (memory (export "memory") 1)
              (func $decide {decide})
              (func (export "abi_version") (result i32) i32.const 1)
              (func $init (export "init") (result i32) {init})
              (func $step (export "step") (result i32)
                (call $set_output (i32.const 23) (i32.const 1)) (call $decide) {result}))"""
        )
    )


def scenario(
    directory: Path, module: bytes, *, extra: str = "", zones: tuple[str, ...] = ("a",)
) -> Path:
    (directory / "guest.wasm").write_bytes(module)
    body = re.sub(r"\[zone.parameters\]\n(\w+ = \d+\n)+", "", small_field(days=1, zones=zones))
    path = directory / "s.toml"
    path.write_text(f'{body}[guest]\nfile = "guest.wasm"\n{extra}', "utf-8")
    return path


def levada(*arguments: str | Path) -> object:
    return _run([*map(str, arguments)])


UNREACHABLE = guest("unreachable")


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (UNREACHABLE, r"step: unreachable \(.*\); backtrace: decide\+0x\w+ < step\+0x\w+$"),
        (
            guest("unreachable", init="(call $decide) i32.const 0"),
            r"init: unreachable \(.*\); backtrace: decide\+0x\w+ < init\+0x\w+$",
        ),
        (guest("", init="i32.const -3"), r"init: guest fault \(init returned -3\)$"),
        (guest("", result="i32.const -7"), r"step: guest fault \(step returned -7\)$"),
        (guest("(loop (br 0))"), r"step: out of fuel \(more than 1000000 .*\); backtrace: decide"),
        (
            guest("(call $wasm_log (i32.const -5))"),
            r"step: pointer \(wasm_log: .*\); backtrace: decide < step$",
        ),
    ],
    ids=["trap", "trap in init", "fault in init", "fault", "endless", "host call"],
)
@pytest.mark.parametrize("restart", ["never", "2 h"])
def test_a_stopped_guest_fails_a_run_that_expects_nothing_and_is_the_first_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], module: bytes, told: str, restart: str
) -> None:
    path = scenario(tmp_path, module, extra=f'restart = "{restart}"\n')
    assert levada("run", path, "--out", tmp_path / "run", "--junit", tmp_path / "j.xml") == 1
    first = capfd.readouterr().out.splitlines()[0]
    assert re.match(r"zone a, 2023-07-06T00:[01]0:00: guest stopped in ", first)
    assert re.search(told if restart == "never" else told.split(";")[0].rstrip("$"), first)
    assert ("12 times in all" in first) == (restart != "never")
    [judged] = RunDir(tmp_path / "run").summary["expectations"]
    assert (judged["name"], judged["passed"], judged["zone"]) == (stops.EXPECTATION, False, "a")
    assert "<failure" in (tmp_path / "j.xml").read_text("utf-8")


def test_the_backtrace_has_the_names_of_the_module(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert levada("run", scenario(tmp_path, UNREACHABLE), "--out", tmp_path / "run", "-q") == 1
    first = capfd.readouterr().out.splitlines()[0]
    assert re.search(r"backtrace: decide\+0x\w+ < step\+0x\w+$", first)


def test_every_zone_that_was_stopped_is_told_and_counted(tmp_path: Path) -> None:
    zones = tuple(f"z{k}" for k in range(12))
    loaded = scenarios.load(scenario(tmp_path, UNREACHABLE, zones=zones))
    summary = run_scenario(loaded, tmp_path / "run", report=False).summary
    assert summary["traps"] == 12
    told = stops.lines(summary)
    assert len(told) == stops.SHOWN + 1
    assert told[-1] == "the guests of 4 more zones were stopped"


@pytest.mark.parametrize(("that", "code"), [("trap == UNREACHABLE", 0), ("trap == DEADLINE", 1)])
def test_where_a_stop_is_the_story_the_expectations_judge(
    tmp_path: Path, that: str, code: int
) -> None:
    expect = f'[[expect]]\nname = "it stops"\nkind = "happens"\nthat = "{that}"\n'
    path = scenario(tmp_path, UNREACHABLE, extra=f"may_stop = true\n{expect}")
    assert levada("run", path, "-q", "--out", tmp_path / "run") == code
    assert "as this scenario permits" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_the_report_has_an_alarm(tmp_path: Path) -> None:
    loaded = scenarios.load(scenario(tmp_path, UNREACHABLE))
    run_scenario(loaded, tmp_path / "run", report=False)
    page = write(tmp_path / "run").read_text("utf-8")
    assert 'class="banner stopped" role="alert"' in page
    assert "The guest was stopped." in page
    assert "decide+0x" in page


def test_a_run_whose_guest_was_stopped_is_no_golden_one(tmp_path: Path) -> None:
    loaded = scenarios.load(scenario(tmp_path, UNREACHABLE))
    run_scenario(loaded, tmp_path / "run", report=False)
    with pytest.raises(RunDirError, match="its guest was stopped"):
        accept(RunDir(tmp_path / "run"), tmp_path / "golden", {})
    assert not (tmp_path / "golden").exists()


def test_two_equal_runs_with_a_stopped_guest_do_not_pass_a_comparison(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = scenario(tmp_path, UNREACHABLE)
    for name in ("one", "two"):
        levada("run", path, "-q", "--out", tmp_path / name)
    capfd.readouterr()
    assert levada("compare", "--exact", tmp_path / "one", tmp_path / "two") == 1
    shown = capfd.readouterr().out.replace("\n", "")
    assert shown.count("guest stopped in step") == 2
    assert "identical" in shown


def test_nodes_that_all_stop_the_guest_do_not_pass(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = scenario(tmp_path, UNREACHABLE)
    nodes = ("--node", "sim", "--node", "virtual")
    assert levada("diff", path, *nodes, "--out", tmp_path / "out") == 1
    shown = capfd.readouterr().out.replace("\n", "")
    assert "guest stopped in step: unreachable on virtual:wasm3" in shown
    assert "identical" in shown


def test_the_first_stop_is_told_though_the_guest_runs_again(tmp_path: Path) -> None:
    once = """(if (i32.eqz (i32.load (i32.const 0))) (then
      (i32.store (i32.const 0) (i32.const 1)) (return)))  unreachable"""
    loaded = scenarios.load(scenario(tmp_path, guest(once), extra='restart = "1 d"\n'))
    summary = run_scenario(loaded, tmp_path / "run", report=False).summary
    [zone] = summary["zones"]
    assert zone["traps"] == 1
    assert "unreachable" in zone["trap"]
    assert json.dumps(zone["trap_backtrace"]).count("decide") == 1
