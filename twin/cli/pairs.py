"""Options that are pairs: `--set key=value` and `--tolerance signal=number`."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated

import typer

__all__ = ["Tolerances", "overrides", "tolerances"]

Tolerances = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance", metavar="SIGNAL=VALUE", help="Allowed difference; may be repeated."
    ),
]
"""The option of commands that compare runs."""


def overrides(settings: Sequence[str] | None, option: str = "--set") -> list[tuple[str, str]]:
    """Key and value of each setting; raises BadParameter for what is no pair."""
    pairs = []
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{setting!r}: must be key=value", param_hint=option)
        pairs.append((key, value))
    return pairs


def tolerances(settings: Sequence[str] | None) -> dict[str, float]:
    """Allowed differences by signal; raises BadParameter for what is none."""
    found = {}
    for name, text in overrides(settings, "--tolerance"):
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < inf:
            raise typer.BadParameter(
                f"{name}={text}: must be a number, 0 or more", param_hint="--tolerance"
            )
        found[name] = value
    return found
