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

from levada.hil import virtual
from levada.hil.errors import HilError

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


LLVM = ("clang", "llc", "llvm-mc")
IGNORES = "#!/bin/sh\necho ret\n"
KNOWS = "#!/bin/sh\necho entry a1, 32\n"


def folder_with(path: Path, *names: str, **scripts: str) -> Path:
    """A folder of programs: some of this computer, and scripts."""
    path.mkdir(exist_ok=True)
    for name in ("sh", "ls", "sed", "sort", "grep", "make", "mkdir", *names):
        found = shutil.which(name)
        assert found is not None, name
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(found)
    for name, text in scripts.items():
        (path / name).unlink(missing_ok=True)
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    return path


def test_the_newest_llvm_is_taken_that_makes_windowed_code(tmp_path: Path) -> None:
    script = FIRMWARE / "port" / "qemu-esp32" / "find-llvm.sh"
    places: list[Path] = []

    def found() -> str:
        path = ":".join(map(str, places))
        done = subprocess.run(
            ["sh", script], capture_output=True, text=True, check=False, env={"PATH": path}
        )
        assert (done.returncode == 0) == bool(done.stdout)
        return done.stdout.strip()

    def add(version: str, llc: str, *names: str) -> None:
        scripts = {f"{name}{version}": llc for name in names}
        places.append(folder_with(tmp_path / f"bin{version}", **scripts))

    places.append(folder_with(tmp_path / "bin"))
    assert found() == ""
    add("-19", IGNORES, *LLVM)
    assert found() == ""
    add("", KNOWS, *LLVM)
    assert found() == "clang llc llvm-mc"
    add("-9", KNOWS, *LLVM)
    add("-22", KNOWS, *LLVM)
    add("-23", KNOWS, "llc", "llvm-mc")
    assert found() == "clang-22 llc-22 llvm-mc-22"


def test_who_lacks_llvm_for_the_esp32_is_told_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = folder_with(tmp_path / "bare")
    failing = folder_with(tmp_path / "failing", "qemu-xtensa", make="#!/bin/sh\nexit 2\n")
    monkeypatch.setenv("PATH", str(bare))
    done = make("-C", str(FIRMWARE), f"BUILD={tmp_path}", f"{tmp_path}/esp32/frame.o")
    assert done.returncode == 2
    assert "Debian has them in clang-22 and llvm-22" in done.stderr
    monkeypatch.setenv("PATH", str(failing))
    monkeypatch.setattr(virtual, "BUILD", tmp_path)
    said = (
        "virtual:esp32 needs xtensa-lx106-elf-ld, clang, llc and llvm-mc that know the ESP32 "
        "(Debian: qemu-user, binutils-xtensa-lx106, clang-22, llvm-22)"
    )
    with pytest.raises(HilError, match=re.escape(said)):
        virtual.build_board("esp32")


@pytest.mark.parametrize(
    ("known", "ci", "code", "said"),
    [
        (True, "", 1, "recommends clang-22 llvm-22"),
        (False, "", 0, "Not tested: virtual:esp32"),
        (False, "true", 1, "recommends clang-22 llvm-22"),
    ],
)
def test_llvm_for_the_esp32_may_be_missing_where_apt_has_none_but_not_in_ci(
    known: bool,
    ci: str,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tools, "missing", lambda _: [])
    monkeypatch.setattr(tools, "llvm_found", lambda: False)
    monkeypatch.setattr(tools, "llvm_known", lambda: known)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["tools.py"])
    monkeypatch.setenv("CI", ci)
    assert tools.main() == code
    assert said in capsys.readouterr().err
    assert bool(tools.esp32_skipped()) == (ci == "")
