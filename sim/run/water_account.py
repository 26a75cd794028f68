"""The account of a zone's water and yield when its run has ended, as summary.json has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from levada.sim.devices.valve import ValveState
from levada.sim.run.zone_columns import TotalsCol
from levada.sim.water.efficiency import (
    distribution_uniformity,
    net_irrigation_mm,
    productivity_kg_m3,
)
from levada.sim.water.yield_response import (
    LARGEST_DEFICIT,
    STAGES,
    deficit,
    relative_yield,
    response,
)

if TYPE_CHECKING:
    from levada.sim.run.plant import Plant
    from levada.sim.scenario.expand import ZoneConfig

__all__ = ["field_account", "zone_account"]

Json = dict[str, Any]


def zone_account(plant: Plant, zone: ZoneConfig, i: int) -> Json:
    """Entries `irrigation_use` and, for a crop with a yield response factor, `yield`."""
    return {"irrigation_use": _use(plant, zone, i), "yield": _yield(plant, zone, i)}


def _use(plant: Plant, zone: ZoneConfig, i: int) -> Json:
    t = plant.totals[i]
    gross_mm = float(plant.valves.state[i, ValveState.VOLUME_L]) / zone.area_m2
    irrigation_mm = float(t[TotalsCol.IRRIGATION_MM])
    curve_mm = float(t[TotalsCol.CURVE_RUNOFF_MM])
    # the curve number takes rain alone, so irrigation has no part in it
    net_mm = net_irrigation_mm(
        irrigation_mm,
        float(t[TotalsCol.RAIN_MM]) - curve_mm,
        float(t[TotalsCol.DRAINAGE_MM]),
        float(t[TotalsCol.RUNOFF_MM]) - curve_mm,
    )
    uniformity = zone.valve.distribution_uniformity
    return {
        "gross_mm": gross_mm,
        "spray_loss_mm": float(t[TotalsCol.SPRAY_LOSS_MM]),
        "interception_mm": float(t[TotalsCol.INTERCEPTED_MM]),
        "net_mm": net_mm,
        "application_efficiency": net_mm / gross_mm if gross_mm > 0.0 else None,
        "low_quarter_mm": None if uniformity is None else uniformity * irrigation_mm,
        "curve_number_runoff_mm": curve_mm,
    }


def _yield(plant: Plant, zone: ZoneConfig, i: int) -> Json | None:
    crop = zone.crop
    factors = response(crop.name, crop.ky, crop.ky_stages)
    t = plant.totals[i]
    et = t[TotalsCol.VEGETATIVE_ET_MM : TotalsCol.LATE_ET_MM + 1].tolist()
    lost = t[TotalsCol.VEGETATIVE_LOST_MM : TotalsCol.LATE_LOST_MM + 1].tolist()
    if factors is None or sum(et) <= 0.0:
        return None
    season = deficit(sum(et), sum(lost))
    deficits = [deficit(*pair) for pair in zip(et, lost, strict=True)]
    relative = relative_yield([factors.total], [season])
    staged = None if factors.stages is None else relative_yield(factors.stages, deficits)
    account: Json = {
        "relative": relative,
        "relative_by_stage": staged,
        "et_deficit": season,
        "et_deficit_by_stage": dict(zip(STAGES, deficits, strict=True)),
        "ky": factors.total,
        "ky_by_stage": factors.stages and dict(zip(STAGES, factors.stages, strict=True)),
        "within_limits": max(season, *deficits) <= LARGEST_DEFICIT,
        "crop_et_mm": sum(et),
        "t_ha": None,
        "water_productivity_kg_m3": None,
    }
    if crop.yield_t_ha is not None:
        account["t_ha"] = relative * crop.yield_t_ha
        account["water_productivity_kg_m3"] = productivity_kg_m3(account["t_ha"], sum(et))
    return account


def field_account(zones: Sequence[Mapping[str, Any]], areas_m2: Sequence[float]) -> Json:
    """The same of the whole field: means by area, and how even the zones were watered."""

    def mean(values: Sequence[float | None]) -> float | None:
        found = [(v, a) for v, a in zip(values, areas_m2, strict=True) if v is not None]
        if not found:
            return None
        return float(np.average([v for v, _ in found], weights=[a for _, a in found]))

    use = [zone["irrigation_use"] for zone in zones]
    keys = ("gross_mm", "spray_loss_mm", "interception_mm", "net_mm", "curve_number_runoff_mm")
    field: Json = {key: mean([u[key] for u in use]) for key in keys}
    gross_mm = field["gross_mm"]
    field["application_efficiency"] = field["net_mm"] / gross_mm if gross_mm > 0.0 else None
    among = distribution_uniformity([zone["irrigation_mm"] for zone in zones], areas_m2)
    field["uniformity_among_zones"] = among if len(zones) > 1 and isfinite(among) else None
    yields = [zone["yield"] or {} for zone in zones]
    grown = {
        key: mean([y.get(key) for y in yields]) for key in ("relative", "relative_by_stage", "t_ha")
    }
    return {
        "gross_irrigation_mm": gross_mm,
        "application_efficiency": field["application_efficiency"],
        "relative_yield": grown["relative"],
        "irrigation_use": field,
        "yield": grown if grown["relative"] is not None else None,
    }
