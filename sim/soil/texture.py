"""Soil from its texture: hydraulic properties by class, or from sand and clay.

class       the class averages of Carsel and Parrish (1988), Water Resour. Res. 24:755-769, Table 6,
            made from about 5000 samples of the United States with the regressions of Rawls and
            Brakensiek (1985)
fractions   Cosby et al. (1984), Water Resour. Res. 20:682-690, their regressions on one fraction
            each (Table 5), from 1448 samples of 23 states: the power law of Clapp and Hornberger
            (1978) psi = psi_s (theta / theta_s)^-b, and saturated conductivity

contents    measured field capacity and wilting point: theta_r, theta_s and Ks of a class, alpha and
            n so that the curve goes through both points

The power law becomes the van Genuchten curve that it meets in dry soil: theta_r = 0,
alpha = 1 / psi_s, n = 1 + 1/b.  Of published regressions these hold over the whole triangle and
need neither density nor organic matter; those of Saxton and Rawls (2006) admit no such curve in
sand.

Left out: organic matter, density, gravel, salinity.  Both sources spread by 0.05 m3 m-3 and a
factor of ten in conductivity within one class: measured values are better.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Final, NamedTuple

from levada.guest.text.ranges import between, check_range, out_of_range
from levada.sim.soil.hydraulics import WILTING_POINT_HEAD_M, VanGenuchten

__all__ = [
    "CLASSES",
    "SoilProperties",
    "by_class",
    "by_contents",
    "by_fractions",
    "nearest_class",
    "texture_class",
]

# theta_r, theta_s, alpha [1/cm], n, Ks [cm/d]: Carsel and Parrish (1988), Table 6; then readily
# evaporable water [mm]: middle of FAO-56 Table 19, where it has the class, else its neighbour's.
CLASSES: Final[dict[str, tuple[float, float, float, float, float, float]]] = {
    "sand": (0.045, 0.43, 0.145, 2.68, 712.8, 4.5),
    "loamy sand": (0.057, 0.41, 0.124, 2.28, 350.2, 6.0),
    "sandy loam": (0.065, 0.41, 0.075, 1.89, 106.1, 8.0),
    "loam": (0.078, 0.43, 0.036, 1.56, 24.96, 9.0),
    "silt": (0.034, 0.46, 0.016, 1.37, 6.00, 9.5),
    "silt loam": (0.067, 0.45, 0.020, 1.41, 10.80, 9.5),
    "sandy clay loam": (0.100, 0.39, 0.059, 1.48, 31.44, 9.0),
    "clay loam": (0.095, 0.41, 0.019, 1.31, 6.24, 9.5),
    "silty clay loam": (0.089, 0.43, 0.010, 1.23, 1.68, 9.5),
    "sandy clay": (0.100, 0.38, 0.027, 1.23, 2.88, 9.5),
    "silty clay": (0.070, 0.36, 0.005, 1.09, 0.48, 10.0),
    "clay": (0.068, 0.38, 0.008, 1.09, 4.80, 10.0),
}

# theta_fc and theta_wp, least and most: FAO-56 Table 19, in which the other three classes are not.
_MEASURED: Final[dict[str, tuple[float, float, float, float]]] = {
    "sand": (0.07, 0.17, 0.02, 0.07),
    "loamy sand": (0.11, 0.19, 0.03, 0.10),
    "sandy loam": (0.18, 0.28, 0.06, 0.16),
    "loam": (0.20, 0.30, 0.07, 0.17),
    "silt loam": (0.22, 0.36, 0.09, 0.21),
    "silt": (0.28, 0.36, 0.12, 0.22),
    "silty clay loam": (0.30, 0.37, 0.17, 0.24),
    "silty clay": (0.30, 0.42, 0.17, 0.29),
    "clay": (0.32, 0.40, 0.20, 0.24),
}

_FIELD_CAPACITY_M: Final = 33.0 / 9.80665
"""Suction of -33 kPa as a height of water."""
_AIR_LEAST: Final = 0.05
"""Air in a soil at field capacity: a class with less pores than that is given more."""
_THETA_S_MOST: Final = 0.55
"""Of mineral soil that was not measured; peat holds more."""
_RESIDUAL_MOST: Final = 0.75
"""theta_r, share of theta_wp: a soil at its wilting point still gives water to the air."""
_ALPHA_PER_M: Final = (0.01, 100.0)
_N: Final = (1.01, 15.0)


class SoilProperties(NamedTuple):
    """What both soil models need to know of one soil."""

    theta_fc: float
    """Water content at field capacity [m3 m-3]."""
    theta_wp: float
    """Water content at the wilting point, -1500 kPa."""
    rew_mm: float
    """Readily evaporable water, FAO-56 Table 19."""
    hydraulics: VanGenuchten


def by_class(name: str) -> SoilProperties:
    """The soil of a USDA texture class, e.g. `sandy loam`; raises ValueError.

    Field capacity is where free drainage has fallen to 0.01 cm/d (Twarakavi et al. 2009), because
    a fixed suction leaves Carsel and Parrish's coarse soils almost dry.
    """
    if name not in CLASSES:
        near = get_close_matches(name, CLASSES, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ValueError(f"texture `{name}`: {hint}allowed are {', '.join(CLASSES)}")
    theta_r, theta_s, alpha_per_cm, n, ks_cm_d, rew_mm = CLASSES[name]
    curve = VanGenuchten(
        theta_r=theta_r,
        theta_s=theta_s,
        alpha_per_m=100.0 * alpha_per_cm,
        n=n,
        ks_m_d=ks_cm_d / 100.0,
    )
    return SoilProperties(curve.theta_fc(), curve.theta_wp(), rew_mm, curve)


def by_fractions(*, sand_pct: float, silt_pct: float, clay_pct: float) -> SoilProperties:
    """The soil of these fractions by mass [%], after Cosby et al. (1984); raises ValueError.

    Field capacity is at -33 kPa: with theta_r = 0 drainage has no clear end.
    """
    _check_fractions(sand_pct, silt_pct, clay_pct)
    b = 2.91 + 0.159 * clay_pct
    psi_s_m = 0.01 * 10.0 ** (1.88 - 0.0131 * sand_pct)
    theta_s = 0.489 - 0.00126 * sand_pct
    ks_inch_h = 10.0 ** (-0.884 + 0.0153 * sand_pct)
    curve = VanGenuchten(
        theta_r=0.0,
        theta_s=theta_s,
        alpha_per_m=1.0 / psi_s_m,
        n=1.0 + 1.0 / b,
        ks_m_d=ks_inch_h * 0.0254 * 24.0,
    )
    rew_mm = CLASSES[texture_class(sand_pct, silt_pct, clay_pct)][5]
    return SoilProperties(float(curve.theta(-_FIELD_CAPACITY_M)), curve.theta_wp(), rew_mm, curve)


def by_contents(
    *, theta_fc: float, theta_wp: float, texture: str | None = None, theta_s: float | None = None
) -> SoilProperties:
    """The soil whose retention curve goes through two measured points; raises ValueError.

    `theta_fc` counts as the content at -33 kPa, `theta_wp` as that at -1500 kPa.  theta_r, theta_s
    and Ks are those of the class `texture`, else of `nearest_class`; theta_r is at most 0.75
    `theta_wp`, theta_s without a measured one at least 0.05 above `theta_fc`.  Two unknowns are
    left for two points: alpha follows from n and field capacity, n by bisection, because the
    content at the wilting point falls with n.
    """
    near = by_class(texture or nearest_class(theta_fc, theta_wp))
    if theta_s is None:
        theta_s = max(near.hydraulics.theta_s, theta_fc + _AIR_LEAST)
        if theta_s > _THETA_S_MOST:
            raise ValueError(
                f"theta_fc = {theta_fc:g}: permitted up to {_THETA_S_MOST - _AIR_LEAST:g} unless "
                "theta_s is given, because few mineral soils have more pores"
            )
    if not 0.0 < theta_wp < theta_fc < theta_s <= 0.95:
        raise ValueError(
            f"theta_wp = {theta_wp:g}, theta_fc = {theta_fc:g}, theta_s = {theta_s:g}: permitted "
            "0 < theta_wp < theta_fc < theta_s <= 0.95"
        )
    curve = _curve_through(
        theta_fc, theta_wp, theta_s, near.hydraulics.theta_r, near.hydraulics.ks_m_d
    )
    return SoilProperties(theta_fc, theta_wp, near.rew_mm, curve)


@lru_cache(maxsize=256)  # a field asks for each of its zones, and often, mostly for one soil
def _curve_through(
    theta_fc: float, theta_wp: float, theta_s: float, theta_r_most: float, ks_m_d: float
) -> VanGenuchten:
    theta_r = min(theta_r_most, _RESIDUAL_MOST * theta_wp)

    def through_fc(n: float) -> VanGenuchten | None:
        saturation = (theta_fc - theta_r) / (theta_s - theta_r)
        alpha = (saturation ** (-n / (n - 1.0)) - 1.0) ** (1.0 / n) / _FIELD_CAPACITY_M
        if not _ALPHA_PER_M[0] <= alpha <= _ALPHA_PER_M[1]:
            return None
        return VanGenuchten(theta_r=theta_r, theta_s=theta_s, alpha_per_m=alpha, n=n, ks_m_d=ks_m_d)

    # alpha falls with n too: below the least n with a permitted alpha there is no curve
    low, high = _N
    for _ in range(80):
        n = 0.5 * (low + high)
        curve = through_fc(n)
        if curve is None or float(curve.theta(WILTING_POINT_HEAD_M)) > theta_wp:
            low = n
        else:
            high = n
    curve = through_fc(high)
    if curve is None or abs(float(curve.theta(WILTING_POINT_HEAD_M)) - theta_wp) > 1e-6:
        most = theta_r if curve is None else float(curve.theta(WILTING_POINT_HEAD_M))
        raise ValueError(
            f"theta_wp = {theta_wp:g}: permitted up to {most:.3f} with theta_fc = {theta_fc:g} and "
            f"theta_s = {theta_s:g}, because no retention curve falls so little"
        )
    return curve


def nearest_class(theta_fc: float, theta_wp: float) -> str:
    """The class of FAO-56 Table 19 whose ranges hold both contents best.

    Best is the least sum of distances from the middles of the ranges, each as a share of the range.
    """

    def distance(name: str) -> float:
        fc_low, fc_high, wp_low, wp_high = _MEASURED[name]
        return abs(2.0 * theta_fc - fc_low - fc_high) / (fc_high - fc_low) + abs(
            2.0 * theta_wp - wp_low - wp_high
        ) / (wp_high - wp_low)

    return min(_MEASURED, key=distance)


def texture_class(sand_pct: float, silt_pct: float, clay_pct: float) -> str:
    """The USDA class of these fractions by mass [%]; raises ValueError.

    Soil Survey Manual (USDA Handbook 18, 2017), chapter 3.
    """
    _check_fractions(sand_pct, silt_pct, clay_pct)
    sand, silt, clay = sand_pct, silt_pct, clay_pct
    rules = (
        ("sand", silt + 1.5 * clay < 15.0),
        ("loamy sand", silt + 2.0 * clay < 30.0),
        ("silt", silt >= 80.0 and clay < 12.0),
        ("silt loam", silt >= 50.0 and clay < 27.0),
        ("sandy loam", (clay < 20.0 and sand > 52.0) or clay < 7.0),
        ("loam", clay < 27.0 and silt >= 28.0),
        ("sandy clay loam", clay < 35.0 and sand > 45.0),
        ("sandy clay", sand > 45.0),
        ("silty clay", clay >= 40.0 and silt >= 40.0),
        ("clay", clay >= 40.0),
        ("silty clay loam", sand <= 20.0),
    )
    return next((name for name, holds in rules if holds), "clay loam")


def _check_fractions(sand_pct: float, silt_pct: float, clay_pct: float) -> None:
    for name, value in (("sand_pct", sand_pct), ("silt_pct", silt_pct), ("clay_pct", clay_pct)):
        check_range(name, value, 0.0, 100.0, "%")
    total = sand_pct + silt_pct + clay_pct
    if abs(total - 100.0) > 1.0:
        raise ValueError(out_of_range("sand + silt + clay", total, between(99, 101), "%"))
