"""Watching a line: text of the console as it is, frames as messages, damage as what it is.

A monitor is opened for a board that does not come up, so it shows whatever the board says: lines
among noise, as of a boot loader at another rate, and what has no end when the line falls silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Final

from levada.hil.errors import LinkError
from levada.hil.link import Line
from levada.hil.wire.codec import NO_TEXT, Console, Damage, Decoder, Frame
from levada.hil.wire.message import MessageError
from levada.hil.wire.messages import StepResult

__all__ = ["describe", "rest", "watch"]

READ_S: Final = 0.2
QUIET_S: Final = 3.0
"""After so long without a first byte the monitor says so."""
QUIET: Final = "[nothing heard yet: check power, port and --baud; a reset makes most boards speak]"
SILENT_S: Final = 1.0
"""After so long a silence nothing that waits is the beginning of a frame any more."""


def watch(
    line: Line, *, seconds: float | None = None, decoder: Decoder | None = None
) -> Iterator[str]:
    """Lines for people, for ever or for so long, and at the end what still waits for its own.

    A line on which nothing is heard is said to be quiet, once.

    Raises LinkError when the port is gone.  Who breaks off finds what waits in the `decoder` given
    (`rest`).
    """
    decoder = decoder or Decoder()
    begin_s = heard_s = monotonic()
    end_s = inf if seconds is None else heard_s + seconds
    quiet = True
    while monotonic() < end_s:
        try:
            data = line.read(READ_S)
        except LinkError:
            yield from rest(decoder)
            raise
        if data:
            heard_s, quiet = monotonic(), False
            found = decoder.feed(data)
        else:
            found = decoder.flush() if monotonic() - heard_s < SILENT_S else decoder.finish()
        for item in found:
            yield from describe(item)
        if quiet and monotonic() - begin_s >= QUIET_S:
            yield QUIET
            quiet = False
    if quiet:
        yield QUIET
    yield from rest(decoder)


def rest(decoder: Decoder) -> Iterator[str]:
    """Lines for what still waits."""
    for item in decoder.finish():
        yield from describe(item)


def describe(item: Frame | Console | Damage) -> Iterator[str]:
    """What a piece of the line says."""
    match item:
        case Console():
            yield from (text for text in item.text.splitlines() if text.strip())
        case Damage() if item.reason == NO_TEXT:
            yield f"[{item.size} bytes that are no text]"
        case Damage():
            yield f"[{item.size} bytes damaged: {item.reason}]"
        case Frame():
            try:
                message = item.message()
            except MessageError as error:
                yield f"[{item.sequence:5d}] {error}"
                return
            values = [
                f"{name}={_short(getattr(message, name))}"
                for name, _ in message.FORMS
                if not (isinstance(message, StepResult) and name == "tape")
            ]
            yield f"[{item.sequence:5d}] {type(message).__name__} {' '.join(values)}".rstrip()


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 64 else text[:61] + "..."
