"""The twin of a field: every physical node beside its simulated one, live.

    with Store(path) as store, NodeMaker(speed=600) as make_node:
        twin = Twin(scenario, store, Bench(make_node, speed=600))
        twin.run()

What the devices do comes from a source (`levada.twin.sources.source`): a bench, where they are
given simulated readings, a recording, or real soil.  The twin's own plant goes on beside it without
faults.  A third guest, the mirror, is fed what the device read (`levada.twin.diagnosis` says why).
Results go into the store and, as one immutable `View`, to the page and other readers.

Everything happens in the thread that calls `run`; other threads hand in calibrations, which take
effect between two steps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, replace
from threading import Event as Flag
from time import monotonic
from typing import Any, Final

from simpy import Event

from levada.guest.errors import GuestError
from levada.guest.fast.jit import mark_compiled
from levada.guest.module.inspect import inspect
from levada.guest.node import Birth
from levada.hil.lease import HUNG_S
from levada.sim.run import build, runner
from levada.sim.run.field import Field
from levada.sim.scenario.dump import dump
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.alerts import Change
from levada.twin.calibration.dry_run import DryRun, dry_run
from levada.twin.calibration.parameters import agree, checked
from levada.twin.calibration.requests import CalibrationRequest, Calibrations
from levada.twin.clock import FULL_SPEED
from levada.twin.errors import CalibrationError, StoreError
from levada.twin.field import TwinField
from levada.twin.health import Part
from levada.twin.journal import Journal
from levada.twin.snapshot import View
from levada.twin.sources.source import Source
from levada.twin.store.store import Store

__all__ = ["Twin"]

_log = logging.getLogger(__name__)

ENDED: Final = "the twin has ended"


class Twin:
    """A field and its twin.

    `source` tells what the devices do; `publish` is given every alert, `deliver` what devices
    publish (zone, topic, time [ms], message), if that is not simply to be stored.  Raises what the
    source's devices raise, TwinMismatchError if a device runs another guest.
    """

    def __init__(
        self,
        scenario: Scenario,
        store: Store,
        source: Source,
        *,
        publish: Callable[[str, Change], None] = lambda _zone, _change: None,
        deliver: Callable[[str, str, int, str], None] | None = None,
    ) -> None:
        self.scenario = scenario
        self.store = store
        self.info = inspect(runner.read_guest(scenario), budget=scenario.guest.limits())
        self._source = source
        self._calibrations = Calibrations(store, self._calibrate, self._calibrated)
        self._stop = Flag()
        self._attended_s: float | None = None
        """On the monotonic clock, when other threads were last attended to."""
        self.names = [config.name for config in expand(scenario)]
        self._clock = source.clock(scenario)
        self._journal = Journal(store, self.names, self._stop, can_wait=source.independent)
        self._field = TwinField(
            scenario,
            self.info,
            self._clock,
            self._journal,
            publish=publish,
            deliver=deliver or (_ignore if source.independent else self._keep),
            changed=self._refresh,
            attend=self._attend,
        )
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        self.view = self._look(ended=False)

    def _build(self) -> None:
        scenario, field, source = self.scenario, self._field, self._source
        module = runner.read_guest(scenario)
        for config in expand(scenario):
            settings = build.node_settings(config, module, self.info, scenario)
            counts = source.counts(config.name)
            if counts is not None:
                settings = replace(settings, config=counts)
            field.add_zone(settings, source.device(settings))
        field.build_plant(source.connect(field))
        self._process = Field(
            self._clock,
            field.plant,
            faults=(),
            recorder=self._record,
            slice_s=scenario.period.trace_s,
        )
        self._clock.process(self._attend_always())
        if source.independent:
            self.store.patiently(lambda: self._calibrations.recall(self.names))

    # Running

    def run(self) -> None:
        """Let it happen until the end of the period, or until `stop`."""
        run = self.store.patiently(self._begin_run, self._stop)
        for i, zone in enumerate(self._field.zones):
            self._journal.online(i, self.now_ms, asdict(zone.birth) | {"node": zone.node_text})
        try:
            plant = self._field.plant
            plant.advance_to(plant.start_ms)  # goes nowhere, but compiles, or loads, all of it
            mark_compiled()
            self._clock.pace(self._clock.factor)
            self._process.run()
        except _TwinStopped:
            pass
        finally:
            self.view = self._look(ended=True)
            self._calibrations.refuse(ENDED)
            self.store.flush(10.0)
            try:
                self.store.end_run(run)
            except StoreError as error:
                _log.warning("the end of the run is not noted: %s", error)

    def _begin_run(self) -> int:
        return self.store.begin_run(
            self.scenario.name,
            self._source.mode,
            guest_sha256=self.info.sha256,
            scenario=dump(self.scenario),
            detail={"zones": self.names, "speed": self._clock.speed},
        )

    @property
    def now_ms(self) -> int:
        """Present virtual time [ms since 1970]."""
        return self._field.now_ms

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
            for name, (count, stop) in zip(self.names, self._source.stops(), strict=True)
            if stop is not None
        ]
        may_stop = self.scenario.guest.may_stop
        return {"zones": zones, "traps": len(zones), "may_stop": may_stop}

    def close(self) -> None:
        """Close nodes and plants; valves are closed."""
        self._source.close()
        self._field.close()

    def _attend_always(self) -> Generator[Event, Any, None]:
        """Attend to other threads, between the steps.

        Steps fall on whole seconds, so half a second past them device, mirror and twin have all
        made the same ones.
        """
        yield self._clock.timeout(0.5)
        while True:
            self._attend()
            yield self._clock.timeout(self._clock.keep_pace())

    def _attend(self) -> None:
        """Attend once; ends the run if somebody has asked for it."""
        self._attended_s = monotonic()
        if self._stop.is_set():
            raise _TwinStopped
        self._source.attend()
        self._calibrations.process_pending(self.now_ms, self.parameters)

    def _record(self, now_ms: int) -> None:
        """End of a slice: both plants have come to `now_ms`."""
        self._field.record(now_ms, self._source.rows())
        self._refresh()

    def _keep(self, zone: str, _topic: str, time_ms: int, message: str) -> None:
        self._journal.message(self.names.index(zone), self.now_ms, time_ms, message)

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
        done = self._calibrations.submit(
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
        return self._field.zones[self.names.index(zone)].parameters

    def register_nodes(
        self,
        register: Callable[
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
        """Hand every node to another interface, such as `levada.twin.mqtt.gateway.Gateway.serve`:
        name, birth, dry, wet and limit counts, parameters in force, and what changes them.
        """
        for name, zone in zip(self.names, self._field.zones, strict=True):
            register(
                name,
                zone.birth,
                zone.settings.config,
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
        if self._stop.is_set():
            raise CalibrationError(ENDED)  # each of many may wait for a device that is silent
        i, field = self.names.index(zone), self._field
        agree(self.info, field.zones[i].parameters, values)
        ids = {p.name: p.id for p in self.info.parameters}
        names = {number: name for name, number in ids.items()}
        by_id = {ids[name]: value for name, value in values.items()}
        read_back = {names[k]: v for k, v in field.devices[i].calibrate(by_id).items()}
        if read_back == values and not self._source.independent:
            try:
                field.take_over(i, by_id)
            except GuestError as error:
                self._note_calibration(i, f"The twin cannot follow: {error}", {})
        return read_back

    def _calibrated(self, request: CalibrationRequest) -> None:
        i = self.names.index(request.zone)
        zone = self._field.zones[i]
        changed = ", ".join(
            f"{name} {zone.parameters[name]} -> {value}" for name, value in request.values.items()
        )
        zone.parameters = {**zone.parameters, **request.values}
        evidence = {"values": dict(request.values)}
        self._note_calibration(i, f"{request.who}: {changed}", evidence)
        self._refresh()

    def _note_calibration(self, i: int, text: str, evidence: Mapping[str, Any]) -> None:
        self._journal.event(i, "calibration", text, evidence, time_ms=self.now_ms)

    # The view

    def _refresh(self) -> None:
        self.view = self._look(ended=False)

    def _look(self, *, ended: bool) -> View:
        period, clock = self.scenario.period, self._clock
        return View(
            scenario=self.scenario.name,
            title=self.scenario.title or self.scenario.name,
            mode=self._source.mode,
            speed=clock.factor,
            now_ms=self.now_ms,
            start_ms=period.start_ms,
            end_ms=period.end_ms,
            ended=ended,
            late_s=clock.late_s if clock.speed < FULL_SPEED else 0.0,
            zones=self._field.views(),
        )


def _ignore(_zone: str, _topic: str, _time_ms: int, _message: str) -> None:
    """What an independent device publishes is in the store already."""


class _TwinStopped(Exception):  # noqa: N818 - a request, not an error
    pass
