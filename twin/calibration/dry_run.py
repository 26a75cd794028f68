"""A calibration tried on the recent past: what it would have cost and saved.

The twin's plant and guest run again from the start of the scenario with its weather, everything
simulated; from `days` ago on once with the parameters as they are, once with the new ones.  The
soil, the crop and the guest's memory are thus the same when the two part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from levada.guest.errors import GuestError
from levada.guest.limits import PROFILES
from levada.guest.module.inspect import inspect
from levada.guest.wasm.fleet import SimNodes
from levada.sim.devices.valve import ValveState
from levada.sim.run import build, runner
from levada.sim.run.plant import Plant
from levada.sim.run.zone_columns import TotalsCol
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.sim.units import DAY_MS
from levada.twin.errors import CalibrationError

__all__ = ["DryRun", "DryRunOutcome", "dry_run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRunOutcome:
    """What a zone used and suffered over the time looked at."""

    water_l: float
    irrigation_mm: float
    drainage_mm: float
    stress_days: float
    openings: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The same days twice."""

    start_ms: int
    end_ms: int
    present: Mapping[str, int]
    """Parameters that are in force."""
    before: DryRunOutcome
    after: DryRunOutcome


def dry_run(
    scenario: Scenario,
    zone: str,
    present: Mapping[str, int],
    wanted: Mapping[str, int],
    *,
    now_ms: int,
    days: int = 14,
) -> DryRun:
    """Try `wanted` over the last `days` before `now_ms`; `present` are the values in force.

    Both are by name.  Raises CalibrationError if nothing lies in the past yet.
    """
    period = scenario.period
    end_ms = min(now_ms, period.end_ms) // 60_000 * 60_000
    start_ms = max(period.start_ms, end_ms - days * DAY_MS)
    if end_ms - start_ms < period.step_s * 1000:
        raise CalibrationError("there is no past yet to try it on: wait for a step of the field")
    outcomes = [
        _run(scenario, zone, present, changes, start_ms, end_ms) for changes in ({}, wanted)
    ]
    return DryRun(
        start_ms=start_ms,
        end_ms=end_ms,
        present=present,
        before=outcomes[0],
        after=outcomes[1],
    )


def _run(
    scenario: Scenario,
    zone: str,
    present: Mapping[str, int],
    wanted: Mapping[str, int],
    start_ms: int,
    end_ms: int,
) -> DryRunOutcome:
    config = next(c for c in expand(scenario) if c.name == zone)
    module = runner.read_guest(scenario)
    info = inspect(module, budget=scenario.guest.limits())
    ids = {p.name: p.id for p in info.parameters}
    settings = build.node_settings(config, module, info, scenario)
    # values never changed are left to the guest: a default may mean "as configured"
    defaults = {p.name: p.default for p in info.parameters}
    kept = {ids[n]: v for n, v in present.items() if v != defaults[n]} | settings.parameters
    kept |= {ids[n]: v for n, v in present.items() if ids[n] in kept}
    from_the_start = start_ms <= scenario.period.start_ms
    if from_the_start:
        kept |= {ids[name]: value for name, value in wanted.items()}
    nodes = SimNodes(
        module,
        1,
        names=[zone],
        budget=scenario.guest.limits(),
        profile=PROFILES[scenario.guest.profile],
        config=[settings.config],
        parameters=[kept],
    )
    plant = Plant(scenario, [config], runner.read_weather(scenario), nodes, [0])
    try:
        plant.advance_to(start_ms)
        plant.take_rows()
        if wanted and not from_the_start:
            nodes.calibrate(0, {ids[name]: value for name, value in wanted.items()})
        before = _sums(plant)
        plant.advance_to(end_ms)
        plant.finish()
        after = _sums(plant)
    except GuestError as error:
        raise CalibrationError(f"the dry run has failed: {error}") from None
    finally:
        plant.close()
    return DryRunOutcome(
        water_l=after.water_l - before.water_l,
        irrigation_mm=after.irrigation_mm - before.irrigation_mm,
        drainage_mm=after.drainage_mm - before.drainage_mm,
        stress_days=after.stress_days - before.stress_days,
        openings=after.openings - before.openings,
    )


def _sums(plant: Plant) -> DryRunOutcome:
    totals, fluxes, valve = plant.totals[0], plant.fluxes[0], plant.valves.state[0]
    return DryRunOutcome(
        water_l=float(valve[ValveState.VOLUME_L]),
        irrigation_mm=float(totals[TotalsCol.IRRIGATION_MM] + fluxes[TotalsCol.IRRIGATION_MM]),
        drainage_mm=float(totals[TotalsCol.DRAINAGE_MM] + fluxes[TotalsCol.DRAINAGE_MM]),
        stress_days=float(totals[TotalsCol.STRESS_DAYS]),
        openings=int(valve[ValveState.OPENINGS]),
    )
