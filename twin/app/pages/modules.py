"""The page of the modules: which one each node runs, and how a rollout goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dash import dcc, html

from levada.twin.app.pages.parts import (
    POLITE,
    TICK_MS,
    Children,
    aria_label,
    events,
    fact_table,
    stamp,
)
from levada.twin.store.reads import NodeInfo

__all__ = ["module_events", "module_nodes", "modules_page", "rollout_section"]

_BAD: Final = frozenset({"FAILED", "REJECTED", "TIMED_OUT"})
_WORDS: Final = {
    "QUEUED": "waiting",
    "IN_PROGRESS": "under way",
    "SUCCEEDED": "updated",
    "FAILED": "failed",
    "REJECTED": "refused",
    "TIMED_OUT": "timed out",
    "CANCELED": "left as it was",
}
_LISTED: Final = 200
"""Nodes of a rollout that are told one by one."""


def modules_page(*, may_change: bool) -> Children:
    """The page; what changes is filled in."""
    return [
        dcc.Interval(id="tick-modules", interval=TICK_MS),
        dcc.Store(id="rollout-name"),
        html.Section(
            [
                html.Div(
                    [
                        html.H2("Rollout"),
                        html.Button("Abort", id="rollout-abort", disabled=True)
                        if may_change
                        else html.Span(
                            "To abort one, open the link that the twin has printed.",
                            className="hint",
                        ),
                    ],
                    className="row",
                ),
                html.Div(id="rollout-said", **POLITE),
                html.Div(id="rollout"),
            ]
        ),
        html.Section(
            [
                html.H2("In the field"),
                html.Div(
                    id="module-nodes",
                    className="scroll",
                    tabIndex="0",
                    role="region",
                    **aria_label("Modules of the nodes"),
                ),
            ]
        ),
        html.Section([html.H2("What happened"), html.Div(id="module-events", className="long")]),
    ]


def rollout_section(about: Mapping[str, Any] | None, name: str) -> Children:
    """How the newest rollout goes; `about` as it is kept on the disk."""
    if about is None:
        return [
            html.P(
                "None yet on this computer: `levada ota push MODULE --node NODE` begins one.",
                className="hint",
            )
        ]
    rollout = about["rollout"]
    executions = rollout["executions"]
    ended = sum(e["ended_ms"] is not None for e in executions)
    progress: dict[str, Any] = {"aria-valuenow": ended, "aria-valuemax": len(executions)}
    return [
        html.P(
            [
                html.Strong(f"{about['name']} {about['version']}"),
                f" to {len(executions)} node{'s' if len(executions) != 1 else ''}, ",
                html.Span(_status(rollout), className=_status_class(rollout)),
            ]
        ),
        html.Div(
            html.Div(style={"width": f"{100 * ended / len(executions):.1f}%"}),
            className="meter",
            role="progressbar",
            **aria_label("Nodes that have come to an end"),
            **progress,
        ),
        fact_table(_facts(about, name)),
        html.Div(_nodes(executions), className="scroll long"),
    ]


def _status(rollout: Mapping[str, Any]) -> str:
    words = {"IN_PROGRESS": "under way", "COMPLETED": "completed", "CANCELED": "stopped"}
    status = words.get(rollout["status"], rollout["status"])
    return f"{status}: {rollout['reason']}" if rollout["reason"] else status


def _status_class(rollout: Mapping[str, Any]) -> str:
    return {"COMPLETED": "good", "CANCELED": "bad"}.get(rollout["status"], "")


def _facts(about: Mapping[str, Any], name: str) -> dict[str, Any]:
    rollout = about["rollout"]
    states = [e["state"] for e in rollout["executions"]]
    counted = [f"{states.count(s)} {word}" for s, word in _WORDS.items() if s in states]
    settings = rollout["settings"]
    facts: dict[str, Any] = {
        "Nodes": ", ".join(counted),
        "SHA-256": html.Code(str(about["sha256"])[:16]),
        "Counter": "not signed" if about["counter"] is None else f"{about['counter']}",
        "Sent by": about.get("who") or "not told",
        "Pace": f"{settings['rate_per_minute']:g} nodes a minute"
        + (f", after {settings['canary']} canaries" if settings["canary"] else ""),
        "Stops at": "; ".join(_criterion(c) for c in settings["abort"]),
        "Gate": _gate(about.get("gate") or {}),
        "Name": html.Code(name),
        "Attempt": html.Code(str(about.get("attempt") or "not told")),
    }
    if about.get("override"):
        facts["Sent all the same"] = html.Span(about["override"], className="bad")
    return facts


def _criterion(criterion: Mapping[str, Any]) -> str:
    limit = f" of {criterion['limit']} a day" if criterion.get("limit") else ""
    return (
        f"{criterion['failure_type']}{limit}: {criterion['threshold_percentage']:g} % "
        f"of at least {criterion['min_executed']}"
    )


def _gate(gate: Mapping[str, Any]) -> Any:
    failures = gate.get("failures") or []
    if failures:
        return html.Ul([html.Li(text, className="bad") for text in failures])
    tried = len(gate.get("trials") or ())
    past = ", recorded weeks" if gate.get("past") else ""
    if not tried and not past:
        return "nothing was tried on the twin"
    return f"passed: {tried} scenario{'s' if tried != 1 else ''}{past}"


def _nodes(executions: Sequence[Mapping[str, Any]]) -> html.Table:
    """Those that have not succeeded come first."""
    order = {"FAILED": 0, "REJECTED": 0, "TIMED_OUT": 0, "IN_PROGRESS": 1}
    rows = sorted(executions, key=lambda e: order.get(e["state"], 2))[:_LISTED]
    return _table(
        ("Node", "State", "Since (UTC)", "Why"),
        [
            (
                html.Td(e["node"]),
                html.Td(_WORDS.get(e["state"], e["state"]), className=_state_class(e["state"])),
                html.Td("" if e["began_ms"] is None else stamp(e["ended_ms"] or e["began_ms"])),
                html.Td("; ".join([*([e["reason"]] if e["reason"] else []), *e["breaches"]])),
            )
            for e in rows
        ],
    )


def _state_class(state: str) -> str:
    if state in _BAD:
        return "bad"
    return "good" if state == "SUCCEEDED" else ""


def module_nodes(
    found: Sequence[NodeInfo], newest: Mapping[str, Mapping[str, Any]]
) -> html.Table | html.P:
    """Which module each node runs; `newest` is the last event of an update by node."""
    if not found:
        return html.P("No node has been heard of.", className="hint")
    rows = [
        (
            html.Td(node.name),
            html.Td(_version(node)),
            html.Td(html.Code(str(node.birth.get("guest_sha256", ""))[:12])),
            html.Td("yes" if node.online else "no", className="good" if node.online else "bad"),
            html.Td(newest.get(node.name, {}).get("text", "")),
            html.Td(html.Code(_attempt(newest.get(node.name, {})))),
        )
        for node in found
    ]
    return _table(("Node", "Module", "SHA-256", "There", "Last update", "Attempt"), rows)


def _attempt(event: Mapping[str, Any]) -> str:
    """Of the rollout, as the node or the sender told it."""
    return str((event.get("evidence") or {}).get("attempt") or "")


def _version(node: NodeInfo) -> str:
    said = f"{node.birth.get('guest_name', '')} {node.birth.get('guest_version', '')}".strip()
    return said or "not told"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> html.Table:
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(text, scope="col") for text in heads])),
            html.Tbody([html.Tr(list(row)) for row in rows]),
        ],
        className="tight",
    )


def module_events(found: Sequence[Mapping[str, Any]]) -> Any:
    """What was told of updates, newest first."""
    return events(found, none="No node has told of an update.")
