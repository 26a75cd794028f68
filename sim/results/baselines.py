"""What the guest saved or cost against the baselines of a run, in words and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BaselineRow", "BaselineTable", "baseline_table"]

Json = Mapping[str, Any]

NAMES: Final = {
    "guest": "The guest",
    "rainfed": "Rain alone",
    "calendar": "Calendar",
    "fao56": "FAO-56 schedule",
    "optimum": "Perfect knowledge",
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
SAME_POINTS: Final = 0.05
BEYOND: Final = "*"
"""At a yield for which FAO-33 was not made."""


LIMITS: Final = f"{BEYOND} More than half of the demand of a stage was not met: beyond FAO-33."


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
    note: str
    """On the mark `BEYOND`, if it stands anywhere."""


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
        note=LIMITS if any(BEYOND in row.yield_pct for row in rows) else "",
    )


def _row(name: str, note: str, figures: Json) -> BaselineRow:
    relative, productivity = figures["relative_yield"], figures["irrigation_productivity"]
    mark = "" if figures["within_limits"] else BEYOND
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
        yield_pct="–" if relative is None else f"{100.0 * relative:.1f}{mark}",
        productivity=used,
    )


def _note(row: Json) -> str:
    if "interval_d" in row:
        every = "every day" if row["interval_d"] == 1 else f"every {row['interval_d']} days"
        return f"{row['depth_mm']:.0f} mm {every}, whatever the weather"
    if "look_ahead_d" in row:
        days = row["look_ahead_d"]
        return f"sees {days} days of weather ahead and gives the least that lasts"
    return str(row["meaning"]).partition(": ")[2]


def _sentence(guest: Json, row: Json) -> str:
    """The guest against one baseline: water, stress, drainage, yield."""
    gross_mm = row["gross_mm"]
    parts = [
        _water(guest["gross_mm"] - gross_mm, gross_mm),
        _days(guest["dry_stress_days"] - row["dry_stress_days"]),
        _drainage(guest["drainage_mm"] - row["drainage_mm"]),
    ]
    if guest["relative_yield"] is not None and row["relative_yield"] is not None:
        parts.append(_yield(100.0 * (guest["relative_yield"] - row["relative_yield"])))
    return f"Against {AGAINST[row['name']]}: {', '.join(parts)}."


def _water(difference_mm: float, base_mm: float) -> str:
    if abs(difference_mm) < SAME_MM:
        return "as much water"
    share = f" ({abs(100.0 * difference_mm / base_mm):.0f} %)" if base_mm >= SAME_MM else ""
    if difference_mm < 0.0:
        return f"saved {-difference_mm:.0f} mm of water{share}"
    return f"used {difference_mm:.0f} mm more water{share}"


def _days(difference: float) -> str:
    if abs(difference) < SAME_DAYS:
        return "as many days too dry"
    count = f"{abs(difference):.3g}"
    return f"{count} {'more' if difference > 0 else 'fewer'} day{'s' * (count != '1')} too dry"


def _drainage(difference_mm: float) -> str:
    if abs(difference_mm) < SAME_MM:
        return "as much drainage"
    return f"{abs(difference_mm):.0f} mm {'more' if difference_mm > 0 else 'less'} drainage"


def _yield(points: float) -> str:
    if abs(points) < SAME_POINTS:
        return "the same yield"
    return f"yield {abs(points):.1f} points {'higher' if points > 0 else 'lower'}"
