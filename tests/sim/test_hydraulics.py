from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.sim.soil.hydraulics import (
    CUSP_M,
    HEAD_RANGE_M,
    INTERVALS,
    U_MIN,
    VanGenuchten,
    head_of,
    table,
    transform,
)

# Carsel and Parrish (1988)
SAND = VanGenuchten(theta_r=0.045, theta_s=0.43, alpha_per_m=14.5, n=2.68, ks_m_d=7.128)
LOAM = VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496)
CLAY = VanGenuchten(theta_r=0.068, theta_s=0.38, alpha_per_m=0.8, n=1.09, ks_m_d=0.048)
# alpha |h| = 1 and n = 2: every power can be worked out by hand
SIMPLE = VanGenuchten(theta_r=0.0, theta_s=0.5, alpha_per_m=1.0, n=2.0, ks_m_d=2.0)


def test_retention_and_conductivity_follow_van_genuchten() -> None:
    # Se = 2^-1/2; K = Ks Se^1/2 [1 - (1 - Se^2)^1/2]^2
    assert SIMPLE.theta(-1.0) == pytest.approx(0.5 * 0.7071068)
    assert SIMPLE.conductivity_m_d(-1.0) == pytest.approx(2.0 * 0.8408964 * 0.0857864, rel=1e-6)


def test_conductivity_of_dry_soil_keeps_its_power_law() -> None:
    # far from saturation K ~ |h|^-(n - 1)(l + 2/m) with m = 1 - 1/n: exponent 4.5 for n = 2
    ratio = SIMPLE.conductivity_m_d(-2e3) / SIMPLE.conductivity_m_d(-1e3)
    assert ratio == pytest.approx(2.0**-4.5, rel=1e-5)


def test_air_entry_keeps_the_pores_full_and_the_conductivity_saturated() -> None:
    soil = VanGenuchten(
        theta_r=0.068, theta_s=0.38, alpha_per_m=0.8, n=1.09, ks_m_d=0.048, air_entry_m=0.02
    )
    assert soil.theta(-0.02) == pytest.approx(0.38)
    assert soil.conductivity_m_d(-0.02) == pytest.approx(0.048)
    assert soil.conductivity_m_d(-0.03) < 0.048


def test_field_capacity_follows_the_flux_criterion() -> None:
    # Twarakavi et al. (2009), Eq. 9, by hand: n = 2, Ks = 100 cm/d: Se = 2^-2.4 = 0.189465
    soil = VanGenuchten(theta_r=0.05, theta_s=0.45, alpha_per_m=1.0, n=2.0, ks_m_d=1.0)
    assert soil.theta_fc() == pytest.approx(0.05 + 0.4 * 0.189465, rel=1e-5)


@given(head=st.floats(-4e4, -1e-3), soil=st.sampled_from([SAND, LOAM, CLAY, SIMPLE]))
def test_head_inverts_theta(head: float, soil: VanGenuchten) -> None:
    theta = soil.theta(head)
    if theta < soil.theta_s - 1e-9 and theta > soil.theta_r + 1e-9:
        assert soil.theta(soil.head(theta)) == pytest.approx(theta, abs=1e-12)


def test_transformed_heads_go_back_to_heads() -> None:
    heads = np.array([HEAD_RANGE_M[0], -153.0, -1.0, -1e-4, 0.0, 0.02, 3.0])
    np.testing.assert_allclose(head_of(transform(heads)), heads, rtol=1e-12)


@pytest.mark.parametrize("soil", [SAND, LOAM, CLAY, SIMPLE])
def test_tables_stay_close_to_the_formulae(soil: VanGenuchten) -> None:
    u = np.linspace(U_MIN, 0.0, 20_011)[:-1]
    h = head_of(u)
    x = (u - U_MIN) * INTERVALS / -U_MIN
    j = x.astype(int)
    powers = (x - j)[:, None] ** np.arange(4)
    rows = table(soil)[j]
    theta, phi, k, head = (np.sum(rows[:, c : c + 4] * powers, axis=1) for c in (0, 4, 8, 12))
    np.testing.assert_allclose(theta, soil.theta(h), rtol=0, atol=5e-7)
    np.testing.assert_allclose(head, h, rtol=1e-6)
    exact = soil.conductivity_m_d(h) / 86400.0
    smooth = h < -CUSP_M if soil.n < 2.0 else h < 0.0
    np.testing.assert_allclose(k[smooth], exact[smooth], rtol=2e-3)
    # the matric flux potential is the integral of K: trapezoids over the same fine points
    steps = 0.5 * (exact[1:] + exact[:-1]) * np.diff(h)
    rough = phi[0] + np.concatenate([[0.0], np.cumsum(steps)])
    np.testing.assert_allclose(phi[smooth], rough[smooth], rtol=1e-4)
    for values in (theta, phi, k, head):
        assert np.all(np.diff(values) >= 0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 1.0), ("theta_r", -0.1), ("ks_m_d", 0.0), ("theta_s", 0.05), ("alpha_per_m", 200.0)],
)
def test_a_parameter_outside_its_range_is_named_with_the_range(name: str, value: float) -> None:
    parameters = {
        "theta_r": 0.078,
        "theta_s": 0.43,
        "alpha_per_m": 3.6,
        "n": 1.56,
        "ks_m_d": 0.2496,
    }
    with pytest.raises(ValueError, match=r"permitted|must be above"):
        VanGenuchten(**{**parameters, name: value})


def test_a_water_content_the_soil_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"permitted above 0\.078 and at most 0\.43"):
        LOAM.head(0.05)
