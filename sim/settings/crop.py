"""Settings of a crop, in the terms of FAO-56 (Allen et al. 1998)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from levada.sim.settings.base import Settings, as_tuple
from levada.sim.settings.issue import Issue

__all__ = [
    "BaseC",
    "CriticalStressIndex",
    "Crop",
    "DepletionFraction",
    "Growth",
    "HeightMaxM",
    "Kcb",
    "RootDepthM",
    "Stages",
    "Surface",
    "UpperC",
    "crop_troubles",
]

Kcb = Annotated[float, Field(ge=0, le=1.5)]
"""A basal crop coefficient."""
HeightMaxM = Annotated[float, Field(ge=0.001, le=30)]
RootDepthM = Annotated[float, Field(ge=0.05, le=5)]
DepletionFraction = Annotated[float, Field(ge=0.1, le=0.8)]
BaseC = Annotated[float, Field(ge=-5, le=25)]
CriticalStressIndex = Annotated[float, Field(ge=0.05, le=1)]
"""omega_c of Jarvis (1989); 1 is no compensation."""
UpperC = Annotated[float, Field(ge=10, le=50)]
Growth = Literal["days", "degree-days"]
Surface = Literal["short", "tall"]
"""Reference surface of the ASCE standard: short is clipped grass (ET0), tall is alfalfa (ETr)."""
Stages = Annotated[tuple[float, float, float, float], BeforeValidator(as_tuple)]
"""Lengths of the initial, development, mid and late stage."""


class Crop(Settings):
    """A crop by its numbers."""

    name: str = ""
    """For people."""
    stages: Stages
    """Length of the initial, development, mid and late stage: days or degree-days, see `growth`."""
    kcb_ini: Kcb
    """Basal crop coefficient of the initial stage."""
    kcb_mid: Kcb
    """Basal crop coefficient of the mid-season in a standard climate."""
    kcb_end: Kcb
    """Basal crop coefficient at the end of the late season."""
    height_max_m: HeightMaxM
    """Greatest height."""
    zr_max_m: RootDepthM
    """Deepest effective roots."""
    depletion_fraction: DepletionFraction
    """p of FAO-56 Table 22: part of TAW that can go before stress, at ETc of 5 mm/d."""
    height_min_m: float = Field(default=0.01, ge=0, le=30)
    """Height at planting."""
    zr_min_m: RootDepthM = 0.20
    """Roots at planting, 0.15 to 0.20 m in FAO-56 p. 279."""
    kc_min: float = Field(default=0.15, ge=0, le=0.5)
    """Kc of dry bare soil in FAO-56 Eq. 76."""
    growth: Growth = "days"
    """What the stages are counted in."""
    base_c: BaseC = 10.0
    """Degree-days: below this temperature nothing grows."""
    upper_c: UpperC = 30.0
    """Degree-days: above this temperature growth is no faster."""
    reference: Surface = "short"
    """Surface for which the crop coefficients hold."""
    climate_adjusted: bool = True
    """Correct Kcb of mid and late season for wind and humidity, FAO-56 Eq. 70; only those for
    grass."""

    def troubles(self) -> Iterator[Issue]:
        """Stages that pass, and pairs in order."""
        yield from crop_troubles(self)
        if self.height_min_m > self.height_max_m:
            yield Issue(
                ("height_max_m",),
                f"`height_max_m` = {self.height_max_m}: below `height_min_m` = {self.height_min_m}",
            )


def crop_troubles(crop: Settings) -> Iterator[Issue]:
    """What no crop has, be its numbers given in full or some of them only."""
    stages = getattr(crop, "stages", None)
    if stages is not None and any(not 0 < length <= 5000 for length in stages):
        yield Issue(
            ("stages",), f"`stages` = {list(stages)}: each permitted above 0 and at most 5000"
        )
    for small, large in (("zr_min_m", "zr_max_m"), ("base_c", "upper_c")):
        low, high = getattr(crop, small), getattr(crop, large)
        if low is not None and high is not None and high < low:
            yield Issue((large,), f"`{large}` = {high}: below `{small}` = {low}")
