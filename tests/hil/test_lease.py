"""The lease of a device, and the heartbeat that renews it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Semaphore

import pytest
from lockstep import OPENER, START_MS, STEP_MS, TOGGLER

from levada.guest.shipped import DEFAULT_GUEST
from levada.hil import lease
from levada.hil.errors import LinkError
from levada.hil.lease import BEAT_S, HUNG_S, LEASE_MS, Heart
from levada.hil.line.serial_port import Port
from levada.hil.link import Link, Patience
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.codec import Decoder, Frame, encode_frame
from levada.hil.wire.messages import Birth, BirthFlag, Heartbeat, Ping, Pong

READINGS = (2000, 1500, 3700, 0)
IMPATIENT = Patience(least_s=0.05, most_s=0.05, tries=1, reopen_s=0.0)


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    return tmp_path / "pins"


@pytest.fixture
def device(pins: Path) -> Iterator[VirtualDevice]:
    with VirtualDevice(pins=pins) as found:
        yield found


class Tapped:
    """A line on which heartbeats are counted; it can be deaf, gone, or that of an old firmware."""

    def __init__(self, device: VirtualDevice, *, old: bool = False) -> None:
        self._port = Port(device.url)
        self.url = self._port.url
        self._old = old
        self._decoder = Decoder()
        self.beats = Semaphore(0)
        self.sessions: list[int] = []
        self.deaf = False
        self.gone = False
        self.opened = 0

    def open(self) -> None:
        self.opened += 1
        self.gone = False

    def write(self, data: bytes) -> None:
        if self.gone:
            raise LinkError("gone")
        for item in Decoder().feed(data):
            if isinstance(item, Frame) and item.type == Heartbeat.TYPE:
                message = item.message()
                assert isinstance(message, Heartbeat)
                self.sessions.append(message.session)
                self.beats.release()
        if not self.deaf:
            self._port.write(data)

    def read(self, timeout_s: float) -> bytes:
        data = self._port.read(timeout_s)
        if not self._old:
            return data
        found = b""
        for item in self._decoder.feed(data):
            if isinstance(item, Frame):
                body = item.body
                if item.type == Birth.TYPE:
                    birth = Birth.decode(body)
                    fields = {name: getattr(birth, name) for name, _ in Birth.FORMS}
                    fields["flags"] &= ~BirthFlag.HEARTBEAT
                    body = Birth(**fields).encode()
                found += encode_frame(item.type, item.sequence, body)
        return found

    def close(self) -> None:
        self._port.close()


class Beaten:
    """A link that only counts."""

    def __init__(self) -> None:
        self.beats = Semaphore(0)

    def beat(self) -> None:
        self.beats.release()


def test_a_device_misses_three_heartbeats_before_its_lease_ends() -> None:
    assert LEASE_MS == 4000 and BEAT_S == 1.0  # as docs/wire.md says


def test_a_host_that_has_nothing_to_ask_says_that_it_lives(
    device: VirtualDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.01)
    line = Tapped(device)
    with closing(DeviceNode(Link(line), TOGGLER)) as node:
        node.boot(START_MS)
        for _ in range(5):
            assert line.beats.acquire(timeout=60)
        assert node._session.device is not None
        assert set(line.sessions) == {node._session.device.session}
        # nothing was answered, and no number is missing
        assert node.link.ask(Ping(data=b"x"), Pong).data == b"x"
        assert node.quality()["resyncs"] == node.quality()["retries"] == 0
        assert node.quality()["lease_ms"] == LEASE_MS


@pytest.mark.parametrize(
    ("speed", "sleep_ms", "until_s"),
    [
        (None, 3_600_000, HUNG_S),
        (1.0, 3_600_000, HUNG_S + 3600),
        (600.0, 3_600_000, HUNG_S + 6),
        (1.0, 1 << 62, HUNG_S + 86_400),  # it wants never to run again
    ],
)
def test_a_host_whose_loop_hangs_falls_silent(
    monkeypatch: pytest.MonkeyPatch, speed: float | None, sleep_ms: int, until_s: float
) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(lease, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(lease, "BEAT_S", 0.001)
    link = Beaten()
    with closing(Heart(link, speed)) as heart:  # type: ignore[arg-type]
        assert heart.silent  # nothing was asked yet
        heart.begin()
        heart.expect(sleep_ms)
        now_s[0] = 1000.0 + until_s
        assert not heart.silent
        assert link.beats.acquire(timeout=60)
        now_s[0] += 0.001
        assert heart.silent
        while link.beats.acquire(timeout=0.05):
            pass  # one may have been on its way
        heart.expect(sleep_ms)  # it has come back
        assert link.beats.acquire(timeout=60)


def test_who_has_got_no_answer_keeps_no_valve_open(device: VirtualDevice) -> None:
    line = Tapped(device)
    link = Link(line, patience=IMPATIENT)
    link.beat()
    assert line.sessions == []  # no session yet
    link.patience = Patience()
    link.hello()
    link.beat()
    assert len(line.sessions) == 1
    line.deaf, link.patience = True, IMPATIENT
    with pytest.raises(LinkError, match="no answer to Ping"):
        link.ask(Ping(data=b""), Pong)
    link.beat()
    assert len(line.sessions) == 1
    link.close()
    link.beat()
    assert len(line.sessions) == 1


def test_a_heartbeat_opens_a_line_again_that_is_gone(device: VirtualDevice) -> None:
    line = Tapped(device)
    with closing(Link(line)) as link:
        link.hello()
        line.gone = True
        link.beat()
        link.beat()
        assert (line.opened, len(line.sessions), link.quality.reopened) == (1, 1, 1)


@pytest.mark.parametrize(
    ("speed", "lease_ms"), [(600.0, 66_000), (60.0, 120_000), (1.0, 3_660_000), (None, 60_000)]
)
def test_a_firmware_without_heartbeats_gets_a_lease_that_outlasts_a_sleep_and_it_is_said(
    device: VirtualDevice,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    speed: float | None,
    lease_ms: int,
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.001)
    line = Tapped(device, old=True)
    with (
        caplog.at_level(logging.WARNING),
        closing(DeviceNode(Link(line), TOGGLER, speed=speed)) as n,
    ):
        n.boot(START_MS)
        n.step(START_MS + STEP_MS, READINGS)
        assert n.quality()["lease_ms"] == lease_ms
    assert line.sessions == []
    [said] = caplog.messages
    assert (
        f"takes no heartbeat: without a host its outputs close after {lease_ms // 1000} s" in said
    )


# The end of a lease is told


def opened(device: VirtualDevice) -> DeviceNode:
    node = DeviceNode(Link(Port(device.url)), OPENER, lease_ms=100)
    node.boot(START_MS)
    node.step(START_MS + STEP_MS, READINGS)
    return node


def wait_until_closed(node: DeviceNode, pins: Path) -> None:
    while pins.read_text().splitlines()[-1] != "23 0":
        node.link._line.read(0.05)  # nothing comes; the board's own clock closes the valve


def test_a_lease_that_ended_after_the_last_step_voids_the_run_too(
    device: VirtualDevice, pins: Path
) -> None:
    node = opened(device)
    wait_until_closed(node, pins)
    assert node.quality()["void"] is None
    node.close()
    assert "no host was heard for 0.1 s, first told at 2023-04-15T00:10" in node.quality()["void"]


@pytest.mark.parametrize(
    "engine",
    [
        *("native", "esp32"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("wasmtime", "xtensa", "aarch64")),
    ],
)
def test_every_board_closes_its_valve_by_its_own_clock(
    pins: Path, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    with VirtualDevice(engine, pins=pins) as device:
        module = DEFAULT_GUEST.read_bytes() if engine == "native" else OPENER
        with closing(DeviceNode(Link(Port(device.url)), module, lease_ms=100)) as node:
            node.boot(START_MS)
            k = 0
            while "23 1" not in pins.read_text().splitlines():  # the shipped guest thinks it over
                k += 1
                node.step(START_MS + k * STEP_MS, (2400, 1500, 3700, 0))
            wait_until_closed(node, pins)
            node.step(START_MS + (k + 1) * STEP_MS, READINGS)
            assert len(node.lapses) == 1
    assert "it had closed its outputs, as no host was heard for 0.1 s" in caplog.text


@pytest.mark.parametrize("let_go", [False, True], ids=["a fault of the line", "without power"])
def test_a_lease_that_ended_before_a_start_voids_the_run_unless_the_node_had_no_power(
    device: VirtualDevice, pins: Path, monkeypatch: pytest.MonkeyPatch, let_go: bool
) -> None:
    node = opened(device)
    wait_until_closed(node, pins)
    if let_go:  # a node without power is not stepped, and its host falls silent on purpose
        node._session.heart._until_s = 0.0
    node.boot(START_MS + 2 * STEP_MS)
    assert (node.quality()["void"] is None) == let_go
    node.close()


def test_a_valve_is_closed_though_the_last_request_was_broken_off_before_it_was_sent(
    device: VirtualDevice, pins: Path
) -> None:
    node = DeviceNode(Link(Port(device.url)), OPENER)
    node.boot(START_MS)
    node.step(START_MS + STEP_MS, READINGS)
    node.link._sequence += 1  # as Ctrl-C leaves it that comes in between
    node.close()
    assert pins.read_text().splitlines()[-1] == "23 0"
