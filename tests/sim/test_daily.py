"""Days of runs beside each other: `levada compare --html --csv --by-day`."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from small import ROOT, column, run

from levada.sim.results.daily import daily_rows, daily_series, days_apart
from levada.sim.results.side_by_side import expectation_rows, side_by_side
from levada.sim.run.rundir import RunDir
from levada.twin.cli.main import main

EXPECT = """
[[expect]]
name = "Little water"
kind = "total"
of = "irrigation_mm"
below = 0.001
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, RunDir]:
    """Two days in which the second run's valve is blocked, so that it irrigates less."""
    directory = tmp_path_factory.mktemp("daily")
    fault = '[[fault]]\nkind = "valve-stuck-closed"\nstart = "1 h"\nduration = "47 h"\n'
    return (
        run(directory, "left", zones=("a", "b"), extra=EXPECT),
        run(directory, "right", zones=("a", "b"), extra=EXPECT + fault),
    )


def test_the_days_of_a_run_sum_up_to_its_summary(pair: tuple[RunDir, RunDir]) -> None:
    left, right = daily_series(pair)
    assert (left.name, right.name) == ("left", "right")
    assert left.dates == (date(2023, 7, 6), date(2023, 7, 7))
    for series, of in zip((left, right), pair, strict=True):
        for name in ("irrigation_mm", "rain_mm", "transpiration_mm", "drainage_mm"):
            assert series.values[name].sum() == pytest.approx(of.summary[name], rel=1e-4, abs=1e-4)


def test_the_mean_of_a_day_is_that_of_its_rows(pair: tuple[RunDir, RunDir]) -> None:
    north, _ = daily_series([pair[0]])
    assert north.name == "a"
    start = datetime.fromisoformat(f"{pair[0].summary['start']}+00:00").timestamp() * 1000
    times = column(pair[0], "time_ms")
    first = times <= start + 86_400_000
    expected = 100.0 * np.mean(column(pair[0], "theta_root")[first])
    assert north.values["root_zone_pct"][0] == pytest.approx(expected)


def test_differences_are_to_the_first_run_of_the_same_date(pair: tuple[RunDir, RunDir]) -> None:
    rows = {
        (name, day, signal): rest for name, day, signal, *rest in daily_rows(daily_series(pair))
    }
    day = date(2023, 7, 7)
    for signal in ("depletion_mm", "irrigation_mm"):
        value, difference = rows["right", day, signal]
        assert difference == pytest.approx(value - rows["left", day, signal][0])
        assert rows["left", day, signal][1] == 0.0


def test_equal_runs_have_no_day_apart(pair: tuple[RunDir, RunDir]) -> None:
    assert list(days_apart(daily_series([pair[0], pair[0]]))) == [
        "no day on which irrigation, drainage or depletion differ by 0.05 mm"
    ]


def test_expectations_stand_beside_each_other(pair: tuple[RunDir, RunDir]) -> None:
    rows = dict(expectation_rows(side_by_side(pair)))
    assert len(rows["Little water"]) == 2
    assert set(rows["Little water"]) <= {"passed", "failed"}


def test_files_are_written_and_the_page_asks_for_nothing(
    pair: tuple[RunDir, RunDir], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(of.path) for of in pair]
    page, days = tmp_path / "c.html", tmp_path / "c.csv"
    with pytest.raises(SystemExit) as ended:
        main(["compare", *paths, "--html", str(page), "--csv", str(days), "--by-day"])
    assert ended.value.code == 0
    assert re.search(r"^2023-07-0\d  right  ", capsys.readouterr().out, re.MULTILINE)
    text = page.read_text("utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="', text.split("<script>")[0])
    with days.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 2 * 2 * 8
    assert {row["run"] for row in table} == {"left", "right"}


def test_names_on_the_page_are_text(pair: tuple[RunDir, RunDir], tmp_path: Path) -> None:
    from levada.sim.results.compare_page import write_page

    evil = tmp_path / "<img src=x onerror=alert(1)>"
    evil.symlink_to(pair[0].path, target_is_directory=True)
    write_page([RunDir(evil), pair[1]], tmp_path / "c.html")
    assert "<img" not in (tmp_path / "c.html").read_text("utf-8").replace("<image", "")


def test_nothing_is_cut_in_a_pipe(pair: tuple[RunDir, RunDir], tmp_path: Path) -> None:
    names = [tmp_path / f"{'a-very-long-name-of-a-run-' * 5}{k}" for k in range(3)]
    for name in names:
        name.symlink_to(pair[0].path, target_is_directory=True)
    command = [sys.executable, "-m", "levada", "compare", *map(str, names)]
    plain = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    shown = done.stdout
    assert [line for line in shown.splitlines() if line.startswith("irrigation [mm]")]
    for name in names:
        assert name.name in shown
    assert "…" not in shown


def test_all_tables_of_all_commands_are_printed_by_the_console_that_cuts_nothing() -> None:
    making = re.compile(r"\bConsole\((?!\))|rich\.print|from rich import")
    found = [
        str(path.relative_to(ROOT))
        for room in ("guest", "sim", "hil", "twin")
        for path in (ROOT / room).rglob("*.py")
        if making.search(path.read_text("utf-8")) and "rich" in path.read_text("utf-8")
    ]
    assert found == ["twin/cli/console.py"]


def test_days_do_not_go_with_exact(
    pair: tuple[RunDir, RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--exact", "--by-day", *(str(of.path) for of in pair)])
    assert ended.value.code == 2
    assert "not with --html, --csv or --by-day" in " ".join(
        capsys.readouterr().err.replace("│", " ").split()
    )
