"""L7 of the serial matrix: the board stands still (SIGSTOP) while the host goes on sending."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import Semaphore
from time import monotonic

import pytest
from lockstep import START_MS, STEP_MS, TOGGLER

from levada.guest.node import StepResult
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.line.serial_port import Port
from levada.hil.link import Link, Patience
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.codec import Decoder, encode_frame
from levada.hil.wire.messages import GetStatistics, Heartbeat, Ping, Pong, Statistics

RESYNC_S = 0.1
"""Required by the matrix; held to by the median of the freezes."""
BUSY = 10
"""Where the computer is busy: so many times what the same request takes without a freeze."""
IMPATIENT = Patience(least_s=0.11, most_s=0.2, tries=100)


class Watched(Port):
    """Tells how often a request has been sent."""

    def __init__(self, url: str) -> None:
        self.sent = Semaphore(0)
        super().__init__(url)

    def write(self, data: bytes) -> None:
        super().write(data)
        if not all(frame.type == Heartbeat.TYPE for frame in Decoder().feed(data)):
            self.sent.release()


class Freezer:
    """A board that can be stopped and let go on."""

    def __init__(self, device: VirtualDevice) -> None:
        # the board is a child of the process that was started
        task = Path(f"/proc/{device.process.pid}/task/{device.process.pid}/children")
        self._board = int(task.read_text().split()[0])

    def freeze(self) -> None:
        os.kill(self._board, signal.SIGSTOP)

    def thaw(self) -> float:
        """When it was."""
        now_s = monotonic()
        os.kill(self._board, signal.SIGCONT)
        return now_s


@pytest.fixture
def device() -> Iterator[VirtualDevice]:
    with VirtualDevice() as found:
        yield found


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


def usual(link: Link) -> float:
    """How long a request takes while nothing is wrong, as the median of a few [s]."""
    link.hello()
    took_s = []
    for _ in range(9):
        begin_s = monotonic()
        assert link.ask(Ping(data=b"x"), Pong).data == b"x"
        took_s.append(monotonic() - begin_s)
    return median(took_s)


def sent_again_twice(port: Watched, _stepping: Future[object]) -> None:
    assert all(port.sent.acquire(timeout=60) for _ in range(3))


def five_seconds(_port: Watched, stepping: Future[object]) -> None:
    with pytest.raises(TimeoutError):
        stepping.result(5.0)


@pytest.mark.parametrize(
    ("until", "patience", "freezes"),
    [
        pytest.param(sent_again_twice, IMPATIENT, 5, id="until it is asked again twice"),
        pytest.param(five_seconds, Patience(), 3, id="5 s", marks=pytest.mark.slow),
    ],
)
def test_l7_a_board_that_stood_still_is_in_step_again_at_once_and_loses_nothing(
    device: VirtualDevice,
    pool: ThreadPoolExecutor,
    until: Callable[[Watched, Future[object]], None],
    patience: Patience,
    freezes: int,
) -> None:
    port = Watched(device.url)
    link = Link(port, patience=patience)
    usual_s = usual(link)
    node, twin = DeviceNode(link, TOGGLER), WasmtimeNode(TOGGLER)
    assert node.boot(START_MS).tape == twin.boot(START_MS).tape
    board = Freezer(device)
    took_s = []

    def step(k: int) -> tuple[StepResult, float]:
        result = node.step(START_MS + k * STEP_MS, (2000, 1500, 3700, k))
        return result, monotonic()

    for k in range(1, freezes + 1):
        while port.sent.acquire(blocking=False):
            pass
        board.freeze()
        stepping = pool.submit(step, k)
        until(port, stepping)
        thawed_s = board.thaw()
        result, done_s = stepping.result(60.0)
        took_s.append(done_s - thawed_s)
        expected = twin.step(START_MS + k * STEP_MS, (2000, 1500, 3700, k))
        assert result.tape == expected.tape
    statistics = node.link.ask(GetStatistics(), Statistics)
    quality = node.link.quality
    node.close()
    twin.close()
    print("in step again after", ", ".join(f"{1000 * s:.1f}" for s in took_s), "ms")
    # what was sent meanwhile waited in the line: the board got every copy, and ran one
    assert statistics.steps == freezes
    assert statistics.repeats == quality.retries >= 2 * freezes
    assert statistics.bad_frames == 0
    # its answers to the copies came too; those that came late were known as old
    assert quality.stale <= quality.retries
    assert quality.damaged == 0
    assert median(took_s) < max(RESYNC_S, BUSY * usual_s)


def test_l7_a_sender_that_is_faster_waits_and_every_damaged_frame_is_counted(
    device: VirtualDevice, pool: ThreadPoolExecutor
) -> None:
    port = Port(device.url)
    link = Link(port)
    usual_s = usual(link)
    board = Freezer(device)
    damaged = bytearray(encode_frame(Ping.TYPE, 7, b"x" * 1000))
    damaged[500] ^= 1
    took_s = []
    for freezes in range(1, 6):
        board.freeze()
        # several times what the line holds (64 KiB and a page)
        flood = pool.submit(lambda: [port.write(bytes(damaged)) for _ in range(300)])
        with pytest.raises(TimeoutError):
            flood.result(0.2)
        board.thaw()
        flood.result(60.0)
        all_sent_s = monotonic()
        assert link.ask(Ping(data=b"x"), Pong).data == b"x"
        took_s.append(monotonic() - all_sent_s)
        assert link.ask(GetStatistics(), Statistics).bad_frames == 300 * freezes
    link.close()
    print("in step again after", ", ".join(f"{1000 * s:.1f}" for s in took_s), "ms")
    assert link.quality.retries == 0
    assert median(took_s) < max(RESYNC_S, BUSY * usual_s)
