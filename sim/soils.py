"""The soil of a scenario as one of the models: textures, fractions, contents or layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sim import crop as crops
from sim.bucket import Bucket
from sim.hydraulics import VanGenuchten
from sim.texture import CLASSES, by_class, by_fractions
from sim.texture import Soil as Described

if TYPE_CHECKING:
    from sim.richards import Profile
    from sim.scenario import ZoneConfig
    from sim.scenario_soil import Soil
    from sim.scenario_zone import Crop

__all__ = [
    "bucket",
    "crop",
    "described",
    "field_capacity",
    "layers",
    "richards_profile",
    "wilting_point",
]

EVAPORATING_M = 0.10
"""Ze, FAO-56 p. 144: 0.10 to 0.15 m."""


def layers(soil: Soil) -> list[tuple[float, VanGenuchten]]:
    """Thickness [m] and hydraulic functions of every horizon, down to the depth of the soil."""
    if not soil.layer:
        return [(soil.depth_m, described(soil).hydraulics)]
    found = []
    top_m = 0.0
    for number, layer in enumerate(soil.layer):
        thickness = min(layer.thickness_m, soil.depth_m - top_m)
        if number == len(soil.layer) - 1:
            thickness = soil.depth_m - top_m
        if thickness <= 0.0:
            break
        found.append(
            (
                thickness,
                VanGenuchten(
                    theta_r=layer.theta_r,
                    theta_s=layer.theta_s,
                    alpha_per_m=layer.alpha_per_m,
                    n=layer.n,
                    ks_m_d=layer.ks_m_d,
                    pore_connectivity=layer.pore_connectivity,
                ),
            )
        )
        top_m += thickness
    return found


def described(soil: Soil) -> Described:
    """The soil that a texture, fractions or water contents describe; of layers, the top one.

    Measured field capacity and wilting point are met exactly: alpha, n and Ks are those of the
    texture class that comes nearest, theta_r and theta_s are moved until its retention curve goes
    through both points.
    """
    if soil.layer:
        top = layers(soil)[0][1]
        near = _nearest(top.theta_fc(), top.theta_wp())
        return Described(top.theta_fc(), top.theta_wp(), near.rew_mm, top)
    if soil.texture is not None:
        return by_class(soil.texture)
    if soil.sand_pct is not None and soil.silt_pct is not None and soil.clay_pct is not None:
        return by_fractions(sand_pct=soil.sand_pct, silt_pct=soil.silt_pct, clay_pct=soil.clay_pct)
    if soil.theta_fc is None or soil.theta_wp is None:
        raise ValueError("soil has no description")  # the scenario's checks rule it out
    near = _nearest(soil.theta_fc, soil.theta_wp)
    vg = near.hydraulics
    span = vg.theta_s - vg.theta_r
    s_fc = (near.theta_fc - vg.theta_r) / span
    s_wp = (near.theta_wp - vg.theta_r) / span
    stretched = (soil.theta_fc - soil.theta_wp) / (s_fc - s_wp)
    theta_r = soil.theta_wp - s_wp * stretched
    if theta_r < 0.0:  # the dry end meets 0; the wilting point is then above the curve's
        theta_r, stretched = 0.0, soil.theta_fc / s_fc
    moved = replace(vg, theta_r=theta_r, theta_s=min(theta_r + stretched, 0.95))
    return Described(soil.theta_fc, soil.theta_wp, near.rew_mm, moved)


def _nearest(theta_fc: float, theta_wp: float) -> Described:
    def distance(soil: Described) -> float:
        return (soil.theta_fc - theta_fc) ** 2 + (soil.theta_wp - theta_wp) ** 2

    return min((by_class(name) for name in CLASSES), key=distance)


def field_capacity(soil: Soil) -> float:
    """Water content at field capacity, mean over depth [m3 m-3]."""
    if soil.layer:
        return _mean([(thickness, vg.theta_fc()) for thickness, vg in layers(soil)])
    return described(soil).theta_fc


def wilting_point(soil: Soil) -> float:
    """Water content at the wilting point, mean over depth [m3 m-3]."""
    if soil.layer:
        return _mean([(thickness, vg.theta_wp()) for thickness, vg in layers(soil)])
    return described(soil).theta_wp


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


def _mean(parts: Sequence[tuple[float, float]]) -> float:
    return sum(d * v for d, v in parts) / sum(d for d, _ in parts)


def bucket(zones: Sequence[ZoneConfig], zr_m: Sequence[float]) -> Bucket:
    """The zones as one bucket model; `zr_m` is the root depth at the start."""
    columns: dict[str, list[float]] = {}
    for zone, roots_m in zip(zones, zr_m, strict=True):
        soil = zone.soil
        fc, wp = field_capacity(soil), wilting_point(soil)
        intake = soil.intake_mm_h
        if intake is None:
            intake = layers(soil)[0][1].ks_m_d * 1000.0 / 24.0
        row = {
            "theta_fc": fc,
            "theta_wp": wp,
            "profile_m": soil.depth_m,
            "zr_m": roots_m,
            "theta": _initial_theta(soil, roots_m / 2.0, fc, wp),
            "theta_below": _initial_theta(soil, (roots_m + soil.depth_m) / 2.0, fc, wp),
            "ze_m": min(EVAPORATING_M, roots_m),
            "rew_mm": described(soil).rew_mm,
            "intake_mm_h": intake,
            "wetted": zone.valve.wetted_fraction,
            "probe_depth_m": zone.probe.depth_m,
        }
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    arguments: dict[str, Any] = {key: np.array(values) for key, values in columns.items()}
    return Bucket(len(zones), **arguments)


def _initial_theta(soil: Soil, depth_m: float, fc: float, wp: float) -> float:
    initial = soil.initial
    value = float(np.interp(depth_m, initial.depths_m, initial.values))
    if initial.quantity == "available_pct":
        value = wp + (fc - wp) * value / 100.0
    elif initial.quantity == "head_m":
        value = float(layers(soil)[0][1].theta(value))
    # the bucket lets water above field capacity pass at once
    return min(value, fc)


def richards_profile(zone: ZoneConfig) -> Profile:
    """One zone as a column of Richards' equation."""
    from sim.richards import Bottom, Initial, Layer, Profile, Surface

    soil = zone.soil
    horizons = [
        Layer(thickness_m=thickness, soil=vg, theta_fc=soil.theta_fc, theta_wp=soil.theta_wp)
        for thickness, vg in layers(soil)
    ]
    initial = soil.initial
    quantity, scale = {
        "available_pct": ("available", 0.01),
        "theta": ("theta", 1.0),
        "head_m": ("head_m", 1.0),
    }[initial.quantity]
    kind = {
        "free-drainage": "free_drainage",
        "zero-flux": "zero_flux",
        "head": "head",
        "seepage": "seepage_face",
    }[soil.bottom]
    return Profile(
        layers=horizons,
        initial=Initial(
            quantity=quantity,  # type: ignore[arg-type]
            values=[v * scale for v in initial.values],
            depths_m=list(initial.depths_m),
        ),
        surface=Surface(ponding_max_mm=soil.ponding_max_mm, wetted_fraction=zone.valve.wetted_fraction),
        bottom=Bottom(kind=kind, head_m=soil.bottom_head_m or 0.0),  # type: ignore[arg-type]
        feddes=_feddes(zone.crop.name),
        probe_depth_m=zone.probe.depth_m,
        probe_half_height_m=max(zone.probe.half_height_m, 1e-3),
    )


def _feddes(crop: str | None) -> Any:
    from sim.uptake import FEDDES

    return FEDDES.get(crop or "maize", FEDDES["maize"])
