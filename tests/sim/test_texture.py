from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.sim.soil.drainage import drains_to
from levada.sim.soil.structured import StructuredSoil
from levada.sim.soil.texture import CLASSES, by_class, by_fractions, texture_class

# Middle of each class of the USDA triangle: sand and clay [%], Saxton and Rawls (2006) Table 3.
MIDDLES = {
    "sand": (88, 5),
    "loamy sand": (80, 5),
    "sandy loam": (65, 10),
    "loam": (40, 20),
    "silt loam": (20, 15),
    "silt": (10, 5),
    "sandy clay loam": (60, 25),
    "clay loam": (30, 35),
    "silty clay loam": (10, 35),
    "silty clay": (10, 45),
    "sandy clay": (50, 40),
    "clay": (25, 50),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_the_middle_of_a_class_belongs_to_it(name: str) -> None:
    sand, clay = MIDDLES[name]
    assert texture_class(sand, 100 - sand - clay, clay) == name
    assert name in CLASSES


@given(st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_every_soil_of_the_triangle_has_a_class_and_ordered_water_contents(
    a: float, b: float
) -> None:
    low, high = sorted((a, b))
    soil = by_fractions(sand_pct=low, silt_pct=high - low, clay_pct=100.0 - high)
    assert 0.02 < soil.theta_wp < soil.theta_fc < soil.hydraulics.theta_s < 0.5
    assert texture_class(low, high - low, 100.0 - high) in CLASSES


def test_loam_by_class_is_the_line_of_fao_56_and_rosetta() -> None:
    # FAO-56 Table 19: 0.20 to 0.30 and 0.07 to 0.17.  Rosetta's class averages: theta_r 0.061,
    # theta_s 0.399, log10 Ks 1.081 and log10 K0 0.568 in cm/d.
    loam = by_class("loam")
    assert (loam.theta_fc, loam.theta_wp) == (0.25, 0.12)
    curve = loam.hydraulics
    assert isinstance(curve, StructuredSoil)
    assert curve.theta_s == 0.399
    assert curve.theta_r == 0.06, "at most half of the wilting point"
    assert curve.ks_m_d == pytest.approx(0.12050, rel=1e-3)
    assert curve.matrix_ks_m_d == pytest.approx(0.03698, rel=1e-3)
    # Brooks and Corey by hand: ln(0.19 / 0.06) / ln(153)
    assert curve.n == pytest.approx(1.0 + 1.15268 / 5.03044, rel=1e-5)


def test_loam_by_fractions_is_cosby_by_hand() -> None:
    # 40 % sand, 20 % clay: b = 6.09, psi_s = 10^1.356 = 22.70 cm, theta_s = 0.4386,
    # Ks = 10^-0.272 = 0.5346 inch/h.  The power law at -33 kPa:
    # 0.4386 x (336.5 / 22.70)^(-1 / 6.09) = 0.2817.  At -1500 kPa:
    # 0.4386 x (15296 / 22.70)^(-1 / 6.09) = 0.1505.
    loam = by_fractions(sand_pct=40.0, silt_pct=40.0, clay_pct=20.0)
    assert loam.theta_s == pytest.approx(0.4386)
    assert loam.ks_m_d == pytest.approx(0.5346 * 0.0254 * 24.0, rel=1e-3)
    assert loam.theta_fc == pytest.approx(0.2817, abs=5e-4)
    assert loam.theta_wp == pytest.approx(0.1505, abs=5e-4)
    assert drains_to(loam.hydraulics, (3.0,))[0] == pytest.approx(loam.theta_fc, abs=1e-3)


# FAO-56 Table 19: range of field capacity and of wilting point.
@pytest.mark.parametrize(
    ("name", "fc", "wp"),
    [
        ("sand", (0.07, 0.17), (0.02, 0.07)),
        ("loamy sand", (0.11, 0.19), (0.03, 0.10)),
        ("sandy loam", (0.18, 0.28), (0.06, 0.16)),
        ("loam", (0.20, 0.30), (0.07, 0.17)),
        ("silt loam", (0.22, 0.36), (0.09, 0.21)),
        ("silt", (0.28, 0.36), (0.12, 0.22)),
        ("silty clay loam", (0.30, 0.37), (0.17, 0.24)),
        ("silty clay", (0.30, 0.42), (0.17, 0.29)),
        ("clay", (0.32, 0.40), (0.20, 0.24)),
    ],
)
def test_water_contents_are_near_those_of_fao_56(
    name: str, fc: tuple[float, float], wp: tuple[float, float]
) -> None:
    sand, clay = MIDDLES[name]
    for soil in (
        by_class(name),
        by_fractions(sand_pct=sand, silt_pct=100 - sand - clay, clay_pct=clay),
    ):
        assert fc[0] - 0.05 <= soil.theta_fc <= fc[1] + 0.05
        assert wp[0] - 0.05 <= soil.theta_wp <= wp[1] + 0.05


def test_readily_evaporable_water_is_less_than_all_that_evaporates_from_ten_centimetres() -> None:
    for name in CLASSES:
        soil = by_class(name)
        tew = 100.0 * (soil.theta_fc - 0.5 * soil.theta_wp)
        assert 2.0 <= soil.rew_mm <= 12.0  # FAO-56 Table 19
        if name not in ("sand",):
            assert soil.rew_mm < tew


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: by_class("lome"), "did you mean `loam`"),
        (
            lambda: texture_class(40.0, 40.0, 10.0),
            r"= 90 %: permitted 99 to 101 %",
        ),
        (lambda: texture_class(-5.0, 60.0, 45.0), "`sand_pct` = -5 %: permitted 0 to 100 %"),
        (
            lambda: by_fractions(sand_pct=np.nan, silt_pct=50.0, clay_pct=50.0),
            "`sand_pct` = nan %: permitted 0 to 100 %",
        ),
    ],
)
def test_impossible_soils_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
