"""A link over bad lines: the serial matrix, with a virtual board at the other end."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from dataclasses import replace

import pytest
import serial
from lockstep import START_MS, STEP_MS, TOGGLER, season, simulated

from levada.guest.wasm.node import WasmtimeNode
from levada.hil import lease
from levada.hil.errors import DeviceError, HilError, LinkError
from levada.hil.line.serial_port import Port
from levada.hil.link import Line, Link, Patience
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.codec import encode_frame
from levada.hil.wire.messages import (
    Ack,
    Fault,
    FaultKind,
    FaultPoint,
    GetStatistics,
    Hello,
    Ping,
    Pong,
    Statistics,
)
from levada.testing import (
    Damage,
    FaultyLine,
    bit_errors,
    clean,
    lost_and_inserted,
    lost_answers,
)

QUICK = Patience(least_s=0.02, most_s=0.08, tries=16)
"""A pseudo terminal answers at once or never."""


class ByteByByte(FaultyLine):
    """Gives one byte a read."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, 0)
        self._kept = b""

    def read(self, timeout_s: float) -> bytes:
        self._kept = self._kept or self._line.read(timeout_s)
        first, self._kept = self._kept[:1], self._kept[1:]
        return first


@pytest.fixture(autouse=True)
def no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent is counted here, and heartbeats are no requests."""
    monkeypatch.setattr(lease, "BEAT_S", 3600.0)


@pytest.fixture
def device() -> Iterator[VirtualDevice]:
    with VirtualDevice() as found:
        yield found


def over(line: Line) -> DeviceNode:
    return DeviceNode(Link(line, patience=QUICK), TOGGLER)


@pytest.mark.parametrize(
    ("damage", "steps"),
    [
        pytest.param(bit_errors(1e-5), 1000, id="L1 bit errors 1e-5"),
        pytest.param(bit_errors(1e-4), 1000, id="L1 bit errors 1e-4"),
        pytest.param(bit_errors(1e-3), 60, id="L1 bit errors 1e-3"),
        pytest.param(lost_and_inserted(1e-3), 300, id="L2 bytes lost and inserted 1e-3"),
    ],
)
def test_over_a_line_with_errors_every_step_is_executed_once(
    device: VirtualDevice, monkeypatch: pytest.MonkeyPatch, damage: Damage, steps: int
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 3_600.0)  # a beat is a frame, but no request
    line = FaultyLine(Port(device.url), seed=1, written=damage, read=damage)
    # at 1e-3 only one sending in eight is answered undamaged
    node = DeviceNode(Link(line, patience=replace(QUICK, tries=200)), TOGGLER)
    try:
        assert season(node, steps) == simulated(steps)
        statistics = node.link.ask(GetStatistics(), Statistics)
        assert statistics.steps == steps
    finally:
        node.close()
    quality = node.link.quality
    delivered = quality.requests / line.frames
    print(f"delivered {delivered:.3f} of {line.frames} sendings, {quality.damaged} damaged")
    assert quality.retries == line.frames - quality.requests


def test_l9_lost_answers_and_lost_requests_are_sent_again_and_executed_once(
    device: VirtualDevice,
) -> None:
    lossy = lost_answers(0.1)
    node = over(FaultyLine(Port(device.url), seed=2, written=lossy, read=lossy))
    try:
        assert season(node, 200) == simulated(200)
        statistics = node.link.ask(GetStatistics(), Statistics)
        assert statistics.steps == 200
        assert statistics.repeats > 0
    finally:
        node.close()
    # 0.19 of the exchanges fail: 1 - 0.9 * 0.9
    assert 0.1 < node.link.quality.retries / node.link.quality.requests < 0.4


def test_l9_an_answer_that_is_stuck_is_asked_for_again_and_executed_once(
    device: VirtualDevice,
) -> None:
    node, twin = over(Port(device.url)), WasmtimeNode(TOGGLER)
    twin.boot(START_MS)
    node.boot(START_MS)
    for k in range(1, 6):
        # longer than the host waits at first, so that it asks again while the answer is stuck
        stuck = Fault(kind=FaultKind.SLOW, point=FaultPoint.EXECUTED, after=0, argument=300)
        node.link.ask(stuck, Ack)
        readings = (2000, 1500, 3700, k)
        result = node.step(START_MS + k * STEP_MS, readings)
        assert result.tape == twin.step(START_MS + k * STEP_MS, readings).tape
    statistics = node.link.ask(GetStatistics(), Statistics)
    node.close()
    twin.close()
    assert statistics.steps == 5
    assert statistics.repeats == node.link.quality.retries >= 5


def test_l10_one_byte_a_read_gives_the_same(device: VirtualDevice) -> None:
    node = over(ByteByByte(Port(device.url)))
    try:
        assert season(node, 20) == simulated(20)
    finally:
        node.close()
    assert node.link.quality.damaged == 0


def test_l6_text_of_the_device_between_frames_is_shown_and_does_no_harm(
    device: VirtualDevice,
) -> None:
    shown: list[str] = []
    link = Link(Port(device.url), patience=QUICK, on_console=shown.append)
    link.hello()
    fault = Fault(kind=FaultKind.CONSOLE, point=FaultPoint.EXECUTED, after=0, argument=0)
    link.ask(fault, Ack)
    assert link.ask(Ping(data=b"x"), Pong).data == b"x"
    link.close()
    assert "E (1234) virtual: text in between" in shown
    assert shown == list(link.console)
    assert link.quality.damaged == 0


class Unplugged:
    """A port that is pulled out now and then: gone in the middle of what was written."""

    def __init__(self, url: str, every: int) -> None:
        self.url = url
        self._port = Port(url)
        self._every = every
        self._writes = 0
        self._absent = 0
        self.pulled = 0

    def open(self) -> None:
        if self._absent:
            self._absent -= 1
            raise LinkError(f"{self.url}: cannot be opened: no such device")
        self._port.open()

    def write(self, data: bytes) -> None:
        self._writes += 1
        if self._writes % self._every == 0:
            self.pulled += 1
            # half of them reach the device before the plug is out, half only in part
            self._port.write(data if self.pulled % 2 else data[: len(data) // 2])
            self._port.close()
            self._absent = 2
            raise LinkError(f"{self.url}: gone while writing")
        self._port.write(data)

    def read(self, timeout_s: float) -> bytes:
        return self._port.read(timeout_s)

    def close(self) -> None:
        self._port.close()


def test_l8_a_port_that_is_unplugged_comes_back_and_no_command_is_doubled(
    device: VirtualDevice,
) -> None:
    line = Unplugged(device.url, every=7)
    node = over(line)
    try:
        assert season(node, 50) == simulated(50)
        assert node.link.ask(GetStatistics(), Statistics).steps == 50
    finally:
        node.close()
    assert line.pulled >= 7
    # a last one may have come when there was nothing more to ask
    assert node.link.quality.reopened in (line.pulled, line.pulled - 1)


def test_a_tcp_line_that_is_cut_is_connected_again() -> None:
    with VirtualDevice(tcp=0) as device:
        assert device.url.startswith("socket://127.0.0.1:")
        port = Port(device.url)
        node = over(port)
        try:
            first = season(node, 5)
            thief = Port(device.url)  # the newest host has the line
            step = node.step(START_MS + 6 * STEP_MS, (2006, 1500, 3700, 6))
            thief.close()
        finally:
            node.close()
    assert first == simulated(5)
    assert step.tape[10:15] == b"\x06\x06\0\0\0"  # LOG_INT 6: the sixth step, of the same life
    assert node.link.quality.reopened >= 1


def test_a_port_that_does_not_exist_says_so() -> None:
    with pytest.raises(LinkError, match="/dev/no-such-port: cannot be opened"):
        Port("/dev/no-such-port")


def test_a_terminal_belongs_to_one_program(device: VirtualDevice) -> None:
    first = Port(device.url)
    link = Link(first)
    link.hello()
    with pytest.raises(LinkError, match=f"{device.url}: in use by another program"):
        Port(device.url)
    link.ask(GetStatistics(), Statistics)  # and the first goes on
    link.close()
    Port(device.url).close()


def test_a_terminal_that_another_program_keeps_for_itself_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(*_: object, **__: object) -> None:  # TIOCEXCL, which root does not feel
        raise serial.SerialException(errno.EBUSY, "could not open port")

    monkeypatch.setattr(serial, "serial_for_url", busy)
    with pytest.raises(LinkError, match="/dev/ttyUSB0: in use by another program"):
        Port("/dev/ttyUSB0")


def test_bytes_that_somebody_else_has_read_are_called_so(
    device: VirtualDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = Port(device.url)
    port.write(encode_frame(Hello.TYPE, 5, Hello(session=9).encode()))
    select.select([port._descriptor], [], [])

    def robbed(descriptor: int, size: int) -> bytes:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "read", robbed)
    with pytest.raises(LinkError, match="another program reads from this line too"):
        port.read(0.0)
    port.close()


def test_a_device_that_never_answers_is_given_up_and_said_how_often_it_was_asked() -> None:
    link = Link(Port("loop://"), patience=Patience(least_s=0.01, most_s=0.01, tries=2))
    # a loop gives our own requests back, which answer nothing
    with pytest.raises(LinkError, match="no answer to Hello, sent 4 times"):
        link.hello()
    assert link.quality.reopened == 1


def test_a_refusal_says_what_was_refused_and_why(device: VirtualDevice) -> None:
    link = Link(Port(device.url))
    link.hello()
    fault = Fault(kind=99, point=0, after=0, argument=0)
    with pytest.raises(DeviceError, match="refused Fault: value"):
        link.ask(fault, Ack)
    link.close()


def test_a_closed_port_is_a_link_error_and_not_a_crash(device: VirtualDevice) -> None:
    port = Port(device.url)
    port.close()
    with pytest.raises(HilError):
        port.write(b"x")
    with pytest.raises(HilError):
        port.read(0.0)
    port.close()


def test_a_clean_line_is_not_asked_twice(device: VirtualDevice) -> None:
    line = FaultyLine(Port(device.url), seed=3, written=clean)
    # so patient that only an answer that is lost is asked for again, however busy the machine
    node = DeviceNode(Link(line, patience=Patience(least_s=20.0, most_s=20.0)), TOGGLER)
    try:
        season(node, 100)
    finally:
        node.close()
    quality = node.link.quality
    assert quality.damaged == quality.stale == quality.retries == 0
