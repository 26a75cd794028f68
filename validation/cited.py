"""Published measurements beside what a model says, by citation; see `validation.comparison`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from levada.sim.devices.energy import Range
from validation.comparison import Comparison

__all__ = ["VERDICTS", "Cited", "beside", "by_key", "compared", "curve_off", "table", "tally"]

NEAR: Final = 1.15
"""What is at most so far beyond a published value counts as within."""
WITHIN, IN_RANGE, OUTSIDE, BY_KEY = "within", "in range", "outside", "by key"

VERDICTS: Final = (
    f"*{WITHIN}*: levada's value lies between the published ones, or at most 15 % beyond; "
    f"*{IN_RANGE}*: only its low and high do; *{OUTSIDE}*: neither; *{BY_KEY}*: the model has it, "
    "and it is off unless a key is set. *Its source*: a constant of the model was taken from this "
    "publication, so that it tests the arithmetic only. [d]: derived by arithmetic from what was "
    "published. Ratio: levada to the middle of what was published."
)


@dataclass(frozen=True, kw_only=True)
class Cited:
    """One published quantity and what a model says to it."""

    quantity: str
    published: str
    ours: str
    ratio: float | None
    verdict: str
    source: str
    is_source: bool = False
    """A constant of the model comes from it."""

    def row(self) -> str:
        """Its row of the table, in Markdown."""
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = self.verdict + (", its source" if self.is_source else "")
        return (
            f"| {self.quantity} | {self.published} | {self.ours} | {ratio} | {verdict} "
            f"| {self.source} |"
        )


def beside(
    quantity: str,
    published: float | tuple[float, float],
    unit: str,
    ours: float | Range,
    source: str,
    *,
    is_source: bool = False,
) -> Cited:
    """A number, or one between two, beside ours, which may have bounds."""
    low, high = published if isinstance(published, tuple) else (published, published)
    found = ours if isinstance(ours, Range) else None
    value = found.nominal if found else float(ours)  # type: ignore[arg-type]
    near_low = low / NEAR if low > 0.0 else low * NEAR
    near_high = high * NEAR if high > 0.0 else high / NEAR
    if near_low <= value <= near_high:
        verdict = WITHIN
    elif found and found.low <= high and found.high >= low:
        verdict = IN_RANGE
    else:
        verdict = OUTSIDE
    text = _text(value) + (f" ({_text(found.low)} to {_text(found.high)})" if found else "")
    return Cited(
        quantity=quantity,
        published=(f"{low:,g}" if low == high else f"{low:,g} to {high:,g}") + f" {unit}".rstrip(),
        ours=f"{text} {unit}".rstrip(),
        ratio=value / (0.5 * (low + high)) if low + high else None,
        verdict=verdict,
        source=source,
        is_source=is_source,
    )


def curve_off(
    quantity: str,
    published: str,
    off_theta: float,
    permitted: float,
    source: str,
    *,
    is_source: bool = False,
) -> Cited:
    """A published curve and how far ours is from it at most, in water content."""
    return Cited(
        quantity=quantity,
        published=published,
        ours=f"off by at most {off_theta:.3f}",
        ratio=None,
        verdict=WITHIN if off_theta <= permitted else OUTSIDE,
        source=source,
        is_source=is_source,
    )


def by_key(quantity: str, published: str, ours: str, source: str) -> Cited:
    """Something that the model leaves to a key."""
    return Cited(
        quantity=quantity,
        published=published,
        ours=ours,
        ratio=None,
        verdict=BY_KEY,
        source=source,
    )


def tally(rows: Sequence[Cited]) -> str:
    """How many of which verdict, those apart that a constant was taken from."""
    counted = [row for row in rows if not row.is_source]
    counts = {verdict: 0 for verdict in (WITHIN, IN_RANGE, OUTSIDE, BY_KEY)}
    for row in counted:
        counts[row.verdict] += 1
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    ratios = [row.ratio for row in counted if row.ratio is not None]
    sources = len(rows) - len(counted)
    beside_those = f", {sources} more are sources of constants" if sources else ""
    return f"{said}{beside_those}; ratio {min(ratios):.2f} to {max(ratios):.2f}"


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000.0 else f"{value:.3g}"


def table(rows: Sequence[Cited]) -> str:
    """All rows, in Markdown."""
    head = ["| quantity | published | levada | ratio | verdict | source |", "|" + " --- |" * 6]
    return "\n".join([*head, *(row.row() for row in rows)])


def compared(
    rows: Sequence[Cited],
    *,
    model: str,
    name: str,
    data: str,
    limit: float,
    figure: str,
    note: str,
    error: str = "",
) -> Comparison:
    """A model beside the rows; `limit` is for those outside, `error` the tally if not given."""
    return Comparison(
        model=model,
        name=name,
        data=data,
        period="-",
        reference="tests of makers and users, each with its source below",
        version="-",
        error=error or tally(rows),
        worst=float(sum(row.verdict == "outside" for row in rows)),
        limit=limit,
        figure=figure,
        note=note,
    )
