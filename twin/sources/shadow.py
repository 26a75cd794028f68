"""Devices in real soil, followed live: the twin hears what they read and did, and predicts.

What is concluded follows from the order and the times of the messages, not from when they came:
the twin does not live beyond the moment at which a device that runs its guest is to report next,
until it has heard that report and all before it.  Only a device that has fallen silent, or that
leaves a report missing for a minute, is not waited for.  Devices that tell no time, or run another
guest, are followed a little behind their present.

What devices said to this store before is followed first, at full speed; what an earlier twin has
told of that is not told again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from levada.guest.abi import DEFAULT_PINS
from levada.guest.errors import GuestError
from levada.guest.node import Node, Readings, StepResult
from levada.sim.run.build import NodeSettings
from levada.sim.run.clock import WallClock
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.scenario.model import Scenario
from levada.twin.errors import TwinError
from levada.twin.observer import StepObservation
from levada.twin.sources.mqtt import MqttDevice, MqttDevices
from levada.twin.sources.recording import heard
from levada.twin.sources.remote import (
    FOREVER_MS,
    SECOND_MS,
    DeviceReport,
    Followed,
    Mirroring,
    ReportQueue,
)
from levada.twin.sources.resume import told
from levada.twin.store.store import Store
from levada.twin.twin import ATTENTION_S, FULL_SPEED

__all__ = ["Shadow"]

BEHIND_S: Final = 2.0
"""How far the twin stays behind [wall-clock s]."""
LOOK_S: Final = 0.5
"""Between two looks for messages [wall-clock s]."""
PATIENCE_S: Final = 60.0
"""For so long a message that is overdue is waited for, if its device is there [wall-clock s]."""
SILENT: Final = "silent for three heartbeats"


class Shadow(Followed):
    """A twin whose devices are `devices`, which have been heard.

    Raises TwinError if their present is outside the scenario's period, TwinMismatchError if one of
    them runs another guest.
    """

    mode = "shadow"

    def __init__(
        self,
        scenario: Scenario,
        store: Store,
        devices: MqttDevices,
        *,
        speed: float,
        **options: Any,
    ) -> None:
        self._far = devices
        self._silent: set[int] = set()
        self._given_up: dict[int, int] = {}
        """Up to when the reports were complete of devices that are not waited for."""
        now_ms, period = devices.time.now_ms(), scenario.period
        if not period.start_ms <= now_ms < period.end_ms:
            raise TwinError(
                f"the devices live on {_day(now_ms)} (local standard time), outside the scenario's "
                f"period {period.start} to {period.end}: give it a period and weather that hold "
                "that day"
            )
        super().__init__(
            scenario,
            store,
            speed=speed,
            skip_to_ms=now_ms,
            deliver=lambda *_message: None,  # it is stored already
            **options,
        )
        self._device_clock_ms = -scenario.site.utc_offset_ms
        for name, zone in zip(self.names, self._zones, strict=True):
            zone.heard_ms = now_ms
            zone.parameters = {**zone.parameters, **devices.parameters(name)}
        self._calibrations.recall(self.names)
        for i, name in enumerate(self.names):
            before = told(store.reader, name, scenario)
            if before.upto_ms > now_ms:
                continue  # the devices have begun anew, as simulated ones do
            self._told[i] = before
            self._drawn_ms[i] = before.curve_ms
            for said in heard(store.url, name, scenario):
                if said.time_ms < now_ms:
                    self._far.record(name).add(said)

    def _settings(self, config: ZoneConfig) -> NodeSettings:
        settings = super()._settings(config)
        counts = self._far.counts(config.name)
        return settings if counts is None else replace(settings, config=counts)

    def _device_of(self, settings: NodeSettings) -> Node:
        return MqttDevice(self._far, settings.zone.name)

    def _record_of(self, i: int) -> ReportQueue:
        return self._far.record(self.names[i])

    def _joined_late(self, said: DeviceReport, before: Mirroring) -> bool:
        if said.boot != before.boot:
            return said.seq > 1  # some count from 0, some from 1
        return said.seq != before.seq + 1

    def _began_here(self, said: DeviceReport, before: Mirroring) -> bool:
        return said.boot != before.boot

    def _compares_calls(self, i: int) -> bool:
        return self._zones[i].birth.guest_sha256 == self.info.sha256

    def _begin(self, i: int, now_ms: int) -> None:
        super()._begin(i, now_ms)
        told = self._far.parameters(self.names[i])
        self._adopt(i, told)
        if self._mirroring[i].boot is not None:  # it has started again
            self._note_foreign(i, told)

    # Time

    def _new_clock(self, pace: float) -> WallClock:
        return _HeldClock(self._hold, factor=pace, tolerance_s=1.0)

    def _hold(self, due_s: float) -> None:
        """Wait before an event until all is heard that may have happened before it."""
        due_ms = self.twin_plant.start_ms + round(due_s * 1000)
        if due_ms <= self._known_ms():
            return
        since_s = monotonic()
        while True:
            self._far.news.clear()
            if due_ms <= self._known_ms(since_s):
                break
            self._judge_all(self.now_ms + 1)  # nothing falls on this moment any more
            self._attend_all()
            self._far.news.wait(LOOK_S)
        self._clock.pace(self._clock.factor)  # to have waited is not to be late

    def _known_ms(self, since_s: float | None = None) -> int:
        """Up to when it is known what the devices did; `since_s`: waited since [monotonic s]."""
        return min(self._known_of(i, since_s) for i in range(len(self.names)))

    def _known_of(self, i: int, since_s: float | None) -> int:
        name, state = self.names[i], self._mirroring[i]
        complete = self._far.complete(name)
        upto_ms, due_ms = complete.upto_ms, state.due_ms
        if not self._compares_calls(i) or upto_ms is None or not self._far.present(name):
            return FOREVER_MS
        if self._given_up.get(i) == upto_ms:
            return FOREVER_MS
        known_ms = -(-upto_ms // SECOND_MS) * SECOND_MS  # the twin looks at whole seconds
        if due_ms is not None:
            known_ms = max(known_ms, due_ms - SECOND_MS)
        if known_ms < self.now_ms or known_ms >= self.scenario.period.end_ms - SECOND_MS:
            return FOREVER_MS  # nobody waits for what comes too late, or after the end
        if since_s is not None and monotonic() > since_s + PATIENCE_S:
            complete.give_up()
            if complete.upto_ms == upto_ms:
                self._given_up[i] = upto_ms
        return known_ms

    def _target_ms(self) -> int:
        """Where the twin ought to be."""
        return self._far.time.now_ms() - round(BEHIND_S * self._speed * 1000)

    def _wait(self, i: int, time_ms: int) -> int:
        longest_ms = max(round(LOOK_S * self._speed * 1000), self._target_ms() - time_ms, SECOND_MS)
        due_ms = self._mirroring[i].due_ms
        if due_ms is not None and due_ms > time_ms and self._compares_calls(i):
            longest_ms = min(longest_ms, due_ms - time_ms)
        next_ms = self._record_of(i).next_ms()
        wait_ms = longest_ms if next_ms is None else min(longest_ms, next_ms - time_ms)
        return max(SECOND_MS, -(-wait_ms // SECOND_MS) * SECOND_MS)

    def _keep_pace(self) -> float:
        behind_s = (self._target_ms() - self.now_ms) / 1000.0
        if behind_s > BEHIND_S * self._speed:
            if self._clock.factor != FULL_SPEED:
                self._clock.pace(FULL_SPEED)
            return behind_s  # no farther: what comes then has not happened yet
        if self._clock.factor != self._speed:
            self._clock.pace(self._speed)
        return max(1.0, round(ATTENTION_S * self._speed))

    # What else devices tell

    def _attend(self) -> None:
        for i, name in enumerate(self.names):
            if self._far.present(name):  # by its own rhythm: it may report once an hour
                self._silent.discard(i)
                self._zones[i].heard_ms = max(self._zones[i].heard_ms, self.now_ms)
            elif i not in self._silent:
                self._silent.add(i)
                self._fell_silent(i)
        self._judge_all(self.now_ms)  # at once, not only when rows of the plant are due
        for i, zone in enumerate(self._zones):
            self._alert(i, zone, self.now_ms)
        self.view = self._look(self.now_ms, ended=False)

    def _take_over(self, i: int, values: dict[int, int]) -> None:
        """The twin is behind: the mirror has them with the device's next message."""

    def _take(self, i: int, now_ms: int, said: DeviceReport, predicted: Readings) -> None:
        self._note_foreign(i, said.foreign)
        self._adopt(i, said.parameters)
        super()._take(i, now_ms, said, predicted)

    def _note_foreign(self, i: int, values: Mapping[str, int]) -> None:
        """Tell of parameters that others have set on the device."""
        zone = self._zones[i]
        new = {name: v for name, v in values.items() if zone.parameters.get(name) != v}
        if not new:
            return
        words = ", ".join(f"{name} {zone.parameters.get(name)} -> {v}" for name, v in new.items())
        self._tell(i, "calibration", f"On the device, not from here: {words}", {"values": new})
        zone.parameters = {**zone.parameters, **new}

    def _adopt(self, i: int, values: Mapping[str, int]) -> None:
        """Give the mirror parameters that are in force on the device."""
        if not values:
            return
        ids = {p.name: p.id for p in self.info.parameters}
        try:
            by_id = {ids[name]: value for name, value in values.items()}
            self._zones[i].mirror.calibrate(by_id)
        except GuestError as error:
            self._tell(i, "calibration", f"The twin cannot follow: {error}", {}, severity="warning")

    def _fell_silent(self, i: int) -> None:
        zone = self._zones[i]
        now_ms = self._time_of(self.twin_plant, i)
        seen = StepObservation(
            time_ms=now_ms,
            readings=None,
            online=False,
            result=StepResult(outputs={DEFAULT_PINS[0]: self._mirroring[i].valve}),
            took_s=0.0,
            lost=SILENT,
        )
        zone.device.append((now_ms, seen, StepResult(outputs={})))


class _HeldClock(WallClock):
    """A clock that asks before every event whether it may happen yet."""

    def __init__(self, hold: Callable[[float], None], **options: Any) -> None:
        super().__init__(**options)
        self._hold = hold

    def step(self) -> None:
        """Wait for leave, and until the next event is due, then process it."""
        self._hold(self.peek())
        super().step()


def _day(time_ms: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
