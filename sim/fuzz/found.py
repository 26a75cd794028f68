"""What a search has found, as a scenario file that `levada run` takes as it is, and that fails."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import tomli_w

from levada.sim.fuzz.case import Base, relative_to
from levada.sim.fuzz.properties import Property
from levada.sim.fuzz.search import Failure

__all__ = ["write_failure"]


def write_failure(failure: Failure, property_: Property, base: Base, folder: Path) -> Path:
    """Write the shrunk case with the one expectation that fails; where the file is.

    Weather and guest are named relative to it, not copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{property_.key}.toml"
    data: dict[str, Any] = {
        "version": 1,
        "name": f"{property_.key}-fails",
        "title": f"Does not hold: {property_.sentence}",
        "description": (
            f"Found by `levada fuzz` over the scenario {base.name}: "
            f"{failure.broken.outcome.detail}."
        ),
    }
    data |= {k: v for k, v in deepcopy(failure.data).items() if k not in data and v != []}
    data["expect"] = [failure.broken.table]
    for zone in data["zone"]:
        if zone["node"] == "sim":
            del zone["node"]
    relative_to(data, folder.absolute())
    path.write_text(tomli_w.dumps(data, multiline_strings=True), encoding="utf-8")
    return path
