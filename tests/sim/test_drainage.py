"""Field capacity is where a soil stops draining."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from test_soils import zone

from levada.sim.run import soils
from levada.sim.soil.column import Column
from levada.sim.soil.drainage import DRAINED_M, drained, drains_to, solve
from levada.sim.soil.hydraulics import FloatArray, VanGenuchten
from levada.sim.soil.model import new_fluxes, new_forcing, new_observed
from levada.sim.soil.richards import Richards
from levada.sim.soil.richards_profile import InitialProfile, Layer, SoilProfile
from levada.sim.soil.structured import StructuredSoil
from levada.sim.soil.texture import CLASSES, SoilProperties, by_class, by_contents, nearest_class

DAY_S = 86400.0
CLOSE = 0.01
"""Accepted difference from a stated field capacity [m3 m-3]."""


def field(found: Sequence[SoilProperties]) -> FloatArray:
    """Mean theta of 0 to 60 cm at the drainage time of each soil, by columns as a scenario has."""
    model = Richards(
        [
            SoilProfile(
                layers=[
                    Layer(
                        thickness_m=2.0,
                        soil=s.hydraulics,
                        theta_fc=s.theta_fc,
                        theta_wp=s.theta_wp,
                    )
                ],
                initial=InitialProfile(quantity="head_m", values=(0.0,)),
            )
            for s in found
        ]
    )
    n = len(found)
    inside_m = np.clip(np.minimum(model.faces_m[0, 1:], 0.6) - model.faces_m[0, :-1], 0.0, None)
    days = np.array([s.drainage_time_d for s in found])
    theta = np.full(n, np.nan)
    for day in range(1, 4):
        model.advance(DAY_S, new_forcing(n), new_fluxes(n), new_observed(n))
        theta = np.where(days == day, model.profile()[1] @ inside_m / 0.6, theta)
    return theta


def pairs(number: int) -> list[SoilProperties]:
    """Soils of random contents: field capacity 0.08 to 0.40, wilting point 0.3 to 0.7 of it."""
    rng = np.random.default_rng(14)
    theta_fc = rng.uniform(0.08, 0.40, number)
    theta_wp = theta_fc * rng.uniform(0.3, 0.7, number)
    return [
        by_contents(theta_fc=float(fc), theta_wp=float(wp))
        for fc, wp in zip(theta_fc, theta_wp, strict=True)
    ]


def test_drainage_by_gravity_is_that_of_sisson_and_others() -> None:
    """Sisson, Ferguson and van Genuchten (1980, Soil Sci. Soc. Am. J. 44:1147-1153): without
    capillarity dK/dtheta = z/t.  K = Ks S^b gives S = (z (theta_s - theta_r) / (b Ks t))^(1/(b-1)),
    of which the mean to L is (b-1)/b (L (theta_s - theta_r) / (b Ks t))^(1/(b-1)).
    """
    # all pores in a matrix that is full to 1 cm: hardly any capillarity
    soil = StructuredSoil(
        theta_r=0.05,
        theta_s=0.40,
        theta_m=0.40,
        alpha_per_m=100.0,
        n=2.0,
        ks_m_d=0.5,
        matrix_ks_m_d=0.5,
    )
    b = 0.5 + 2.0 + 2.0 / 1.0
    for days, theta in zip((1.0, 3.0, 10.0), drains_to(soil, (1.0, 3.0, 10.0)), strict=True):
        wave = (DRAINED_M * 0.35 / (b * 0.5 * days)) ** (1.0 / (b - 1.0)) * (b - 1.0) / b
        assert theta == pytest.approx(0.05 + 0.35 * wave, abs=5e-3)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_drains_to_its_field_capacity(name: str) -> None:
    soil = by_class(name)
    assert soil.drainage_time_d == (2 if name in ("sand", "loamy sand", "sandy loam") else 3)
    assert field([soil])[0] == pytest.approx(soil.theta_fc, abs=3e-3)
    assert float(soil.hydraulics.theta(-153.0)) == pytest.approx(soil.theta_wp, abs=1e-6)
    assert float(soil.hydraulics.theta(-1.0)) == pytest.approx(soil.theta_fc, abs=1e-4)


def test_random_soils_drain_to_their_field_capacity() -> None:
    off = np.abs(field(pairs(40)) - [s.theta_fc for s in pairs(40)])
    assert np.mean(off <= CLOSE) >= 0.95


@pytest.mark.slow
def test_five_hundred_random_soils_drain_to_their_field_capacity() -> None:
    found = pairs(500)
    off = np.abs(field(found) - [s.theta_fc for s in found])
    assert np.mean(off <= CLOSE) >= 0.95


@pytest.mark.parametrize("name", CLASSES)
def test_the_intake_of_a_class_stays_within_its_range(name: str) -> None:
    """Ponded on a soil at field capacity for six hours; a standard deviation of log10 Ks to each
    side (Schaap, Leij and van Genuchten 2001)."""
    soil = by_class(name)
    layer = Layer(
        thickness_m=2.0, soil=soil.hydraulics, theta_fc=soil.theta_fc, theta_wp=soil.theta_wp
    )
    run = Column([layer], initial=InitialProfile(values=(1.0,))).run(
        {"rain_mm_h": 2000.0}, [0.0, 3.0 * 3600.0, 6.0 * 3600.0]
    )
    intake_m_d = run.flow_mm[-1, 0] / 1000.0 * 8.0
    known = CLASSES[name]
    assert abs(np.log10(intake_m_d) - (known.log_ks_cm_d - 2.0)) <= known.log_ks_sd


def test_random_soils_keep_the_intake_of_their_class() -> None:
    for soil in pairs(20):
        known = CLASSES[nearest_class(soil.theta_fc, soil.theta_wp)]
        assert float(soil.hydraulics.conductivity_m_d(0.0)) == pytest.approx(known.ks_m_d)


def test_contents_near_each_other_make_a_soil() -> None:
    """Field capacity 0.154 and wilting point 0.111 were measured, and no van Genuchten curve with
    field capacity at -33 kPa meets both."""
    soil = by_contents(theta_fc=0.154, theta_wp=0.111)
    assert field([soil])[0] == pytest.approx(0.154, abs=1e-3)


def test_what_is_known_of_a_soil_replaces_what_its_class_has() -> None:
    soil = by_contents(
        theta_fc=0.22,
        theta_wp=0.10,
        theta_s=0.45,
        ks_m_d=0.25,
        pore_connectivity=-1.0,
        fc_suction_m=2.0,
        drainage_time_d=3.0,
    )
    curve = soil.hydraulics
    assert (curve.theta_s, curve.ks_m_d, curve.pore_connectivity) == (0.45, 0.25, -1.0)
    assert float(curve.theta(-2.0)) == pytest.approx(0.22, abs=1e-4)
    assert field([soil])[0] == pytest.approx(0.22, abs=CLOSE)


def test_a_search_ends_at_the_nearest_soil_where_none_drains_enough() -> None:
    def loam(ks_m_d: float) -> VanGenuchten:
        return VanGenuchten(theta_r=0.08, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=ks_m_d)

    assert solve(loam, 0.05, 3.0, 0.1, 1.0).ks_m_d == 1.0
    assert solve(loam, 0.43, 3.0, 0.1, 1.0).ks_m_d == 0.1
    theta = 0.5 * (drains_to(loam(0.1), (3.0,))[0] + drains_to(loam(1.0), (3.0,))[0])
    found = solve(loam, theta, 3.0, 0.1, 1.0)
    assert 0.1 < found.ks_m_d < 1.0
    assert drained([found], [3.0])[0, 0] == pytest.approx(theta, abs=3e-4)


def test_of_a_retention_curve_field_capacity_is_where_it_drains_to(tmp_path: Path) -> None:
    layer = (
        "[[zone.soil.layer]]\nthickness_m = 2\ntheta_r = 0.078\ntheta_s = 0.43\n"
        "alpha_per_m = 3.6\nn = 1.56\nks_m_d = 0.2496\n"
    )
    given = zone(tmp_path, layer)
    (found,) = soils.horizons(given.soil)
    assert found.drainage_time_d == 3.0
    # by the column of a scenario, 2 m and 50 cells
    layers = [Layer(thickness_m=2.0, soil=found.hydraulics, theta_fc=0.43, theta_wp=0.078)]
    run = Column(layers, initial=InitialProfile(quantity="head_m", values=(0.0,))).run(
        {}, [0.0, 3.0 * DAY_S]
    )
    inside_m = np.clip(np.minimum(run.faces_m[1:], 0.6) - run.faces_m[:-1], 0.0, None)
    assert found.theta_fc == pytest.approx(run.theta[-1] @ inside_m / 0.6, abs=1e-3)
    assert soils.notes([given]) == []


def test_lint_says_to_what_every_layer_drains(tmp_path: Path) -> None:
    (said,) = soils.drainage([zone(tmp_path, 'texture = "loam"\n')])
    assert said.startswith("zone a drains from saturation to 0.28")
    assert said.endswith("0.250 after 3 d, 0.218 after 10 d; field capacity 0.250")
    assert soils.drainage([zone(tmp_path, 'texture = "loam"\n', model="bucket")]) == []


def test_a_soil_that_cannot_drain_to_its_field_capacity_is_warned_of(tmp_path: Path) -> None:
    given = zone(tmp_path, "theta_fc = 0.2\ntheta_wp = 0.1\ntheta_s = 0.45\nks_m_d = 0.02\n")
    (note,) = soils.notes([given])
    assert note.startswith("layer 1 of zone a drains to 0.3")
    assert "in 2 d, not to its field capacity of 0.200; a higher `ks_m_d`" in note
