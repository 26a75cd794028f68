"""Faults of the node itself: its restarts, its clock, its link, and its line to the valve."""

from __future__ import annotations

from typing import Final

from levada.sim.devices.probe import ProbeFault
from levada.sim.devices.valve import ValveFault
from levada.sim.run.zone_columns import IntArray, NodeCol
from levada.sim.scenario.fault import FaultEvent

__all__ = ["PROBE_FAULTS", "VALVE_FAULTS", "disturb_node"]

PROBE_FAULTS: Final = {
    "probe-stuck": ProbeFault.STUCK,
    "probe-drift": ProbeFault.DRIFT,
    "probe-spike": ProbeFault.SPIKE,
    "probe-open": ProbeFault.OPEN,
}
VALVE_FAULTS: Final = {
    "valve-stuck-open": ValveFault.STUCK_OPEN,
    "valve-stuck-closed": ValveFault.STUCK_CLOSED,
    "valve-leak": ValveFault.LEAK,
    "valve-clog": ValveFault.CLOG,
    "meter-dead": ValveFault.METER_DEAD,
    "meter-slip": ValveFault.METER_SLIP,
    "meter-noise": ValveFault.METER_NOISE,
}


def disturb_node(z: IntArray, event: FaultEvent) -> None:
    """Begin or end a fault of the node whose state is `z`, now."""
    now_ms = int(z[NodeCol.NOW_MS])
    if event.kind in ("reboot", "keep-loss"):
        z[NodeCol.BOOT_MS] = now_ms
        z[NodeCol.FORGET] |= int(event.kind == "keep-loss")
    elif event.kind == "clock-skew":
        z[NodeCol.SKEW_MS] = round((event.magnitude or 0.0) * 1000.0) if event.active else 0
    elif event.kind == "clock-unset":
        z[NodeCol.SKEW_MS] = -now_ms if event.active else 0
        if event.active:
            z[NodeCol.BOOT_MS] = now_ms
    elif event.kind == "command-loss":
        z[NodeCol.COMMAND_LOST] = int(event.active)
    elif event.kind == "link-loss":
        z[NodeCol.ONLINE] = int(not event.active)
    else:
        raise AssertionError(f"fault {event.kind}")
