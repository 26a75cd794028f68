"""The state of a twin at one moment: immutable, so that any thread may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from levada.guest.abi import TrapKind
from levada.guest.node import Birth
from levada.sim.signals import units_of
from levada.sim.soil.model import FloatArray, Observed
from levada.twin import signals as values_of
from levada.twin.alerts import Active
from levada.twin.diagnosis import Verdict, valve
from levada.twin.observer import StepObservation
from levada.twin.zone import ZoneState

__all__ = ["UNITS", "View", "ZoneView", "zone_view"]

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
    """The state of a zone at one moment."""

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
    """The state of the field at one moment; immutable, so that any thread may read it."""

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


def zone_view(
    zone: ZoneState,
    observed: FloatArray,
    *,
    start_ms: int,
    alerts: tuple[Active, ...],
    link: Mapping[str, Any] | None,
) -> ZoneView:
    """The state of a zone.

    `observed` is its row of the twin's plant (`levada.sim.soil.model.Observed`), `start_ms` its
    time before the first step, and `link` the quality of the way to its device.
    """
    last, twin = zone.last, zone.last_twin
    newest = zone.device[-1][1] if zone.device else last
    silent = f"not heard for {zone.silent_s} s" if zone.silent_s else ""
    counts = _counts(last)
    return ZoneView(
        name=zone.config.name,
        node=zone.node_text,
        area_m2=zone.config.area_m2,
        birth=zone.birth,
        running=last is None or last.result.trap == TrapKind.NONE,
        lost=(newest.lost if newest is not None else "") or silent,
        time_ms=last.time_ms if last is not None else start_ms,
        theta=values_of.theta(zone.curve, counts),
        theta_twin=values_of.theta(zone.curve, _counts(twin)),
        residual=zone.residual,
        band=zone.band,
        counts=counts,
        pct=zone.pct,
        decision=zone.decision,
        valve=valve(last.result) if last is not None else 0,
        valve_twin=valve(twin.result) if twin is not None else 0,
        flowed=zone.flowed,
        water_today_l=zone.water_today_l if zone.metered else None,
        water_l=zone.water_l if zone.metered else None,
        dr_mm=float(observed[Observed.DR_MM]),
        raw_mm=float(observed[Observed.RAW_MM]),
        stress_h=zone.stress_h(observed),
        verdict=zone.verdict,
        alerts=alerts,
        parameters=zone.parameters,
        link=link,
        battery_mv=last.readings[2] if last is not None and last.readings is not None else 0,
        energy_j=zone.energy_j,
        logs=tuple(zone.logs),
        steps=zone.steps,
    )


def _counts(seen: StepObservation | None) -> int | None:
    """What the probe read."""
    return seen.readings[0] if seen is not None and seen.readings is not None else None
