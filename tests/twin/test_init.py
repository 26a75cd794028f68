"""`levada init`: what it makes passes at once, and nothing is overwritten."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levada.guest.module.inspect import inspect
from levada.sim.crop.table import ALIASES, TABLE
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.load import load
from levada.sim.scenario.shipped import names
from levada.twin.cli.main import app
from levada.twin.project import Answers, ProjectError, create, crop_name, project_name, site_of


def levada(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.output


def test_a_project_with_a_guest_in_c_passes_at_once(tmp_path: Path) -> None:
    field = tmp_path / "my field"
    said = levada("init", str(field), "--site", "38.57,-7.91,309", "--crop", "Corn", "--guest", "c")
    assert "levada guest build guest/field.c" in said
    scenario = load(field / "field.toml")
    assert (scenario.name, scenario.zone[0].crop.name) == ("my-field", "maize")
    assert inspect((field / "guest/field.wasm").read_bytes()).problems == ()
    built = (field / "guest/field.wasm").read_bytes()
    levada("guest", "build", str(field / "guest/field.c"))
    assert (field / "guest/field.wasm").read_bytes() == built
    levada("lint", str(field / "field.toml"))
    short = scenario.period.start.replace(day=12).isoformat()
    run = ("--set", f"period.end={short}", "--out", str(tmp_path / "run"))
    assert "0 failed" in levada("run", str(field / "field.toml"), *run)


@pytest.mark.slow
def test_its_tests_pass(tmp_path: Path) -> None:
    levada("init", str(tmp_path), "--guest", "none", "--name", "mine", "--crop", "lettuce")
    test = tmp_path / "tests/test_field.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = CliRunner().invoke(app, ["init", str(tmp_path), "--guest", "none"])
    assert isinstance(result.exception, ProjectError)
    assert "README.md exists already, and nothing was written" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_link_or_a_file_in_place_of_a_folder_is_not_written_through(tmp_path: Path) -> None:
    answers = Answers(name="mine", site="quickstart", crop="maize", guest="none")
    (tmp_path / "README.md").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tests").touch()
    with pytest.raises(ProjectError, match=r"README\.md, tests exist already"):
        create(tmp_path, answers)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"site": "1,2"}, "three numbers"),
        ({"site": "91,0,0"}, "latitude 91, permitted -66 to 66"),
        ({"site": "nan,0,0"}, "three numbers"),
        ({"site": "-31.4,-64.2,420"}, "a weather file is needed"),
        ({"site": "quikstart"}, "did you mean `quickstart`"),
        ({"crop": "maiz"}, "did you mean `maize`"),
        ({"name": "a b"}, "permitted are small letters"),
        ({"weather": Path("absent.csv")}, "absent.csv: no such file"),
    ],
)
def test_a_wrong_answer_is_told_and_nothing_written(
    tmp_path: Path, change: dict[str, str], told: str
) -> None:
    answers = {"name": "mine", "site": "quickstart", "crop": "maize", "guest": "none"} | change
    with pytest.raises(ProjectError, match=told):
        create(tmp_path / "new", Answers(**answers))  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


QUICK = ("rice", "spinach", "wheat winter")


@pytest.mark.parametrize(
    "crop",
    [pytest.param(crop, marks=() if crop in QUICK else pytest.mark.slow) for crop in TABLE],
)
def test_every_crop_gives_a_scenario_without_faults(tmp_path: Path, crop: str) -> None:
    create(tmp_path, Answers(name="mine", site="0,-7.91,309", crop=crop, guest="none"))


def test_a_weather_file_of_ones_own_sets_the_season(tmp_path: Path) -> None:
    weather = Path(__file__).parents[2] / "levada/scenarios/weather/greeley_co_2023_daily.csv"
    weather = Path(shutil.copy(weather, tmp_path / "autumn of 2023.csv"))
    rows = weather.read_text().splitlines(keepends=True)
    weather.write_text("".join([rows[0], *rows[240:300]]))  # 28 August to 26 October
    answers = Answers(name="mine", site="quickstart", crop="onion", weather=weather, guest="none")
    create(tmp_path / "new", answers)
    scenario = load(tmp_path / "new/field.toml")
    assert scenario.weather.file == str(tmp_path / "new/weather" / weather.name)
    assert scenario.period.start == scenario.zone[0].crop.planting == date(2023, 8, 28)
    assert scenario.period.end == date(2023, 10, 26)


@pytest.mark.parametrize("site", names())
def test_every_shipped_site_gives_a_scenario(tmp_path: Path, site: str) -> None:
    create(tmp_path, Answers(name="mine", site=site, crop="maize", guest="none"))


def test_corn_is_maize(tmp_path: Path) -> None:
    assert set(ALIASES.values()) <= set(TABLE) and not set(ALIASES) & set(TABLE)
    assert crop_name("corn") == "maize"
    create(tmp_path, Answers(name="mine", site="quickstart", crop="maize", guest="none"))
    with pytest.raises(ScenarioError, match="did you mean `maize`"):
        load(tmp_path / "field.toml", overrides=[("zone.0.crop.name", "corn")])


def test_a_folder_and_a_place_give_name_and_time_zone() -> None:
    assert project_name(Path("/fields/2024 north")) == "field-2024-north"
    assert site_of("38.57,-7.91,309")["utc_offset_h"] == -1  # the sun's, to the whole hour
