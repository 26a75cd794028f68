"""Baselines: what plain schedules, and one that knows everything, would have done with the field.

Each is a run of the same plant (weather, soils, crops, flow of the valves), with a schedule instead
of a guest, without faults, without probes, without the timer of the valve, and on mains.  So what
differs from the guest's run comes from when and how much was irrigated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from levada.guest.abi import ABI_VERSION, DEFAULT_PINS
from levada.guest.node import Birth, Readings, StepResult
from levada.sim.devices.valve import ValveState
from levada.sim.run.build import forcing_tables
from levada.sim.run.clock import new_clock
from levada.sim.run.field import Field
from levada.sim.run.plant import Plant
from levada.sim.run.schedules import (
    Calendar,
    Fao56Schedule,
    IrrigatedZone,
    Optimum,
    Rainfed,
    Schedule,
)
from levada.sim.run.water_account import zone_account
from levada.sim.run.zone_columns import TotalsCol
from levada.sim.scenario.baselines import BASELINES, Baseline, Baselines
from levada.sim.settings.energy import Energy
from levada.sim.soil.model import Observed
from levada.sim.units import DAY_MS, HOUR_MS
from levada.sim.water.efficiency import productivity_kg_m3

if TYPE_CHECKING:
    from levada.sim.scenario.expand import ZoneConfig
    from levada.sim.scenario.model import Scenario
    from levada.sim.weather import Weather

__all__ = ["FIGURES", "LOOK_AHEADS_D", "ScheduledNode", "run_baselines"]

Json = dict[str, Any]

LOOK_AHEADS_D: Final = (3, 10, 30)
"""Of `optimum`: all are run, and the one with the fewest days of dry stress is taken, of equal ones
that with the least water."""
FIGURES: Final = (
    "gross_mm",
    "irrigation_mm",
    "et_mm",
    "drainage_mm",
    "runoff_mm",
    "dry_stress_days",
    "wet_stress_days",
    "valve_openings",
    "relative_yield",
)
"""By which guest and baselines are compared."""
_NO_TIMER_S: Final = 31_622_400.0


class ScheduledNode:
    """A `levada.guest.node.Node` that asks a schedule once a day and counts out its depth."""

    def __init__(self, zone: IrrigatedZone, hour: int) -> None:
        self._zone, self._hour = zone, hour
        self._close_ms = 0
        self.schedule: Schedule = Rainfed()

    def birth(self) -> Birth:
        """Who it is: nobody's guest."""
        return Birth(
            guest_sha256="",
            guest_name="schedule",
            guest_version="",
            abi_version=ABI_VERSION,
            engine="schedule",
            firmware="",
            boot_id=0,
        )

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Wait for the first decision."""
        return StepResult(outputs={DEFAULT_PINS[0]: 0}, wake_ms=self._next_ms(time_ms) - time_ms)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Decide at the hour of decisions, unless water flows; close when the depth is out."""
        due = (time_ms - self._zone.start_ms) % DAY_MS == self._hour * HOUR_MS
        if due and time_ms >= self._close_ms:
            depth_mm, rate = self.schedule.depth_mm(time_ms), self._zone.rate_mm_h
            if depth_mm > 0.0 and rate > 0.0:
                self._close_ms = time_ms + round(depth_mm / rate * HOUR_MS)
        opened = time_ms < self._close_ms
        wake_ms = self._next_ms(time_ms + 1)
        if opened:
            wake_ms = min(wake_ms, self._close_ms)
        return StepResult(outputs={DEFAULT_PINS[0]: int(opened)}, wake_ms=wake_ms - time_ms)

    def _next_ms(self, from_ms: int) -> int:
        """The first hour of decisions not before `from_ms`."""
        first_ms = self._zone.start_ms + self._hour * HOUR_MS
        return first_ms + max(0, -((first_ms - from_ms) // DAY_MS)) * DAY_MS

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """A schedule has no parameters."""
        return values

    def install(self, module: bytes) -> Birth:
        """A schedule is no module."""
        return self.birth()

    def quality(self) -> dict[str, Any] | None:
        """There is no link."""
        return None

    def close(self) -> None:
        """Nothing to release."""


def run_baselines(
    scenario: Scenario,
    zones: Sequence[ZoneConfig],
    weather: Weather,
    summary: Mapping[str, Any],
    tell: Callable[[str], None] = lambda _: None,
) -> Json:
    """The entry `baselines` of a summary: `guest` and every baseline by the same figures.

    Raises SoilError.
    """
    settings = scenario.baselines
    assert settings is not None
    field = _BareField(scenario, zones, weather, settings)
    found: dict[str, Json] = {}
    for name in settings.run:
        tell(f"baseline {name}")
        found[name] = field.best() if name == "optimum" else field.run(name)
    rainfed = found.get("rainfed")
    guest = _figures(summary["zones"], [zone.area_m2 for zone in zones], scenario)
    rows = {"guest": guest, **found}
    for row in rows.values():
        row["irrigation_productivity"] = _productivity(row, rainfed)
        zone_rows = row.pop("_zones")
        row["zones"] = [{key: zone[key] for key in FIGURES} for zone in zone_rows]
    return {
        "guest": guest,
        "rows": [{"name": name, "meaning": BASELINES[name], **row} for name, row in found.items()],
    }


class _BareField:
    """The field of a scenario without what could disturb a schedule."""

    def __init__(
        self,
        scenario: Scenario,
        zones: Sequence[ZoneConfig],
        weather: Weather,
        settings: Baselines,
    ) -> None:
        period = scenario.period.but(record_s=int(DAY_MS // 1000))
        self._scenario = scenario.model_copy(update={"period": period, "fault": ()})
        self._zones = [
            replace(
                zone,
                energy=Energy(battery="none"),
                valve=zone.valve.but(max_open_s=_NO_TIMER_S),
            )
            for zone in zones
        ]
        self._weather, self._settings = weather, settings
        tables, table = forcing_tables(self._zones, weather)
        self._irrigated = [
            IrrigatedZone(zone=zone, forcing=tables[k], start_ms=period.start_ms)
            for zone, k in zip(self._zones, table, strict=True)
        ]

    def run(self, name: Baseline, look_ahead_d: int = 1) -> Json:
        """One baseline from start to end."""
        nodes = {
            i: ScheduledNode(zone, self._settings.hour) for i, zone in enumerate(self._irrigated)
        }
        plant = Plant(self._scenario, self._zones, self._weather, None, [], nodes)
        schedules = [
            self._schedule(name, zone, plant, i, look_ahead_d)
            for i, zone in enumerate(self._irrigated)
        ]
        for i, node in nodes.items():
            node.schedule = schedules[i]
        try:
            Field(new_clock(None), plant, faults=(), recorder=lambda _now_ms: _discard(plant)).run()
        finally:
            plant.close()
        rows = [_row(plant, zone, i) for i, zone in enumerate(self._zones)]
        figures = _figures(rows, [zone.area_m2 for zone in self._zones], self._scenario)
        if isinstance(schedules[0], Calendar):
            figures["interval_d"] = schedules[0].interval_d
            figures["depth_mm"] = schedules[0].gross_mm
        return figures

    def best(self) -> Json:
        """The best look-ahead of `optimum`."""
        tried = []
        for days in LOOK_AHEADS_D:
            row = self.run("optimum", days)
            tried.append(row | {"look_ahead_d": days})
        return min(tried, key=lambda row: (row["dry_stress_days"], row["gross_mm"]))

    def _schedule(
        self, name: Baseline, zone: IrrigatedZone, plant: Plant, i: int, look_ahead_d: int
    ) -> Schedule:
        match name:
            case "calendar":
                return Calendar(zone, self._settings)
            case "fao56":
                seen = plant.observed[i]
                taw_mm = float(seen[Observed.TAW_MM])
                left = 1.0 - float(seen[Observed.DR_MM]) / taw_mm if taw_mm > 0.0 else 1.0
                return Fao56Schedule(zone, self._settings, left)
            case "optimum":
                return Optimum(zone, plant, i, look_ahead_d)
            case _:
                return Rainfed()


def _discard(plant: Plant) -> None:
    plant.take_rows()


def _row(plant: Plant, zone: ZoneConfig, i: int) -> Json:
    """What `_figures` needs of a zone, under the names of summary.json."""
    t = plant.totals[i]
    wet = float(t[TotalsCol.WET_STRESS_DAYS])
    return {
        "irrigation_mm": float(t[TotalsCol.IRRIGATION_MM]),
        "et_mm": float(t[TotalsCol.EVAPORATION_MM] + t[TotalsCol.TRANSPIRATION_MM]),
        "drainage_mm": float(t[TotalsCol.DRAINAGE_MM]),
        "runoff_mm": float(t[TotalsCol.RUNOFF_MM]),
        "dry_stress_days": float(t[TotalsCol.STRESS_DAYS]) - wet,
        "wet_stress_days": wet,
        "valve_openings": int(plant.valves.state[i, ValveState.OPENINGS]),
        **zone_account(plant, zone, i),
    }


def _figures(zones: Sequence[Json], areas_m2: Sequence[float], scenario: Scenario) -> Json:
    """Means of the zones by area; openings are added up."""
    by_zone = []
    for zone in zones:
        grown = zone["yield"] or {}
        by_zone.append(
            {key: zone[key] for key in FIGURES if key in zone}
            | {
                "gross_mm": zone["irrigation_use"]["gross_mm"],
                "relative_yield": grown.get("relative"),
                "t_ha": grown.get("t_ha"),
                "within_limits": grown.get("within_limits", True),
            }
        )

    def mean(key: str) -> float | None:
        known = [(z[key], a) for z, a in zip(by_zone, areas_m2, strict=True) if z[key] is not None]
        if not known:
            return None
        return float(np.average([v for v, _ in known], weights=[a for _, a in known]))

    figures: Json = {key: mean(key) for key in (*FIGURES, "t_ha")}
    figures["valve_openings"] = sum(zone["valve_openings"] for zone in by_zone)
    figures["within_limits"] = all(zone["within_limits"] for zone in by_zone)
    figures["_zones"] = by_zone
    return figures


def _productivity(row: Json, rainfed: Json | None) -> Json | None:
    """What irrigation brought over rain alone by the water that it took (Bos 1980; Howell 2001).

    `pct_per_100_mm`: points of relative yield by 100 mm of gross depth; `kg_m3` where a yield is
    known.  None without the baseline `rainfed`, without irrigation or without a yield.
    """
    if rainfed is None or row["relative_yield"] is None or row["gross_mm"] < 1e-9:
        return None
    gained = row["relative_yield"] - rainfed["relative_yield"]
    tonnes = None if row["t_ha"] is None else row["t_ha"] - rainfed["t_ha"]
    return {
        "pct_per_100_mm": 1e4 * gained / row["gross_mm"],
        "kg_m3": None if tonnes is None else productivity_kg_m3(tonnes, row["gross_mm"]),
    }
