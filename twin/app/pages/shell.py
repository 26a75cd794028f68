"""What stands around every page, and the page that is missing."""

from __future__ import annotations

from urllib.parse import quote

from dash import dcc, html

from levada.twin.app import words
from levada.twin.app.login import LOGOUT, is_remote
from levada.twin.app.pages.parts import POLITE, TICK_MS, Children, aria_label, stamp
from levada.twin.snapshot import View

__all__ = ["missing_page", "shell"]


def shell() -> html.Div:
    """What stands around every page; who has logged in, from another computer, can log out."""
    log_out = [html.A("Log out", href=LOGOUT, className="hint")] if is_remote() else []
    return html.Div(
        [
            html.A("To the content", href="#page", className="skip"),
            dcc.Location(id="url"),
            dcc.Interval(id="tick", interval=TICK_MS),
            html.Header(
                [
                    html.Div(
                        [html.H1(id="title"), html.Span(id="clock", className="clock"), *log_out],
                        className="mast",
                    ),
                    html.Nav(id="nav", **aria_label("Pages")),
                    html.Div(id="banner", **POLITE),
                ]
            ),
            html.Main(id="page"),
        ]
    )


def nav(view: View | None, path: str, continuum: bool) -> Children:
    """Links to all pages; of many zones only the field leads to them.  Without a twin there is
    none but that of the continuum."""
    links = []
    if view is not None:
        links = [("Field", "/"), ("Nodes", "/nodes"), ("History", "/history")]
        if len(view.zones) <= 6:
            links[1:1] = [(zone.name, f"/zone/{quote(zone.name, safe='')}") for zone in view.zones]
    if continuum:
        links.insert(-1 if links else 0, ("Continuum", "/continuum"))
    links.insert(-1 if view is not None else len(links), ("Modules", "/modules"))

    def here(href: str) -> bool:
        return (
            path == href
            or (view is None and path == "/" and href == "/continuum")
            or (href != "/" and path.startswith(href.rstrip("s") + "/"))
        )

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


# Zone


# Nodes


# History


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
