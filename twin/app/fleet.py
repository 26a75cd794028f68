"""What the page of a field of many zones asks for: every zone once, then only what has changed.

A zone is one row of what is to be seen of it, rounded as it is shown, so that noise alone sends
nothing.  An alert that somebody has acknowledged stays, behind those that nobody has.
"""

from __future__ import annotations

import threading
from secrets import token_hex
from typing import Any, Final

from flask import Blueprint, Response, abort, jsonify, request

from levada.twin.alerts import Active
from levada.twin.app.pages.field import mood, state_text
from levada.twin.app.shown import Subject
from levada.twin.snapshot import View, ZoneView
from levada.twin.store.rows import Event

__all__ = ["ACKNOWLEDGED", "Acknowledgements", "Fleet", "add_fleet"]

ACKNOWLEDGED: Final = "acknowledged"
"""Kind of the events that tell of it."""
_REMEMBERED: Final = 5_000
"""Acknowledgements of earlier runs that are read again."""

Row = dict[str, Any]


class Acknowledgements:
    """Who has acknowledged which alert; kept as events of the store."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._lock = threading.Lock()
        self._who: dict[tuple[str, str, int], str] = {}
        """Zone, kind and begin of an alert [ms since 1970] -> who."""
        for event in subject.store.reader.events(kind=ACKNOWLEDGED, limit=_REMEMBERED):
            about = event["evidence"]
            key = (str(event["node"]), str(about.get("alert")), int(about.get("since_ms", 0)))
            self._who[key] = str(about.get("who"))

    def who(self, zone: str, alert: Active) -> str:
        """Who has; empty: nobody yet."""
        return self._who.get((zone, alert.kind, alert.since_ms), "")

    def add(self, zone: str, kind: str, who: str) -> bool:
        """Note that `who` knows of a standing alert; False if there is no such alert."""
        view = self._subject.view
        standing = (a for z in view.zones if z.name == zone for a in z.alerts if a.kind == kind)
        alert = next(standing, None)
        if alert is None:
            return False
        with self._lock:
            self._who[zone, kind, alert.since_ms] = who
        about = {"alert": kind, "since_ms": alert.since_ms, "who": who}
        text = f"{who} has acknowledged: {alert.text}"
        event = Event(kind=ACKNOWLEDGED, text=text, time_ms=view.now_ms, node=zone, evidence=about)
        self._subject.store.submit(event)
        return True


class Fleet:
    """The rows of all zones, each with the number of the change that brought it."""

    def __init__(self, known: Acknowledgements) -> None:
        self._known = known
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[int, Row]] = {}
        self._number = 0
        self.run = token_hex(8)
        """Numbers of another run mean nothing."""

    def changes(self, view: View, since: int) -> Row:
        """Rows that have changed after the change `since`; 0: all."""
        with self._lock:
            number = self._number + 1
            for zone in view.zones:
                row = self._row(zone)
                before = self._rows.get(zone.name)
                if before is None or before[1] != row:
                    self._rows[zone.name] = (number, row)
                    self._number = number
            rows = [row for when, row in self._rows.values() if when > since]
            return {"run": self.run, "number": self._number, "zones": rows}

    def _row(self, zone: ZoneView) -> Row:
        alerts = [
            {
                "kind": a.kind,
                "text": a.text,
                "since_ms": a.since_ms,
                "who": self._known.who(zone.name, a),
            }
            for a in zone.alerts
        ]
        return {
            "name": zone.name,
            "mood": mood(zone),
            "state": state_text(zone),
            "probe": _percent(zone.theta),
            "twin": _percent(zone.theta_twin),
            "off": zone.residual is not None and abs(zone.residual) > zone.band,
            "today_l": None if zone.water_today_l is None else round(zone.water_today_l),
            "stress_h": None if zone.stress_h is None else round(zone.stress_h),
            "alerts": alerts,
        }


def _percent(theta: float | None) -> float | None:
    return None if theta is None else round(100 * theta, 1)


def add_fleet(routes: Blueprint, subject: Subject) -> None:
    """Routes of the fleet."""
    known = Acknowledgements(subject)
    fleet = Fleet(known)

    @routes.get("/api/fleet")
    def changes() -> Response:
        given = request.args.get("since", "0")
        mine = request.args.get("run", fleet.run) == fleet.run
        if not given.isdecimal() or len(given) > 15:
            abort(400, f"since = {given[:40]!r}: must be a whole number, 0 or more")
        return jsonify(fleet.changes(subject.view, int(given) if mine else 0))

    @routes.post("/api/zones/<zone>/acknowledgement")
    def acknowledge(zone: str) -> Response:
        data = request.get_json(silent=True)
        data = data if isinstance(data, dict) else {}
        kind, who = data.get("alert"), data.get("who")
        if not isinstance(kind, str) or not isinstance(who, str) or not who.strip():
            abort(400, 'send {"alert": kind, "who": name}')
        if not known.add(zone, kind, who.strip()[:64]):
            abort(404, "no such alert stands in this zone")
        return jsonify({"zone": zone, "alert": kind, "who": who.strip()[:64]})
