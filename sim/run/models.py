"""What the models refuse of a scenario whose every table is right by itself.

A general range of the file can be wider than that of a model: water contents of one soil's pores,
roots in a shallow soil.  Every model of every zone is made once, as a run makes it, so that `lint`
says what a run would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from levada.sim.crop import crop as crops
from levada.sim.run import soils
from levada.sim.run.build import node_power, probe, valve
from levada.sim.scenario.diagnostics import Trouble

if TYPE_CHECKING:
    from levada.sim.scenario.expand import ZoneConfig
    from levada.sim.scenario.model import Scenario
    from levada.sim.weather import Weather

__all__ = ["refused"]

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


def refused(scenario: Scenario, zones: list[ZoneConfig], weather: Weather) -> Iterator[Trouble]:
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
                yield Trouble(("zone", i, *path), f"zone {zone.name}: {error}")
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
        "probe": (zone.probe, lambda: probe(zone)),
        "valve": (zone.valve, lambda: valve(zone)),
        "energy": (zone.energy, lambda: node_power(zone)),
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

    return graded_cells(soils.richards_profile(zone).layers)


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
