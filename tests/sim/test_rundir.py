from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import run

from levada.sim.run.rundir import FILES, RunDir, RunDirError, replaced
from levada.testing import small_field


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return run(tmp_path_factory.mktemp("rundir"), days=1)


def test_a_run_is_read_back(left: RunDir) -> None:
    assert left.summary["scenario"] == "small"
    assert left.zones == ["a"]
    assert len(left.trace["time_ms"]) == 145
    assert left.tape_path.is_file()
    assert left.scenario_path.is_file()


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="nowhere: no such run directory"):
        RunDir(tmp_path / "nowhere")


@pytest.mark.parametrize("name", FILES[:4])
def test_a_directory_that_lacks_a_file_is_refused_and_the_file_named(
    left: RunDir, tmp_path: Path, name: str
) -> None:
    for file in FILES[:4]:
        if file != name:
            (tmp_path / file).write_bytes((left.path / file).read_bytes())
    with pytest.raises(RunDirError, match=f"lacks {name}; `levada run SCENARIO --out DIR`"):
        RunDir(tmp_path)


def test_a_directory_belongs_to_one_run_at_a_time(left: RunDir, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(left.path, run)
    with replaced(run) as part:
        (part / "summary.json").write_text("{}")
        with pytest.raises(RunDirError, match=rf"another run \(process {os.getpid()}\) is writing"):
            RunDir(run)
        with pytest.raises(RunDirError, match="name another directory with --out"), replaced(run):
            pass
        assert part.is_dir(), "the second one has left the first alone"
        assert (run / "summary.json").read_bytes() == (left.path / "summary.json").read_bytes()
    assert (run / "summary.json").read_text() == "{}"
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


def test_a_run_that_fails_leaves_the_run_before(left: RunDir, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(left.path, run)
    with pytest.raises(RuntimeError), replaced(run) as part:
        (part / "tape.cbor").write_bytes(b"half")
        raise RuntimeError
    assert RunDir(run).summary == left.summary
    assert (run / "tape.cbor").read_bytes() == left.tape_path.read_bytes()


@pytest.mark.parametrize("at", range(6))
def test_a_run_killed_at_any_rename_leaves_the_old_or_nothing_that_looks_whole(
    left: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    class Killed(BaseException):
        pass

    run, renamed = tmp_path / "run", [0]
    shutil.copytree(left.path, run)
    original = Path.replace

    def replace(self: Path, target: Path) -> Path:
        renamed[0] += 1
        if renamed[0] > at:
            raise Killed
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # who is killed cleans up nothing
    try:
        with replaced(run) as part:
            for name in FILES[:4]:
                (part / name).write_bytes(b"new")
    except Killed:
        with pytest.raises(RunDirError, match=r"lacks summary.json.*a run was broken off there"):
            RunDir(run)
    else:
        assert at >= 4
        assert {(run / name).read_bytes() for name in FILES[:4]} == {b"new"}


def test_a_lock_that_a_killed_run_has_left_holds_nobody_up(left: RunDir, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(left.path, run)
    (run / ".lock").write_text("4194304")
    assert RunDir(run).zones == ["a"]
    with replaced(run):
        pass


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    """Two processes at the same directory: one is refused, the other's run is whole."""
    path = tmp_path / "small.toml"
    path.write_text(small_field(days=30), encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        "from levada.twin.cli.main import main; main()",
        "run",
        str(path),
        "-q",
    ]
    with replaced(tmp_path / "runs" / "small"):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "is writing there" in done.stderr
