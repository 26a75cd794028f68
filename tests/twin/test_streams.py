"""What the streams cannot take changes neither what a command does nor its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "levada/scenarios" / "quickstart.toml"
DAY = ("--set", "period.start=2023-07-01", "--set", "period.end=2023-07-02")
LEVADA = (sys.executable, "-c", "from levada.twin.cli.main import main; main()")


def scenario(folder: Path) -> Path:
    """Two days whose one expectation passes."""
    text = QUICKSTART.read_text("utf-8").replace('"weather/', f'"{ROOT}/levada/scenarios/weather/')
    head, _, _ = text.partition("[[expect]]")
    path = folder / "s.toml"
    path.write_text(
        head.replace("#:schema", "#")
        + '[[expect]]\nname = "No trap – 3 m³"\nkind = "never"\nthat = "trap != NONE"\n',
        "utf-8",
    )
    return path


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command line in bash, `levada` standing for ours."""
    line = command.replace(
        "levada", f"'{sys.executable}' -c 'from levada.twin.cli.main import main; main()'"
    )
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{line}"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    "encoding",
    ["ascii", *(pytest.param(of, marks=pytest.mark.slow) for of in ("cp1252", "latin-1", "cp437"))],
)
def test_a_stream_without_the_tick_gets_another_mark(tmp_path: Path, encoding: str) -> None:
    path = scenario(tmp_path)
    plain = {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    done = shell(f"levada run {path} {' '.join(DAY)} --junit j.xml", tmp_path, **plain)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert "1 passed, 0 failed" in text
    assert "+  No trap" in text or "✓  No trap" in text
    assert "No trap – 3 m³" in (tmp_path / "j.xml").read_text("utf-8")
    assert json.loads((tmp_path / "runs/quickstart/summary.json").read_text("utf-8"))
    for command in ("levada --help", "levada doctor", "levada run nowhere", "levada nonsense"):
        done = shell(command, tmp_path, **plain)
        assert done.returncode in (0, 2)
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "levada run {s} > /dev/full 2>&1",
        "levada run {s} >&-",
        "levada run {s} | true",
        *(
            pytest.param(command, marks=pytest.mark.slow)
            for command in (
                "levada run {s} > /dev/full",
                "levada run {s} 2> /dev/full",
                "levada run {s} 2>&-",
                "levada run {s} 2>&1 | head -1",
            )
        ),
        "levada lint {s} | true",
        "levada --help | true",
        "levada --version > /dev/full",
    ],
)
def test_output_that_nobody_takes_changes_no_verdict(tmp_path: Path, command: str) -> None:
    path = scenario(tmp_path)
    done = shell(
        command.format(s=f"{path} {' '.join(DAY)}" if " run " in command else path), tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if " run " in command:
        assert (tmp_path / "runs/quickstart/report.html").is_file()


def test_a_full_disk_behind_the_output_is_said_and_a_failure_stays_one(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    text = path.read_text("utf-8").replace("trap != NONE", "trap == NONE")
    path.write_text(text, "utf-8")
    done = shell(f"levada run {path} {' '.join(DAY)} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert b"output was lost: No space left on device" in done.stderr


def test_a_cache_that_cannot_be_made_is_one_warning(tmp_path: Path) -> None:
    """Without the compiler, which would take a minute: the folder is tried all the same."""
    program = (
        "from levada.guest.fast import jit\nprint(jit.KEEPING)\n"
        "jit.mark_compiled()\nprint(jit.not_kept())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": "/dev/null/x"},
        capture_output=True,
        text=True,
        check=True,
    )
    keeping, why = done.stdout.splitlines()
    assert keeping == "False"
    assert why.startswith(
        "kernels are compiled at every run: /dev/null/x cannot be written (Not a "
    )
