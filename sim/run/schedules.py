"""Schedules of irrigation that need no probe: when to open a valve, and for how much.

They decide once a day and give a gross depth [mm]; `levada.sim.run.baselines` runs them on the
plant.  Sources: FAO-56 chapter 8 (depletion, management allowed depletion); Brouwer, Prins and
Heibloem (1989), FAO Irrigation Water Management Training Manual 4, section 3 (a calendar of one
depth and one interval).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from levada.sim.devices.valve import flow_l_min
from levada.sim.run import soils
from levada.sim.run.zone_loop import STRESS
from levada.sim.scenario.soil import Initial
from levada.sim.soil import richards_columns
from levada.sim.soil.model import (
    FloatArray,
    Flux,
    ForcingCol,
    Observed,
    SoilModel,
    new_fluxes,
    new_observed,
)
from levada.sim.soil.richards import Richards
from levada.sim.units import DAY_MS, HOUR_MS, HOUR_S

if TYPE_CHECKING:
    from levada.sim.run.plant import Plant
    from levada.sim.scenario.baselines import Baselines
    from levada.sim.scenario.expand import ZoneConfig

__all__ = ["Calendar", "Fao56Schedule", "IrrigatedZone", "Optimum", "Rainfed", "Schedule"]

LEAST_MM: Final = 1.0
"""Less is not worth opening a valve for."""
HALVINGS: Final = 4
"""Of the range in which the least sufficient depth is sought: to a sixteenth of the depletion."""
HOURS_A_DAY: Final = 24
EASED: Final = 0.01
"""Share of a day's demand that counts as helped."""


class Schedule(Protocol):
    """Says once a day what to give."""

    def depth_mm(self, now_ms: int) -> float:
        """Gross depth to give from now on; 0: none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IrrigatedZone:
    """What a schedule knows of its zone without looking into the soil."""

    zone: ZoneConfig
    forcing: FloatArray
    """Of every hour, shape (hours, columns)."""
    start_ms: int

    @property
    def rate_mm_h(self) -> float:
        """Gross rate of the open valve."""
        valve = self.zone.valve
        flow = flow_l_min(
            valve.flow_l_min,
            valve.pressure_kpa,
            valve.nominal_pressure_kpa,
            valve.emitter_exponent,
        )
        return flow * (1.0 - valve.clog) * 60.0 / self.zone.area_m2

    def hour(self, now_ms: int) -> int:
        """Row of `forcing`."""
        return (now_ms - self.start_ms) // HOUR_MS

    def grows(self, now_ms: int) -> bool:
        """Whether a crop stands that water could serve."""
        return bool(self.forcing[self.hour(now_ms), ForcingCol.STAGE] > 0.0)

    def arriving(self, now_ms: int) -> float:
        """Share of the gross depth that wind and sun leave now."""
        return float(1.0 - self.forcing[self.hour(now_ms), ForcingCol.SPRAY_LOSS])


class Rainfed:
    """No irrigation."""

    def depth_mm(self, now_ms: int) -> float:
        """None."""
        return 0.0


class Calendar:
    """The farmer's calendar: one depth at one interval from planting to harvest."""

    def __init__(self, zone: IrrigatedZone, settings: Baselines) -> None:
        self._zone = zone
        self.gross_mm = settings.depth_mm or _full_depth_mm(zone.zone)
        self.interval_d = settings.interval_d or _interval_d(zone.forcing, self.gross_mm)

    def depth_mm(self, now_ms: int) -> float:
        """The depth on every `interval_d`-th day after planting."""
        today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
        age_d = (today - self._zone.zone.crop.planting).days
        due = age_d > 0 and age_d % self.interval_d == 0 and self._zone.grows(now_ms)
        return self.gross_mm if due else 0.0


def _full_depth_mm(zone: ZoneConfig) -> float:
    """Readily available water of the full-grown roots, FAO-56 Eq. 82 and 83, in whole mm."""
    crop = soils.crop(zone.crop)
    available = soils.field_capacity(zone.soil) - soils.wilting_point(zone.soil)
    roots_m = min(crop.zr_max_m, zone.soil.depth_m)
    return float(max(round(1000.0 * crop.depletion_fraction * available * roots_m), 1))


def _interval_d(forcing: FloatArray, depth_mm: float) -> int:
    """Days that a depth lasts at the mean demand of mid-season, or of the whole crop if it has none
    in the period; training manual 4: interval = net depth / peak need.
    """
    stage = forcing[:, ForcingCol.STAGE]
    peak = stage == 2.0 if (stage == 2.0).any() else stage > 0.0
    if not peak.any():
        return 60
    need_mm_d = float(forcing[peak, ForcingCol.TRANSPIRATION_MM_H].mean()) * HOURS_A_DAY
    return int(np.clip(floor(depth_mm / max(need_mm_d, 0.1)), 1, 60))


class Fao56Schedule:
    """Refills the root zone when its computed depletion passes the allowed one.

    The depletion is that of a FAO-56 balance of its own, fed with measured weather and its own
    irrigation; it does not look into the soil of the plant.
    """

    def __init__(self, zone: IrrigatedZone, settings: Baselines, available: float) -> None:
        """`available` is the share of TAW at the start, for a soil given by heads."""
        self._zone, self._settings = zone, settings
        soil = zone.zone.soil
        if soil.initial.quantity not in ("available_pct", "theta"):
            initial = Initial(available_pct=(100.0 * min(max(available, 0.0), 1.0),))
            soil = soil.model_copy(update={"initial": initial})
        self._balance: SoilModel = _balance(zone, soil)
        self._now_ms = zone.start_ms
        self._given: list[tuple[int, float]] = []
        """Start [ms] and gross depth of every irrigation."""
        self.observed = new_observed(1)

    def depth_mm(self, now_ms: int) -> float:
        """Depletion over efficiency once it exceeds the allowed one, FAO-56 chapter 8."""
        self._advance(now_ms)
        if not self._zone.grows(now_ms):
            return 0.0
        seen, allowed = self.observed[0], self._settings.allowed_depletion
        taw_mm, depleted_mm = float(seen[Observed.TAW_MM]), float(seen[Observed.DR_MM])
        limit_mm = float(seen[Observed.RAW_MM]) if allowed is None else allowed * taw_mm
        if depleted_mm < max(limit_mm, LEAST_MM):
            return 0.0
        efficiency = self._settings.application_efficiency or self._zone.arriving(now_ms)
        gross_mm = depleted_mm / efficiency
        self._given.append((now_ms, gross_mm))
        return gross_mm

    def _advance(self, now_ms: int) -> None:
        zone, fluxes = self._zone, new_fluxes(1)
        while self._now_ms < now_ms:
            row = zone.forcing[[zone.hour(self._now_ms)]]
            rate = zone.rate_mm_h
            for begin_ms, gross_mm in self._given[-1:]:
                end_ms = begin_ms + gross_mm / rate * HOUR_MS if rate > 0.0 else begin_ms
                _deliver(row, zone, self._now_ms, begin_ms, end_ms)
            self._balance.advance(float(HOUR_S), row, fluxes, self.observed)
            self._now_ms += HOUR_MS


def _balance(zone: IrrigatedZone, soil: Any) -> SoilModel:
    from dataclasses import replace

    roots_m = float(zone.forcing[0, ForcingCol.ZR_M])
    return soils.bucket([replace(zone.zone, soil=soil)], [roots_m])


def _deliver(
    row: FloatArray, zone: IrrigatedZone, now_ms: int, begin_ms: float, end_ms: float
) -> None:
    """Put the part of a delivery that falls into the hour from `now_ms` into its forcing."""
    start_s = max(begin_ms - now_ms, 0.0) / 1000.0
    stop_s = min(end_ms - now_ms, float(HOUR_MS)) / 1000.0
    if stop_s > start_s:
        row[0, ForcingCol.IRRIGATION_MM_H] = zone.rate_mm_h * zone.arriving(now_ms)
        row[0, ForcingCol.IRRIGATION_FROM_S] = start_s
        row[0, ForcingCol.IRRIGATION_TO_S] = stop_s


class Optimum:
    """Knows the true soil and the weather to come: waits as long as the crop can, and gives least.

    Once a day a copy of the zone's soil is run ahead in the true weather.  If, without water, the
    next day would be short (the crop transpires less than `STRESS` of what it could, for want of
    water), the least depth is given that carries the crop as far as the largest would, at most
    `look_ahead_d` days; the largest fills the root zone, or is its readily available water.  So
    known rain finds room, and what it brings is not given.  A day that is short whatever is given
    gets the least depth that eases it as much.
    """

    def __init__(self, zone: IrrigatedZone, plant: Plant, i: int, look_ahead_d: int) -> None:
        self._zone, self._plant, self._i = zone, plant, i
        self.look_ahead_d = look_ahead_d
        model = plant.richards if zone.zone.soil.model == "richards" else plant.bucket
        assert model is not None
        self._true: SoilModel = model
        self._copy: SoilModel = (
            Richards([soils.richards_profile(zone.zone)])
            if zone.zone.soil.model == "richards"
            else _balance(zone, zone.zone.soil)
        )

    def depth_mm(self, now_ms: int) -> float:
        """The least depth that serves, or none."""
        zone = self._zone
        if not zone.grows(now_ms) or zone.rate_mm_h <= 0.0:
            return 0.0
        state = self._state()
        dry = self._ahead(state, now_ms, 0.0, 1)
        if dry.reach_d == 1:
            return 0.0
        seen = self._plant.observed[self._i]
        most_mm = max(float(seen[Observed.DR_MM]), float(seen[Observed.RAW_MM]))
        most_mm /= zone.arriving(now_ms)
        wanted = self._ahead(state, now_ms, most_mm, self.look_ahead_d)
        if wanted.reach_d == 0 and wanted.lost > dry.lost - EASED:
            return 0.0  # water does not help
        low_mm, high_mm = 0.0, most_mm
        for _ in range(HALVINGS):
            middle_mm = (low_mm + high_mm) / 2.0
            found = self._ahead(state, now_ms, middle_mm, max(wanted.reach_d, 1))
            less = found.reach_d < wanted.reach_d
            if less or (wanted.reach_d == 0 and found.lost > wanted.lost + EASED):
                low_mm = middle_mm
            else:
                high_mm = middle_mm
        return max(high_mm, LEAST_MM)

    def _state(self) -> dict[str, Any]:
        from levada.sim.run.zone_columns import NodeCol

        row = int(self._plant.zones[self._i, NodeCol.SOIL_ROW])
        return {key: value[row : row + 1].copy() for key, value in self._true.state().items()}

    def _ahead(self, state: dict[str, Any], now_ms: int, gross_mm: float, most_d: int) -> _Outlook:
        """What comes of a depth given now, up to the first short day or for `most_d` days."""
        zone, copy = self._zone, self._copy
        copy.restore(state)
        fluxes, observed = new_fluxes(1), new_observed(1)
        end_ms = now_ms + gross_mm / zone.rate_mm_h * HOUR_MS
        tomorrow_ms = now_ms - (now_ms - zone.start_ms) % DAY_MS + DAY_MS
        potential = lost = 0.0
        at_ms = now_ms
        while at_ms < tomorrow_ms + most_d * DAY_MS and zone.hour(at_ms) < len(zone.forcing):
            row = zone.forcing[[zone.hour(at_ms)]]
            _deliver(row, zone, at_ms, now_ms, end_ms)
            fluxes[:] = 0.0
            copy.advance(float(HOUR_S), row, fluxes, observed)
            wanted = float(row[0, ForcingCol.TRANSPIRATION_MM_H])
            potential += wanted
            lost += wanted * (1.0 - _airless(copy)) - float(fluxes[0, Flux.TRANSPIRATION_MM])
            at_ms += HOUR_MS
            if (at_ms - zone.start_ms) % DAY_MS == 0:
                if at_ms > tomorrow_ms and lost > (1.0 - STRESS) * potential:
                    return _Outlook((at_ms - tomorrow_ms) // DAY_MS - 1, lost / potential)
                potential = lost = 0.0
        return _Outlook(most_d, 0.0)


class _Outlook(NamedTuple):
    """What is ahead of a crop."""

    reach_d: int
    """Days after today until the first short one."""
    lost: float
    """Share of the demand of that day that is lost for want of water."""


def _airless(model: SoilModel) -> float:
    """Part of the demand that roots in soil too wet leave; more water would not help them."""
    if not isinstance(model, Richards):
        return 0.0
    return float(model.arrays[1][0, richards_columns.S_AIRLESS])
