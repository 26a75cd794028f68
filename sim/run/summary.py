"""What a run amounts to: the content of summary.json, without its expectations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from simpy import Environment

from levada.guest.module.inspect import ModuleInfo
from levada.guest.node import Node
from levada.sim.devices.probe import RainGauge
from levada.sim.devices.valve import ValveState
from levada.sim.run import models, soils
from levada.sim.run.clock import WallClock
from levada.sim.run.plant import Plant
from levada.sim.run.water_account import field_account, zone_account
from levada.sim.run.zone_columns import NodeCol, TotalsCol
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.scenario.fault import FAULTS, spans
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import Observed
from levada.sim.units import DAY_MS
from levada.sim.weather import Weather

__all__ = ["RunEnd", "summarise"]

FLUXES: Final = ("rain", "irrigation", "evaporation", "transpiration", "drainage", "runoff", "et0")


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """A run that has ended, whole or not."""

    scenario: Scenario
    zones: Sequence[ZoneConfig]
    info: ModuleInfo
    guest_path: str
    """How the guests of this process reach their host: `fast` or `ordinary`; else `device`."""
    weather: Weather
    plant: Plant
    nodes: Mapping[int, Node]
    """Those outside the plant, by zone."""
    clock: Environment
    tape_digest: str
    trace_digest: str
    wall_s: float
    interrupted: bool


def summarise(run: RunEnd) -> dict[str, Any]:
    """The content of summary.json, without expectations."""
    scenario, plant = run.scenario, run.plant
    days = float(plant.zones[:, NodeCol.NOW_MS].min() - plant.start_ms) / DAY_MS
    zones = [_zone(run, i) for i in range(plant.n)]
    areas = np.array([zone.area_m2 for zone in run.zones])

    def mean(key: str) -> float:
        return float(np.average([zone[key] for zone in zones], weights=areas))

    balance = max((zone["balance_error_mm"] for zone in zones), key=abs)
    energy = plant.powers.report()
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "seed": scenario.seed,
        "guest_sha256": run.info.sha256,
        "tape_digest": run.tape_digest,
        "trace_digest": run.trace_digest,
        "partial": run.interrupted,
        "start": _iso(plant.start_ms),
        "end": _iso(plant.end_ms),
        "ended": _iso(int(plant.zones[:, NodeCol.NOW_MS].min())),
        "days": days,
        "steps": int(plant.zones[:, NodeCol.STEPS].sum()),
        **{f"{key}_mm": mean(f"{key}_mm") for key in FLUXES},
        "et_mm": mean("et_mm"),
        "storage_change_mm": mean("storage_change_mm"),
        "balance_error_mm": balance,
        **{f"{kind}stress_days": mean(f"{kind}stress_days") for kind in ("", "dry_", "wet_")},
        "valve_openings": sum(zone["valve_openings"] for zone in zones),
        "longest_opening_s": max(zone["longest_opening_s"] for zone in zones),
        "water_l": sum(zone["water_l"] for zone in zones),
        **field_account(zones, areas.tolist()),
        "traps": sum(zone["traps"] for zone in zones),
        "may_stop": scenario.guest.may_stop,
        "energy_j": energy.total.nominal,
        "energy": {
            "label": energy.label,
            "low_j": energy.total.low,
            "nominal_j": energy.total.nominal,
            "high_j": energy.total.high,
            "parts": {
                name: {"low_j": r.low, "nominal_j": r.nominal, "high_j": r.high}
                for name, r in energy.parts.items()
            },
            "profiles": sorted(set(energy.profiles)),
        },
        "expectations": [],
        "wall_s": run.wall_s,
        "field_days_per_s": days * plant.n / run.wall_s,
        **_lateness(run),
        "notes": [
            *soils.notes(run.zones),
            *models.notes(scenario, run.zones),
            *scenario.notes(),
        ],
        **_rain_gauge(run, mean("rain_mm")),
        "zones": zones,
        "faults": _faults(run),
        "weather": {
            "source": Path(run.weather.source).name,
            "sha256": run.weather.sha256,
            "filled": list(run.weather.filled),
            "notes": list(run.weather.notes),
        },
        "guest": {
            "name": run.info.metadata.name if run.info.metadata else "",
            "version": run.info.metadata.version if run.info.metadata else "",
            "bytes": run.info.size,
            "path": run.guest_path,
        },
        "levada_version": version("levada"),
        "versions": {name: version(name) for name in ("wasmtime", "numba", "simpy", "numpy")},
        "link": _links(run),
    }


def _rain_gauge(run: RunEnd, rain_mm: float) -> dict[str, Any]:
    """What the gauge of the site, if there is one, has counted."""
    mm_per_tip = run.scenario.site.rain_gauge_mm_per_tip
    if mm_per_tip is None:
        return {}
    gauge = RainGauge(mm_per_tip)
    gauge.add(rain_mm)
    return {
        "rain_gauge_tips": gauge.tips,
        "rain_gauge_mm": round(gauge.tips * mm_per_tip, 6),
    }


def _links(run: RunEnd) -> dict[str, Any] | None:
    """By zone, what the links to nodes outside this process were like; None without any."""
    found = {run.zones[i].name: node.quality() for i, node in run.nodes.items()}
    return {zone: quality for zone, quality in found.items() if quality is not None} or None


def _lateness(run: RunEnd) -> dict[str, Any]:
    if not isinstance(run.clock, WallClock):
        return {}
    return {"overruns": run.clock.overruns, "late_s": run.clock.late_s}


def _zone(run: RunEnd, i: int) -> dict[str, Any]:
    plant = run.plant
    totals, valve = plant.totals[i], plant.valves.state[i]
    sums = dict(zip((f"{key}_mm" for key in FLUXES), totals[: len(FLUXES)].tolist(), strict=True))
    change = float(plant.observed[i, Observed.STORAGE_MM] - plant.storage_start_mm[i])
    et = sums["evaporation_mm"] + sums["transpiration_mm"]
    stop = plant.stops.get(i)
    return {
        "name": plant.names[i],
        "node": run.zones[i].node.kind,
        **sums,
        "et_mm": et,
        "storage_change_mm": change,
        "balance_error_mm": sums["rain_mm"]
        + sums["irrigation_mm"]
        - et
        - sums["drainage_mm"]
        - sums["runoff_mm"]
        - change,
        "stress_days": float(totals[TotalsCol.STRESS_DAYS]),
        "dry_stress_days": float(totals[TotalsCol.STRESS_DAYS] - totals[TotalsCol.WET_STRESS_DAYS]),
        "wet_stress_days": float(totals[TotalsCol.WET_STRESS_DAYS]),
        "valve_openings": int(valve[ValveState.OPENINGS]),
        "longest_opening_s": float(totals[TotalsCol.LONGEST_S]),
        "water_l": float(valve[ValveState.VOLUME_L]),
        "energy_j": float(plant.powers.energy_j[i]),
        "steps": int(plant.zones[i, NodeCol.STEPS]),
        **zone_account(plant, run.zones[i], i),
        "traps": int(plant.zones[i, NodeCol.TRAPS]),
        "trap": stop.reason if stop is not None else None,
        "trap_ms": stop.time_ms if stop is not None else None,
        "trap_backtrace": list(stop.backtrace) if stop is not None else [],
        "soil": soils.summary(run.zones[i]),
        "feddes_m": list(soils.heads(run.zones[i])),
    }


def _faults(run: RunEnd) -> list[dict[str, Any]]:
    scenario = run.scenario
    return [
        {
            "label": fault.label,
            "kind": fault.kind,
            "effect": FAULTS[fault.kind].effect,
            "magnitude": fault.magnitude,
            "zones": [run.zones[i].name for i in span.zones],
            "start_ms": span.start_ms,
            "end_ms": span.end_ms,
        }
        for fault, span in zip(
            scenario.fault, spans(scenario.period, scenario.fault, run.zones), strict=True
        )
    ]


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
