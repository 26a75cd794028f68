"""The twin of a field: every physical node beside its simulated one, live.

    with Store(path) as store, NodeMaker(speed=600) as make_node:
        twin = Twin(scenario, store, make_node=make_node, speed=600)
        twin.run()

Two plants go on under one clock.  The *physical* one feeds the devices and suffers the scenario's
faults; the *twin's* has none, and its guests, the same bytes, run here in Wasmtime.  A third guest,
the mirror, is fed what the device read (`levada.twin.diagnosis` says why).  What is seen goes into
the store and, as one immutable `View`, to whoever looks.  Devices that live elsewhere, in the past
or in real soil, are followed instead: `levada.twin.sources.remote`.

Everything happens in the thread that calls `run`; other threads hand in calibrations, which take
effect between two steps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, replace
from math import sqrt
from secrets import randbelow
from threading import Event as Flag
from time import monotonic, sleep
from typing import Any, Final

import numpy as np
from simpy import Event

from levada.guest.abi import TrapKind
from levada.guest.errors import GuestError
from levada.guest.fast.jit import mark_compiled
from levada.guest.limits import PROFILES
from levada.guest.module.inspect import inspect
from levada.guest.node import Birth, Node, StepResult
from levada.guest.text.redaction import redacted
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.lease import HUNG_S
from levada.sim.results.decisions import sentence, title
from levada.sim.run import build, runner
from levada.sim.run.clock import WallClock
from levada.sim.run.field import Field
from levada.sim.run.plant import Plant
from levada.sim.run.stops import GuestStop
from levada.sim.run.trace import INDEX
from levada.sim.run.zone_columns import NodeCol
from levada.sim.scenario.dump import dump
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import Observed
from levada.sim.units import HOUR_MS
from levada.twin import signals as values_of
from levada.twin.alerts import Alerts, Change
from levada.twin.calibration.dry_run import DryRun, dry_run
from levada.twin.calibration.parameters import agree, checked, same_guest
from levada.twin.calibration.requests import CalibrationRequest, Calibrations
from levada.twin.diagnosis import CODES, Cause, Diagnoser, Verdict, valve
from levada.twin.errors import CalibrationError, StoreError
from levada.twin.health import Part
from levada.twin.observer import ObservedNode, StepObservation, boots, has_forgotten
from levada.twin.snapshot import UNITS, View, ZoneView
from levada.twin.sources.resume import NOTHING
from levada.twin.store.rows import UNITS as SIGNAL_UNITS
from levada.twin.store.rows import Event as StoreEvent
from levada.twin.store.rows import Item, Kind, Points, PresenceChange, Row
from levada.twin.store.store import Store
from levada.twin.zone import ZoneState

__all__ = ["Twin"]

_log = logging.getLogger(__name__)

FULL_SPEED: Final = 1e9
"""Simulated seconds a second: as fast as it goes."""
ATTENTION_S: Final = 0.2
"""Wall-clock time between two looks at what other threads want."""
LOG_LINES: Final = 200
PROFILE_MS: Final = HOUR_MS
"""Between two profiles of the soil."""
ENDED: Final = "the twin has ended"
FORGOTTEN: Final = (
    "The device has started again and found nothing of what its guest had kept: another board, or "
    "its flash was erased.  Limits of volume begin anew."
)

OF_DEVICE: Final = ("counts", "temp_c", "battery_mv", "valve_open", "flow_l", "energy_j")
OF_TWIN: Final = (
    *OF_DEVICE,
    "theta_root",
    "theta_fc_root",
    "theta_stress_root",
    "dr_mm",
    "raw_mm",
    "ks",
    "rain_mm",
    "irrigation_mm",
    "et0_mm",
)


class Twin:
    """A field and its twin.

    `make_node` makes the nodes that are not simulated; `publish` is given every alert, `deliver`
    what devices publish (zone, topic, time [ms], message), if that is not simply to be stored.
    Time up to `skip_to_ms` is passed at full speed, then `speed` holds (None: full speed all the
    way).  Raises what the nodes raise, TwinMismatchError if a device runs another guest.
    """

    mode = "hil"

    def __init__(
        self,
        scenario: Scenario,
        store: Store,
        *,
        make_node: build.NodeMaker | None = None,
        speed: float | None = 600.0,
        skip_to_ms: int | None = None,
        publish: Callable[[str, Change], None] = lambda _zone, _change: None,
        deliver: Callable[[str, str, int, str], None] | None = None,
    ) -> None:
        self.scenario = scenario
        self.store = store
        self.info = inspect(runner.read_guest(scenario), budget=scenario.guest.limits())
        self.weather = runner.read_weather(scenario)
        self._module = runner.read_guest(scenario)
        self._speed = speed or FULL_SPEED
        self._skip_to_ms = skip_to_ms or 0
        self._publish = publish
        self._deliver = deliver or self._keep
        self._calibrations = Calibrations(store, self._calibrate, self._calibrated)
        self._stop = Flag()
        self._attended_s: float | None = None
        """On the monotonic clock, when other threads were last attended to."""
        self._lost_points = 0
        self._session = randbelow(1 << 31)
        """Stands for a boot of the devices: rows are numbered here, from one for every session."""
        zones = expand(scenario)
        self.names = [zone.name for zone in zones]
        self.alerts = Alerts(scenario.alert, zones)
        self._told = [NOTHING] * len(zones)
        self._nodes: list[Node] = []
        self._plants: list[Plant] = []
        try:
            self._zones = [self._zone(zone, make_node) for zone in zones]
            self._build(zones)
        except BaseException:
            self.close()
            raise
        self.view = self._look(scenario.period.start_ms, ended=False)

    # Building

    def _zone(self, config: ZoneConfig, make_node: build.NodeMaker | None) -> ZoneState:
        settings = self._settings(config)
        device = self._device(settings, make_node)
        self._nodes.append(device)
        birth = device.birth()
        same_guest(config.name, birth, self.info)
        probe = config.probe
        curve = values_of.curve(probe)
        slope = 0.0
        if curve is not None:
            slope = float(np.ptp(curve[1]) / max(np.ptp(curve[0]), 1))
        # two readings of noise s differ by less than 3 sqrt(2) s in 997 of 1000 cases
        tolerance = max(3 * sqrt(2) * probe.noise_counts, 2.0 ** (12 - probe.adc_bits))
        names = {p.id: p.name for p in self.info.parameters}
        parameters = {p.name: p.default for p in self.info.parameters}
        parameters |= {names[key]: value for key, value in settings.parameters.items()}
        mirror = self._simulated(settings)
        self._nodes.append(mirror)
        return ZoneState(
            config=config,
            mirror=mirror,
            birth=birth,
            comparison=Diagnoser(tolerance),
            parameters=parameters,
            curve=curve,
            band=tolerance * slope,
            verdict=Verdict(time_ms=0, cause=Cause.NONE, text="Nothing seen yet.", compared=False),
        )

    def _settings(self, config: ZoneConfig) -> build.NodeSettings:
        """What the nodes of a zone are given."""
        return build.node_settings(config, self._module, self.info, self.scenario)

    def _device(self, settings: build.NodeSettings, make_node: build.NodeMaker | None) -> Node:
        config = settings.zone
        if config.node.simulated:
            return self._simulated(settings)
        if make_node is None:
            raise ValueError(f"zone {config.name}: node {config.node} needs `make_node`")
        return make_node(settings)

    def _twin_node(self, i: int, settings: build.NodeSettings) -> Node:
        """What runs on the twin's plant: the guest."""
        return ObservedNode(self._simulated(settings), lambda seen: self._twin_ran(i, seen))

    def _simulated(self, settings: build.NodeSettings) -> WasmtimeNode:
        guest = settings.scenario.guest
        return WasmtimeNode(
            settings.module,
            name=settings.zone.name,
            budget=guest.limits(),
            profile=PROFILES[guest.profile],
            config=settings.config,
            parameters=settings.parameters,
        )

    def _build(self, zones: list[ZoneConfig]) -> None:
        scenario = self.scenario
        devices = [self._nodes[2 * i] for i in range(len(zones))]  # each followed by its mirror
        self._devices: dict[int, Node] = dict(enumerate(devices))
        self._twins: dict[int, Node] = {}
        for i, zone in enumerate(zones):
            settings = self._settings(zone)
            self._twins[i] = self._twin_node(i, settings)
            self._nodes.append(self._twins[i])
        self.twin_plant = Plant(scenario, zones, self.weather, None, [], self._twins)
        self._plants.append(self.twin_plant)
        pace = FULL_SPEED if self._skip_to_ms > scenario.period.start_ms else self._speed
        self._clock = self._new_clock(pace)
        self._build_physical(zones)
        self._virtual = Field(
            self._clock,
            self.twin_plant,
            faults=(),
            recorder=self._record,
            slice_s=scenario.period.trace_s,
        )
        self._clock.process(self._serve())
        self._profile_ms = 0
        for zone_state in self._zones:
            zone_state.heard_ms = scenario.period.start_ms

    def _new_clock(self, pace: float) -> WallClock:
        return WallClock(factor=pace, tolerance_s=1.0)

    def _build_physical(self, zones: list[ZoneConfig]) -> None:
        """The plant that the devices live in; at equal times it comes before the twin's."""
        watched = {
            i: ObservedNode(device, lambda seen, i=i: self._device_ran(i, seen))  # type: ignore[misc]
            for i, device in self._devices.items()
        }
        self._devices = dict(watched)
        self.plant = Plant(self.scenario, zones, self.weather, None, [], watched)
        self._plants.append(self.plant)
        self._physical = Field(
            self._clock,
            self.plant,
            faults=timeline(self.scenario, zones),
            recorder=lambda _now: None,
            slice_s=self.scenario.period.trace_s,
        )

    # Running

    def run(self) -> None:
        """Let it happen until the end of the period, or until `stop`."""
        run = self.store.begin_run(
            self.scenario.name,
            self.mode,  # type: ignore[arg-type]
            guest_sha256=self.info.sha256,
            scenario=dump(self.scenario),
            detail={"zones": self.names, "speed": self._speed},
        )
        for name, zone in zip(self.names, self._zones, strict=True):
            birth = asdict(zone.birth) | {"node": _node_text(zone.config)}
            self._put(PresenceChange(node=name, online=True, time_ms=self.now_ms, birth=birth))
        try:
            for plant in self._plants:
                plant.advance_to(plant.start_ms)  # goes nowhere, but compiles, or loads, all of it
            mark_compiled()
            self._clock.pace(self._clock.factor)
            self._virtual.run()
        except _TwinStopped:
            pass
        finally:
            self.view = self._look(self.now_ms, ended=True)
            self._calibrations.refuse(ENDED)
            self.store.flush(10.0)
            try:
                self.store.end_run(run)
            except StoreError as error:
                _log.warning("the end of the run is not noted: %s", error)

    @property
    def now_ms(self) -> int:
        """Present virtual time [ms since 1970]."""
        return self._virtual.now_ms

    def part(self) -> Part:
        """Whether it gets on, for /health: what is to be seen of it is as old as its last step."""
        if self._attended_s is None or self.view.ended:
            return Part(ok=True)
        still_s = monotonic() - self._attended_s
        if still_s < HUNG_S:
            return Part(ok=True)
        return Part(ok=False, detail=f"has not got on for {still_s:.0f} s")

    def stop(self) -> None:
        """End `run` soon; from any thread."""
        self._stop.set()

    def guest_stops(self) -> dict[str, Any]:
        """Guests of devices that were stopped, as `levada.sim.run.stops` reads a summary."""
        zones = [
            {
                "name": name,
                "traps": count,
                "trap": stop.reason,
                "trap_ms": stop.time_ms,
                "trap_backtrace": stop.backtrace,
            }
            for name, (count, stop) in zip(self.names, self._stops(), strict=True)
            if stop is not None
        ]
        may_stop = self.scenario.guest.may_stop
        return {"zones": zones, "traps": len(zones), "may_stop": may_stop}

    def _stops(self) -> list[tuple[int, GuestStop | None]]:
        """How often the guest of each zone was stopped, and why first."""
        counts = self.plant.zones[:, NodeCol.TRAPS].tolist()
        return [(count, self.plant.stops.get(i)) for i, count in enumerate(counts)]

    def close(self) -> None:
        """Close nodes and plants; valves are closed."""
        for plant in self._plants:
            plant.close()
        for node in self._nodes:
            node.close()
        self._nodes.clear()

    def _serve(self) -> Generator[Event, Any, None]:
        """Attend to other threads, between the steps.

        Steps fall on whole seconds, so half a second past them device, mirror and twin have all
        made the same ones.
        """
        yield self._clock.timeout(0.5)
        while True:
            self._attend_all()
            yield self._clock.timeout(self._keep_pace())

    def _attend_all(self) -> None:
        """Attend once; ends the run if somebody has asked for it."""
        self._attended_s = monotonic()
        if self._stop.is_set():
            raise _TwinStopped
        self._attend()
        self._calibrations.serve(self.now_ms, self.parameters)

    def _attend(self) -> None:
        """Look at what else other threads have told."""

    def _keep_pace(self) -> float:
        """Set the pace of the clock; simulated time until that is to be done again [s]."""
        if self._skip_to_ms and self.now_ms >= self._skip_to_ms:
            self._skip_to_ms = 0
            self._clock.pace(self._speed)
        return max(1.0, round(ATTENTION_S * min(self._clock.factor, 3000.0)))

    # Calibration

    def calibrate(
        self,
        zone: str,
        values: Mapping[str, int],
        *,
        who: str,
        seen: Mapping[str, int] | None = None,
        expires_s: float | None = None,
    ) -> Future[dict[str, int]]:
        """Change parameters of a zone's guest by name, all or none; from any thread.

        The future holds the values read back from the device.  `seen` are values by full name that
        `who` takes to be in force: if one of those to be changed is not, the change is refused.
        `expires_s` is virtual time after which the values before come back.  Raises
        CalibrationError if a name or value is wrong.
        """
        changes = self.checked(zone, values)
        done = self._calibrations.ask(
            zone,
            self.parameters(zone),
            changes,
            who=who,
            seen=seen,
            expires_ms=None if expires_s is None else round(self.now_ms + expires_s * 1000),
        )
        if self.view.ended:
            self._calibrations.refuse(ENDED)
        return done

    def parameters(self, zone: str) -> Mapping[str, int]:
        """Parameters of a zone's guest that are in force, by name."""
        return self._zones[self.names.index(zone)].parameters

    def serve_at(
        self,
        serve: Callable[
            [
                str,
                Birth,
                tuple[int, int, int],
                Callable[[], Mapping[str, int]],
                Callable[[dict[str, int]], Future[dict[str, int]]],
            ],
            None,
        ],
    ) -> None:
        """Give every node a face elsewhere, such as that of
        `levada.twin.mqtt.gateway.Gateway.serve`."""
        for name, zone in zip(self.names, self._zones, strict=True):
            serve(
                name,
                zone.birth,
                self._settings(zone.config).config,
                lambda name=name: self.parameters(name),  # type: ignore[misc]
                lambda values, name=name: self.calibrate(name, values, who="MQTT"),  # type: ignore[misc]
            )

    def checked(self, zone: str, values: Mapping[str, int]) -> dict[str, int]:
        """`values` with their full names, of the right type and range; else CalibrationError."""
        if zone not in self.names:
            raise CalibrationError(f"zone `{zone}`: known are {', '.join(self.names)}")
        if not values:
            raise CalibrationError("nothing to change")
        return checked(self.info, values)

    def try_out(self, zone: str, values: Mapping[str, int], days: int) -> DryRun:
        """What a calibration would have done over the last `days`; see
        `levada.twin.calibration.dry_run`."""
        wanted = self.checked(zone, values)
        present = dict(self.parameters(zone))
        agree(self.info, present, wanted)
        return dry_run(self.scenario, zone, present, wanted, now_ms=self.view.now_ms, days=days)

    def _calibrate(self, zone: str, values: Mapping[str, int]) -> dict[str, int]:
        """Change the parameters of device, mirror and twin; those read back from the device."""
        i = self.names.index(zone)
        agree(self.info, self._zones[i].parameters, values)
        ids = {p.name: p.id for p in self.info.parameters}
        names = {number: name for name, number in ids.items()}
        by_id = {ids[name]: value for name, value in values.items()}
        found = {names[k]: value for k, value in self._devices[i].calibrate(by_id).items()}
        if found == values:
            try:
                self._take_over(i, by_id)
            except GuestError as error:
                self._tell(i, "calibration", f"The twin cannot follow: {error}", {})
        return found

    def _calibrated(self, wish: CalibrationRequest) -> None:
        i = self.names.index(wish.zone)
        zone = self._zones[i]
        changed = ", ".join(
            f"{name} {zone.parameters[name]} -> {value}" for name, value in wish.values.items()
        )
        zone.parameters = {**zone.parameters, **wish.values}
        self._tell(i, "calibration", f"{wish.who}: {changed}", {"values": dict(wish.values)})
        self.view = self._look(self.now_ms, ended=False)

    def _take_over(self, i: int, values: dict[int, int]) -> None:
        """Let mirror and twin have the parameters that the device has now."""
        self._zones[i].mirror.calibrate(values)
        self._twins[i].calibrate(values)

    # What nodes did

    def _device_ran(self, i: int, seen: StepObservation) -> None:
        zone = self._zones[i]
        now_ms = self._time_of(self.plant, i)
        mirrored = StepResult(outputs={})
        if not seen.lost:
            before = b""
            for time_ms, found in boots(seen.result.tape):
                forget = seen.forget
                if not forget and has_forgotten(found, zone.mirror.kept):
                    forget = True
                    self._tell(i, "forgotten", FORGOTTEN, {}, severity="warning", time_ms=now_ms)
                mirrored = zone.mirror.boot(time_ms, skew_ms=seen.skew_ms, forget=forget)
                before += mirrored.tape
            if seen.readings is not None:
                mirrored = zone.mirror.step(
                    seen.time_ms, seen.readings, online=seen.online, skew_ms=seen.skew_ms
                )
                before += mirrored.tape
            mirrored = StepResult(outputs=mirrored.outputs, tape=before)
        zone.device.append((now_ms, seen, mirrored))
        if bool(seen.lost) != bool(self.view.zones[i].lost):  # /health does not wait for a verdict
            self.view = self._look(self.now_ms, ended=False)

    def _twin_ran(self, i: int, seen: StepObservation) -> None:
        self._zones[i].twin.append((self._time_of(self.twin_plant, i), seen))

    def _record(self, now_ms: int) -> None:
        """End of a slice: both plants have come to `now_ms`."""
        of_device = self._device_rows()
        of_twin = values_of.by_zone(self.twin_plant.take_rows(), len(self.names))
        self._judge_all(now_ms)
        for i, zone in enumerate(self._zones):
            self._store_rows(i, zone, of_device[i], of_twin[i])
            self._alert(i, zone, now_ms)
        if now_ms >= self._profile_ms:
            self._profile_ms = now_ms + PROFILE_MS
            for i, depths, theta in self.twin_plant.profile():
                self._store_profile(i, now_ms, depths, theta)
        self.view = self._look(now_ms, ended=False)

    def _device_rows(self) -> list[Any]:
        """What the devices' plant has recorded, by zone."""
        return values_of.by_zone(self.plant.take_rows(), len(self.names))

    def _judge_all(self, now_ms: int) -> None:
        """Judge the steps that were made before `now_ms`."""
        for i, zone in enumerate(self._zones):
            while zone.device and zone.device[0][0] < now_ms:
                self._judge(i, zone, *zone.device.popleft())

    def _judge(
        self, i: int, zone: ZoneState, now_ms: int, seen: StepObservation, mirrored: StepResult
    ) -> None:
        while zone.twin and zone.twin[0][0] <= now_ms:
            _, zone.last_twin = zone.twin.popleft()
            self._note_decision(i, zone, "twin", now_ms, zone.last_twin)
        twin = zone.last_twin
        if twin is not None and (twin.readings is None) != (seen.readings is None):
            twin = None  # one of them has just started
        pulses = seen.readings[3] if seen.readings is not None else 0
        opened = valve(zone.last.result) if zone.last is not None else 0
        zone.verdict = zone.comparison.judge(seen, mirrored, twin)
        if zone.last is not None:
            zone.measure_flow(now_ms, opened, pulses, self.scenario.period.step_s * 1000)
        zone.flowed = pulses > 0
        if zone.comparison.still_steps == 0 or zone.still_since_ms is None:
            zone.still_since_ms = now_ms
        zone.last = seen
        zone.steps += 1
        if seen.result.publications or (not seen.lost and seen.readings is None):
            zone.heard_ms = now_ms
        self._note_decision(i, zone, "device", now_ms, seen)
        for line in seen.result.logs:
            zone.logs.append(line)
        for topic, message in seen.result.publications:
            self._deliver(self.names[i], topic, seen.time_ms, message)

    @staticmethod
    def _time_of(plant: Plant, i: int) -> int:
        """Where a zone of a plant is in time."""
        return int(plant.zones[i, NodeCol.NOW_MS])

    def _note_decision(
        self, i: int, zone: ZoneState, who: str, now_ms: int, seen: StepObservation
    ) -> None:
        decision = values_of.decision(i, now_ms, seen)
        if decision is None:
            return
        if who == "device":
            zone.pct = decision.pct
            zone.decision = sentence(decision)
        key = (decision.irrigar, decision.why, decision.trap)
        if zone.decided.get(who) == key:
            return
        before = zone.decided.get(who)
        changed = before is not None and before[0] != decision.irrigar
        zone.decided[who] = key
        if now_ms <= self._told[i].upto_ms:
            return
        said = sentence(replace(decision, changed=changed))
        self._tell(
            i,
            "decision",
            f"{title(decision)}. {said}",
            {
                "who": who,
                "step_ms": seen.time_ms,
                "valve": decision.irrigar,
                "why": decision.why,
                "counts": decision.raw,
                "pct": decision.pct,
                "on": decision.on,
                "off": decision.off,
            },
            time_ms=now_ms,
        )

    # Into the store

    def _put(self, item: Item) -> None:
        """Hand over; wait while the writer is only busy, give up while it is in trouble."""
        while not self.store.submit(item):
            if not self.store.health().ok or self._stop.is_set():
                self._lost_points += 1
                return
            sleep(0.01)

    def _tell(
        self,
        i: int,
        kind: str,
        text: str,
        evidence: Mapping[str, Any],
        *,
        severity: str = "info",
        time_ms: int | None = None,
    ) -> None:
        self._put(
            StoreEvent(
                kind=kind,
                text=text,
                time_ms=self.now_ms if time_ms is None else time_ms,
                severity=severity,  # type: ignore[arg-type]
                node=self.names[i],
                evidence=evidence,
            )
        )

    def _keep(self, zone: str, topic: str, time_ms: int, message: str) -> None:
        """Store what a device published as if it had come over MQTT."""
        del topic
        number = next(self._zones[self.names.index(zone)].numbers)
        signals = values_of.numbers(message)
        self._put(
            Row(
                node=zone,
                boot=self._session,
                seq=number,
                oldest=number,
                received_ms=self.now_ms,
                device_ms=time_ms,
                payload=message,
                signals={k: v for k, v in signals.items() if k in SIGNAL_UNITS},
            )
        )

    def _store_rows(self, i: int, zone: ZoneState, device: Any, twin: Any) -> None:
        for mine, other in zip(device, twin, strict=False):
            time_ms = int(mine[INDEX["time_ms"]])
            zone.count_water(time_ms, float(mine[INDEX["flow_l"]]))
            zone.energy_j = (zone.energy_j or 0.0) + float(mine[INDEX["energy_j"]])
            signals = values_of.signals(mine, OF_DEVICE, zone.curve)
            twins = self._of_twin(zone, other)
            if "theta" in signals and "theta" in twins:
                twins["residual"] = signals["theta"] - twins["theta"]
            self._put_points(i, time_ms, "raw", signals)
            self._put_points(i, time_ms, "twin", twins)

    def _of_twin(self, zone: ZoneState, row: Any) -> dict[str, float]:
        """Signals of a row of the twin's plant."""
        time_ms = int(row[INDEX["time_ms"]])
        et_mm = float(row[INDEX["evaporation_mm"]] + row[INDEX["transpiration_mm"]])
        zone.use(time_ms, et_mm)
        cause = CODES[zone.verdict.cause]
        return values_of.signals(row, OF_TWIN, zone.curve) | {"et_mm": et_mm, "cause": cause}

    def _put_points(self, i: int, time_ms: int, kind: Kind, values: Mapping[str, float]) -> None:
        self._put(
            Points(node=self.names[i], time_ms=time_ms, signals=values, kind=kind, units=UNITS)
        )

    def _store_profile(self, i: int, now_ms: int, depths: Any, theta: Any) -> None:
        signals = {
            f"theta@{depth:.3f}": float(value) for depth, value in zip(depths, theta, strict=True)
        }
        self._put(
            Points(
                node=self.names[i],
                time_ms=now_ms,
                signals=signals,
                units=dict.fromkeys(signals, "m3/m3"),
            )
        )

    # Alerts and view

    def _alert(self, i: int, zone: ZoneState, now_ms: int) -> None:
        values = zone.watched(
            now_ms, self.twin_plant.observed[i], self.scenario.guest.budget.instructions
        )
        if self._told[i] is not NOTHING and now_ms > self._told[i].upto_ms:
            self.alerts.resume(i, self._told[i].standing)
            self._told[i] = NOTHING
        verdict = zone.verdict
        evidence = {"said": verdict.text, "parameters": zone.parameters, **verdict.evidence}
        cause = verdict.cause.value if verdict.cause is not Cause.NONE else ""
        for change in self.alerts.update(i, now_ms, values, cause=cause, evidence=evidence):
            if now_ms <= self._told[i].upto_ms:
                continue
            self._tell(
                i,
                "alert",
                change.text,
                change.evidence,
                severity=change.severity,
                time_ms=now_ms,
            )
            self._publish(self.names[i], change)

    def _look(self, now_ms: int, *, ended: bool) -> View:
        period = self.scenario.period
        return View(
            scenario=self.scenario.name,
            title=self.scenario.title or self.scenario.name,
            mode=self.mode,
            speed=self._clock.factor,
            now_ms=now_ms,
            start_ms=period.start_ms,
            end_ms=period.end_ms,
            ended=ended,
            late_s=self._clock.late_s if self._speed < FULL_SPEED else 0.0,
            zones=tuple(self._view(i, zone) for i, zone in enumerate(self._zones)),
        )

    def _view(self, i: int, zone: ZoneState) -> ZoneView:
        last, twin = zone.last, zone.last_twin
        newest = zone.device[-1][1] if zone.device else last
        counts = last.readings[0] if last is not None and last.readings is not None else None
        other = twin.readings[0] if twin is not None and twin.readings is not None else None
        row = self.twin_plant.observed[i]
        return ZoneView(
            name=self.names[i],
            node=_node_text(zone.config),
            area_m2=zone.config.area_m2,
            birth=zone.birth,
            running=last is None or last.result.trap == TrapKind.NONE,
            lost=newest.lost if newest is not None else "",
            time_ms=last.time_ms if last is not None else self.scenario.period.start_ms,
            theta=values_of.theta(zone.curve, counts),
            theta_twin=values_of.theta(zone.curve, other),
            residual=zone.residual,
            band=zone.band,
            counts=counts,
            pct=zone.pct,
            decision=zone.decision,
            valve=valve(last.result) if last is not None else 0,
            valve_twin=valve(twin.result) if twin is not None else 0,
            flowed=zone.flowed,
            water_today_l=zone.water_today_l if zone.metered else None,
            water_l=zone.water_l if zone.metered else None,
            dr_mm=float(row[Observed.DR_MM]),
            raw_mm=float(row[Observed.RAW_MM]),
            stress_h=zone.stress_h(row),
            verdict=zone.verdict,
            alerts=tuple(self.alerts.active(i)),
            parameters=zone.parameters,
            link=self._devices[i].quality(),
            battery_mv=last.readings[2] if last is not None and last.readings is not None else 0,
            energy_j=zone.energy_j,
            logs=tuple(zone.logs),
            steps=zone.steps,
        )


def _node_text(config: ZoneConfig) -> str:
    node = config.node
    return redacted(":".join(part for part in (node.kind, node.target) if part))


class _TwinStopped(Exception):  # noqa: N818 - a wish, not an error
    pass
