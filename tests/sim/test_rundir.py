from __future__ import annotations

from pathlib import Path

import pytest
from small import run

from sim.rundir import FILES, RunDir, RunDirError


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
