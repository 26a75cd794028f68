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

from levada.guest.module.metadata import Parameter
from levada.twin.app import words
from levada.twin.calibration.dry_run import DryRun
from levada.twin.diagnosis import Cause
from levada.twin.snapshot import View, ZoneView
from levada.twin.store.reads import SeriesInfo

__all__ = [
    "events",
    "field_now",
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
    "tile",
    "tile_class",
    "with_unit",
    "zone_page",
]

TICK_MS: Final = 1_000
SLOW_MS: Final = 5_000
GRAPH: Final[Any] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
WINDOWS: Final = {"6 h": 6, "1 d": 24, "3 d": 72, "7 d": 168, "30 d": 720, "all": 0}
"""Label of a window of the chart -> hours, 0: everything."""
DEFAULT_WINDOW: Final = "7 d"
EXPIRIES: Final = {"until changed": 0, "for 1 h": 3600, "for 1 d": 86_400, "for 7 d": 604_800}

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
    if view.speed > 1e8:
        speed = "at full speed"
    else:
        speed = "in real time" if view.speed == 1 else f"{view.speed:g} × real time"
    return f"{stamp(view.now_ms)} · {words.mode(view.mode)} · {speed}"


# Field


def field_page(view: View) -> Children:
    """All zones.  Links stay while what is in them changes, so that they keep the focus."""
    return [
        dcc.Interval(id="tick-field", interval=TICK_MS),
        dcc.Store(id="field-said"),
        html.Div(id="field-facts", className="facts"),
        html.Div(
            [
                dcc.Link(
                    tile(zone, ""),
                    id={"type": "tile", "name": zone.name},
                    href=f"/zone/{quote(zone.name, safe='')}",
                    className=tile_class(zone),
                )
                for zone in view.zones
            ],
            className="tiles",
        ),
        html.Section(
            [html.H2("Alerts"), html.Div(id="field-events")],
            **_label("Alerts of the field"),
        ),
    ]


def field_now(view: View) -> Children:
    """The field as a whole."""
    zones = view.zones
    watering = sum(bool(zone.valve) for zone in zones)
    alerts = sum(len(zone.alerts) for zone in zones)
    silent = sum(bool(zone.lost) for zone in zones)
    today_l, all_l = sum(z.water_today_l or 0 for z in zones), sum(z.water_l or 0 for z in zones)
    return [
        _fact("Zones", str(len(zones)), "each with a device and its twin"),
        _fact("Watering now", str(watering), "valves open", "physical"),
        _fact("Alerts", str(alerts), "standing now", "bad" if alerts else "good"),
        _fact(
            "Devices that answer",
            f"{len(zones) - silent} of {len(zones)}",
            "none is missing" if not silent else "see the tiles",
            "bad" if silent else "good",
        ),
        _fact("Water today", _litres(today_l), f"{_litres(all_l)} since the start"),
    ]


def tile_class(zone: ZoneView) -> str:
    """Look of a zone's tile."""
    return f"tile {_mood(zone)}"


def tile(zone: ZoneView, picture: str) -> Children:
    """What is on a zone's tile; `picture` of the last days, if there is one."""
    return [
        html.Div(
            [
                html.Span(zone.name, className="name"),
                html.Span(_state(zone), className=f"state {_mood(zone)}"),
            ],
            className="head",
        ),
        html.Img(src=picture, alt="Probe and twin over the last days", className="spark")
        if picture
        else None,
        html.Div(
            [
                _number_of("Probe", _theta(zone.theta), "physical"),
                _number_of("Twin", _theta(zone.theta_twin), "virtual"),
                _number_of("Today", _litres(zone.water_today_l)),
                _number_of("Stress in", _stress(zone)),
            ],
            className="numbers",
        ),
        *(html.Div(alert.text, className="alerts") for alert in zone.alerts),
    ]


def _number_of(label: str, value: str, kind: str = "") -> html.Div:
    return html.Div([html.Span(label), html.Strong(value, className=kind)])


def _mood(zone: ZoneView) -> str:
    return "alert" if zone.alerts or zone.lost else "watering" if zone.valve else "calm"


def _litres(litres: float | None) -> str:
    if litres is None:
        return "–"
    return f"{litres:,.0f} L" if litres < 100_000 else f"{litres / 1000:,.0f} m³"


def _stress(zone: ZoneView) -> str:
    return "–" if zone.stress_h is None else _hours(zone.stress_h)


def _state(zone: ZoneView) -> str:
    if zone.lost:
        return "Device does not answer"
    if not zone.running:
        return "Guest was stopped"
    return "Watering" if zone.valve else "Valve closed"


def _theta(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


# Zone


def zone_page(
    zone: ZoneView,
    parameters: Sequence[Parameter],
    changed: Sequence[str],
    *,
    may_change: bool = True,
) -> Children:
    """Device and twin of one zone; `changed` are parameters that the scenario sets."""
    return [
        dcc.Interval(id="tick-zone", interval=TICK_MS),
        dcc.Interval(id="tick-slow", interval=SLOW_MS),
        dcc.Store(id="zone-name", data=zone.name),
        dcc.Store(id="zone-upto"),
        dcc.Store(id="zone-said"),
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
                    "Water content at the probe, in percent of the soil's volume, as the device "
                    "reads it and as the twin expects it. What differs beyond the band is more "
                    "than noise. Dots beside the valves are decisions (filled: it opens): point "
                    "at one to read why it was taken.",
                    className="hint",
                ),
                dcc.Graph(id="zone-chart", config=GRAPH, style={"height": "620px"}),
            ]
        ),
        html.Section(
            [
                html.H2("Water in the soil by depth, as the twin has it"),
                dcc.Graph(id="zone-profile", config=GRAPH, style={"height": "280px"}),
            ]
        ),
        html.Section(_calibration(zone, parameters, changed, may_change), id="calibration"),
        html.Section(
            [
                html.H2("What happened"),
                # a list that scrolls must be reachable by keyboard
                html.Div(id="zone-events", className="long", tabIndex="0", role="log"),
            ]
        ),
    ]


def _calibration(
    zone: ZoneView, parameters: Sequence[Parameter], changed: Sequence[str], may_change: bool
) -> Children:
    if not parameters:
        said = "The guest declares no parameters, so there is nothing to change."
        return [html.H2("Calibration"), html.P(said, className="hint")]
    first = [p for p in parameters if p.name in changed] or list(parameters[:4])
    rest = [p for p in parameters if p not in first]
    return [
        html.H2("Calibration"),
        html.P(
            "Write new values, try them on the last days with a dry run, then set them. They are "
            "checked against the guest's own ranges, set between two steps, all or none, and read "
            "back from the device.",
            className="hint",
        ),
        None
        if may_change
        else html.P(
            [
                "This browser reads along. To change something, open the link that ",
                html.Code("levada twin"),
                " has printed; it opens the page once with the right to do so.",
            ],
            id="calibrate-locked",
            className="bad",
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
                html.Label("Keep the new values", htmlFor="calibrate-expiry"),
                html.Div(
                    dcc.RadioItems(
                        id="calibrate-expiry",
                        options=list(EXPIRIES),
                        value="until changed",
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
                html.Button(
                    "Dry run on the last 14 days",
                    id="calibrate-try",
                    n_clicks=0,
                    disabled=not may_change,
                ),
                html.Button(
                    "Set on the device",
                    id="calibrate-set",
                    n_clicks=0,
                    className="primary",
                    disabled=not may_change,
                ),
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
                            html.Th(
                                [html.Code(p.name), html.Span(words.parameter(p.name))],
                                scope="row",
                            ),
                            html.Td(
                                with_unit(zone.parameters.get(p.name, p.default), p.unit),
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
                            html.Td(f"{p.minimum:,} to {with_unit(p.maximum, p.unit)}"),
                        ]
                    )
                    for p in parameters
                ]
            ),
        ],
        className="parameters",
    )


def with_unit(value: int, unit: str) -> str:
    """A parameter's value."""
    return f"{value:,} {words.unit(unit)}".rstrip()


def now(zone: ZoneView) -> tuple[Children, Children, str]:
    """Facts, verdict and the verdict's class."""
    facts = [
        _fact(
            "Probe",
            _theta(zone.theta),
            "no reading" if zone.counts is None else f"{zone.counts:,} counts",
            "physical",
        ),
        _fact("Twin", _theta(zone.theta_twin), "expected at the probe", "virtual"),
        _fact(
            "Difference",
            "–" if zone.residual is None else f"{100 * zone.residual:+.1f} %",
            f"noise explains ±{100 * zone.band:.1f} %",
            "bad" if zone.residual is not None and abs(zone.residual) > zone.band else "",
        ),
        _fact(
            "Valve",
            "open" if zone.valve else "closed",
            f"twin: {'open' if zone.valve_twin else 'closed'}"
            + (", water flows" if zone.flowed else ""),
            "physical",
        ),
        _fact("Water today", _litres(zone.water_today_l), _in_all(zone.water_l)),
        _fact("Crop stressed in", _stress(zone), "if no water comes"),
    ]
    fine = zone.verdict.cause is Cause.NONE and not zone.alerts
    verdict: Children = [
        html.Div(_headline(zone), className="cause"),
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


def _headline(zone: ZoneView) -> str:
    if zone.verdict.cause is not Cause.NONE:
        return f"They differ: {zone.verdict.cause}"
    if not zone.verdict.compared:
        return "Nothing to compare yet"
    if zone.valve != zone.valve_twin:
        return "They agree on the soil, not on the valve"
    return "Device and twin agree"


def _in_all(litres: float | None) -> str:
    return "no flow meter" if litres is None else f"{_litres(litres)} in all"


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
    rows = [
        html.Tr(
            [
                html.Td(dcc.Link(zone.name, href=f"/node/{quote(zone.name, safe='')}")),
                html.Td(zone.node),
                html.Td(zone.birth.engine),
                html.Td(html.Code(zone.birth.guest_sha256[:12])),
                html.Td(f"{zone.battery_mv / 1000:.2f} V"),
                html.Td("no" if zone.lost else "yes", className="bad" if zone.lost else "good"),
            ]
        )
        for zone in view.zones
    ]
    heads = ("Zone", "Device", "Engine", "Guest", "Battery", "Answers")
    table = html.Table([html.Thead(html.Tr([html.Th(t) for t in heads])), html.Tbody(rows)])
    return [
        html.Section(
            [
                html.H2("Nodes"),
                html.P("The devices, as they were when this page was opened.", className="hint"),
                html.Div(table, className="scroll"),
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
    known = {"engine", "firmware"}  # said at birth
    link = {k: v for k, v in (zone.link or {}).items() if k not in known}
    return [
        html.Div(
            [
                html.Section(
                    [
                        html.H2("As it was born"),
                        _table(
                            {
                                "Device": zone.node,
                                "Guest": f"{birth.guest_name} {birth.guest_version}".strip()
                                or "unnamed",
                                "SHA-256 of the guest": html.Code(birth.guest_sha256 or "not told"),
                                "The twin's guest": "the same bytes"
                                if birth.guest_sha256
                                else "not known to be the same: decisions are not judged",
                                "ABI": birth.abi_version,
                                "Engine": birth.engine,
                                "Firmware": birth.firmware,
                                "Boot": birth.boot_id,
                            }
                        ),
                        html.H2("Energy"),
                        _table(
                            {
                                "Battery": f"{zone.battery_mv / 1000:.2f} V",
                                "Used since the start": "not known"
                                if zone.energy_j is None
                                else f"{zone.energy_j:,.0f} J (model, not measured)",
                            }
                        ),
                    ]
                ),
                html.Section(
                    [
                        html.H2("Link"),
                        _table(
                            {
                                "Answers": html.Span(
                                    zone.lost or "yes", className="bad" if zone.lost else "good"
                                ),
                                "Last step": stamp(zone.time_ms),
                                "Steps seen": f"{zone.steps:,}",
                                **{words.link(k): _number(v, k) for k, v in link.items()},
                            }
                        ),
                        None
                        if link
                        else html.P(
                            "There is no line that could be bad.",
                            className="hint",
                        ),
                    ]
                ),
            ],
            className="pair",
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
                html.Pre("\n".join(zone.logs[-80:]), tabIndex="0")
                if zone.logs
                else html.P("The guest has logged nothing.", className="hint"),
            ]
        ),
    ]


def _calibrations(found: Sequence[Mapping[str, Any]]) -> Any:
    if not found:
        return html.P("None yet: parameters are as the scenario has them.", className="hint")
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
        html.Tbody([html.Tr([html.Th(k, scope="row"), html.Td(v)]) for k, v in rows.items()]),
        className="plain",
    )


def _number(value: Any, name: str) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    if value is None:
        return "no" if name == "void" else "none"
    if isinstance(value, str):
        return value
    unit = " ms" if name.endswith("_ms") else ""
    return (f"{value:.3g}" if isinstance(value, float) else f"{value:,}") + unit


# History


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
    start = query.get("start") or stamp(max(view.start_ms, view.now_ms - 14 * 86_400_000))[:10]
    end = query.get("end") or stamp(view.now_ms + 86_400_000)[:10]
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
        _table({name: f"{value:.4g} {words.unit(unit)}".strip() for name, value, unit in values})
        if values
        else html.P("No value in the day before.", className="hint"),
        events(said, zone=True, none="Nothing happened in the day before."),
    ]


def exports(links: Mapping[str, str]) -> Children:
    """Links to files."""
    return [
        html.A(text, href=href, className="button", download="") for text, href in links.items()
    ]


def missing_page(what: str) -> Children:
    """Nothing is there."""
    return [
        html.Section(
            [
                html.H2("Not found"),
                html.P(f"There is no {what}."),
                html.P(dcc.Link("To the field", href="/")),
            ]
        )
    ]
