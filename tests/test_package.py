"""What is installed: one package, whole, beside a project with folders named as ours are."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_string
from importlib.metadata import distribution
from pathlib import Path

import pytest
from setuptools import find_packages

import levada
from levada.guest.fast.jit import CACHE
from levada.twin.cli import doctor

ROOT = Path(__file__).parents[1]
DEPENDENCIES = Path(pytest.__file__).parents[1]
"""Where this environment has what levada depends on."""
ROOMS = ("firmware", "guest", "hil", "scenarios", "sim", "twin")
IN_GIT = (ROOT / ".git").exists()


def python(code: str) -> str:
    """What a new Python says to this."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_exported_names_are_sorted_and_there() -> None:
    assert levada.__all__ == sorted(levada.__all__, key=lambda name: (name.islower(), name))
    for name in levada.__all__:
        assert getattr(levada, name).__doc__, name


def test_import_levada_imports_nothing_else() -> None:
    said = python("import sys, levada; print(*(m for m in sys.modules if m.startswith('levada')))")
    assert said.split() == ["levada"]


def test_the_version_needs_no_compiler_and_no_engine() -> None:
    said = python(
        "import sys; from levada.twin.cli.main import main\n"
        "try: main(['--version'])\n"
        "finally: print(*sys.modules)"
    )
    version, modules = said.split("\n", 1)
    assert version == f"levada {distribution('levada').version}"
    slow = {"numba", "numpy", "wasmtime", "simpy", "pydantic", "dash", "pyarrow", "paho", "serial"}
    assert not slow & set(modules.split())


def test_bash_completes_commands_and_options() -> None:
    program = "from levada.twin.cli.main import app; app(prog_name='levada')"

    def completed(words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ
            | {
                "_LEVADA_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split()) - 1),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split()

    assert completed("levada ru") == ["run"]
    assert completed("levada scenarios co") == ["copy"]
    assert completed("levada run --energy") == ["--energy-file"]


def test_a_clone_whose_links_are_text_says_what_to_do(tmp_path: Path) -> None:
    """As git leaves it on Windows without `core.symlinks`."""
    (tmp_path / "levada").mkdir()
    (tmp_path / "tests").mkdir()
    for name in ("__init__.py", "api.py"):
        shutil.copy(ROOT / "levada" / name, tmp_path / "levada")
    shutil.copy(ROOT / "tests/tools.py", tmp_path / "tests")
    for room in ROOMS:
        (tmp_path / "levada" / room).write_text(f"../{room}")
    for command in (["-c", "import levada"], ["tests/tools.py", "--python"]):
        done = subprocess.run(
            [sys.executable, "-S", *command],
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "git config core.symlinks true" in done.stderr


def _setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_every_folder_of_ours_is_a_package_that_is_installed() -> None:
    listed = [line for line in _setup()["options"]["packages"].split("\n") if "#" not in line]
    found = [name for name in find_packages(str(ROOT)) if name.split(".")[0] == "levada"]
    assert sorted(filter(None, listed)) == sorted(found)


def test_every_folder_with_code_is_a_package() -> None:
    for room in ("guest", "hil", "sim", "twin"):
        for path in (ROOT / "levada" / room).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, and a project that uses it."""

    bin: Path
    site: Path
    project: Path
    cache: Path
    sdist: Path
    wheel: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
        return kept | {"XDG_CACHE_HOME": str(self.cache), "COLUMNS": "300"}

    def run(self, *command: str | Path, code: int = 0) -> str:
        """What a program of that environment says, in the project's folder."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def started(self, *command: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """A program of it that runs on, and the first line that it says; Ctrl-C ends it."""
        process = subprocess.Popen(
            [self.bin / command[0], *command[1:]],
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    clone = folder / "clone"  # building leaves files
    made = (".git", ".venv", "build", "runs", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, clone, symlinks=True, ignore=shutil.ignore_patterns(*made))
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, clone]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(f"{DEPENDENCIES}\n")
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    install = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install += ["--python", environment / "bin/python", "install", "--no-deps", "--no-index"]
    subprocess.run([*install, "--ignore-installed", wheel], check=True)
    project = folder / "project"
    for name in ("guest", "sim", "hil", "twin", "tests"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("raise ImportError('not of levada')\n")
    (project / "tests" / "__init__.py").unlink()
    kernels = folder / "cache" / "levada" / CACHE.name  # those of this version, wherever it lies
    kernels.parent.mkdir(parents=True)
    kernels.symlink_to(CACHE)
    return Installed(environment / "bin", site, project, folder / "cache", sdist, wheel)


def files(folder: Path) -> set[str]:
    """Names of all files but compiled Python."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)) for path in paths}


def tracked() -> set[str]:
    """Files of the repository, by the names under which they are distributed."""
    done = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True
    )
    names = set(done.stdout.split()) - {f"levada/{room}" for room in ROOMS}
    return {f"levada/{name}" if name.startswith(ROOMS) else name for name in names}


def test_site_packages_gain_levada_and_its_metadata_only(installed: Installed) -> None:
    gained = {path.name for path in installed.site.iterdir()} - {"dependencies.pth"}
    assert "levada" in gained
    assert all(re.fullmatch(r"levada|levada-[\d.]+\.dist-info", name) for name in gained), gained
    where = installed.run("python", "-c", "import levada; print(levada.__file__)")
    assert Path(where.strip()).is_relative_to(installed.site)


@pytest.mark.skipif(not IN_GIT, reason="only a clone knows which files are its own")
def test_the_wheel_holds_the_package_whole_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {name for name in tracked() if name.startswith("levada/")}
    assert wanted - held == set()
    assert held - wanted == set()


@pytest.mark.skipif(not IN_GIT, reason="only a clone knows which files are its own")
def test_the_source_distribution_holds_what_its_tests_need(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in tracked() - held if not name.startswith(".")} == set()


SOME = (
    "guest/test_abi_tables.py",
    "guest/test_topic.py",
    "firmware/test_makefile.py",
    "test_house.py",
    "test_docs.py::test_every_path_that_is_named_exists",
)


def in_source_distribution(
    installed: Installed, folder: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run its tests in it."""
    if not (root := folder / installed.sdist.name.removesuffix(".tar.gz")).exists():
        with tarfile.open(installed.sdist) as archive:
            archive.extractall(folder, filter="data")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done


@pytest.mark.slow
def test_some_tests_of_the_source_distribution_run_in_it(
    installed: Installed, tmp_path: Path
) -> None:
    in_source_distribution(installed, tmp_path, *(f"tests/{name}" for name in SOME))


@pytest.mark.slow
def test_the_tests_of_the_source_distribution_run_in_it(
    installed: Installed, tmp_path: Path
) -> None:
    """All can be collected; of every file, the first and every twentieth is run."""
    named = in_source_distribution(installed, tmp_path, "--collect-only").stdout
    of_file: dict[str, list[str]] = {}
    for line in named.splitlines():
        if "::" in line:
            of_file.setdefault(line.partition("::")[0], []).append(line)
    assert len(of_file) > 100
    assert sum(map(len, of_file.values())) > 6_000
    chosen = tmp_path / "chosen"
    chosen.write_text("\n".join(test for tests in of_file.values() for test in tests[::20]))
    in_source_distribution(installed, tmp_path, f"@{chosen}")


def test_the_metadata_are_whole(installed: Installed) -> None:
    text = next(installed.site.glob("levada-*.dist-info/METADATA")).read_text("utf-8")
    metadata = message_from_string(text)
    for key in ("Name", "Version", "Summary", "Author", "Keywords", "License-File"):
        assert metadata[key], key
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert "irrigation guest" in str(metadata.get_payload())
    cited = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version: {metadata['Version']}\n" in cited
    assert metadata["Author"] in cited
    assert all(f"  - {word}\n" in cited for word in metadata["Keywords"].split(",")[:6])


def test_shipped_scenarios_are_listed_and_copied(installed: Installed) -> None:
    listed = installed.run("levada", "scenarios")
    for path in (ROOT / "levada/scenarios").glob("*.toml"):
        assert re.search(rf"^{path.stem} ", listed, re.MULTILINE)
    installed.run("levada", "scenarios", "copy", "quickstart", "fields")
    assert "1 zone" in installed.run("levada", "lint", "fields/quickstart.toml")
    with (installed.project / "fields/quickstart.toml").open("a") as mine:
        mine.write("# mine\n")
    again = installed.run("levada", "scenarios", "copy", "quickstart", "fields", code=2)
    assert "exists already: nothing was copied" in again
    unknown = installed.run("levada", "scenarios", "copy", "nosuch", "fields", code=2)
    assert "quickstart" in unknown
    assert "quickstart" in installed.run("levada", "run", "nosuch", code=2)


def test_a_scenario_runs_by_its_name(installed: Installed) -> None:
    said = installed.run("levada", "run", "quickstart", "--out", "out")
    assert "9 passed, 0 failed" in said
    assert (installed.project / "out/report.html").is_file()


def test_the_doctor_tells_the_truth(installed: Installed) -> None:
    said = installed.run("levada", "doctor")
    package = installed.site / "levada"
    assert f"installed: {package}" in said
    assert f"{len(list((package / 'scenarios').glob('*.toml')))} in {package}/scenarios" in said
    assert f"built in {installed.cache}/levada/firmware-" in said
    assert "clone" not in said


def test_the_doctor_advises_what_works_in_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_package", lambda _: None)
    monkeypatch.setattr(doctor, "IN_CLONE", False)
    advice = {finding.name: finding.detail for finding in doctor.examine() if finding.optional}
    assert advice["esptool"] == f"{sys.executable} -m pip install 'levada[flash]'"


@pytest.mark.slow
def test_boards_are_built_in_the_cache_and_nothing_where_levada_is(installed: Installed) -> None:
    """Which may be read-only; another version has other sources, and so another folder."""
    before = files(installed.site)
    with installed.started("levada", "device") as (process, said):
        assert said.startswith("serial:/dev/")
    assert process.returncode == 0
    assert files(installed.site) == before
    (first,) = installed.cache.glob("levada/firmware-*")
    source = installed.site / "levada/firmware/core/frame.c"
    whole = source.read_bytes()
    source.write_bytes(whole + b"\n")
    try:
        where = installed.run(
            "python", "-c", "from levada.hil.virtual import BUILD; print(BUILD)"
        ).strip()
    finally:
        source.write_bytes(whole)
    assert Path(where).parent == first.parent
    assert Path(where) != first


@pytest.mark.slow
def test_a_twin_of_a_virtual_board_shows_its_page(installed: Installed) -> None:
    twin = ("levada", "twin", "quickstart", "--node", "virtual", "--port", "0", "--out", "twin")
    with installed.started(*twin) as (process, said):
        assert said.startswith("http://127.0.0.1:")
    assert process.returncode == 130


@pytest.mark.slow
def test_the_plugin_works_beside_folders_named_as_ours(installed: Installed) -> None:
    (installed.project / "tests" / "test_mine.py").write_text(
        "import pytest\n"
        "two_days = {'period__start': '2023-07-01', 'period__end': '2023-07-02'}\n"
        "@pytest.mark.scenario('quickstart', **two_days)\n"
        "def test_the_guest_runs(levada_run):\n"
        "    assert levada_run.summary['steps'] > 0\n"
    )
    plain = ("-p", "no:dash", "-p", "no:pytest_embedded", "-p", "no:cacheprovider")
    nodes = ("--levada-node", "sim", "--levada-node", "virtual")
    said = installed.run("python", "-m", "pytest", *plain, *nodes, "tests")
    assert "2 passed" in said


@pytest.mark.slow
def test_the_wheel_brings_what_it_depends_on(installed: Installed, tmp_path: Path) -> None:
    """From the package index: an environment that has nothing but the wheel."""
    venv.create(tmp_path / "environment", with_pip=True)
    own = Installed(
        tmp_path / "environment/bin",
        next((tmp_path / "environment").glob("lib/python*/site-packages")),
        installed.project,
        installed.cache,
        installed.sdist,
        installed.wheel,
    )
    own.run("python", "-m", "pip", "install", "--quiet", installed.wheel)
    own.run("python", "-m", "pip", "check")
    assert "9 passed, 0 failed" in own.run("levada", "run", "quickstart", "--out", "whole")
    assert "not installed" not in own.run("levada", "doctor")
