"""levada runs one irrigation guest, the same WebAssembly bytes, on every tier.

    import levada

    run = levada.run("quickstart", "runs/mine", overrides={"period.end": "2023-07-31"})
    print(run.passed, run.summary["irrigation_mm"])
    print(run.trace.column_names)

Everything here is imported when it is first asked for, so that `import levada` itself takes no
time.  What is in `__all__` is the public surface; the subpackages `levada.guest`, `levada.sim`,
`levada.hil` and `levada.twin` (imports go one way, from right to left) may change between versions.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levada.api import Guest, NodeSettings, Problem, Run, lint, load, reference_et, run
    from levada.guest.errors import LevadaError
    from levada.guest.node import Node
    from levada.sim.scenario.model import Scenario
    from levada.sim.soil.column import Column
    from levada.sim.soil.hydraulics import VanGenuchten
    from levada.sim.soil.richards_profile import Layer
    from levada.sim.weather import Site

__all__ = [
    "Column",
    "Guest",
    "Layer",
    "LevadaError",
    "Node",
    "NodeSettings",
    "Problem",
    "Run",
    "Scenario",
    "Site",
    "VanGenuchten",
    "lint",
    "load",
    "reference_et",
    "run",
]

_HOMES = {
    "Column": "levada.sim.soil.column",
    "Layer": "levada.sim.soil.richards_profile",
    "LevadaError": "levada.guest.errors",
    "Node": "levada.guest.node",
    "Scenario": "levada.sim.scenario.model",
    "Site": "levada.sim.weather",
    "VanGenuchten": "levada.sim.soil.hydraulics",
}
"""Where a public name lives, unless in `levada.api`."""


if Path(__file__).with_name("guest").is_file():
    raise ImportError(
        "levada/guest is a text file where a link to a folder should be: git on this computer makes"
        " no links.  On Windows, switch Developer Mode on, then `git config core.symlinks true` and"
        " `git checkout -- levada`; or install levada from a wheel."
    )


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("levada")
    if name not in __all__:
        raise AttributeError(f"module 'levada' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES.get(name, "levada.api")), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
