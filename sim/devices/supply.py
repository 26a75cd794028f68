"""The pressure of a supply that several valves share.

Its curve is p(Q) = p0 - (p0 - p1) (Q / Q1)^2, the pump curve h = A - B q^C of EPANET with C = 2
(Rossman 2000, EPANET 2 Users Manual, EPA/600/R-00/057, section 3.1).  The valves draw
Q(p) = sum q_i (p / p_i)^x_i (Keller and Karmeli 1974, Eq. 1), so one pressure satisfies both: Q
grows with p and the curve falls.

Left out: losses in the pipes between the zones, a tank, inertia of the pump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from levada.sim.devices.valve import Valves, flow_l_min
from levada.sim.settings.supply import WaterSupply

__all__ = ["SharedSupply", "pressure_kpa"]

HALVINGS: Final = 60
"""Of the range from 0 to the highest pressure: the rest is below what a float of it resolves."""


def pressure_kpa(supply: WaterSupply, draws: Sequence[tuple[float, float, float]]) -> float:
    """Pressure at which the supply gives what is drawn [kPa].

    Each draw is its flow [L/min] at a nominal pressure [kPa], that pressure, and the exponent.
    """

    def excess(kpa: float) -> float:
        flow = sum(flow_l_min(q, kpa, nominal, x) for q, nominal, x in draws)
        fall = supply.shutoff_kpa - supply.pressure_kpa
        return supply.shutoff_kpa - fall * (flow / supply.flow_l_min) ** 2 - kpa

    low, high = 0.0, supply.shutoff_kpa
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if excess(middle) > 0.0:
            low = middle
        else:
            high = middle  # ends at 0 where compensating emitters would draw more than there is
    return 0.5 * (low + high) if low > 0.0 else 0.0


class SharedSupply:
    """One supply and the zones that it feeds."""

    def __init__(self, supply: WaterSupply, zones: Sequence[int]) -> None:
        self.curve = supply
        self.zones = tuple(zones)

    def adjust(self, valves: Valves) -> None:
        """Bring the pressure of the zones in line with the valves that are open now."""
        kpa = pressure_kpa(self.curve, [valves.draw(zone) for zone in self.zones])
        for zone in self.zones:
            valves.set_pressure(zone, kpa)
