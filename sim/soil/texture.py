"""Soil from its texture or from measured water contents: hydraulic properties of one material.

class       field capacity and wilting point of FAO-56 Table 19, middle of the range; where the
            class is not in it, of Rawls, Brakensiek and Saxton (1982), Trans. ASAE 25:1316-1320,
            Table 2
fractions   Cosby et al. (1984), Water Resour. Res. 20:682-690, their regressions on one fraction
            each (Table 5), from 1448 samples of 23 states: saturated conductivity, pores, and the
            contents at -33 and -1500 kPa by the power law of Clapp and Hornberger (1978)
contents    measured field capacity and wilting point

Pores, conductivity and residual water of a class are the averages of Rosetta (Schaap, Leij and van
Genuchten 2001, J. Hydrol. 251:163-176) over 2134 samples; so is the conductivity K0 of the matrix,
a tenth to a half of Ks, which fits measured unsaturated conductivities (Schaap and Leij 2000, Soil
Sci. Soc. Am. J. 64:843-851).

The hydraulic functions (`levada.sim.soil.structured`) meet field capacity at a suction of 1 m and
the wilting point at -1500 kPa.  What is left, the suction up to which the matrix is full, is found
by draining a column: after two days (coarse soil) or three it holds field capacity.

Left out: organic matter, density, gravel, salinity.  Within one class contents spread by 0.05 m3
m-3 and conductivity by a factor of ten: measured values are better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, NamedTuple

from levada.guest.text.ranges import between, check_range, out_of_range
from levada.sim.soil.hydraulics import WILTING_POINT_HEAD_M
from levada.sim.soil.structured import StructuredSoil

__all__ = [
    "CLASSES",
    "FC_SUCTION_M",
    "SoilProperties",
    "TextureClass",
    "by_class",
    "by_contents",
    "by_fractions",
    "default_drainage_d",
    "nearest_class",
    "texture_class",
]


class TextureClass(NamedTuple):
    """Averages of one class."""

    theta_r: float
    theta_s: float
    log_ks_cm_d: float
    log_ks_sd: float
    """Standard deviation of log10 Ks within the class."""
    log_k0_cm_d: float
    theta_fc: float
    theta_wp: float
    rew_mm: float
    """Readily evaporable water: middle of FAO-56 Table 19, else that of the class' neighbour."""

    @property
    def ks_m_d(self) -> float:
        """Conductivity at saturation."""
        return float(10.0**self.log_ks_cm_d / 100.0)

    @property
    def matrix_share(self) -> float:
        """Conductivity of the full matrix, share of `ks_m_d`."""
        return float(10.0 ** (self.log_k0_cm_d - self.log_ks_cm_d))


# Rosetta's class averages; FAO-56 Table 19 (for sandy clay loam, clay loam and sandy clay Rawls et
# al. 1982).
CLASSES: Final[dict[str, TextureClass]] = {
    "sand": TextureClass(0.053, 0.375, 2.808, 0.59, 1.389, 0.12, 0.045, 4.5),
    "loamy sand": TextureClass(0.049, 0.390, 2.022, 0.64, 1.386, 0.15, 0.065, 6.0),
    "sandy loam": TextureClass(0.039, 0.387, 1.583, 0.66, 1.190, 0.23, 0.11, 8.0),
    "loam": TextureClass(0.061, 0.399, 1.081, 0.92, 0.568, 0.25, 0.12, 9.0),
    "silt": TextureClass(0.050, 0.489, 1.641, 0.27, 0.524, 0.32, 0.17, 9.5),
    "silt loam": TextureClass(0.065, 0.439, 1.261, 0.74, 0.243, 0.29, 0.15, 9.5),
    "sandy clay loam": TextureClass(0.063, 0.384, 1.120, 0.85, 0.841, 0.255, 0.148, 9.0),
    "clay loam": TextureClass(0.079, 0.442, 0.913, 1.09, 0.699, 0.318, 0.197, 9.5),
    "silty clay loam": TextureClass(0.090, 0.482, 1.046, 0.76, 0.349, 0.335, 0.205, 9.5),
    "sandy clay": TextureClass(0.117, 0.385, 1.055, 0.89, 0.637, 0.339, 0.239, 9.5),
    "silty clay": TextureClass(0.111, 0.481, 0.983, 0.57, 0.501, 0.36, 0.23, 10.0),
    "clay": TextureClass(0.098, 0.459, 1.169, 0.92, 0.472, 0.36, 0.22, 10.0),
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

FC_SUCTION_M: Final = 1.0
"""Suction at field capacity: 10 kPa, pF 2.  In the field it is found between 5 and 33 kPa, near 10
in all but the finest soils (Cassel and Nielsen 1986, Methods of Soil Analysis 1, ch. 36)."""

_COARSE: Final = ("sand", "loamy sand", "sandy loam")
_WILTING_M: Final = -WILTING_POINT_HEAD_M
_AIR_LEAST: Final = 0.05
"""Air in a soil at field capacity: a class with less pores than that is given more."""
_THETA_S_MOST: Final = 0.55
"""Of mineral soil that was not measured; peat holds more."""
_RESIDUAL_MOST: Final = 0.5
"""theta_r, share of theta_wp: sun and air dry a soil to half its wilting point (FAO-56 Eq. 73)."""
_LAMBDA: Final = (0.01, 14.0)
"""Brooks and Corey's exponent: permitted range of n - 1."""
_FULL_M: Final = 0.03
"""Least suction up to which the matrix is full."""
_STRUCTURAL_LEAST: Final = 0.005
"""Least share of the soil in structural pores."""


@dataclass(frozen=True, kw_only=True)
class SoilProperties:
    """One soil as both soil models need it."""

    theta_fc: float
    """Water content at field capacity [m3 m-3]."""
    theta_wp: float
    """Water content at the wilting point, -1500 kPa."""
    rew_mm: float
    """Readily evaporable water, FAO-56 Table 19."""
    theta_r: float
    theta_s: float
    ks_m_d: float
    matrix_share: float
    """Conductivity of the full matrix, share of `ks_m_d`."""
    drainage_time_d: float
    """Time after which a saturated soil has drained to field capacity."""
    pore_connectivity: float = 0.5
    """Mualem's l, of the matrix."""
    fc_suction_m: float = FC_SUCTION_M
    """Suction at field capacity."""

    def __post_init__(self) -> None:
        if not 0.0 < self.theta_wp < self.theta_fc < self.theta_s <= 1.0:
            raise ValueError(
                f"theta_wp = {self.theta_wp:g}, theta_fc = {self.theta_fc:g}, theta_s = "
                f"{self.theta_s:g}: permitted 0 < theta_wp < theta_fc < theta_s <= 1"
            )
        steps = (_WILTING_M / self.fc_suction_m) ** _LAMBDA[0]
        most = self.theta_r + (self.theta_fc - self.theta_r) / steps
        if self.theta_wp > most:
            raise ValueError(
                f"theta_wp = {self.theta_wp:g}: permitted up to {most:.3f} with theta_fc = "
                f"{self.theta_fc:g}, because no retention curve falls so little"
            )
        least = -2.0 - 2.0 / self.slope
        if self.pore_connectivity <= least:
            raise ValueError(
                f"pore_connectivity = {self.pore_connectivity:g}: permitted above {least:.2f} with "
                "these water contents, or conductivity would rise as the soil dries"
            )

    @property
    def slope(self) -> float:
        """Brooks and Corey's lambda of the matrix, from field capacity to the wilting point."""
        above = (self.theta_fc - self.theta_r) / (self.theta_wp - self.theta_r)
        return math.log(above) / math.log(_WILTING_M / self.fc_suction_m)

    @property
    def hydraulics(self) -> StructuredSoil:
        """The hydraulic functions; found by draining a column, and kept."""
        return _drained_to_field_capacity(self)


@lru_cache(maxsize=4096)  # a field asks for each of its zones, and often, mostly for one soil
def _drained_to_field_capacity(soil: SoilProperties) -> StructuredSoil:
    from levada.sim.soil import drainage  # loads the compiled model, which a bucket never needs

    above_fc = soil.theta_fc - soil.theta_r
    slope = soil.slope

    def matrix_full_to(suction_m: float) -> StructuredSoil:
        return StructuredSoil(
            theta_r=soil.theta_r,
            theta_s=soil.theta_s,
            theta_m=soil.theta_r + above_fc * (soil.fc_suction_m / suction_m) ** slope,
            alpha_per_m=1.0 / suction_m,
            n=1.0 + slope,
            ks_m_d=soil.ks_m_d,
            matrix_ks_m_d=soil.matrix_share * soil.ks_m_d,
            pore_connectivity=soil.pore_connectivity,
        )

    # the matrix cannot hold more than all pores, nor release field capacity before it is wetter
    pores = soil.theta_s - soil.theta_r - min(_STRUCTURAL_LEAST, soil.theta_s - soil.theta_fc)
    fullest_m = soil.fc_suction_m * (above_fc / pores) ** (1.0 / slope)
    return drainage.solve(
        matrix_full_to,
        soil.theta_fc,
        soil.drainage_time_d,
        max(_FULL_M, fullest_m),
        soil.fc_suction_m,
    )


def by_class(name: str, **given: float | None) -> SoilProperties:
    """The soil of a USDA texture class, e.g. `sandy loam`; raises ValueError.

    `given` replaces `theta_s`, `ks_m_d`, `pore_connectivity`, `fc_suction_m`, `drainage_time_d`.
    """
    if name not in CLASSES:
        near = get_close_matches(name, CLASSES, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ValueError(f"texture `{name}`: {hint}allowed are {', '.join(CLASSES)}")
    found = CLASSES[name]
    return by_contents(theta_fc=found.theta_fc, theta_wp=found.theta_wp, texture=name, **given)


def by_fractions(
    *, sand_pct: float, silt_pct: float, clay_pct: float, **given: float | None
) -> SoilProperties:
    """The soil of these fractions by mass [%], after Cosby et al. (1984); raises ValueError.

    Field capacity is the content of their power law at -33 kPa; `given` as in `by_class`.
    """
    _check_fractions(sand_pct, silt_pct, clay_pct)
    b = 2.91 + 0.159 * clay_pct
    psi_s_m = 0.01 * 10.0 ** (1.88 - 0.0131 * sand_pct)
    theta_s = 0.489 - 0.00126 * sand_pct
    ks_inch_h = 10.0 ** (-0.884 + 0.0153 * sand_pct)
    regressed = {"theta_s": theta_s, "ks_m_d": ks_inch_h * 0.0254 * 24.0}
    return by_contents(
        theta_fc=theta_s * (33.0 / 9.80665 / psi_s_m) ** (-1.0 / b),
        theta_wp=theta_s * (_WILTING_M / psi_s_m) ** (-1.0 / b),
        texture=texture_class(sand_pct, silt_pct, clay_pct),
        **regressed | {key: value for key, value in given.items() if value is not None},
    )


def by_contents(
    *,
    theta_fc: float,
    theta_wp: float,
    texture: str | None = None,
    theta_s: float | None = None,
    ks_m_d: float | None = None,
    pore_connectivity: float | None = None,
    fc_suction_m: float | None = None,
    drainage_time_d: float | None = None,
) -> SoilProperties:
    """The soil that drains to one measured content and wilts at another; raises ValueError.

    What is not given is that of the class `texture`, else of `nearest_class`; theta_r is at most
    half of `theta_wp`, theta_s at least 0.05 above `theta_fc`, `pore_connectivity` 0.5.
    """
    name = texture or nearest_class(theta_fc, theta_wp)
    near = CLASSES[name]
    if theta_s is None:
        theta_s = max(near.theta_s, theta_fc + _AIR_LEAST)
        if theta_s > _THETA_S_MOST:
            raise ValueError(
                f"theta_fc = {theta_fc:g}: permitted up to {_THETA_S_MOST - _AIR_LEAST:g} unless "
                "theta_s is given, because few mineral soils have more pores"
            )
    return SoilProperties(
        theta_fc=theta_fc,
        theta_wp=theta_wp,
        rew_mm=near.rew_mm,
        theta_r=min(near.theta_r, _RESIDUAL_MOST * theta_wp),
        theta_s=theta_s,
        ks_m_d=near.ks_m_d if ks_m_d is None else ks_m_d,
        matrix_share=near.matrix_share,
        drainage_time_d=default_drainage_d(name) if drainage_time_d is None else drainage_time_d,
        pore_connectivity=0.5 if pore_connectivity is None else pore_connectivity,
        fc_suction_m=FC_SUCTION_M if fc_suction_m is None else fc_suction_m,
    )


def default_drainage_d(name: str) -> float:
    """Days in which a soil of a class drains to field capacity: 2 if it is coarse, else 3."""
    return 2.0 if name in _COARSE else 3.0


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
