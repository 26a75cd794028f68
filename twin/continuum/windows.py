"""Windows of time of one node: count, mean, minimum and maximum of its readings, sums of amounts.

Windows begin at whole multiples of their length since 1970, so that of an hour at every full hour
(UTC).  There is no clock here: a window is over when a sample of a later one has come, and then its
row is given, as revision 0.  A late sample corrects its window, whose row is given again, with the
next revision, as soon as a sample comes that belongs to another window.

A guest holds two windows (`window_add` in `docs/abi.md`); as late messages may concern any window
of the last day, totals are kept here, with the guest's arithmetic (`docs/continuum.md`, "Windows").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from levada.twin.mqtt.messages import is_finite

__all__ = ["AMOUNTS", "MOST_WINDOWS", "Windows", "rounded_mean"]

MOST_WINDOWS: Final = 1_000
"""Windows of one node that can be corrected at most, however long they may be late."""
AMOUNTS: Final = ("flow",)
"""Signals of which the sum has a meaning: pulses since the message before."""


def rounded_mean(total: int, count: int) -> int:
    """Mean to the nearest whole number, halves away from 0, as the guest's `window_get` has it."""
    magnitude = (abs(total) + count // 2) // count
    return magnitude if total >= 0 else -magnitude


@dataclass(slots=True)
class _Window:
    start_ms: int
    revision: int = -1
    """Of the row that was given last; -1: none."""
    count: int = 0
    total: int = 0
    minimum: int = 0
    maximum: int = 0
    amounts: dict[str, float] = field(default_factory=dict)


_STATE: Final = tuple(member.name for member in fields(_Window))


class Windows:
    """Of one node, each `window_ms` long (0: there are none), to be corrected for `late_ms`."""

    def __init__(self, window_ms: int, late_ms: int) -> None:
        self._window_ms = window_ms
        kept = min(-(-late_ms // window_ms), MOST_WINDOWS) if window_ms else 0
        self._kept_ms = kept * window_ms
        self._windows: dict[int, _Window] = {}
        self._newest: _Window | None = None
        self._current: _Window | None = None
        """The one of the last sample."""
        self._changed: set[int] = set()
        self.too_late = 0
        """Samples whose window could no longer be corrected."""

    def add(
        self, t_ms: int, raw: int | None, signals: Mapping[str, float], *, timed: bool = True
    ) -> list[dict[str, float]]:
        """Take a sample, its reading None if it is not to be counted; rows that are due now.

        Of one that is not `timed`, `t_ms` is when it came: where that is too long ago, our own
        clock was set back, and windows begin anew.

        A row has the members `t` (start of the window), `window_s`, `revision`, `raw_count` and, if
        that is not 0, `raw_mean`, `raw_min`, `raw_max`; then a sum of each amount, but for one that
        has left the range of floating-point numbers.
        """
        if not self._window_ms:
            return []
        start_ms = t_ms - t_ms % self._window_ms
        window = self._current
        rows: list[dict[str, float]] = []
        if window is None or window.start_ms != start_ms:
            if self._newest is not None and start_ms < self._newest.start_ms - self._kept_ms:
                if timed:
                    self.too_late += 1
                    return []
                rows = self._begin_anew()
            rows += self._turn_to(start_ms)
            window = self._current
            assert window is not None
        if raw is not None:
            _count(window, raw)
        for name in AMOUNTS:
            if name in signals:
                window.amounts[name] = window.amounts.get(name, 0) + signals[name]
        self._changed.add(start_ms)
        return rows

    def _begin_anew(self) -> list[dict[str, float]]:
        """Forget all windows; rows of those that are not over yet."""
        unfinished = {id(w): w for w in (self._current, self._newest) if w is not None}
        rows = [self._row(window) for window in unfinished.values()]
        self._changed |= self._windows.keys()
        self._windows.clear()
        self._current = self._newest = None
        return rows

    def _turn_to(self, start_ms: int) -> list[dict[str, float]]:
        """Another window is the current one; rows of those that are complete by that."""
        rows = []
        if self._current is not None:
            self._changed.add(self._current.start_ms)
            if self._current is not self._newest:
                rows.append(self._row(self._current))
        self._current = self._windows.setdefault(start_ms, _Window(start_ms))
        if self._newest is None or start_ms > self._newest.start_ms:
            if self._newest is not None:
                rows.append(self._row(self._newest))
            self._newest = self._current
            for gone in [s for s in self._windows if s < start_ms - self._kept_ms]:
                del self._windows[gone]
                self._changed.add(gone)
        return rows

    def _row(self, window: _Window) -> dict[str, float]:
        window.revision += 1
        self._changed.add(window.start_ms)
        row: dict[str, float] = {
            "t": window.start_ms,
            "window_s": self._window_ms // 1000,
            "revision": window.revision,
            "raw_count": window.count,
        }
        if window.count:
            row["raw_mean"] = rounded_mean(window.total, window.count)
            row["raw_min"] = window.minimum
            row["raw_max"] = window.maximum
        row.update(
            (f"{name}_sum", total) for name, total in window.amounts.items() if is_finite(total)
        )
        return row

    def changes(self) -> list[tuple[int, dict[str, Any] | None]]:
        """(start [ms], state) of windows that have changed since this was asked last; None: it is
        not needed any more."""
        found: list[tuple[int, dict[str, Any] | None]] = []
        for start_ms in sorted(self._changed):
            window = self._windows.get(start_ms)
            state = None
            if window is not None:
                state = {name: getattr(window, name) for name in _STATE}
                state |= {"window_ms": self._window_ms, "current": window is self._current}
            found.append((start_ms, state))
        self._changed.clear()
        return found

    def resume(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Go on from the states that `changes` has given.

        Windows of another length are forgotten: their readings cannot be told apart any more.
        """
        for state in states:
            if state["window_ms"] != self._window_ms:
                self._changed.add(state["start_ms"])
                continue
            window = _Window(**{name: state[name] for name in _STATE})
            self._windows[window.start_ms] = window
            if state["current"]:
                self._current = window
        if self._windows:
            self._newest = self._windows[max(self._windows)]


def _count(window: _Window, raw: int) -> None:
    if not window.count:
        window.minimum = window.maximum = raw
    elif raw < window.minimum:
        window.minimum = raw
    elif raw > window.maximum:
        window.maximum = raw
    window.count += 1
    window.total += raw
