"""The comparisons of docs/validation.md hold; the page is written by the same functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from levada.sim.soil.column import Column
from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.model import Flux
from levada.sim.soil.richards_profile import InitialProfile, Layer, Surface
from validation import comparison as validation
from validation import richards as validation_richards
from validation.comparison import Comparison

FUNCTIONS = [f for name, f in vars(validation_richards).items() if name.startswith("validate_")]


@pytest.mark.parametrize("compare", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_comparison_stays_within_its_limit(
    compare: Callable[[], Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_richards, "figure", lambda *_args, **_kwargs: "")
    comparison = compare()
    assert comparison.worst < comparison.limit, comparison.error


def test_horizontal_uptake_grows_with_the_square_root_of_time() -> None:
    """Philip (1957): without gravity I = S sqrt(t), so four times the time is twice the water."""
    soil = VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496)
    column = Column(
        [Layer(thickness_m=2.0, soil=soil)],
        cells=np.linspace(0.0, 2.0, 401),
        surface=Surface(head_m=0.0),
        initial=InitialProfile(quantity="head_m", values=(-10.0,)),
        gravity=0.0,
        theta_error=1e-4,
    )
    result = column.run({}, np.array([0.0, 1.0, 4.0]) * 14400.0)
    early, late = result.flow_mm[0, 0], result.flow_mm[:, 0].sum()
    assert late / early == pytest.approx(2.0, rel=0.01)
    assert result.fluxes_mm[:, Flux.DRAINAGE_MM].sum() < 1e-3


def test_the_page_has_a_row_a_figure_and_a_note_for_each_comparison() -> None:
    comparison = Comparison(
        model="soil",
        name="rain",
        data="loam",
        period="1 d",
        reference="formula",
        version="-",
        error="1 mm",
        worst=1.0,
        limit=2.0,
        figure="images/validation/rain.svg",
        note="Points: cells.",
        unseen=True,
    )
    page = validation.page([comparison])
    assert (
        "| soil | **rain** (unseen): formula | loam | 1 d | - | 1 mm "
        "| [plot](images/validation/rain.svg) |" in page
    )
    assert "Points: cells." in page
    assert "![rain](images/validation/rain.svg)" in page
