"""What a board says that does not come up: at another baud rate, without line ends."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from levada.hil import monitor
from levada.hil.errors import LinkError
from levada.hil.link import Link, Patience
from levada.hil.monitor import QUIET, watch
from levada.hil.wire.codec import NO_TEXT, Console, Damage, Decoder, Frame, encode_frame
from levada.hil.wire.messages import Ack, Hello

NOISE = b"\x95\xed\xff\r\n"
"""As a boot loader at 115200 looks at 921600, some bytes of it."""
BOOT = [b"E (%d) boot: no app to boot\r\n" % k for k in range(5)]
PANIC = b"Guru Meditation Error: Core 0 panic"
ACK = encode_frame(Ack.TYPE, 7, Ack(value=3).encode())


class Says:
    """A line that says pieces, one a read; an empty one is silence, and at the end it is gone."""

    url = "said"

    def __init__(self, *pieces: bytes, gone: bool = True) -> None:
        self._pieces: Iterator[bytes] = chain(pieces, () if gone else repeat(b""))

    def open(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def read(self, timeout_s: float) -> bytes:
        for piece in self._pieces:
            return piece
        raise LinkError("gone")

    def close(self) -> None:
        pass


def watched(*pieces: bytes) -> list[str]:
    """What a monitor shows until the line is gone."""
    found: list[str] = []
    with pytest.raises(LinkError, match="gone"):
        for text in watch(Says(*pieces)):
            found.append(text)
    return found


def test_lines_are_shown_whatever_stood_before_them() -> None:
    decoder = Decoder()
    found = []
    for piece in (NOISE, *BOOT):
        found += decoder.feed(piece)
        found += decoder.flush()  # the line is idle
    assert found == [Damage(NO_TEXT, 5), *(Console(line.decode()) for line in BOOT)]
    assert not decoder.waiting
    assert decoder.feed(b"\0") == []
    assert (decoder.damaged, decoder.damaged_bytes) == (1, 5)


def test_noise_is_told_as_such_among_the_lines() -> None:
    assert watched(b"\x95\xed\xff\n", *BOOT[:1], b"\x80\x81\n", *BOOT[1:2]) == [
        "[4 bytes that are no text]",
        "E (0) boot: no app to boot",
        "[3 bytes that are no text]",
        "E (1) boot: no app to boot",
    ]


@pytest.mark.parametrize("end", [b"\0", ACK], ids=["a zero", "a frame"])
def test_a_zero_behind_noise_and_lines_makes_no_damage_of_the_lines(end: bytes) -> None:
    stream = NOISE + b"".join(BOOT) + end
    text = b"".join(BOOT).decode()
    whole = Decoder().feed(stream)
    assert whole[:2] == [Damage(NO_TEXT, 5), Console(text)]
    assert [type(item) for item in whole[2:]] == [Frame] * (end == ACK)
    for cut in range(len(stream)):
        decoder = Decoder()
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == whole


def test_more_noise_than_is_kept_takes_no_line_along() -> None:
    noise = b"\x95\xed\xff" * 2000
    assert watched(noise, b"\n", *BOOT, b"\0") == [
        "[6001 bytes that are no text]",
        *(line.decode().rstrip() for line in BOOT),
    ]


def test_a_long_text_behind_noise_in_its_line_is_shown_too() -> None:
    assert watched(b"\x95\xed" + BOOT[0], *BOOT[1:2]) == [
        "[2 bytes that are no text]",
        "E (0) boot: no app to boot",
        "E (1) boot: no app to boot",
    ]


def test_a_frame_whose_rest_comes_late_is_a_frame_though_it_holds_a_line() -> None:
    data = encode_frame(4, 1, b"\x01\n" + b"looks like text\n")
    for length in range(2, len(data)):
        decoder = Decoder()
        decoder.feed(data[:length])
        assert decoder.flush() == []
        [found] = decoder.feed(data[length:])
        assert isinstance(found, Frame)


@pytest.mark.parametrize(
    "before", [(), (NOISE,), (ACK,), BOOT], ids=["-", "noise", "frame", "text"]
)
def test_what_waits_for_its_end_is_shown_when_the_port_goes(before: tuple[bytes, ...]) -> None:
    assert watched(*before, PANIC)[-1] == PANIC.decode()
    assert watched(*before, b"\xff\xfe\xfd")[-1].endswith("bytes that are no text]")


def test_what_waits_is_shown_at_the_end_of_the_time() -> None:
    assert list(watch(Says(PANIC, gone=False), seconds=0.01)) == [PANIC.decode()]


def test_a_line_on_which_nothing_is_heard_is_said_to_be_quiet_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(watch(Says(gone=False), seconds=0.01)) == [QUIET]
    clock = map(float, range(100))
    monkeypatch.setattr(monitor, "monotonic", lambda: next(clock))
    assert list(watch(Says(gone=False), seconds=20)) == [QUIET]
    clock = map(float, range(100))
    assert QUIET not in list(watch(Says(PANIC, gone=False), seconds=20))


def test_what_a_device_said_last_is_known_although_its_line_has_no_end() -> None:
    hasty = Patience(least_s=0.001, most_s=0.001, tries=1, reopen_s=0.0)
    link = Link(Says(NOISE, PANIC, gone=False), patience=hasty)
    with pytest.raises(LinkError, match="last console line: Guru Meditation Error: Core 0 panic"):
        link.ask(Hello(session=1), Ack)
    link.close()


def test_what_a_device_said_between_frames_is_kept_whatever_stood_before_it() -> None:
    answer = encode_frame(Ack.TYPE, 6, Ack(value=3).encode())
    link = Link(Says(NOISE, *BOOT, b"", answer, gone=False), patience=Patience(tries=1))
    link._sequence = 5
    assert link.ask(Hello(session=1), Ack) == Ack(value=3)
    link.close()
    assert list(link.console) == [line.decode().rstrip() for line in BOOT]
    assert link.quality.damaged == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_a_monitor_shows_what_waits(number: signal.Signals) -> None:
    board, line = pty.openpty()
    tty.setraw(line)
    command = [sys.executable, "-c", "from levada.twin.cli.main import main; main()"]
    process = subprocess.Popen(
        [*command, "monitor", os.ttyname(line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    found = b""
    while b"no app" not in found:  # said again and again, as the monitor needs a while to listen
        os.write(board, NOISE + BOOT[0])
        if select.select([process.stdout], [], [], 0.2)[0]:
            found += os.read(process.stdout.fileno(), 4096)
    os.write(board, PANIC + b"\r\nand once more")
    while PANIC not in found:
        found += os.read(process.stdout.fileno(), 4096)
    process.send_signal(number)
    rest, errors = process.communicate(timeout=60)
    os.close(board)
    os.close(line)
    assert b"and once more" in found + rest
    assert b"[5 bytes that are no text]" in found
    assert (process.returncode, errors) == (0, b"")
