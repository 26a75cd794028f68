"""The list of what levada consists of, for who has to know (CycloneDX)."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def runtime_dependencies() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    lines = config["options"]["install_requires"].splitlines()
    wanted = [line for line in lines if line.strip() and not line.startswith("#")]
    return {re.split(r"[ <>=!~\[]", line.strip())[0] for line in wanted}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """An environment that says of itself that it has the runtime dependencies, and nothing else."""
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for name in runtime_dependencies():
        found = distribution(name)
        (metadata,) = (f for f in found.files or () if f.name == "METADATA")
        folder = packages / metadata.parent.name
        folder.mkdir()
        (folder / "METADATA").write_bytes(Path(str(found.locate_file(metadata))).read_bytes())
    return tmp_path / "venv" / "bin" / "python"


@pytest.mark.slow
def test_the_list_is_valid_and_has_every_runtime_dependency_with_version_and_origin(
    installation: Path, tmp_path: Path
) -> None:
    """As `make sbom` writes it; the program validates it by the schema of CycloneDX."""
    file = tmp_path / "levada.cdx.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--mc-type", "application"]
    options = ["--output-reproducible", "--validate", "--output-file", str(file), installation]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=200)
    found = json.loads(file.read_text("utf-8"))
    assert found["bomFormat"] == "CycloneDX"
    components = {canonical(item["name"]): item for item in found["components"]}
    wanted = runtime_dependencies()
    assert {"cryptography", "wasmtime", "paho-mqtt"} <= wanted
    assert set(map(canonical, wanted)) == components.keys()
    for name in map(canonical, wanted):
        item = components[name]
        assert item["purl"] == f"pkg:pypi/{name}@{item['version']}"


def test_the_command_looks_at_an_installation_of_its_own() -> None:
    """So that nothing of the development environment is in the list."""
    rule = (ROOT / "Makefile").read_text("utf-8").partition("\nsbom:")[2].partition("\n\n")[0]
    assert "venv --without-pip build/sbom" in rule
    assert "cyclonedx-py environment" in rule
    assert rule.count("build/sbom/bin/python") == 2
