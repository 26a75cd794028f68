"""The soil of a scenario as one of the models: textures, fractions, contents or layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from sim import crop as crops
from sim.bucket import Bucket
from sim.hydraulics import VanGenuchten
from sim.texture import CLASSES, by_class, by_fractions
from sim.texture import Soil as Described

if TYPE_CHECKING:
    from sim.richards import Profile
    from sim.scenario import ZoneConfig
    from sim.scenario_soil import Soil, SoilLayer
    from sim.scenario_zone import Crop

__all__ = [
    "Horizon",
    "at_depth",
    "bucket",
    "crop",
    "described",
    "field_capacity",
    "horizons",
    "rew_mm",
    "richards_profile",
    "wilting_point",
]

EVAPORATING_M: Final = 0.10
"""Ze, FAO-56 p. 144: 0.10 to 0.15 m."""
THETA_S_MOST: Final = 0.95
"""More water than this no soil holds, not even peat."""


class Horizon(NamedTuple):
    """One layer of the soil of a zone."""

    thickness_m: float
    hydraulics: VanGenuchten
    theta_fc: float
    """Water content at field capacity."""
    theta_wp: float
    """Water content at the wilting point."""


def horizons(soil: Soil) -> list[Horizon]:
    """The layers from the top down to the depth of the soil; the last one reaches the bottom."""
    if not soil.layer:
        found = described(soil)
        return [Horizon(soil.depth_m, found.hydraulics, found.theta_fc, found.theta_wp)]
    parts = []
    top_m = 0.0
    for number, layer in enumerate(soil.layer):
        thickness_m = min(layer.thickness_m, soil.depth_m - top_m)
        if number == len(soil.layer) - 1:
            thickness_m = soil.depth_m - top_m
        if thickness_m <= 0.0:
            break
        parts.append(_horizon(layer, thickness_m))
        top_m += thickness_m
    return parts


def _horizon(layer: SoilLayer, thickness_m: float) -> Horizon:
    vg = VanGenuchten(
        theta_r=layer.theta_r,
        theta_s=layer.theta_s,
        alpha_per_m=layer.alpha_per_m,
        n=layer.n,
        ks_m_d=layer.ks_m_d,
        pore_connectivity=layer.pore_connectivity,
    )
    return Horizon(
        thickness_m,
        vg,
        vg.theta_fc() if layer.theta_fc is None else layer.theta_fc,
        vg.theta_wp() if layer.theta_wp is None else layer.theta_wp,
    )


def described(soil: Soil) -> Described:
    """The soil that a texture, fractions or water contents describe; of layers, the top one.

    Measured field capacity and wilting point are met exactly: alpha, n and Ks are those of the
    texture class that comes nearest, theta_r and theta_s are moved until its retention curve goes
    through both points.  A class with which that is not possible is passed over; if no class is
    left, clay's curve goes through field capacity only.
    """
    if soil.layer:
        top = horizons(soil)[0]
        near = _by_distance(top.theta_fc, top.theta_wp)[0]
        return Described(top.theta_fc, top.theta_wp, near.rew_mm, top.hydraulics)
    if soil.texture is not None:
        return by_class(soil.texture)
    if soil.sand_pct is not None and soil.silt_pct is not None and soil.clay_pct is not None:
        return by_fractions(sand_pct=soil.sand_pct, silt_pct=soil.silt_pct, clay_pct=soil.clay_pct)
    if soil.theta_fc is None or soil.theta_wp is None:
        raise ValueError("soil has no description")  # the scenario's checks rule it out
    for near in _by_distance(soil.theta_fc, soil.theta_wp):
        curve = _moved(near, soil.theta_fc, soil.theta_wp)
        if curve is not None:
            return Described(soil.theta_fc, soil.theta_wp, near.rew_mm, curve)
    clay = by_class("clay")
    vg = clay.hydraulics
    s_fc = (clay.theta_fc - vg.theta_r) / (vg.theta_s - vg.theta_r)
    curve = replace(vg, theta_r=0.0, theta_s=max(soil.theta_fc / s_fc, 0.05))
    return Described(soil.theta_fc, soil.theta_wp, clay.rew_mm, curve)


def _moved(near: Described, theta_fc: float, theta_wp: float) -> VanGenuchten | None:
    """The curve of a class, its ends moved so that it goes through both points, or None."""
    vg = near.hydraulics
    span = vg.theta_s - vg.theta_r
    s_fc = (near.theta_fc - vg.theta_r) / span
    s_wp = (near.theta_wp - vg.theta_r) / span
    stretched = (theta_fc - theta_wp) / (s_fc - s_wp)
    theta_r = theta_wp - s_wp * stretched
    if theta_r < 0.0 or theta_r + stretched > THETA_S_MOST:
        return None
    return replace(vg, theta_r=theta_r, theta_s=theta_r + stretched)


def _by_distance(theta_fc: float, theta_wp: float) -> list[Described]:
    def distance(soil: Described) -> float:
        return (soil.theta_fc - theta_fc) ** 2 + (soil.theta_wp - theta_wp) ** 2

    return sorted((by_class(name) for name in CLASSES), key=distance)


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
    return described(soil).rew_mm if soil.rew_mm is None else soil.rew_mm


def crop(wanted: Crop) -> crops.Crop:
    """The crop of a scenario: by name, by numbers, or by name with some numbers changed."""
    given = {
        key: value
        for key, value in wanted
        if value is not None and key not in ("name", "planting", "harvest")
    }
    if wanted.name is not None:
        return crops.crop(wanted.name, **given)
    return crops.Crop(name="crop", **given)


def bucket(zones: Sequence[ZoneConfig], zr_m: Sequence[float]) -> Bucket:
    """The zones as one bucket model; `zr_m` is the root depth at the start."""
    columns: dict[str, list[float]] = {}
    for zone, roots_m in zip(zones, zr_m, strict=True):
        soil = zone.soil
        fc, wp = field_capacity(soil), wilting_point(soil)
        intake = soil.intake_mm_h
        if intake is None:
            intake = horizons(soil)[0].hydraulics.ks_m_d * 1000.0 / 24.0
        row = {
            "theta_fc": fc,
            "theta_wp": wp,
            "profile_m": soil.depth_m,
            "zr_m": roots_m,
            "theta": _initial_theta(soil, 0.0, roots_m, fc, wp),
            "theta_below": _initial_theta(soil, roots_m, soil.depth_m, fc, wp),
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


def _initial_theta(soil: Soil, top_m: float, bottom_m: float, fc: float, wp: float) -> float:
    """Mean water content between two depths; the bucket has no suction, so no heads."""
    initial = soil.initial
    depths_m = np.linspace(top_m, max(bottom_m, top_m), 101)
    value = float(np.interp(depths_m, initial.depths_m, initial.values).mean())
    if initial.quantity == "available_pct":
        value = wp + (fc - wp) * value / 100.0
    # the bucket lets water above field capacity pass at once
    return min(value, fc)


_INITIAL: Final = {
    "available_pct": ("available", 0.01),
    "theta": ("theta", 1.0),
    "head_m": ("head_m", 1.0),
    "water_table_m": ("water_table_m", 1.0),
}
"""Quantity of a scenario -> that of `sim.richards` and the factor between them."""


def richards_profile(zone: ZoneConfig) -> Profile:
    """One zone as a column of Richards' equation."""
    from sim.richards import Bottom, Initial, Layer, Profile, Surface

    soil = zone.soil
    initial = soil.initial
    quantity, scale = _INITIAL[initial.quantity]
    return Profile(
        layers=[
            Layer(
                thickness_m=h.thickness_m,
                soil=h.hydraulics,
                theta_fc=h.theta_fc,
                theta_wp=h.theta_wp,
            )
            for h in horizons(soil)
        ],
        initial=Initial(
            quantity=quantity,  # type: ignore[arg-type]
            values=[v * scale for v in initial.values],
            depths_m=list(initial.depths_m),
        ),
        surface=Surface(
            ponding_max_mm=soil.ponding_max_mm, wetted_fraction=zone.valve.wetted_fraction
        ),
        bottom=Bottom(kind=soil.bottom.replace("-", "_"), head_m=soil.bottom_head_m or 0.0),  # type: ignore[arg-type]
        feddes=_feddes(zone.crop.name),
        probe_depth_m=zone.probe.depth_m,
        probe_half_height_m=max(zone.probe.half_height_m, 1e-3),
    )


def _feddes(crop: str | None) -> Any:
    from sim.uptake import FEDDES

    return FEDDES.get(crop or "maize", FEDDES["maize"])
