"""A scenario as text again, with every file it stands on pinned."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from levada.sim.scenario.model import Scenario

__all__ = ["dump", "pinned", "sha256_of"]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pinned(scenario: Scenario, guest_sha256: str) -> Scenario:
    """The scenario with the SHA-256 of its weather file and its guest, as a run keeps it."""
    weather = scenario.weather.model_copy(
        update={"sha256": sha256_of(Path(scenario.weather.source))}
    )
    guest = scenario.guest.model_copy(update={"sha256": guest_sha256})
    return scenario.model_copy(update={"weather": weather, "guest": guest})


def dump(scenario: Scenario, directory: Path | None = None) -> str:
    """The scenario as TOML with every default written out.

    `directory` is where the text will lie: paths become relative to it; without it they stay as
    they are.  Nothing is copied.
    """
    data = scenario.model_dump()
    data["expect"] = [e.model_dump(exclude_defaults=True) for e in scenario.expect]
    data["alert"] = [a.model_dump(exclude_defaults=True) for a in scenario.alert]
    if directory is not None:
        for table, key in (
            (data["weather"], "file"),
            (data["weather"].get("generator") or {}, "like"),
            (data["guest"], "file"),
        ):
            if table.get(key) is not None:
                table[key] = Path(os.path.relpath(table[key], directory)).as_posix()
    return tomli_w.dumps(_without_nothing(data), multiline_strings=True)


def _without_nothing(value: Any) -> Any:
    """Without keys that are None and without empty tables and arrays: both are the default."""
    if isinstance(value, Mapping):
        return {
            key: _without_nothing(inner)
            for key, inner in value.items()
            if inner is not None and inner not in ({}, [], ())
        }
    return [_without_nothing(item) for item in value] if isinstance(value, list | tuple) else value
