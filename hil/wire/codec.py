"""Frames of the serial wire: COBS between zeros, closed by a CRC-32.

A frame is `0x00 COBS(version, type, sequence, body, crc32) 0x00`, integers little endian, the CRC
that of zlib over everything before it.  Zeros delimit, so a receiver is in step again at the next
one, whatever came before.  Runs between zeros that are no frame are text of the console (boot
messages, logs) if they look like text, else damage, which is counted.  Where lines of text stand
among noise, as when a board begins at another rate, each is shown as what it is.

The firmware has the same codec in `firmware/core/frame.c`; both are held to the same vectors.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cobs import cobs  # type: ignore[import-untyped]

from levada.hil.wire.message import MAX_BODY, Message, MessageError
from levada.hil.wire.messages import MESSAGES, WIRE_VERSION

__all__ = [
    "MAX_CONTENT",
    "MAX_ENCODED",
    "NO_TEXT",
    "RESIDUE",
    "Console",
    "Damage",
    "Decoder",
    "Frame",
    "encode_frame",
]

_HEAD: Final = struct.Struct("<BBH")
_CRC: Final = struct.Struct("<I")
_OVERHEAD: Final = _HEAD.size + _CRC.size
assert (_HEAD.size, _CRC.size) == (4, 4)
RESIDUE: Final = 0x2144DF1C
"""CRC-32 of anything with its own CRC behind it, as residue of the polynomial."""

_VERSION: Final = bytes([WIRE_VERSION])
"""Second byte of every frame between its zeros, as the first one is no zero."""

MAX_CONTENT: Final = MAX_BODY + _OVERHEAD
MAX_ENCODED: Final = MAX_CONTENT + -(-MAX_CONTENT // 254)
"""COBS adds one byte per 254 begun; the zeros around are not counted."""

_MAX_TEXT: Final = 4096
"""Longest run kept: text is shown in pieces of this size, longer noise is only counted."""

_LEAST_LINE: Final = 4
"""Shortest line that noise does not contain by chance, as `strings` has it [bytes]."""

_LONG_TEXT: Final = re.compile(r"[^\x00-\x06\x0e-\x1a\x1c-\x1f\x7f\udc80-\udcff]{20,}")
"""Text within a line that is none as a whole."""

NO_TEXT: Final = "no text"
"""Why a piece between lines of text is damage."""

_NOT_TEXT: Final = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")


class Frame(NamedTuple):
    """A frame whose CRC was right."""

    type: int
    sequence: int
    body: bytes

    def message(self) -> Message:
        """The message inside; raises MessageError if the type is unknown or the body wrong."""
        kind = MESSAGES.get(self.type)
        if kind is None:
            raise MessageError(f"message type {self.type:#04x}: unknown")
        return kind.decode(self.body)


@dataclass(frozen=True, slots=True)
class Console:
    """Text that stood between frames."""

    text: str


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes between zeros that are neither a frame nor text."""

    reason: str
    """`cobs`, `short`, `crc`, `version`, `overrun` or `no text`."""
    size: int


def encode_frame(kind: int, sequence: int, body: bytes) -> bytes:
    """Bytes of a frame, with the zero before and the zero after it."""
    if len(body) > MAX_BODY:
        raise MessageError(f"body of {len(body)} bytes: at most {MAX_BODY} allowed")
    content = _HEAD.pack(WIRE_VERSION, kind, sequence) + body
    encoded: bytes = cobs.encode(content + _CRC.pack(zlib.crc32(content)))
    return b"\0" + encoded + b"\0"


def _open(run: bytes) -> Frame | str:
    """The frame that a run between zeros is, or why it is none."""
    if len(run) > MAX_ENCODED:
        return "overrun"
    try:
        content: bytes = cobs.decode(run)
    except cobs.DecodeError:
        return "cobs"
    if len(content) < _OVERHEAD:
        return "short"
    if zlib.crc32(content) != RESIDUE:
        return "crc"
    version, kind, sequence = _HEAD.unpack_from(content)
    if version != WIRE_VERSION:
        return "version"
    return Frame(kind, sequence, content[4:-4])


@dataclass(slots=True)
class Decoder:
    """Cuts a stream of bytes into frames, text and damage; bounded memory."""

    frames: int = 0
    """Frames received undamaged."""
    damaged: int = 0
    """Runs, or pieces of them, that were neither frame nor text."""
    damaged_bytes: int = 0
    console_bytes: int = 0
    waiting: bytearray = field(default_factory=bytearray)
    """Bytes of a run whose end has not come."""
    _noise: int = 0
    """Bytes of the present run that are no text, and not told yet; others of it wait then."""
    _cut: bool = False
    """Text of the present run was shown already."""

    def feed(self, data: bytes) -> list[Frame | Console | Damage]:
        """What became complete with these bytes, in order."""
        if data.startswith(b"\0") and not self.waiting:
            opened = _open(data[1:-1])
            if isinstance(opened, Frame) and data.endswith(b"\0"):
                self.frames += 1
                return [opened]  # one whole frame, as nearly always
        found: list[Frame | Console | Damage] = []
        *complete, rest = data.split(b"\0")
        for run in complete:
            self._append(run, found)
            if self.waiting:
                self._close(found)
            self._cut = False
        self._append(rest, found)
        return found

    def flush(self) -> list[Frame | Console | Damage]:
        """Lines that wait for the zero before the next frame: call it when the line is idle.

        What may be the beginning of a frame goes on waiting, as does a line without its end.
        """
        found: list[Frame | Console | Damage] = []
        if self.waiting[1:2] == _VERSION and len(self.waiting) <= MAX_ENCODED:
            return found
        end = self.waiting.rfind(b"\n") + 1
        if _has_line(bytes(self.waiting[:end])):
            self._take(end, found)
            self._tell_noise(found)
        return found

    def finish(self) -> list[Frame | Console | Damage]:
        """All that waits, as text and what is none: nothing more is expected."""
        found: list[Frame | Console | Damage] = []
        self._take(len(self.waiting), found)
        self._tell_noise(found)
        self._cut = False
        return found

    def _append(self, data: bytes, found: list[Frame | Console | Damage]) -> None:
        self.waiting += data
        while len(self.waiting) > _MAX_TEXT:
            piece = bytes(self.waiting[:_MAX_TEXT])
            self._take(_MAX_TEXT if _is_text(piece) else piece.rfind(b"\n") + 1 or _MAX_TEXT, found)

    def _close(self, found: list[Frame | Console | Damage]) -> None:
        """The zero behind a run has come."""
        run = bytes(self.waiting)
        opened = "overrun" if self._noise or self._cut else _open(run)
        if isinstance(opened, Frame):
            self.waiting.clear()
            self.frames += 1
            found.append(opened)
        elif self._cut or _has_line(run) or (opened != "version" and _is_text(run)):
            found += self.finish()
        else:
            self.waiting.clear()
            size, self._noise = self._noise + len(run), 0
            found.append(self._damage(opened, size))

    def _take(self, size: int, found: list[Frame | Console | Damage]) -> None:
        """Show the first bytes that wait."""
        data = bytes(self.waiting[:size])
        del self.waiting[:size]
        text = b""
        for piece, is_text in _pieces(data):
            if is_text and (not self._noise or len(piece.strip()) >= _LEAST_LINE):
                self._tell_noise(found)
                text += piece
                continue
            if text:
                found.append(self._console(text))
                text = b""
            self._noise += len(piece)
        if text:
            found.append(self._console(text))

    def _tell_noise(self, found: list[Frame | Console | Damage]) -> None:
        if self._noise:
            found.append(self._damage(NO_TEXT, self._noise))
            self._noise = 0

    def _console(self, run: bytes) -> Console:
        self._cut = True
        self.console_bytes += len(run)
        return Console(run.decode("utf-8", "replace"))

    def _damage(self, reason: str, size: int) -> Damage:
        self.damaged += 1
        self.damaged_bytes += size
        return Damage(reason, size)


def _lines(data: bytes) -> list[bytes]:
    return [line for line in re.split(rb"(?<=\n)", data) if line]


def _pieces(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Lines, and of those with something else in them the long texts; whether each is text."""
    for line in _lines(data):
        if _is_text(line):
            yield line, True
            continue
        # a byte that is no UTF-8 becomes a character that is no text
        shown = line.decode("utf-8", "surrogateescape")
        at = 0
        for match in _LONG_TEXT.finditer(shown):
            yield shown[at : match.start()].encode("utf-8", "surrogateescape"), False
            yield match[0].encode(), True
            at = match.end()
        yield shown[at:].encode("utf-8", "surrogateescape"), False


def _has_line(data: bytes) -> bool:
    """Whether a whole line of text is among the lines, which then are those of a console."""
    return any(
        len(line.strip()) >= _LEAST_LINE and line.endswith(b"\n") and _is_text(line)
        for line in _lines(data)
    )


def _is_text(run: bytes | bytearray) -> bool:
    """No control characters but BEL..CR and ESC (boot loaders colour their logs), and UTF-8."""
    if _NOT_TEXT.search(run):
        return False
    try:
        run.decode()
    except UnicodeDecodeError:
        return False
    return True
