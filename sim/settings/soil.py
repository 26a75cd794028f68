"""Settings of soil materials; retention after van Genuchten (1980), conductivity after Mualem."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from levada.sim.settings.base import Settings
from levada.sim.settings.issue import Issue

__all__ = [
    "AlphaPerM",
    "Hydraulics",
    "KsMD",
    "PondingMaxMm",
    "PoreConnectivity",
    "PoreSizes",
    "ThetaR",
    "ThetaS",
    "ThicknessM",
    "conductivity_falls",
    "contents_rise",
]

ThicknessM = Annotated[float, Field(gt=0, le=100)]
"""Height of a layer."""
PondingMaxMm = Annotated[float, Field(ge=0, le=1000)]
"""Water that may stand on the surface before it runs off."""


ThetaR = Annotated[float, Field(ge=0, le=0.5)]
ThetaS = Annotated[float, Field(ge=0.05, le=1)]
AlphaPerM = Annotated[float, Field(ge=0.01, le=100)]
PoreSizes = Annotated[float, Field(ge=1.01, le=15)]
KsMD = Annotated[float, Field(ge=1e-6, le=1000)]
PoreConnectivity = Annotated[float, Field(ge=-10, le=10)]


class Hydraulics(Settings):
    """Hydraulic properties of one soil material."""

    theta_r: ThetaR
    """Residual water content."""
    theta_s: ThetaS
    """Water content at saturation."""
    alpha_per_m: AlphaPerM
    """Inverse of a typical suction."""
    n: PoreSizes
    """Width of the pore size distribution."""
    ks_m_d: KsMD
    """Conductivity at saturation."""
    pore_connectivity: PoreConnectivity = 0.5
    """Mualem's exponent l."""

    def troubles(self) -> Iterator[Issue]:
        """Pores that hold water, and a conductivity that falls as the soil dries."""
        yield from conductivity_falls(self.pore_connectivity, self.n)
        yield from contents_rise(self, ("theta_r", "theta_s"))


def conductivity_falls(pore_connectivity: float, n: float) -> Iterator[Issue]:
    """An issue if conductivity would rise as the soil dries.

    Of dry soil, K goes with Se^(l + 2/m), m = 1 - 1/n (van Genuchten 1980, Eq. 8).
    """
    least = -2.0 * n / (n - 1.0)
    if pore_connectivity <= least:
        yield Issue(
            ("pore_connectivity",),
            f"`pore_connectivity` = {pore_connectivity:g}: permitted above {least:.2f} "
            f"with `n` = {n:g}, or conductivity would rise as the soil dries",
        )


def contents_rise(table: Settings, rising: tuple[str, ...]) -> Iterator[Issue]:
    """Issues where water contents of a table, those that are given, do not rise in this order."""
    given = [(key, getattr(table, key)) for key in rising]
    known = [(key, value) for key, value in given if value is not None]
    for (small, low), (large, high) in pairwise(known):
        if high < low or (high == low and (small, large) != ("theta_r", "theta_wp")):
            yield Issue((large,), f"`{large}` = {high}: must be above `{small}` = {low}")
