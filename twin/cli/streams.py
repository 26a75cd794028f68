"""Standard output and standard error as a command needs them.

What a command finds must not depend on who reads it: a character that the stream's encoding does
not have is replaced, and a stream that takes no more (a closed pipe, a full disk) is written to no
more, while the command goes on to its own exit code.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Final, TextIO

__all__ = ["forgive", "gone", "trouble"]

PLAIN: Final = {
    "✓": "+",
    "✗": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": ".",
    "…": ".",
    "→": ">",
    "³": "3",
    "²": "2",
    "°": "'",
    "µ": "u",
    "×": "x",
    "‹": "<",
    "›": ">",
    "│": "|",
    "─": "-",
    "━": "-",
    "╭": "+",
    "╮": "+",
    "╰": "+",
    "╯": "+",
    "\u202f": " ",
    "\xa0": " ",
}
"""Character -> what stands for it, as wide, where a stream cannot have it; all others are `?`."""

_trouble: list[OSError] = []


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in bad), error.end


class _Output(io.RawIOBase):
    """A file descriptor whose trouble is kept instead of raised."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._gone = False

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        content = memoryview(data)  # type: ignore[arg-type]  # bytes, as BufferedWriter gives them
        if self._gone:
            return len(content)
        try:
            return os.write(self._descriptor, content)
        except OSError as error:
            self._gone = True
            _trouble.append(error)
            return len(content)


def forgive() -> None:
    """Let nothing that standard output and standard error cannot take end the command."""
    _occupy()
    codecs.register_error("levada", _replace)
    sys.stdout = _forgiving(sys.stdout)
    sys.stderr = _forgiving(sys.stderr)


def gone() -> bool:
    """Whether nobody takes the output any more: what does nothing but show may end."""
    return bool(_trouble)


def trouble() -> str | None:
    """Why output was lost, unless the reader just had enough of it."""
    found = [error for error in _trouble if error.errno != errno.EPIPE]
    return f"output was lost: {found[0].strerror}" if found else None


def _occupy() -> None:
    """Let no file of ours become descriptor 0 to 2, where a shell has closed them (`>&-`)."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _forgiving(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # none, or one of a test
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError):
        return stream
    raw = _Output(descriptor)
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffered,
        encoding=stream.encoding,
        errors="levada",
        line_buffering=raw.isatty() or stream.line_buffering,
        write_through=stream.write_through,
    )
