"""The page of the field: a tile for every zone."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from dash import dcc, html

from levada.twin.app.pages.parts import (
    TICK_MS,
    Children,
    aria_label,
    fact_tile,
    litres_text,
    number_tile,
    stress_text,
    theta_text,
)
from levada.twin.snapshot import View, ZoneView

__all__ = [
    "field_now",
    "field_page",
    "mood",
    "state_text",
    "tile",
    "tile_class",
]


MOST_TILES: Final = 12
"""Zones of a field that have tiles with pictures; of more there is a map and a list."""


def field_page(view: View, *, may_change: bool = False) -> Children:
    """All zones.  Links stay while what is in them changes, so that they keep the focus."""
    return [
        dcc.Interval(id="tick-field", interval=TICK_MS),
        dcc.Store(id="field-said"),
        html.Div(id="field-facts", className="facts"),
        html.Section(
            # filled by the program beside the style sheet
            html.Div(id="fleet", **{"data-may-change": "yes" if may_change else "no"}),  # type: ignore[arg-type]
            **aria_label("Zones"),
        )
        if len(view.zones) > MOST_TILES
        else html.Div(
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
            **aria_label("Alerts of the field"),
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
        fact_tile("Zones", str(len(zones)), "each with a device and its twin"),
        fact_tile("Watering now", str(watering), "valves open", "physical"),
        fact_tile("Alerts", str(alerts), "standing now", "bad" if alerts else "good"),
        fact_tile(
            "Devices that answer",
            f"{len(zones) - silent} of {len(zones)}",
            "none is missing" if not silent else "see the tiles",
            "bad" if silent else "good",
        ),
        fact_tile("Water today", litres_text(today_l), f"{litres_text(all_l)} since the start"),
    ]


def tile_class(zone: ZoneView) -> str:
    """Look of a zone's tile."""
    return f"tile {mood(zone)}"


def tile(zone: ZoneView, picture: str) -> Children:
    """What is on a zone's tile; `picture` of the last days, if there is one."""
    return [
        html.Div(
            [
                html.Span(zone.name, className="name"),
                html.Span(state_text(zone), className=f"state {mood(zone)}"),
            ],
            className="head",
        ),
        html.Img(src=picture, alt="Probe and twin over the last days", className="spark")
        if picture
        else None,
        html.Div(
            [
                number_tile("Probe", theta_text(zone.theta), "physical"),
                number_tile("Twin", theta_text(zone.theta_twin), "virtual"),
                number_tile("Today", litres_text(zone.water_today_l)),
                number_tile("Stress in", stress_text(zone)),
            ],
            className="numbers",
        ),
        *(html.Div(alert.text, className="alerts") for alert in zone.alerts),
    ]


def mood(zone: ZoneView) -> str:
    """How it is with a zone, in one word of the style sheet."""
    return "alert" if zone.alerts or zone.lost else "watering" if zone.valve else "calm"


def state_text(zone: ZoneView) -> str:
    """How it is with a zone, in words."""
    if zone.lost:
        return "Device does not answer"
    if not zone.running:
        return "Guest was stopped"
    return "Watering" if zone.valve else "Valve closed"
