"""Judges a run: the expectations of its scenario on its trace, and guests that were stopped.

A row of the trace stands for the time since the previous row, so a condition that holds in k rows
in a row has lasted k times the record interval.  What is not known never passes: an empty trace, a
window without rows, a signal that is not a number, a fault that acted on no zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.text.plain import plain_values
from levada.sim.quantities import format_duration
from levada.sim.run import stops
from levada.sim.run.evaluate import expression_values
from levada.sim.run.trace import Trace
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.scenario.expect import Expect
from levada.sim.scenario.expression import Expression
from levada.sim.scenario.fault import FaultSpan, Named, matching, spans
from levada.sim.scenario.model import Scenario
from levada.sim.units import DAY_MS

__all__ = ["Outcome", "evaluate", "judge"]

Values = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came out of one expectation."""

    name: str
    passed: bool
    detail: str
    """When, where, value and limit of the first breach, or how close it came."""
    time_ms: int | None = None
    """When it was broken first, or when it came closest."""
    zone: str | None = None
    """Where."""


@dataclass(frozen=True, slots=True)
class _Series:
    """What one expression is in one zone, within the window of an expectation."""

    zone: str
    index: int
    time_ms: Values
    """End of the time each row stands for."""
    step_ms: int
    value: Values
    columns: Mapping[str, Values]
    """The signals of the expression."""

    def runs(self, mask: Values) -> list[tuple[int, int]]:
        """First and last row of every stretch where `mask` holds."""
        edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
        return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def begin_ms(self, row: int) -> int:
        """Begin of the time a row stands for."""
        return int(self.time_ms[row]) - self.step_ms

    def signals(self, row: int) -> str:
        """`dr_mm = 54.2, raw_mm = 50.1`."""
        return ", ".join(f"{name} = {values[row]:.6g}" for name, values in self.columns.items())


@dataclass(frozen=True, slots=True)
class _Finding:
    """One judgement; the expectation is as good as its worst."""

    passed: bool
    badness: float
    """To find the one that came closest to the limit, or went furthest beyond it."""
    detail: str
    time_ms: int | None
    zone: str | None


class _UnknownError(Exception):
    """The expectation cannot be judged."""


def evaluate(
    scenario: Scenario,
    trace: Mapping[str, Values],
    zones: Sequence[Named],
    summary: Mapping[str, Any] | None = None,
) -> list[Outcome]:
    """Outcomes of all expectations, in the order of the file.

    `trace` has the columns of `levada.sim.run.trace`, the rows of one zone in order of time;
    `zones` are those of `levada.sim.scenario.expand.expand`; `summary` is the content of
    summary.json so far.
    """
    judge = _Judge(scenario, trace, zones, summary or {})
    return [judge.outcome(expect) for expect in scenario.expect]


class _Judge:
    def __init__(
        self,
        scenario: Scenario,
        trace: Mapping[str, Values],
        zones: Sequence[Named],
        summary: Mapping[str, Any],
    ) -> None:
        self.period = scenario.period
        self.faults = scenario.fault
        self.spans = spans(scenario.period, scenario.fault, zones)
        self.trace = trace
        self.zones = zones
        self.summary = summary
        zone = np.asarray(trace["zone"])
        order = np.argsort(zone, kind="stable")
        edges = np.searchsorted(zone[order], np.arange(len(zones) + 1))
        self.rows = [order[a:b] for a, b in pairwise(edges)]

    def outcome(self, expect: Expect) -> Outcome:
        try:
            findings = list(_KINDS[expect.kind](self, expect))
            if not findings:
                raise _UnknownError("nothing to judge: the run ended too early")
        except _UnknownError as reason:
            return Outcome(name=expect.name, passed=False, detail=str(reason))
        broken = [f for f in findings if not f.passed]
        if broken:
            worst = min(broken, key=lambda f: (f.time_ms is None, f.time_ms or 0))
        else:
            worst = max(findings, key=lambda f: f.badness)
        return Outcome(
            name=expect.name,
            passed=not broken,
            detail=worst.detail,
            time_ms=worst.time_ms,
            zone=worst.zone,
        )

    def series(self, expect: Expect) -> list[_Series]:
        """The expression in every zone asked for; raises _UnknownError where it has no value."""
        expression = expect.expression
        start_ms, end_ms = self.period.start_ms, self.period.end_ms
        if expect.start is not None:
            start_ms = self.period.moment_ms(expect.start)
        if expect.end is not None:
            end_ms = self.period.moment_ms(expect.end)
        chosen = matching(expect.zones, self.zones)
        if not chosen:
            raise _UnknownError("no such zone")
        return [self._zone(i, expression, start_ms, end_ms) for i in chosen]

    def _zone(self, index: int, expression: Expression, start_ms: int, end_ms: int) -> _Series:
        zone, rows = self.zones[index].name, self.rows[index]
        time_ms = np.asarray(self.trace["time_ms"])[rows]
        inside = (time_ms > start_ms) & (time_ms <= end_ms)
        rows, time_ms = rows[inside], time_ms[inside]
        if not len(rows):
            raise _UnknownError(f"the trace has no rows of zone {zone} in this time")
        columns = {s: np.asarray(self.trace[s])[rows] for s in expression.signals}
        value, known = expression_values(expression, columns)
        if not known.all():
            first = int(np.argmin(known))
            missing = [s for s, v in columns.items() if np.isnan(float(v[first]))]
            what = f"`{missing[0]}`" if missing else f"`{expression.text}`"
            raise _UnknownError(
                f"{what} is not a number at {_time(time_ms[first])} in zone {zone}, and in "
                f"{np.count_nonzero(~known)} of {len(known)} rows"
            )
        step_ms = self.period.trace_s * 1000
        return _Series(zone, index, time_ms, step_ms, value, columns)

    def causes(self, expect: Expect) -> list[tuple[str, FaultSpan]]:
        """The faults that `after` names, with when and where they act."""
        return [
            (fault.label, span)
            for fault, span in zip(self.faults, self.spans, strict=True)
            if expect.after in (fault.name, fault.kind)
        ]

    def stretches(self, expect: Expect) -> Iterator[_Finding]:
        """`never`, `always`, and `recovers` without `after`."""
        limit = (expect.within or expect.longer_than or timedelta()) / timedelta(milliseconds=1)
        verb = "held" if expect.kind == "never" else "was broken"
        for s in self.series(expect):
            runs = s.runs(s.value if expect.kind == "never" else ~s.value)
            if not runs:
                yield _Finding(True, 0.0, f"`{expect.that}` never {verb}", None, None)
            for first, last in runs:
                begin_ms = s.begin_ms(first)
                lasted_ms = int(s.time_ms[last]) - begin_ms
                detail = f"{verb} for {_span(lasted_ms)} from {_time(begin_ms)} in zone {s.zone}"
                detail += f" ({s.signals(first)})"
                if limit:
                    detail += f", permitted {_span(limit)}"
                yield _Finding(lasted_ms <= limit, lasted_ms, detail, begin_ms, s.zone)

    def recovers(self, expect: Expect) -> Iterator[_Finding]:
        if expect.after is None:
            yield from self.stretches(expect)
            return
        yield from self.follows(expect, [(c, s, s.end_ms) for c, s in self.causes(expect)], "end")

    def happens(self, expect: Expect) -> Iterator[_Finding]:
        if expect.after is None:
            for s in self.series(expect):
                yield self.first(expect, s, s.begin_ms(0), "the start")
            return
        causes = [(c, s, s.start_ms) for c, s in self.causes(expect)]
        yield from self.follows(expect, causes, "start")

    def follows(
        self, expect: Expect, causes: list[tuple[str, FaultSpan, int]], edge: str
    ) -> Iterator[_Finding]:
        """`that` must hold soon after an edge of each fault, in each zone the fault acts on."""
        series = {s.index: s for s in self.series(expect)}
        touched = [
            (cause, series[zone], at_ms)
            for cause, span, at_ms in causes
            for zone in span.zones
            if zone in series
        ]
        if not touched:
            raise _UnknownError(f"no fault `{expect.after}` acts on these zones")
        for cause, s, at_ms in touched:
            if edge == "start" or at_ms < self.period.end_ms:
                yield self.first(expect, s, at_ms, f"the {edge} of {cause} on {_time(at_ms)}")

    def first(self, expect: Expect, s: _Series, from_ms: int, since: str) -> _Finding:
        """Whether `that` holds within the time allowed from `from_ms` on."""
        within_ms = None if expect.within is None else expect.within / timedelta(milliseconds=1)
        later = s.time_ms > from_ms
        hits = np.flatnonzero(later & s.value)
        permitted = f", permitted {_span(within_ms)}" if within_ms else ""
        if len(hits):
            at_ms = int(s.time_ms[hits[0]])
            took_ms = at_ms - from_ms
            detail = f"{_span(took_ms)} after {since} in zone {s.zone}{permitted}"
            return _Finding(
                within_ms is None or took_ms <= within_ms, took_ms, detail, at_ms, s.zone
            )
        detail = f"`{expect.that}` did not hold after {since} in zone {s.zone}{permitted}"
        return _Finding(False, np.inf, detail, from_ms, s.zone)

    def amounts(self, expect: Expect) -> Iterator[_Finding]:
        """`total` and `mean`."""
        unit = expect.expression.unit
        for s in self.series(expect):
            if expect.kind == "mean":
                yield _limited(expect, float(s.value.mean()), unit, "mean", s.zone)
            elif expect.per == "day":
                days = (s.time_ms - 1) // DAY_MS
                first, group = np.unique(days, return_inverse=True)
                for day, value in zip(first, np.bincount(group, weights=s.value), strict=True):
                    on = f"total on {_time(int(day) * DAY_MS)[:10]}"
                    yield _limited(expect, float(value), unit, on, s.zone, int(day) * DAY_MS)
            else:
                yield _limited(expect, float(s.value.sum()), unit, "total", s.zone)

    def counts(self, expect: Expect) -> Iterator[_Finding]:
        for s in self.series(expect):
            yield _limited(expect, len(s.runs(s.value)), "times", "began to hold", s.zone)

    def durations(self, expect: Expect) -> Iterator[_Finding]:
        limit_ms = (expect.at_most or timedelta()) / timedelta(milliseconds=1)
        for s in self.series(expect):
            held_ms = int(np.count_nonzero(s.value)) * s.step_ms
            detail = f"held for {_span(held_ms)} in zone {s.zone}, permitted {_span(limit_ms)}"
            yield _Finding(held_ms <= limit_ms, held_ms, detail, None, s.zone)

    def summaries(self, expect: Expect) -> Iterator[_Finding]:
        value = self.summary.get(str(expect.of))
        if not isinstance(value, int | float):
            raise _UnknownError(f"`{expect.of}` is not in the summary of this run")
        if not np.isfinite(value):
            raise _UnknownError(f"`{expect.of}` is not a number in this run: {value:g}")
        unit = str(expect.of).rsplit("_", 1)[-1]
        unit = "" if unit in ("efficiency", "yield") else unit  # shares
        yield _limited(expect, float(value), unit, "summary", None)


_KINDS: Final[dict[str, Callable[[_Judge, Expect], Iterator[_Finding]]]] = {
    "never": _Judge.stretches,
    "always": _Judge.stretches,
    "recovers": _Judge.recovers,
    "happens": _Judge.happens,
    "total": _Judge.amounts,
    "mean": _Judge.amounts,
    "count": _Judge.counts,
    "duration": _Judge.durations,
    "summary": _Judge.summaries,
}


def _limited(
    expect: Expect, value: float, unit: str, what: str, zone: str | None, time_ms: int | None = None
) -> _Finding:
    """A value against `above` and `below`."""
    passed, margins, limits = True, [], []
    if expect.above is not None:
        passed &= value > expect.above
        margins.append(expect.above - value)
        limits.append(f"above {expect.above:.6g}")
    if expect.below is not None:
        passed &= value < expect.below
        margins.append(value - expect.below)
        limits.append(f"below {expect.below:.6g}")
    where = f" in zone {zone}" if zone else ""
    detail = f"{what} {value:.6g} {unit}".rstrip() + f"{where}, permitted {' and '.join(limits)}"
    return _Finding(passed, max(margins), detail, time_ms, zone)


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(int(time_ms) / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _span(ms: float) -> str:
    return format_duration(timedelta(milliseconds=int(ms)))


def judge(
    scenario: Scenario, trace: Trace, zones: list[ZoneConfig], summary: dict[str, Any]
) -> list[dict[str, Any]]:
    """The expectations of a run, and what came out of each."""
    interrupted = summary["partial"]
    judged = [
        {
            "name": o.name,
            # of a run that ended early nothing can be said: what has not happened may have come
            "passed": None if interrupted else o.passed,
            "detail": "not judged: the run was interrupted" if interrupted else o.detail,
            "time_ms": None if interrupted else o.time_ms,
            "zone": None if interrupted else o.zone,
        }
        for o in evaluate(scenario, trace, zones, summary)
    ]
    found: list[dict[str, Any]] = plain_values([*judged, *stops.judgement(summary)])
    return found
