"""What is shipped to run levada as services: units of systemd, a Dockerfile, a compose file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from compose_spec import PyCompose
from services import need

from levada.guest.exit_codes import INTERRUPTED, Exit

ROOT: Final = Path(__file__).parents[1]
UNITS: Final = ROOT / "docs/systemd"
PROGRAM: Final = "/opt/levada/.venv/bin/levada"
NAMES: Final = sorted(path.name for path in UNITS.glob("*.service"))
MOST_EXPOSED: Final = 1.5
"""Of 10, as `systemd-analyze security` counts."""


# -- systemd ----------


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


# -- containers ----------


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = need("hadolint", Path(sys.executable).parent)
    subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], check=True)


def compose() -> str:
    """The compose file with its variables filled in."""
    text = (ROOT / "compose.yaml").read_text("utf-8")
    return re.sub(r"\$\{\w+:(?:-([^}]*)|\?[^}]*)\}", lambda found: found[1] or "given", text)


def test_the_compose_file_is_one() -> None:
    """By the Compose specification, with every volume and config that is named."""
    PyCompose.from_yaml(compose()).validate()


@pytest.mark.parametrize(
    ("right", "wrong"), [("restart:", "restrat:"), ("source: mosquitto", "source: mosquito")]
)
def test_a_compose_file_with_a_misspelt_word_is_refused(right: str, wrong: str) -> None:
    """So that the test above can fail."""
    with pytest.raises(ValueError, match=wrong.removeprefix("source: ").removesuffix(":")):
        PyCompose.from_yaml(compose().replace(right, wrong)).validate()


def test_the_broker_in_a_container_has_the_settings_of_the_page() -> None:
    page = (ROOT / "docs/mqtt.md").read_text("utf-8")
    block = re.search(r"^    listener .*\n(?:    .+\n)+", page, re.MULTILINE)
    assert block is not None
    asked = {line.split()[0]: line.split()[1:] for line in block[0].splitlines()}
    lines = PyCompose.from_yaml(compose()).configs["mosquitto"].content.splitlines()
    there = {line.split()[0]: line.split()[1:] for line in lines}
    assert asked.keys() <= there.keys()
    for name in asked.keys() - {"listener", "password_file", "acl_file"}:
        assert there[name] == asked[name]
