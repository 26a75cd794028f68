"""The command line itself: options that commands share, what is shown, how errors are told."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from levada.guest.exit_codes import INTERRUPTED, Exit
from levada.guest.shipped import DEFAULT_GUEST
from levada.hil.diff import Diff, NodeRun
from levada.sim.results.compare import Comparison, SignalDifference
from levada.sim.run import runner
from levada.sim.run.rundir import RunDir
from levada.testing import small_field
from levada.twin.cli import console
from levada.twin.cli.main import _run


@pytest.fixture
def field(tmp_path: Path) -> Path:
    path = tmp_path / "field.toml"
    path.write_text(small_field(days=1), encoding="utf-8")
    return path


def code_of(*arguments: str | Path) -> object:
    return _run([*map(str, arguments)])


def difference(signal: str) -> Comparison:
    found = SignalDifference(
        signal=signal,
        zone="a-zone-with-a-name-of-some-length-001",
        first="2023-07-06T01:10:00.000",
        a=123.456,
        b=123.457,
        largest=0.00123,
        allowed=1e-06,
    )
    return Comparison(calls=7, zone=None, tape=None, signals=(found,), notes=())


def test_a_table_of_differences_is_never_cut_when_it_is_piped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(console, "out", console._console(stderr=False))
    console.comparison(difference("root_zone_theta_of_the_deepest_layer"))
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row == [
        "root_zone_theta_of_the_deepest_layer",
        "a-zone-with-a-name-of-some-length-001",
        "2023-07-06T01:10:00.000",
        *("123.456", "123.457", "0.00123", "1e-06"),
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_of_differences_keeps_every_character_on_a_narrow_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "out", Console(width=width, highlight=False, markup=False))
    console.comparison(difference("theta"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    shown = sorted(re.sub(r"\s", "", "".join(lines)))
    told = "hostcalls:identicalover7callssignalzonefirstatABlargestallowed"
    told += "thetaa-zone-with-a-name-of-some-length-0012023-07-06T01:10:00.000"
    told += "123.456123.4570.001231e-06"
    assert shown == sorted(told)


@pytest.mark.parametrize("option", ["--node", "--set"])
def test_a_node_that_is_none_is_told_with_the_option_that_named_it(
    option: str, field: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = "virtal" if option == "--node" else "zone.a.node=virtal"
    assert code_of("run", field, option, given, "--out", tmp_path / "run") == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert option in said
    assert "unknown kind of node `virtal`: did you mean `virtual`?" in said
    assert ("--set" in said) == (option == "--set")


def test_an_engine_that_is_none_gets_a_suggestion(
    field: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert code_of("run", field, "--node", "virtual:wasm", "--out", tmp_path / "run") == 2
    assert "unknown variant `wasm`: did you mean `wasm3`? permitted wasm3," in (
        capsys.readouterr().err
    )


def test_a_period_outside_the_weather_has_a_place_in_the_file_beside_all_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "field.toml"
    text = small_field(start="2024-01-06", days=1).replace("on_pct = 70", "on_pct = 700")
    path.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines, 1) if "2024-01-06" in line)
    on_pct = next(n for n, line in enumerate(lines, 1) if "on_pct" in line)
    assert code_of("lint", path) == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert f"{path}:{start}:" in said
    assert f"{path}:{on_pct}:" in said
    assert re.search(r"period 2024-01-06 to 2024-01-06 is not in .*\.csv", said)
    assert "the file has 2023-01-01 to 2023-10-31" in said


def test_an_interrupt_that_a_compiler_turned_into_an_error_is_an_interrupt(
    field: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def broken_off(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("no compiled object yet")  # noqa: B904 - as numba does

    monkeypatch.setattr(runner, "run_scenario", broken_off)
    assert code_of("run", field, "--out", tmp_path / "run") == INTERRUPTED
    assert "internal error" not in capsys.readouterr().err


def test_an_error_of_ours_stays_an_internal_one(
    field: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("no compiled object yet")

    monkeypatch.setattr(runner, "run_scenario", wrong)
    assert code_of("run", field, "--out", tmp_path / "run") == Exit.INTERNAL
    assert "internal error: RuntimeError: no compiled object yet" in capsys.readouterr().err


def test_every_node_is_judged_before_the_first_runs(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(runner, "run_scenario", lambda *given, **_: ran.append(given))
    nodes = ("--node", "sim", "--node", "virtul")
    assert code_of("diff", field, *nodes, "--out", tmp_path / "out") == Exit.BAD_INPUT
    assert ran == []


@pytest.mark.parametrize("width", [30, 60])
def test_nodes_side_by_side_keep_every_character_on_a_narrow_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "out", Console(width=width, highlight=False, markup=False))
    summary = {"tape_digest": "55bab9e78e41da47", "wall_s": 0.9}
    link = {"engine": "wasm3 0.5.0", "firmware": "levada 0.1.0 posix", "restarts": []}
    run = NodeRun(
        node="virtual",
        path=Path(),
        summary={**summary, "link": {"a": link}},
        zone=None,
        difference=None,
    )
    console.diff(Diff(runs=(run,), calls=7))
    shown = re.sub(r"\s", "", capsys.readouterr().out)
    told = "virtualwasm30.5.0,levada0.1.0posixtape55bab9e78e41da470.9sidenticalover7calls"
    assert sorted(shown) == sorted(told)


def test_nodes_are_compared_with_another_guest(field: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.wasm"
    custom_section = b"\x00\x06\x05notes"
    other.write_bytes(DEFAULT_GUEST.read_bytes() + custom_section)
    nodes = ("--node", "sim", "--node", "sim")
    assert code_of("diff", field, "--guest", other, *nodes, "--out", tmp_path / "out") == Exit.PASS
    ran = {RunDir(path.parent).summary["guest_sha256"] for path in tmp_path.rglob("summary.json")}
    assert ran == {sha256(other.read_bytes()).hexdigest()}
