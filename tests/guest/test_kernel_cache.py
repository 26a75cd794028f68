from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numba
import pytest

import levada
from levada.guest.fast.jit import CACHE, VERSION
from levada.guest.fast.kernel_cache import KEPT_DAYS, is_whole, mark_used, mark_whole, remove_old
from levada.sim.run import zone_loop
from levada.sim.soil import richards_kernel
from levada.testing import small_field

COUNT = """
import json, sys
import levada
from numba.core.registry import CPUDispatcher

levada.run(sys.argv[1], sys.argv[2], overrides=json.loads(sys.argv[3]))
modules = [module for name, module in sys.modules.items() if name.startswith("levada.")]
kernels = {id(k): k for m in modules for k in vars(m).values() if isinstance(k, CPUDispatcher)}
print(len([k for k in kernels.values() if k.signatures]))
print(sum(sum(k.stats.cache_misses.values()) for k in kernels.values()))
print(*[f"{k.__module__}.{k.__name__}" for k in kernels.values() if len(k.signatures) > 1])
"""
"""Runs a scenario; how many kernels were loaded, how many compiled, and which for two types."""


NUMBERS: Final = r"(bool|int|float|Stop|None|tuple\[((int|float|np\.uint64)(, )?)+\])"
"""What a kernel may return, as its annotation is written."""


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "levada" / "0123456789abcdef"
    (folder / "sim_1").mkdir(parents=True)
    for name in ("loop.run.py311.nbi", "loop.run.py311.1.nbc"):
        (folder / "sim_1" / name).write_bytes(b"kernel")
    return folder


def test_a_cache_is_whole_from_its_mark_until_a_file_is_gone(filled: Path) -> None:
    assert not is_whole(filled)
    mark_whole(filled)
    assert is_whole(filled)
    (filled / "sim_1" / "loop.run.py311.1.nbc").unlink()
    assert not is_whole(filled)
    mark_whole(filled)
    assert is_whole(filled)


def test_a_mark_without_kernels_is_no_cache(tmp_path: Path) -> None:
    mark_whole(tmp_path)
    assert not is_whole(tmp_path)
    (tmp_path / "complete").write_text("")  # as older versions left it
    assert not is_whole(tmp_path)


def aged(folder: Path, days: float) -> None:
    then = time.time() - 86_400.0 * days
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


def test_versions_not_used_for_long_are_removed_and_nothing_else(filled: Path) -> None:
    base = filled.parent
    for name, days in (
        ("fedcba9876543210", KEPT_DAYS + 1),
        ("aaaaaaaaaaaaaaaa.old-17", KEPT_DAYS + 1),  # renamed, then the process was killed
        ("bbbbbbbbbbbbbbbb", KEPT_DAYS - 1),
        ("recordings", KEPT_DAYS + 1),  # not a name of ours
    ):
        (base / name / "sim_1").mkdir(parents=True)
        (base / name / "sim_1" / "kernel.nbi").write_bytes(b"kernel")
        aged(base / name, days)
    aged(filled, KEPT_DAYS + 1)
    remove_old(base, keep=filled)
    left = {path.name for path in base.iterdir()}
    assert left == {filled.name, "bbbbbbbbbbbbbbbb", "recordings"}


@pytest.mark.parametrize("mark", [mark_whole, mark_used])
def test_a_mark_of_today_keeps_an_old_version(filled: Path, mark: Callable[[Path], None]) -> None:
    mark_whole(filled)
    aged(filled, KEPT_DAYS + 1)
    mark(filled)
    remove_old(filled.parent, keep=filled.parent / "other")
    assert is_whole(filled)


def test_kernels_are_kept_by_version_and_module_wherever_the_files_lie() -> None:
    for kernel in (richards_kernel.advance, zone_loop.run_zones):
        assert Path(kernel.stats.cache_path) == CACHE / kernel.__module__  # type: ignore[attr-defined]


def test_a_kernel_of_another_version_is_not_taken_from_a_folder_that_the_user_names(
    tmp_path: Path,
) -> None:
    """NUMBA_CACHE_DIR is one folder for all versions."""
    program = (
        "from levada.guest.fast.jit import CACHE, VERSION\n"
        "from levada.sim.soil.richards_kernel import advance\n"
        "assert advance._cache._impl.locator.get_source_stamp() == VERSION\n"
        "print(CACHE.name, VERSION)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "mine")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["mine", VERSION]


def kernels_of_a_run(scenario: str, out: Path, changes: dict[str, object]) -> tuple[int, int, str]:
    """How many kernels a run in a process of its own loaded and compiled, and which twice."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, scenario, str(out), json.dumps(changes)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, compiled, twice = done.stdout.splitlines()[-3:]
    return int(loaded), int(compiled), twice


@pytest.mark.timeout(900)  # where nothing is in the cache, on a busy computer
@pytest.mark.slow
def test_one_run_compiles_every_kernel_and_each_once(tmp_path: Path) -> None:
    """So `make kernels` is one short run, and no other has to wait: nor one of the other soil."""
    short = {"period.end": "2023-05-03", "expect": []}
    loaded, _, twice = kernels_of_a_run("quickstart", tmp_path / "first", short)
    assert loaded > 0
    assert twice == ""
    longer = {"period.end": "2023-05-20", "expect": []}
    loaded, compiled, _ = kernels_of_a_run("quickstart", tmp_path / "second", longer)
    assert loaded > 0
    assert compiled == 0
    bucket = tmp_path / "bucket.toml"
    bucket.write_text(small_field(model="bucket"), encoding="utf-8")
    loaded, compiled, _ = kernels_of_a_run(str(bucket), tmp_path / "third", {})
    assert loaded > 0
    assert compiled == 0


def test_kernels_whose_references_are_not_counted_return_numbers() -> None:
    """numba refuses one that returns an array, but not one that returns a tuple with an array."""
    returned = {
        ast.unparse(node.returns or ast.Constant(...))
        for path in Path(levada.__file__).parent.glob("*/**/*.py")
        if "@njit" in (text := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and {"njit", "njit_inline"} & {getattr(name, "id", "") for name in node.decorator_list}
    }
    assert {"bool", "int", "tuple[int, int]"} <= returned
    assert not [kind for kind in returned if not re.fullmatch(NUMBERS, kind)]


def test_kernels_of_others_stay_where_numba_keeps_them() -> None:
    assert os.environ.get("NUMBA_CACHE_DIR", "") == numba.config.CACHE_DIR
    kernel = numba.njit(cache=True)(filled_with_ones)
    assert Path(__file__).parent in Path(kernel.stats.cache_path).parents


def filled_with_ones(n: int) -> int:
    return n
