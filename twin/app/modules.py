"""Callbacks of the page of the modules: what is seen, and the one that stops a rollout."""

from __future__ import annotations

from typing import Any, Final

from dash import Dash, Input, Output, State, html
from dash.exceptions import PreventUpdate

from levada.twin.app import pages
from levada.twin.errors import TwinError
from levada.twin.ota.journal import ROLLOUTS, RolloutFolder, rollouts
from levada.twin.store.reads import StoreReader

__all__ = ["register_abort", "register_modules"]

_EVENTS: Final = 60


def register_modules(app: Dash, reader: StoreReader) -> None:
    """Bind what only reads."""

    @app.callback(
        Output("rollout", "children"),
        Output("rollout-name", "data"),
        Output("module-nodes", "children"),
        Output("module-events", "children"),
        Input("tick-modules", "n_intervals"),
    )
    def now(_ticks: int) -> Any:
        folder = _newest()
        about = None if folder is None else _read(folder)
        found = reader.events(kind="update", limit=_EVENTS)
        newest = {event["node"]: event for event in found if event["node"]}
        name = "" if folder is None else folder.name
        return (
            pages.rollout_section(about, name),
            name if about and about["rollout"]["status"] == "IN_PROGRESS" else "",
            pages.module_nodes(reader.nodes(), newest),
            pages.module_events(found),
        )

    @app.callback(Output("rollout-abort", "disabled"), Input("rollout-name", "data"))
    def enable(name: str | None) -> bool:
        return not name


def register_abort(app: Dash) -> None:
    """Bind what changes something; the gate lets it pass with the token of the run."""

    @app.callback(
        Output("rollout-said", "children"),
        Input("rollout-abort", "n_clicks"),
        State("rollout-name", "data"),
        prevent_initial_call=True,
    )
    def abort(clicks: int | None, name: str | None) -> Any:
        if not clicks or not name:
            raise PreventUpdate
        folder = _newest()
        if folder is None or folder.name != name:
            return html.P("Another rollout has begun meanwhile: look again.", className="bad")
        try:
            waiting = folder.stop("from the page")
        except (OSError, TwinError) as error:
            return html.P(f"Not stopped: {error}", className="bad")
        said = "Stopped: nothing more begins, and nodes under way give the module up."
        if waiting:
            said = (
                f"Stopped, but nobody runs it: `levada ota resume {name}` has nodes under way "
                f"({len(waiting)}) give the module up."
            )
        return html.P(said, className="good")


def _newest() -> RolloutFolder | None:
    return next(rollouts(ROLLOUTS), None)


def _read(folder: RolloutFolder) -> dict[str, Any] | None:
    try:
        folder.rollout()  # whole, or not to be shown
        return folder.read()
    except TwinError:
        return None  # it is just being made, or is none of ours
