"""One case of the search: days of weather, faults and settings, laid over a scenario.

A case is what hypothesis draws and shrinks; `scenario_data` makes a scenario of it that `levada
run` takes as it is.  Everything is a whole number or one of a few choices, the harmless one first,
so that a shrunk case holds only what is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from levada.guest.errors import ParameterError
from levada.guest.module.inspect import ModuleInfo
from levada.sim.scenario.fault import CONTRADICTIONS, FAULTS

__all__ = [
    "ROW_S",
    "Base",
    "Case",
    "CaseFault",
    "base_of",
    "relative_to",
    "scenario_data",
]

ROW_S: Final = 60
"""Step of the field and time between two rows of the trace [s]: what is judged is as fine."""
LEFT_OUT: Final = (
    *("expect", "fault", "alert", "mapping", "fog", "cloud", "link", "edge"),
    *("title", "description"),
)
"""Tables of the scenario that a case does not have, or has of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseFault:
    """A fault of a case, which may come several times."""

    kind: str
    start_s: int
    """Since the start of the period."""
    duration_s: int
    magnitude: str | None = None
    times: int = 1
    every_s: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is laid over the scenario; None leaves what it says."""

    first_day: int = 0
    """Days after the first of the base."""
    days: int = 1
    seed: int = 1
    rain_factor: int | None = None
    """Of generated weather; None: the weather of the scenario's file."""
    available_pct: int = 30
    """Water in the soil at the start."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    valve: Mapping[str, float] = field(default_factory=dict)
    energy: Mapping[str, float | str] = field(default_factory=dict)
    faults: Sequence[CaseFault] = ()


@dataclass(frozen=True, kw_only=True)
class Base:
    """The scenario under the cases: what it says of site, weather, guest and zones."""

    name: str
    data: dict[str, Any]
    """Its tables, paths absolute, one zone a table, without what a case has of its own."""
    info: ModuleInfo
    module: bytes
    start: date
    """First day of its period on which every crop is planted."""
    days: int
    """From then to the end of the period."""

    def parameters_hold(self, changed: Mapping[str, int]) -> bool:
        """Whether the guest takes these parameters in every zone."""
        ids = {p.name: p.id for p in self.info.parameters}
        for zone in self.data["zone"]:
            values = zone.get("parameters", {}) | dict(changed)
            try:
                self.info.check_rules({ids[name]: value for name, value in values.items()})
            except ParameterError:
                return False
        return True


def base_of(data: Mapping[str, Any], module: bytes, info: ModuleInfo, *, node: str = "sim") -> Base:
    """The base that scenario data with absolute paths make; `node` runs every zone."""
    kept = {key: deepcopy(value) for key, value in data.items() if key not in LEFT_OUT}
    # a scenario refuses a crop that is planted after its period
    planted = [zone["crop"]["planting"] for zone in kept["zone"]]
    start, end = max(kept["period"]["start"], *planted), kept["period"]["end"]
    for zone in kept["zone"]:
        for key in ("count", "nodes", "spread"):
            zone.pop(key, None)
        zone["node"] = node
    return Base(
        name=kept["name"],
        data=kept,
        info=info,
        module=module,
        start=start,
        days=(end - start).days + 1,
    )


def scenario_data(base: Base, case: Case) -> dict[str, Any]:
    """The scenario of a case, as a TOML file has it; without expectations."""
    data = deepcopy(base.data)
    start = base.start + timedelta(days=case.first_day)
    data["seed"] = case.seed
    data["period"] = {
        "start": start,
        "end": start + timedelta(days=case.days - 1),
        "step_s": ROW_S,
    }
    if case.rain_factor is not None:
        weather = data["weather"]
        made = weather.setdefault("generator", {})
        made["rain_factor"] = case.rain_factor
        if "file" in weather:
            made["like"] = weather.pop("file")
    for zone in data["zone"]:
        zone["soil"]["initial"] = {"available_pct": case.available_pct}
        for table in ("parameters", "valve", "energy"):
            if changed := getattr(case, table):
                zone[table] = zone.get(table, {}) | dict(changed)
    data["fault"] = _faults(start, case)
    return data


def _faults(start: date, case: Case) -> list[dict[str, Any]]:
    """The `[[fault]]` tables; two of one kind, or that contradict each other, never overlap."""
    midnight, end_s = datetime.combine(start, time()), case.days * 86_400
    made: list[dict[str, Any]] = []
    taken: list[tuple[str, int, int]] = []
    for fault in case.faults:
        instant = FAULTS[fault.kind].instant
        lasts_s = 0 if instant else fault.duration_s
        if fault.times > 1:
            lasts_s = min(lasts_s, fault.every_s // 2)
        for n in range(fault.times):
            first_s = fault.start_s + n * fault.every_s
            last_s = min(first_s + lasts_s, end_s)
            if first_s >= end_s or any(
                _excludes(fault.kind, kind) and first_s <= b and a <= last_s for kind, a, b in taken
            ):
                continue
            taken.append((fault.kind, first_s, last_s))
            table: dict[str, Any] = {
                "kind": fault.kind,
                "start": midnight + timedelta(seconds=first_s),
            }
            if not instant and last_s < end_s:
                table["duration"] = f"{last_s - first_s} s"
            if fault.magnitude is not None:
                table["magnitude"] = fault.magnitude
            made.append(table)
    return made


def _excludes(a: str, b: str) -> bool:
    return a == b or frozenset((a, b)) in CONTRADICTIONS


def relative_to(data: dict[str, Any], folder: Path) -> None:
    """Make the paths of scenario data, which are absolute, relative to where the file will lie."""
    tables = (
        (data["weather"], "file"),
        (data["weather"].get("generator", {}), "like"),
        (data.get("guest", {}), "file"),
    )
    for table, key in tables:
        if key in table:
            table[key] = Path(os.path.relpath(table[key], folder)).as_posix()
