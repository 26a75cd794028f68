"""A line that is away for a while: told while it lasts, and over when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from small_field import START_MS, scenario, until

from levada.guest.node import Readings, StepResult
from levada.hil import link as link_module
from levada.hil.errors import LinkError
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice
from levada.sim.run.build import NodeSettings
from levada.sim.units import HOUR_MS
from levada.twin.diagnosis import Cause
from levada.twin.health import device_part
from levada.twin.sources.bench import Bench
from levada.twin.store.store import Store
from levada.twin.twin import Twin

VIRTUAL = 'node = "virtual"'


@dataclass
class Cable:
    """A line that can be unplugged; it stays gone until it is opened again with the plug in."""

    port: Port
    plugged: bool = True
    gone: bool = False
    looked: Callable[[], None] = field(default=lambda: None)
    """Called when it is opened in vain."""

    @property
    def url(self) -> str:
        return self.port.url

    def open(self) -> None:
        if not self.plugged:
            self.looked()
            raise LinkError("unplugged")
        self.port.open()
        self.gone = False

    def write(self, data: bytes) -> None:
        self.gone |= not self.plugged
        if self.gone:
            raise LinkError("unplugged")
        self.port.write(data)

    def read(self, timeout_s: float) -> bytes:
        return self.port.read(timeout_s)

    def close(self) -> None:
        self.port.close()


class OnCable(DeviceNode):
    """A virtual board on a cable; `before` is called before each step."""

    cable: Cable
    before: Callable[[int], None] = staticmethod(lambda _time_ms: None)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.booted = threading.Event()
        """From now on nothing is asked until the first step."""

    def boot(self, time_ms: int, *, skew_ms: int = 0, forget: bool = False) -> StepResult:
        result = super().boot(time_ms, skew_ms=skew_ms, forget=forget)
        self.booted.set()
        return result

    def step(
        self, time_ms: int, readings: Readings, *, online: bool = True, skew_ms: int = 0
    ) -> StepResult:
        self.before(time_ms)
        return super().step(time_ms, readings, online=online, skew_ms=skew_ms)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", clock_ms=lambda: START_MS) as opened:
        yield opened


@pytest.fixture
def boards() -> Iterator[Callable[[NodeSettings], OnCable]]:
    with VirtualDevice() as device:

        def make(settings: NodeSettings) -> OnCable:
            cable = Cable(device.port())
            node = OnCable(
                Link(cable),
                settings.module,
                config=settings.config,
                parameters=settings.parameters,
                speed=1.0,
            )
            node.cable = cable
            return node

        yield make


def told(store: Store) -> list[tuple[object, ...]]:
    """Alerts in order: kind, whether it was raised, and the cause if it was."""
    found = [e["evidence"] for e in store.reader.events(kind="alert")]
    return [(e["alert"], e["raised"], e["cause"])[: 3 if e["raised"] else 2] for e in found]


def test_a_line_that_is_away_during_a_step_is_told_while_it_is(
    tmp_path: Path,
    store: Store,
    boards: Callable[[NodeSettings], OnCable],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Away for 12 s, which a step waits for with patience for 20 s."""
    away_s = 0.0
    seen: list[tuple[float, str, bool, bool]] = []
    nodes: list[OnCable] = []

    def make(settings: NodeSettings) -> OnCable:
        node = boards(settings)
        node.before = unplug
        node.link.patience = link_module.Patience(reopen_s=20.0)
        node.cable.looked = look
        nodes.append(node)
        return node

    def unplug(time_ms: int) -> None:
        if time_ms - START_MS == 6 * HOUR_MS:
            monkeypatch.setattr(link_module, "monotonic", lambda: 100.0 + away_s)
            monkeypatch.setattr(link_module, "sleep", wait)
            nodes[0].cable.plugged = False

    def wait(seconds: float) -> None:
        nonlocal away_s
        away_s += seconds
        if away_s >= 12.0:
            monkeypatch.undo()
            monkeypatch.setattr(link_module, "monotonic", lambda: time.monotonic() + shift_s)
            nodes[0].cable.plugged = True

    def look() -> None:
        zone = twin.view.zones[0]
        blamed = zone.verdict.cause is Cause.LINK and "silent_s" in zone.verdict.evidence
        seen.append((away_s, zone.lost, blamed, device_part(zone).ok))

    shift_s = 112.0 - time.monotonic()
    twin = Twin(scenario(tmp_path, zones=VIRTUAL, days=1), store, Bench(make, speed=None))
    try:
        twin.run()
    finally:
        twin.close()
    early = [found for found in seen if found[0] <= 4.0]
    late = [found for found in seen if found[0] > 5.1]
    assert early and {found[1:] for found in early} == {("", False, True)}
    assert late and {found[2:] for found in late} == {(True, False)}
    assert late[-1][1] == "not heard for 11 s"
    assert told(store) == [("silence", True, "link"), ("silence", False)]
    zone = twin.view.zones[0]
    assert zone.lost == "" and "silent_s" not in zone.verdict.evidence and device_part(zone).ok
    assert zone.link is not None and len(zone.link["silences"]) == 1


def test_a_line_that_is_away_between_two_steps_is_told(
    tmp_path: Path,
    store: Store,
    boards: Callable[[NodeSettings], OnCable],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes: list[OnCable] = []

    def make(settings: NodeSettings) -> OnCable:
        nodes.append(boards(settings))
        return nodes[-1]

    ahead_s = 0.0
    monkeypatch.setattr(link_module, "monotonic", lambda: time.monotonic() + ahead_s)
    twin = Twin(scenario(tmp_path, zones=VIRTUAL, days=1), store, Bench(make, speed=1.0))
    thread = threading.Thread(target=twin.run)
    thread.start()
    try:
        until(lambda: bool(nodes) and nodes[0].booted.is_set())
        nodes[0].cable.plugged = False
        until(lambda: nodes[0].silent_s > 0.0)  # a heartbeat could not be written
        ahead_s = 4.5
        until(lambda: twin.view.zones[0].lost.startswith("not heard for "))
        zone = twin.view.zones[0]
        assert zone.verdict.cause is Cause.LINK and not device_part(zone).ok
        assert [alert.kind for alert in zone.alerts] == ["silence"]
        nodes[0].cable.plugged = True
        until(lambda: not twin.view.zones[0].lost)
        zone = twin.view.zones[0]
        assert "silent_s" not in zone.verdict.evidence and zone.alerts == ()
    finally:
        twin.stop()
        thread.join()
        twin.close()
