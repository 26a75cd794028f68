"""The crop through its season: potential transpiration, ground cover, root depth.

FAO-56 (Allen et al. 1998) with the dual crop coefficient: a basal coefficient Kcb in four straight
pieces (initial, development, mid-season, late season), by days or by degree-days since planting.
Before planting and after harvest the ground is bare: Kcb 0, no cover; roots stay as deep as they
grew.  Height and root depth grow during the development stage, in proportion to Kcb.

Left out: the crop's answer to stress (growth does not slow), cutting cycles, emergence.
Degree-days follow McMaster and Wilhelm (1997), Agric. For. Meteorol. 87:291-300, method 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from levada.sim.crop import et0
from levada.sim.crop.table import ALIASES, TABLE
from levada.sim.settings.crop import Crop
from levada.sim.soil.model import ForcingCol
from levada.sim.weather import Days, Weather

__all__ = ["Season", "crop", "forcing_by_hour", "season"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Season:
    """A crop in its weather: arrays of shape (days,), and reference ET of shape (24 days,)."""

    crop: Crop
    weather: Weather
    planting: date
    harvest: date
    """First day on which the ground is bare again."""
    kcb: FloatArray
    kc_max: FloatArray
    """FAO-56 Eq. 72, or its form for alfalfa."""
    cover: FloatArray
    """f_c, FAO-56 Eq. 76."""
    height_m: FloatArray
    zr_m: FloatArray
    depletion_fraction: FloatArray
    """p, adjusted for what the crop would transpire on the day."""
    et0_mm_h: FloatArray
    """By the hour, of the crop's reference surface."""
    stage: FloatArray
    """`ForcingCol.STAGE`: 0 no crop, 1 initial and development, 2 mid-season, 3 late season."""


def crop(name: str, **changes: Any) -> Crop:
    """The crop of that name in FAO-56, with some numbers changed; raises ValueError."""
    row = TABLE.get(name)
    if row is None:
        near = [ALIASES[name.lower()]] if name.lower() in ALIASES else []
        near = near or get_close_matches(name, TABLE, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ValueError(f"crop `{name}`: {hint}known are {', '.join(TABLE)}")
    allowed = set(Crop.model_fields)
    for key in changes:
        if key not in allowed:
            raise ValueError(f"crop has no `{key}`: allowed are {', '.join(sorted(allowed))}")
    grass = [key for key in ("kcb_ini", "kcb_mid", "kcb_end") if key not in changes]
    if changes.get("reference") == "tall" and grass:
        raise ValueError(
            f"crop `{name}`: its coefficients are for grass; reference = tall needs "
            f"{', '.join(grass)} for alfalfa"
        )
    zr_max = sum(row.zr_m) / 2.0
    if row.perennial:
        changes.setdefault("zr_min_m", changes.get("zr_max_m", zr_max))
    values: dict[str, Any] = {
        "name": name,
        "stages": row.stages_d,
        "kcb_ini": row.kcb[0],
        "kcb_mid": row.kcb[1],
        "kcb_end": row.kcb[2],
        "height_max_m": row.height_m,
        "zr_max_m": zr_max,
        "depletion_fraction": row.p,
    }
    return Crop(**{**values, **changes})


def season(
    crop: Crop,
    weather: Weather,
    *,
    planting: date | None = None,
    harvest: date | None = None,
    et0_form: Literal["asce", "fao56"] = "asce",
) -> Season:
    """The crop on every day of the weather.

    FAO-56: Kcb by Eq. 66 and 70, Kc_max by Eq. 72, cover by Eq. 76, p by p. 162, roots by p. 279.
    Coefficients for alfalfa are not adjusted for climate, and their Kc_max is the larger of 1.0 and
    Kcb + 0.05 (Allen et al. 2005, J. Irrig. Drain. Eng. 131:2-13).

    `planting` is the first day of the initial stage (default: the first of the weather); until
    `harvest` (default: the end of the late season) Kcb stays at its end.  Raises ValueError.
    """
    first = planting or weather.start
    if crop.growth == "degree-days" and first < weather.start:
        raise ValueError(
            f"planting = {first}: with degree-days the weather, from {weather.start}, must cover it"
        )
    age = np.arange(len(weather.days), dtype=np.float64) + (weather.start - first).days
    grown = age if crop.growth == "days" else _degree_days(crop, weather.days, age >= 0.0)
    ends = np.cumsum(crop.stages)
    if harvest is None:
        over = np.flatnonzero(grown >= ends[3])
        last = weather.start + timedelta(days=int(over[0]) if over.size else age.size)
        if crop.growth == "days":
            last = first + timedelta(days=int(np.ceil(ends[3])))
    else:
        last = harvest
    if last <= first:
        raise ValueError(f"harvest = {last}: must be after planting = {first}")
    standing = (age >= 0.0) & (age < (last - first).days)
    tall = crop.reference == "tall"
    by_climate = crop.climate_adjusted and not tall  # alfalfa feels wind and dry air as crops do
    adjusted = _adjusted(crop, weather.days, grown, ends) if by_climate else crop
    knots = (adjusted.kcb_ini, adjusted.kcb_mid, adjusted.kcb_mid, adjusted.kcb_end)
    kcb = np.where(standing, np.interp(grown, ends, knots), 0.0)
    progress = np.clip((grown - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)
    height = crop.height_min_m + (crop.height_max_m - crop.height_min_m) * progress
    height = np.maximum(np.where(standing, height, crop.height_min_m), 0.001)
    zr = crop.zr_min_m + (crop.zr_max_m - crop.zr_min_m) * progress
    highest = np.ones(age.size) if tall else 1.2 + _climate(weather.days, height)
    kc_max = np.maximum(highest, kcb + 0.05)  # Eq. 72
    over_min = np.clip((kcb - crop.kc_min) / (kc_max - crop.kc_min), 0.0, None)
    cover = np.minimum(over_min ** (1.0 + 0.5 * height), 0.99)  # Eq. 76
    by_hour = et0.of_weather(weather, et0_form, crop.reference)
    demand = kcb * by_hour.reshape(-1, 24).sum(axis=1)
    # FAO-56 p. 162 adjusts for ETc.  Its evaporation part is not known before the soil is run; the
    # bucket adjusts for all of it.
    p = np.clip(crop.depletion_fraction + 0.04 * (5.0 - demand), 0.1, 0.8)
    return Season(
        crop=crop,
        weather=weather,
        planting=first,
        harvest=last,
        kcb=kcb,
        kc_max=kc_max,
        cover=cover,
        height_m=height,
        zr_m=zr,
        depletion_fraction=p,
        et0_mm_h=by_hour,
        stage=np.where(standing, 1.0 + (grown >= ends[1]) + (grown >= ends[2]), 0.0),
    )


def forcing_by_hour(season: Season) -> FloatArray:
    """Forcing of a soil for every hour, shape (hours, len(ForcingCol)), without irrigation.

    Potential transpiration is Kcb ET0 (FAO-56 Eq. 69), evaporation that of Eq. 71.
    """
    out = np.zeros((season.et0_mm_h.size, len(ForcingCol)))

    def hourly(daily: FloatArray) -> FloatArray:
        return np.repeat(daily, 24)

    demand, kcb, kc_max = season.et0_mm_h, hourly(season.kcb), hourly(season.kc_max)
    cover = hourly(season.cover)
    out[:, ForcingCol.RAIN_MM_H] = season.weather.rain_mm
    out[:, ForcingCol.EVAPORATION_MM_H] = (kc_max - kcb) * demand
    out[:, ForcingCol.EVAPORATION_CAP_MM_H] = (1.0 - cover) * kc_max * demand
    out[:, ForcingCol.TRANSPIRATION_MM_H] = kcb * demand
    out[:, ForcingCol.ZR_M] = hourly(season.zr_m)
    out[:, ForcingCol.DEPLETION_FRACTION] = hourly(season.depletion_fraction)
    out[:, ForcingCol.ET0_MM_H] = demand
    out[:, ForcingCol.KC_MAX] = kc_max
    out[:, ForcingCol.COVER] = cover
    out[:, ForcingCol.KCB] = kcb
    out[:, ForcingCol.ET0_DAY_MM] = hourly(demand.reshape(-1, 24).sum(axis=1))
    out[:, ForcingCol.STAGE] = hourly(season.stage)
    return out


def _climate(days: Days, height_m: FloatArray) -> FloatArray:
    """What wind and dry air add to Kc, shape (days,): the correction in FAO-56 Eq. 70 and 72."""
    wind = 0.04 * (np.clip(days.wind_m_s, 1.0, 6.0) - 2.0)
    dryness = 0.004 * (np.clip(days.rhmin_pct, 20.0, 80.0) - 45.0)
    return (wind - dryness) * (height_m / 3.0) ** 0.3


def _adjusted(crop: Crop, days: Days, grown: FloatArray, ends: FloatArray) -> Crop:
    """The crop with Kcb of mid and late season for the mean wind and humidity of those stages.

    FAO-56 Eq. 70, wind within 1 to 6 m/s and lowest humidity within 20 to 80 % (p. 136).
    """
    changed: dict[str, Any] = {}
    for name, begin, end in (("kcb_mid", ends[1], ends[2]), ("kcb_end", ends[2], ends[3])):
        kcb = getattr(crop, name)
        stage = (grown >= begin) & (grown < end)
        if kcb < 0.45 or not stage.any():  # FAO-56 p. 136: smaller ones are not adjusted
            continue
        wind = np.clip(days.wind_m_s[stage].mean(), 1.0, 6.0)
        rhmin = np.clip(days.rhmin_pct[stage].mean(), 20.0, 80.0)
        correction = 0.04 * (wind - 2.0) - 0.004 * (rhmin - 45.0)
        changed[name] = kcb + correction * (crop.height_max_m / 3.0) ** 0.3
    return crop.model_copy(update=changed)


def _degree_days(crop: Crop, days: Days, planted: npt.NDArray[np.bool_]) -> FloatArray:
    """Degree-days since planting at the start of each day [degC d], shape (days,).

    McMaster and Wilhelm (1997), Eq. 1 by their method 2.
    """
    high = np.clip(days.tmax_c, crop.base_c, crop.upper_c)
    low = np.clip(days.tmin_c, crop.base_c, crop.upper_c)
    gained = np.where(planted, (high + low) / 2.0 - crop.base_c, 0.0)
    return np.cumsum(gained) - gained
