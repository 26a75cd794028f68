"""Callbacks of the page of the continuum; all only read."""

from __future__ import annotations

from typing import Any, Final

from dash import Dash, Input, Output, State, no_update

from levada.sim.units import HOUR_MS
from levada.twin.app import figures, pages
from levada.twin.app.alternatives import describe
from levada.twin.app.shown import Continuum
from levada.twin.continuum.view import ContinuumView, NodeStreamView

__all__ = ["register_continuum"]

_KINDS: Final = ("online", "offline", "gap", "refused")
"""Events of a fog that tell of outages."""


def register_continuum(app: Dash, continuum: Continuum, *, with_twin: bool) -> None:
    """Bind them; `with_twin`: there are pages of zones."""
    reader = continuum.store.reader

    @app.callback(
        Output("continuum-path", "children"),
        Output("continuum-tiers", "children"),
        Output("continuum-nodes", "children"),
        Output("continuum-fogs", "children"),
        Output("continuum-node", "options"),
        Output("continuum-node", "value"),
        Output("continuum-known", "data"),
        Input("tick-continuum", "n_intervals"),
        State("continuum-node", "value"),
        State("continuum-known", "data"),
    )
    def now(_ticks: int, node: str | None, shown: int | None) -> Any:
        view = continuum.view
        names = [n.tier.name for n in view.nodes]
        found = [
            event
            for fog in view.fogs
            for event in reader.events(node=fog.tier.name, limit=40)
            if event["kind"] in _KINDS
        ]
        found.sort(key=lambda event: int(event["id"]))
        return (
            pages.path_of_message(view),
            pages.tier_table(view),
            pages.stream_table(view, with_twin=with_twin),
            pages.fog_tiles(view, found[-12:]),
            no_update if len(names) == shown else names,  # a node that was heard of stays
            no_update if node in names or not names else names[0],
            len(names),
        )

    @app.callback(
        Output("continuum-chart", "figure"),
        Output("continuum-chart-text", "children"),
        Output("continuum-said", "children"),
        Input("continuum-node", "value"),
        Input("continuum-window", "value"),
        Input("tick-streams", "n_intervals"),
    )
    def chart(node: str | None, window: str, _ticks: int) -> Any:
        view = continuum.view
        mine = _find(view, node)
        if mine is None:
            figure = figures.streams(reader, node or "", (), None)
            return figure, describe(figure), ""
        hours = pages.WINDOWS.get(window or "", 0)
        start_ms = mine.t_ms - hours * HOUR_MS if hours and mine.t_ms is not None else None
        suppressed = [
            (s.t_ms, s.raw)
            for s in mine.comparison.newest_suppressed
            if s.t_ms is not None and s.raw is not None
        ]
        figure = figures.streams(reader, mine.tier.name, suppressed, start_ms)
        return figure, describe(figure), pages.stream_facts(mine)


def _find(view: ContinuumView, name: str | None) -> NodeStreamView | None:
    return next((node for node in view.nodes if node.tier.name == name), None)
