"""What must hold: the `[[expect]]` tables; `levada.sim.run.judge` evaluates them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ConfigDict, Field

from levada.sim.quantities import Duration, Moment
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.expression import SUMS, Expression, ExpressionError, parse_expression
from levada.sim.scenario.fault import Zones
from levada.sim.settings.issue import Issue, did_you_mean

__all__ = [
    "KINDS",
    "SUMMARY",
    "Expect",
    "ExpectKind",
]


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
    "gross_irrigation_mm",
    "application_efficiency",
    "relative_yield",
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

    def troubles(self) -> Iterator[Issue]:
        """Keys that go with the kind, limits in order, expressions that mean something."""
        yield from self._keys()
        yield from self._limits()
        yield from self._expressions()

    def _keys(self) -> Iterator[Issue]:
        kind = KINDS[self.kind]
        for key in _SPECIFIC:
            if key in self.model_fields_set and key not in kind.keys:
                belongs = ", ".join(f"`{k}`" for k in kind.keys)
                yield Issue(
                    (key,), f"`{key}` does not go with `{self.kind}`", f"allowed: {belongs}"
                )
        for key in kind.required:
            if getattr(self, key) is None:
                yield Issue((), f"`{key}` is missing: kind `{self.kind}` needs it")

    def _limits(self) -> Iterator[Issue]:
        if "above" not in KINDS[self.kind].optional:
            return
        if self.above is None and self.below is None:
            yield Issue((), f"`above` or `below` is missing: kind `{self.kind}` needs a limit")
        elif self.above is not None and self.below is not None and self.below <= self.above:
            yield Issue(("below",), f"`below` = {self.below}: not greater than `above`")

    def _expressions(self) -> Iterator[Issue]:
        if self.kind == "summary":
            if self.of is not None and self.of not in SUMMARY:
                yield Issue(
                    ("of",), f"`{self.of}` is not in the summary", did_you_mean(self.of, SUMMARY)
                )
            return
        for key, text in (("that", self.that), ("of", self.of)):
            if text is None:
                continue
            try:
                found = parse_expression(text)
            except ExpressionError as error:
                yield Issue(
                    (key,), f'`{key}` = "{text}", character {error.column}: {error}', error.hint
                )
                continue
            if found.condition != (key == "that"):
                need = "a condition" if key == "that" else "a quantity"
                yield Issue((key,), f'`{key}` = "{text}": {need} is needed')
            elif self.kind == "total":
                states = [s for s in found.signals if s not in SUMS]
                if states:
                    yield Issue(
                        ("of",),
                        f"`{states[0]}` is a state: adding up its rows means nothing",
                        'use kind = "mean"',
                    )

    @property
    def expression(self) -> Expression:
        """`that` or `of`, parsed."""
        return parse_expression(self.that or self.of or "")
