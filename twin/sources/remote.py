"""Devices that live elsewhere: in the past (`levada.twin.sources.recording`) or in real soil
(`levada.twin.sources.shadow`).

Their reports are all that is known of them.  The twin's valve follows that of the device, so the
twin predicts what the probe should have read under the very decisions that were taken.  The mirror,
the twin's guest fed with the device's readings, should decide as the device did.

Readings that a report does not hold are those of the plant; a flow that it does not hold is
unknown.
"""

from __future__ import annotations

import heapq
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from levada.guest.abi import DEFAULT_PINS, Call, TrapKind
from levada.guest.errors import GuestError
from levada.guest.node import Birth, Readings, StepResult
from levada.guest.tape import Difference, encode, first_difference, iter_records
from levada.sim.run.stops import GuestStop
from levada.twin import signals as values_of
from levada.twin.errors import TwinError
from levada.twin.field import TwinField
from levada.twin.mqtt.sequence import unwrap
from levada.twin.observer import StepObservation
from levada.twin.store.rows import Severity

__all__ = [
    "FOREVER_MS",
    "FURTHER",
    "SECOND_MS",
    "DeviceReport",
    "Follower",
    "RemoteDevice",
    "ReportQueue",
    "is_reading",
    "is_valve",
    "stops_of",
]

FOREVER_MS: Final = 1 << 50
SECOND_MS: Final = 1_000
UNKNOWN: Final = -1
FURTHER: Final = ("tips", "expected", "et0")
"""What telemetry calls the readings of rain, forecast and reference ET."""
"""Flow of a device that has no meter."""
IDENTITY: Final = frozenset({"t", "boot", "seq", "oldest", "up_ms"})
"""Members that a device adds to what its guest publishes."""
AGREEING: Final = 6
"""Reports in a row after which the mirror has caught up with a guest that it joined later."""
CLOCK_SET_MS: Final = 300_000
"""A report so much behind its time shows that the device's clock was set ahead."""
JOINING: Final = 144
"""Reports that a mirror may take to catch up; beyond, their calls count as different."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceReport:
    """One message of a device: a reading, `raw`, with further signals, or the state of the valve,
    `irrigar`, alone."""

    time_ms: int
    """In the scenario's time."""
    boot: int
    seq: int
    values: Mapping[str, float]
    """Its signals, by their names in the store."""
    device_ms: int | None = None
    """What the device's clock showed, believed or not, in the scenario's time zone; None: it does
    not send the time."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Parameters of the guest that came into force since the report before, by name."""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Those of `parameters` that another client has set."""
    unanswered: bool = False
    """Whether some of `parameters` are known from the request alone: they came into force a few
    reports earlier or later."""


class ReportQueue:
    """The reports of one device that nobody has looked at yet, by time; any thread may add one."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, DeviceReport]] = []
        self._known: set[tuple[int, int, int]] = set()
        """Time, boot and number of those that wait."""
        self._order = count()
        self._lock = threading.Lock()

    def add(self, report: DeviceReport) -> None:
        """Keep a report; a device repeats one until it is acknowledged."""
        with self._lock:
            if _identity(report) in self._known:
                return
            self._known.add(_identity(report))
            heapq.heappush(self._waiting, (report.time_ms, next(self._order), report))

    def take(self, until_ms: int) -> list[DeviceReport]:
        """Reports up to this time; several may carry the same time where a clock was set."""
        found: list[DeviceReport] = []
        with self._lock:
            while self._waiting and self._waiting[0][0] <= until_ms:
                report = heapq.heappop(self._waiting)[2]
                self._known.discard(_identity(report))
                found.append(report)
        return found

    def next_ms(self) -> int | None:
        """Time of the next report, if there is one."""
        with self._lock:
            return self._waiting[0][0] if self._waiting else None


def _identity(report: DeviceReport) -> tuple[int, int, int]:
    return report.time_ms, report.boot, report.seq


class RemoteDevice:
    """A device that nobody here steps: a `levada.guest.node.Node` with birth and calibration."""

    def __init__(self, birth: Birth) -> None:
        self._birth = birth

    def birth(self) -> Birth:
        """Who the device is."""
        return self._birth

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Not supported for a remote device: TwinError."""
        del time_ms, skew_ms, forget
        raise _unsupported("boot")

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Not supported for a remote device: TwinError."""
        del time_ms, readings, online, skew_ms
        raise _unsupported("step")

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Nothing is sent: what is set holds for the mirror."""
        return dict(values)

    def install(self, module: bytes) -> Birth:
        """Not supported for a remote device: TwinError."""
        del module
        raise _unsupported("install")

    def quality(self) -> dict[str, Any] | None:
        """None: there is no link."""
        return None

    def close(self) -> None:
        """There is nothing to release."""


def _unsupported(what: str) -> TwinError:
    return TwinError(f"{what}: not supported for a remote device")


@dataclass(slots=True)
class MirrorState:
    """Whether a mirror is where the device's guest is."""

    boot: int | None = None
    seq: int = -1
    boots: set[int] = field(default_factory=set)
    """The present boot and those before."""
    joining: int = 0
    """Reports that the mirror may still need to catch up with a guest that ran before; 0: it has
    caught up."""
    agreeing: int = 0
    """Reports in a row that mirror and device agreed on while joining."""
    valve: int = 0
    seen_ms: int = 0
    """What the device's clock showed at its last report."""
    due_ms: int | None = None
    """When the guest's next report is due, in the scenario's time; None: that is not known."""
    due_shown_ms: int = 0
    """When the guest's next report is due, by the device's clock."""
    skew_ms: int = 0
    """What the device's clock has been set ahead since its guest was started."""


class Follower(RemoteDevice):
    """A node on the twin's plant that commands the valve as the device of zone `i` did.

    It takes the device's reports from `queue` and gives their readings to the mirror.  `wait_ms`
    is given the time after each look and returns how long to wait until the next.  `joins_running`
    means that the device may have run before its first report; `parameters` are those of its birth
    message.  `clock_offset_ms` is the time that a guest on the device sees, less the scenario's.
    """

    def __init__(
        self,
        field: TwinField,
        i: int,
        queue: ReportQueue,
        *,
        wait_ms: Callable[[int], int],
        joins_running: bool,
        parameters: Callable[[], Mapping[str, int]] = dict,
        clock_offset_ms: int = 0,
    ) -> None:
        self._field = field
        self._i = i
        self._zone = field.zones[i]
        super().__init__(self._zone.birth)
        self._zone.metered = False  # until the device reports a flow
        self._queue = queue
        self._wait_ms = wait_ms
        self._joins_running = joins_running
        self._parameters = parameters
        self._clock_offset_ms = clock_offset_ms
        self.compares_calls = self._zone.birth.guest_sha256 == field.info.sha256
        """Whether the device runs the mirror's guest, so that the two must act alike."""
        self.state = MirrorState()
        self.stop: GuestStop | None = None
        """Why the mirror was stopped first, as the guest on the device must have been."""

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        """Start the mirror, and wait for the first report."""
        del skew_ms, forget
        self._begin(time_ms)
        return StepResult(outputs={}, wake_ms=self._wait_ms(time_ms))

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        """Take the reports up to now; `readings` are the twin's prediction."""
        del online, skew_ms
        for report in self._queue.take(time_ms):
            if is_valve(report.values):
                self.state.valve = int(report.values["irrigar"] > 0)
                signals = {"valve": float(self.state.valve)}
                self._field.journal.points(self._i, report.time_ms, "raw", signals)
            elif _is_stale(report, self.state):
                signals = self._signals(report.values)
                self._field.journal.points(self._i, report.time_ms, "raw", signals)
            else:
                self._take(time_ms, report, readings)
        outputs = {DEFAULT_PINS[0]: self.state.valve}
        return StepResult(outputs=outputs, wake_ms=self._wait_ms(time_ms))

    # The mirror

    def _begin(self, time_ms: int) -> None:
        """Start the mirror with the parameters of the device's birth message."""
        self._note_stop(time_ms, self._zone.mirror.boot(time_ms))
        parameters = self._parameters()
        self._adopt(parameters)
        if self.state.boot is not None:  # the device has started again
            self._note_foreign(parameters)

    def _take(self, now_ms: int, report: DeviceReport, predicted: Readings) -> None:
        """Step the mirror with a report, and tell the twin what both did."""
        self._note_foreign(report.foreign)
        self._adopt(report.parameters)
        if report.unanswered:
            self.state.joining = JOINING
        state, values = self.state, report.values
        readings = _readings(values, predicted)
        device_ms = self._follow_clock(report)
        state.boot, state.seq = report.boot, report.seq
        state.boots.add(report.boot)
        state.valve = int(values.get("irrigar", state.valve) > 0)
        flow = predicted[3] if readings[3] == UNKNOWN else readings[3]
        given = (*readings[:3], flow, *readings[4:])
        mirrored = self._zone.mirror.step(device_ms, given, skew_ms=state.skew_ms)
        stopped = mirrored.trap != TrapKind.NONE
        self._note_stop(report.time_ms, mirrored)
        state.seen_ms = device_ms
        state.due_ms = None if stopped else report.time_ms + mirrored.wake_ms
        state.due_shown_ms = device_ms + mirrored.wake_ms
        # where the twin waits for its device it looks at the very second; else what comes a little
        # late is compared with what is predicted now
        step_ms = self._field.scenario.period.step_s * SECOND_MS
        fresh = now_ms - report.time_ms < (SECOND_MS if self.compares_calls else step_ms)
        expected = predicted if fresh else None  # nothing is known any more of what was then
        self._tell(now_ms, report, readings, expected, mirrored)
        self._store(report.time_ms, values, expected)

    def _follow_clock(self, report: DeviceReport) -> int:
        """Start the mirror with the device, and follow the device's clock; what it shows [ms]."""
        state = self.state
        if self._joined_late(report):
            state.joining = JOINING
        shown_ms = report.time_ms if report.device_ms is None else report.device_ms
        device_ms = max(0, shown_ms + self._clock_offset_ms)
        if self._has_booted(report):
            # it booted as long ago as `init` wants to wait
            wake_ms = self._zone.mirror.boot(device_ms).wake_ms
            self._begin(max(0, device_ms - wake_ms))
            state.skew_ms = 0
        elif state.boot is None:
            state.skew_ms = shown_ms - report.time_ms
        elif state.due_ms is not None and not state.joining and _follows(report, state):
            # nobody steps so late, or before the last step: the clock was set
            ahead_ms = device_ms - state.due_shown_ms
            if ahead_ms > CLOCK_SET_MS or device_ms < state.seen_ms:
                state.skew_ms += ahead_ms
        return device_ms

    def _joined_late(self, report: DeviceReport) -> bool:
        """Whether the guest on the device has lived through what the mirror has not."""
        if not self._joins_running:
            return False
        if report.boot != self.state.boot:
            return report.seq > 1  # some count from 0, some from 1
        return report.seq != self.state.seq + 1

    def _has_booted(self, report: DeviceReport) -> bool:
        """Whether this is the first report after a boot of the device."""
        known = self._joins_running or self.state.boot is not None
        return known and report.boot != self.state.boot

    def _note_stop(self, time_ms: int, result: StepResult) -> None:
        if result.trap != TrapKind.NONE and self.compares_calls and self.stop is None:
            self.stop = GuestStop(
                time_ms=time_ms, reason=result.trap_detail, backtrace=result.trap_backtrace
            )

    # Parameters

    def _note_foreign(self, values: Mapping[str, int]) -> None:
        """Record parameters that another client has set on the device."""
        zone = self._zone
        new = {name: v for name, v in values.items() if zone.parameters.get(name) != v}
        if not new:
            return
        words = ", ".join(f"{name} {zone.parameters.get(name)} -> {v}" for name, v in new.items())
        self._note_calibration(f"Set on the device by another client: {words}", {"values": new})
        zone.parameters = {**zone.parameters, **new}

    def _adopt(self, values: Mapping[str, int]) -> None:
        """Give the mirror parameters that are in force on the device."""
        if not values:
            return
        ids = {p.name: p.id for p in self._field.info.parameters}
        try:
            self._zone.mirror.calibrate({ids[name]: value for name, value in values.items()})
        except GuestError as error:
            self._note_calibration(f"The twin cannot follow: {error}", {}, severity="warning")

    def _note_calibration(
        self, text: str, evidence: Mapping[str, Any], *, severity: Severity = "info"
    ) -> None:
        field = self._field
        field.journal.event(
            self._i, "calibration", text, evidence, severity=severity, time_ms=field.now_ms
        )

    # What the twin learns

    def _tell(
        self,
        now_ms: int,
        report: DeviceReport,
        readings: Readings,
        expected: Readings | None,
        mirrored: StepResult,
    ) -> None:
        """Tell the twin what the device did, and the mirror with the device's readings."""
        topic, message = "data", json.dumps(dict(report.values), separators=(",", ":"))
        known = encode(Call.MQTT_PUBLISH, topic.encode(), message.encode(), 0)
        twin = StepObservation(
            time_ms=report.time_ms,
            readings=expected,
            online=True,
            result=StepResult(
                outputs=mirrored.outputs, publications=mirrored.publications, logs=[]
            ),
            took_s=0.0,
        )
        device = StepObservation(
            time_ms=report.time_ms,
            readings=readings,
            online=True,
            result=StepResult(
                outputs={DEFAULT_PINS[0]: self.state.valve},
                tape=known,
                publications=[(topic, message)],
            ),
            took_s=0.0,
        )
        self._field.observe_twin(self._i, now_ms, twin)
        difference = None if self._agree(report.values, mirrored) else _parting(mirrored, known)
        self._field.observe(self._i, now_ms, device, difference)

    def _agree(self, reported: Mapping[str, float], mirrored: StepResult) -> bool:
        """Whether device and mirror publish the same values, or need not do so yet."""
        if not self.compares_calls:
            return True
        state = self.state
        again = [values_of.numbers(message) for _, message in mirrored.publications]
        same = any(_alike(reported, other) for other in again)
        if not state.joining:
            return same
        state.joining -= 1
        state.agreeing = state.agreeing + 1 if same else 0
        if state.agreeing >= AGREEING:
            state.joining = 0
        return same or state.joining > 0

    def _store(self, time_ms: int, values: Mapping[str, float], expected: Readings | None) -> None:
        zone, journal = self._zone, self._field.journal
        signals = self._signals(values)
        if "flow_l" in signals:
            zone.metered = True
            zone.count_water(time_ms, signals["flow_l"])
        journal.points(self._i, time_ms, "raw", signals)
        water = signals.get("theta")
        other = values_of.theta(zone.curve, expected[0]) if expected is not None else None
        if other is not None:
            twins = {"theta": other}
            if water is not None:
                twins["residual"] = water - other
            journal.points(self._i, time_ms, "twin", twins)

    def _signals(self, values: Mapping[str, float]) -> dict[str, float]:
        """Signals of a device's report."""
        zone = self._zone
        counts = int(values["raw"])
        valve = int(values.get("irrigar", self.state.valve) > 0)
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


def stops_of(followers: Sequence[Follower]) -> list[tuple[int, GuestStop | None]]:
    """How often the guest of each device was stopped, 0 or 1 as far as is known, and why."""
    return [(0 if follower.stop is None else 1, follower.stop) for follower in followers]


def is_reading(value: float | None) -> bool:
    """Whether a number can be what a guest is given: 32 bits."""
    return value is not None and -(1 << 31) <= value < 1 << 31


def is_valve(values: Mapping[str, float]) -> bool:
    """Whether a message is a valve's state and nothing else that a twin follows."""
    return "raw" not in values and "irrigar" in values


def _readings(values: Mapping[str, float], predicted: Readings) -> Readings:
    """What the guest on the device read; what is not reported is the twin's prediction."""
    temperature = values["temp_c"] * 100 if "temp_c" in values else None
    return (
        int(values["raw"]),
        _whole(temperature, predicted[1]),
        _whole(values.get("battery_mv"), predicted[2]),
        _whole(values.get("flow"), UNKNOWN),
        *(_whole(values.get(FURTHER[k]), known) for k, known in enumerate(predicted[4:])),
    )


def _whole(value: float | None, default: int) -> int:
    return round(value) if value is not None and is_reading(value) else default


def _is_stale(report: DeviceReport, state: MirrorState) -> bool:
    """Whether a report is a duplicate or out of order: stored, but it does not drive the twin."""
    if report.boot != state.boot:
        return report.boot in state.boots
    return unwrap(report.seq, state.seq) <= state.seq


def _follows(report: DeviceReport, state: MirrorState) -> bool:
    """Whether this is the report right behind the last one: no step was missed."""
    return report.boot == state.boot and unwrap(report.seq, state.seq) == state.seq + 1


def _alike(reported: Mapping[str, float], again: Mapping[str, float]) -> bool:
    common = reported.keys() & again.keys() - IDENTITY
    return bool(common) and all(reported[key] == again[key] for key in common)


def _parting(mirrored: StepResult, known: bytes) -> Difference | None:
    """Where the mirror's messages part from `known`, the one call of the device that is known."""
    published = b"".join(
        encode(Call.MQTT_PUBLISH, *record.values)
        for record in iter_records(mirrored.tape)
        if record.call == Call.MQTT_PUBLISH
    )
    return first_difference(published, known)
