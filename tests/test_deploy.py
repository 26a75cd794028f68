"""What is shipped to run levada as services: the units of systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from services import need

from levada.guest.exit_codes import INTERRUPTED, Exit

UNITS: Final = Path(__file__).parents[1] / "docs/systemd"
PROGRAM: Final = "/opt/levada/.venv/bin/levada"
NAMES: Final = sorted(path.name for path in UNITS.glob("*.service"))
MOST_EXPOSED: Final = 1.5
"""Of 10, as `systemd-analyze security` counts."""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as if levada were where they expect it."""
    shutil.copytree(UNITS, tmp_path / "units")
    program = tmp_path / "levada"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in (tmp_path / "units").glob("*.service"):
        unit.write_text(unit.read_text("utf-8").replace(PROGRAM, str(program)), "utf-8")
    return tmp_path / "units"


def analyze(folder: Path, *arguments: str) -> str:
    """What systemd-analyze says of the units of a folder; beside them are those of the system."""
    done = subprocess.run(
        [need("systemd-analyze"), *arguments],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def instance(name: str) -> str:
    return name.replace("@.", "@field.")


@pytest.mark.parametrize("name", NAMES)
def test_systemd_takes_the_unit(installed: Path, name: str) -> None:
    said = analyze(installed, "verify", "--man=no", "--recursive-errors=no", instance(name))
    assert "levada" not in said, said


def test_systemd_refuses_a_unit_with_a_misspelt_key(installed: Path) -> None:
    """So that the test above can fail: unknown keys are only warned of."""
    unit = installed / NAMES[0]
    unit.write_text(unit.read_text("utf-8").replace("ExecStart=", "ExecStrat="), "utf-8")
    with pytest.raises(AssertionError, match="ExecStrat"):
        test_systemd_takes_the_unit(installed, NAMES[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_service_may_do_little(installed: Path, name: str) -> None:
    """What all have in common, in a folder beside the units, is applied to each."""
    said = analyze(installed, "security", "--offline=yes", "--no-pager", instance(name))
    exposed = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposed is not None, said
    assert float(exposed[1]) <= MOST_EXPOSED


def test_a_service_that_is_ended_has_not_failed_and_one_with_bad_input_is_not_tried_again() -> None:
    common = (UNITS / "levada-.service.d/common.conf").read_text("utf-8").splitlines()
    assert f"SuccessExitStatus={INTERRUPTED}" in common
    assert f"RestartPreventExitStatus={Exit.BAD_INPUT.value}" in common
