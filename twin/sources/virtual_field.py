"""A field of boards in simulated soil that report over MQTT, as boards in real soil would.

    levada edge scenarios/quickstart.toml --broker mqtt://127.0.0.1 --speed 600x

Soil, weather and the scenario's faults are simulated here, in a process of their own; what leaves
it is what a board tells.  `python -m levada.twin.sources.virtual_field` does so for a twin that
starts it: settings as one line of JSON on standard input, and the field ends when that is closed.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from simpy import Event

from levada.guest.abi import TrapKind
from levada.guest.children import until_input_ends
from levada.guest.errors import GuestError
from levada.guest.lifecycle import Closing
from levada.guest.module.inspect import inspect
from levada.guest.node import Readings, StepResult
from levada.guest.text.logs import log_to_stderr
from levada.hil.errors import HilError, UsageError
from levada.hil.line.broker import BrokerAddress
from levada.hil.node import DeviceNode
from levada.hil.nodes import NodeMaker
from levada.hil.update.carried import carried_parameters
from levada.hil.update.package import ModulePackage
from levada.hil.virtual import allow_boards
from levada.sim.run import build, runner
from levada.sim.run.field import Field
from levada.sim.run.plant import Plant
from levada.sim.run.zone_columns import NodeCol
from levada.sim.run.zone_loop import NEVER_MS
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.scenario.fault import timeline
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.sim.scenario.node_url import NodeUrl
from levada.twin.calibration.parameters import checked
from levada.twin.clock import PacedClock
from levada.twin.errors import CalibrationError
from levada.twin.mqtt.gateway import Gateway
from levada.twin.observer import ObservedNode, StepObservation
from levada.twin.sources.field_updates import BoardUpdates, flash_file, kept_modules
from levada.twin.sources.trial_judge import GuestMessage

__all__ = ["FieldDevice", "main"]


class _InUtc:
    """A board whose clock shows UTC, as that of a board in a field does."""

    def __init__(self, board: DeviceNode, utc_offset_ms: int) -> None:
        self._board = board
        self._utc_offset_ms = utc_offset_ms
        self.birth = board.birth
        self.calibrate = board.calibrate
        self.install = board.install
        self.quality = board.quality
        self.close = board.close

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Start the guest afresh."""
        return self._board.boot(time_ms - self._utc_offset_ms, skew_ms=skew_ms, forget=forget)

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Inject readings and run the guest once."""
        return self._board.step(
            time_ms - self._utc_offset_ms, readings, online=online, skew_ms=skew_ms
        )


RESTART_MS: Final = 60_000
"""Until a board boots again whose module came over the broker and was stopped, unless the scenario
says how long."""
END_S: Final = 10.0
"""How long the last messages may take to be acknowledged at the end of the period."""


@dataclass(frozen=True, slots=True)
class _ParameterChange:
    """Parameters that a client of the broker wants to set."""

    zone: int
    values: dict[str, int]
    done: Future[dict[str, int]]


class FieldDevice(Closing):
    """The boards of a scenario's zones, in simulated soil, at a broker.

    They live from the start of the scenario's period, at full speed up to `skip_to_ms`, from where
    on they report.  What boards keep in flash, and modules that came over the broker, are kept in
    `folder`, and gone on with when the field is started again.  Raises what boards and broker
    raise.
    """

    def __init__(
        self,
        scenario: Scenario,
        broker: BrokerAddress,
        *,
        speed: float = 1.0,
        skip_to_ms: int = 0,
        folder: Path | None = None,
    ) -> None:
        self._speed = speed
        self._skip_to_ms = skip_to_ms
        self._stop = threading.Event()
        self._changes: queue.Queue[_ParameterChange] = queue.Queue()
        zones = [replace(zone, node=_board(zone, folder)) for zone in expand(scenario)]
        allow_boards(sum(zone.node.kind == "virtual" for zone in zones))
        self.names = [zone.name for zone in zones]
        own = runner.read_guest(scenario)
        self._budget = scenario.guest.limits()
        kept = [kept_modules(folder, zone.name) for zone in zones]
        modules = [own if package is None else package.module for package, _ in kept]
        self._infos = [inspect(module, budget=self._budget) for module in modules]
        self._make_node = NodeMaker(speed=speed)
        self._boards: list[ObservedNode] = []
        # before the boards: paho knows only the first 1,024 file descriptors
        self._gateway = Gateway(broker, self.names, shift_ms=-scenario.site.utc_offset_ms)
        try:
            self._counts: list[tuple[int, int, int]] = []
            self._updates: list[BoardUpdates] = []
            self._parameters = [self._first_parameters(i, zone) for i, zone in enumerate(zones)]
            for i, zone in enumerate(zones):
                settings = self._settings(i, zone, modules[i], scenario)
                package, others = kept[i]
                settings = replace(
                    settings,
                    envelope=b"" if package is None else package.envelope,
                    others=tuple((other.module, other.envelope) for other in others),
                )
                device = self._make_node(settings)
                node = _InUtc(device, scenario.site.utc_offset_ms)
                self._counts.append(settings.config)
                self._boards.append(ObservedNode(node, lambda seen, i=i: self._ran(i, seen)))  # type: ignore[misc]
                self._updates.append(self._updates_of(i, device, folder))
        except BaseException:
            self._gateway.close()
            self._make_node.close()
            raise
        self._plant = Plant(
            scenario,
            zones,
            runner.read_weather(scenario),
            None,
            [],
            dict(enumerate(self._boards)),
        )
        self._clock = PacedClock.skipping(speed, scenario.period.start_ms, skip_to_ms)
        self._field = Field(
            self._clock,
            self._plant,
            faults=timeline(scenario, zones),
            recorder=self._forget_rows,
            slice_s=scenario.period.trace_s,
        )
        self._clock.process(self._attend())

    def run(self, began: Callable[[], None] = lambda: None) -> None:
        """Live until the end of the period, or until `stop`; `began` is called at its start."""
        self._plant.advance_to(self._plant.start_ms)  # compiles, or loads, all of it
        for i, name in enumerate(self.names):
            self._boards[i].birth()  # and so it is there
            self._updates[i].start()
            self._gateway.serve(
                name,
                self._boards[i].birth(),
                self._counts[i],
                lambda i=i: self._parameters[i],  # type: ignore[misc]
                lambda values, i=i: self._submit(i, values),  # type: ignore[misc]
                self._updates[i].receiver,
            )
        began()
        self._clock.pace(self._clock.factor)
        with suppress(_FieldStopped):
            self._field.run()
            self._gateway.outbox.flush(END_S)

    def stop(self) -> None:
        """End `run` soon; from any thread."""
        self._stop.set()

    def close(self) -> None:
        """Close the valves, say goodbye."""
        self._plant.close()
        for board in self._boards:
            board.close()
        self._gateway.close()
        self._make_node.close()

    def _forget_rows(self, _now_ms: int) -> None:
        self._plant.take_rows()

    def _first_parameters(self, i: int, zone: ZoneConfig) -> dict[str, int]:
        defaults = {p.name: p.default for p in self._infos[i].parameters}
        return defaults | {k: v for k, v in zone.parameters.items() if k in defaults}

    def _settings(
        self, i: int, zone: ZoneConfig, module: bytes, scenario: Scenario
    ) -> build.NodeSettings:
        """What a board is given; a module that came later need not know all parameters."""
        known = {p.name for p in self._infos[i].parameters}
        given = {k: v for k, v in zone.parameters.items() if k in known}
        info = self._infos[i]
        return build.node_settings(replace(zone, parameters=given), module, info, scenario)

    def _updates_of(self, i: int, device: DeviceNode, folder: Path | None) -> BoardUpdates:
        name = self.names[i]
        return BoardUpdates(
            name,
            device,
            say=lambda message: self._gateway.send(name, message),
            changed=lambda package: self._changed(i, package),
            begins=lambda: self._boot_if_stopped(i),
            parameters=lambda: {
                p.id: self._parameters[i].get(p.name, p.default) for p in self._infos[i].parameters
            },
            defaults=lambda: {p.id: p.default for p in self._infos[i].parameters},
            budget=self._budget,
            folder=folder,
        )

    def _changed(self, i: int, package: ModulePackage) -> None:
        """A board has another module: what both declare alike keeps its value."""
        old, new = self._infos[i], inspect(package.module, budget=self._budget)
        carried = set(carried_parameters(old, new))
        before = self._parameters[i]
        self._infos[i] = new
        self._parameters[i] = {
            p.name: before[p.name] if p.id in carried else p.default for p in new.parameters
        }
        zone = self._plant.zones[i]
        if zone[NodeCol.RESTART_MS] < 0:  # three crashes give it up: it has to boot to have them
            zone[NodeCol.RESTART_MS] = RESTART_MS
        if self._gateway.serves(self.names[i]):
            self._gateway.reborn(self.names[i], self._boards[i].birth())

    def _boot_if_stopped(self, i: int) -> None:
        """A guest that was stopped by a trap takes no step, and so begins no trial."""
        zone = self._plant.zones[i]
        if zone[NodeCol.TRAP] != TrapKind.NONE and zone[NodeCol.BOOT_MS] == NEVER_MS:
            zone[NodeCol.BOOT_MS] = zone[NodeCol.NOW_MS]

    def _ran(self, i: int, seen: StepObservation) -> None:
        published = [GuestMessage(seen.time_ms, *each) for each in seen.result.publications]
        for each in self._updates[i].released(published):
            if each.time_ms < self._skip_to_ms:
                self._gateway.outbox.skip(self.names[i])
            else:
                self._gateway.deliver(self.names[i], each.topic, each.time_ms, each.message)

    def _submit(self, i: int, values: dict[str, int]) -> Future[dict[str, int]]:
        change = _ParameterChange(i, checked(self._infos[i], values), Future())
        self._changes.put(change)
        return change.done

    def _attend(self) -> Generator[Event, Any, None]:
        """Attend to calibrations, between the steps, which fall on whole seconds."""
        yield self._clock.timeout(0.5)
        while not self._stop.is_set():
            for _ in range(self._changes.qsize()):  # what comes meanwhile waits: guests have to run
                self._apply(self._changes.get_nowait())
            for update in self._updates:
                update.before_step()
            yield self._clock.timeout(self._clock.keep_pace())
        raise _FieldStopped

    def _apply(self, change: _ParameterChange) -> None:
        ids = {p.name: p.id for p in self._infos[change.zone].parameters}
        names = {number: name for name, number in ids.items()}
        try:
            found = self._boards[change.zone].calibrate(
                {ids[n]: v for n, v in change.values.items()}
            )
        except (HilError, GuestError) as error:
            change.done.set_exception(CalibrationError(str(error)))
            return
        read_back = {names[number]: value for number, value in found.items()}
        self._parameters[change.zone] |= read_back
        change.done.set_result(read_back)


def _board(zone: ZoneConfig, folder: Path | None) -> NodeUrl:
    """The board of a zone; what it publishes goes through this process.  A virtual one keeps its
    flash in `folder`.  Raises UsageError."""
    node = zone.node
    match node.kind, node.target:
        case ("sim", _) | ("virtual", "mqtt"):
            node = NodeUrl(kind="virtual", trust=node.trust, flash=node.flash)
    match node.kind:
        case "virtual" if folder is not None and not node.flash:
            return replace(node, flash=str(flash_file(folder, zone.name)))
        case "virtual" | "serial":
            return node
    raise UsageError(
        f"zone {zone.name}: a board at {zone.node.target} reports by itself; permitted here are "
        "virtual, virtual:ENGINE and serial:PORT"
    )


class _FieldStopped(Exception):  # noqa: N818 - a request, not an error
    pass


def main() -> None:
    """Run the field that standard input describes, until that is closed."""
    log_to_stderr("field: %(message)s", logging.ERROR)
    line = sys.stdin.readline()
    if not line:
        return  # the process that started this one has ended already
    settings = json.loads(line)
    with FieldDevice(
        load(Path(settings["scenario"])),
        BrokerAddress(**settings["broker"]),
        speed=settings["speed"],
        skip_to_ms=settings["skip_to_ms"],
    ) as field:
        threading.Thread(target=_until_closed, args=(field,), daemon=True).start()
        field.run()


def _until_closed(field: FieldDevice) -> None:
    until_input_ends()
    field.stop()


if __name__ == "__main__":
    main()
