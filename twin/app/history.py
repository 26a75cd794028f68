"""Callbacks of the page of the history: any signals over any time, and a moment of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dash import Dash, Input, Output
from dash.exceptions import PreventUpdate

from levada.sim.units import DAY_MS
from levada.twin.app import curves, figures, pages, words
from levada.twin.app.alternatives import describe
from levada.twin.app.shown import Subject

__all__ = ["register_history"]


def register_history(app: Dash, subject: Subject) -> None:
    """Bind them; all only read."""
    reader = subject.store.reader

    @app.callback(
        Output("history-signals", "options"),
        Input("history-zone", "value"),
        prevent_initial_call=True,
    )
    def options(zone: str | None) -> list[Any]:
        if zone is None:  # none is chosen
            raise PreventUpdate
        return pages.signal_options(reader.series(zone))

    @app.callback(
        Output("history-chart", "figure"),
        Output("history-chart-text", "children"),
        Output("history-export", "children"),
        Output("history-wrong", "children"),
        Input("history-zone", "value"),
        Input("history-signals", "value"),
        Input("history-start", "value"),
        Input("history-end", "value"),
        Input("history-moment", "value"),
    )
    def chart(zone: str | None, signals: list[str], start: str, end: str, at: int) -> Any:
        if zone is None:
            raise PreventUpdate
        start_ms, end_ms = _span(start, end)
        wanted = _pairs(signals)
        moment_ms = _moment(subject, start_ms, end_ms, at)
        figure = figures.history(reader, zone, wanted, start_ms, end_ms)
        if moment_ms is not None:
            figure["layout"]["shapes"] = [_line(moment_ms)]
        query = _query(start_ms, end_ms)
        links = {
            f"{words.signal(name)}, {words.kind(kind)} (CSV)": "/api/series/"
            f"{quote(zone, safe='')}/{quote(kind, safe='')}/{quote(name, safe='@')}.csv"
            f"{query}&points=100000"
            for kind, name in wanted
        }
        links["Everything of the zone (CSV)"] = (
            f"/api/export.csv{query}&zone={quote(zone, safe='')}"
        )
        wrong = [t for t, ms in ((start, start_ms), (end, end_ms)) if t and ms is None]
        said = (
            f"{wrong[0][:40]!r} is no date: write 2023-07-01 or 2023-07-01 06:00" if wrong else ""
        )
        return figure, describe(figure), pages.exports(links), said

    _register_moment(app, subject)


def _register_moment(app: Dash, subject: Subject) -> None:
    """How it was where the slider stands."""
    reader = subject.store.reader

    @app.callback(
        Output("history-time", "children"),
        Input("history-moment", "drag_value"),
        Input("history-start", "value"),
        Input("history-end", "value"),
    )
    def time(at: float | None, start: str, end: str) -> str:
        moment_ms = _moment(subject, *_span(start, end), at)
        return "" if moment_ms is None else pages.stamp(moment_ms)

    @app.callback(
        Output("history-then", "children"),
        Input("history-zone", "value"),
        Input("history-signals", "value"),
        Input("history-start", "value"),
        Input("history-end", "value"),
        Input("history-moment", "value"),
    )
    def then(zone: str | None, signals: list[str], start: str, end: str, at: int) -> Any:
        if zone is None:
            raise PreventUpdate
        start_ms, end_ms = _span(start, end)
        moment_ms = _moment(subject, start_ms, end_ms, at)
        if moment_ms is None:
            return None
        values = []
        for kind, name in _pairs(signals):
            window = reader.window(
                zone,
                name,
                kind=kind,
                start_ms=moment_ms - DAY_MS,
                end_ms=moment_ms + 1,
                max_points=100,
            )
            if window.value.size:
                label = f"{words.signal(name)}, {words.kind(kind)}"
                values.append((label, float(window.value[-1]), window.unit))
        said = reader.events(node=zone, start_ms=moment_ms - DAY_MS, end_ms=moment_ms + 1, limit=5)
        return pages.then(moment_ms, values, said)


def _moment(
    subject: Subject, start_ms: int | None, end_ms: int | None, at: float | None
) -> int | None:
    if start_ms is None or end_ms is None or at is None:
        return None
    last_ms = min(end_ms, subject.view.now_ms)
    return round(start_ms + (last_ms - start_ms) * at / 1000)


def _span(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    return pages.moment(start), pages.moment(end)


def _pairs(signals: list[str] | None) -> list[tuple[str, str]]:
    found = []
    for signal in (signals or [])[:8]:
        kind, _, name = signal.partition(" ")
        found.append((kind, name))
    return found


def _line(at_ms: int | None) -> Mapping[str, Any]:
    line = {"color": curves.INK, "width": 1, "dash": "dot"}
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": at_ms,
        "x1": at_ms,
        "y0": 0,
        "y1": 1,
        "line": line,
    }


def _query(start_ms: int | None, end_ms: int | None) -> str:
    parts = [f"{k}={v}" for k, v in (("start_ms", start_ms), ("end_ms", end_ms)) if v is not None]
    return "?" + "&".join(parts)
