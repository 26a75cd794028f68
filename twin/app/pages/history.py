"""The page of the history: stored signals, what was said then, exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from levada.sim.units import DAY_MS
from levada.twin.app import words
from levada.twin.app.pages.parts import (
    POLITE,
    Children,
    aria_label,
    chart,
    events,
    fact_table,
    stamp,
)
from levada.twin.snapshot import View
from levada.twin.store.reads import SeriesInfo

__all__ = ["history_page", "signal_options"]


def signal_options(found: Sequence[SeriesInfo]) -> list[Any]:
    """What can be chosen on the page of history."""
    return [
        {
            "value": f"{s.kind} {s.name}",
            "label": f"{words.signal(s.name)}, {words.kind(s.kind)}"
            + (f" [{words.unit(s.unit)}]" if s.unit else ""),
        }
        for s in found
    ]


def history_page(
    view: View, zone: str, found: Sequence[SeriesInfo], query: Mapping[str, str]
) -> Children:
    """Any signals over any time, a moment of it, and the export."""
    names = [z.name for z in view.zones]
    start = query.get("start") or stamp(max(view.start_ms, view.now_ms - 14 * DAY_MS))[:10]
    end = query.get("end") or stamp(view.now_ms + DAY_MS)[:10]
    # the program beside the style sheet hands them to the slider
    slider: dict[str, Any] = {"data-slider-name": "Moment", "data-slider-text": "history-time"}
    return [
        html.Section(
            [
                html.H2("Any signal, any time"),
                html.P(
                    "Choose signals and days (2023-07-01, or 2023-07-01 06:00), and move the "
                    "slider to see how it was at a moment and why.",
                    className="hint",
                ),
                html.Div(
                    [
                        html.Label("Zone", htmlFor="history-zone"),
                        html.Div(
                            dcc.Dropdown(
                                id="history-zone", options=names, value=zone, clearable=False
                            ),
                            style={"minWidth": "180px"},
                        ),
                        html.Label("from", htmlFor="history-start"),
                        dcc.Input(id="history-start", type="text", value=start, size="12"),
                        html.Label("to", htmlFor="history-end"),
                        dcc.Input(id="history-end", type="text", value=end, size="12"),
                        html.Span(id="history-wrong", className="bad", role="alert"),
                    ],
                    className="row",
                ),
                html.Div(
                    dcc.Dropdown(
                        id="history-signals",
                        multi=True,
                        options=signal_options(found),  # a value without its option is dropped
                        value=["raw theta", "twin theta", "raw valve"],
                        placeholder="Signals",
                    ),
                    **aria_label("Signals"),
                ),
                chart("history-chart", "The chosen signals over time"),
                html.Div(
                    [
                        html.Span("Moment", className="hint"),
                        html.Div(
                            dcc.Slider(
                                id="history-moment", min=0, max=1000, value=1000, marks=None, step=1
                            ),
                            style={"flex": "1 1 240px"},
                            **slider,
                        ),
                        html.Strong(id="history-time", className="when"),
                    ],
                    className="row",
                ),
                html.Div(id="history-then", **POLITE),
            ]
        ),
        html.Section(
            [
                html.H2("Take it with you"),
                html.P(
                    "Files of these days. Curves are thinned to 100,000 values, keeping the "
                    "extremes; the file of the zone holds every value stored.",
                    className="hint",
                ),
                html.Div(id="history-export", className="row"),
            ]
        ),
    ]


def then(at_ms: int, values: Sequence[tuple[str, float, str]], said: Sequence[Any]) -> Children:
    """How it was at a moment."""
    return [
        html.P(f"At {stamp(at_ms)}", className="cause"),
        fact_table(
            {name: f"{value:.4g} {words.unit(unit)}".strip() for name, value, unit in values}
        )
        if values
        else html.P("No value in the day before.", className="hint"),
        events(said, zone=True, none="Nothing happened in the day before."),
    ]


def exports(links: Mapping[str, str]) -> Children:
    """Links to files."""
    return [
        html.A(text, href=href, className="button", download="") for text, href in links.items()
    ]
