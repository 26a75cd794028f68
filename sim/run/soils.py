"""The soil of a scenario as one of the models: textures, fractions, contents or layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from levada.sim.crop import crop as crops
from levada.sim.scenario.soil import DEFAULT_CELLS
from levada.sim.settings.crop import Crop
from levada.sim.soil.bucket import Bucket
from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.structured import StructuredSoil
from levada.sim.soil.texture import (
    CLASSES,
    SoilProperties,
    by_class,
    by_contents,
    by_fractions,
    default_drainage_d,
    nearest_class,
)
from levada.sim.soil.uptake import FEDDES, LIKE, Feddes, feddes_of

if TYPE_CHECKING:
    from levada.sim.scenario.expand import ZoneConfig
    from levada.sim.scenario.soil import Soil, SoilLayer
    from levada.sim.scenario.zone import PlantedCrop
    from levada.sim.soil.richards import Richards
    from levada.sim.soil.richards_profile import SoilProfile

__all__ = [
    "Horizon",
    "at_depth",
    "bucket",
    "crop",
    "described",
    "drainage",
    "feddes",
    "field_capacity",
    "heads",
    "horizons",
    "notes",
    "rew_mm",
    "richards",
    "richards_profile",
    "summary",
    "wilting_point",
]

TOP_CELL_M: Final = 0.01
"""With the default number of cells; it goes down with more."""
SHOWN_D: Final = (1.0, 3.0, 10.0)
"""Days of free drainage that lint and report show."""
_FAR: Final = 0.01
"""Difference from a stated field capacity that is worth a warning [m3 m-3]."""
EVAPORATING_M: Final = 0.10
"""Ze, FAO-56 p. 144: 0.10 to 0.15 m."""


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """One layer of the soil of a zone."""

    thickness_m: float
    theta_fc: float
    """Water content at field capacity."""
    theta_wp: float
    """Water content at the wilting point."""
    ks_m_d: float
    """Conductivity at saturation."""
    drainage_time_d: float
    """Time after which it has drained to field capacity."""
    material: SoilProperties | VanGenuchten

    @property
    def hydraulics(self) -> VanGenuchten:
        """The hydraulic functions; those made from water contents are found when asked for."""
        found = self.material
        return found.hydraulics if isinstance(found, SoilProperties) else found


def horizons(soil: Soil) -> list[Horizon]:
    """The layers from the top down to the depth of the soil; the last one reaches the bottom."""
    if not soil.layer:
        return [_horizon(described(soil), soil.depth_m)]
    parts = []
    top_m = 0.0
    for number, layer in enumerate(soil.layer):
        thickness_m = min(layer.thickness_m, soil.depth_m - top_m)
        if number == len(soil.layer) - 1:
            thickness_m = soil.depth_m - top_m
        if thickness_m <= 0.0:
            break
        parts.append(_layer(layer, thickness_m))
        top_m += thickness_m
    return parts


def _horizon(found: SoilProperties, thickness_m: float) -> Horizon:
    return Horizon(
        thickness_m=thickness_m,
        theta_fc=found.theta_fc,
        theta_wp=found.theta_wp,
        ks_m_d=found.ks_m_d,
        drainage_time_d=found.drainage_time_d,
        material=found,
    )


def _layer(layer: SoilLayer, thickness_m: float) -> Horizon:
    """A layer; of one described by its retention curve, field capacity is where it drains to."""
    if not layer.has_curve:
        return _horizon(described(layer), thickness_m)
    keys = ("theta_r", "theta_s", "alpha_per_m", "n", "ks_m_d", "pore_connectivity")
    known = {key: value for key in keys if (value := getattr(layer, key)) is not None}
    vg = VanGenuchten(**known)
    theta_wp = vg.theta_wp() if layer.theta_wp is None else layer.theta_wp
    time_d = layer.drainage_time_d
    if time_d is None:
        after_2_d = layer.theta_fc or _drained(vg, 2.0)
        time_d = default_drainage_d(nearest_class(after_2_d, theta_wp))
    return Horizon(
        thickness_m=thickness_m,
        theta_fc=_drained(vg, time_d) if layer.theta_fc is None else layer.theta_fc,
        theta_wp=theta_wp,
        ks_m_d=vg.ks_m_d,
        drainage_time_d=time_d,
        material=vg,
    )


def _drained(hydraulics: VanGenuchten, time_d: float) -> float:
    """Water content after so many days of free drainage."""
    from levada.sim.soil.drainage import drains_to  # loads the compiled model

    return drains_to(hydraulics, (time_d,))[0]


def described(soil: Soil | SoilLayer) -> SoilProperties:
    """The soil that a texture, fractions or water contents describe.

    Raises ValueError for measured contents that no curve can meet.
    """
    if soil.theta_fc is not None and soil.theta_wp is not None:
        return by_contents(
            theta_fc=soil.theta_fc, theta_wp=soil.theta_wp, texture=soil.texture, **soil.given()
        )
    if soil.texture is not None:
        return by_class(soil.texture, **soil.given())
    sand, silt, clay = (getattr(soil, f"{name}_pct", None) for name in ("sand", "silt", "clay"))
    if sand is not None and silt is not None and clay is not None:
        return by_fractions(sand_pct=sand, silt_pct=silt, clay_pct=clay, **soil.given())
    raise ValueError("soil has no description")  # the scenario's checks rule it out


def field_capacity(soil: Soil) -> float:
    """Water content at field capacity, mean over depth [m3 m-3]."""
    return _mean(soil, [h.theta_fc for h in horizons(soil)])


def wilting_point(soil: Soil) -> float:
    """Water content at the wilting point, mean over depth [m3 m-3]."""
    return _mean(soil, [h.theta_wp for h in horizons(soil)])


def at_depth(soil: Soil, depth_m: float) -> Horizon:
    """The layer at a depth; a probe is calibrated for the one it sits in."""
    bottom_m = 0.0
    found = horizons(soil)
    for horizon in found:
        bottom_m += horizon.thickness_m
        if depth_m <= bottom_m:
            return horizon
    return found[-1]


def _mean(soil: Soil, values: Sequence[float]) -> float:
    parts = [h.thickness_m for h in horizons(soil)]
    return float(np.average(values, weights=parts))


def rew_mm(soil: Soil) -> float:
    """Readily evaporable water, FAO-56 Table 19 [mm]."""
    if soil.rew_mm is not None:
        return soil.rew_mm
    top = horizons(soil)[0]
    if isinstance(top.material, SoilProperties):
        return top.material.rew_mm
    return CLASSES[nearest_class(top.theta_fc, top.theta_wp)].rew_mm


_NOT_NUMBERS: Final = (
    "name",
    "planting",
    "harvest",
    "feddes_m",
    "feddes_like",
    "ky",
    "ky_stages",
    "yield_t_ha",
    "critical_stress_index",
)


def crop(wanted: PlantedCrop) -> Crop:
    """The crop of a scenario: by name, by numbers, or by name with some numbers changed."""
    given = {key: value for key, value in wanted if value is not None and key not in _NOT_NUMBERS}
    if wanted.name is not None:
        return crops.crop(wanted.name, **given)
    return Crop(name="crop", **given)


def bucket(zones: Sequence[ZoneConfig], zr_m: Sequence[float]) -> Bucket:
    """The zones as one bucket model; `zr_m` is the root depth at the start."""
    columns: dict[str, list[object]] = {}
    most = max(len(horizons(zone.soil)) for zone in zones)
    for zone, roots_m in zip(zones, zr_m, strict=True):
        soil = zone.soil
        intake = soil.intake_mm_h
        if intake is None:
            intake = horizons(soil)[0].ks_m_d * 1000.0 / 24.0
        row = {
            **_by_layer(soil, roots_m, most),
            "profile_m": soil.depth_m,
            "zr_m": roots_m,
            "depletion_fraction": crop(zone.crop).depletion_fraction,
            "ze_m": min(EVAPORATING_M, roots_m),
            "rew_mm": rew_mm(soil),
            "intake_mm_h": intake,
            "wetted": zone.valve.wetted_fraction,
            "probe_depth_m": zone.probe.depth_m,
        }
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    arguments: dict[str, Any] = {key: np.array(values) for key, values in columns.items()}
    return Bucket(len(zones), **arguments)


def _by_layer(soil: Soil, roots_m: float, count: int) -> dict[str, list[float]]:
    """What a bucket is told of its layers; layers of no height fill up to `count`."""
    rows: dict[str, list[float]] = {}
    found = horizons(soil)
    top_m = 0.0
    for number in range(count):
        h = found[min(number, len(found) - 1)]
        bottom_m = soil.depth_m if number >= len(found) - 1 else top_m + h.thickness_m
        middle_m = min(max(roots_m, top_m), bottom_m)
        row = {
            "bottom_m": bottom_m,
            "theta_fc": h.theta_fc,
            "theta_wp": h.theta_wp,
            "theta": _initial_theta(soil, top_m, middle_m, h.theta_fc, h.theta_wp),
            "theta_below": _initial_theta(soil, middle_m, bottom_m, h.theta_fc, h.theta_wp),
        }
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
        top_m = bottom_m
    return rows


def _initial_theta(soil: Soil, top_m: float, bottom_m: float, fc: float, wp: float) -> float:
    """Mean water content between two depths; the bucket has no suction, so no heads."""
    initial = soil.initial
    depths_m = np.linspace(top_m, bottom_m, 101)
    given = np.interp(depths_m, initial.depths_m, initial.values)
    value = min(float(given.mean()), float(given.max()))  # the mean of equal ones may be above them
    if initial.quantity == "available_pct":
        value = wp + (fc - wp) * value / 100.0
    return value


_INITIAL: Final = {
    "available_pct": ("available", 0.01),
    "theta": ("theta", 1.0),
    "head_m": ("head_m", 1.0),
    "water_table_m": ("water_table_m", 1.0),
}
"""Quantity of a scenario -> that of `levada.sim.soil.richards` and the factor between them."""


def richards_profile(zone: ZoneConfig) -> SoilProfile:
    """One zone as a column of Richards' equation."""
    from levada.sim.soil.richards_profile import Bottom, InitialProfile, Layer, SoilProfile, Surface

    soil = zone.soil
    initial = soil.initial
    quantity, scale = _INITIAL[initial.quantity]
    return SoilProfile(
        layers=[
            Layer(
                thickness_m=h.thickness_m,
                soil=h.hydraulics,
                theta_fc=h.theta_fc,
                theta_wp=h.theta_wp,
            )
            for h in horizons(soil)
        ],
        initial=InitialProfile(
            quantity=quantity,  # type: ignore[arg-type]
            values=[v * scale for v in initial.values],
            depths_m=list(initial.depths_m),
        ),
        surface=Surface(
            ponding_max_mm=soil.ponding_max_mm, wetted_fraction=zone.valve.wetted_fraction
        ),
        bottom=Bottom(kind=soil.bottom.replace("-", "_"), head_m=soil.bottom_head_m or 0.0),  # type: ignore[arg-type]
        feddes=feddes(zone.crop),
        critical_stress_index=zone.crop.critical_stress_index,
        probe_depth_m=zone.probe.depth_m,
        probe_half_height_m=max(zone.probe.half_height_m, 1e-3),
    )


def richards(zones: Sequence[ZoneConfig]) -> Richards:
    """The zones as one model of Richards' equation; they have equally many cells."""
    from levada.sim.soil.richards import Richards

    cells = max(zone.soil.cells for zone in zones)
    profiles = [richards_profile(zone) for zone in zones]
    return Richards(profiles, cells=cells, top_cell_m=TOP_CELL_M * DEFAULT_CELLS / cells)


def feddes(wanted: PlantedCrop) -> Feddes:
    """Suctions at which the crop of a scenario takes less water: its own, those of its group, or,
    of a crop by numbers, those of maize.
    """
    if wanted.feddes_m is not None:
        return Feddes(**dict(zip(_HEADS, wanted.feddes_m, strict=True)))
    return feddes_of(wanted.feddes_like or wanted.name or "") or FEDDES["maize"]


_HEADS: Final = (
    "anaerobic_m",
    "optimal_wet_m",
    "optimal_dry_high_m",
    "optimal_dry_low_m",
    "wilting_m",
)


def heads(zone: ZoneConfig) -> tuple[float, ...]:
    """The five pressure heads of `feddes` [m], falling; none for the bucket, which has no heads."""
    if zone.soil.model == "bucket":
        return ()
    found = feddes(zone.crop)
    return tuple(getattr(found, name) for name in _HEADS)


def summary(zone: ZoneConfig) -> list[dict[str, float]]:
    """What the layers were taken to be, from the top: the numbers behind a texture or contents.

    With `richards` also the hydraulic functions, and to what they drain from saturation.
    """
    return [_numbers(h, curves=zone.soil.model == "richards") for h in horizons(zone.soil)]


def _numbers(h: Horizon, *, curves: bool) -> dict[str, float]:
    found = {
        "thickness_m": h.thickness_m,
        "theta_fc": h.theta_fc,
        "theta_wp": h.theta_wp,
        "ks_m_d": h.ks_m_d,
    }
    if not curves:
        return found
    vg = h.hydraulics
    found |= {"theta_r": vg.theta_r, "theta_s": vg.theta_s}
    found |= {"alpha_per_m": vg.alpha_per_m, "n": vg.n, "pore_connectivity": vg.pore_connectivity}
    if isinstance(vg, StructuredSoil):
        found |= {"theta_m": vg.theta_m, "matrix_ks_m_d": vg.matrix_ks_m_d}
    found |= {f"theta_{day:g}_d": theta for day, theta in zip(SHOWN_D, _drains(h), strict=True)}
    return found


def _drains(h: Horizon) -> tuple[float, ...]:
    from levada.sim.soil.drainage import drains_to  # loads the compiled model

    return drains_to(h.hydraulics, SHOWN_D)


def drainage(zones: Sequence[ZoneConfig]) -> list[str]:
    """To what every layer of Richards soils drains from saturation; one sentence each."""
    return list(dict.fromkeys(text for zone in zones for text in _layers(zone)))


def _layers(zone: ZoneConfig) -> Iterator[str]:
    if zone.soil.model != "richards":
        return
    found = horizons(zone.soil)
    for number, h in enumerate(found, start=1):
        name = f"layer {number} of zone {zone.group}" if len(found) > 1 else f"zone {zone.group}"
        values = ", ".join(
            f"{theta:.3f} after {day:g} d" for day, theta in zip(SHOWN_D, _drains(h), strict=True)
        )
        yield f"{name} drains from saturation to {values}; field capacity {h.theta_fc:.3f}"


def notes(zones: Sequence[ZoneConfig]) -> list[str]:
    """What a scenario leaves open and is taken to be so, or is left out; one sentence each."""
    said: dict[str, str | None] = {}
    for zone in zones:
        for number in range(len(horizons(zone.soil)), len(zone.soil.layer)):
            said[f"{zone.group} {number}"] = (
                f"layer {number + 1} of zone {zone.group} has no effect: it lies below the soil, "
                f"{zone.soil.depth_m:g} m deep"
            )
        said.update(dict.fromkeys(_far_from_stated(zone)))
        wanted = zone.crop
        if zone.soil.model != "richards" or wanted.feddes_m or wanted.feddes_like:
            continue
        if wanted.name not in FEDDES:
            name = wanted.name or "a crop by numbers"
            kin = LIKE.get(name)
            said[name] = (
                f"{name}: no suctions are known at which it suffers, so those of "
                f"{f'{kin.crop} ({kin.why})' if kin else 'maize'} are taken; "
                "`feddes_m` or `feddes_like` in [zone.crop] sets others"
            )
    return [text or key for key, text in said.items()]


def _far_from_stated(zone: ZoneConfig) -> Iterator[str]:
    """Layers that do not drain to the field capacity they are said to have."""
    if zone.soil.model != "richards":
        return
    for number, h in enumerate(horizons(zone.soil), start=1):
        theta = _drained(h.hydraulics, h.drainage_time_d)
        if abs(theta - h.theta_fc) <= _FAR:
            continue
        remedy = (
            "a higher `ks_m_d`, a lower `theta_s` or a longer `drainage_time_d`"
            if theta > h.theta_fc
            else "a higher `theta_s`, a lower `ks_m_d` or a shorter `drainage_time_d`"
        )
        yield (
            f"layer {number} of zone {zone.group} drains to {theta:.3f} in {h.drainage_time_d:g} "
            f"d, not to its field capacity of {h.theta_fc:.3f}; {remedy} brings it nearer"
        )
