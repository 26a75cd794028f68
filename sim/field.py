"""The field: SimPy processes that let a scenario happen.

The plant goes on by itself between two events of the clock; a process that changes something at an
instant brings the plant there first.  At one instant faults come before nodes, nodes before the
recorder, as SimPy's order of creation has it.  Nodes outside the plant (devices, or guests that
need the ordinary path) are a process each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

from simpy import Environment, Event

from guest.abi import DEFAULT_PINS, Call, TrapKind
from guest.node import Node, StepResult
from guest.tape import iter_records
from sim.energy import W
from sim.faults import FaultEvent
from sim.loop import NEVER_MS, PCT_KEY, WHY_KEY, Z, telemetry_int
from sim.plant import Plant

__all__ = ["Field", "Recorder"]

DAY_S: Final = 86_400

Recorder = Callable[[int], None]
"""Called at the end of every slice of time, with the time [ms since 1970]."""


class Field:
    """A plant and its outside nodes on a clock.

    The clock starts at 0 s, which is `plant.start_ms`.  `nodes` are the outside nodes by zone,
    `slice_s` how often `recorder` is called.  `keep(zone, tape)` is given the tape of every step of
    an outside node.
    """

    def __init__(
        self,
        clock: Environment,
        plant: Plant,
        *,
        faults: Sequence[FaultEvent],
        nodes: Mapping[int, Node],
        keep: Callable[[int, bytes], None],
        recorder: Recorder,
        slice_s: int = DAY_S,
    ) -> None:
        self.clock = clock
        self.plant = plant
        self.nodes = dict(nodes)
        self._keep = keep
        self._recorder = recorder
        self._slice_s = slice_s
        self._wakes: dict[int, Event] = {}
        for i in range(plant.n):
            plant.zones[i, Z.BOOT_MS] = plant.start_ms
        clock.process(self._faults(faults))
        for zone, node in self.nodes.items():
            plant.zones[zone, Z.BOOT_MS] = NEVER_MS
            clock.process(self._outside(zone, node))
        self._end = clock.process(self._slices())

    def run(self) -> None:
        """Let everything happen up to the end of the period."""
        self.clock.run(until=self._end)

    @property
    def now_ms(self) -> int:
        """Present time [ms since 1970]."""
        return self.plant.start_ms + round(self.clock.now * 1000)

    def _until(self, time_ms: int) -> Event:
        return self.clock.timeout(max(0.0, (time_ms - self.now_ms) / 1000))

    def _slices(self) -> Generator[Event, Any, None]:
        plant = self.plant
        while self.now_ms < plant.end_ms:
            yield self._until(min(self.now_ms + self._slice_s * 1000, plant.end_ms))
            plant.advance_to(self.now_ms)
            if self.now_ms >= plant.end_ms:
                plant.finish()
            self._recorder(self.now_ms)

    def _faults(self, events: Sequence[FaultEvent]) -> Generator[Event, Any, None]:
        for event in events:
            if event.time_ms > self.now_ms:
                yield self._until(event.time_ms)
            self.plant.advance_to(self.now_ms)
            self.plant.apply(event)
            wake = self._wakes.get(event.zone_index)
            if wake is not None and not wake.triggered:
                wake.succeed()  # power, clock or a reboot may concern a node that waits

    # Nodes outside the plant

    def _outside(self, i: int, node: Node) -> Generator[Event, Any, None]:
        z = self.plant.zones[i]
        z[Z.BOOT_MS] = NEVER_MS
        boot_ms = self.plant.start_ms
        while True:
            now_ms = self.now_ms
            running = z[Z.POWERED] != 0 and z[Z.DARK] == 0
            if running and boot_ms <= now_ms:
                boot_ms = NEVER_MS
                self.plant.advance_to(now_ms)
                self.plant.boot(i)
                result = node.boot(now_ms + int(z[Z.SKEW_MS]))
                boot_ms = self._take(i, result, now_ms)
            if running and z[Z.TRAP] == 0 and z[Z.WAKE_MS] <= now_ms:
                self.plant.advance_to(now_ms)
                readings = self.plant.sample(i)
                result = node.step(now_ms + int(z[Z.SKEW_MS]), readings, online=bool(z[Z.ONLINE]))
                z[Z.STEPS] += 1
                boot_ms = min(boot_ms, self._take(i, result, now_ms))
            due_ms = boot_ms
            if running and z[Z.TRAP] == 0:
                due_ms = min(due_ms, int(z[Z.WAKE_MS]))
            # power can come back at any time, so look again after an hour at the latest
            due_ms = min(due_ms, now_ms + 3_600_000) if not running else due_ms
            changed = self._wakes[i] = self.clock.event()
            if due_ms < NEVER_MS:
                yield self._until(due_ms) | changed
            else:
                yield changed
            if z[Z.BOOT_MS] < NEVER_MS:  # a fault asked for it
                boot_ms = int(z[Z.BOOT_MS])
                z[Z.BOOT_MS] = NEVER_MS

    def _take(self, i: int, result: StepResult, now_ms: int) -> int:
        """Take over what a node did; when it must boot again."""
        z = self.plant.zones[i]
        self._keep(i, result.tape)
        work = self.plant.powers.work[i]
        work[W.WAKES] += 1.0
        for record in iter_records(result.tape):
            if record.call == Call.MQTT_PUBLISH and record.values[2] == 0:
                topic, message, _ = record.values
                work[W.BURSTS] = 1.0
                work[W.BYTES] += len(topic) + len(message)
                z[Z.PCT], z[Z.WHY] = _telemetry(message, int(z[Z.PCT]), int(z[Z.WHY]))
        z[Z.TRAP] = result.trap
        if result.trap != TrapKind.NONE:
            self.plant.command(i, 0)
            z[Z.WAKE_MS] = NEVER_MS
            return now_ms + int(z[Z.RESTART_MS]) if z[Z.RESTART_MS] > 0 else NEVER_MS
        z[Z.WAKE_MS] = now_ms + result.wake_ms
        self.plant.command(i, result.outputs.get(DEFAULT_PINS[0], 0))
        return NEVER_MS


def _telemetry(message: bytes, pct: int, why: int) -> tuple[int, int]:
    import numpy as np

    text: Any = np.frombuffer(message, dtype=np.uint8)
    return (
        int(telemetry_int(text, 0, text.size, PCT_KEY, pct)),
        int(telemetry_int(text, 0, text.size, WHY_KEY, why)),
    )
