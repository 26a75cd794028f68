"""Charts of the page: built once from a window of the store, then lengthened by deltas.

Every curve is a `Curve` here: which signal it shows, how, and in which row.  The first figure and
the later deltas both go through this list, so that they cannot disagree.  Colours are readable on
light and on dark paper, and nothing in a chart is taken from a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from twin.store_reads import StoreReader, Window

__all__ = ["CURVES", "Delta", "delta", "history", "profile", "zone_chart"]

WATER: Final = "#2b8cc9"
TWIN: Final = "#cf8a12"
BAND: Final = "rgba(207,138,18,.20)"
CROP: Final = "#2a9d6a"
STRESS: Final = "#d6553c"
RAIN: Final = "#79b8de"
INK: Final = "#7d8b90"
GRID: Final = "rgba(125,139,144,.22)"
POINTS: Final = 2_000
"""Of one curve when a chart is built."""
KEPT: Final = 6_000
"""Of one curve while it grows."""
HOUR_MS: Final = 3_600_000
PALETTE: Final = (WATER, TWIN, CROP, STRESS, "#9a7fc7", "#b9699a", "#9a7400", RAIN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One curve of the zone's chart."""

    label: str
    signal: str
    kind: str
    row: int
    color: str
    dash: str = "solid"
    fill: str | None = None
    width: float = 1.8
    steps: bool = False
    """Whether the value holds until the next one."""
    band: int = 0
    """-1, +1: the value less, or more, what noise explains."""
    hourly: bool = False
    """Whether values are sums a row, to be shown an hour."""
    offset: float = 0.0
    legend: bool = True


CURVES: Final = (
    Curve(
        label="band low",
        signal="theta",
        kind="twin",
        row=1,
        color="rgba(0,0,0,0)",
        band=-1,
        legend=False,
    ),
    Curve(
        label="What noise explains",
        signal="theta",
        kind="twin",
        row=1,
        color="rgba(0,0,0,0)",
        fill="tonexty",
        band=1,
    ),
    Curve(
        label="Field capacity",
        signal="theta_fc_root",
        kind="twin",
        row=1,
        color=CROP,
        dash="dot",
        width=1,
    ),
    Curve(
        label="Stress below",
        signal="theta_stress_root",
        kind="twin",
        row=1,
        color=STRESS,
        dash="dot",
        width=1,
    ),
    Curve(label="Twin", signal="theta", kind="twin", row=1, color=TWIN, dash="dash"),
    Curve(label="Probe", signal="theta", kind="raw", row=1, color=WATER),
    Curve(
        label="Residual",
        signal="residual",
        kind="twin",
        row=2,
        color=STRESS,
        fill="tozeroy",
        width=1.2,
        legend=False,
    ),
    Curve(
        label="Valve of the device",
        signal="valve",
        kind="raw",
        row=3,
        color=WATER,
        steps=True,
        fill="tozeroy",
        legend=False,
    ),
    Curve(
        label="Valve of the twin",
        signal="valve",
        kind="twin",
        row=3,
        color=TWIN,
        steps=True,
        offset=1.3,
        legend=False,
    ),
    Curve(
        label="Rain [mm/h]",
        signal="rain_mm",
        kind="twin",
        row=4,
        color=RAIN,
        steps=True,
        fill="tozeroy",
        hourly=True,
    ),
    Curve(
        label="Evapotranspiration [mm/h]",
        signal="et_mm",
        kind="twin",
        row=4,
        color=CROP,
        hourly=True,
        width=1.2,
    ),
)


@dataclass(frozen=True, slots=True)
class Delta:
    """What `dcc.Graph.extendData` takes, and up to which time it goes."""

    data: list[Any]
    upto_ms: int
    points: int
    """Of the curve with the most."""


class _Decisions(NamedTuple):
    x: list[int]
    y: list[float]
    text: list[str]
    symbol: list[str]


def _values(curve: Curve, value: Any, band: float, step_s: float) -> list[float]:
    factor = 3600.0 / step_s if curve.hourly else 1.0
    shifted = np.asarray(value) * factor + curve.band * band + curve.offset
    return [round(float(v), 5) for v in shifted]


def zone_chart(
    reader: StoreReader,
    zone: str,
    *,
    start_ms: int | None,
    end_ms: int | None,
    band: float,
    step_s: float,
) -> tuple[go.Figure, int | None]:
    """Chart of a zone over a window, and the time of its last point; None if it has none."""
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.035,
        row_heights=[0.52, 0.14, 0.14, 0.2],
    )
    upto_ms: int | None = None
    known: dict[tuple[str, str], Window] = {}
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
        figure.add_trace(
            go.Scatter(
                x=window.time_ms.tolist(),
                y=_values(curve, window.value, band, step_s),
                name=curve.label,
                mode="lines",
                line={
                    "color": curve.color,
                    "width": curve.width,
                    "dash": curve.dash,
                    "shape": "hv" if curve.steps else "linear",
                },
                fill=curve.fill,
                fillcolor=BAND if curve.fill == "tonexty" else None,
                showlegend=curve.legend,
                hoverinfo="skip" if curve.band else None,
            ),
            row=curve.row,
            col=1,
        )
    decisions = _decisions(reader, zone, start_ms, end_ms)
    figure.add_trace(
        go.Scatter(
            x=decisions.x,
            y=decisions.y,
            text=decisions.text,
            mode="markers",
            name="Decisions",
            showlegend=False,
            hovertemplate="%{text}<extra></extra>",
            marker={"size": 8, "color": INK, "symbol": decisions.symbol},
        ),
        row=3,
        col=1,
    )
    for row, title in ((1, "Water content [m³/m³]"), (2, "Probe − twin"), (4, "mm/h")):
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(nticks=4, row=2, col=1)
    figure.update_yaxes(
        tickvals=[0.5, 1.8], ticktext=["device", "twin"], range=[-0.1, 2.5], row=3, col=1
    )
    _dress(figure, 620)
    return figure, upto_ms


def _decisions(
    reader: StoreReader, zone: str, start_ms: int | None, end_ms: int | None
) -> _Decisions:
    found = reader.events(node=zone, kind="decision", start_ms=start_ms, end_ms=end_ms, limit=400)
    xs = [int(e["time_ms"]) for e in found]
    ys = [0.5 if e["evidence"].get("who") == "device" else 1.8 for e in found]
    texts = [_wrapped(f"{e['evidence'].get('who', '')}: {e['text']}") for e in found]
    symbols = ["circle" if e["evidence"].get("valve") else "circle-open" for e in found]
    return _Decisions(xs, ys, texts, symbols)


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
        ys.append(_values(curve, window.value, band, step_s))
    data = [{"x": xs, "y": ys}, list(range(len(CURVES))), KEPT]
    return Delta(data, upto_ms, points)


def profile(reader: StoreReader, zone: str, depths: Sequence[float], start_ms: int) -> go.Figure:
    """Heat map of the twin's water content over time and depth."""
    grid, times = [], None
    for depth in depths:
        window = reader.window(
            zone, f"theta@{depth:.3f}", kind="twin", start_ms=start_ms, max_points=400
        )
        if times is None:
            times = window.time_ms
        if window.time_ms.size == 0 or times.size == 0:
            continue
        grid.append(np.interp(times, window.time_ms, window.value).round(4).tolist())
    figure = go.Figure(
        go.Heatmap(
            x=[] if times is None else times.tolist(),
            y=[round(d, 3) for d in depths],
            z=grid,
            colorscale=[[0, "#8a5a2b"], [0.35, "#d8b98a"], [0.6, "#a9d3e8"], [1, "#0b5c92"]],
            colorbar={"title": {"text": "m³/m³"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate="%{x|%d %b %H:%M}<br>depth %{y} m: %{z:.3f} m³/m³<extra></extra>",
        )
    )
    figure.update_yaxes(title_text="Depth [m]", autorange="reversed")
    _dress(figure, 280)
    return figure


def history(
    reader: StoreReader,
    zone: str,
    wanted: Sequence[tuple[str, str]],
    start_ms: int | None,
    end_ms: int | None,
) -> go.Figure:
    """Chosen signals (kind, name) over a window, one row for each unit."""
    windows = [
        (kind, name, reader.window(zone, name, kind=kind, start_ms=start_ms, end_ms=end_ms))
        for kind, name in wanted
    ]
    units = list(dict.fromkeys(window.unit for _, _, window in windows)) or [""]
    figure = make_subplots(rows=len(units), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for i, (kind, name, window) in enumerate(windows):
        figure.add_trace(
            go.Scatter(
                x=window.time_ms.tolist(),
                y=window.value.tolist(),
                mode="lines",
                name=_wrapped(f"{name}, {'device' if kind == 'raw' else kind}"),
                line={"color": PALETTE[i % len(PALETTE)], "width": 1.6},
            ),
            row=units.index(window.unit) + 1,
            col=1,
        )
    for k, unit in enumerate(units):
        figure.update_yaxes(title_text=_wrapped(unit), row=k + 1, col=1)
    _dress(figure, max(320, 200 * len(units)))
    return figure


def _dress(figure: go.Figure, height: int) -> None:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 62, "r": 12, "t": 30, "b": 36},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12, "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        hovermode="closest",
        uirevision="kept",
        dragmode="zoom",
    )
    figure.update_xaxes(type="date", gridcolor=GRID, zeroline=False, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID)
