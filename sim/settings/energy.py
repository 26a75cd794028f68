"""Settings of what a node draws and what feeds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from levada.sim.settings.base import Settings
from levada.sim.settings.issue import Issue

__all__ = ["Address", "CpuMhz", "Energy", "Sleep", "Supply"]

Sleep = Literal["deep", "light", "connected-light", "connected-modem"]
CpuMhz = Literal[240, 160, 80]
Address = Literal["static", "dhcp"]


class Supply(Settings):
    """What feeds a node: a battery, perhaps with a panel, or mains."""

    battery: Literal["li-ion", "none"] = "li-ion"
    """`none`: mains; the node then reads its supply voltage as battery."""
    capacity_mah: float = Field(default=2500.0, ge=1, le=1e6)
    """Capacity of the battery."""
    initial_charge: float = Field(default=1.0, ge=0, le=1)
    """Charge at the start, share of the capacity."""
    self_discharge_per_month: float = Field(default=0.03, ge=0, le=1)
    """Share of the charge lost in a month."""
    solar_w: float = Field(default=0.0, ge=0, le=1000)
    """Rated power of the panel at 1000 W/m2; 0: none."""
    valve_ma: float = Field(default=0.0, ge=0, le=2000)
    """What holding the valve open draws from the node's supply; 0: a latching valve."""
    cutoff_mv: float = Field(default=3200.0, ge=2500, le=4200)
    """Battery voltage below which the node turns off."""
    restart_mv: float = Field(default=3400.0, ge=2500, le=4200)
    """Battery voltage at which it comes back."""

    def troubles(self) -> Iterator[Issue]:
        """A node that does not flicker."""
        if self.restart_mv <= self.cutoff_mv:
            yield Issue(
                ("restart_mv",),
                f"`restart_mv` = {self.restart_mv:g} mV: must be above `cutoff_mv` = "
                f"{self.cutoff_mv:g} mV",
            )


class Energy(Supply):
    """What the node of a zone draws, and what feeds it: an ESP32 by the constants of its maker."""

    sleep: Sleep = "deep"
    """Between two steps; `connected-` keeps the radio's link."""
    cpu_mhz: CpuMhz = 240
    """Clock of the processor."""
    address: Address = "static"
    """How the node gets its network address after deep or light sleep."""
    board_ma: float | None = Field(default=None, ge=0, le=500)
    """What the rest of the board draws at all times; default: a low-drop regulator."""
