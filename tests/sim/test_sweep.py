"""Many runs of one scenario: equal numbers whoever runs them, and after any interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from command import levada

import levada as package
from levada.sim.errors import SettingError
from levada.sim.sweep.design import combinations, parameter, seeds_of
from levada.sim.sweep.sweep import Sweep, SweepState, cluster
from levada.testing import small_field

ON_PCT = "zone.parameters.on_pct=40:60:20"
KILLED = ("--param", "zone.parameters.on_pct=40:60:5", "--seeds", "2", "--workers", "1")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(small_field(days=2), encoding="utf-8")
    return path


def swept(path: Path, scenario: Path, workers: int = 1, seeds: int = 1) -> Sweep:
    made = Sweep(path, scenario, [parameter(ON_PCT)], seeds=seeds_of(str(seeds), 1))
    assert made.run(workers)
    return made


def files(path: Path) -> dict[str, bytes]:
    results = path / "results"
    return {
        str(file.relative_to(results)): file.read_bytes()
        for file in sorted(results.rglob("*.parquet"))
    }


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=60:95:5", "60 65 70 75 80 85 90 95"),
        ("a=0.1:0.5:0.1", "0.1 0.2 0.3 0.4 0.5"),
        ("a=1:2:0.4", "1 1.4 1.8"),
        ("a=10:0:-5", "10 5 0"),
        ("a=100:300:100", "100 200 300"),
        ("a=loam, clay", "loam clay"),
        ("a=06:00,18:30", "06:00 18:30"),
        ("a=06:00:00", "06:00:00"),
        ("a=3", "3"),
    ],
)
def test_values_are_a_range_with_both_ends_or_a_list(text: str, values: str) -> None:
    if text == "a=06:00:00":  # three numbers, of which the last makes no step
        with pytest.raises(SettingError, match="no step of 0 leads from 6 to 0"):
            parameter(text)
        return
    assert parameter(text).values == tuple(values.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "wanted is KEY="),
        ("=1,2", "wanted is KEY="),
        ("a=", "wanted is KEY="),
        ("a=1,,2", "empty"),
        ("a=1,2,1", "1 stands there twice"),
        ("a=1:5:0", "no step of 0"),
        ("a=1:5:-1", "no step of -1 leads from 1 to 5"),
        ("a=0:1:1e-9", "at most 1,000,000 runs"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        parameter(text)


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [7, 8, 9]), ("1:2", [1, 2]), ("0:0", [0]), ("5:5", [5])]
)
def test_seeds_are_a_number_or_a_range(text: str, seeds: list[int]) -> None:
    assert list(seeds_of(text, 7)) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "", "2:1", "-1:3", "1:", ":2", "1:2:3", "x"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="wanted is a number from 1, or FIRST:LAST"):
        seeds_of(text, 7)


def test_the_last_parameter_changes_fastest() -> None:
    found = list(combinations([parameter("a=1,2"), parameter("b=x,y")]))
    assert [" ".join(value for _, value in pairs) for pairs in found] == [
        "1 x",
        "1 y",
        "2 x",
        "2 y",
    ]
    with pytest.raises(SettingError, match="a: given twice"):
        list(combinations([parameter("a=1"), parameter("a=2")]))


def test_two_processes_leave_the_same_bytes_as_one_and_as_a_run(
    tmp_path: Path, scenario: Path
) -> None:
    one, two = (tmp_path / name for name in ("one", "two"))
    swept(one, scenario, 1)
    swept(two, scenario, 2)
    assert files(one) == files(two)
    run = package.run(
        scenario, tmp_path / "run", overrides={"zone.0.parameters.on_pct": 60}, report=False
    )
    query = (
        f"SELECT tape_digest, irrigation_mm, zone, seed FROM '{one}/results/**/*.parquet' "
        'WHERE "zone.parameters.on_pct" = 60'
    )
    [row] = duckdb.connect().execute(query).fetchall()
    summary = run.summary
    assert row == (summary["tape_digest"], summary["zones"][0]["irrigation_mm"], "a", 1)


def test_a_sweep_goes_on_with_what_is_missing_and_refuses_another(
    tmp_path: Path, scenario: Path
) -> None:
    whole = swept(tmp_path / "sweep", scenario)
    expected = files(whole.folder.path)
    first = whole.jobs[0]
    (whole.folder.path / "jobs" / f"{first.digest}.json").unlink()
    states: list[SweepState] = []
    again = Sweep(whole.folder.path, scenario, [parameter(ON_PCT)], seeds=[1])
    assert again.folder.missing() == [first]
    again.run(1, progress=states.append)
    assert (states[0].done, states[-1].done, states[-1].in_flight) == (1, 2, 0)
    assert files(whole.folder.path) == expected
    for change, said in (
        ({"parameters": [parameter("zone.parameters.on_pct=40:50:10")]}, "parameters"),
        ({"seeds": [2]}, "seeds"),
        ({"settings": [("zone.0.valve.flow_l_min", "3")]}, "what the scenario, its guest or"),
    ):
        design = {"parameters": [parameter(ON_PCT)], "seeds": [1]} | change
        with pytest.raises(SettingError, match=f"defined otherwise: .*{said}.* changed"):
            Sweep(whole.folder.path, scenario, **design)  # type: ignore[arg-type]
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").touch()
    with pytest.raises(SettingError, match="is in use, and not by a sweep"):
        Sweep(tmp_path / "used", scenario, [parameter(ON_PCT)], seeds=[1])


def killed(scenario: Path, folder: Path, options: tuple[str, ...], after: int) -> None:
    """Begin the sweep, and kill it once so many runs more are kept."""
    jobs = folder / "sweeps" / "small" / "jobs"
    before = len(list(jobs.glob("*.json")))
    command = [sys.executable, "-m", "levada", "sweep", str(scenario), *options]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    while process.poll() is None and len(list(jobs.glob("*.json"))) < before + after:
        time.sleep(0.01)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_on_the_way_it_ends_with_the_same_file(tmp_path: Path, scenario: Path) -> None:
    killed(scenario, tmp_path, KILLED, 2)
    kept = tmp_path / "sweeps" / "small"
    assert not (kept / "results").exists()
    done = levada("sweep", scenario, *KILLED, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "10 runs, 0 failed")
    whole = levada("sweep", scenario, *KILLED, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    assert files(kept) == files(tmp_path / "whole")


def test_what_cannot_run_is_said_before_anything_runs(tmp_path: Path, scenario: Path) -> None:
    options = ("--param", "zone.parameters.on_pct=60,70", "--param", "zone.parameters.off=1")
    done = levada("sweep", scenario, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert "no parameter `off`" in done.stderr and "did you mean `off_pct`?" in done.stderr
    assert not (tmp_path / "sweeps").exists()
    done = levada("sweep", scenario, "--scheduler", "tcp://127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2 and "--scheduler tcp://127.0.0.1:1" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_200_runs_are_the_same_with_one_and_two_workers_killed_thrice_and_on_a_cluster(
    tmp_path: Path, scenario: Path
) -> None:
    from distributed import LocalCluster

    parameters = [
        parameter("zone.parameters.on_pct=40:60:5"),
        parameter("zone.soil.texture=loam,clay"),
    ]
    seeds = range(1, 21)
    expected = None
    for name, workers in (("one", 1), ("two", 2)):
        made = Sweep(tmp_path / name, scenario, parameters, seeds=seeds)
        assert len(made.jobs) == 200
        assert made.run(workers)
        expected = expected or files(tmp_path / name)
        assert files(tmp_path / name) == expected
    make_cluster: type = LocalCluster
    with make_cluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as dask:
        made = Sweep(tmp_path / "dask", scenario, parameters, seeds=seeds)
        with cluster(dask.scheduler_address) as (executor, threads):
            assert threads == 2
            assert made.run(threads, executor=executor)
    assert files(tmp_path / "dask") == expected
    options = (
        *("--param", str(parameters[0]), "--param", str(parameters[1])),
        *("--seeds", "20", "--workers", "2"),
    )
    for _ in range(3):
        killed(scenario, tmp_path, options, 20)
    assert levada("sweep", scenario, *options, cwd=tmp_path).returncode == 0
    assert files(tmp_path / "sweeps" / "small") == expected
