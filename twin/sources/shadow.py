"""Devices in real soil, followed live: the twin hears what they read and did, and predicts.

What is concluded follows from the order and the times of the reports, not from when they came: the
twin does not live beyond the moment at which a device that runs its guest is to report next, until
it has heard that report and all before it.  Only a device that has fallen silent, or that leaves a
report missing for a minute, is not waited for.  Devices that tell no time, or run another guest,
are followed a little behind their present.

What devices reported to this store before is followed first, at full speed; what an earlier twin
has concluded from that is not reported again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from levada.guest.abi import DEFAULT_PINS
from levada.guest.node import StepResult
from levada.sim.run.build import NodeSettings
from levada.sim.run.stops import GuestStop
from levada.sim.scenario.model import Scenario
from levada.twin.clock import ATTENTION_S, FULL_SPEED, LONGEST_S, PacedClock
from levada.twin.errors import TwinError
from levada.twin.field import TwinField
from levada.twin.observer import StepObservation
from levada.twin.sources.mqtt import MqttDevice, MqttDevices
from levada.twin.sources.recording import stored_reports
from levada.twin.sources.remote import FOREVER_MS, SECOND_MS, Follower, stops_of
from levada.twin.sources.resume import resume_point
from levada.twin.sources.source import Mode

__all__ = ["Shadow"]

BEHIND_S: Final = 2.0
"""How far the twin stays behind [wall-clock s]."""
LOOK_S: Final = 0.5
"""Between two looks for reports [wall-clock s]."""
PATIENCE_S: Final = 60.0
"""For so long a report that is overdue is waited for, if its device is there [wall-clock s]."""
SILENT: Final = "silent for three heartbeats"


class Shadow:
    """The devices `devices`, which have been heard, at `speed` simulated seconds a second.

    It is a `levada.twin.sources.source.Source`.  Raises TwinError if their present is outside the
    scenario's period.
    """

    mode: Mode = "shadow"
    independent = True

    def __init__(self, devices: MqttDevices, *, speed: float) -> None:
        self._devices = devices
        self._speed = speed
        self._silent: set[int] = set()
        self._given_up: dict[int, int] = {}
        """Up to when the reports were complete of devices that are not waited for."""
        self._followers: list[Follower] = []
        now_ms, period = devices.time.now_ms(), devices.scenario.period
        if not period.start_ms <= now_ms < period.end_ms:
            raise TwinError(
                f"the devices live on {_day(now_ms)} (local standard time), outside the scenario's "
                f"period {period.start} to {period.end}: give it a period and weather that hold "
                "that day"
            )
        self._begun_ms = now_ms
        """The devices' present when the twin begins."""

    def clock(self, scenario: Scenario) -> PacedClock:
        """A clock that waits for what the devices report."""
        skip_s = (self._begun_ms - scenario.period.start_ms) / 1000.0
        return _HeldClock(self._speed, skip_s=skip_s, hold=self._hold, behind_s=self._behind_s)

    def counts(self, zone: str) -> tuple[int, int, int] | None:
        """What a device believes of its probe, by its birth message."""
        return self._devices.counts(zone)

    def device(self, settings: NodeSettings) -> MqttDevice:
        """The device of a zone; it is calibrated over MQTT."""
        return MqttDevice(self._devices, settings.zone.name)

    def connect(self, field: TwinField) -> list[Follower]:
        """Let the twin's valves follow those in the field, from what is stored on."""
        self._field = field
        for i, name in enumerate(field.names):
            self._followers.append(
                Follower(
                    field,
                    i,
                    self._devices.queue(name),
                    wait_ms=lambda time_ms, i=i: self._wait_ms(i, time_ms),  # type: ignore[misc]
                    joins_running=True,
                    parameters=lambda name=name: self._devices.parameters(name),  # type: ignore[misc]
                    clock_offset_ms=-field.scenario.site.utc_offset_ms,
                )
            )
            zone = field.zones[i]
            zone.heard_ms = self._begun_ms
            zone.parameters = {**zone.parameters, **self._devices.parameters(name)}
            self._resume(i, name)
        return self._followers

    def _resume(self, i: int, name: str) -> None:
        """Begin with what a device reported before, where an earlier twin has concluded from it."""
        field, store = self._field, self._field.journal.store
        before = store.patiently(lambda: resume_point(store.reader, name, field.scenario))
        if before.upto_ms > self._begun_ms:
            return  # the devices have begun anew, as simulated ones do
        field.zones[i].resume = before
        field.journal.go_on(i, before.curve_ms)
        for report in store.patiently(lambda: stored_reports(store.url, name, field.scenario)):
            if report.time_ms < self._begun_ms:
                self._devices.queue(name).add(report)

    def attend(self) -> None:
        """Note who has fallen silent; judge and alert at once, not only when rows are due."""
        field = self._field
        now_ms = field.now_ms
        if now_ms < self._begun_ms:
            return  # who is silent now was not so then
        for i, name in enumerate(field.names):
            self._note_module(i, name)
            if self._devices.present(name):  # by its own rhythm: it may report once an hour
                self._silent.discard(i)
                field.zones[i].heard_ms = max(field.zones[i].heard_ms, now_ms)
            elif i not in self._silent and self._devices.queue(name).next_ms() is None:
                self._silent.add(i)  # after what it said before, which says that it is there
                self._fell_silent(i)
        field.judge_until(now_ms)
        field.alert_all(now_ms)
        field.changed()

    def _note_module(self, i: int, name: str) -> None:
        """A device that was given another module (docs/updates.md) decides by that: the twin has
        nothing to compare its decisions with until it is started with the same one."""
        field, zone = self._field, self._field.zones[i]
        birth = self._devices.birth(name)
        if not birth.guest_sha256 or birth.guest_sha256 == zone.birth.guest_sha256:
            return
        known = zone.birth.guest_sha256
        zone.birth = birth
        follower = self._followers[i]
        follower.compares_calls = birth.guest_sha256 == field.info.sha256
        if not known:
            return
        said = f"{birth.guest_name} {birth.guest_version}".strip() or birth.guest_sha256[:16]
        text = f"runs {said} now"
        if not follower.compares_calls:
            text += ", which is not the twin's module: its decisions are not judged any more"
        evidence = {"guest_sha256": birth.guest_sha256, "before": known}
        field.journal.event(i, "update", text, evidence, time_ms=field.zone_ms(i))

    def _fell_silent(self, i: int) -> None:
        now_ms = self._field.zone_ms(i)
        seen = StepObservation(
            time_ms=now_ms,
            readings=None,
            online=False,
            result=StepResult(outputs={DEFAULT_PINS[0]: self._followers[i].state.valve}),
            took_s=0.0,
            lost=SILENT,
        )
        self._field.observe(i, now_ms, seen, None)

    def rows(self) -> None:
        """Real soil is not simulated."""

    def stops(self) -> list[tuple[int, GuestStop | None]]:
        """Stops of the mirrors, since the guests on the devices must have been stopped likewise."""
        return stops_of(self._followers)

    def close(self) -> None:
        """There is nothing to release: who made the devices closes them."""

    # Time

    def _hold(self, due_s: float) -> None:
        """Wait before an event until all is heard that may have happened before it."""
        field = self._field
        due_ms = field.scenario.period.start_ms + round(due_s * 1000)
        if due_ms <= self._known_ms():
            return
        since_s = monotonic()
        while True:
            self._devices.news.clear()
            if due_ms <= self._known_ms(since_s):
                break
            field.judge_until(field.now_ms + 1)  # nothing falls on this moment any more
            field.attend()
            self._devices.news.wait(LOOK_S)
        field.clock.pace(field.clock.factor)  # to have waited is not to be late

    def _known_ms(self, since_s: float | None = None) -> int:
        """Up to when it is known what the devices did; `since_s`: waited since [monotonic s]."""
        return min(self._known_of(i, since_s) for i in range(len(self._followers)))

    def _known_of(self, i: int, since_s: float | None) -> int:
        field, follower = self._field, self._followers[i]
        name, due_ms = field.names[i], follower.state.due_ms
        complete = self._devices.complete(name)
        upto_ms = complete.upto_ms
        if not follower.compares_calls or upto_ms is None or not self._devices.present(name):
            return FOREVER_MS
        if self._given_up.get(i) == upto_ms:
            return FOREVER_MS
        known_ms = -(-upto_ms // SECOND_MS) * SECOND_MS  # the twin looks at whole seconds
        if due_ms is not None:
            known_ms = max(known_ms, due_ms - SECOND_MS)
        if known_ms < field.now_ms or known_ms >= field.scenario.period.end_ms - SECOND_MS:
            return FOREVER_MS  # nobody waits for what comes too late, or after the end
        if since_s is not None and monotonic() > since_s + PATIENCE_S:
            complete.give_up()
            if complete.upto_ms == upto_ms:
                self._given_up[i] = upto_ms
        return known_ms

    def _target_ms(self) -> int:
        """Where the twin ought to be."""
        return self._devices.time.now_ms() - round(BEHIND_S * self._speed * 1000)

    def _behind_s(self) -> float:
        """How far the twin is behind where it ought to be, if it is too far, else 0 [s]."""
        behind_s = (self._target_ms() - self._field.now_ms) / 1000.0
        return max(0.0, behind_s) if behind_s > BEHIND_S * self._speed else 0.0

    def _wait_ms(self, i: int, time_ms: int) -> int:
        """Until a zone is to be looked at again [ms]."""
        follower = self._followers[i]
        longest_ms = max(round(LOOK_S * self._speed * 1000), self._target_ms() - time_ms, SECOND_MS)
        due_ms = follower.state.due_ms
        if due_ms is not None and due_ms > time_ms and follower.compares_calls:
            longest_ms = min(longest_ms, due_ms - time_ms)
        next_ms = self._devices.queue(self._field.names[i]).next_ms()
        wait_ms = longest_ms if next_ms is None else min(longest_ms, next_ms - time_ms)
        return max(SECOND_MS, -(-wait_ms // SECOND_MS) * SECOND_MS)


class _HeldClock(PacedClock):
    """A clock that asks before every event whether it may happen yet.

    `hold` is given when the event is due [s] and returns when it may happen; `behind_s` says how
    much the twin has to catch up with at full speed [s].
    """

    def __init__(
        self,
        speed: float,
        *,
        skip_s: float,
        hold: Callable[[float], None],
        behind_s: Callable[[], float],
    ) -> None:
        super().__init__(speed, skip_s=skip_s)
        self._hold = hold
        self._behind_s = behind_s

    def step(self) -> None:
        """Wait for leave, and until the next event is due, then process it."""
        self._hold(self.peek())
        super().step()

    def keep_pace(self) -> float:
        """Go at full speed while the twin is far behind."""
        behind_s = self._behind_s()
        wanted = FULL_SPEED if behind_s else self.speed
        if self.factor != wanted:
            self.pace(wanted)
        # when it has caught up it goes no farther: what comes then has not happened yet
        return min(behind_s or max(1.0, round(ATTENTION_S * self.speed)), LONGEST_S)


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
