"""The page of the continuum: the way of a message through the tiers, and what each of them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from levada.twin.app import words
from levada.twin.app.pages.parts import (
    POLITE,
    SLOW_MS,
    TICK_MS,
    WINDOWS,
    Children,
    aria_label,
    chart,
    choice,
    events,
    fact_tile,
)
from levada.twin.continuum.hops import STAGES, ClockOffset, Spread
from levada.twin.continuum.view import (
    ContinuumView,
    FogView,
    JourneyView,
    NodeStreamView,
    TierView,
)

__all__ = [
    "continuum_page",
    "fog_tiles",
    "path_of_message",
    "stream_facts",
    "stream_table",
    "tier_table",
    "time_text",
]

_NONE_YET: Final = (
    "No fog has been heard of yet. It shows itself as soon as `levada fog` reaches this broker."
)
_NO_TIMES: Final = "No message has come since this page was started."


def continuum_page() -> Children:
    """All of it; what changes is filled in by callbacks."""
    return [
        dcc.Interval(id="tick-continuum", interval=TICK_MS),
        dcc.Interval(id="tick-streams", interval=SLOW_MS),
        dcc.Store(id="continuum-known"),
        html.Section(
            [
                html.H2("The path of a message"),
                html.Div(id="continuum-path"),
            ],
            **aria_label("The path of a message"),
        ),
        html.Section(
            [
                html.Div(
                    [
                        html.H2("Raw and filtered readings"),
                        choice("continuum-window", "Time shown", WINDOWS, "1 d"),
                    ],
                    className="row",
                ),
                html.Div(
                    [
                        html.Label("Node", htmlFor="continuum-node"),
                        html.Div(
                            dcc.Dropdown(id="continuum-node", options=[], clearable=False),
                            style={"minWidth": "200px"},
                        ),
                    ],
                    className="row",
                ),
                html.Div(id="continuum-said", className="facts"),
                chart("continuum-chart", "Raw and filtered readings over time"),
            ],
            **aria_label("Raw and filtered readings"),
        ),
        html.Section(
            [
                html.H2("Which tier runs what"),
                html.Div(id="continuum-tiers", className="scroll"),
            ]
        ),
        html.Section(
            [
                html.H2("Both streams of every node"),
                html.Div(id="continuum-nodes", className="scroll"),
            ]
        ),
        html.Section(
            [
                html.H2("Buffers and outages"),
                html.Div(id="continuum-fogs", **POLITE),
            ]
        ),
    ]


# The path


def path_of_message(view: ContinuumView) -> Children:
    """Node, fog, cloud and store in a row, with the times between them."""
    stages = view.stages
    fogs = [fog.tier for fog in view.fogs]
    nodes = [node.tier for node in view.nodes]
    way: Children = [
        _stop(
            "Node",
            _names(nodes),
            _engines(nodes) or "measures and decides",
            silent=bool(nodes) and not any(node.online for node in view.nodes),
        ),
        _way(stages.get("edge_us"), "to fog"),
        _stop(
            "Fog",
            _names(fogs),
            _engines(fogs) or "filters and keeps",
            inside=stages.get("fog_us"),
            silent=bool(fogs) and not any(fog.online for fog in view.fogs),
        ),
        _way(stages.get("uplink_us"), "to the cloud"),
        _stop("Cloud", view.cloud.name, _computes(view.cloud)),
        _way(stages.get("commit_us"), "to the disk"),
        _stop("Store", view.store, "keeps for good"),
    ]
    return [
        html.Div(way, className="path"),
        _shares(stages),
        html.P(_whole(view), className="hint"),
        html.P(_clocks(view), className="hint"),
        _newest(view.journeys),
    ]


def _stop(
    name: str, title: str, note: str, *, inside: Spread | None = None, silent: bool = False
) -> html.Div:
    look = "stop" if title else "stop none"
    return html.Div(
        [
            html.Div(name, className="label"),
            html.Div(title or "none yet", className="name"),
            html.Div(note, className="note"),
            html.Div(f"holds it for {time_text(inside.p50)}", className="note") if inside else None,
            html.Div("silent", className="note bad") if silent else None,
        ],
        className="stop silent" if silent else look,
    )


def _names(tiers: Sequence[TierView]) -> str:
    return tiers[0].name if len(tiers) == 1 else f"{len(tiers)} of them" if tiers else ""


def _computes(cloud: TierView) -> str:
    return "stores only" if cloud.engine == "off" else cloud.engine


def _engines(tiers: Sequence[TierView]) -> str:
    found = sorted({tier.engine for tier in tiers if tier.engine})
    return ", ".join("relays only" if engine == "off" else engine for engine in found)


def _way(time: Spread | None, where: str) -> html.Div:
    return html.Div(
        [
            html.Strong(time_text(time.p50) if time else "–"),
            html.Span(
                f"95 % within {time_text(time.p95)}" if time else "not known",
                className="note",
            ),
            html.Span(where, className="note"),
        ],
        className="way",
    )


def _shares(stages: Mapping[str, Spread]) -> Any:
    """Parts of the way as parts of a bar, by their medians."""
    if not stages:
        return None
    return html.Div(
        [
            html.Div(
                className=f"share {name.removesuffix('_us')}",
                style={"flexGrow": max(stages[name].p50, 0.0) or 0.001},
                title=f"{text}: {time_text(stages[name].p50)}",
            )
            for name, text in STAGES.items()
            if name in stages
        ],
        className="shares",
        role="img",
        **aria_label(
            "Parts of the way: "
            + "; ".join(f"{STAGES[n]} {time_text(s.p50)}" for n, s in stages.items())
        ),
    )


def _whole(view: ContinuumView) -> str:
    if not view.stages:
        return _NO_TIMES if view.fogs else _NONE_YET
    count = max(s.count for s in view.stages.values())
    text = f"Medians of the newest {count:,} messages."
    if view.total is not None:
        text += (
            f" The whole way takes {time_text(view.total.p50)}, 95 % within "
            f"{time_text(view.total.p95)}, the longest {time_text(view.total.most)}."
        )
    if "edge_us" not in view.stages:
        text += " The nodes do not tell when they sent, or by which clock."
    return text


def _clocks(view: ContinuumView) -> str:
    said = [_clock(fog.tier.name, fog.offset) for fog in view.fogs]
    return " ".join(said)


def _clock(name: str, offset: ClockOffset | None) -> str:
    if offset is None:
        return f"How far the clock of {name} is from the cloud's is not known yet."
    if offset.shared:
        return f"{name} and the cloud are on one machine and share its clock: offset 0."
    way = "ahead of" if offset.us >= 0 else "behind"
    return (
        f"The clock of {name} is {time_text(abs(offset.us))} {way} the cloud's, known to "
        f"± {time_text(offset.error_us)}."
    )


def _newest(journeys: Sequence[JourneyView]) -> Any:
    if not journeys:
        return None
    heads = ("Message", *(text.capitalize() for text in STAGES.values()))
    rows = [
        html.Tr(
            [
                html.Td(_message(journey)),
                *(
                    html.Td(
                        time_text(journey.stages_us[name]) if name in journey.stages_us else "–"
                    )
                    for name in STAGES
                ),
            ]
        )
        for journey in reversed(journeys)
    ]
    return html.Details(
        [
            html.Summary(f"The newest {len(journeys)} messages"),
            html.Div(_table(heads, rows), className="scroll"),
        ],
        open=True,
        id="continuum-newest",
    )


def _message(journey: JourneyView) -> str:
    number = "" if journey.seq is None else f" {journey.seq:,}"
    return f"{journey.node}{number}"


# The tiers


def tier_table(view: ContinuumView) -> Any:
    """Engine and guest of every tier, and whether the bytes are the same."""
    tiers = [
        *(("Edge", node.tier, node.online) for node in view.nodes[:50]),
        *(("Fog", fog.tier, fog.online) for fog in view.fogs),
        ("Cloud", view.cloud, True),
    ]
    guests = [tier.guest_sha256 for _, tier, _ in tiers if tier.guest_sha256]
    most = max(set(guests), key=guests.count, default="")
    rows = [
        html.Tr(
            [
                html.Td(kind),
                html.Td(tier.name),
                html.Td(tier.engine or "not told"),
                html.Td(html.Code(tier.guest_sha256[:12]) if tier.guest_sha256 else "–"),
                html.Td(_same_bytes(tier, most, len(guests))),
                html.Td("yes" if online else "no", className="good" if online else "bad"),
            ]
        )
        for kind, tier, online in tiers
    ]
    more = len(view.nodes) - 50
    return [
        _table(("Tier", "Name", "Engine", "Guest", "Same bytes", "Online"), rows),
        html.P(f"And {more} more nodes.", className="hint") if more > 0 else None,
    ]


def _same_bytes(tier: TierView, most: str, told: int) -> Any:
    if not tier.guest_sha256 or told < 2:
        return "–"
    same = tier.guest_sha256 == most
    return html.Span("yes" if same else "no: another guest", className="good" if same else "bad")


# The streams


def stream_facts(node: NodeStreamView) -> Children:
    """What the comparison of both streams of one node says."""
    found = node.comparison
    residual, delay = found.residual, found.delay_us
    missing = found.missing_filtered + found.missing_raw
    return [
        fact_tile("Messages", f"{found.raw:,}", f"{found.matched:,} in both streams"),
        fact_tile(
            "Filtered comes after",
            time_text(delay.p50) if delay else "–",
            f"95 % within {time_text(delay.p95)}" if delay else "no pair yet",
        ),
        fact_tile(
            "Residual",
            _signed(residual.mean) if residual else "–",
            f"counts, filtered minus raw: mean; RMS {residual.rms:.1f}"
            if residual
            else "filtered minus raw",
        ),
        fact_tile("Suppressed", f"{found.suppressed:,}", _anomalies(found.anomalies)),
        fact_tile(
            "Missing",
            f"{missing:,}",
            f"{found.missing_filtered:,} filtered, {found.missing_raw:,} raw",
            "bad" if missing else "good",
        ),
    ]


def _signed(mean: float) -> str:
    """With its sign, and none at zero."""
    text = f"{mean:+.1f}"
    return text[1:] if float(text) == 0 else text


def _anomalies(found: Mapping[str, int]) -> str:
    said = [f"{words.anomaly(name)} {count:,}" for name, count in found.items()]
    return ", ".join(said) or "no anomaly found"


def stream_table(view: ContinuumView, *, with_twin: bool) -> Any:
    """Both streams of every node, a row each."""
    if not view.nodes:
        return html.P("No fog has relayed anything of a node yet.", className="hint")
    heads = (
        "Node",
        "Through",
        "Raw",
        "Filtered",
        "Missing",
        "Residual, RMS [counts]",
        "Suppressed",
        "Windows",
        "Cloud computes",
    )
    rows = [
        html.Tr(
            [
                html.Td(_node_link(node.tier.name, with_twin)),
                html.Td(node.fog),
                html.Td(f"{node.comparison.raw:,}"),
                html.Td(f"{node.comparison.filtered:,}"),
                html.Td(f"{node.comparison.missing_filtered + node.comparison.missing_raw:,}"),
                html.Td(f"{node.comparison.residual.rms:.1f}" if node.comparison.residual else "–"),
                html.Td(f"{node.comparison.suppressed:,}"),
                html.Td(f"{node.windows:,}"),
                html.Td(_agreement(node)),
            ]
        )
        for node in view.nodes[:200]
    ]
    return _table(heads, rows)


def _node_link(name: str, with_twin: bool) -> Any:
    return dcc.Link(name, href=f"/zone/{quote(name, safe='')}") if with_twin else name


def _agreement(node: NodeStreamView) -> Any:
    found = node.agreement
    if found is None:
        return "nothing"
    said = "" if node.pct is None else f"{node.pct} %, {'water' if node.irrigate else 'no water'}; "
    if found.different:
        text = f"{said}{found.different:,} of {found.equal + found.different:,} differ from fog's"
        return html.Span(text, className="bad")
    return html.Span(f"{said}{found.equal:,} equal to fog's, bit for bit", className="good")


# The fogs


def fog_tiles(view: ContinuumView, found: Sequence[Mapping[str, Any]]) -> Children:
    """What every fog keeps, and when it was gone."""
    if not view.fogs:
        return [html.P(_NONE_YET, className="hint")]
    return [
        html.Div([_fog(fog) for fog in view.fogs], className="tiles"),
        html.P(f"{view.skipped:,} rows were stored and not compared.", className="bad")
        if view.skipped
        else None,
        events(found, none="No outage so far."),
    ]


def _fog(fog: FogView) -> html.Div:
    kept, limit = fog.buffer_rows, fog.buffer_limit_rows
    share = min(1.0, kept / limit) if kept is not None and limit else 0.0
    numbers = {
        "Relayed": fog.relayed,
        "Processed": fog.processed,
        "Windows": fog.windows,
        "Waiting for an earlier row": fog.waiting,
    }
    if fog.unreadable:
        numbers["Not taken"] = fog.unreadable
    if fog.dropped_rows:
        numbers["Dropped"] = fog.dropped_rows
    return html.Div(
        [
            html.Div(
                [
                    html.Span(fog.tier.name, className="name"),
                    html.Span(
                        "Online" if fog.online else "Silent",
                        className="state" if fog.online else "state alert",
                    ),
                ],
                className="head",
            ),
            html.P(_kept(kept, limit), className="hint"),
            html.Div(
                html.Div(style={"width": f"{share * 100:.1f}%"}),
                className="meter",
                role="img",
                **aria_label(f"The buffer is {share:.0%} full"),
            )
            if kept is not None and limit
            else None,
            html.Div(
                [
                    html.Div([html.Span(name), html.Strong(f"{count:,}")])
                    for name, count in numbers.items()
                ],
                className="numbers",
            ),
        ],
        className="tile" if fog.online else "tile alert",
    )


def _kept(kept: int | None, limit: int | None) -> str:
    if kept is None:
        return "It has not told how much it keeps."
    return f"It keeps {kept:,}" + (f" of at most {limit:,} rows." if limit else " rows.")


# Parts


def _table(heads: Sequence[str], rows: Children) -> html.Table:
    return html.Table(
        [html.Thead(html.Tr([html.Th(text, scope="col") for text in heads])), html.Tbody(rows)],
        className="whole",
    )


def time_text(us: float) -> str:
    """A time in the unit that fits it."""
    for unit, size in (("h", 3.6e9), ("min", 6e7), ("s", 1e6), ("ms", 1e3)):
        if abs(us) >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.0f} µs"
