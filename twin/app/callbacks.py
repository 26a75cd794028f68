"""What the page asks for: the whole once, then only what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import chain
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from dash import ALL, Dash, Input, Output, State, ctx, html, no_update
from dash.exceptions import PreventUpdate

from levada.guest.fast.jit import compiled
from levada.sim.units import HOUR_MS
from levada.twin.app import figures, pages
from levada.twin.app.alternatives import describe
from levada.twin.app.continuum import register_continuum
from levada.twin.app.fleet import ACKNOWLEDGED
from levada.twin.app.gate import may_change
from levada.twin.app.history import register_history
from levada.twin.app.modules import register_abort, register_modules
from levada.twin.app.shown import Shown, Subject
from levada.twin.calibration.parameters import parse
from levada.twin.errors import CalibrationError, TwinError
from levada.twin.health import store_part
from levada.twin.snapshot import ZoneView

__all__ = ["register"]

ANSWER_S: Final = 30.0
DRY_RUN_DAYS: Final = 14
PICTURE_H: Final = 72
"""Time that the picture on a tile shows [h]."""
DELTAS: Final = 3_000
"""Points that a chart has got by deltas before it is thinned anew; a new decision renews it too."""


def register(app: Dash, shown: Shown) -> frozenset[str]:
    """Bind all callbacks; those that only read, by their outputs."""
    _everywhere(app, shown)
    if shown.continuum is not None:
        register_continuum(app, shown.continuum, with_twin=shown.twin is not None)
    register_modules(app, shown.store.reader)
    subject = shown.twin
    if subject is None:
        reading = frozenset(app.callback_map)
        register_abort(app)
        return reading
    _field(app, subject)
    _zone(app, subject)
    _parameters(app, subject)
    register_history(app, subject)
    reading = frozenset(app.callback_map)
    _calibration(app, subject)
    register_abort(app)
    return reading


def is_page(shown: Shown, path: str) -> bool:
    """Whether there is a page under an unquoted path."""
    first, _, rest = path.strip("/").partition("/")
    if first == "continuum":
        return shown.continuum is not None and not rest
    if first == "modules":
        return not rest
    if shown.twin is None:
        return not first
    if first in ("zone", "node"):
        return any(zone.name == rest for zone in shown.twin.view.zones)
    return not rest and first in ("", "nodes", "history")


def _find(subject: Subject, name: str) -> ZoneView:
    for zone in subject.view.zones:
        if zone.name == name:
            return zone
    raise PreventUpdate


def _last(found: Sequence[Mapping[str, Any]]) -> int:
    """Newest of events; a list of the same is not sent again: opened evidence would close."""
    return int(found[-1]["id"]) if found else 0


def _everywhere(app: Dash, shown: Shown) -> None:
    subject = shown.twin

    @app.callback(
        Output("page", "children"),
        Output("nav", "children"),
        Output("title", "children"),
        Input("url", "pathname"),
        State("url", "search"),
    )
    def page(path: str, search: str) -> tuple[Any, Any, str]:
        first, _, rest = path.strip("/").partition("/")
        links = pages.nav(subject.view if subject else None, path, shown.continuum is not None)
        of_continuum = first == "continuum" or (not first and subject is None)
        if shown.continuum is not None and of_continuum and not rest:
            return pages.continuum_page(), links, "Continuum"
        if first == "modules" and not rest:
            return pages.modules_page(may_change=may_change()), links, "Modules"
        if subject is None:
            return pages.missing_page(f"page {path}"), links, "levada"
        return of_twin(subject, path, search, links)

    def of_twin(subject: Subject, path: str, search: str, links: Any) -> tuple[Any, Any, str]:
        view = subject.view
        first, _, rest = path.strip("/").partition("/")
        name = unquote(rest)
        zones = {zone.name: zone for zone in view.zones}
        match first:
            case "":
                return pages.field_page(view, may_change=may_change()), links, view.title
            case "zone" if name in zones:
                config = next(z for z in subject.scenario.zone if name in z.names())
                changed = list(config.parameters)
                content = pages.zone_page(
                    zones[name], subject.info.parameters, changed, may_change=may_change()
                )
                return content, links, name
            case "nodes" if not rest:
                return pages.nodes_page(view), links, "Nodes"
            case "node" if name in zones:
                return pages.node_page(zones[name]), links, f"Node of {name}"
            case "history" if not rest:
                query = dict(parse_qsl((search or "").lstrip("?")))
                zone = query.get("zone") or view.zones[0].name
                found = subject.store.reader.series(zone)
                return pages.history_page(view, zone, found, query), links, "History"
        return pages.missing_page(f"page {path}"), links, "levada"

    @app.callback(
        Output("clock", "children"), Output("banner", "children"), Input("tick", "n_intervals")
    )
    def clock(_ticks: int) -> tuple[str, Any]:
        found = shown.store.health()
        banner = None
        if not found.ok:
            banner = html.Div(
                f"The store cannot be written ({found.state}): {found.detail} "
                "Nothing is acknowledged until it can; devices keep their telemetry.",
                className="banner",
            )
        elif not (store := store_part(found)).ok:
            banner = html.Div(f"Not everything is stored: {store.detail}.", className="banner")
        elif found.moved_aside:
            banner = html.Div(
                f"The former store was corrupt and lies in {found.moved_aside}.",
                className="banner",
            )
        elif subject and not (subject.view.ended or any(z.steps for z in subject.view.zones)):
            slow = "" if compiled() else " The plant is compiled first, once: about half a minute."
            said = f"Starting.{slow} Curves come with the first steps."
            banner = html.Div(said, className="banner")
        return pages.clock(subject.view) if subject else "", banner


def _field(app: Dash, subject: Subject) -> None:
    reader = subject.store.reader

    @app.callback(
        Output({"type": "tile", "name": ALL}, "children"),
        Output({"type": "tile", "name": ALL}, "className"),
        Output("field-facts", "children"),
        Output("field-events", "children"),
        Output("field-said", "data"),
        Input("tick-field", "n_intervals"),
        State({"type": "tile", "name": ALL}, "id"),
        State("field-said", "data"),
    )
    def field(_ticks: int, ids: list[dict[str, str]], shown: int | None) -> Any:
        view = subject.view
        zones = [_find(subject, key["name"]) for key in ids]
        start_ms = view.now_ms - PICTURE_H * HOUR_MS
        pictures = [figures.sparkline(reader, zone.name, start_ms) for zone in zones]
        found = reader.events(kind="alert", limit=30)
        last = _last(found)
        return (
            [pages.tile(*pair) for pair in zip(zones, pictures, strict=True)],
            [pages.tile_class(zone) for zone in zones],
            pages.field_now(view),
            no_update if last == shown else pages.events(found, none="No alert so far."),
            last,
        )

    @app.callback(
        Output("node-facts", "children"),
        Input("tick-node", "n_intervals"),
        State("node-name", "data"),
    )
    def node(_ticks: int, name: str) -> Any:
        zone = _find(subject, name)
        kinds = [reader.events(node=name, kind=k, limit=20) for k in ("mapping", "refused")]
        return pages.node_facts(zone, reader.calibrations(name, limit=50), chain(*kinds))


def _zone(app: Dash, subject: Subject) -> None:
    reader = subject.store.reader
    step_s = float(subject.scenario.period.trace_s)

    def start_of(window: str) -> int | None:
        hours = pages.WINDOWS.get(window or "", 0)
        return subject.view.now_ms - hours * HOUR_MS if hours else None

    @app.callback(
        Output("zone-chart", "figure"),
        Output("zone-chart-text", "children"),
        Output("zone-upto", "data"),
        Input("zone-window", "value"),
        Input("zone-name", "data"),
        Input("tick-slow", "n_intervals"),
        State("zone-upto", "data"),
    )
    def chart(window: str, name: str, _slow: int, upto: dict[str, Any] | None) -> Any:
        zone = _find(subject, name)
        event = _last_event(name)
        as_it_was = upto and upto["deltas"] < DELTAS and upto["event"] == event
        if ctx.triggered_id == "tick-slow" and as_it_was:
            raise PreventUpdate
        figure, last_ms = figures.zone_chart(
            reader, name, start_ms=start_of(window), end_ms=None, band=zone.band, step_s=step_s
        )
        if last_ms is None:  # nothing to lengthen yet
            return figure, describe(figure), None
        return figure, describe(figure), {"ms": last_ms, "deltas": 0, "event": event}

    @app.callback(
        Output("zone-profile", "figure"),
        Output("zone-profile-text", "children"),
        Input("zone-window", "value"),
        Input("zone-name", "data"),
        Input("tick-slow", "n_intervals"),
    )
    def profile(window: str, name: str, _slow: int) -> Any:
        depths = sorted(
            float(s.name.removeprefix("theta@"))
            for s in reader.series(name)
            if s.kind == "twin" and s.name.startswith("theta@")
        )
        config = next(z for z in subject.scenario.zone if name in z.names())
        figure = figures.profile(
            reader, name, depths, start_of(window), probe_m=config.probe.depth_m
        )
        return figure, describe(figure)

    def _last_event(name: str) -> int:
        return _last(reader.events(node=name, kind="decision", limit=1))

    @app.callback(
        Output("zone-chart", "extendData"),
        Output("zone-upto", "data", allow_duplicate=True),
        Output("zone-facts", "children"),
        Output("zone-verdict", "children"),
        Output("zone-verdict", "className"),
        Output("zone-events", "children"),
        Output("zone-said", "data"),
        Input("tick-zone", "n_intervals"),
        State("zone-upto", "data"),
        State("zone-name", "data"),
        State("zone-said", "data"),
        prevent_initial_call="initial_duplicate",
    )
    def live(_ticks: int, upto: dict[str, Any] | None, name: str, shown: int | None) -> Any:
        zone = _find(subject, name)
        facts, verdict, kind = pages.now(zone)
        found = [
            event
            for event in reader.events(node=name, limit=120)
            if event["kind"] in ("alert", "decision", "calibration", ACKNOWLEDGED)
        ][-60:]
        last = _last(found)
        said: Any = no_update
        if last != shown:
            said = pages.events(found, zone=True, none="Nothing so far: no decision, no alert.")
        if not upto:
            return no_update, no_update, facts, verdict, kind, said, last
        new = figures.delta(reader, name, upto["ms"], band=zone.band, step_s=step_s)
        if new.points == 0:
            return no_update, no_update, facts, verdict, kind, said, last
        upto = upto | {"ms": new.upto_ms, "deltas": upto["deltas"] + new.points}
        return new.data, upto, facts, verdict, kind, said, last


def _units(subject: Subject) -> dict[str, str]:
    return {p.name: p.unit for p in subject.info.parameters}


def _in_force(subject: Subject, zone: str, ids: list[dict[str, str]]) -> list[Any]:
    """Values of the parameters that the page shows; nothing is known of others."""
    units, values = _units(subject), _find(subject, zone).parameters
    return [
        pages.with_unit(values[key["name"]], units[key["name"]])
        if key["name"] in values.keys() & units.keys()
        else no_update
        for key in ids
    ]


def _parameters(app: Dash, subject: Subject) -> None:
    @app.callback(
        Output({"type": "parameter-now", "name": ALL}, "children"),
        Input("tick-zone", "n_intervals"),
        State({"type": "parameter-now", "name": ALL}, "id"),
        State({"type": "parameter-now", "name": ALL}, "children"),
        State("zone-name", "data"),
    )
    def present(_ticks: int, ids: list[dict[str, str]], shown: list[str], name: str) -> list[Any]:
        found = _in_force(subject, name, ids)
        if found == shown:
            raise PreventUpdate
        return found


def _calibration(app: Dash, subject: Subject) -> None:
    _trying(app, subject)
    _setting(app, subject)


def _wanted(subject: Subject, texts: list[Any], ids: list[dict[str, str]]) -> dict[str, int]:
    given = [
        f"{key['name']}={text}"
        for key, text in zip(ids, texts, strict=True)
        if text not in (None, "")
    ]
    if not given:
        raise CalibrationError("nothing is changed: write a new value beside a parameter")
    return parse(subject.info, given)


def _problem(error: TwinError) -> html.P:
    return html.P(str(error), className="bad")


def _trying(app: Dash, subject: Subject) -> None:
    @app.callback(
        Output("calibrate-tried", "children"),
        Input("calibrate-try", "n_clicks"),
        State({"type": "parameter", "name": ALL}, "value"),
        State({"type": "parameter", "name": ALL}, "id"),
        State("zone-name", "data"),
        prevent_initial_call=True,
        running=[(Output("calibrate-try", "disabled"), True, False)],
    )
    def dry_run(clicks: int, texts: list[Any], ids: list[dict[str, str]], name: str) -> Any:
        if not clicks:
            raise PreventUpdate
        try:
            values = _wanted(subject, texts, ids)
            return pages.tried(subject.try_out(name, values, DRY_RUN_DAYS), values)
        except TwinError as error:
            return _problem(error)


def _setting(app: Dash, subject: Subject) -> None:
    units = _units(subject)

    def seen(zone: str, values: dict[str, int], shown: dict[str, str]) -> dict[str, int]:
        """The values in force, if they are those that the page showed when the button was hit."""
        present = _find(subject, zone).parameters
        for name in values:
            text = pages.with_unit(present[name], units[name])
            if shown[name] != text:
                raise CalibrationError(f"{name} is {text} by now, not {shown[name]}: look again")
        return dict(present)

    @app.callback(
        Output("calibrate-done", "children"),
        Output({"type": "parameter", "name": ALL}, "value"),
        Output({"type": "parameter-now", "name": ALL}, "children", allow_duplicate=True),
        Input("calibrate-set", "n_clicks"),
        State({"type": "parameter", "name": ALL}, "value"),
        State({"type": "parameter-now", "name": ALL}, "children"),
        State({"type": "parameter", "name": ALL}, "id"),
        State("calibrate-who", "value"),
        State("calibrate-expiry", "value"),
        State("zone-name", "data"),
        prevent_initial_call=True,
        running=[(Output("calibrate-set", "disabled"), True, False)],
    )
    def set_values(
        clicks: int,
        texts: list[Any],
        shown: list[str],
        ids: list[dict[str, str]],
        who: str | None,
        expiry: str,
        name: str,
    ) -> Any:
        if not clicks:
            raise PreventUpdate
        same = [no_update] * len(ids)
        try:
            values = _wanted(subject, texts, ids)
            done = subject.calibrate(
                name,
                values,
                who=(who or "").strip() or "web page",
                seen=seen(
                    name, values, dict(zip([key["name"] for key in ids], shown, strict=True))
                ),
                expires_s=pages.EXPIRIES.get(expiry) or None,
            )
            read_back = done.result(ANSWER_S)
        except TwinError as error:
            return _problem(error), same, same
        except FutureTimeoutError:
            return (
                html.P(f"The device has not answered within {ANSWER_S:.0f} s.", className="bad"),
                same,
                same,
            )
        text = ", ".join(f"{key} = {value}" for key, value in read_back.items())
        said = html.P(f"In force, read back: {text}", className="good")
        return said, [""] * len(ids), _in_force(subject, name, ids)
