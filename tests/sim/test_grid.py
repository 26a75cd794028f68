"""The grid of the soil: where its cells are, and what a finer one changes in a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from levada.sim.errors import SettingError
from levada.sim.results.grid import grid_sentence
from levada.sim.run.grid_check import with_grid_check
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.shipped import scenario_path
from levada.sim.soil.column import Column
from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.richards_profile import InitialProfile, Layer, graded_cells

SAND = VanGenuchten(theta_r=0.045, theta_s=0.43, alpha_per_m=14.5, n=2.68, ks_m_d=7.128)
CLAY = VanGenuchten(theta_r=0.068, theta_s=0.38, alpha_per_m=0.8, n=1.09, ks_m_d=0.048)


def layers(*soils: tuple[float, VanGenuchten]) -> list[Layer]:
    return [Layer(thickness_m=d, soil=s, theta_wp=s.theta_r, theta_fc=s.theta_s) for d, s in soils]


def test_one_soil_has_the_grid_it_had_before_there_were_finer_cells_at_boundaries() -> None:
    """Every tenth face of 50 cells from 1 cm in 2 m, as version 0.1 printed them."""
    one = [0.0, 0.127475, 0.330891, 0.655488, 1.173458, 2.0]
    np.testing.assert_allclose(graded_cells(layers((2.0, SAND)))[::10], one, atol=1e-6)
    split = [0.0, 0.126152, 0.326677, 0.648205, 1.167635, 2.0]
    found = graded_cells(layers((0.5, SAND), (1.5, SAND)))
    np.testing.assert_allclose(found[::10], split, atol=1e-6)


def test_cells_are_finest_at_the_surface_and_where_two_soils_meet() -> None:
    faces = graded_cells(layers((0.3, SAND), (0.4, CLAY), (1.3, SAND)))
    sizes = np.diff(faces)
    assert len(faces) == 51
    for depth in (0.0, 0.3, 0.7, 2.0):
        assert np.min(np.abs(faces - depth)) < 1e-12
    for boundary in (0.3, 0.7):
        near = sizes[np.abs(0.5 * (faces[1:] + faces[:-1]) - boundary) < 0.02]
        assert near.max() < 0.012
    assert sizes.max() == sizes[-1]


def test_sand_over_clay_is_within_two_percent_of_a_grid_of_two_millimetres() -> None:
    """Water that has reached the clay a day after 60 mm of rain; the grid of version 0.1 was 10 %
    low."""
    soil = layers((0.3, SAND), (1.7, CLAY))
    times = np.array([0.0, 6.0, 24.0]) * 3600.0
    forcing = {"rain_mm_h": [10.0, 0.0], "transpiration_mm_h": [0.0, 0.2], "root_depth_m": 0.6}
    through = []
    fine = np.concatenate([np.linspace(0.0, 0.3, 151), np.linspace(0.3, 2.0, 851)[1:]])
    for cells in (fine, graded_cells(soil)):
        start = InitialProfile(quantity="head_m", values=(-3.0,))
        result = Column(soil, cells=cells, initial=start).run(forcing, times)
        boundary = int(np.argmin(np.abs(result.faces_m - 0.3)))
        through.append(result.flow_mm[:, boundary].sum())
    assert through[0] > 10.0
    assert through[1] == pytest.approx(through[0], rel=0.02)


FEW_DAYS: list[tuple[str, object]] = [
    ("period.start", "2023-07-01"),
    ("period.end", "2023-07-03"),
    ("expect", "[]"),
]


def test_the_check_tells_the_difference_to_a_run_with_twice_the_cells(tmp_path: Path) -> None:
    quickstart = scenario_path("quickstart")
    scenario = scenarios.load(quickstart, FEW_DAYS)
    run = run_scenario(scenario, tmp_path / "a", extend=with_grid_check(scenario))
    finer = scenarios.load(quickstart, [*FEW_DAYS, ("zone.maize.soil.cells", "100")])
    other = run_scenario(finer, tmp_path / "b", report=False)
    found = run.summary["grid_check"]
    assert (found["cells"], found["finer_cells"]) == (50, 100)
    for name in ("drainage_mm", "et_mm", "irrigation_mm"):
        assert found[name] == pytest.approx(other.summary[name] - run.summary[name], abs=1e-3)
    assert 0.0 < found["theta_root"]["mean"] <= found["theta_root"]["largest"] < 0.02
    sentence = grid_sentence(run.summary)
    assert sentence is not None
    assert sentence.startswith("twice the cells (100 instead of 50): theta of the root zone")
    assert sentence in (tmp_path / "a" / "report.html").read_text("utf-8")
    assert grid_sentence(other.summary) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("zone.maize.soil.model", '"bucket"')], "the only one with a grid"),
        ([("zone.maize.node", "virtual")], "permitted: sim"),
    ],
)
def test_what_has_no_grid_or_cannot_be_run_twice_is_refused(
    changes: list[tuple[str, object]], message: str
) -> None:
    scenario = scenarios.load(scenario_path("quickstart"), [*FEW_DAYS, *changes])
    with pytest.raises(SettingError, match=message):
        with_grid_check(scenario)
