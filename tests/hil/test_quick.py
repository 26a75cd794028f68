"""The compiled try of a request, held to the codec that everything else uses."""

from __future__ import annotations

import os
import pty
import struct
import tty
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest
from cobs import cobs
from wire_frames import seeded

from levada.hil.line.serial_port import Port
from levada.hil.quick import Quick
from levada.hil.wire.codec import encode_frame
from levada.hil.wire.message import MAX_BODY, MessageError
from levada.hil.wire.messages import WIRE_VERSION, Ping, Pong

SEQUENCE = 0xA1B2


class Line:
    """A terminal, and who is at its other end."""

    def __init__(self) -> None:
        self.device, host = pty.openpty()
        tty.setraw(host)
        self.port = Port(os.ttyname(host))
        os.close(host)
        self.quick = Quick(self.port)

    def ask(self, answer: bytes, body: bytes = b"") -> int:
        """The answer lies there before the request is written: one process plays both."""
        if answer:
            os.write(self.device, answer)
        found = self.quick.exchange(Ping.TYPE, SEQUENCE, body)
        self.request = os.read(self.device, 4096)
        return found


@pytest.fixture
def line() -> Iterator[Line]:
    found = Line()
    yield found
    found.port.close()
    with suppress(OSError):
        os.close(found.device)


def bodies() -> list[bytes]:
    """Around the 254 bytes of a COBS block, of zeros, without zeros, and of anything."""
    generator = seeded(11)
    sizes = [*range(6), *range(240, 260), *range(500, 520), MAX_BODY - 1, MAX_BODY]
    made = [bytes(n) for n in sizes] + [b"x" * n for n in sizes]
    made += [generator.randbytes(generator.randrange(MAX_BODY)) for _ in range(200)]
    return made


def other_version() -> bytes:
    content = struct.pack("<BBH", WIRE_VERSION + 1, Pong.TYPE, SEQUENCE)
    return b"\0" + cobs.encode(content + struct.pack("<I", zlib.crc32(content))) + b"\0"


def test_requests_are_the_frames_of_the_codec_and_answers_are_opened_as_it_does(line: Line) -> None:
    for body in bodies():
        assert line.ask(encode_frame(Pong.TYPE, SEQUENCE, body[::-1]), body) == Pong.TYPE
        assert line.request == encode_frame(Ping.TYPE, SEQUENCE, body)
        assert line.quick.body() == body[::-1]


def test_an_answer_with_any_bit_flipped_is_handed_back_as_it_came(line: Line) -> None:
    answer = encode_frame(Pong.TYPE, SEQUENCE, bytes(range(40)))
    for bit in range(8 * len(answer)):
        damaged = bytearray(answer)
        damaged[bit // 8] ^= 1 << bit % 8
        assert line.ask(bytes(damaged)) == -1
        assert line.quick.came == damaged
        assert line.quick.written == len(line.request)


def test_an_answer_that_is_cut_anywhere_is_handed_back_as_it_came(line: Line) -> None:
    answer = encode_frame(Pong.TYPE, SEQUENCE, b"\0abc" * 70)
    for size in range(1, len(answer)):
        assert line.ask(answer[:size]) == -1
        assert line.quick.came == answer[:size]


@pytest.mark.parametrize(
    "came",
    [
        pytest.param(encode_frame(Pong.TYPE, SEQUENCE - 1, b"x"), id="older answer"),
        pytest.param(encode_frame(Pong.TYPE, SEQUENCE ^ 0x8000, b"x"), id="other high byte"),
        pytest.param(encode_frame(Ping.TYPE, SEQUENCE, b"x"), id="a request"),
        pytest.param(2 * encode_frame(Pong.TYPE, SEQUENCE, b"x"), id="two frames"),
        pytest.param(b"text\r\n" + encode_frame(Pong.TYPE, SEQUENCE, b"x"), id="text before"),
        pytest.param(encode_frame(Pong.TYPE, SEQUENCE, b"x") + b"text\r\n", id="text behind"),
        pytest.param(other_version(), id="another version of the wire"),
        pytest.param(b"\0", id="a zero"),
        pytest.param(bytes(20), id="zeros"),
        pytest.param(b"\0" + b"\xff" * 2000 + b"\0", id="longer than any frame"),
        pytest.param(b"\0\xff" + b"x" * 20 + b"\0", id="a block beyond the end"),
    ],
)
def test_whatever_else_comes_is_handed_back(line: Line, came: bytes) -> None:
    assert line.ask(came) == -1
    assert line.quick.came == came


def test_noise_is_never_an_answer(line: Line) -> None:
    generator = seeded(12)
    for _ in range(3000):
        noise = b"\0" + generator.randbytes(generator.randrange(1, 1100)).replace(b"\0", b"z")
        assert line.ask(noise + b"\0") == -1


def test_silence_is_no_answer(line: Line) -> None:
    assert line.ask(b"") == -1
    assert line.quick.came == b""
    assert line.request == encode_frame(Ping.TYPE, SEQUENCE, b"")


def test_a_closed_port_takes_nothing(line: Line) -> None:
    line.port.close()
    assert line.quick.exchange(Ping.TYPE, SEQUENCE, b"") == -1
    assert line.quick.written == 0
    assert line.quick.came == b""


def test_a_device_that_is_gone_is_no_answer(line: Line) -> None:
    os.close(line.device)
    assert line.quick.exchange(Ping.TYPE, SEQUENCE, b"") == -1
    assert line.quick.came == b""


def test_a_body_that_no_frame_holds_is_refused(line: Line) -> None:
    with pytest.raises(MessageError, match="body of 1025 bytes: at most 1024 allowed"):
        line.quick.exchange(Ping.TYPE, SEQUENCE, bytes(MAX_BODY + 1))
