"""A line that is a script, and a clock that is a number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from threading import RLock
from types import SimpleNamespace

import pytest
from wire_frames import EXAMPLES

from levada.hil import link as link_module
from levada.hil.errors import LinkError
from levada.hil.link import Link
from levada.hil.wire.codec import Decoder, Frame, encode_frame
from levada.hil.wire.message import Message
from levada.hil.wire.messages import Birth, Hello, Ping, Pong

Piece = bytes | Callable[[Frame], bytes]
BORN = next(message for message in EXAMPLES if isinstance(message, Birth))


class Clock:
    """Goes on only when somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(link_module, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(link_module, "sleep", self.wait)
        # there is one thread, which a lock that was not released would stop for ever
        monkeypatch.setattr(link_module, "threading", SimpleNamespace(Lock=RLock))

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
        self.openings = 0

    @property
    def frames(self) -> list[Frame]:
        """What was written."""
        found = Decoder().feed(b"".join(self.written))
        return [frame for frame in found if isinstance(frame, Frame)]

    def open(self) -> None:
        self.openings += 1
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
        assert 0.0 < timeout_s < 1000.0
        if self._pieces:
            return self._pieces.popleft()
        self.waits_s.append(timeout_s)
        self._clock.wait(timeout_s)
        return b""

    def close(self) -> None:
        pass


def pong(frame: Frame) -> bytes:
    return encode_frame(Pong.TYPE, frame.sequence, frame.body)


def sends(message: Message) -> Piece:
    """That message as the answer."""
    return lambda frame: encode_frame(message.TYPE, frame.sequence, message.encode())


def birth(boot_id: int = 3) -> Piece:
    """The answer to a HELLO, by a device that has started so often."""

    def answer(frame: Frame) -> bytes:
        session = Hello.decode(frame.body).session
        body = replace(BORN, session=session, boot_id=boot_id).encode()
        return encode_frame(Birth.TYPE, frame.sequence, body)

    return answer


def older(frame: Frame) -> bytes:
    return encode_frame(Pong.TYPE, frame.sequence - 1 & 0xFFFF, frame.body)


def flipped(frame: Frame) -> bytes:
    """One bit of the body is wrong."""
    data = bytearray(pong(frame))
    data[-7] ^= 1
    return bytes(data)


def ping(link: Link) -> None:
    assert link.ask(Ping(data=b"twelve bytes"), Pong).data == b"twelve bytes"
