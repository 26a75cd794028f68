"""Seasons side by side: `levada compare`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small import run

from levada.sim.results.side_by_side import ComparedRun, side_by_side, table
from levada.sim.run.rundir import RunDir, RunDirError
from levada.twin.cli.main import main


@pytest.fixture(scope="module")
def two_zones(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return run(tmp_path_factory.mktemp("side"), "left", zones=("north", "south"))


def column(**figures: float) -> ComparedRun:
    period = ("2023-04-15T00:00:00", "2023-09-15T00:00:00")
    return ComparedRun(name="x", period=period, figures=figures, passed=1, failed=0)


def test_figures_stand_beside_each_other_with_what_differs_from_the_first() -> None:
    columns = [
        column(irrigation_mm=412.34, valve_openings=31, energy_j=12_345.6),
        column(irrigation_mm=380.0, valve_openings=31, energy_j=12_345.7),
        column(irrigation_mm=1_000.0, valve_openings=32),
    ]
    assert list(table(columns)) == [
        ("irrigation", "mm", ["412.3", "380.0", "1,000.0"], ["", "-32.3", "+587.7"]),
        ("valve openings", "", ["31", "31", "32"], ["", "", "+1"]),
        ("energy (model)", "J", ["12,346", "12,346", "–"], ["", "", ""]),
    ]


def test_of_one_run_the_zones_are_compared(
    two_zones: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    north, south = side_by_side([two_zones])
    assert (north.name, south.name) == ("north", "south")
    zones = two_zones.summary["zones"]
    assert [north.figures["rain_mm"], south.figures["irrigation_mm"]] == [
        zones[0]["rain_mm"],
        zones[1]["irrigation_mm"],
    ]
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(two_zones.path)])
    assert ended.value.code == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["north", "south"]
    assert rows[0].startswith("irrigation [mm]")
    assert rows[-1].startswith("expectations")


def test_runs_of_one_name_are_told_apart_by_their_folders(
    two_zones: RunDir, tmp_path: Path
) -> None:
    for place in ("a/season", "b/season"):
        shutil.copytree(two_zones.path, tmp_path / place)
    runs = [RunDir(tmp_path / "a/season"), RunDir(tmp_path / "b/season")]
    assert [found.name for found in side_by_side(runs)] == ["a/season", "b/season"]
    assert [found.name for found in side_by_side([runs[0], runs[0]])] == [
        "season (1)",
        "season (2)",
    ]


def test_a_single_run_with_a_single_zone_has_nothing_beside_it(tmp_path: Path) -> None:
    alone = run(tmp_path, "alone", zones=("north",))
    with pytest.raises(RunDirError, match="one run with one zone"):
        side_by_side([alone])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--exact",), "1 runs: --exact compares two"),
        (("--tolerance", "theta_probe=1"), "only with --exact"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    two_zones: RunDir,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(two_zones.path), *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
