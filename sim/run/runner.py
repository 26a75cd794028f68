"""Runs a scenario and leaves a run directory.

    result = run_scenario(scenario, Path("runs/quickstart"))

Where a guest runs is its zone's node.  `sim` nodes run here, in Wasmtime; others come from
`make_node`, which `hil` supplies.  Equal scenarios, seeds and guests leave equal digests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from levada.guest.errors import ModuleError
from levada.guest.fast.jit import compiled, mark_compiled
from levada.guest.limits import PROFILES
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.node import Node
from levada.guest.tape import TapeWriter
from levada.guest.text.plain import plain_values
from levada.guest.wasm.host import SimNodes, WasmtimeNode
from levada.sim import weather as weathers
from levada.sim.devices.energy import EnergyProfile
from levada.sim.devices.probe import RainGauge
from levada.sim.devices.valve import V
from levada.sim.run import models, soils, stops
from levada.sim.run.clock import WallClock, new_clock
from levada.sim.run.field import Field
from levada.sim.run.models import believed_counts, refused
from levada.sim.run.plant import Plant
from levada.sim.run.rundir import replaced
from levada.sim.run.trace import Trace, TraceWriter, read_trace
from levada.sim.run.zone_loop import T, Z
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.expect import evaluate
from levada.sim.scenario.fault import FAULTS, spans, timeline
from levada.sim.scenario.load import Document, ZoneConfig, expand
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import FloatArray, Observed

__all__ = [
    "DEFAULT_GUEST",
    "NodeMaker",
    "NodeSettings",
    "Progress",
    "Result",
    "check",
    "run_scenario",
]

DEFAULT_GUEST: Final = Path(str(files("levada.guest"))) / "irrigation" / "irrigation.wasm"
FLUXES: Final = ("rain", "irrigation", "evaporation", "transpiration", "drainage", "runoff", "et0")

Progress = Callable[[int, float, float, str], None]
"""(time [ms since 1970], fraction done, simulated over wall-clock seconds, note)."""


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What a node outside the plant is given."""

    zone: ZoneConfig
    module: bytes
    scenario: Scenario
    config: tuple[int, int, int]
    """Dry, wet and limit counts."""
    parameters: dict[int, int]


NodeMaker = Callable[[NodeSettings], Node]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run has left."""

    path: Path
    summary: dict[str, Any]
    interrupted: bool


def read_guest(scenario: Scenario) -> bytes:
    """The module of a scenario."""
    return Path(scenario.guest.file or DEFAULT_GUEST).read_bytes()


def inspect_guest(scenario: Scenario, module: bytes, file: Path | None = None) -> ModuleInfo:
    """What a module is; raises ModuleError, which names its file, if it is none."""
    try:
        return inspect(module, budget=scenario.guest.limits())
    except ModuleError as error:
        where = file or scenario.guest.file or DEFAULT_GUEST
        raise type(error)(f"{where}: {error}") from None


def read_weather(scenario: Scenario) -> weathers.Weather:
    """The weather of a scenario over its period; raises WeatherError."""
    site, period, source = scenario.site, scenario.period, scenario.weather
    where = weathers.Site(
        name=site.name,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        elevation_m=site.elevation_m,
        utc_offset_h=site.utc_offset_h,
        wind_height_m=site.wind_height_m,
    )
    if source.generator is None:
        return weathers.read(
            source.source,
            where,
            start=period.start,
            end=period.end,
            fill=source.fill,
            time_zone=source.time_zone,
            seed=scenario.seed,
        )
    from levada.sim.weather import generator

    climate = generator.fit(
        weathers.read(source.source, where, fill=source.fill, time_zone=source.time_zone)
    )
    return generator.generate(
        climate,
        period.start,
        period.end,
        seed=scenario.seed,
        rain_factor=source.generator.rain_factor,
        warming_c=source.generator.warming_c,
    )


def check(document: Document) -> ModuleInfo:
    """Everything to be said against a scenario beyond its file: guest, parameters, weather, models.

    Raises ScenarioError, GuestError or WeatherError; returns what the guest is.
    """
    info = inspect_guest(document.scenario, read_guest(document.scenario))
    problems = document.check_parameters({p.name: p for p in info.parameters}, info.rules)
    if problems:
        raise ScenarioError(problems)
    zones = expand(document.scenario)
    weather = read_weather(document.scenario)
    problems = document.problems(list(refused(document.scenario, zones, weather)))
    if problems:
        raise ScenarioError(problems)
    return info


def run_scenario(
    scenario: Scenario,
    path: Path,
    *,
    speed: float | None = None,
    progress: Progress | None = None,
    make_node: NodeMaker | None = None,
    energy_profile: EnergyProfile | None = None,
    count_instructions: bool = True,
    report: bool = True,
) -> Result:
    """Run a scenario into the directory `path`, which is made, or whose run is replaced.

    `energy_profile`, such as one fitted to a recording, replaces that of every node.  Without
    `count_instructions` a guest's instructions take no charge from the battery: not every node
    counts them, and nodes that are compared must see the same battery.

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
        text = scenarios.dump(scenarios.pinned(scenario, info.sha256), path)
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
        )
        try:
            interrupted = run.go()
        finally:
            run.close()
        mark_compiled()
        summary = plain_values(run.summary(interrupted))
        trace = read_trace(part / "trace.parquet")
        summary["expectations"] = _judge(scenario, trace, zones, summary)
        (part / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        if report:
            from levada.sim.results.report import write

            if len(zones) > 20:
                tell(scenario.period.end_ms, 1.0, 0.0, f"writing the report of {len(zones)} zones")

            write(part)
    return Result(path=path, summary=summary, interrupted=interrupted)


def _judge(
    scenario: Scenario, trace: Trace, zones: list[ZoneConfig], summary: dict[str, Any]
) -> list[dict[str, Any]]:
    """The expectations of a run, and what came out of each."""
    interrupted = summary["partial"]
    judged = [
        {
            "name": o.name,
            # of a run that ended early nothing can be said: what has not happened may have come
            "passed": None if interrupted else o.passed,
            "detail": "not judged: the run was interrupted" if interrupted else o.detail,
            "time_ms": None if interrupted else o.time_ms,
            "zone": None if interrupted else o.zone,
        }
        for o in evaluate(scenario, trace, zones, summary)
    ]
    found: list[dict[str, Any]] = plain_values([*judged, *stops.judgement(summary)])
    return found


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
    ) -> None:
        self.scenario = scenario
        self.zones = zones
        self.info = info
        self.weather = weather
        self._progress = progress
        settings = [node_settings(zone, module, info, scenario) for zone in zones]
        native, outside = _nodes(settings, make_node)
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
        )
        self._clock = new_clock(speed)
        self._trace = TraceWriter(path / "trace.parquet")
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
            self._record(int(self.plant.zones[:, Z.NOW_MS].min()))
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

    # Summary

    def summary(self, interrupted: bool) -> dict[str, Any]:
        """The content of summary.json, without expectations."""
        scenario, plant = self.scenario, self.plant
        days = float(plant.zones[:, Z.NOW_MS].min() - plant.start_ms) / 86_400_000
        zones = [self._zone(i) for i in range(plant.n)]
        areas = np.array([zone.area_m2 for zone in self.zones])

        def mean(key: str) -> float:
            return float(np.average([zone[key] for zone in zones], weights=areas))

        balance = max((zone["balance_error_mm"] for zone in zones), key=abs)
        energy = plant.powers.report()
        return {
            "scenario": scenario.name,
            "title": scenario.title,
            "seed": scenario.seed,
            "guest_sha256": self.info.sha256,
            "tape_digest": self._tape.digest.hexdigest(),
            "trace_digest": self._trace.digest(),
            "partial": interrupted,
            "start": _iso(plant.start_ms),
            "end": _iso(plant.end_ms),
            "ended": _iso(int(plant.zones[:, Z.NOW_MS].min())),
            "days": days,
            "steps": int(plant.zones[:, Z.STEPS].sum()),
            **{f"{key}_mm": mean(f"{key}_mm") for key in FLUXES},
            "et_mm": mean("et_mm"),
            "storage_change_mm": mean("storage_change_mm"),
            "balance_error_mm": balance,
            **{f"{kind}stress_days": mean(f"{kind}stress_days") for kind in ("", "dry_", "wet_")},
            "valve_openings": sum(zone["valve_openings"] for zone in zones),
            "longest_opening_s": max(zone["longest_opening_s"] for zone in zones),
            "water_l": sum(zone["water_l"] for zone in zones),
            "traps": sum(zone["traps"] for zone in zones),
            "may_stop": scenario.guest.may_stop,
            "energy_j": energy.total.nominal,
            "energy": {
                "label": energy.label,
                "low_j": energy.total.low,
                "nominal_j": energy.total.nominal,
                "high_j": energy.total.high,
                "parts": {
                    name: {"low_j": r.low, "nominal_j": r.nominal, "high_j": r.high}
                    for name, r in energy.parts.items()
                },
                "profiles": sorted(set(energy.profiles)),
            },
            "expectations": [],
            "wall_s": self._wall_s,
            "field_days_per_s": days * plant.n / self._wall_s,
            **self._lateness(),
            "notes": [
                *soils.notes(self.zones),
                *models.notes(scenario, self.zones),
                *scenario.notes(),
            ],
            **self._rain_gauge(mean("rain_mm")),
            "zones": zones,
            "faults": self._faults(),
            "weather": {
                "source": Path(self.weather.source).name,
                "sha256": self.weather.sha256,
                "filled": list(self.weather.filled),
                "notes": list(self.weather.notes),
            },
            "guest": {
                "name": self.info.metadata.name if self.info.metadata else "",
                "version": self.info.metadata.version if self.info.metadata else "",
                "bytes": self.info.size,
            },
            "levada_version": version("levada"),
            "versions": {name: version(name) for name in ("wasmtime", "numba", "simpy", "numpy")},
            "link": self._links(),
        }

    def _rain_gauge(self, rain_mm: float) -> dict[str, Any]:
        """What the gauge of the site, if there is one, has counted."""
        mm_per_tip = self.scenario.site.rain_gauge_mm_per_tip
        if mm_per_tip is None:
            return {}
        gauge = RainGauge(mm_per_tip)
        gauge.add(rain_mm)
        return {
            "rain_gauge_tips": gauge.tips,
            "rain_gauge_mm": round(gauge.tips * mm_per_tip, 6),
        }

    def _links(self) -> dict[str, Any] | None:
        """By zone, what the links to nodes outside this process were like; None without any."""
        found = {self.zones[i].name: node.quality() for i, node in self._nodes.items()}
        return {zone: quality for zone, quality in found.items() if quality is not None} or None

    def _lateness(self) -> dict[str, Any]:
        if not isinstance(self._clock, WallClock):
            return {}
        return {"overruns": self._clock.overruns, "late_s": self._clock.late_s}

    def _zone(self, i: int) -> dict[str, Any]:
        plant = self.plant
        totals, valve = plant.totals[i], plant.valves.state[i]
        sums = dict(
            zip((f"{key}_mm" for key in FLUXES), totals[: len(FLUXES)].tolist(), strict=True)
        )
        change = float(plant.observed[i, Observed.STORAGE_MM] - plant.storage_start_mm[i])
        et = sums["evaporation_mm"] + sums["transpiration_mm"]
        stop = plant.stops.get(i)
        return {
            "name": plant.names[i],
            "node": str(self.scenario_node(i)),
            **sums,
            "et_mm": et,
            "storage_change_mm": change,
            "balance_error_mm": sums["rain_mm"]
            + sums["irrigation_mm"]
            - et
            - sums["drainage_mm"]
            - sums["runoff_mm"]
            - change,
            "stress_days": float(totals[T.STRESS_DAYS]),
            "dry_stress_days": float(totals[T.STRESS_DAYS] - totals[T.WET_STRESS_DAYS]),
            "wet_stress_days": float(totals[T.WET_STRESS_DAYS]),
            "valve_openings": int(valve[V.OPENINGS]),
            "longest_opening_s": float(totals[T.LONGEST_S]),
            "water_l": float(valve[V.VOLUME_L]),
            "energy_j": float(plant.powers.energy_j[i]),
            "steps": int(plant.zones[i, Z.STEPS]),
            "traps": int(plant.zones[i, Z.TRAPS]),
            "trap": stop.reason if stop is not None else None,
            "trap_ms": stop.time_ms if stop is not None else None,
            "trap_backtrace": list(stop.backtrace) if stop is not None else [],
            "soil": soils.summary(self.zones[i].soil),
            "feddes_m": list(soils.heads(self.zones[i])),
        }

    def scenario_node(self, i: int) -> str:
        """Where the guest of a zone ran."""
        return self.zones[i].node.kind

    def _faults(self) -> list[dict[str, Any]]:
        scenario = self.scenario
        return [
            {
                "label": fault.label,
                "kind": fault.kind,
                "effect": FAULTS[fault.kind].effect,
                "magnitude": fault.magnitude,
                "zones": [self.zones[i].name for i in span.zones],
                "start_ms": span.start_ms,
                "end_ms": span.end_ms,
            }
            for fault, span in zip(
                scenario.fault, spans(scenario.period, scenario.fault, self.zones), strict=True
            )
        ]


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def node_settings(
    zone: ZoneConfig, module: bytes, info: ModuleInfo, scenario: Scenario
) -> NodeSettings:
    """What the node of a zone is given: calibration and parameters."""
    ids = {parameter.name: parameter.id for parameter in info.parameters}
    return NodeSettings(
        zone=zone,
        module=module,
        scenario=scenario,
        config=believed_counts(zone),
        parameters={ids[name]: value for name, value in zone.parameters.items()},
    )


def _nodes(
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
