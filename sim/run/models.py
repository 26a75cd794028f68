"""What the models refuse of a scenario whose every table is right by itself.

A general range of the file can be wider than that of a model: water contents of one soil's pores,
roots in a shallow soil.  Every model of every zone is made once, as a run makes it, so that `lint`
says what a run would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from levada.sim.crop import crop as crops
from levada.sim.run import soils
from levada.sim.run.build import believed_counts, node_power
from levada.sim.settings.issue import Issue

if TYPE_CHECKING:
    from levada.sim.scenario.expand import ZoneConfig
    from levada.sim.scenario.model import Scenario
    from levada.sim.weather import Weather

__all__ = ["notes", "refused"]

_KEYS: dict[str, tuple[str, str]] = {
    "zr_m": ("crop", "zr_min_m"),
    "ze_m": ("crop", "zr_min_m"),
    "theta": ("soil", "initial"),
    "theta_below": ("soil", "initial"),
    "profile_m": ("soil", "depth_m"),
    "probe_depth_m": ("probe", "depth_m"),
    "probe_half_height_m": ("probe", "half_height_m"),
    "wetted": ("valve", "wetted_fraction"),
}
"""Names of the models that scenario files call otherwise."""
_NAME = re.compile(r"\w+")


def _told(zone: ZoneConfig) -> None:
    """Raise ValueError if the node could not tell a dry soil from a wet one."""
    dry, wet, _ = believed_counts(zone)
    if dry == wet:
        raise ValueError(
            f"`dry_counts` and `wet_counts` come to the same, {dry} counts, at the wilting point "
            "and at field capacity: the node cannot tell dry from wet"
        )


def _powered(zone: ZoneConfig) -> None:
    """Raise ValueError if the node would be off from the start and nothing could wake it."""
    power = node_power(zone)
    if power.battery == "none" or power.solar_w > 0.0:
        return
    volts = power.first_v
    if volts * 1000.0 < power.cutoff_mv:
        raise ValueError(
            f"`initial_charge` = {power.initial_charge:g}: the battery begins at "
            f"{volts * 1000.0:.0f} mV, below `cutoff_mv` = {power.cutoff_mv:g} mV, and with "
            "`solar_w` = 0 the node would never start"
        )
    if power.initial_charge == 0.0:
        raise ValueError(
            "`initial_charge` = 0: the battery is empty, and with `solar_w` = 0 the node would "
            "never start"
        )


def notes(scenario: Scenario, zones: Sequence[ZoneConfig]) -> list[str]:
    """What the models take and may still not be meant; once for each `[[zone]]`."""
    said: dict[tuple[str, int], str] = {}
    for zone in zones:
        for kind, note in enumerate(
            (_grown(scenario, zone), _rooted(zone), _limited(zone), _tall(zone))
        ):
            if note:
                said.setdefault((zone.group, kind), f"zone {zone.name}: {note}")
    return list(said.values())


def _grown(scenario: Scenario, zone: ZoneConfig) -> str:
    wanted = zone.crop
    if wanted.growth == "degree-days" and wanted.harvest is None:
        return ""
    over = wanted.harvest or wanted.planting + timedelta(days=sum(soils.crop(wanted).stages))
    if over > scenario.period.start:
        return ""
    return (
        f"no crop in the period, the ground is bare: {wanted.name or 'the crop'}, planted "
        f"{wanted.planting}, ended {over}"
    )


def _rooted(zone: ZoneConfig) -> str:
    crop, soil_m = soils.crop(zone.crop), zone.soil.depth_m
    deepest_m = min(crop.zr_max_m, soil_m)
    if zone.probe.depth_m > deepest_m:
        return (
            f"the probe at {zone.probe.depth_m:g} m lies below the deepest roots, {deepest_m:g} m"
        )
    if crop.zr_max_m > soil_m:
        return (
            f"roots of {zone.crop.name or 'the crop'} could reach {crop.zr_max_m:g} m and end with "
            f"the soil at {soil_m:g} m (`depth_m` in [zone.soil])"
        )
    return ""


def _tall(zone: ZoneConfig) -> str:
    if zone.crop.reference == "short":
        return ""
    return "crop coefficients for alfalfa: `et0_mm` of the zone is ETr of the tall reference"


def _limited(zone: ZoneConfig) -> str:
    dry, wet, limit = believed_counts(zone)
    if min(dry, wet) <= limit <= max(dry, wet):
        return ""
    return (
        f"`limit_counts` = {limit} counts: not between what the guest takes as 100 %, {wet} "
        f"counts, and as 0 %, {dry} counts"
    )


def refused(scenario: Scenario, zones: list[ZoneConfig], weather: Weather) -> Iterator[Issue]:
    """The first thing that a model refuses in each `[[zone]]`; paths from the top of the file."""
    tables = [table.name for table in scenario.zone]
    refusing: set[str] = set()
    taken: set[object] = set()
    seasons: dict[object, crops.Season] = {}
    for zone in zones:
        if zone.group in refusing:
            continue
        i = tables.index(zone.group)
        for part, (of, make) in _models(zone, weather, seasons).items():
            if (part, of) in taken:
                continue
            try:
                make()
            except ValueError as error:
                path = _path(part, str(error), scenario.zone[i])
                yield Issue(("zone", i, *path), f"zone {zone.name}: {error}")
                refusing.add(zone.group)
                break
            taken.add((part, of))


def _models(
    zone: ZoneConfig, weather: Weather, seasons: dict[object, crops.Season]
) -> dict[str, tuple[object, Callable[[], object]]]:
    """Part of the zone -> what its model depends on, and how it is made."""
    probe_m = (zone.probe.depth_m, zone.probe.half_height_m)
    soil = (zone.soil, zone.crop, probe_m, zone.valve.wetted_fraction)

    def season() -> crops.Season:
        if zone.crop not in seasons:
            seasons[zone.crop] = crops.season(
                soils.crop(zone.crop),
                weather,
                planting=zone.crop.planting,
                harvest=zone.crop.harvest,
            )
        return seasons[zone.crop]

    return {
        "soil": (zone.soil, lambda: _initial_water(zone)),
        "crop": (zone.crop, season),
        "soil.model": (soil, lambda: _soil(zone, float(season().zr_m[0]))),
        "probe": ((zone.probe, zone.calibration, zone.soil, zone.crop), lambda: _told(zone)),
        "energy": (zone.energy, lambda: _powered(zone)),
    }


def _soil(zone: ZoneConfig, zr_m: float) -> object:
    if zone.soil.model == "bucket":
        if zr_m > zone.soil.depth_m:
            raise ValueError(
                f"zr_m = {zr_m:g}: the roots at the start reach below the soil of "
                f"{zone.soil.depth_m:g} m"
            )
        return soils.bucket([zone], [zr_m])
    from levada.sim.soil.richards_profile import graded_cells

    return graded_cells(soils.richards_profile(zone).layers, zone.soil.cells)


def _initial_water(zone: ZoneConfig) -> None:
    """Raise ValueError if the water of the start does not fit into the pores of a layer."""
    initial = zone.soil.initial
    if zone.soil.model == "bucket" or initial.quantity not in ("theta", "available_pct"):
        return
    top_m = 0.0
    for h in soils.horizons(zone.soil):
        depths_m = np.linspace(top_m, top_m + h.thickness_m, 101)[1:-1]
        given = np.interp(depths_m, initial.depths_m, initial.values)
        theta = given
        if initial.quantity == "available_pct":
            theta = h.theta_wp + given / 100.0 * (h.theta_fc - h.theta_wp)
        low, high = h.hydraulics.theta_r, h.hydraulics.theta_s
        wrong = (theta <= low) | (theta > high)
        if wrong.any():
            at = int(np.argmax(wrong))
            makes = "" if theta is given else f", a water content of {theta[at]:.3f}"
            raise ValueError(
                f"`{initial.quantity}` = {given[at]:g}{makes}: permitted above {low:g} and at most "
                f"{high:g} in the pores of this soil at {depths_m[at]:.2f} m"
            )
        top_m += h.thickness_m


def _path(part: str, message: str, table: Any) -> tuple[str | int, ...]:
    """The key that a message names first and the file has, or the table."""
    for name in _NAME.findall(message):
        where, key = _KEYS.get(name, (part.split(".")[0], name))
        if where == "soil" and (key == "initial" or key in type(table.soil.initial).model_fields):
            quantity = table.soil.initial.quantity
            if key in ("initial", quantity):
                return "soil", "initial", quantity
        if key in type(getattr(table, where)).model_fields:
            return where, key
    return (part.split(".")[0],)
