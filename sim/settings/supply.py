"""Settings of a supply of water that several zones share."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from levada.sim.settings.base import Settings
from levada.sim.settings.issue import Issue

__all__ = ["WaterSupply"]


class WaterSupply(Settings):
    """A pump or a mains connection that feeds several zones: the more water they draw, the lower
    its pressure. Its curve is a parabola through two points, that without flow and one other."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")
    """What `supply` of a zone calls it."""
    shutoff_kpa: float = Field(gt=0, le=5000)
    """Pressure at the zones while none draws water."""
    flow_l_min: float = Field(gt=0, le=1e6)
    """Flow of the other point of the curve."""
    pressure_kpa: float = Field(gt=0, le=5000)
    """Pressure at the zones at `flow_l_min`."""

    def troubles(self) -> Iterator[Issue]:
        """A curve that falls."""
        if self.pressure_kpa >= self.shutoff_kpa:
            yield Issue(
                ("pressure_kpa",),
                f"`pressure_kpa` = {self.pressure_kpa:g} kPa: permitted below `shutoff_kpa` = "
                f"{self.shutoff_kpa:g} kPa",
            )
