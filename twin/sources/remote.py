"""A twin of devices that live elsewhere: in the past (`levada.twin.sources.recording`) or in real
soil (`levada.twin.sources.shadow`).

Their messages are all that is known of them.  The twin's valve follows that of the device, so the
twin predicts what the probe should have read under the very decisions that were taken.  The mirror,
the twin's guest fed with the device's readings, should decide as the device did.

Readings that messages do not tell are those of the plant; a flow that they do not tell is unknown.
"""

from __future__ import annotations

import heapq
import json
import threading
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from levada.guest.abi import DEFAULT_PINS, Call, TrapKind
from levada.guest.node import Birth, Node, Readings, StepResult
from levada.guest.tape import encode, iter_records
from levada.sim.run.build import NodeSettings
from levada.sim.run.stops import GuestStop
from levada.sim.run.trace import INDEX
from levada.sim.scenario.expand import ZoneConfig
from levada.twin import signals as values_of
from levada.twin.errors import TwinError
from levada.twin.mqtt.sequence import unwrap
from levada.twin.observer import StepObservation
from levada.twin.sources.resume import NOTHING
from levada.twin.store.rows import Kind
from levada.twin.twin import Twin

__all__ = [
    "FOREVER_MS",
    "SECOND_MS",
    "DeviceReport",
    "Elsewhere",
    "Followed",
    "Mirroring",
    "ReportQueue",
    "is_reading",
]

FOREVER_MS: Final = 1 << 50
SECOND_MS: Final = 1_000
UNKNOWN: Final = -1
"""Flow of a device that has no meter."""
IDENTITY: Final = frozenset({"t", "boot", "seq", "oldest"})
"""Members that a device adds to what its guest says."""
AGREEING: Final = 6
"""Messages in a row after which the mirror has caught up with a guest that it joined later."""
CLOCK_SET_MS: Final = 300_000
"""A message so much behind its time says that the device's clock was set ahead."""
JOINING: Final = 144
"""Messages that a mirror may take to catch up; beyond, the device is said to act differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceReport:
    """One message of a device with a reading, `raw`."""

    time_ms: int
    """In the scenario's time."""
    boot: int
    seq: int
    values: Mapping[str, float]
    """Its signals, by their names in the store."""
    device_ms: int | None = None
    """What its clock showed, believed or not, in the scenario's time zone; None: it does not tell
    it."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Parameters of the guest that are in force since the message before, by name;"""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """those of them that were not set from here."""


class ReportQueue:
    """What a device has said and nobody has looked at yet, by time; any thread may add to it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, DeviceReport]] = []
        self._order = count()
        self._lock = threading.Lock()

    def add(self, said: DeviceReport) -> None:
        """Keep a message."""
        with self._lock:
            heapq.heappush(self._waiting, (said.time_ms, next(self._order), said))

    def take(self, until_ms: int) -> list[DeviceReport]:
        """Messages up to this time; several may carry the same time where a clock was set."""
        found: list[DeviceReport] = []
        with self._lock:
            while self._waiting and self._waiting[0][0] <= until_ms:
                found.append(heapq.heappop(self._waiting)[2])
        return found

    def next_ms(self) -> int | None:
        """Time of the next message, if there is one."""
        with self._lock:
            return self._waiting[0][0] if self._waiting else None


class Elsewhere:
    """A device that nobody here steps; a `levada.guest.node.Node` for its birth and its
    calibration."""

    def __init__(self, birth: Birth) -> None:
        self._birth = birth

    def birth(self) -> Birth:
        """Who the device is."""
        return self._birth

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Not from here."""
        del skew_ms, forget
        raise TwinError(f"a device that is followed is not started from here ({time_ms} ms)")

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Not from here."""
        del readings, online, skew_ms
        raise TwinError(f"a device that is followed is not stepped from here ({time_ms} ms)")

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """What is set holds for the mirror."""
        return dict(values)

    def install(self, module: bytes) -> Birth:
        """There is nothing to replace."""
        del module
        raise TwinError("a device that is followed takes no guest from here")

    def quality(self) -> dict[str, Any] | None:
        """There is no link."""
        return None

    def close(self) -> None:
        """There is nothing to release."""


class _Follower(Elsewhere):
    """What runs on the twin's plant: it commands the valve as the device did."""

    def __init__(
        self,
        birth: Birth,
        begin: Callable[[int], None],
        look: Callable[[int, Readings], int],
        wait: Callable[[int], int],
    ) -> None:
        super().__init__(birth)
        self._begin = begin
        self._look = look
        self._wait = wait

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Wait for the first message."""
        del skew_ms, forget
        self._begin(time_ms)
        return StepResult(outputs={}, wake_ms=self._wait(time_ms))

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Look at what the device has said up to now; `readings` are the twin's prediction."""
        del online, skew_ms
        state = self._look(time_ms, readings)
        return StepResult(outputs={DEFAULT_PINS[0]: state}, wake_ms=self._wait(time_ms))


@dataclass(slots=True)
class Mirroring:
    """Whether a mirror is where the device's guest is."""

    boot: int | None = None
    seq: int = -1
    boots: set[int] = field(default_factory=set)
    """This one and those before."""
    joining: int = 0
    """Messages that the mirror may still need to catch up with a guest that ran before; 0: it
    has."""
    agreeing: int = 0
    valve: int = 0
    seen_ms: int = 0
    """What the device's clock showed at its last message."""
    due_ms: int | None = None
    """When the guest wants to run next, hence when its next message is due, in the scenario's
    time,"""
    due_shown_ms: int = 0
    """and by the device's clock."""
    skew_ms: int = 0
    """What the device's clock has been set ahead since its guest was started."""


class Followed(Twin):
    """Base of both: a twin without a physical plant."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._mirroring: dict[int, Mirroring] = {}
        self._stopped: dict[int, tuple[int, GuestStop]] = {}
        """Zones whose mirror was stopped, as the guest on the device must have been."""
        self._drawn_ms: defaultdict[int, int] = defaultdict(lambda: NOTHING.curve_ms)
        """Zone -> up to when a twin before this one has stored its values: they stay."""
        self._device_clock_ms = 0
        """What a guest on a device takes for the time, minus the scenario's, which is local."""
        super().__init__(*arguments, **options)

    # What the two differ in

    @abstractmethod
    def _device_of(self, settings: NodeSettings) -> Node:
        """The device of a zone, for its birth and its calibration; it is never stepped."""

    @abstractmethod
    def _record_of(self, i: int) -> ReportQueue:
        """What the device of a zone says."""

    @abstractmethod
    def _wait(self, i: int, time_ms: int) -> int:
        """Time until it is to be looked at again [ms]."""

    def _joined_late(self, said: DeviceReport, before: Mirroring) -> bool:
        """Whether the guest on the device has lived through what the mirror has not."""
        del said, before
        return False

    def _began_here(self, said: DeviceReport, before: Mirroring) -> bool:
        """Whether this is the first message of a life of the device."""
        return before.boot is not None and said.boot != before.boot

    def _compares_calls(self, i: int) -> bool:
        """Whether the device runs the mirror's guest."""
        del i
        return True

    # The twin

    def _device(self, settings: NodeSettings, make_node: Any) -> Node:
        del make_node
        return self._device_of(settings)

    def _twin_node(self, i: int, settings: NodeSettings) -> Node:
        del settings
        self._mirroring[i] = Mirroring()
        self._zones[i].metered = False  # until it tells a flow
        return _Follower(
            self._zones[i].birth,
            lambda time_ms: self._begin(i, time_ms),
            lambda time_ms, readings: self._look_at(i, time_ms, readings),
            lambda time_ms: self._wait(i, time_ms),
        )

    def _build_physical(self, zones: list[ZoneConfig]) -> None:
        """It is elsewhere."""

    def _device_rows(self) -> list[Any]:
        return [None] * len(self.names)

    def _store_rows(self, i: int, zone: Any, device: Any, twin: Any) -> None:
        del device  # its values are stored as they come
        for row in twin:
            self._put_points(i, int(row[INDEX["time_ms"]]), "twin", self._of_twin(zone, row))

    def _put_points(self, i: int, time_ms: int, kind: Kind, values: Mapping[str, float]) -> None:
        if kind != "twin" or time_ms > self._drawn_ms[i]:
            super()._put_points(i, time_ms, kind, values)

    def _store_profile(self, i: int, now_ms: int, depths: Any, theta: Any) -> None:
        if now_ms > self._drawn_ms[i]:
            super()._store_profile(i, now_ms, depths, theta)

    def _begin(self, i: int, now_ms: int) -> None:
        """Start the mirror of a zone."""
        self._note_stop(i, now_ms, self._zones[i].mirror.boot(now_ms))

    def _note_stop(self, i: int, now_ms: int, result: StepResult) -> None:
        if result.trap != TrapKind.NONE and self._compares_calls(i) and i not in self._stopped:
            stop = GuestStop(
                time_ms=now_ms, reason=result.trap_detail, backtrace=result.trap_backtrace
            )
            self._stopped[i] = 1, stop

    def _stops(self) -> list[tuple[int, GuestStop | None]]:
        return [self._stopped.get(i, (0, None)) for i in range(len(self.names))]

    def _look_at(self, i: int, now_ms: int, predicted: Readings) -> int:
        """Take what the device of a zone has said; its valve."""
        state = self._mirroring[i]
        for said in self._record_of(i).take(now_ms):
            if _comes_behind(said, state):
                self._put_points(i, said.time_ms, "raw", self._of_device(i, said.values))
            else:
                self._take(i, now_ms, said, predicted)
        return state.valve

    def _take(self, i: int, now_ms: int, said: DeviceReport, predicted: Readings) -> None:
        zone, state = self._zones[i], self._mirroring[i]
        values = said.values
        temperature = values["temp_c"] * 100 if "temp_c" in values else None
        readings = (
            int(values["raw"]),
            _whole(temperature, predicted[1]),
            _whole(values.get("battery_mv"), predicted[2]),
            _whole(values.get("flow"), UNKNOWN),
        )
        if self._joined_late(said, state):
            state.joining = JOINING
        shown_ms = said.time_ms if said.device_ms is None else said.device_ms
        device_ms = max(0, shown_ms + self._device_clock_ms)
        if self._began_here(said, state):
            # it booted as long ago as `init` wants to wait
            wake_ms = zone.mirror.boot(device_ms).wake_ms
            self._begin(i, max(0, device_ms - wake_ms))
            state.skew_ms = 0
        elif state.boot is None:
            state.skew_ms = shown_ms - said.time_ms
        elif state.due_ms is not None and not state.joining and _follows(said, state):
            # nobody steps so late, or before the last step: the clock was set
            ahead_ms = device_ms - state.due_shown_ms
            if ahead_ms > CLOCK_SET_MS or device_ms < state.seen_ms:
                state.skew_ms += ahead_ms
        state.boot, state.seq = said.boot, said.seq
        state.boots.add(said.boot)
        state.valve = int(values.get("irrigar", state.valve) > 0)
        flow = predicted[3] if readings[3] == UNKNOWN else readings[3]
        mirrored = zone.mirror.step(device_ms, (*readings[:3], flow), skew_ms=state.skew_ms)
        stopped = mirrored.trap != TrapKind.NONE
        self._note_stop(i, said.time_ms, mirrored)
        state.seen_ms = device_ms
        state.due_ms = None if stopped else said.time_ms + mirrored.wake_ms
        state.due_shown_ms = device_ms + mirrored.wake_ms
        topic, message = "data", json.dumps(dict(said.values), separators=(",", ":"))
        # of the device's calls only the message is known, so only messages are compared
        of_mirror = b"".join(
            encode(Call.MQTT_PUBLISH, *record.values)
            for record in iter_records(mirrored.tape)
            if record.call == Call.MQTT_PUBLISH
        )
        same = self._agree(i, values, mirrored)
        of_device = encode(Call.MQTT_PUBLISH, topic.encode(), message.encode(), 0)
        device = StepObservation(
            time_ms=said.time_ms,
            readings=readings,
            online=True,
            result=StepResult(
                outputs={DEFAULT_PINS[0]: state.valve},
                publications=[(topic, message)],
                tape=of_mirror if same else of_device,
            ),
            took_s=0.0,
        )
        shown = StepResult(
            outputs=mirrored.outputs, publications=mirrored.publications, tape=of_mirror
        )
        # where the twin waits for its device it looks at the very second; else what comes a little
        # late is compared with what is predicted now
        awaited = self._compares_calls(i)
        late_ms = SECOND_MS if awaited else self.scenario.period.step_s * SECOND_MS
        fresh = now_ms - said.time_ms < late_ms
        twin = StepObservation(
            time_ms=said.time_ms,
            readings=predicted if fresh else None,  # of then nothing is known any more
            online=True,
            result=shown,
            took_s=0.0,
        )
        zone.twin.append((now_ms, twin))
        zone.device.append((now_ms, device, shown))
        self._store_device(i, said.time_ms, values, predicted if fresh else None)

    def _agree(self, i: int, said: Mapping[str, float], mirrored: StepResult) -> bool:
        """Whether device and mirror tell alike what both tell, or cannot be held to it yet."""
        if not self._compares_calls(i):
            return True
        state = self._mirroring[i]
        again = [values_of.numbers(message) for _, message in mirrored.publications]
        same = any(_alike(said, other) for other in again)
        if not state.joining:
            return same
        state.joining -= 1
        state.agreeing = state.agreeing + 1 if same else 0
        if state.agreeing >= AGREEING:
            state.joining = 0
        return same or state.joining > 0

    def _store_device(
        self,
        i: int,
        time_ms: int,
        values: Mapping[str, float],
        predicted: Readings | None,
    ) -> None:
        zone = self._zones[i]
        signals = self._of_device(i, values)
        if "flow_l" in signals:
            zone.metered = True
            zone.count_water(time_ms, signals["flow_l"])
        self._put_points(i, time_ms, "raw", signals)
        water = signals.get("theta")
        other = values_of.theta(zone.curve, predicted[0]) if predicted is not None else None
        if other is not None:
            twins = {"theta": other}
            if water is not None:
                twins["residual"] = water - other
            self._put_points(i, time_ms, "twin", twins)

    def _of_device(self, i: int, values: Mapping[str, float]) -> dict[str, float]:
        """Signals of a device's message."""
        zone = self._zones[i]
        counts = int(values["raw"])
        valve = int(values.get("irrigar", self._mirroring[i].valve) > 0)
        signals = {"counts": float(counts), "valve": float(valve)}
        water = values_of.theta(zone.curve, counts)
        if water is not None:
            signals["theta"] = water
        for name in ("temp_c", "battery_mv"):
            if name in values:
                signals[name] = values[name]
        pulses = _whole(values.get("flow"), UNKNOWN)
        if pulses >= 0:
            signals["flow_l"] = pulses / zone.config.valve.pulses_per_l
        return signals


def is_reading(value: float | None) -> bool:
    """Whether a number can be what a guest is given: 32 bits."""
    return value is not None and -(1 << 31) <= value < 1 << 31


def _whole(value: float | None, default: int) -> int:
    return round(value) if value is not None and is_reading(value) else default


def _comes_behind(said: DeviceReport, state: Mirroring) -> bool:
    """Whether a message repeats, or was overtaken by, one that was taken: nothing follows from it
    any more."""
    if said.boot != state.boot:
        return said.boot in state.boots
    return unwrap(said.seq, state.seq) <= state.seq


def _follows(said: DeviceReport, state: Mirroring) -> bool:
    """Whether this is the message right behind the last one: no step was missed."""
    return said.boot == state.boot and unwrap(said.seq, state.seq) == state.seq + 1


def _alike(said: Mapping[str, float], again: Mapping[str, float]) -> bool:
    common = said.keys() & again.keys() - IDENTITY
    return bool(common) and all(said[key] == again[key] for key in common)
