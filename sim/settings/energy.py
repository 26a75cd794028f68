"""Settings of what a node draws and what feeds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from levada.sim.settings.base import Settings
from levada.sim.settings.issue import Issue

__all__ = ["Address", "Board", "CpuMhz", "Energy", "Sleep", "Supply", "Tls"]

Sleep = Literal["deep", "light", "connected-light", "connected-modem"]
CpuMhz = Literal[240, 160, 80]
Address = Literal["static", "dhcp"]
Tls = Literal["none", "psk", "certificate"]
Board = Literal[
    "module",
    "devkit",
    "ezsbc",
    "firebeetle",
    "huzzah32",
    "lilygo-oled",
    "lolin32",
    "nodemcu-32s",
    "thing",
]
"""Kinds of boards whose current asleep was published; `devkit` stands for any with an AMS1117."""


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
    valve_pulse_j: float = Field(default=0.0, ge=0, le=100)
    """What each movement of a latching valve takes from the node's supply, opening and closing
    alike; 0: not from the node."""
    probe_ma: float = Field(default=0.0, ge=0, le=500)
    """What the probe draws from the node's supply while it has power; 0: not counted."""
    probe_on_ms: float | None = Field(default=None, gt=0, le=60_000)
    """How long the probe has power before each reading, and the processor at least stays awake;
    default: the probe has power at all times."""
    meter_ma: float = Field(default=0.0, ge=0, le=500)
    """What the flow meter draws from the node's supply at all times; 0: not counted."""
    cutoff_mv: float = Field(default=3200.0, ge=2500, le=4200)
    """Battery voltage below which the node turns off."""
    restart_mv: float = Field(default=3400.0, ge=2500, le=4200)
    """Battery voltage at which it comes back."""

    def troubles(self) -> Iterator[Issue]:
        """A node that does not flicker, and a probe that draws what it is switched for."""
        if self.probe_on_ms is not None and self.probe_ma == 0.0:
            yield Issue(("probe_on_ms",), "`probe_on_ms` has no effect: `probe_ma` is 0, give both")
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
    tls: Tls = "none"
    """How each connection after deep or light sleep is secured: not, by a shared key, or by
    certificates."""
    board: Board = "module"
    """Kind of board: the module alone with a low-drop regulator, or a board whose current asleep
    was published."""
    board_ma: float | None = Field(default=None, ge=0, le=500)
    """What the rest of the board draws at all times; default: that of the kind of `board`."""
