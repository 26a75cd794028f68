"""What other programs read: /health, /api/..., and the one thing they may ask for, a calibration.

Reading needs nothing but being on this computer.  A calibration needs the token of this run, which
`levada.twin.app.gate` asks for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict
from typing import Any, Final

from flask import Blueprint, Response, abort, jsonify, request

from levada.guest.text.ranges import between, out_of_range
from levada.twin.app.fleet import add_fleet
from levada.twin.app.health_route import add_health
from levada.twin.app.openapi import LONGEST_EXPIRY_S, MOST_DAYS, MOST_POINTS, document
from levada.twin.app.shown import Continuum, Shown, Subject
from levada.twin.health import Parts
from levada.twin.store.export import stream_csv
from levada.twin.store.reads import StoreReader, Window
from levada.twin.store.store import Store

__all__ = ["blueprint"]

GREATEST: Final = 2**53
"""Beyond, a number of JSON is not the same everywhere."""
ANSWER_S: Final = 30.0
OWN_NAMES: Final = ("expiry", "MQTT")
"""Under which the twin notes what an expiry, or a message, has changed."""


def blueprint(shown: Shown, parts: Parts) -> Blueprint:
    """All routes; `parts` are those of /health."""
    routes = Blueprint("levada", __name__)

    @routes.route("/api/<path:_rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def nothing(_rest: str) -> Response:
        abort(404)

    twin = shown.twin
    view = (lambda: twin.view) if twin is not None else (lambda: None)
    add_health(routes, parts, store=lambda: shown.store, view=view)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(document())

    _series_routes(routes, shown.store)
    _record_routes(routes, shown.store.reader)
    if shown.twin is not None:
        _field_route(routes, shown.twin)
        _calibration_route(routes, shown.twin)
        add_fleet(routes, shown.twin)
    if shown.continuum is not None:
        _continuum_route(routes, shown.continuum)
    return routes


def _field_route(routes: Blueprint, subject: Subject) -> None:
    @routes.get("/api/field")
    def field() -> Response:
        data = asdict(subject.view)
        for zone in data["zones"]:
            zone["verdict"]["cause"] = str(zone["verdict"]["cause"])
        return jsonify(data)


def _continuum_route(routes: Blueprint, continuum: Continuum) -> None:
    @routes.get("/api/continuum")
    def tiers() -> Response:
        return jsonify(asdict(continuum.view))


def _series_routes(routes: Blueprint, store: Store) -> None:
    """Stored signals: which there are, windows of them, and all of a zone."""
    reader = store.reader

    @routes.get("/api/series")
    def series() -> Response:
        return jsonify([asdict(s) for s in reader.series(request.args.get("zone"))])

    @routes.get("/api/series/<zone>/<kind>/<signal>.<ending>")
    def values(zone: str, kind: str, signal: str, ending: str) -> Response:
        if ending not in ("json", "csv"):
            abort(404)
        window = reader.window(
            zone,
            signal,
            kind=kind,
            start_ms=_integer("start_ms"),
            end_ms=_integer("end_ms"),
            max_points=_integer("points", 4, MOST_POINTS) or 2_000,
        )
        if window.unit == "" and window.total == 0 and not _known(zone, kind, signal):
            abort(404)
        return _json(window) if ending == "json" else _csv(window, signal)

    def _known(zone: str, kind: str, signal: str) -> bool:
        return any(s.kind == kind and s.name == signal for s in reader.series(zone))

    @routes.get("/api/export.csv")
    def everything() -> Response:
        zone = request.args.get("zone", "")
        if not reader.series(zone):
            abort(404)
        parts = stream_csv(store.url, zone, _integer("start_ms"), _integer("end_ms"))
        return _file(parts, "zone.csv")


def _record_routes(routes: Blueprint, reader: StoreReader) -> None:
    """What happened, who changed what, and when the twin ran."""

    @routes.get("/api/events")
    def events() -> Response:
        return jsonify(
            reader.events(
                after_id=_integer("after") or 0,
                node=request.args.get("zone"),
                kind=request.args.get("kind"),
                start_ms=_integer("start_ms"),
                end_ms=_integer("end_ms"),
                limit=_integer("limit", 1, 5_000) or 500,
            )
        )

    @routes.get("/api/calibrations")
    def calibrations() -> Response:
        return jsonify(reader.calibrations(request.args.get("zone")))

    @routes.get("/api/runs")
    def runs() -> Response:
        return jsonify(reader.runs())


def _calibration_route(routes: Blueprint, subject: Subject) -> None:
    """The one route that changes something."""

    @routes.post("/api/zones/<zone>/calibration")
    def calibrate(zone: str) -> tuple[Response, int]:
        data = _body()
        days = _number(data, "dry_run_days", MOST_DAYS, int)
        expires_s = _number(data, "expires_s", LONGEST_EXPIRY_S, int, float)
        if days is not None:
            return jsonify(asdict(subject.try_out(zone, data["values"], days))), 200
        done = subject.calibrate(
            zone,
            data["values"],
            who=_who(data),
            seen=data["seen"],
            expires_s=expires_s,
        )
        try:
            return jsonify({"values": done.result(ANSWER_S)}), 200
        except FutureTimeoutError:
            abort(504, f"the device has not answered within {ANSWER_S:.0f} s")


def _body() -> dict[str, Any]:
    """What is wanted, `values` and `seen` by name."""
    data = request.get_json(silent=True)
    if not isinstance(data, dict) or not isinstance(data.get("values"), dict):
        abort(400, 'send {"values": {name: number}}')
    seen = data.setdefault("seen", {})
    if not isinstance(seen, dict):
        abort(400, f"seen = {_short(seen)}: must be {{name: number}}")
    return data


def _who(data: dict[str, Any]) -> str:
    """Who is to stand in the record; what the twin itself does there has names of its own."""
    who = data.get("who", "command line")
    if not isinstance(who, str) or not who.strip() or who.strip() in OWN_NAMES:
        abort(400, f"who = {_short(who)}: must be a name, and not {' or '.join(OWN_NAMES)}")
    return who.strip()[:64]


def _number(data: dict[str, Any], name: str, high: int, *kinds: type[float]) -> Any:
    """A number above 0 of one of these kinds, or None."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= high:
        whole = "" if float in kinds else "whole "
        abort(400, f"{name} = {_short(value)}: must be a {whole}number above 0, at most {high}")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _integer(name: str, low: int = -GREATEST, high: int = GREATEST) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        abort(400, f"{name} = {_short(text)}: must be a whole number")
    if not low <= value <= high:
        abort(400, out_of_range(name, value, between(low, high)))
    return value


def _json(window: Window) -> Response:
    data: dict[str, Any] = {
        "unit": window.unit,
        "total": window.total,
        "time_ms": window.time_ms.tolist(),
        "value": window.value.tolist(),
    }
    return jsonify(data)


def _csv(window: Window, signal: str) -> Response:
    out = io.StringIO()
    writer = csv.writer(out)
    # a spreadsheet would take these signs for the start of a formula
    name = "'" + signal if signal[:1] in "=+-@\t\r" else signal
    writer.writerow(["time_ms", f"{name} [{window.unit}]" if window.unit else name])
    writer.writerows(zip(window.time_ms.tolist(), window.value.tolist(), strict=True))
    return _file(out.getvalue(), "series.csv")


def _file(content: str | Iterator[str], name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, mimetype="text/csv", headers=headers)
