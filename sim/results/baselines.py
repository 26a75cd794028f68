"""What the guest saved or cost against the baselines of a run, in words and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BaselineRow", "BaselineTable", "baseline_table"]

Json = Mapping[str, Any]

NAMES: Final = {
    "guest": "the guest",
    "rainfed": "rain alone",
    "calendar": "calendar",
    "fao56": "FAO-56 schedule",
    "optimum": "perfect knowledge",
}
AGAINST: Final = {
    "rainfed": "rain alone",
    "calendar": "the calendar",
    "fao56": "the FAO-56 schedule",
    "optimum": "perfect knowledge",
}
SAME_MM: Final = 0.5
"""Less is no difference that anybody would tell."""
SAME_DAYS: Final = 0.05
SAME_PCT: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """The guest or a baseline; all values are texts."""

    name: str
    note: str
    """What it does, and with which numbers."""
    gross_mm: str
    et_mm: str
    drainage_mm: str
    runoff_mm: str
    stress_days: str
    """Too dry, then too wet."""
    yield_pct: str
    productivity: str


@dataclass(frozen=True, kw_only=True)
class BaselineTable:
    """All of them, the guest first."""

    rows: list[BaselineRow]
    sentences: list[str]
    """One a baseline: what the guest saved or cost against it."""
    productivity_unit: str
    has_yield: bool


def baseline_table(summary: Json) -> BaselineTable | None:
    """The table of a run's summary; None if it had no baselines."""
    found = summary.get("baselines")
    if not found:
        return None
    guest = found["guest"]
    rows = [_row("guest", "", guest)]
    rows += [_row(row["name"], _note(row), row) for row in found["rows"]]
    products = [row["irrigation_productivity"] or {} for row in (guest, *found["rows"])]
    weighed = any(p.get("kg_m3") is not None for p in products)
    return BaselineTable(
        rows=rows,
        sentences=[_sentence(guest, row) for row in found["rows"]],
        productivity_unit="kg/m³" if weighed else "% per 100 mm",
        has_yield=guest["relative_yield"] is not None,
    )


def _row(name: str, note: str, figures: Json) -> BaselineRow:
    relative, productivity = figures["relative_yield"], figures["irrigation_productivity"]
    used = "–"
    if productivity is not None:
        weight = productivity["kg_m3"]
        used = f"{productivity['pct_per_100_mm']:.1f}" if weight is None else f"{weight:.2f}"
    return BaselineRow(
        name=NAMES[name],
        note=note,
        gross_mm=f"{figures['gross_mm']:.0f}",
        et_mm=f"{figures['et_mm']:.0f}",
        drainage_mm=f"{figures['drainage_mm']:.0f}",
        runoff_mm=f"{figures['runoff_mm']:.0f}",
        stress_days=f"{figures['dry_stress_days']:.3g} + {figures['wet_stress_days']:.3g}",
        yield_pct="–" if relative is None else f"{100.0 * relative:.1f}",
        productivity=used,
    )


def _note(row: Json) -> str:
    if "interval_d" in row:
        every = "every day" if row["interval_d"] == 1 else f"every {row['interval_d']} days"
        return f"{row['depth_mm']:.0f} mm {every}, whatever the weather"
    if "look_ahead_d" in row:
        days = row["look_ahead_d"]
        return f"gives what lasts {days} day{'s' * (days > 1)} in the true weather"
    return str(row["meaning"]).partition(": ")[2]


def _sentence(guest: Json, row: Json) -> str:
    """The guest against one baseline: water, stress, drainage, yield."""
    parts = [
        _more_or_less(guest["gross_mm"] - row["gross_mm"], row["gross_mm"], "mm of water"),
        _days(guest["dry_stress_days"] - row["dry_stress_days"]),
        _lost(guest["drainage_mm"] - row["drainage_mm"]),
    ]
    if guest["relative_yield"] is not None and row["relative_yield"] is not None:
        points = 100.0 * (guest["relative_yield"] - row["relative_yield"])
        text = "the same yield"
        if abs(points) >= SAME_PCT:
            text = f"{abs(points):.1f} points {'more' if points > 0 else 'less'} yield"
        parts.append(text)
    against = AGAINST[row["name"]]
    return f"Against {against}: {'; '.join(parts)}."


def _more_or_less(difference: float, base: float, what: str) -> str:
    if abs(difference) < SAME_MM:
        return f"the same {what.partition(' of ')[2]}"
    share = f" ({100.0 * difference / base:+.0f} %)" if base >= SAME_MM else ""
    return f"{abs(difference):.0f} {what} {'more' if difference > 0 else 'saved'}{share}"


def _days(difference: float) -> str:
    if abs(difference) < SAME_DAYS:
        return "as many days too dry"
    return f"{abs(difference):.3g} days too dry {'more' if difference > 0 else 'less'}"


def _lost(difference: float) -> str:
    if abs(difference) < SAME_MM:
        return "as much drainage"
    return f"{abs(difference):.0f} mm of drainage {'more' if difference > 0 else 'less'}"
