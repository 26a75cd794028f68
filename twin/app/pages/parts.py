"""What several pages are made of: labels, numbers, tables, and the list of events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dash import dcc, html

from levada.twin.app import words
from levada.twin.snapshot import ZoneView

__all__ = [
    "POLITE",
    "TICK_MS",
    "Children",
    "aria_label",
    "chart",
    "choice",
    "events",
    "moment",
    "stamp",
    "stress_text",
    "with_unit",
]

TICK_MS: Final = 1_000
SLOW_MS: Final = 5_000
GRAPH: Final[Any] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
WINDOWS: Final = {"6 h": 6, "1 d": 24, "3 d": 72, "7 d": 168, "30 d": 720, "all": 0}
"""Label of a window of the chart -> hours, 0: everything."""
DEFAULT_WINDOW: Final = "7 d"
EXPIRIES: Final = {"until changed": 0, "for 1 h": 3600, "for 1 d": 86_400, "for 7 d": 604_800}
Children = list[Any]
POLITE: Final[dict[str, Any]] = {"aria-live": "polite"}


def aria_label(text: str) -> dict[str, Any]:
    """Name of an element for a screen reader."""
    return {"aria-label": text}


def chart(name: str, label: str, height: int | None = None) -> html.Div:
    """A chart `name` and, in words for who does not see it, what it shows: `name`-text."""
    style = {} if height is None else {"height": f"{height}px"}
    described: dict[str, Any] = {"aria-describedby": f"{name}-text"}
    return html.Div(
        [
            html.Div(
                dcc.Graph(id=name, config=GRAPH, style=style),
                role="img",
                **aria_label(label),
                **described,
            ),
            html.P(id=f"{name}-text", className="sr"),
        ]
    )


def choice(name: str, label: str, options: Mapping[str, Any], value: str) -> html.Div:
    """One of several, as a row of buttons."""
    return html.Div(
        dcc.RadioItems(id=name, options=list(options), value=value, inline=True),
        role="radiogroup",
        className="choice",
        **aria_label(label),
    )


def stamp(time_ms: int) -> str:
    """2023-07-07 11:20, local standard time of the field."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def moment(text: str | None) -> int | None:
    """What a date input holds -> ms since 1970; None if it is empty or no time."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round(found.replace(tzinfo=UTC).timestamp() * 1000)


def number_tile(label: str, value: str, kind: str = "") -> html.Div:
    return html.Div([html.Span(label), html.Strong(value, className=kind)])


def litres_text(litres: float | None) -> str:
    if litres is None:
        return "–"
    return f"{litres:,.0f} L" if litres < 100_000 else f"{litres / 1000:,.0f} m³"


def theta_text(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def with_unit(value: int, unit: str) -> str:
    """A parameter's value."""
    return f"{value:,} {words.unit(unit)}".rstrip()


def litres_in_all(litres: float | None) -> str:
    return "no flow meter" if litres is None else f"{litres_text(litres)} in all"


def hours_text(hours: float) -> str:
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} d"


def fact_tile(label: str, value: str, note: str, kind: str = "") -> html.Div:
    return html.Div(
        [
            html.Div(label, className="label"),
            html.Div(value, className=f"value {kind}".rstrip()),
            html.Div(note, className="note"),
        ],
        className="fact",
    )


def events(
    found: Sequence[Mapping[str, Any]], *, zone: bool = False, none: str = "Nothing yet."
) -> Any:
    """Events, newest first, each with its evidence; what device and twin both said stands once."""
    if not found:
        return html.P(none, className="hint")
    lines: list[tuple[Mapping[str, Any], list[str]]] = []
    for event in reversed(found):
        who = _who(event, zone)
        if lines and event["kind"] == "decision" and _same(lines[-1][0], event):
            lines[-1][1].append(who)
        else:
            lines.append((event, [who]))
    return html.Ul([html.Li(_line(event, who)) for event, who in lines], className="list")


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("kind", "time_ms", "text", "node"))


def _line(event: Mapping[str, Any], who: Sequence[str]) -> Children:
    alert = event["kind"] == "alert"
    known = {"device": "physical", "twin": "virtual"}
    return [
        html.Span(stamp(int(event["time_ms"])), className="when"),
        *(html.Span(name, className=f"who {known.get(name, '')}".rstrip()) for name in who),
        html.Span(event["text"], className=f"severity-{event['severity']}" if alert else ""),
        html.Details(
            [html.Summary("Evidence"), html.Pre(json.dumps(event["evidence"], indent=1)[:4000])]
        )
        if alert and event["evidence"].get("raised")
        else None,
    ]


def _who(event: Mapping[str, Any], zone: bool) -> str:
    if event["kind"] == "decision":
        return str(event["evidence"].get("who", ""))
    return str(event["kind"]) if zone else str(event["node"] or "")


def fact_table(rows: Mapping[str, Any]) -> html.Table:
    return html.Table(
        html.Tbody([html.Tr([html.Th(k, scope="row"), html.Td(v)]) for k, v in rows.items()]),
        className="plain",
    )


def number_text(value: Any, name: str) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    if value is None:
        return "no" if name == "void" else "none"
    if isinstance(value, str):
        return value
    unit = " ms" if name.endswith("_ms") else ""
    return (f"{value:.3g}" if isinstance(value, float) else f"{value:,}") + unit


def stress_text(zone: ZoneView) -> str:
    """How far the crop is from suffering."""
    return "–" if zone.stress_h is None else hours_text(zone.stress_h)
