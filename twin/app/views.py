"""The pages, as trees of Dash components.

Text goes in as children, which the browser shows as text whatever it contains; links carry names
percent-encoded.  Every page has its own interval, so that pages that are not shown ask nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from guest.module import Parameter
from twin.cause import Cause
from twin.dry_run import DryRun
from twin.store_reads import SeriesInfo
from twin.view import View, ZoneView

__all__ = [
    "events",
    "field_page",
    "history_page",
    "missing_page",
    "moment",
    "node_facts",
    "node_page",
    "now",
    "shell",
    "signal_options",
    "stamp",
    "tiles",
    "zone_page",
]

TICK_MS: Final = 1_000
SLOW_MS: Final = 5_000
GRAPH: Final[Any] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
WINDOWS: Final = {"6 h": 6, "1 d": 24, "3 d": 72, "7 d": 168, "30 d": 720, "all": 0}
"""Label of a window of the chart -> hours, 0: everything."""
DEFAULT_WINDOW: Final = "7 d"
EXPIRIES: Final = {"for good": 0, "for 1 h": 3600, "for 1 d": 86_400, "for 7 d": 604_800}

Children = list[Any]

_LIVE: Final[dict[str, Any]] = {"aria-live": "polite"}


def _label(text: str) -> dict[str, Any]:
    return {"aria-label": text}


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


def shell() -> html.Div:
    """What stands around every page."""
    return html.Div(
        [
            html.A("To the content", href="#page", className="skip"),
            dcc.Location(id="url"),
            dcc.Interval(id="tick", interval=TICK_MS),
            html.Header(
                [
                    html.Div(
                        [html.H1(id="title"), html.Span(id="clock", className="clock")],
                        className="mast",
                    ),
                    html.Nav(id="nav", **_label("Pages")),
                    html.Div(id="banner", **_LIVE),
                ]
            ),
            html.Main(id="page"),
        ]
    )


def nav(view: View, path: str) -> Children:
    """Links to all pages; of many zones only the field leads to them."""
    links = [("Field", "/"), ("History", "/history")]
    if len(view.zones) <= 6:
        links[1:1] = [(zone.name, f"/zone/{quote(zone.name, safe='')}") for zone in view.zones]
    links.insert(-1, ("Nodes", "/nodes"))

    def here(href: str) -> bool:
        return path == href or (href != "/" and path.startswith(href.rstrip("s") + "/"))

    return [
        dcc.Link(text, href=href, className="here" if here(href) else "") for text, href in links
    ]


def clock(view: View) -> str:
    """Where the twin is in time."""
    if view.ended:
        return f"{stamp(view.now_ms)} · ended"
    speed = "full speed" if view.speed > 1e8 else f"{view.speed:g} times real time"
    return f"{stamp(view.now_ms)} · {view.mode} · {speed}"


# Field


def field_page() -> Children:
    """All zones."""
    return [
        dcc.Interval(id="tick-field", interval=TICK_MS),
        html.Div(id="tiles", className="tiles"),
        html.Section(
            [html.H2("Alerts"), html.Div(id="field-events")],
            **_label("Alerts of the field"),
        ),
    ]


def tiles(view: View) -> Children:
    """One tile a zone."""
    return [
        dcc.Link(
            [
                html.Div(zone.name, className="name"),
                html.Div(_state(zone), className="state"),
                html.Div(
                    f"Probe {_theta(zone.theta)}, twin {_theta(zone.theta_twin)}; "
                    f"{zone.water_today_l:.0f} L today",
                    className="state",
                ),
                *(html.Div(alert.text, className="alerts") for alert in zone.alerts),
            ],
            href=f"/zone/{quote(zone.name, safe='')}",
            className="tile" + (" alert" if zone.alerts else " watering" if zone.valve else ""),
        )
        for zone in view.zones
    ]


def _state(zone: ZoneView) -> str:
    if zone.lost:
        return "The node does not answer"
    if not zone.running:
        return "The guest was stopped"
    return "Watering" if zone.valve else "Valve closed"


def _theta(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


# Zone


def zone_page(zone: ZoneView, parameters: Sequence[Parameter], changed: Sequence[str]) -> Children:
    """Device and twin of one zone; `changed` are parameters that the scenario sets."""
    return [
        dcc.Interval(id="tick-zone", interval=TICK_MS),
        dcc.Interval(id="tick-slow", interval=SLOW_MS),
        dcc.Store(id="zone-name", data=zone.name),
        dcc.Store(id="zone-upto"),
        html.Div(id="zone-facts", className="facts"),
        html.Section(id="zone-verdict", className="verdict", **_LIVE),
        html.Section(
            [
                html.Div(
                    [
                        html.H2("Device and twin"),
                        html.Div(
                            dcc.RadioItems(
                                id="zone-window",
                                options=list(WINDOWS),
                                value=DEFAULT_WINDOW,
                                inline=True,
                            ),
                            role="group",
                            className="choice",
                            **_label("Time shown"),
                        ),
                    ],
                    className="row",
                ),
                html.P(
                    "Water content at the probe as the device reads it and as the twin expects it; "
                    "what differs beyond the band is more than noise. Point at a decision to read "
                    "why it was taken.",
                    className="hint",
                ),
                dcc.Graph(id="zone-chart", config=GRAPH, style={"height": "620px"}),
            ]
        ),
        html.Section(
            [
                html.H2("Water in the soil, by depth (twin)"),
                dcc.Graph(id="zone-profile", config=GRAPH, style={"height": "280px"}),
            ]
        ),
        html.Section(_calibration(zone, parameters, changed), id="calibration"),
        html.Section([html.H2("What happened"), html.Div(id="zone-events")]),
    ]


def _calibration(
    zone: ZoneView, parameters: Sequence[Parameter], changed: Sequence[str]
) -> Children:
    if not parameters:
        return [html.H2("Calibration"), html.P("The guest declares no parameters.")]
    first = [p for p in parameters if p.name in changed] or list(parameters[:4])
    rest = [p for p in parameters if p not in first]
    return [
        html.H2("Calibration"),
        html.P(
            "New values are checked against the guest's own ranges, set between two steps and "
            "read back from the device. Try them on the last days first, if you like.",
            className="hint",
        ),
        html.Div(_parameter_table(zone, first), className="scroll"),
        html.Details(
            [
                html.Summary(f"{len(rest)} more parameters"),
                html.Div(_parameter_table(zone, rest), className="scroll"),
            ]
        )
        if rest
        else None,
        html.Div(
            [
                html.Label("In force", htmlFor="calibrate-expiry"),
                html.Div(
                    dcc.RadioItems(
                        id="calibrate-expiry",
                        options=list(EXPIRIES),
                        value="for good",
                        inline=True,
                    ),
                    className="choice",
                ),
                html.Label("Your name", htmlFor="calibrate-who"),
                dcc.Input(id="calibrate-who", type="text", maxLength=64, debounce=True, value=""),
            ],
            className="row",
        ),
        html.Div(
            [
                html.Button("Dry run on the last 14 days", id="calibrate-try", n_clicks=0),
                html.Button("Set", id="calibrate-set", n_clicks=0, className="primary"),
            ],
            className="row",
        ),
        html.Div(id="calibrate-tried", **_LIVE),
        html.Div(id="calibrate-done", **_LIVE),
    ]


def _parameter_table(zone: ZoneView, parameters: Sequence[Parameter]) -> html.Table:
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(t) for t in ("parameter", "now", "new", "permitted")])),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Th(p.name, scope="row"),
                            html.Td(
                                _with_unit(zone.parameters.get(p.name, p.default), p.unit),
                                id={"type": "parameter-now", "name": p.name},
                            ),
                            html.Td(
                                dcc.Input(
                                    id={"type": "parameter", "name": p.name},
                                    type="text",
                                    inputMode="numeric",
                                    size="9",
                                    autoComplete="off",
                                    placeholder="as it is",
                                )
                            ),
                            html.Td(f"{p.minimum} to {p.maximum} {p.unit}".rstrip()),
                        ]
                    )
                    for p in parameters
                ]
            ),
        ],
        className="parameters",
    )


def _with_unit(value: int, unit: str) -> str:
    return f"{value} {unit}".rstrip()


def now(zone: ZoneView) -> tuple[Children, Children, str]:
    """Facts, verdict and the verdict's class."""
    facts = [
        _fact("Probe", _theta(zone.theta), f"{zone.counts} counts", "physical"),
        _fact("Twin", _theta(zone.theta_twin), "water content at the probe", "virtual"),
        _fact(
            "Difference",
            "–" if zone.residual is None else f"{100 * zone.residual:+.1f} %",
            f"noise explains {100 * zone.band:.1f} %",
        ),
        _fact(
            "Valve",
            "open" if zone.valve else "closed",
            f"twin: {'open' if zone.valve_twin else 'closed'}"
            + (", water flows" if zone.flowed else ""),
            "physical",
        ),
        _fact(
            "Water today", f"{zone.water_today_l:.0f} L", f"{zone.water_l:.0f} L since the start"
        ),
        _fact(
            "Crop stressed in",
            "–" if zone.stress_h is None else _hours(zone.stress_h),
            "if no water comes",
        ),
    ]
    fine = zone.verdict.cause is Cause.NONE and not zone.alerts
    verdict: Children = [
        html.Div(
            "Device and twin agree"
            if zone.verdict.cause is Cause.NONE
            else f"They differ: {zone.verdict.cause}",
            className="cause",
        ),
        html.P(zone.verdict.text, className="hint"),
        html.P(zone.decision, className="hint"),
    ]
    if zone.alerts:
        verdict.append(
            html.Ul(
                [
                    html.Li(
                        [
                            html.Span(stamp(alert.since_ms), className="when"),
                            html.Span(alert.text, className=f"severity-{alert.severity}"),
                        ]
                    )
                    for alert in zone.alerts
                ],
                className="list",
                id="zone-alerts",
            )
        )
    return facts, verdict, "verdict" if fine else "verdict bad"


def _hours(hours: float) -> str:
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} d"


def _fact(label: str, value: str, note: str, kind: str = "") -> html.Div:
    return html.Div(
        [
            html.Div(label, className="label"),
            html.Div(value, className=f"value {kind}".rstrip()),
            html.Div(note, className="note"),
        ],
        className="fact",
    )


def events(found: Sequence[Mapping[str, Any]], *, zone: bool = False) -> Any:
    """Events, newest first, each with its evidence."""
    if not found:
        return html.P("Nothing yet.", className="hint")
    return html.Ul(
        [
            html.Li(
                [
                    html.Span(stamp(int(event["time_ms"])), className="when"),
                    html.Span(_who(event, zone), className=f"who {_who_class(event)}".rstrip()),
                    html.Span(
                        event["text"],
                        className=f"severity-{event['severity']}"
                        if event["kind"] == "alert"
                        else "",
                    ),
                    html.Details(
                        [
                            html.Summary("Evidence"),
                            html.Pre(json.dumps(event["evidence"], indent=1)[:4000]),
                        ]
                    )
                    if event["kind"] == "alert" and event["evidence"].get("raised")
                    else None,
                ]
            )
            for event in reversed(found)
        ],
        className="list",
    )


def _who(event: Mapping[str, Any], zone: bool) -> str:
    if event["kind"] == "decision":
        return str(event["evidence"].get("who", ""))
    return str(event["kind"]) if zone else str(event["node"] or "")


def _who_class(event: Mapping[str, Any]) -> str:
    who = event["evidence"].get("who") if event["kind"] == "decision" else ""
    return {"device": "physical", "twin": "virtual"}.get(str(who), "")


def tried(outcome: DryRun, values: Mapping[str, int]) -> html.Div:
    """What a dry run found."""
    rows = (
        ("Water", "{:.0f} L", "water_l"),
        ("Irrigation", "{:.1f} mm", "irrigation_mm"),
        ("Days of stress", "{:.0f}", "stress_days"),
        ("Valve openings", "{:.0f}", "openings"),
        ("Drainage", "{:.1f} mm", "drainage_mm"),
    )
    changes = ", ".join(f"{name} = {value}" for name, value in values.items())
    return html.Div(
        [
            html.P(
                f"The twin from {stamp(outcome.start_ms)} to {stamp(outcome.end_ms)}, "
                f"as it was and with {changes}:",
                className="hint",
            ),
            html.Table(
                [
                    html.Thead(html.Tr([html.Th(t) for t in ("", "before", "after")])),
                    html.Tbody(
                        [
                            html.Tr(
                                [
                                    html.Th(label, scope="row"),
                                    html.Td(form.format(getattr(outcome.before, key))),
                                    html.Td(form.format(getattr(outcome.after, key))),
                                ]
                            )
                            for label, form, key in rows
                        ]
                    ),
                ],
                className="parameters",
                id="dry-run",
            ),
        ]
    )


# Nodes


def nodes_page(view: View) -> Children:
    """All nodes."""
    return [
        html.Section(
            [
                html.H2("Nodes"),
                html.Div(
                    html.Table(
                        [
                            html.Thead(
                                html.Tr(
                                    [
                                        html.Th(t)
                                        for t in ("zone", "node", "engine", "guest", "answers")
                                    ]
                                )
                            ),
                            html.Tbody(
                                [
                                    html.Tr(
                                        [
                                            html.Td(
                                                dcc.Link(
                                                    zone.name,
                                                    href=f"/node/{quote(zone.name, safe='')}",
                                                )
                                            ),
                                            html.Td(zone.node),
                                            html.Td(zone.birth.engine),
                                            html.Td(zone.birth.guest_sha256[:12]),
                                            html.Td("no" if zone.lost else "yes"),
                                        ]
                                    )
                                    for zone in view.zones
                                ]
                            ),
                        ]
                    ),
                    className="scroll",
                ),
            ]
        )
    ]


def node_page(zone: ZoneView) -> Children:
    """Who one node is and how it is."""
    return [
        dcc.Interval(id="tick-node", interval=TICK_MS),
        dcc.Store(id="node-name", data=zone.name),
        html.Div(id="node-facts"),
    ]


def node_facts(zone: ZoneView, calibrations: Sequence[Mapping[str, Any]]) -> Children:
    """The changing part of a node's page."""
    birth = zone.birth
    link = zone.link or {}
    return [
        html.Section(
            [
                html.H2(f"Node of {zone.name}"),
                _table(
                    {
                        "Node": zone.node,
                        "Guest": f"{birth.guest_name} {birth.guest_version}".strip() or "unnamed",
                        "SHA-256 of the guest": birth.guest_sha256,
                        "The twin's guest": "the same bytes",
                        "ABI": birth.abi_version,
                        "Engine": birth.engine,
                        "Firmware": birth.firmware,
                        "Boot": birth.boot_id,
                        "Steps seen": zone.steps,
                        "Last step": stamp(zone.time_ms),
                        "Answers": zone.lost or "yes",
                    }
                ),
            ]
        ),
        html.Section(
            [
                html.H2("Link"),
                _table({_words(k): _number(v) for k, v in link.items()})
                if link
                else html.P("Simulated in this process: there is no link.", className="hint"),
            ]
        ),
        html.Section(
            [
                html.H2("Energy"),
                _table(
                    {
                        "Battery": f"{zone.battery_mv / 1000:.2f} V",
                        "Used since the start": f"{zone.energy_j:.0f} J (model)",
                    }
                ),
            ]
        ),
        html.Section(
            [
                html.H2("Calibrations"),
                html.Div(_calibrations(calibrations), className="scroll"),
            ]
        ),
        html.Section(
            [
                html.H2("Log of the guest"),
                html.Pre("\n".join(zone.logs[-80:])) if zone.logs else html.P("Empty."),
            ]
        ),
    ]


def _calibrations(found: Sequence[Mapping[str, Any]]) -> Any:
    if not found:
        return html.P("None yet.", className="hint")
    heads = ("when", "who", "parameter", "from", "to", "state", "read back")
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(t) for t in heads])),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Td(stamp(int(c["time_ms"]))),
                            html.Td(c["who"]),
                            html.Td(c["parameter"]),
                            html.Td(c["old_value"]),
                            html.Td(c["new_value"]),
                            html.Td(f"{c['state']} {c['reason']}".strip()),
                            html.Td(c["read_back"]),
                        ]
                    )
                    for c in reversed(found)
                ]
            ),
        ]
    )


def _table(rows: Mapping[str, Any]) -> html.Table:
    return html.Table(
        html.Tbody([html.Tr([html.Th(k, scope="row"), html.Td(str(v))]) for k, v in rows.items()]),
        className="plain",
    )


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


# History


def signal_options(found: Sequence[SeriesInfo]) -> list[Any]:
    """What can be chosen on the page of history."""
    words = {"raw": "device", "twin": "twin", "filtered": "fog"}
    return [
        {
            "value": f"{s.kind} {s.name}",
            "label": f"{words.get(s.kind, s.kind)}: {s.name}" + (f" [{s.unit}]" if s.unit else ""),
        }
        for s in found
    ]


def history_page(
    view: View, zone: str, found: Sequence[SeriesInfo], query: Mapping[str, str]
) -> Children:
    """Any signals over any time, a moment of it, and the export."""
    names = [z.name for z in view.zones]
    start = query.get("start") or stamp(max(view.start_ms, view.now_ms - 14 * 86_400_000))[:10]
    end = query.get("end") or stamp(view.now_ms + 86_400_000)[:10]
    return [
        html.Section(
            [
                html.H2("History"),
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
                    **_label("Signals"),
                ),
                dcc.Graph(id="history-chart", config=GRAPH),
                html.Div(
                    [
                        html.Label("Moment", htmlFor="history-moment"),
                        html.Div(
                            dcc.Slider(
                                id="history-moment", min=0, max=1000, value=1000, marks=None, step=1
                            ),
                            style={"flex": "1 1 300px"},
                        ),
                    ],
                    className="row",
                ),
                html.Div(id="history-then", **_LIVE),
                html.Div(id="history-export", className="row"),
            ]
        )
    ]


def then(at_ms: int, values: Sequence[tuple[str, float, str]], said: Sequence[Any]) -> Children:
    """How it was at a moment."""
    return [
        html.P(f"At {stamp(at_ms)}", className="cause"),
        _table({name: f"{value:.4g} {unit}".strip() for name, value, unit in values}),
        events(said, zone=True),
    ]


def exports(links: Mapping[str, str]) -> Children:
    """Links to files."""
    return [
        html.A(text, href=href, className="button", download="") for text, href in links.items()
    ]


def missing_page(what: str) -> Children:
    """Nothing is there."""
    return [html.Section([html.H2("Not found"), html.P(f"There is no {what}.")])]
