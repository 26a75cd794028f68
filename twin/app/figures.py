"""Charts of the page: built once from a window of the store, then lengthened by deltas.

Every curve is a `Curve` here: which signal it shows, how, and in which row.  The first figure and
the later deltas both go through this list, so that they cannot disagree.  Colours are readable on
light and on dark paper, and nothing in a chart is taken from a name.

Figures are plain dictionaries: plotly's objects look at every number of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from levada.twin.app import words
from levada.twin.app.curves import (
    BAND,
    CLEAR,
    CROP,
    CURVES,
    GRID,
    INK,
    RAIN,
    STRESS,
    TWIN,
    WATER,
    Curve,
)
from levada.twin.store.reads import StoreReader, Window

__all__ = [
    "Delta",
    "delta",
    "history",
    "profile",
    "sparkline",
    "streams",
    "zone_chart",
]

POINTS: Final = 2_000
"""Of one curve when a chart is built."""
KEPT: Final = 6_000
"""Of one curve while it grows."""
COLUMNS: Final = 240
"""Of the heat map, at least, if there are as many values."""
TINTS: Final = ("#8c510a", "#f3eddb", "#5ba3c4", "#05466b")
"""From dry to wet: the driest, where stress begins, field capacity, the wettest."""
LAYERS: Final = 12
"""Up to as many are drawn from edge to edge."""
SPARK: Final = 120
DASH: Final = "stroke-width='1.6' stroke-dasharray='5 3"
ZONE_ROWS: Final = (0.52, 0.14, 0.14, 0.2)
PALETTE: Final = (WATER, TWIN, CROP, STRESS, "#9a7fc7", "#b9699a", "#9a7400", RAIN)

_TIME: Final = "%{x|%d %b %H:%M}"
_LINES: Final = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID}

Figure = dict[str, Any]
"""What plotly.js takes."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What `dcc.Graph.extendData` takes, and up to which time it goes."""

    data: list[Any]
    upto_ms: int
    points: int
    """Of the curve with the most."""


def _values(curve: Curve, window: Window, band: float, step_s: float) -> list[float]:
    factor = 3600.0 / step_s if curve.hourly else 1.0
    shifted = window.value * factor + curve.band * band + curve.offset
    return [float(v) for v in shifted.round(5).tolist()]


def zone_chart(
    reader: StoreReader,
    zone: str,
    *,
    start_ms: int | None,
    end_ms: int | None,
    band: float,
    step_s: float,
) -> tuple[Figure, int | None]:
    """Chart of a zone over a window, and the time of its last point; None if it has none."""
    upto_ms: int | None = None
    known: dict[tuple[str, str], Window] = {}
    traces = []
    for curve in CURVES:
        key = (curve.signal, curve.kind)
        if key not in known:
            known[key] = reader.window(
                zone,
                curve.signal,
                kind=curve.kind,
                start_ms=start_ms,
                end_ms=end_ms,
                max_points=POINTS,
            )
        window = known[key]
        if window.time_ms.size:
            upto_ms = max(upto_ms or 0, int(window.time_ms[-1]))
        traces.append(_trace(curve, window.time_ms.tolist(), _values(curve, window, band, step_s)))
    traces.append(_decisions(reader, zone, start_ms, end_ms))
    figure = _figure(traces, ZONE_ROWS, 620)
    axes = figure["layout"]
    axes["yaxis"] |= {"title": {"text": "Water content"}, "tickformat": ".0%"}
    axes["yaxis2"] |= {
        "title": {"text": "Difference"},
        "tickformat": ".1~%",
        "nticks": 4,
        # noise alone must not look like much
        "autorangeoptions": {"include": [-2 * band, 2 * band]},
    }
    axes["yaxis3"] |= {
        "title": {"text": "Valve"},
        "tickvals": [0.5, 1.8],
        "ticktext": ["device", "twin"],
        "range": [-0.1, 2.5],
        "showgrid": False,
        "fixedrange": True,
    }
    axes["yaxis4"] |= {"title": {"text": "mm/h"}, "rangemode": "tozero", "nticks": 4}
    axes["shapes"] = [_strip("y2", -band, band)]
    if upto_ms is None:
        return _empty(figure, "Nothing is stored yet: curves come with the first steps."), None
    return figure, upto_ms


def _strip(axis: str, low: float, high: float) -> Figure:
    """Shade from edge to edge."""
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": axis,
        "y0": low,
        "y1": high,
        "fillcolor": BAND,
        "line": {"width": 0},
        "layer": "below",
    }


def _empty(figure: Figure, text: str) -> Figure:
    """Words in place of curves, axes and all."""
    axes = {
        name: {**axis, "visible": False}
        for name, axis in figure["layout"].items()
        if name.startswith(("xaxis", "yaxis"))
    }
    place = {"xref": "paper", "x": 0.5, "yref": "paper", "y": 0.5}
    note = {"text": text, "showarrow": False, "font": {"size": 14}, **place}
    return {"data": [], "layout": figure["layout"] | axes | {"annotations": [note], "shapes": []}}


def _trace(curve: Curve, times: list[int], values: list[float]) -> Figure:
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": curve.label,
        "x": times,
        "y": values,
        "yaxis": _axis("y", curve.row),
        "line": {
            "color": curve.color,
            "width": curve.width,
            "dash": curve.dash,
            "shape": "hv" if curve.steps else "linear",
        },
        "showlegend": curve.legend,
        "legendrank": curve.rank,
    }
    if curve.fill:
        trace["fill"] = curve.fill
    if curve.fill == "tonexty":
        trace["fillcolor"] = BAND
    if curve.hover:
        trace["hovertemplate"] = f"{curve.label} {curve.hover}<br>{_TIME}<extra></extra>"
    else:
        trace["hoverinfo"] = "skip"
    return trace


def _decisions(reader: StoreReader, zone: str, start_ms: int | None, end_ms: int | None) -> Figure:
    found = reader.events(node=zone, kind="decision", start_ms=start_ms, end_ms=end_ms, limit=400)
    of_device = [e["evidence"].get("who") == "device" for e in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "Decisions",
        "x": [int(e["time_ms"]) for e in found],
        "y": [0.5 if device else 1.8 for device in of_device],
        "text": [_wrapped(f"{e['evidence'].get('who', '')}: {e['text']}") for e in found],
        "hovertemplate": f"%{{text}}<br>{_TIME}<extra></extra>",
        "yaxis": "y3",
        "showlegend": False,
        "marker": {
            "size": 8,
            "color": INK,
            "symbol": ["circle" if e["evidence"].get("valve") else "circle-open" for e in found],
        },
    }


def _wrapped(text: str, width: int = 60) -> str:
    """Lines for a hover label; plotly would take tags for markup."""
    lines, line = [], ""
    for word in text.replace("&", "&amp;").replace("<", "&lt;").split():
        if len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "<br>".join([*lines, line])


def delta(reader: StoreReader, zone: str, after_ms: int, *, band: float, step_s: float) -> Delta:
    """What has come after `after_ms`, for every curve."""
    xs: list[list[int]] = []
    ys: list[list[float]] = []
    upto_ms, points = after_ms, 0
    known: dict[tuple[str, str], Window] = {}
    for curve in CURVES:
        key = (curve.signal, curve.kind)
        if key not in known:
            known[key] = reader.after(zone, curve.signal, after_ms, kind=curve.kind, limit=1_000)
        window = known[key]
        if window.time_ms.size:
            upto_ms = max(upto_ms, int(window.time_ms[-1]))
            points = max(points, window.time_ms.size)
        xs.append(window.time_ms.tolist())
        ys.append(_values(curve, window, band, step_s))
    data = [{"x": xs, "y": ys}, list(range(len(CURVES))), KEPT]
    return Delta(data, upto_ms, points)


def profile(
    reader: StoreReader,
    zone: str,
    depths: Sequence[float],
    start_ms: int | None,
    probe_m: float | None = None,
) -> Figure:
    """Heat map of the twin's water content over time and depth; a line where the probe is.

    `depths` are the middles of layers that begin at the surface.  Of many, every second is drawn;
    few are drawn from edge to edge.
    """
    few = len(depths) <= LAYERS
    depths = depths if few else depths[::2]
    times, values = reader.grid(
        zone, [f"theta@{depth:.3f}" for depth in depths], start_ms=start_ms, columns=COLUMNS
    )
    map_ = {
        "type": "heatmap",
        "x": times.tolist(),
        "y": _edges(depths) if few else [round(depth, 3) for depth in depths],
        "z": values.round(4).tolist(),
        **_tints(reader, zone, start_ms, values),
        "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0, "nticks": 5},
        "hovertemplate": f"%{{z:.1%}} at %{{y}} m<br>{_TIME}<extra></extra>",
    }
    figure = _figure([map_], [1.0], 280)
    layout = figure["layout"]
    layout["margin"] |= {"t": 10}
    layout["yaxis"] |= {"title": {"text": "Depth [m]"}, "autorange": "reversed"}
    if not times.size:
        return _empty(figure, "No profile is stored of this time yet: one is stored every hour.")
    if probe_m is not None:
        line = {"color": "#1c2629", "width": 1.5, "dash": "dot"}
        across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": probe_m, "y1": probe_m}
        layout["shapes"] = [across | {"line": line}]
        layout["annotations"] = [
            {
                "text": "probe",
                "xref": "paper",
                "x": 0.005,
                "y": probe_m,
                "yshift": 9,
                "xanchor": "left",
                "showarrow": False,
                "font": {"color": "#1c2629"},
                "bgcolor": "rgba(255, 255, 255, 0.72)",
            }
        ]
    return figure


def _tints(
    reader: StoreReader, zone: str, start_ms: int | None, values: npt.NDArray[np.float64]
) -> Figure:
    """Colours of the heat map: brown turns pale where stress begins, and blue towards field
    capacity of the root zone.  Both are in the range of colours, so that a soil that hardly
    changes does not look dry and wet."""
    known = values[np.isfinite(values)]
    if not known.size:
        return {}
    marks = []
    for name in ("theta_stress_root", "theta_fc_root"):
        found = reader.window(zone, name, kind="twin", start_ms=start_ms, max_points=SPARK).value
        marks.append(float(np.median(found)) if found.size else float(np.median(known)))
    low, high = float(min(known.min(), *marks)), float(max(known.max(), *marks))
    span = (high - low) or 1.0
    stress = min(max((marks[0] - low) / span, 0.05), 0.85)
    full = min(max((marks[1] - low) / span, stress + 0.05), 0.95)
    scale = [list(pair) for pair in zip((0, stress, full, 1), TINTS, strict=True)]
    return {"colorscale": scale, "zmin": low, "zmax": high}


def _edges(middles: Sequence[float]) -> list[float]:
    """Of layers below each other from the surface, one more than there are layers."""
    edges = [0.0]
    for middle in middles:
        edges.append(round(2.0 * middle - edges[-1], 3))
    return edges


def sparkline(reader: StoreReader, zone: str, start_ms: int) -> str:
    """The last days of probe and twin as a picture of its own, for a tile; empty: nothing yet."""
    windows = [
        reader.window(zone, "theta", kind=kind, start_ms=start_ms, max_points=SPARK)
        for kind in ("raw", "twin")
    ]
    times = np.concatenate([window.time_ms for window in windows])
    values = np.concatenate([window.value for window in windows])
    if times.size < 2:
        return ""
    span_ms = max(1, int(times.max() - times.min()))
    # noise alone must not look like much
    height = max(0.02, float(np.ptp(values)))
    low = float(values.max() + values.min() - height) / 2
    paths = []
    for window, look in zip(
        windows, (f"{WATER}' stroke-width='2.4", f"{TWIN}' {DASH}"), strict=True
    ):
        x = (window.time_ms - times.min()) * 236.0 / span_ms + 2
        y = 42.0 - (window.value - low) / height * 38.0
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        paths.append(
            f"<polyline fill='none' vector-effect='non-scaling-stroke' stroke='{look}' "
            f"points='{points}'/>"
        )
    picture = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 240 44' preserveAspectRatio='none'>"
        f"{''.join(paths)}</svg>"
    )
    return "data:image/svg+xml," + quote(picture)


def history(
    reader: StoreReader,
    zone: str,
    wanted: Sequence[tuple[str, str]],
    start_ms: int | None,
    end_ms: int | None,
) -> Figure:
    """Chosen signals (kind, name) over a window, one row for each unit."""
    windows = [
        (kind, name, reader.window(zone, name, kind=kind, start_ms=start_ms, end_ms=end_ms))
        for kind, name in wanted
    ]
    units = list(dict.fromkeys(window.unit for _, _, window in windows)) or [""]
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": _wrapped(f"{words.signal(name)}, {words.kind(kind)}"),
            "x": window.time_ms.tolist(),
            "y": window.value.tolist(),
            "yaxis": _axis("y", units.index(window.unit) + 1),
            "line": {
                "color": PALETTE[i % len(PALETTE)],
                "width": 1.8,
                "dash": "dash" if kind == "twin" else "solid",
                "shape": "hv" if name.startswith("valve") else "linear",
            },
            "hovertemplate": f"%{{y:.4~g}} {_wrapped(words.unit(window.unit))}<br>{_TIME}",
        }
        for i, (kind, name, window) in enumerate(windows)
    ]
    figure = _figure(traces, [1.0] * len(units), max(320, 200 * len(units)))
    for k, unit in enumerate(units):
        title = {"text": _wrapped(words.unit(unit))}
        figure["layout"][_axis("yaxis", k + 1)] |= {"title": title}
    if not any(window.time_ms.size for _, _, window in windows):
        said = "Choose a signal." if not windows else "Nothing is stored of these days."
        return _empty(figure, said)
    return figure


def streams(
    reader: StoreReader, node: str, suppressed: Sequence[tuple[int, float]], start_ms: int | None
) -> Figure:
    """The raw stream of a node and what fog has filtered of it; crosses are readings, (time, raw),
    that were not fed to the filter."""
    looks = {"raw": ("Raw", WATER, 1.2), "filtered": ("Filtered", TWIN, 2.2)}
    traces: list[Figure] = []
    for (kind, (label, color, width)), name in zip(looks.items(), ("raw", "filt"), strict=True):
        window = reader.window(node, name, kind=kind, start_ms=start_ms, max_points=POINTS)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "x": window.time_ms.tolist(),
                "y": window.value.tolist(),
                "line": {"color": color, "width": width},
                "hovertemplate": f"{label} %{{y:.0f}} counts<br>{_TIME}<extra></extra>",
            }
        )
    shown = [(t, raw) for t, raw in suppressed if start_ms is None or t >= start_ms]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "Suppressed",
            "x": [t for t, _ in shown],
            "y": [raw for _, raw in shown],
            "marker": {"symbol": "x", "size": 8, "color": STRESS},
            "hovertemplate": f"suppressed: %{{y:.0f}} counts<br>{_TIME}<extra></extra>",
        }
    )
    figure = _figure(traces, [1.0], 340)
    figure["layout"]["yaxis"] |= {"title": {"text": "Probe [counts]"}}
    if not any(trace["x"] for trace in traces):
        return _empty(figure, "Nothing of this node is stored yet.")
    return figure


def _axis(name: str, row: int) -> str:
    """As plotly counts them: y, y2, y3."""
    return name if row == 1 else f"{name}{row}"


def _figure(traces: list[Figure], rows: Sequence[float], height: int) -> Figure:
    """Rows of these heights below each other, over one axis of time."""
    gap = 0.035
    scale = (1.0 - gap * (len(rows) - 1)) / sum(rows)
    layout: Figure = {
        "height": height,
        "margin": {"l": 62, "r": 12, "t": 30, "b": 44},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"color": INK, "size": 12, "family": "system-ui, sans-serif"},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "#1c2629",
            "bordercolor": "#1c2629",
            "font": {"color": "#ffffff", "size": 13},
            "align": "left",
        },
        "uirevision": "kept",
        "dragmode": "zoom",
        "xaxis": {
            "type": "date",
            "anchor": _axis("y", len(rows)),
            "showspikes": True,
            "spikemode": "across",
            "spikesnap": "cursor",
            "spikethickness": 1,
            "spikecolor": INK,
            "spikedash": "dot",
            **_LINES,
        },
    }
    top = 1.0
    for k, share in enumerate(rows):
        bottom = max(0.0, top - share * scale)
        layout[_axis("yaxis", k + 1)] = {"domain": [bottom, top], "anchor": "x", **_LINES}
        top = bottom - gap
    return {"data": traces, "layout": layout}
