"""What is to be seen of a twin at one moment: immutable, so that any thread may look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from levada.guest.node import Birth
from levada.sim.signals import units_of
from levada.twin.alerts import Active
from levada.twin.diagnosis import Verdict

__all__ = ["UNITS", "View", "ZoneView"]

UNITS: Final[dict[str, str]] = units_of(
    "counts",
    "theta",
    "temp_c",
    "battery_mv",
    "valve",
    "valve_open",
    "flow_l",
    "energy_j",
    "theta_root",
    "theta_fc_root",
    "theta_stress_root",
    "dr_mm",
    "raw_mm",
    "ks",
    "rain_mm",
    "irrigation_mm",
    "et_mm",
    "et0_mm",
    "residual",
    "cause",
)
"""Signals that the twin stores, beside profiles (`theta@0.15`), with their units."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneView:
    """What is to be seen of a zone now."""

    name: str
    node: str
    area_m2: float
    birth: Birth
    running: bool
    """Whether the guest on the device runs; False: it was stopped."""
    lost: str
    """Why the device does not answer."""
    time_ms: int
    """Of the last step."""
    theta: float | None
    theta_twin: float | None
    residual: float | None
    band: float
    """Difference that noise alone explains [m3/m3]."""
    counts: int | None
    pct: int | None
    decision: str
    valve: int
    valve_twin: int
    flowed: bool
    """Whether the flow meter saw water in the last step."""
    water_today_l: float | None
    """None: the device has no flow meter."""
    water_l: float | None
    dr_mm: float
    raw_mm: float
    stress_h: float | None
    verdict: Verdict
    alerts: tuple[Active, ...]
    parameters: Mapping[str, int]
    link: Mapping[str, Any] | None
    battery_mv: int
    energy_j: float | None
    """By the energy model; None: nothing is known of it."""
    logs: tuple[str, ...]
    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What is to be seen of the field now; immutable, so that any thread may look."""

    scenario: str
    title: str
    mode: str
    speed: float
    now_ms: int
    start_ms: int
    end_ms: int
    ended: bool
    late_s: float
    zones: tuple[ZoneView, ...] = ()
