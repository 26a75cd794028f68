"""What a chart shows, in words: for a screen reader, and for who cannot tell its colours apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from levada.twin.app.pages.parts import stamp

__all__ = ["describe"]


def describe(figure: Mapping[str, Any]) -> str:
    """One sentence a curve of a figure of `levada.twin.app.figures`: its last value, and between
    which it lies.  A figure without curves says why it has none.
    """
    layout = figure["layout"]
    if not figure["data"]:
        return " ".join(str(note["text"]) for note in layout.get("annotations", ()))
    said = [
        _map(trace, layout) if trace["type"] == "heatmap" else _curve(trace, layout)
        for trace in figure["data"]
        if trace["type"] == "heatmap" or trace.get("showlegend", True) or trace["mode"] == "lines"
    ]
    return " ".join([_span(figure["data"]), *filter(None, said)])


def _span(traces: Iterable[Mapping[str, Any]]) -> str:
    times = [time for trace in traces for time in (trace["x"][:1] + trace["x"][-1:])]
    return f"From {stamp(min(times))} to {stamp(max(times))}." if times else ""


def _curve(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> str:
    """Empty for the edges of a band, which nobody points at."""
    if trace.get("hoverinfo") == "skip" and not trace.get("showlegend", True):
        return ""
    values = [value for value in trace["y"] if value is not None]
    if not values:
        return f"{trace['name']}: nothing."
    if trace["mode"] == "markers":
        return f"{trace['name']}: {len(values)}."
    if trace.get("fill") == "tonexty":
        return f"{trace['name']}: a band."
    axis = layout[trace["yaxis"].replace("y", "yaxis", 1)] if "yaxis" in trace else layout["yaxis"]
    return f"{trace['name']}: {_text(values[-1], axis)} at the end, {_range(values, axis)}."


def _map(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> str:
    values = np.array(trace["z"], dtype=float)
    known = values[np.isfinite(values)].tolist()
    if not known:
        return "Nothing."
    percent = {"tickformat": ".0%"}
    depths = trace["y"]
    if len(depths) > len(values):  # edges
        depths = [(a + b) / 2.0 for a, b in pairwise(depths)]
    rows = list(zip(depths, values.tolist(), strict=True))[:: max(1, len(depths) // 4)]
    newest = ", ".join(
        f"{_text(row[-1], percent)} at {depth:g} m" for depth, row in rows if np.isfinite(row[-1])
    )
    return f"Water content at the end: {newest}. All of it {_range(known, percent)}."


def _range(values: Iterable[float], axis: Mapping[str, Any]) -> str:
    low, high = min(values), max(values)
    if low == high:
        return f"always {_text(low, axis)}"
    return f"between {_text(low, axis)} and {_text(high, axis)}"


def _text(value: float, axis: Mapping[str, Any]) -> str:
    if "%" in str(axis.get("tickformat", "")):
        return f"{100 * value:.1f} %"
    unit = str(axis.get("title", {}).get("text", ""))
    return f"{value:.4g} {unit}" if unit and len(unit) < 8 and unit != "Valve" else f"{value:.4g}"
