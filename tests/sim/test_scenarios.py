"""The shipped scenarios: each passes its expectations and tells the story that is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small import ROOT

from levada.sim.results.stored import FIGURES, SIGNALS, compare_results, results_path, write_results
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.run.runner import check, run_scenario
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.shipped import copy

SCENARIOS = sorted((ROOT / "levada/scenarios").glob("*.toml"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """Runs by name, each made when first asked for."""
    directory = tmp_path_factory.mktemp("scenarios")

    class Runs(dict[str, RunDir]):
        def __missing__(self, name: str) -> RunDir:
            document = scenarios.read(ROOT / "levada/scenarios" / f"{name}.toml")
            check(document)
            run_scenario(document.scenario, directory / name, report=False)
            self[name] = RunDir(directory / name)
            return self[name]

    return Runs()


def test_eight_stories_are_shipped() -> None:
    stories = {
        "quickstart",
        "dry-spell",
        "storm",
        "stuck-probe",
        "stuck-valve",
        "power-loss",
        "sandy-soil",
        "fleet-100",
    }
    assert stories <= {path.stem for path in SCENARIOS}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
class TestEach:
    def test_its_expectations_hold(self, path: Path, runs: dict[str, RunDir]) -> None:
        run = runs[path.stem]
        broken = [e for e in run.summary["expectations"] if not e["passed"]]
        assert run.summary["expectations"]
        assert broken == []

    def test_its_results_are_those_stored(self, path: Path, runs: dict[str, RunDir]) -> None:
        found = compare_results(runs[path.stem], results_path(path))
        differences = [str(d) for d in (*found.figures, *found.windows, *found.expectations)]
        assert differences == []
        assert found.equal

    def test_no_water_is_made_or_lost(self, path: Path, runs: dict[str, RunDir]) -> None:
        """Relative to what went through, in every zone."""
        for zone in runs[path.stem].summary["zones"]:
            through = zone["rain_mm"] + zone["irrigation_mm"] + zone["et_mm"]
            assert abs(zone["balance_error_mm"]) < 1e-6 * through

    def test_it_tells_a_story(self, path: Path, runs: dict[str, RunDir]) -> None:
        scenario = scenarios.load(path)
        assert scenario.name == path.stem
        assert scenario.title
        assert len(scenario.description) > 100


def test_the_page_of_sensor_or_et_has_the_figures_of_the_run(runs: dict[str, RunDir]) -> None:
    page = (ROOT / "docs/sensor-or-et.md").read_text("utf-8")
    for zone in runs["sensor-or-et"].summary["zones"]:
        row = (
            f"| `{zone['name']}` | {zone['irrigation_mm']:.0f} mm | {zone['valve_openings']} "
            f"| {zone['drainage_mm']:.0f} mm | {zone['stress_days']:.0f} |"
        )
        assert row in page


class TestResults:
    """Of a run that is not as stored."""

    @pytest.fixture
    def stored(self, runs: dict[str, RunDir], tmp_path: Path) -> tuple[RunDir, Path, Any]:
        path = tmp_path / "dry-spell.json"
        write_results(runs["dry-spell"], path)
        return runs["dry-spell"], path, json.loads(path.read_text("utf-8"))

    def test_a_run_is_as_it_was_accepted(self, stored: tuple[RunDir, Path, Any]) -> None:
        run, path, content = stored
        assert compare_results(run, path).equal
        assert set(content["figures"]) == set(FIGURES)
        assert set(content["daily"]["maize"]) == set(SIGNALS)
        assert len(content["daily"]["maize"]["dr_mm"]["values"]) == run.summary["days"]

    def test_a_figure_beyond_its_tolerance_is_named(self, stored: tuple[RunDir, Path, Any]) -> None:
        run, path, content = stored
        content["figures"]["et_mm"]["value"] += 1.6
        content["figures"]["irrigation_mm"]["value"] += 2.2
        path.write_text(json.dumps(content), "utf-8")
        found = compare_results(run, path)
        assert not found.equal
        assert [figure.name for figure in found.figures] == ["et_mm"]
        assert "allowed difference 1.5" in str(found.figures[0])

    def test_what_is_not_a_number_is_equal_to_nothing(
        self, stored: tuple[RunDir, Path, Any]
    ) -> None:
        run, path, content = stored
        content["figures"]["et_mm"]["value"] = float("nan")
        content["daily"]["maize"]["theta_probe"]["values"][3] = float("nan")
        path.write_text(json.dumps(content), "utf-8")
        found = compare_results(run, path)
        assert "stored nan" in str(found.figures[0])
        assert "differs by up to nan" in str(found.windows[0])

    def test_days_on_which_a_signal_differs_are_named(
        self, stored: tuple[RunDir, Path, Any]
    ) -> None:
        """The scenario starts on 1 August, so these are the 4th to the 6th and the 20th."""
        run, path, content = stored
        for day in (3, 4, 5, 19):
            content["daily"]["maize"]["theta_probe"]["values"][day] += 0.03
        path.write_text(json.dumps(content), "utf-8")
        first, second = compare_results(run, path).windows
        assert (first.signal, first.zone) == ("theta_probe", "maize")
        assert (first.first, first.last) == ("2023-08-04", "2023-08-06")
        assert (second.first, second.last) == ("2023-08-20", "2023-08-20")
        assert first.largest == pytest.approx(0.03, abs=1e-3)

    def test_an_expectation_that_no_longer_holds_is_named(
        self, stored: tuple[RunDir, Path, Any]
    ) -> None:
        run, path, content = stored
        content["expectations"]["No trap"] = False
        path.write_text(json.dumps(content), "utf-8")
        assert compare_results(run, path).expectations == ("No trap",)

    def test_results_of_another_scenario_are_refused(
        self, runs: dict[str, RunDir], stored: tuple[RunDir, Path, Any]
    ) -> None:
        _, path, _ = stored
        with pytest.raises(RunDirError, match="scenario is dry-spell, that of the run storm"):
            compare_results(runs["storm"], path)
        with pytest.raises(RunDirError, match="no stored results"):
            compare_results(runs["storm"], path.parent / "nothing.json")


class TestCopy:
    """Of a shipped scenario."""

    def test_two_share_their_weather_in_one_folder(self, tmp_path: Path) -> None:
        first, second = copy("quickstart", tmp_path), copy("dry-spell", tmp_path)
        assert {path.name for path in {*first, *second}} == {
            "quickstart.toml",
            "dry-spell.toml",
            "levada.schema.json",
            "greeley_co_2023_daily.csv",
        }

    def test_what_was_changed_is_not_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "levada.schema.json").write_text("mine", "utf-8")
        with pytest.raises(FileExistsError, match="nothing was copied"):
            copy("quickstart", tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["levada.schema.json"]
