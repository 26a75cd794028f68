"""Scenarios run twice, with the present module and with the candidate: what would have changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from levada.guest.errors import LevadaError
from levada.guest.tape import time_text
from levada.hil.nodes import node_overrides
from levada.sim.results.decisions import Decision, read_decisions, sentence
from levada.sim.run import runner
from levada.sim.run.rundir import RunDir
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.shipped import names, scenario_path
from levada.sim.units import HOUR_MS

__all__ = ["FirstDifference", "Outcome", "ScenarioTrial", "shipped_suite", "try_scenario"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a module did to a field, over all zones."""

    water_l: float
    irrigation_mm: float
    stress_days: float
    openings: int
    open_h: float
    """Time that valves were commanded open [h]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstDifference:
    """The first decision in which two modules part."""

    time: str
    zone: str
    before: str
    """Why the present module did what it did; empty: it decided nothing then."""
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioTrial:
    """One scenario, before and after."""

    name: str
    title: str
    before: Outcome
    after: Outcome | None
    """None: the candidate cannot run at all."""
    held: int
    """Expectations that hold with the present module."""
    broken: tuple[str, ...]
    """Those of them that do not with the candidate, and why."""
    first: FirstDifference | None
    """None: every decision is the same."""


def shipped_suite() -> list[Path]:
    """The scenarios that come with levada."""
    return [scenario_path(name) for name in names()]


def try_scenario(
    path: Path,
    present: Path | None,
    candidate: Path,
    *,
    settings: Sequence[tuple[str, str]] = (),
) -> ScenarioTrial:
    """Run a scenario with both modules, in simulation.

    `present` None: the scenario's own module.  A candidate that cannot run at all breaks whatever
    held.  Raises what a run with the present module raises.
    """
    with TemporaryDirectory(prefix="levada-gate-") as folder:
        one, loaded = _run(path, present, Path(folder) / "before", settings)
        held = [e["name"] for e in one.summary["expectations"] if e["passed"]]
        try:
            other, _ = _run(path, candidate, Path(folder) / "after", settings)
        except LevadaError as error:
            said = str(error).splitlines()[0].replace(f"{candidate.absolute()}: ", "")
            why = f"it cannot run: {said}"
            return ScenarioTrial(
                name=loaded.name,
                title=loaded.title,
                before=_outcome(one),
                after=None,
                held=len(held),
                broken=(why,),
                first=None,
            )
        return ScenarioTrial(
            name=loaded.name,
            title=loaded.title,
            before=_outcome(one),
            after=_outcome(other),
            held=len(held),
            broken=tuple(_broken(held, other)),
            first=_first_difference(one, other),
        )


def _run(
    path: Path, guest: Path | None, folder: Path, settings: Sequence[tuple[str, str]]
) -> tuple[RunDir, Any]:
    overrides = [*settings, *node_overrides(path, ["sim"])]
    if guest is not None:
        overrides.append(("guest.file", str(guest.absolute())))
    document = scenarios.read(path, overrides)
    runner.check(document)
    runner.run_scenario(document.scenario, folder, report=False)
    return RunDir(folder), document.scenario


def _broken(held: Sequence[str], run: RunDir) -> Iterator[str]:
    """Expectations that held, and do not any more; a guest that is stopped breaks its own."""
    for found in run.summary["expectations"]:
        known = found["name"] in held or found["name"].startswith("No guest")
        if known and found["passed"] is False:
            yield f"{found['name']}: {found['detail']}"


def _outcome(run: RunDir) -> Outcome:
    summary = run.summary
    return Outcome(
        water_l=summary["water_l"],
        irrigation_mm=summary["irrigation_mm"],
        stress_days=summary["stress_days"],
        openings=summary["valve_openings"],
        open_h=_open_h(run),
    )


def _open_h(run: RunDir) -> float:
    """Time that the valves of all zones were commanded open, from one decision to the next."""
    total_ms, since = 0, dict[int, int]()
    for decision in read_decisions(run.tape_path):
        began_ms = since.pop(decision.zone, None)
        if began_ms is not None:
            total_ms += decision.time_ms - began_ms
        if decision.irrigar:
            since[decision.zone] = decision.time_ms
    return total_ms / HOUR_MS


def _first_difference(one: RunDir, other: RunDir) -> FirstDifference | None:
    zones = one.zones
    before, after = _by_zone(one), _by_zone(other)
    found: list[tuple[int, int, Decision | None, Decision | None]] = []
    for zone in range(len(zones)):
        for a, b in zip_longest(before.get(zone, ()), after.get(zone, ())):
            if a is None or b is None or _key(a) != _key(b):
                times = [d.time_ms for d in (a, b) if d is not None]
                found.append((min(times), zone, a, b))
                break
    if not found:
        return None
    time_ms, zone, a, b = min(found, key=lambda item: item[:2])
    return FirstDifference(
        time=time_text(time_ms),
        zone=zones[zone],
        before=_said(a, time_ms),
        after=_said(b, time_ms),
    )


def _by_zone(run: RunDir) -> dict[int, list[Decision]]:
    found: dict[int, list[Decision]] = {}
    for decision in read_decisions(run.tape_path):
        found.setdefault(decision.zone, []).append(decision)
    return found


def _key(decision: Decision) -> tuple[int, int, int | None, int]:
    return decision.time_ms, decision.irrigar, decision.why, decision.trap


def _said(decision: Decision | None, time_ms: int) -> str:
    if decision is None or decision.time_ms != time_ms:
        return "no change"
    return sentence(decision)
