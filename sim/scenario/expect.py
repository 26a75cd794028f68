"""What must hold: the `[[expect]]` tables, and their evaluation on the trace of a run.

A row of the trace stands for the time since the previous row, so a condition that holds in k rows
in a row has lasted k times the record interval.  What is not known never passes: an empty trace, a
window without rows, a signal that is not a number, a fault that acted on no zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from levada.sim.quantities import Duration, Moment, format_duration
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.diagnostics import Trouble, did_you_mean
from levada.sim.scenario.expression import SUMS, Expression, ExpressionError, parse_expression
from levada.sim.scenario.fault import Named, Span, Zones, matching, spans

if TYPE_CHECKING:
    from levada.sim.scenario.model import Scenario

__all__ = ["KINDS", "SUMMARY", "Expect", "ExpectKind", "Outcome", "evaluate"]

Values = npt.NDArray[Any]

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectKind:
    """A kind of expectation: its sentence and the keys that go with it."""

    sentence: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that belong to this kind."""
        return self.required + self.optional


_WINDOW: Final = ("zones", "start", "end")
_LIMITS: Final = ("above", "below")

KINDS: Final[dict[str, ExpectKind]] = {
    "never": ExpectKind(
        sentence="`that` does not hold, or not for longer than `longer_than` at a stretch.",
        required=("that",),
        optional=("longer_than", *_WINDOW),
    ),
    "always": ExpectKind(
        sentence="`that` holds, or is not broken for longer than `longer_than` at a stretch.",
        required=("that",),
        optional=("longer_than", *_WINDOW),
    ),
    "recovers": ExpectKind(
        sentence="`that` holds again `within` this time after it was broken; with `after`, "
        "after the end of that fault in the zones it acted on.",
        required=("that", "within"),
        optional=("after", *_WINDOW),
    ),
    "happens": ExpectKind(
        sentence="`that` holds at least once in every zone; with `after`, `within` this time from "
        "the start of that fault in the zones it acts on.",
        required=("that",),
        optional=("within", "after", *_WINDOW),
    ),
    "total": ExpectKind(
        sentence='The sum of `of` in every zone is above or below a limit; with `per = "day"`, '
        "on each day.",
        required=("of",),
        optional=(*_LIMITS, "per", *_WINDOW),
    ),
    "mean": ExpectKind(
        sentence="The mean of `of` in every zone is above or below a limit.",
        required=("of",),
        optional=(*_LIMITS, *_WINDOW),
    ),
    "count": ExpectKind(
        sentence="How often `that` begins to hold in every zone is above or below a limit.",
        required=("that",),
        optional=(*_LIMITS, *_WINDOW),
    ),
    "duration": ExpectKind(
        sentence="All the time that `that` holds in every zone is at most `at_most`.",
        required=("that", "at_most"),
        optional=_WINDOW,
    ),
    "summary": ExpectKind(
        sentence="The value `of` in the summary of the whole field is above or below a limit.",
        required=("of",),
        optional=_LIMITS,
    ),
}
"""Kind -> sentence and keys."""

SUMMARY: Final = (
    "rain_mm",
    "irrigation_mm",
    "et_mm",
    "evaporation_mm",
    "transpiration_mm",
    "et0_mm",
    "drainage_mm",
    "runoff_mm",
    "storage_change_mm",
    "balance_error_mm",
    "stress_days",
    "dry_stress_days",
    "wet_stress_days",
    "valve_openings",
    "longest_opening_s",
    "water_l",
    "traps",
    "energy_j",
)
"""Values of the summary that an expectation may name."""

_SPECIFIC: Final = tuple(dict.fromkeys(key for kind in KINDS.values() for key in kind.keys))


class Expect(Table):
    """One thing that must hold, in every zone it names."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": name}}},
                    "then": {"required": list(kind.required)},
                }
                for name, kind in KINDS.items()
            ]
        }
    )

    name: str = Field(min_length=1, max_length=120)
    """The sentence people read, such as "Valve never open longer than 20 min"; unique."""
    kind: Literal[
        "never", "always", "recovers", "happens", "total", "mean", "count", "duration", "summary"
    ]
    """What is asked, see the table of kinds."""
    that: str | None = None
    """Condition on the signals of the trace, such as `dr_mm <= raw_mm` or `why == PROBE_STUCK`."""
    of: str | None = None
    """Quantity, such as `irrigation_mm`; for `summary`, a value of the summary."""
    longer_than: Duration | None = None
    """Tolerated time at a stretch; without it, not even one row."""
    within: Duration | None = None
    """Time allowed."""
    at_most: Duration | None = None
    """Time allowed, all together."""
    after: str | None = None
    """Name or kind of a fault."""
    above: float | None = None
    """The value must be greater."""
    below: float | None = None
    """The value must be less."""
    per: Literal["run", "day"] | None = None
    """Sum of the whole window, or of each day; default `run`."""
    zones: Zones = ("*",)
    """Names of `[[zone]]` tables or of single zones, or patterns such as `north-*`."""
    start: Moment | None = None
    """Look at the trace from here on."""
    end: Moment | None = None
    """Look at the trace up to here."""

    def troubles(self) -> Iterator[Trouble]:
        """Keys that go with the kind, limits in order, expressions that mean something."""
        yield from self._keys()
        yield from self._limits()
        yield from self._expressions()

    def _keys(self) -> Iterator[Trouble]:
        kind = KINDS[self.kind]
        for key in _SPECIFIC:
            if key in self.model_fields_set and key not in kind.keys:
                belongs = ", ".join(f"`{k}`" for k in kind.keys)
                yield Trouble(
                    (key,), f"`{key}` does not go with `{self.kind}`", f"allowed: {belongs}"
                )
        for key in kind.required:
            if getattr(self, key) is None:
                yield Trouble((), f"`{key}` is missing: kind `{self.kind}` needs it")

    def _limits(self) -> Iterator[Trouble]:
        if "above" not in KINDS[self.kind].optional:
            return
        if self.above is None and self.below is None:
            yield Trouble((), f"`above` or `below` is missing: kind `{self.kind}` needs a limit")
        elif self.above is not None and self.below is not None and self.below <= self.above:
            yield Trouble(("below",), f"`below` = {self.below}: not greater than `above`")

    def _expressions(self) -> Iterator[Trouble]:
        if self.kind == "summary":
            if self.of is not None and self.of not in SUMMARY:
                yield Trouble(
                    ("of",), f"`{self.of}` is not in the summary", did_you_mean(self.of, SUMMARY)
                )
            return
        for key, text in (("that", self.that), ("of", self.of)):
            if text is None:
                continue
            try:
                found = parse_expression(text)
            except ExpressionError as error:
                yield Trouble(
                    (key,), f'`{key}` = "{text}", character {error.column}: {error}', error.hint
                )
                continue
            if found.condition != (key == "that"):
                need = "a condition" if key == "that" else "a quantity"
                yield Trouble((key,), f'`{key}` = "{text}": {need} is needed')
            elif self.kind == "total":
                states = [s for s in found.signals if s not in SUMS]
                if states:
                    yield Trouble(
                        ("of",),
                        f"`{states[0]}` is a state: adding up its rows means nothing",
                        'use kind = "mean"',
                    )

    @property
    def expression(self) -> Expression:
        """`that` or `of`, parsed."""
        return parse_expression(self.that or self.of or "")


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
    `zones` are those of `levada.sim.scenario.load.expand`; `summary` is the content of summary.json
    so far.
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
        value, known = expression(columns)
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

    def causes(self, expect: Expect) -> list[tuple[str, Span]]:
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
        self, expect: Expect, causes: list[tuple[str, Span, int]], edge: str
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
                days = (s.time_ms - 1) // _DAY_MS
                first, group = np.unique(days, return_inverse=True)
                for day, value in zip(first, np.bincount(group, weights=s.value), strict=True):
                    on = f"total on {_time(int(day) * _DAY_MS)[:10]}"
                    yield _limited(expect, float(value), unit, on, s.zone, int(day) * _DAY_MS)
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
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise _UnknownError(f"`{expect.of}` is not in the summary of this run")
        unit = str(expect.of).rsplit("_", 1)[-1]
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
