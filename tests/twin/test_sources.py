"""A twin takes its device reports from any source; here from one that a test scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from small_field import READINGS, START_MS, birth, run, scenario

from levada.guest.module.inspect import inspect
from levada.guest.tape import outcome
from levada.sim.run.build import NodeSettings
from levada.sim.run.runner import read_guest
from levada.sim.run.stops import GuestStop
from levada.sim.scenario.model import Scenario
from levada.twin.clock import PacedClock
from levada.twin.diagnosis import Cause
from levada.twin.errors import TwinError
from levada.twin.field import TwinField
from levada.twin.observer import StepObservation
from levada.twin.sources.remote import (
    FOREVER_MS,
    SECOND_MS,
    DeviceReport,
    Follower,
    RemoteDevice,
    ReportQueue,
    stops_of,
)
from levada.twin.sources.source import Mode, Source
from levada.twin.store.store import Store
from levada.twin.twin import Twin

STEP_MS = 600_000


class ScriptedSource:
    """One device that reports what a test says, as one that joins while it runs."""

    mode: Mode = "replay"
    independent = False

    def __init__(self, reports: Sequence[DeviceReport], *, guest_sha256: str) -> None:
        self._queue = ReportQueue()
        for report in reports:
            self._queue.add(report)
        self._guest_sha256 = guest_sha256
        self.observed: list[StepObservation] = []
        """What the twin was told of the device."""
        self.attended = 0

    def clock(self, _scenario: Scenario) -> PacedClock:
        return PacedClock(None)

    def counts(self, _zone: str) -> None:
        return None

    def device(self, _settings: NodeSettings) -> RemoteDevice:
        return RemoteDevice(birth(self._guest_sha256))

    def connect(self, field: TwinField) -> list[Follower]:
        self.field = field
        tell = field.observe

        def observe(i: int, now_ms: int, seen: StepObservation, *rest: object) -> None:
            self.observed.append(seen)
            tell(i, now_ms, seen, *rest)  # type: ignore[arg-type]

        field.observe = observe  # type: ignore[method-assign]
        self.follower = Follower(field, 0, self._queue, wait_ms=self._wait_ms, joins_running=False)
        return [self.follower]

    def _wait_ms(self, time_ms: int) -> int:
        next_ms = self._queue.next_ms()
        return FOREVER_MS if next_ms is None else max(SECOND_MS, next_ms - time_ms)

    def attend(self) -> None:
        self.attended += 1

    def rows(self) -> None:
        return None

    def stops(self) -> list[tuple[int, GuestStop | None]]:
        return stops_of([self.follower])

    def close(self) -> None:
        pass


def report(seq: int, *, boot: int = 1, **values: float) -> DeviceReport:
    """The report of a step every ten minutes, and what it holds beside a reading."""
    return DeviceReport(
        time_ms=START_MS + seq * STEP_MS, boot=boot, seq=seq, values={"raw": 2300.0, **values}
    )


Lived = Callable[[Sequence[DeviceReport]], tuple[ScriptedSource, Twin]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", clock_ms=lambda: START_MS) as opened:
        yield opened


@pytest.fixture
def live(tmp_path: Path, store: Store) -> Lived:
    """Lets a day of the small field pass with these reports, by a device with the twin's guest."""
    field = scenario(tmp_path, days=1)
    sha256 = inspect(read_guest(field)).sha256

    def lived(reports: Sequence[DeviceReport]) -> tuple[ScriptedSource, Twin]:
        source = ScriptedSource(reports, guest_sha256=sha256)
        taken: Source = source
        return source, run(Twin(field, store, taken))

    return lived


def test_a_twin_lives_by_any_source_and_lets_it_attend(live: Lived) -> None:
    source, twin = live([report(seq) for seq in range(1, 101)])
    zone = twin.view.zones[0]
    assert (zone.steps, zone.counts) == (100, 2300)
    assert twin.view.mode == "replay"
    assert source.attended > 100


def test_no_tape_stands_for_that_of_the_device(live: Lived) -> None:
    """Also where the mirror agrees, the device's observation holds what the device published."""
    source, twin = live([report(seq) for seq in range(1, 11)])
    assert twin.view.zones[0].verdict.cause is not Cause.FIRMWARE
    assert len(source.observed) == 10
    for seen in source.observed:
        published, _ = outcome(seen.result.tape)
        assert published == seen.result.publications == [("data", '{"raw":2300.0}')]


def test_a_report_that_the_guest_would_not_publish_is_blamed_on_the_firmware(
    live: Lived,
) -> None:
    """The field has on_pct = 70; this device claims to act on 99."""
    _, twin = live([*(report(seq) for seq in range(1, 5)), report(5, on=99.0)])
    verdict = twin.view.zones[0].verdict
    assert verdict.cause is Cause.FIRMWARE
    difference = verdict.evidence["difference"].replace("\\", "")
    assert '"on":99.0' in difference and '"on":70' in difference


def test_duplicate_and_out_of_order_reports_are_stored_but_do_not_drive_the_twin(
    live: Lived, store: Store
) -> None:
    late = replace(report(2, irrigar=1.0), time_ms=START_MS + 4 * STEP_MS + 1_000)
    again = replace(report(3, irrigar=1.0), time_ms=START_MS + 5 * STEP_MS + 1_000)
    reports = [report(seq, irrigar=0.0) for seq in (1, 3, 4, 5)]
    old_life = replace(report(9, boot=1, irrigar=1.0), time_ms=START_MS + 7 * STEP_MS)
    source, twin = live([*reports, late, again, report(6, boot=2, irrigar=0.0), old_life])
    zone = twin.view.zones[0]
    assert (zone.steps, zone.valve) == (5, 0)
    assert len(source.observed) == 5
    assert store.reader.window("maize", "counts").total == 8


def test_what_a_device_repeats_does_not_wait_twice() -> None:
    """As it does through an outage of the database, for which the twin waits."""
    waiting = ReportQueue()
    for _ in range(1_000):
        for seq in (1, 2):
            waiting.add(report(seq))
    assert [found.seq for found in waiting.take(FOREVER_MS)] == [1, 2]
    waiting.add(report(2))  # this one the follower knows
    assert [found.seq for found in waiting.take(FOREVER_MS)] == [2]


def test_parameters_set_by_another_client_are_followed_and_recorded(
    live: Lived, store: Store
) -> None:
    foreign = replace(report(2, on=50.0), parameters={"on_pct": 50}, foreign={"on_pct": 50})
    _, twin = live([report(1, on=70.0), foreign, report(3, on=50.0)])
    zone = twin.view.zones[0]
    assert zone.parameters["on_pct"] == 50
    assert zone.verdict.cause is not Cause.FIRMWARE  # the mirror acts by it too
    (event,) = store.reader.events(kind="calibration")
    assert event["text"] == "Set on the device by another client: on_pct 70 -> 50"


def test_what_a_remote_device_does_not_do_is_said() -> None:
    device = RemoteDevice(birth("ab" * 32))
    for what in (
        lambda: device.boot(START_MS),
        lambda: device.step(START_MS, READINGS),
        lambda: device.install(b""),
    ):
        with pytest.raises(TwinError, match="not supported for a remote device"):
            what()
    assert device.calibrate({0: 55}) == {0: 55}
    assert device.quality() is None
