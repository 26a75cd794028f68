"""The pages of the nodes: what each device has said of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from levada.twin.app import words
from levada.twin.app.pages.parts import TICK_MS, Children, fact_table, number_text, stamp
from levada.twin.snapshot import View, ZoneView

__all__ = ["node_facts", "node_page", "nodes_page"]

NOT_UNDERSTOOD: Final = 20
"""Messages that are listed."""


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


def node_facts(
    zone: ZoneView,
    calibrations: Sequence[Mapping[str, Any]],
    refused: Iterable[Mapping[str, Any]] = (),
) -> Children:
    """The changing part of a node's page; `refused` are events of whatever order."""
    birth = zone.birth
    known = {"engine", "firmware"}  # said at birth
    link = {k: v for k, v in (zone.link or {}).items() if k not in known}
    newest = sorted(refused, key=lambda event: int(event["id"]))[-NOT_UNDERSTOOD:]
    return [
        html.Div(
            [
                html.Section(
                    [
                        html.H2("As it was born"),
                        fact_table(
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
                        fact_table(
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
                        fact_table(
                            {
                                "Answers": html.Span(
                                    zone.lost or "yes", className="bad" if zone.lost else "good"
                                ),
                                "Last step": stamp(zone.time_ms),
                                "Steps seen": f"{zone.steps:,}",
                                **{words.link(k): number_text(v, k) for k, v in link.items()},
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
                html.H2("Messages that were not understood"),
                html.Ul([html.Li(f"{stamp(int(e['time_ms']))}: {e['text']}") for e in newest]),
            ]
        )
        if newest
        else None,
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
