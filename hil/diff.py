"""The same scenario on several nodes, compared call by call.

Weather, soil and probe are the same to the last bit, and so is the battery, since instructions,
which not every node counts, take no charge here: the readings of two nodes are equal as long as
their guests have done the same.  The first call that differs accuses an engine, a processor or
the firmware; what comes after it follows from it.  If a device has started again by then, it
accuses that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levada.guest.tape import Difference, TapeReader, first_difference, time_text
from levada.hil.nodes import NodeMaker, node_overrides
from levada.sim.results.compare import count_calls
from levada.sim.run import runner
from levada.sim.run.rundir import claimed
from levada.sim.scenario import load as scenario

__all__ = ["Diff", "NodeRun", "diff_nodes"]


@dataclass(frozen=True, kw_only=True)
class NodeRun:
    """The scenario on one node."""

    node: str
    path: Path
    summary: dict[str, Any]
    zone: str | None
    """Where the first divergent call is, if there is one."""
    difference: Difference | None
    """To the first node; None for it and for those that do the same."""

    @property
    def engine(self) -> str:
        """What ran the guest of the first zone."""
        links = self.summary["link"] or {}
        found = next(iter(links.values()), None)
        if found is None:
            return f"wasmtime {self.summary['versions']['wasmtime']}"
        return f"{found['engine']}, {found['firmware']}"

    def restart_by(self, difference: Difference, zone: str | None) -> str | None:
        """The restart of that zone's device before a difference, or at it, if there was one."""
        restarts = (self.summary["link"] or {}).get(zone, {}).get("restarts", [])
        by = time_text(difference.time_ms or 0)
        return next((r for r in restarts if r.partition(": ")[0] <= by), None)


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What several nodes made of one scenario; the first is what the others are held to."""

    runs: tuple[NodeRun, ...]
    calls: int
    """Host calls of the first node."""

    @property
    def equal(self) -> bool:
        """Whether all nodes did the same."""
        return all(run.difference is None for run in self.runs)


def diff_nodes(
    path: Path,
    nodes: Sequence[str],
    out: Path,
    *,
    overrides: Sequence[tuple[str, str]] = (),
    seed: int | None = None,
    pki: str | None = None,
    progress: Callable[[str], runner.Progress] | None = None,
) -> Diff:
    """Run the scenario at `path` on each node, into directories under `out`, and compare.

    Raises what reading and running a scenario raises, HilError if a node cannot be had.
    """
    with claimed(out):
        return _diff_nodes(path, nodes, out, overrides, seed, pki, progress)


def _diff_nodes(
    path: Path,
    nodes: Sequence[str],
    out: Path,
    overrides: Sequence[tuple[str, str]],
    seed: int | None,
    pki: str | None,
    progress: Callable[[str], runner.Progress] | None,
) -> Diff:
    runs: list[NodeRun] = []
    reference: list[bytes] = []
    zones: tuple[str, ...] = ()
    documents = [
        scenario.read(path, [*overrides, *node_overrides(path, [node])], seed) for node in nodes
    ]
    for document in documents:  # all, before the first runs
        runner.check(document)
    for number, (node, document) in enumerate(zip(nodes, documents, strict=True)):
        target = out / f"{number}-{_as_name(node)}"
        with NodeMaker(pki=pki) as make_node:
            result = runner.run_scenario(
                document.scenario,
                target,
                make_node=make_node,
                count_instructions=False,
                progress=progress(node) if progress else None,
                report=False,
            )
        reader = TapeReader(target / "tape.cbor")
        tapes = reader.tapes()
        if not runs:
            reference, zones = tapes, reader.zones
        zone, difference = _first(reference, tapes, zones)
        runs.append(
            NodeRun(
                node=node,
                path=target,
                summary=result.summary,
                zone=zone,
                difference=difference,
            )
        )
        if result.interrupted:
            break
    return Diff(runs=tuple(runs), calls=sum(count_calls(tape) for tape in reference))


def _first(
    left: Sequence[bytes], right: Sequence[bytes], zones: Sequence[str]
) -> tuple[str | None, Difference | None]:
    """Zone and place of the earliest difference."""
    found: list[tuple[int, str, Difference]] = []
    for name, a, b in zip(zones, left, right, strict=True):
        difference = first_difference(a, b)
        if difference is not None:
            found.append((difference.time_ms or 0, name, difference))
    if not found:
        return None, None
    _, zone, first = min(found, key=lambda item: item[0])
    return zone, first


def _as_name(node: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in node).strip("-")
