"""Guests that were stopped while they ran: what the summary of a run says of them.

A run in which a guest was stopped has failed, unless the scenario says `guest.may_stop = true`;
then its expectations judge that too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from levada.guest.tape import time_text

__all__ = ["EXPECTATION", "GuestStop", "fails", "judgement", "lines"]

EXPECTATION: Final = "No guest is stopped"
"""Name under which a stopped guest is among the expectations of a run that did not allow it."""
SHOWN: Final = 8
"""So many zones are told; of a field the same is mostly wrong in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestStop:
    """Why and when the guest of a zone was stopped."""

    time_ms: int
    reason: str
    """Function and cause, as in "guest stopped in step: unreachable"."""
    backtrace: tuple[str, ...] = ()
    """Wasm frames, innermost first; empty where the engine gives none."""


def fails(summary: dict[str, Any]) -> bool:
    """Whether a run has failed because a guest was stopped."""
    return bool(summary.get("traps")) and not summary.get("may_stop", False)


def judgement(summary: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The expectation that a stopped guest has broken, as in summary.json; none if it has not."""
    if not fails(summary):
        return
    first = _stopped(summary)[0]
    yield {
        "name": EXPECTATION,
        "passed": False,
        "detail": "; ".join(lines(summary, shown=1)),
        "time_ms": first["trap_ms"],
        "zone": first["name"],
    }


def lines(summary: dict[str, Any], *, shown: int = SHOWN) -> list[str]:
    """One line a zone: when, which function, what, and the backtrace; the earliest first."""
    found = _stopped(summary)
    found_lines = [_line(zone) for zone in found[:shown]]
    if len(found) > shown:
        more = len(found) - shown
        found_lines.append(f"the guests of {more} more zone{'s' * (more > 1)} were stopped")
    return found_lines


def _stopped(summary: dict[str, Any]) -> list[dict[str, Any]]:
    found = [zone for zone in summary["zones"] if zone.get("traps")]
    return sorted(found, key=lambda zone: zone.get("trap_ms") or 0)


def _line(zone: dict[str, Any]) -> str:
    at_ms, frames = zone.get("trap_ms"), zone.get("trap_backtrace")
    text = f"zone {zone['name']}"
    if at_ms is not None:
        text += f", {time_text(at_ms)}"
    text += f": {zone['trap'] or 'guest stopped'}"
    if zone["traps"] > 1:
        text += f", {zone['traps']} times in all"
    return f"{text}; backtrace: {' < '.join(frames)}" if frames else text
