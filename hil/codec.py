"""Frames of the serial wire: COBS between zeros, closed by a CRC-32.

A frame is `0x00 COBS(version, type, sequence, body, crc32) 0x00`, integers little endian, the CRC
that of zlib over everything before it.  Zeros delimit, so a receiver is in step again at the next
one, whatever came before.  Runs between zeros that are no frame are text of the console (boot
messages, logs) if they look like text, else damage, which is counted.

The firmware has the same codec in `firmware/core/frame.c`; both are held to the same vectors.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cobs import cobs  # type: ignore[import-untyped]

from hil.messages import MAX_BODY, MESSAGES, WIRE_VERSION, Message, MessageError

__all__ = [
    "MAX_CONTENT",
    "MAX_ENCODED",
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

MAX_CONTENT: Final = MAX_BODY + _OVERHEAD
MAX_ENCODED: Final = MAX_CONTENT + -(-MAX_CONTENT // 254)
"""COBS adds one byte per 254 begun; the zeros around are not counted."""

_MAX_TEXT: Final = 4096
"""Longest run kept: text is shown in pieces of this size, longer noise is counted as damage."""

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
    """`cobs`, `short`, `crc`, `version` or `overrun`."""
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
    """Runs that were neither frame nor text."""
    damaged_bytes: int = 0
    console_bytes: int = 0
    waiting: bytearray = field(default_factory=bytearray)
    """Bytes of a run whose end has not come."""
    _overrun: int = 0
    """Bytes of the present run that were thrown away."""

    def feed(self, data: bytes) -> list[Frame | Console | Damage]:
        """What became complete with these bytes, in order."""
        if data.startswith(b"\0") and not self.waiting and not self._overrun:
            opened = _open(data[1:-1])
            if isinstance(opened, Frame) and data.endswith(b"\0"):
                self.frames += 1
                return [opened]  # one whole frame, as nearly always
        found: list[Frame | Console | Damage] = []
        *complete, rest = data.split(b"\0")
        for run in complete:
            if self.waiting or self._overrun:
                self._append(run, found)
                run = bytes(self.waiting)
                self.waiting.clear()
            if run or self._overrun:
                found.append(self._close(run))
        self._append(rest, found)
        return found

    def flush(self) -> list[Frame | Console | Damage]:
        """Text that waits for the zero before the next frame: call it when the line is idle."""
        if (
            not self.waiting
            or self._overrun
            or not _is_text(self.waiting)
            or self.waiting[-1:] != b"\n"
        ):
            return []
        run = bytes(self.waiting)
        self.waiting.clear()
        return [self._console(run)]

    def _append(self, data: bytes, found: list[Frame | Console | Damage]) -> None:
        if not data:
            return
        if self._overrun:
            self._overrun += len(data)
            return
        self.waiting += data
        while len(self.waiting) > _MAX_TEXT:
            if not _is_text(self.waiting):
                self._overrun = len(self.waiting)
                self.waiting.clear()
                return
            found.append(self._console(bytes(self.waiting[:_MAX_TEXT])))
            del self.waiting[:_MAX_TEXT]

    def _close(self, run: bytes) -> Frame | Console | Damage:
        if self._overrun:
            size, self._overrun = self._overrun, 0
            return self._damage("overrun", size)
        opened = _open(run)
        if isinstance(opened, Frame):
            self.frames += 1
            return opened
        if opened != "version" and _is_text(run):
            return self._console(run)
        return self._damage(opened, len(run))

    def _console(self, run: bytes) -> Console:
        self.console_bytes += len(run)
        return Console(run.decode("utf-8", "replace"))

    def _damage(self, reason: str, size: int) -> Damage:
        self.damaged += 1
        self.damaged_bytes += size
        return Damage(reason, size)


def _is_text(run: bytes | bytearray) -> bool:
    """No control characters but BEL..CR and ESC (boot loaders colour their logs), and UTF-8."""
    if _NOT_TEXT.search(run):
        return False
    try:
        run.decode()
    except UnicodeDecodeError:
        return False
    return True
