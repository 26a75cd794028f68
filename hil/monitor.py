"""Watching a line: text of the console as it is, frames as messages, damage as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from hil.codec import Console, Damage, Decoder, Frame
from hil.link import Line
from hil.messages import MessageError, StepResult

__all__ = ["describe", "watch"]


def watch(line: Line, *, seconds: float | None = None) -> Iterator[str]:
    """Lines for people, for ever or for so long; raises LinkError when the port is gone."""
    decoder = Decoder()
    end_s = None if seconds is None else monotonic() + seconds
    while end_s is None or monotonic() < end_s:
        data = line.read(0.2)
        for item in decoder.feed(data) if data else decoder.flush():
            yield from describe(item)


def describe(item: Frame | Console | Damage) -> Iterator[str]:
    """What a piece of the line says."""
    match item:
        case Console():
            yield from (text for text in item.text.splitlines() if text.strip())
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
