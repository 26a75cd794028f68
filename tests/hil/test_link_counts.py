"""What a link counts and how long it waits, exactly: the line is a script, the clock a number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from levada.hil import link as link_module
from levada.hil.errors import LinkError
from levada.hil.link import Link, Patience
from levada.hil.wire.codec import Decoder, Frame, encode_frame
from levada.hil.wire.messages import Ping, Pong

Piece = bytes | Callable[[Frame], bytes]


class Clock:
    """Goes on only when somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(link_module, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(link_module, "sleep", self.wait)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


class Script:
    """For each request what is read after it; an error is raised by the write, and so often by the
    openings that follow as `absent` says."""

    url = "script"

    def __init__(self, clock: Clock, *answers: list[Piece] | LinkError, absent: int = 0) -> None:
        self._clock = clock
        self._answers = deque(answers)
        self._pieces: deque[bytes] = deque()
        self._absent = absent
        self.waits_s: list[float] = []
        """Of the reads that brought nothing."""
        self.written: list[bytes] = []

    def open(self) -> None:
        if self._absent:
            self._absent -= 1
            raise LinkError("absent")

    def write(self, data: bytes) -> None:
        self.written.append(data)
        answer = self._answers.popleft() if self._answers else []
        if isinstance(answer, LinkError):
            raise answer
        [frame] = Decoder().feed(data)
        assert isinstance(frame, Frame)
        self._pieces.extend(piece if isinstance(piece, bytes) else piece(frame) for piece in answer)

    def read(self, timeout_s: float) -> bytes:
        if self._pieces:
            return self._pieces.popleft()
        self.waits_s.append(timeout_s)
        self._clock.wait(timeout_s)
        return b""

    def close(self) -> None:
        pass


def pong(frame: Frame) -> bytes:
    return encode_frame(Pong.TYPE, frame.sequence, frame.body)


def older(frame: Frame) -> bytes:
    return encode_frame(Pong.TYPE, frame.sequence - 1 & 0xFFFF, frame.body)


def flipped(frame: Frame) -> bytes:
    """One bit of the body is wrong."""
    data = bytearray(pong(frame))
    data[-7] ^= 1
    return bytes(data)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def ping(link: Link) -> None:
    assert link.ask(Ping(data=b"twelve bytes"), Pong).data == b"twelve bytes"


@pytest.mark.parametrize(
    ("answers", "retries", "damaged", "stale", "console"),
    [
        pytest.param([[pong]], 0, 0, 0, [], id="healthy"),
        pytest.param([[flipped], [pong]], 1, 1, 0, [], id="a CRC error"),
        pytest.param([[flipped, flipped, pong]], 0, 2, 0, [], id="two CRC errors, then the answer"),
        pytest.param([[], [], [pong]], 2, 0, 0, [], id="two lost answers"),
        pytest.param([[older, pong]], 0, 0, 1, [], id="an older answer"),
        pytest.param([[lambda f: pong(f)[:9]], [pong]], 1, 1, 0, [], id="an answer cut short"),
        pytest.param([[b"I (3) a\nI (4) b\n", pong]], 0, 0, 0, ["I (3) a", "I (4) b"], id="text"),
        pytest.param([[b"\x01\x02\x03\0", older, flipped, pong]], 0, 2, 1, [], id="all at once"),
    ],
)
def test_what_goes_wrong_is_counted_once_each(
    clock: Clock,
    answers: list[list[Piece]],
    retries: int,
    damaged: int,
    stale: int,
    console: list[str],
) -> None:
    line = Script(clock, *answers)
    link = Link(line)
    ping(link)
    quality = link.quality
    counts = (quality.requests, quality.retries, quality.damaged, quality.stale, quality.reopened)
    assert counts == (1, retries, damaged, stale, 0)
    assert list(link.console) == console
    assert len(set(line.written)) == 1, "the same bytes each time"
    assert quality.summary()["crc_errors"] == damaged
    assert quality.summary()["resyncs"] == stale
    assert len(quality.round_trips_s) == (retries == 0)


def test_the_wait_doubles_with_each_try_up_to_the_longest(clock: Clock) -> None:
    line = Script(clock, [], [], [], [], [pong])
    ping(Link(line, patience=Patience(least_s=0.2, most_s=3.0)))
    assert line.waits_s == [1.0, 2.0, 3.0, 3.0]  # UNKNOWN_S first


def test_a_silence_is_told_while_it_lasts_and_when_it_has_ended(clock: Clock) -> None:
    told: list[float] = []
    line = Script(clock, [], LinkError("gone"), [pong], [pong], absent=220)
    link = Link(line, patience=Patience(reopen_s=20.0))
    link.on_silence = told.append
    asleep = clock.wait

    def look(seconds: float) -> None:
        asleep(seconds)
        seen.append(link.silent_s)

    seen: list[float] = []
    link_module.sleep = look  # type: ignore[assignment]  # undone with the clock
    assert link.silent_s == 0.0
    ping(link)
    # 1 s without an answer, then 220 looks of 0.05 s for the line
    assert told == [pytest.approx(12.0)]
    assert seen[-1] == pytest.approx(12.0)
    assert link.quality.reopened == 1
    assert link.silent_s == 0.0
    ping(link)
    assert len(told) == 1


def test_a_short_silence_is_told_to_nobody(clock: Clock) -> None:
    told: list[float] = []
    link = Link(Script(clock, [], [], [pong]))  # 1 s and 2 s
    link.on_silence = told.append
    ping(link)
    assert told == []
    assert link.quality.retries == 2
