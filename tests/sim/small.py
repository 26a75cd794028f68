"""Runs of the small field, and plants of it whose nodes follow a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.sim.devices.energy import NodePower, NodePowers
from levada.sim.devices.probe import Probes
from levada.sim.devices.station import Stations
from levada.sim.devices.valve import Valves
from levada.sim.run.clock import new_clock
from levada.sim.run.field import Field
from levada.sim.run.plant import Plant
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import read_weather, run_scenario
from levada.sim.run.trace import INDEX, TYPES
from levada.sim.run.zone_columns import Devices
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.model import Scenario
from levada.sim.settings.valve import Valve
from levada.sim.weather import Days, Site, Weather, from_days
from levada.testing import ScriptedNode, small_field

ROOT = Path(__file__).resolve().parents[2]


def scenario(directory: Path, **parts: Any) -> Scenario:
    path = directory / "small.toml"
    path.write_text(small_field(**parts), encoding="utf-8")
    return scenarios.load(path)


def run(
    directory: Path, name: str = "run", *, options: dict[str, Any] | None = None, **parts: Any
) -> RunDir:
    """Run a small scenario, without a report."""
    loaded = scenario(directory, **parts)
    run_scenario(loaded, directory / name, report=False, **(options or {}))
    return RunDir(directory / name)


def column(run: RunDir, name: str, zone: int = 0) -> npt.NDArray[np.float64]:
    """One signal of one zone, in order of time."""
    rows = np.asarray(run.trace["zone"]) == zone
    values: npt.NDArray[np.float64] = np.asarray(run.trace[name], np.float64)[rows]
    return values


def reactor(step: str, segments: str = "") -> bytes:
    """A reactor guest in WebAssembly's text format, whose `step` has this body."""
    return bytes(
        wasmtime.wat2wasm(
            f"""(module
              (import "env" "set_output" (func $set_output (param i32 i32)))
              (import "env" "mqtt_publish" (func $mqtt_publish (param i32 i32) (result i32)))
              (memory (export "memory") 1)
              {segments}
              (func (export "abi_version") (result i32) i32.const 1)
              (func (export "init") (result i32) i32.const 0)
              (func (export "step") (result i32) {step}))"""
        )
    )


def rows_of(plant: Plant, rows: npt.NDArray[np.float64], zone: int) -> dict[str, Any]:
    """Columns of one zone of the rows that a plant gave."""
    mine = rows[rows[:, INDEX["zone"]] == zone]
    return {name: mine[:, i] for i, name in enumerate(TYPES)}


def new_plant(
    loaded: Scenario,
    script: Callable[[int], ScriptedNode],
    weather: Weather | None = None,
    **options: Any,
) -> tuple[Plant, list[ZoneConfig]]:
    """A plant whose zones have scripted nodes."""
    zones = expand(loaded)
    nodes = {i: script(i) for i in range(len(zones))}
    return (
        Plant(loaded, zones, weather or read_weather(loaded), None, [], nodes, **options),
        zones,
    )


def run_plant(
    loaded: Scenario, plant: Plant, zones: Sequence[ZoneConfig], slice_s: int = 86_400
) -> npt.NDArray[np.float64]:
    """Let a plant run under its faults; all rows of its trace."""
    parts = []
    field_ = Field(
        new_clock(None),
        plant,
        faults=timeline(loaded, zones),
        recorder=lambda _now: parts.append(plant.take_rows()),
        slice_s=slice_s,
    )
    field_.run()
    plant.close()
    return np.concatenate(parts)


def devices_of(probes: Probes, valves: Valves | None = None) -> Devices:
    """Arrays of zones with these probes and valves, and nodes on mains, as the loop takes them."""
    n = probes.n
    valves = valves or Valves([Valve()] * n, [100.0] * n)
    powers = NodePowers([NodePower(battery="none")] * n)
    stations = Stations([None] * n, [0] * n, [None] * n)
    return Devices(
        probes.parameters,
        probes.state,
        probes.keys,
        valves.parameters,
        valves.state,
        powers.parameters,
        powers.state,
        powers.work,
        np.zeros((n, 7), dtype=np.int32),
        stations.parameters,
        stations.state,
    )


def made_weather(start: str, rain_mm: Sequence[float], tmax_c: Sequence[float]) -> Weather:
    """Weather of days with this rain and this heat."""
    n = len(rain_mm)
    first = np.datetime64(start, "ms").astype(np.int64)
    tmax = np.array(tmax_c, np.float64)
    return from_days(
        Days(
            time_ms=first + 86_400_000 * np.arange(n, dtype=np.int64),
            tmax_c=tmax,
            tmin_c=tmax - 14.0,
            ea_kpa=np.full(n, 0.8),
            rhmin_pct=np.full(n, 25.0),
            wind_m_s=np.full(n, 2.5),
            solar_mj_m2=np.full(n, 24.0),
            rain_mm=np.array(rain_mm, np.float64),
        ),
        Site(latitude_deg=40.4, longitude_deg=-104.6, elevation_m=1427.0, utc_offset_h=-7.0),
    )
