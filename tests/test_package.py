"""What is installed: one package, whole, beside a project with folders named as ours are."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import levada

ROOT = Path(__file__).parents[1]
DEPENDENCIES = Path(pytest.__file__).parents[1]
"""Where this environment has what levada depends on."""


def test_exported_names_are_sorted_and_there() -> None:
    assert levada.__all__ == sorted(levada.__all__, key=lambda name: (name.islower(), name))
    for name in levada.__all__:
        assert getattr(levada, name).__doc__, name


def test_import_levada_imports_nothing_else() -> None:
    code = "import sys, levada; print(*(m for m in sys.modules if m.startswith('levada')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["levada"]


def test_the_version_needs_no_compiler_and_no_engine() -> None:
    code = (
        "import sys; from levada.twin.cli.main import main\n"
        "try: main(['--version'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, modules = done.stdout.split("\n", 1)
    assert version.startswith("levada ")
    assert not {"numba", "numpy", "wasmtime", "simpy", "pydantic", "dash"} & set(modules.split())


def test_a_clone_without_links_is_told_what_to_do(tmp_path: Path) -> None:
    """As git on Windows leaves it: a text file that holds where the link leads to."""
    for name in ("levada", "tests"):
        (tmp_path / name).mkdir()
    (tmp_path / "levada/sim").write_text("../sim")
    tools = tmp_path / "tests/tools.py"
    tools.write_bytes((ROOT / "tests/tools.py").read_bytes())
    command = [sys.executable, tools, "--python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "git config core.symlinks true" in done.stderr


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, and a project that uses it."""

    bin: Path
    site: Path
    project: Path
    sdist: Path
    wheel: Path

    def run(self, *command: str, code: int = 0) -> str:
        """Standard output of a program of that environment, in the project's folder."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.project,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(f"{DEPENDENCIES}\n")
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install += ["--python", environment / "bin/python", "install", "--no-deps", "--no-index"]
    subprocess.run([*install, "--ignore-installed", wheel], check=True)
    project = folder / "project"
    for name in ("guest", "sim", "hil", "twin", "tests"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text(
            "raise ImportError('of the project, not levada')\n"
        )
    (project / "tests" / "__init__.py").unlink()
    (project / "tests" / "test_mine.py").write_text(
        "def test_the_soil_is_watered(levada_run):\n"
        "    run = levada_run('mine.toml', **{'period.end': '2023-05-20'})\n"
        "    assert run.passed\n"
    )
    (sdist,) = folder.glob("*.tar.gz")
    yield Installed(environment / "bin", site, project, sdist, wheel)


def test_site_packages_gain_levada_and_its_metadata_only(installed: Installed) -> None:
    gained = {path.name for path in installed.site.iterdir()} - {"dependencies.pth"}
    assert "levada" in gained
    assert all(name == "levada" or name.startswith("levada-") for name in gained), gained
    where = installed.run("python", "-c", "import levada; print(levada.__file__)")
    assert Path(where.strip()).is_relative_to(installed.site)


def test_the_source_distribution_holds_what_its_tests_need(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True
    ).stdout.split()
    rooms = ("guest/", "sim/", "hil/", "twin/", "firmware/", "scenarios/")
    wanted = {f"levada/{name}" if name.startswith(rooms) else name for name in tracked}
    links = {f"levada/{room.rstrip('/')}" for room in rooms}
    hidden = {name for name in wanted if name.startswith(".")}
    assert not wanted - names - links - hidden


def test_levada_runs_from_anywhere(installed: Installed) -> None:
    assert "quickstart" in installed.run("levada", "scenarios")
    installed.run("levada", "scenarios", "copy", "quickstart", ".")
    (installed.project / "quickstart.toml").rename(installed.project / "mine.toml")
    printed = installed.run("levada", "run", "quickstart", "--out", "out")
    assert "9 passed, 0 failed" in printed
    assert (installed.project / "out/report.html").is_file()
    assert "not installed" not in installed.run("levada", "doctor")
