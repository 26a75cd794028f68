"""Overlays: files that change some keys of a scenario, as `--with FILE.toml` and the strategies do.

An overlay is a part of a scenario file.  Its tables are merged into those of the scenario, its
values replace those that are there.  An item of an array of tables replaces keys of the item that
has the same `name` (of `[[link]]`: the same `between`), and is added if there is none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from levada.sim.scenario.shipped import SHIPPED
from levada.sim.scenario.toml_index import Path as KeyPath

__all__ = ["absolute", "identity_key", "merge", "relocated", "strategies", "strategy_path"]

_IDENTITY: Final = {"link": "between"}
_FILES: Final = (
    ("weather", "file"),
    ("weather", "generator", "like"),
    ("guest", "file"),
)
"""Keys that hold a path."""


def merge(data: dict[str, Any], overlay: Mapping[str, Any]) -> dict[KeyPath, KeyPath]:
    """Lay `overlay` over `data`, in place.

    Returns where items of arrays came to lie: path in the overlay -> path in the result.
    """
    moved: dict[KeyPath, KeyPath] = {}
    _merge_table(data, overlay, (), (), moved)
    return moved


def identity_key(array: str) -> str:
    """Key by which the items of an array of tables are told apart."""
    return _IDENTITY.get(array, "name")


def relocated(path: KeyPath, moved: Mapping[KeyPath, KeyPath]) -> KeyPath:
    """A path in an overlay as a path in what it was merged into."""
    for length in range(len(path), 0, -1):
        if path[:length] in moved:
            return (*moved[path[:length]], *path[length:])
    return path


def absolute(data: dict[str, Any], directory: Path) -> None:
    """Make the paths of an overlay, which are relative to it, absolute."""
    for *tables, key in _FILES:
        here: Any = data
        for name in tables:
            here = here.get(name) if isinstance(here, dict) else None
        if isinstance(here, dict) and isinstance(here.get(key), str):
            here[key] = os.path.normpath(directory / here[key])


def strategies() -> list[str]:
    """Letters of the shipped strategies, sorted."""
    return sorted(path.stem.upper() for path in (SHIPPED / "strategies").glob("*.toml"))


def strategy_path(letter: str) -> Path:
    """The overlay of a shipped strategy; ValueError if there is none."""
    if letter.upper() not in strategies():
        raise ValueError(f"no strategy {letter!r}: permitted are {', '.join(strategies())}")
    return SHIPPED / "strategies" / f"{letter.lower()}.toml"


def _merge_table(
    data: dict[str, Any],
    overlay: Mapping[str, Any],
    here: KeyPath,
    there: KeyPath,
    moved: dict[KeyPath, KeyPath],
) -> None:
    for key, value in overlay.items():
        present = data.get(key)
        if isinstance(value, dict) and isinstance(present, dict):
            _merge_table(present, value, (*here, key), (*there, key), moved)
        elif _is_array_of_tables(value) and _is_array_of_tables(present):
            _merge_array(present, value, (*here, key), (*there, key), moved)  # type: ignore[arg-type]
        else:
            data[key] = value


def _merge_array(
    items: list[dict[str, Any]],
    overlay: list[dict[str, Any]],
    here: KeyPath,
    there: KeyPath,
    moved: dict[KeyPath, KeyPath],
) -> None:
    identity = identity_key(str(here[-1]))
    untouched = list(range(len(items)))
    for position, item in enumerate(overlay):
        name = item.get(identity)
        same = [i for i in untouched if name and items[i].get(identity) == name]
        target = same[0] if same else len(items)
        moved[*here, position] = (*there, target)
        if same:
            untouched.remove(target)
            _merge_table(items[target], item, (*here, position), (*there, target), moved)
        else:  # a second one of the same name too: the check of the scenario finds it
            items.append(item)


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, dict) for i in value)
