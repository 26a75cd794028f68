from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import run, scenario

from levada.sim.results.compare import RELATIVE_TOLERANCE, compare_runs
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.testing import small_field


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def plain(directory: Path) -> RunDir:
    return run(directory, "plain", zones=("a", "b"))


def changed(directory: Path, name: str, old: str, new: str) -> RunDir:
    """The plain run with one thing changed in its second zone."""
    head, separator, last = small_field(zones=("a", "b")).rpartition("[[zone]]")
    path = directory / f"{name}.toml"
    assert old in last
    path.write_text(head + separator + last.replace(old, new), encoding="utf-8")
    run_scenario(scenarios.load(path), directory / name, report=False)
    return RunDir(directory / name)


def test_a_run_equals_its_repetition(directory: Path, plain: RunDir) -> None:
    again = run(directory, "again", zones=("a", "b"))
    found = compare_runs(plain, again, {})
    assert found.equal
    assert found.calls > 2 * 2 * 144
    assert found.tape is None
    assert found.signals == ()


def test_the_first_divergent_call_is_named_with_its_zone(directory: Path, plain: RunDir) -> None:
    """Another threshold: the guest of zone b makes other calls, that of a does not."""
    found = compare_runs(plain, changed(directory, "dry", "on_pct = 70", "on_pct = 20"), {})
    assert not found.equal
    assert found.zone == "b"
    assert found.tape is not None
    assert {difference.zone for difference in found.signals} == {"b"}
    assert "valve_commanded" in {difference.signal for difference in found.signals}


def test_signals_differ_by_more_than_their_tolerance_or_not(directory: Path, plain: RunDir) -> None:
    """2 % more area: the same calls at first, a little less water."""
    other = changed(directory, "area", "area_m2 = 100", "area_m2 = 102")
    found = {d.signal: d for d in compare_runs(plain, other, {}).signals}
    water = found["irrigation_mm"]
    assert water.zone == "b"
    assert water.largest > water.allowed
    assert abs(water.a - water.b) > water.allowed
    wide = compare_runs(plain, other, {"irrigation_mm": 100.0})
    assert "irrigation_mm" not in {d.signal for d in wide.signals}
    narrow = compare_runs(plain, other, {"irrigation_mm": 0.0})
    assert "irrigation_mm" in {d.signal for d in narrow.signals}


def test_the_tolerance_without_one_is_what_four_bytes_lose() -> None:
    assert np.finfo(np.float32).eps < RELATIVE_TOLERANCE < 10 * np.finfo(np.float32).eps


def test_a_signal_that_does_not_exist_is_refused(plain: RunDir) -> None:
    with pytest.raises(RunDirError, match="no signal `rain` in a trace: there are rain_mm"):
        compare_runs(plain, plain, {"rain": 1.0})


def test_zones_and_rows_of_one_run_only_are_told(directory: Path, plain: RunDir) -> None:
    shorter = run(directory, "shorter", days=1, zones=("a", "c"))
    found = compare_runs(plain, shorter, {})
    assert not found.equal
    assert "only in the first run: b (1 zones)" in found.notes
    assert "only in the second run: c (1 zones)" in found.notes
    assert any("zone a: 144 rows are in one run only" in note for note in found.notes)


def test_not_a_number_equals_itself_only(directory: Path) -> None:
    """The bucket has no head at its probe, Richards' equation has."""
    bucket = run(directory, "bucket")
    assert "head_probe_m" not in {d.signal for d in compare_runs(bucket, bucket, {}).signals}
    richards = run(directory, "richards", model="richards")
    found = {d.signal: d for d in compare_runs(bucket, richards, {}).signals}
    assert found["head_probe_m"].largest == np.inf


def test_the_scenario_is_as_small_as_it_says(directory: Path) -> None:
    assert scenario(directory).period.days == 2
