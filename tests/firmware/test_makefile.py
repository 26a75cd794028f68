"""`make` in `firmware/`, as one types it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tools
from device_bench import BUILD

FIRMWARE = BUILD.parent
CLONE = FIRMWARE.parents[1]
OBJECT = "posix/engine_wasmtime.o"


def make(*arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return subprocess.run(
        ["make", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"CI": ci},
    )


def build_engine(folder: Path, python: str | Path) -> subprocess.CompletedProcess[str]:
    options = (f"BUILD={folder}", f"PYTHON={python}", "CFLAGS=-O0")
    return make("-C", str(FIRMWARE), *options, f"{folder}/{OBJECT}")


def test_the_python_is_that_of_the_clone_if_there_is_one(tmp_path: Path) -> None:
    firmware = tmp_path / "firmware"
    firmware.mkdir()
    show = ("-C", str(firmware), "-f", str(FIRMWARE / "Makefile"), "--eval=show:;@echo $(PYTHON)")
    assert make("-s", *show, "show").stdout.strip() == "python3"
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    assert make("-s", *show, "show").stdout.strip() == "../.venv/bin/python"


def test_a_python_without_wasmtime_is_said_to_be_so_and_leaves_nothing(tmp_path: Path) -> None:
    done = build_engine(tmp_path, f"{sys.executable} -S")
    assert done.returncode == 2
    assert "has no package `wasmtime`: run `make demo`" in " ".join(done.stderr.split())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_another_wasmtime_makes_the_engine_be_built_again_and_only_then(tmp_path: Path) -> None:
    python = tmp_path / "python"
    for version, again in (("1.0", True), ("1.0", False), ("2.0", True)):
        python.write_text(f"#!/bin/sh\necho {version} /there/_libwasmtime.so\n")
        python.chmod(0o755)
        done = build_engine(tmp_path, python)
        assert done.returncode == 0, done.stderr
        assert (f"LV_WASMTIME_VERSION='\"{version}\"'" in done.stdout) == again


@pytest.mark.parametrize(
    ("clang", "ci", "code", "said"),
    [
        (True, "true", 0, "-C levada/firmware fuzz SECONDS="),
        (False, "", 0, "Not fuzzed by libFuzzer: no clang"),
        (False, "true", 2, ""),
    ],
)
def test_every_night_libfuzzer_runs_where_clang_is_and_always_in_ci(
    clang: bool, ci: str, code: int, said: str, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$*" != "tests/tools.py --fuzz" ] || exit {int(not clang)}\n')
    python.chmod(0o755)
    made = [tmp_path / "environment", tmp_path / "development"]
    for file in made:
        file.touch()
    options = (f"BIN={tmp_path}", f"ENV={made[0]}", f"DEV={made[1]}", "MAKE=echo")
    done = make("-s", "-C", str(CLONE), *options, "nightly", ci=ci)
    assert done.returncode == code, done.stderr
    assert said in done.stdout
    parts = ("Slow suites", "Mutants of Python", "Mutants of C", "libFuzzer")
    took = re.findall(r"^(.+) took \d+ s$", done.stdout, re.MULTILINE)
    assert took == list(parts)
    assert clang == ("fuzz SECONDS=" in done.stdout)


def test_who_lacks_clang_is_told_its_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["tools.py", "--fuzz"])
    assert tools.main() == 1
    assert "apt-get install -y --no-install-recommends clang libclang-rt-dev" in (
        capsys.readouterr().err
    )
