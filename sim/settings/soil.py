"""Settings of soil materials; retention after van Genuchten (1980), conductivity after Mualem."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field

from levada.sim.settings.base import Settings
from levada.sim.settings.issue import Issue

__all__ = ["Hydraulics", "PondingMaxMm", "ThicknessM"]

ThicknessM = Annotated[float, Field(gt=0, le=100)]
"""Height of a layer."""
PondingMaxMm = Annotated[float, Field(ge=0, le=1000)]
"""Water that may stand on the surface before it runs off."""


class Hydraulics(Settings):
    """Hydraulic properties of one soil material."""

    theta_r: float = Field(ge=0, le=0.5)
    """Residual water content."""
    theta_s: float = Field(ge=0.05, le=1)
    """Water content at saturation."""
    alpha_per_m: float = Field(ge=0.01, le=100)
    """Inverse of a typical suction."""
    n: float = Field(ge=1.01, le=15)
    """Width of the pore size distribution."""
    ks_m_d: float = Field(ge=1e-6, le=1000)
    """Conductivity at saturation."""
    pore_connectivity: float = Field(default=0.5, ge=-10, le=10)
    """Mualem's exponent l."""

    rising: ClassVar[tuple[str, ...]] = ("theta_r", "theta_s")
    """Water contents that rise in this order."""

    def troubles(self) -> Iterator[Issue]:
        """Pores that hold water, and a conductivity that falls as the soil dries.

        Of dry soil, K goes with Se^(l + 2/m), m = 1 - 1/n (van Genuchten 1980, Eq. 8).
        """
        least = -2.0 * self.n / (self.n - 1.0)
        if self.pore_connectivity <= least:
            yield Issue(
                ("pore_connectivity",),
                f"`pore_connectivity` = {self.pore_connectivity:g}: permitted above {least:.2f} "
                f"with `n` = {self.n:g}, or conductivity would rise as the soil dries",
            )
        given = [(key, getattr(self, key)) for key in self.rising]
        known = [(key, value) for key, value in given if value is not None]
        for (small, low), (large, high) in pairwise(known):
            if high < low or (high == low and (small, large) != ("theta_r", "theta_wp")):
                yield Issue((large,), f"`{large}` = {high}: must be above `{small}` = {low}")
