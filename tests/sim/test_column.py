from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from levada.sim.soil.column import Column
from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.model import Flux
from levada.sim.soil.richards_profile import Bottom, InitialProfile, Layer

LOAM = VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496)
LAYERS = [Layer(thickness_m=1.0, soil=LOAM)]
PAGE = Path(__file__).parents[2] / "docs" / "models" / "richards.md"


def test_flow_through_the_last_face_is_the_drainage_of_the_boundary() -> None:
    """The one is summed from the top down, the other comes from the boundary condition."""
    column = Column(LAYERS, initial=InitialProfile(quantity="head_m", values=(-0.6,)))
    forcing = {
        "rain_mm_h": [5.0, 0.0, 0.0, 2.0],
        "evaporation_mm_h": 0.2,
        "transpiration_mm_h": 0.4,
        "root_depth_m": 0.6,
    }
    result = column.run(forcing, np.arange(5) * 7200.0)
    np.testing.assert_allclose(
        result.flow_mm[:, -1], result.fluxes_mm[:, Flux.DRAINAGE_MM], atol=1e-9
    )
    np.testing.assert_allclose(
        result.uptake_mm.sum(axis=1), result.fluxes_mm[:, Flux.TRANSPIRATION_MM], atol=1e-9
    )
    assert result.fluxes_mm[:, Flux.RAIN_MM].sum() == pytest.approx(14.0)
    assert result.theta.shape == result.head_m.shape == (5, 50)


def test_uptake_by_depth_follows_the_root_profile_in_wet_soil() -> None:
    column = Column(LAYERS, cells=100, top_cell_m=0.01)
    result = column.run({"transpiration_mm_h": 0.2, "root_depth_m": 0.5}, [0.0, 3600.0])
    # Hoffman and van Genuchten: a third of the roots in the upper fifth
    upper = result.uptake_mm[0, result.depths_m < 0.1].sum()
    assert upper / 0.2 == pytest.approx(1 / 3, abs=1e-4)
    assert result.uptake_mm[0, result.depths_m > 0.5].sum() == 0.0


def test_a_second_run_goes_on_where_the_first_ended() -> None:
    whole = Column(LAYERS).run({"rain_mm_h": 3.0}, [0.0, 3600.0, 7200.0])
    column = Column(LAYERS)
    column.run({"rain_mm_h": 3.0}, [0.0, 3600.0])
    second = column.run({"rain_mm_h": 3.0}, [3600.0, 7200.0])
    np.testing.assert_array_equal(second.theta[-1], whole.theta[-1])


def test_unknown_forcing_and_times_that_stand_still_are_refused() -> None:
    column = Column(LAYERS, bottom=Bottom(kind="zero_flux"))
    with pytest.raises(ValueError, match="permitted: rain_mm_h"):
        column.run({"snow_mm_h": 1.0}, [0.0, 3600.0])
    with pytest.raises(ValueError, match="increasing"):
        column.run({}, [0.0, 0.0])


def test_the_example_of_the_documentation_runs_and_prints_what_the_page_says() -> None:
    """The first Python block of the page, and the text block after it."""
    code, printed = re.findall(r"```(?:python|text)\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    lines: list[str] = []
    exec(code, {"print": lambda *values: lines.append(" ".join(map(str, values)))})
    assert "\n".join(lines) == printed.strip()
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
