"""Short scenarios for the tests of everything that runs them, and nodes that follow a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import DEFAULT_PINS, TrapKind
from levada.guest.node import Birth, Readings, StepResult
from levada.sim.run.clock import new_clock
from levada.sim.run.field import Field
from levada.sim.run.plant import Plant
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import read_weather, run_scenario
from levada.sim.run.trace import COLUMNS, INDEX
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.model import Scenario
from levada.sim.weather import Days, Site, Weather, from_days

ROOT = Path(__file__).resolve().parents[2]
GREELEY = ROOT / "scenarios/weather/greeley_co_2023_daily.csv"

ZONE = """\
area_m2 = 100
[zone.soil]
model = "{model}"
theta_fc = 0.184
theta_wp = 0.092
initial.available_pct = 60
[zone.crop]
name = "maize"
planting = 2023-05-02
zr_max_m = 1.05
[zone.probe]
depth_m = 0.2
[zone.valve]
flow_l_min = 10
[zone.parameters]
on_pct = 70
off_pct = 90
max_open_s = 3600
min_pause_s = 7200
"""
"""Dry enough for the guest to irrigate within the first hour: 6 mm in an hour."""


def text(
    *,
    start: str = "2023-07-06",
    days: int = 2,
    model: str = "bucket",
    zone: str = "",
    zones: Sequence[str] = ("a",),
    extra: str = "",
    period: str = "",
) -> str:
    """A scenario of `days` in July; `zone` goes behind each `[[zone]]`, `extra` to the end."""
    end = date.fromisoformat(start) + timedelta(days=days - 1)
    head = f"""\
version = 1
name = "small"
[site]
latitude_deg = 40.4487
longitude_deg = -104.6368
elevation_m = 1427
utc_offset_h = -7
[period]
start = {start}
end = {end}
{period}
[weather]
file = "{GREELEY}"
"""
    tables = [f'[[zone]]\nname = "{name}"\n{ZONE.format(model=model)}{zone}\n' for name in zones]
    return "\n".join([head, *tables, extra])


def scenario(directory: Path, **parts: Any) -> Scenario:
    path = directory / "small.toml"
    path.write_text(text(**parts), encoding="utf-8")
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
    return {name: mine[:, i] for i, name in enumerate(COLUMNS)}


@dataclass
class ScriptedNode:
    """A node without a guest: opens and closes its valve as the script says, then stops asking.

    The script gives for each step the state of the valve and the time to the next step [ms].
    """

    script: Iterator[tuple[int, int]]
    wake_ms: int = 600_000
    boot_wake_ms: int = 600_000
    readings: list[Readings] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    boots_ms: list[int] = field(default_factory=list)
    online: list[bool] = field(default_factory=list)
    trap_at: frozenset[int] = frozenset()
    """Numbers of the steps that end in a trap."""

    def birth(self) -> Birth:
        raise NotImplementedError

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        self.boots_ms.append(time_ms)
        return StepResult(outputs={}, wake_ms=self.boot_wake_ms)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        self.times_ms.append(time_ms)
        self.readings.append(readings)
        self.online.append(online)
        if len(self.times_ms) - 1 in self.trap_at:
            return StepResult(outputs={}, trap=TrapKind.GUEST_FAULT)
        state, wake_ms = next(self.script, (0, self.wake_ms))
        return StepResult(outputs={DEFAULT_PINS[0]: state}, wake_ms=wake_ms)

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        return values

    def install(self, module: bytes) -> Birth:
        raise NotImplementedError

    def quality(self) -> None:
        return None

    def close(self) -> None:
        pass


def alternating(open_ms: int, closed_ms: int) -> Iterator[tuple[int, int]]:
    """Opens and closes for ever."""
    while True:
        yield 1, open_ms
        yield 0, closed_ms


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
