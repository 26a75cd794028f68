"""The zones of a scenario, one by one: counted, named, and varied from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from levada.sim.scenario.diagnostics import Problem, ScenarioError
from levada.sim.scenario.model import Scenario
from levada.sim.scenario.node_url import NodeUrl
from levada.sim.scenario.soil import Soil
from levada.sim.scenario.zone import Calibration, PlantedCrop, Zone, spreadable
from levada.sim.seeds import normal
from levada.sim.settings.energy import Energy
from levada.sim.settings.explain import bounds, explain
from levada.sim.settings.probe import Probe
from levada.sim.settings.station import EtSource, Forecast, ZoneGauge
from levada.sim.settings.valve import Valve

__all__ = ["ZoneConfig", "expand"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneConfig:
    """One zone of the field, every number drawn."""

    name: str
    group: str
    """Name of the `[[zone]]` table it came from."""
    index: int
    area_m2: float
    node: NodeUrl
    soil: Soil
    crop: PlantedCrop
    probe: Probe
    calibration: Calibration
    valve: Valve
    supply: str | None
    energy: Energy
    rain_gauge: ZoneGauge | None
    forecast: Forecast | None
    et0: EtSource | None
    parameters: dict[str, int]


def expand(scenario: Scenario) -> list[ZoneConfig]:
    """All zones, in the order of the file; spreads drawn from the scenario's seed.

    A number with a relative standard deviation s becomes v (1 + s z), with z normal and cut at 3,
    then clipped to its permitted range.  Each key of each table has a stream of its own, so that
    another key, table, or a larger `count` changes nothing.  Raises ScenarioError if the drawn
    numbers contradict each other.
    """
    zones: list[ZoneConfig] = []
    for zone in scenario.zone:
        drawn = _draw(scenario.seed, zone)
        for i, name in enumerate(zone.names()):
            one = _with(zone, {key: values[i] for key, values in drawn.items()}, name)
            zones.append(
                ZoneConfig(
                    name=name,
                    group=zone.name,
                    index=len(zones),
                    area_m2=one.area_m2,
                    node=_node(scenario, zone, name),
                    soil=one.soil,
                    crop=one.crop,
                    probe=one.probe,
                    calibration=one.calibration,
                    valve=one.valve,
                    supply=one.supply,
                    energy=one.energy,
                    rain_gauge=one.rain_gauge,
                    forecast=one.forecast,
                    et0=one.et0,
                    parameters=dict(one.parameters),
                )
            )
    return zones


def _node(scenario: Scenario, zone: Zone, name: str) -> NodeUrl:
    """Where a guest runs: of a simulated node, `[edge]` says how."""
    node = zone.node_of(name)
    if scenario.edge.engine == "native" and node.kind in ("sim", "virtual") and not node.target:
        return NodeUrl(kind="virtual", target="native", trust=node.trust)
    return node


def _draw(seed: int, zone: Zone) -> dict[str, list[float]]:
    numbers = spreadable(zone)
    return {
        key: [
            numbers[key] * (1 + deviation * max(-3.0, min(3.0, z)))
            for z in normal(zone.count, seed, "spread", zone.name, key)
        ]
        for key, deviation in zone.spread.items()
    }


def _with(zone: Zone, numbers: Mapping[str, float], name: str) -> Zone:
    if not numbers:
        return zone
    data: dict[str, Any] = {key: value for key, value in zone}
    for key, value in numbers.items():
        part, _, inner = key.rpartition(".")
        table: Any = data[part] if part else zone
        kind = type(table)
        bounded = _clip(kind, inner, value, getattr(table, inner))
        if part:
            data[part] = table.model_copy(update={inner: bounded})
        else:
            data[inner] = bounded
    try:
        return Zone.model_validate(
            {key: dict(value) if key in _PARTS and value else value for key, value in data.items()}
        )
    except ValidationError as error:
        reasons = "; ".join(t.message for t in explain(error, Zone))
        raise ScenarioError(
            [
                Problem(
                    file=f"spread of zone {zone.name}",
                    line=0,
                    column=0,
                    key=f"zone.{zone.name}.spread",
                    message=f"makes zone {name} impossible: {reasons}",
                )
            ]
        ) from None


_PARTS: Final = ("soil", "crop", "probe", "valve", "energy", "rain_gauge", "et0")


def _clip(model: type[Any], key: str, value: float, nominal: float) -> float:
    """Into the permitted range; an open bound is kept away from by a millionth of the nominal."""
    field = model.model_fields[key]
    found = bounds(field) or {"low": None, "high": None}
    margin = abs(nominal) * 1e-6
    if found["low"] is not None:
        value = max(value, float(found["low"]) + margin * found.get("above", False))
    if found["high"] is not None:
        value = min(value, float(found["high"]) - margin * found.get("below", False))
    return round(value) if field.annotation is int else float(value)
