"""`levada guest attack`: what it shows, writes and ends with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from levada.guest.attacks.cases import Suite, suite
from levada.hil import attacks
from levada.twin.cli.main import main


def ended(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        main(["guest", "attack", *arguments])
    return caught.value.code


def test_a_row_on_one_engine_is_shown_with_what_it_tries(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ended("S2", "--engine", "virtual", "--mutants", "5") == 0
    shown = capsys.readouterr().out
    assert "recursion-by-table" in shown
    assert "stopped: stack overflow" in shown
    assert "7 tried, 0 failed" in shown


def test_json_is_all_that_is_printed_and_a_report_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "report"
    options = ("--engine", "python", "--mutants", "3", "--seed", "7", "--json")
    assert ended("recursion", *options, "--report", str(folder)) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["tried"], found["failed"]) == (4, 0)
    assert found["targets"]["python"]["mutants"]["seed"] == 7
    [case] = found["cases"]
    assert case["results"]["python"]["outcome"] == "stopped"
    assert json.loads((folder / "attack.json").read_text()) == found
    assert "| S2 | `recursion` |" in (folder / "attack.md").read_text()


def test_what_is_not_as_expected_is_named_and_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [case] = suite().chosen(("recursion",))
    wrong = Suite(cases=(replace(case, trap="unreachable"),), differences=())
    monkeypatch.setattr(attacks, "suite", lambda: wrong)
    assert ended("--engine", "wasm3", "--mutants", "0") == 1
    shown = capsys.readouterr().out
    assert "S2 recursion on wasm3: stopped by stack overflow, expected unreachable" in shown
    assert "1 tried, 1 failed" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "wasm4"), "engine `wasm4`: there are python, fast, wasm3"),
        (("recursoin",), "attack 'recursoin': did you mean recursion"),
        (("nothing-of-the-kind" * 9,), "there are rows S1 to S20, and"),
        (("--mutants", "-1"), "--mutants"),
        (("--report", "/proc/nowhere"), "/proc/nowhere"),
    ],
)
def test_what_does_not_exist_is_bad_input(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(*arguments) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_row_is_answered_shortly_with_those_that_are_near(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ended("S99") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "attack 'S99': did you mean S9" in said
    assert len(said) < 200


def test_an_engine_that_is_named_and_cannot_be_had_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert ended("S2", "--engine", "xtensa") == 4
    assert "virtual:xtensa needs qemu-xtensa" in capsys.readouterr().err
