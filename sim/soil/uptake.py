"""Root water uptake after Feddes, Kowalik and Zaradny (1978), compensated after Jarvis (1989).

The potential transpiration is shared over depth by a root density profile that stretches with the
root depth; each share is reduced by a piecewise linear function of the local pressure head:

    h1 (anaerobiosis) .. h2: rising from 0 to 1;  h2 .. h3: 1;  h3 .. h4: falling to 0 (wilting)

h3 lies between a value for high and one for low demand, linear in the demand of the last day.

Without compensation, what roots in dry or airless soil cannot take is not transpired.  With it
(Jarvis 1989, J. Hydrol. 107:57-72; Simunek and Hopmans 2009, Ecol. Modell. 220:505-521) the roots
elsewhere take more: every share is divided by max(omega, omega_c), where the stress index omega is
the mean reduction weighted by the roots, and omega_c is critical for the crop.  omega_c = 1 is no
compensation; towards 0 the crop transpires at its potential rate as long as any root can.
Left out: osmotic stress, hydraulic lift, growth of roots towards water.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from levada.guest.text.ranges import check_range

__all__ = [
    "FEDDES",
    "LIKE",
    "ROOT_NODES",
    "Feddes",
    "Kin",
    "RootDensity",
    "feddes_of",
    "root_shares",
]

FloatArray = npt.NDArray[np.float64]

RootDensity = Callable[[FloatArray], FloatArray]
"""Cumulative share of the roots above a relative depth (0 surface, 1 deepest root)."""

# compiled into the kernels, whose cache (levada.guest.fast.jit) therefore watches this file
ROOT_NODES = 65
"""Points at which a solver tabulates the cumulative root profile."""


@dataclass(frozen=True, kw_only=True)
class Feddes:
    """Thresholds of one crop; pressure heads [m], negative."""

    anaerobic_m: float
    """h1: no uptake in wetter soil."""
    optimal_wet_m: float
    """h2: full uptake in drier soil than this."""
    optimal_dry_high_m: float
    """h3 at high demand: uptake falls in drier soil."""
    optimal_dry_low_m: float
    """h3 at low demand."""
    wilting_m: float
    """h4: no uptake in drier soil."""
    demand_high_mm_d: float = 5.0
    """Demand from which h3 is that for high demand (Wesseling et al. 1991)."""
    demand_low_mm_d: float = 1.0
    """Demand up to which h3 is that for low demand (Wesseling et al. 1991)."""

    def __post_init__(self) -> None:
        heads = (
            self.wilting_m,
            self.optimal_dry_low_m,
            self.optimal_dry_high_m,
            self.optimal_wet_m,
            self.anaerobic_m,
        )
        names = "wilting_m < optimal_dry_low_m <= optimal_dry_high_m < optimal_wet_m < anaerobic_m"
        strict = (True, False, True, True)
        ordered = all(
            a < b if s else a <= b for a, b, s in zip(heads, heads[1:], strict, strict=False)
        )
        if not ordered or heads[-1] > 0.0:
            raise ValueError(f"heads {heads} m; permitted: {names} <= 0")
        check_range(
            "demand_low_mm_d", self.demand_low_mm_d, 0.0, self.demand_high_mm_d, "mm/d", below=True
        )

    def optimal_dry_m(self, demand_mm_d: npt.ArrayLike) -> FloatArray:
        """h3 [m] at a demand [mm/d], linear between low and high (Wesseling et al. 1991)."""
        share = (np.asarray(demand_mm_d, dtype=np.float64) - self.demand_low_mm_d) / (
            self.demand_high_mm_d - self.demand_low_mm_d
        )
        low, high = self.optimal_dry_low_m, self.optimal_dry_high_m
        return np.asarray(low + np.clip(share, 0.0, 1.0) * (high - low))


def _cm(h1: float, h2: float, h3_high: float, h3_low: float, h4: float) -> Feddes:
    return Feddes(
        anaerobic_m=h1 / 100,
        optimal_wet_m=h2 / 100,
        optimal_dry_high_m=h3_high / 100,
        optimal_dry_low_m=h3_low / 100,
        wilting_m=h4 / 100,
    )


def _vegetable(h3_high: float, h3_low: float) -> Feddes:
    """h3 [cm] of Taylor and Ashcroft; the other thresholds are those of grass."""
    return _cm(-10, -25, h3_high, h3_low, -8000)


FEDDES = {
    # Wesseling, Elbers, Kabat and van den Broek (1991), as in the data base of HYDRUS-1D (Simunek
    # et al. 2013, manual of version 4.17)
    "grass": _cm(-10, -25, -200, -800, -8000),
    "maize": _cm(-15, -30, -325, -600, -8000),
    "potato": _cm(-10, -25, -320, -600, -16000),
    "sugar beet": _cm(-10, -25, -320, -600, -16000),
    "wheat": _cm(0, -1, -500, -900, -16000),
    "wheat winter": _cm(0, -1, -500, -900, -16000),
    # Taylor and Ashcroft (1972), as in the SWAP manual, Table G.1
    "alfalfa": _vegetable(-1500, -1500),
    "almond": _vegetable(-500, -800),
    "apple": _vegetable(-500, -800),
    "barley": _vegetable(-400, -500),
    "bean green": _vegetable(-750, -2000),
    "broccoli": _vegetable(-450, -550),
    "cabbage": _vegetable(-600, -700),
    "carrot": _vegetable(-550, -650),
    "citrus": _vegetable(-200, -1000),
    "grape table": _vegetable(-400, -500),
    "grape wine": _vegetable(-400, -500),
    "lettuce": _vegetable(-400, -600),
    "maize sweet": _vegetable(-500, -1000),
    "melon": _vegetable(-350, -450),
    "onion": _vegetable(-550, -650),
    "pea": _vegetable(-300, -500),
    "tomato": _vegetable(-800, -1500),
}
"""Thresholds by crop, named as in `levada.sim.crop.table`: cm in the sources, metres here."""


class Kin(NamedTuple):
    """A crop whose thresholds another one takes, and why."""

    crop: str
    why: str


LIKE = {
    "bean dry": Kin("bean green", "the same species"),
    "cotton": Kin("sugar beet", "broad-leaved field crops"),
    "cucumber": Kin("melon", "cucumber family"),
    "eggplant": Kin("tomato", "nightshade family"),
    "groundnut": Kin("bean green", "annual legumes"),
    "lentil": Kin("bean green", "annual legumes"),
    "millet": Kin("maize", "summer cereals"),
    "olive": Kin("apple", "fruit trees"),
    "pepper": Kin("potato", "nightshade family"),
    "pistachio": Kin("almond", "nut trees"),
    "sorghum": Kin("maize", "summer cereals"),
    "soybean": Kin("bean green", "annual legumes"),
    "spinach": Kin("lettuce", "leafy vegetables"),
    "squash": Kin("melon", "cucumber family"),
    "sunflower": Kin("sugar beet", "broad-leaved field crops"),
    "sweet potato": Kin("sugar beet", "roots and tubers"),
    "watermelon": Kin("melon", "cucumber family"),
}
"""Crops for which no thresholds are published, and the one of their group that stands for them.

The group is that of FAO-56 Table 22 or the botanical family; in it, the crop of the nearest
depletion fraction p, of two equally near the one of like habit.  That is our choice, not a
measurement.  No published numbers exist for rice, which richards refuses, and for crops by numbers.
"""


def feddes_of(crop: str) -> Feddes | None:
    """Thresholds of a crop by name, its own or those of its group; None if there are none."""
    return FEDDES.get(LIKE[crop].crop if crop in LIKE else crop)


def root_shares(relative_depth: FloatArray) -> FloatArray:
    """Cumulative root profile of Hoffman and van Genuchten (1983).

    The density is constant in the upper fifth of the root zone and falls linearly to zero at its
    bottom; as quoted in Simunek et al. (2013), Eq. 2.11.
    """
    x = np.clip(np.asarray(relative_depth, dtype=np.float64), 0.0, 1.0)
    upper = 5.0 / 3.0 * x
    lower = 1.0 / 3.0 + 25.0 / 12.0 * ((x - 0.5 * x**2) - 0.18)
    return np.asarray(np.where(x < 0.2, upper, lower))
