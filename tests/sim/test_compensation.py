"""Compensated uptake: Jarvis (1989), Simunek and Hopmans (2009)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from levada.sim.soil.column import Column, ColumnResult
from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.model import Flux
from levada.sim.soil.richards_profile import Bottom, InitialProfile, Layer
from levada.sim.soil.uptake import FEDDES

LOAM = VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496)
MAIZE = FEDDES["maize"]
POTENTIAL_MM_H = 0.3


def transpired(
    critical: float, heads_m: tuple[float, ...], depths_m: tuple[float, ...], seconds: float = 60.0
) -> ColumnResult:
    """Even roots over a metre of loam, of which the heads are given at some depths."""
    column = Column(
        [Layer(thickness_m=1.0, soil=LOAM)],
        cells=np.linspace(0.0, 1.0, 51),
        initial=InitialProfile(quantity="head_m", values=heads_m, depths_m=depths_m),
        bottom=Bottom(kind="zero_flux"),
        roots=lambda x: np.asarray(x, dtype=np.float64),
        critical_stress_index=critical,
    )
    return column.run({"transpiration_mm_h": POTENTIAL_MM_H, "root_depth_m": 1.0}, [0.0, seconds])


HALF_DRY = ((-1.0, -1.0, -200.0, -200.0), (0.0, 0.4999, 0.5001, 1.0))
"""Above as maize likes it, below too dry to take anything: the stress index is 0.5."""


@pytest.mark.parametrize(
    ("critical", "share"),
    # omega / omega_c below the critical index, 1 above it: Simunek and Hopmans (2009), Fig. 1
    [(1.0, 0.5), (0.8, 0.625), (0.625, 0.8), (0.5, 1.0), (0.2, 1.0)],
)
def test_moist_roots_make_up_for_dry_ones_as_far_as_the_critical_index_allows(
    critical: float, share: float
) -> None:
    result = transpired(critical, *HALF_DRY)
    potential = POTENTIAL_MM_H / 60.0
    assert result.fluxes_mm[0, Flux.TRANSPIRATION_MM] == pytest.approx(share * potential, rel=1e-3)
    assert result.uptake_mm[0, 25:].sum() == 0.0
    np.testing.assert_allclose(result.uptake_mm[0, :24], share * potential / 25, rtol=1e-3)


@pytest.mark.parametrize("critical", [0.9, 0.6, 0.3])
def test_every_cell_takes_its_share_over_the_stress_index(critical: float) -> None:
    """Against the formula, with the reduction of Feddes by interpolation."""
    result = transpired(critical, (-0.2, -3.0, -60.0), (0.0, 0.4, 1.0))
    heads = result.head_m[-1]
    h3 = MAIZE.optimal_dry_low_m  # demand is remembered for a day: it has just begun
    knots = [MAIZE.wilting_m, h3, MAIZE.optimal_wet_m, MAIZE.anaerobic_m]
    reduction = np.interp(heads, knots, [0.0, 1.0, 1.0, 0.0])
    omega = reduction.mean()
    assert 0.3 < omega < 0.9
    expected = POTENTIAL_MM_H / 60.0 / 50 * reduction / max(omega, critical)
    np.testing.assert_allclose(result.uptake_mm[0], expected, rtol=2e-3, atol=1e-9)


def test_a_crop_never_transpires_more_than_its_potential() -> None:
    """Also while rain, which makes roots take more at once, wets a dry root zone."""
    column = Column(
        [Layer(thickness_m=1.0, soil=LOAM)],
        initial=InitialProfile(quantity="head_m", values=(-100.0, -2.0), depths_m=(0.0, 1.0)),
        critical_stress_index=0.2,
    )
    rain = [0.0] * 12 + [12.0] * 4 + [0.0] * 32
    times = np.arange(len(rain) + 1) * 1800.0
    result = column.run({"rain_mm_h": rain, "transpiration_mm_h": 0.5, "root_depth_m": 0.8}, times)
    taken = result.fluxes_mm[:, Flux.TRANSPIRATION_MM]
    assert taken.max() <= 0.25 + 1e-9
    assert taken.min() > 0.0
    gain = result.fluxes_mm[:, 0].sum() - result.fluxes_mm[:, 2:].sum()
    stored = (result.theta[-1] - result.theta[0]) @ np.diff(result.faces_m) * 1000.0
    assert gain == pytest.approx(stored + result.ponding_mm[-1], abs=1e-9)


def test_the_lower_the_critical_index_the_longer_a_drying_crop_transpires() -> None:
    """Simunek and Hopmans (2009): compensation takes water from deeper soil."""
    weeks = np.arange(22) * 86400.0
    deep, sums = [], []
    for critical in (1.0, 0.8, 0.5):
        column = Column(
            [Layer(thickness_m=1.5, soil=LOAM)],
            initial=InitialProfile(quantity="head_m", values=(-2.0,)),
            critical_stress_index=critical,
        )
        result = column.run({"transpiration_mm_h": 0.25, "root_depth_m": 1.0}, weeks)
        deep.append(result.uptake_mm[:, result.depths_m > 0.5].sum())
        sums.append(result.fluxes_mm[:, Flux.TRANSPIRATION_MM].sum())
    assert all(a < b for a, b in pairwise(sums))
    assert all(a < b for a, b in pairwise(deep))


def test_an_index_out_of_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"permitted 0.05 to 1"):
        transpired(0.0, *HALF_DRY)
