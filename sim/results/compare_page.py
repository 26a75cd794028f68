"""The page of `levada compare --html`: figures, expectations, and curves over one another.

One file that needs nothing else, with the charts' program (plotly.js) in it.  The charts' own
buttons save PNG and SVG; `levada compare --csv` writes the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from levada.sim.results.daily import DAILY_SIGNALS, DailySeries, daily_series
from levada.sim.results.page import style, templates
from levada.sim.results.side_by_side import expectation_rows, side_by_side, table
from levada.sim.run.rundir import RunDir

__all__ = ["write_page"]

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b5433")
"""Told apart with any colour vision (Okabe and Ito)."""
DASHES: Final = ("solid", "dash", "dot", "dashdot")
SUMS: Final = frozenset({"irrigation_mm", "rain_mm", "drainage_mm", "transpiration_mm"})
"""Of these a second chart has the sum since the start."""


def write_page(runs: Sequence[RunDir], path: Path) -> None:
    """Write the page of runs, or of the zones of a single one; raises what `side_by_side` does."""
    columns = side_by_side(runs)
    series = daily_series(runs)
    same_days = len({of.dates[:1] for of in series}) == 1
    page = (
        templates()
        .get_template("compare.html")
        .render(
            names=[column.name for column in columns],
            periods=[column.period for column in columns],
            rows=[
                (name, unit, list(zip(values, differences, strict=True)))
                for name, unit, values, differences in table(columns)
            ],
            expectations=list(expectation_rows(columns)),
            same_days=same_days,
            charts=_charts(series, same_days=same_days),
            plotly=Markup(_plotly()),
            css=style(),
        )
    )
    path.write_text(page, encoding="utf-8")


@cache
def _plotly() -> str:
    return (files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8")


def _charts(series: Sequence[DailySeries], *, same_days: bool) -> list[dict[str, Any]]:
    charts = []
    for signal in DAILY_SIGNALS:
        values = [of.values[signal.name] for of in series]
        charts.append(_chart(signal.name, signal.label, series, values, same_days=same_days))
        if signal.name in SUMS:
            sums = [np.nancumsum(value) for value in values]
            label = f"{signal.label.removesuffix(' a day')} since the start"
            charts.append(_chart(f"{signal.name}_sum", label, series, sums, same_days=same_days))
    return charts


def _chart(
    name: str,
    label: str,
    series: Sequence[DailySeries],
    values: Sequence[np.ndarray[Any, np.dtype[np.float64]]],
    *,
    same_days: bool,
) -> dict[str, Any]:
    """Curves of all, and below them what each but the first is apart from it."""
    curves, apart = [], []
    for k, (of, value) in enumerate(zip(series, values, strict=True)):
        x = [day.isoformat() for day in of.dates] if same_days else list(range(len(of.dates)))
        line = {
            "color": COLOURS[k % len(COLOURS)],
            "dash": DASHES[k // len(COLOURS) % len(DASHES)],
            "width": 2,
        }
        curves.append({"x": x, "y": _plain(value), "name": of.name, "line": line})
        if k:
            days = min(len(value), len(values[0]))
            difference = value[:days] - values[0][:days]
            apart.append({"x": x[:days], "y": _plain(difference), "name": of.name, "line": line})
    return {"name": name, "label": label, "curves": curves, "apart": apart}


def _plain(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]
