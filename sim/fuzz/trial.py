"""Runs one case as `levada run` would, without leaving files, and judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from levada.sim import weather as weathers
from levada.sim.fuzz.case import Base
from levada.sim.fuzz.decisions import Feature, features, runs_of
from levada.sim.fuzz.properties import expectations
from levada.sim.run.build import NodeMaker, node_settings
from levada.sim.run.clock import new_clock
from levada.sim.run.field import Field
from levada.sim.run.judge import Outcome, evaluate
from levada.sim.run.plant import Plant
from levada.sim.run.runner import climate, generated_weather, nodes_of, read_weather
from levada.sim.run.trace import INDEX, TYPES, Trace
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.expect import Expect
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.model import Scenario

if TYPE_CHECKING:
    from levada.sim.weather.generator import Climate

__all__ = ["Broken", "Trial", "Weathers", "run_data"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A property that did not hold: its first broken expectation."""

    table: dict[str, Any]
    """The `[[expect]]` table."""
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What came out of a case."""

    judged: frozenset[str]
    """Keys of the properties that could be judged."""
    broken: Mapping[str, Broken]
    """By key of the property."""
    covered: set[Feature]


def run_data(
    base: Base, data: dict[str, Any], made: Weathers, make_node: NodeMaker | None = None
) -> Trial:
    """Run scenario data without expectations, paths absolute.

    Raises ValidationError if they are no scenario, and what a run raises.
    """
    bare = Scenario.model_validate(data)
    zones = expand(bare)
    asked = expectations(bare, zones, base.info)
    tables = [(key, table) for key, several in asked.items() for table in several]
    expects = tuple(Expect.model_validate(table) for _, table in tables)
    scenario = bare.model_copy(update={"expect": expects})
    trace, tapes = _run(base, scenario, zones, made.of(scenario), make_node)
    outcomes = evaluate(scenario, trace, zones)
    broken: dict[str, Broken] = {}
    for (key, table), outcome in zip(tables, outcomes, strict=True):
        if not outcome.passed:
            broken.setdefault(key, Broken(table=table, outcome=outcome))
    covered = set().union(*(features(runs_of(tape)) for tape in tapes))
    return Trial(judged=frozenset(asked), broken=broken, covered=covered)


def _run(
    base: Base,
    scenario: Scenario,
    zones: list[ZoneConfig],
    weather: weathers.Weather,
    make_node: NodeMaker | None,
) -> tuple[Trace, list[bytes]]:
    """Trace and tapes of a run."""
    settings = [node_settings(zone, base.module, base.info, scenario) for zone in zones]
    inside, outside = nodes_of(settings, make_node)
    native_zones = [i for i in range(len(zones)) if i not in outside]
    tapes: list[list[bytes]] = [[] for _ in zones]
    rows = []
    plant = Plant(
        scenario,
        zones,
        weather,
        inside,
        native_zones,
        outside,
        lambda zone, tape: tapes[zone].append(tape),
        threads=1,
        settings=settings,
    )

    def record(_now_ms: int) -> None:
        rows.append(plant.take_rows())
        if inside is not None:
            for k, zone in enumerate(native_zones):
                tapes[zone].append(inside.drain_tape(k))

    try:
        faults = timeline(scenario, zones)
        Field(new_clock(None), plant, faults=faults, recorder=record).run()
    finally:
        plant.close()
        for node in outside.values():
            node.close()
    return _trace(np.concatenate(rows)), [b"".join(parts) for parts in tapes]


def _trace(rows: np.ndarray[Any, np.dtype[np.float64]]) -> Trace:
    """The rows as a trace that was written and read."""
    order = np.lexsort((rows[:, INDEX["time_ms"]], rows[:, INDEX["zone"]]))
    return {name: rows[order, INDEX[name]].astype(kind) for name, kind in TYPES.items()}


class Weathers:
    """The weather of cases: a file is read once a period, and a generator fitted once to it."""

    def __init__(self) -> None:
        self._measured: dict[tuple[str, date, date], weathers.Weather] = {}
        self._climates: dict[str, Climate] = {}

    def of(self, scenario: Scenario) -> weathers.Weather:
        """The weather of a scenario; raises WeatherError."""
        period, source = scenario.period, scenario.weather
        if source.generator is None:
            key = (source.source, period.start, period.end)
            if key not in self._measured:
                self._measured[key] = read_weather(scenario)
            return self._measured[key]
        if source.source not in self._climates:
            self._climates[source.source] = climate(scenario)
        return generated_weather(scenario, self._climates[source.source])
