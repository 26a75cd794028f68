"""What pages that are one file have in common: their templates and their style."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["style", "templates"]


@cache
def templates() -> Environment:
    """Templates of reports and comparisons; what a template names must be there."""
    return Environment(
        loader=PackageLoader("levada.sim.results", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> Markup:
    """The style sheet of a page."""
    return Markup((files("levada.sim.results") / "templates/report.css").read_text("utf-8"))
