"""Pieces of a trace as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada.hil.failure_report import ROWS, around, course, side_by_side
from levada.sim.results.compare import compare_runs
from levada.sim.run import runner
from levada.sim.run.rundir import RunDir
from levada.sim.scenario import load as scenario

QUICKSTART = Path(__file__).parents[2] / "levada/scenarios" / "quickstart.toml"
CHANGED = [
    ("period.record_s", "3600"),
    ("expect.1.kind", "count"),
    ("expect.1.that", "valve_commanded"),
    ("expect.1.below", "1"),
    ("expect.5.kind", "mean"),
    ("expect.5.of", "dr_mm"),
]
"""Expectations of other kinds in the place of some."""


def run(out: Path, *changes: tuple[str, str]) -> RunDir:
    document = scenario.read(QUICKSTART, [*CHANGED, *changes])
    runner.run_scenario(document.scenario, out, report=False)
    return RunDir(out)


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return run(tmp_path_factory.mktemp("season"))


def columns(text: str) -> list[list[str]]:
    """The cells of a table below its head and its names."""
    return [line.split() for line in text.splitlines()[2:]]


def of(season: RunDir, number: int) -> str:
    return course(season, season.summary["expectations"][number])


def test_the_course_of_a_total_adds_up_to_it(season: RunDir) -> None:
    text = of(season, 4)
    assert "irrigation_mm  so far  rain_mm" in text
    rows = columns(text)
    assert len(rows) <= ROWS
    assert rows[0][0] == "2023-04-15"
    whole = season.summary["irrigation_mm"]
    assert float(rows[-1][2]) == pytest.approx(whole, rel=1e-3)
    assert sum(float(row[1]) for row in rows) == pytest.approx(whole, rel=1e-3)
    # the other columns too: rain
    assert sum(float(row[3]) for row in rows) == pytest.approx(season.summary["rain_mm"], rel=1e-3)


def test_the_course_of_a_count_tells_when_it_happened(season: RunDir) -> None:
    text = of(season, 1)
    assert "valve_commanded  so far" in text
    rows = columns(text)
    assert sum(int(row[1]) for row in rows) == int(rows[-1][2])
    detail = season.summary["expectations"][1]["detail"]
    assert detail.startswith(f"began to hold {rows[-1][2]} times")


def test_the_course_of_a_mean_is_one_of_means(season: RunDir) -> None:
    assert "mean of dr_mm  rain_mm" in of(season, 5)


def test_a_value_of_the_summary_is_shown_with_the_water(season: RunDir) -> None:
    assert "from        rain_mm  irrigation_mm" in of(season, 2)


def test_a_window_has_six_hours_to_each_side(season: RunDir) -> None:
    noon_ms = 1_688_212_800_000
    rows = columns(around(season, "maize", noon_ms))
    assert [rows[0][1], rows[-1][1], len(rows)] == ["06:00", "18:00", 13]


def test_two_runs_stand_side_by_side_where_they_part_first(season: RunDir, tmp_path: Path) -> None:
    other = run(tmp_path, ("zone.0.soil.initial.available_pct", "60"))
    text = side_by_side(season, other, compare_runs(season, other, {}))
    lines = text.splitlines()
    assert lines[0].startswith("zone maize, first difference 2023-04-15 00:00; of ")
    assert lines[2].split() == ["time", *["golden", "now"] * 3]
    assert all(line.endswith("<") for line in lines[3:])
    same = side_by_side(season, season, compare_runs(season, season, {}))
    assert same == "no moment to show: zones or rows are in one run only"
