"""Runs a scenario and leaves a run directory.

    result = run_scenario(scenario, Path("runs/quickstart"))

Where a guest runs is its zone's node.  `sim` nodes run here, in Wasmtime; others come from
`make_node`, which `hil` supplies.  Equal scenarios, seeds and guests leave equal digests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from levada.guest.errors import AbiError, ModuleError
from levada.guest.fast.jit import compiled, mark_compiled
from levada.guest.limits import PROFILES
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.node import Node
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import TapeWriter
from levada.guest.text.plain import plain_values
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.node import WasmtimeNode
from levada.sim import weather as weathers
from levada.sim.devices.energy import EnergyProfile
from levada.sim.errors import PeriodError
from levada.sim.run.baselines import run_baselines
from levada.sim.run.build import NodeMaker, NodeSettings, node_settings
from levada.sim.run.clock import new_clock
from levada.sim.run.field import Field
from levada.sim.run.judge import judge
from levada.sim.run.models import refused
from levada.sim.run.plant import Plant
from levada.sim.run.rundir import replaced
from levada.sim.run.summary import RunEnd, summarise
from levada.sim.run.trace import TraceWriter, read_trace
from levada.sim.run.zone_columns import NodeCol
from levada.sim.scenario.diagnostics import Issue, ScenarioError
from levada.sim.scenario.dump import dump, pinned
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.load import Document
from levada.sim.scenario.model import Generator, Scenario
from levada.sim.soil.model import FloatArray

if TYPE_CHECKING:
    from levada.sim.weather.generator import Climate

__all__ = [
    "Extension",
    "Progress",
    "RunResult",
    "check",
    "climate",
    "generated_weather",
    "nodes_of",
    "run_scenario",
]

Extension = Callable[[Scenario, Path], dict[str, Any]]
"""Looks at what a run has written and may add files; entries for its summary."""
OnRecords = Callable[[int, bytes], None]
Progress = Callable[[int, float, float, str], None]
"""(time [ms since 1970], fraction done, simulated over wall-clock seconds, note)."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run has left."""

    path: Path
    summary: dict[str, Any]
    interrupted: bool


def read_guest(scenario: Scenario) -> bytes:
    """The module of a scenario."""
    return Path(scenario.guest.file or DEFAULT_GUEST).read_bytes()


def inspect_guest(scenario: Scenario, module: bytes, file: Path | None = None) -> ModuleInfo:
    """What a module is; raises ModuleError, which names its file, if no node would run it."""
    try:
        info = inspect(module, budget=scenario.guest.limits()).require()
        if info.kind == "pure":
            raise AbiError(
                f"no `step` and no `main` for a node; functions: {', '.join(info.functions)}"
            )
        return info
    except ModuleError as error:
        where = file or scenario.guest.file or DEFAULT_GUEST
        raise type(error)(f"{where}: {error}") from None


def read_weather(scenario: Scenario) -> weathers.Weather:
    """The weather of a scenario over its period; raises WeatherError."""
    period, source = scenario.period, scenario.weather
    if source.generator is not None:
        return generated_weather(scenario, climate(scenario))
    return weathers.read(
        source.source,
        _weather_site(scenario),
        start=period.start,
        end=period.end,
        fill=source.fill,
        from_temperature=source.from_temperature,
        time_zone=source.time_zone,
        seed=scenario.seed,
    )


def climate(scenario: Scenario) -> Climate:
    """What a generator is fitted to: all of the scenario's weather file; raises WeatherError."""
    from levada.sim.weather import generator

    source = scenario.weather
    return generator.fit(
        weathers.read(
            source.source,
            _weather_site(scenario),
            fill=source.fill,
            from_temperature=source.from_temperature,
            time_zone=source.time_zone,
        )
    )


def generated_weather(scenario: Scenario, fitted: Climate) -> weathers.Weather:
    """Random weather over the scenario's period."""
    from levada.sim.weather import generator

    period, settings = scenario.period, scenario.weather.generator or Generator(like="-")
    return generator.generate(
        fitted,
        period.start,
        period.end,
        seed=scenario.seed,
        rain_factor=settings.rain_factor,
        warming_c=settings.warming_c,
    )


def _weather_site(scenario: Scenario) -> weathers.Site:
    site = scenario.site
    return weathers.Site(
        name=site.name,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        elevation_m=site.elevation_m,
        utc_offset_h=site.utc_offset_h,
        wind_height_m=site.wind_height_m,
    )


def check(document: Document) -> ModuleInfo:
    """Everything to be said against a scenario beyond its file: guest, parameters, weather, models.

    Raises ScenarioError, GuestError or WeatherError; returns what the guest is.
    """
    info = inspect_guest(document.scenario, read_guest(document.scenario))
    problems = document.check_parameters({p.name: p for p in info.parameters}, info.rules)
    problems += document.problems(list(unfit(document.scenario, info)))
    zones = expand(document.scenario)
    try:
        weather = read_weather(document.scenario)
    except PeriodError as error:
        outside = f"{error.found} is not in {error.path}"
        problems += document.problems([Issue(("period", "start"), outside, error.allowed)])
    else:
        problems += document.problems(list(refused(document.scenario, zones, weather)))
    if problems:
        raise ScenarioError(problems)
    return info


def unfit(scenario: Scenario, info: ModuleInfo) -> Iterator[Issue]:
    """Tiers that are to run functions that the guest does not have."""
    for name, tier in (("fog", scenario.fog), ("cloud", scenario.cloud)):
        if tier is not None and tier.engine != "off" and name not in info.tiers:
            yield Issue(
                (name, "engine"),
                f'`engine` = "{tier.engine}": the guest has no function for {name}',
                '"off" relays without computing; docs/abi.md lists what fog and cloud call',
            )


def run_scenario(
    scenario: Scenario,
    path: Path,
    *,
    speed: float | None = None,
    progress: Progress | None = None,
    make_node: NodeMaker | None = None,
    energy_profile: EnergyProfile | None = None,
    count_instructions: bool = True,
    extend: Extension | None = None,
    report: bool = True,
    on_records: OnRecords = lambda _zone, _records: None,
) -> RunResult:
    """Run a scenario into the directory `path`, which is made, or whose run is replaced.

    `energy_profile`, such as one fitted to a recording, replaces that of every node.  Without
    `count_instructions` a guest's instructions take no charge from the battery: not every node
    counts them, and nodes that are compared must see the same battery.  `extend` is called when
    all is written but the summary, before expectations are judged.  `on_records(zone, records)`
    hears what goes on the tape of a zone, by its index, in the thread that writes.

    Ctrl-C ends the run early and leaves what there is, marked partial.  Raises what `check` raises,
    SoilError, and what the nodes raise.
    """
    tell = progress or (lambda *_: None)
    if not compiled():
        tell(scenario.period.start_ms, 0.0, 0.0, "compiling the plant (once, about half a minute)")
    zones = expand(scenario)
    module = read_guest(scenario)
    info = inspect_guest(scenario, module)
    weather = read_weather(scenario)
    with replaced(path) as part:
        text = dump(pinned(scenario, info.sha256), path)
        (part / "scenario.toml").write_text(text, encoding="utf-8")
        run = _Run(
            scenario,
            zones,
            module,
            info,
            weather,
            part,
            make_node,
            tell,
            speed,
            energy_profile=energy_profile,
            count_instructions=count_instructions,
            on_records=on_records,
        )
        try:
            interrupted = run.go()
        finally:
            run.close()
        mark_compiled()
        summary = plain_values(summarise(run.end(interrupted)))
        if scenario.baselines is not None and not interrupted:
            try:
                end_ms = scenario.period.end_ms
                summary["baselines"] = plain_values(
                    run_baselines(
                        scenario, zones, weather, summary, lambda name: tell(end_ms, 1.0, 0.0, name)
                    )
                )
            except KeyboardInterrupt:
                interrupted = summary["partial"] = True
        if extend is not None:
            try:
                summary |= extend(scenario, part)
            except KeyboardInterrupt:
                interrupted = summary["partial"] = True
        trace = read_trace(part / "trace.parquet")
        summary["expectations"] = judge(scenario, trace, zones, summary)
        (part / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        if report:
            from levada.sim.results.report import write

            if len(zones) > 20:
                tell(scenario.period.end_ms, 1.0, 0.0, f"writing the report of {len(zones)} zones")

            write(part)
    return RunResult(path=path, summary=summary, interrupted=interrupted)


class _Run:
    """One run on its way."""

    def __init__(
        self,
        scenario: Scenario,
        zones: list[ZoneConfig],
        module: bytes,
        info: ModuleInfo,
        weather: weathers.Weather,
        path: Path,
        make_node: NodeMaker | None,
        progress: Progress,
        speed: float | None,
        *,
        energy_profile: EnergyProfile | None,
        count_instructions: bool,
        on_records: OnRecords,
    ) -> None:
        self.scenario = scenario
        self._on_records = on_records
        self.zones = zones
        self.info = info
        self.weather = weather
        self._progress = progress
        settings = [node_settings(zone, module, info, scenario) for zone in zones]
        native, outside = nodes_of(settings, make_node)
        self._native_zones = [i for i in range(len(zones)) if i not in outside]
        self._native = native
        self._nodes = outside
        self._outside_tapes: dict[int, list[bytes]] = {i: [] for i in outside}
        self.plant = Plant(
            scenario,
            zones,
            weather,
            native,
            self._native_zones,
            outside,
            lambda zone, tape: self._outside_tapes[zone].append(tape),
            energy_profile=energy_profile,
            count_instructions=count_instructions,
            settings=settings,
        )
        self._clock = new_clock(speed)
        self._trace = TraceWriter(path / "trace.parquet", utc_offset_ms=scenario.site.utc_offset_ms)
        self._tape = TapeWriter(
            path / "tape.cbor",
            guest_sha256=info.sha256,
            zones=[zone.name for zone in zones],
            start_ms=scenario.period.start_ms,
        )
        self._profile_path = path / "profile.parquet"
        self._profiles: list[tuple[int, int, Any, Any]] = []
        self.field = Field(
            self._clock,
            self.plant,
            faults=timeline(scenario, zones),
            recorder=self._record,
            slice_s=86_400 if speed is None else scenario.period.step_s,
        )
        self._wall_s = 0.0
        # files are written while the plant goes on, one slice after the other
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._written: Future[None] | None = None

    def go(self) -> bool:
        """Let it happen; true if it was interrupted."""
        self.plant.advance_to(
            self.plant.start_ms
        )  # goes nowhere, but compiles, or loads, all of it
        self._started = perf_counter()
        try:
            self.field.run()
        except KeyboardInterrupt:
            self.plant.finish()
            self._record(int(self.plant.zones[:, NodeCol.NOW_MS].min()))
            interrupted = True
        else:
            interrupted = False
        self._writer.submit(self._trace.flush).result()
        if self._written is not None:
            self._written.result()
        self._wall_s = perf_counter() - self._started
        return interrupted

    def _record(self, now_ms: int) -> None:
        plant = self.plant
        rows = plant.take_rows()
        tapes = []
        if self._native is not None:
            tapes += [(z, self._native.drain_tape(k)) for k, z in enumerate(self._native_zones)]
        for zone, parts in self._outside_tapes.items():
            tapes.append((zone, b"".join(parts)))
            parts.clear()
        before = self._written
        self._written = self._writer.submit(self._write, rows, tapes)
        if before is not None:
            before.result()  # no more than two slices in memory; an error of the disk ends the run
        for zone, depths, theta in plant.profile():
            self._profiles.append((now_ms, zone, depths, theta.copy()))
        wall_s = max(perf_counter() - self._started, 1e-9)
        done_ms = now_ms - plant.start_ms
        self._progress(
            now_ms, done_ms / (plant.end_ms - plant.start_ms), done_ms / 1000.0 / wall_s, ""
        )

    def _write(self, rows: FloatArray, tapes: list[tuple[int, bytes]]) -> None:
        self._trace.write(rows)
        for zone, records in tapes:
            self._tape.add(zone, records)
            self._on_records(zone, records)

    def end(self, interrupted: bool) -> RunEnd:
        """What the summary is made of."""
        return RunEnd(
            scenario=self.scenario,
            zones=self.zones,
            info=self.info,
            guest_path=self._native.path if self._native is not None else "device",
            weather=self.weather,
            plant=self.plant,
            nodes=self._nodes,
            clock=self._clock,
            tape_digest=self._tape.digest.hexdigest(),
            trace_digest=self._trace.digest(),
            wall_s=self._wall_s,
            interrupted=interrupted,
        )

    def close(self) -> None:
        """Close files and nodes."""
        self._writer.shutdown()
        self._trace.close()
        self._tape.close()
        self.plant.close()
        for node in self._nodes.values():
            node.close()
        if self._profiles:
            times, owners, depths, theta = zip(*self._profiles, strict=True)
            cells = len(depths[0])
            pq.write_table(
                pa.table(
                    {
                        "time_ms": np.repeat(np.array(times, "i8"), cells),
                        "zone": np.repeat(np.array(owners, "i2"), cells),
                        "depth_m": np.concatenate(depths).astype("f4"),
                        "theta": np.concatenate(theta).astype("f4"),
                    }
                ),
                self._profile_path,
            )


def nodes_of(
    settings: Sequence[NodeSettings], make_node: NodeMaker | None
) -> tuple[SimNodes | None, Mapping[int, Node]]:
    """The nodes that step inside the plant together, and the others by zone."""
    outside: dict[int, Node] = {}
    inside: list[NodeSettings] = []
    for i, s in enumerate(settings):
        if not s.zone.node.simulated:
            if make_node is None:
                raise ValueError(f"zone {s.zone.name}: node {s.zone.node.kind} needs `make_node`")
            outside[i] = make_node(s)
        else:
            inside.append(s)
    if not inside:
        return None, outside
    scenario = settings[0].scenario
    budget, profile = scenario.guest.limits(), PROFILES[scenario.guest.profile]
    nodes = SimNodes(
        inside[0].module,
        len(inside),
        names=[s.zone.name for s in inside],
        budget=budget,
        profile=profile,
        config=[s.config for s in inside],
        parameters=[s.parameters for s in inside],
    )
    if nodes.path == "fast":
        return nodes, outside
    nodes.close()
    for i, s in enumerate(settings):
        if s.zone.node.simulated:
            outside[i] = WasmtimeNode(
                s.module,
                name=s.zone.name,
                budget=budget,
                profile=profile,
                config=s.config,
                parameters=s.parameters,
            )
    return None, outside
