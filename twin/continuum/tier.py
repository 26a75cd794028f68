"""What a tier computes of samples: filter, anomalies, windows.  No clock, no input or output.

    with Tier(module, "wasm", {"filter_kind": 2}, window_s=3600, late_s=86_400) as tier:
        rows = tier.take([Sample("maize", 7, 41, 1_688_000_000_000, {"raw": 1502.0})])

Fog, the cloud and the simulated chain all compute by this, so that equal samples give equal rows
everywhere.  The result of a node depends on nothing but its own samples in their order, however
they are grouped into calls.

Each reading (`raw`) first goes through the guest's `anomaly`.  One that is out of range, or far
from those before it (Hampel), is *suppressed*: the filter does not get it, no window counts it,
and nothing is put in its place.  The others go through `filter`.  A guest that has no `filter` but
`process`, as those of the first generation, gets each reading with the calibration in `parameters`;
the result stands in the row as `processed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from levada.guest.errors import ParameterError
from levada.guest.lifecycle import Closing
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.twin.continuum.guests import SUPPRESSED, Guests
from levada.twin.continuum.windows import Windows

__all__ = ["Sample", "Tier"]

CALIBRATION: Final = ("dry_counts", "wet_counts", "limit_counts")
"""Arguments of `process` behind the reading."""


class Sample(NamedTuple):
    """What a node has told in one message."""

    node: str
    boot: int | None
    """None: the node numbers nothing."""
    seq: int | None
    t_ms: int
    """Time of the measurement, or of the arrival if the node tells none [ms since 1970]."""
    signals: Mapping[str, float]
    timed: bool = True
    """Whether the node has told `t_ms`; it does not stand in the row otherwise."""


class _Node(NamedTuple):
    place: int
    windows: Windows


class Tier(Closing):
    """All nodes of one tier.

    Raises ParameterError for a parameter that the guest does not take, ModuleError for a module
    that has no function for this tier.
    """

    def __init__(
        self,
        module: bytes,
        engine: Literal["wasm", "native", "off"],
        parameters: Mapping[str, int],
        window_s: int,
        late_s: int,
    ) -> None:
        self._window_ms = window_s * 1000 if engine != "off" else 0
        self._late_ms = late_s * 1000
        self._nodes: dict[str, _Node] = {}
        self._guests: Guests | None = None
        self._calibration: tuple[int, ...] = ()
        if engine == "off":
            return
        info = inspect(module)
        self._guests = Guests(module, engine, _by_id(info, parameters))
        if not self._guests.has("filter"):
            missing = [name for name in CALIBRATION if name not in parameters]
            if missing:
                raise ParameterError(
                    f"the guest has no `filter`, and its `process` needs {', '.join(missing)}: "
                    "set them in `parameters` [counts]"
                )
            self._calibration = tuple(parameters[name] for name in CALIBRATION)

    @property
    def computes(self) -> bool:
        """Whether it does anything at all."""
        return self._guests is not None

    @property
    def traps(self) -> int:
        """Calls of the guest that were stopped; their results are missing."""
        return self._guests.traps if self._guests else 0

    def knows(self, node: str) -> bool:
        """Whether samples of a node were taken, or its state was resumed."""
        return node in self._nodes

    def take(self, samples: Sequence[Sample]) -> list[dict[str, Any]]:
        """Rows computed of `samples`, as members of `levada.twin.mqtt.messages.ForwardedRow`.

        One of each sample that has a reading, with `anomaly`, `raw` and, if it was not suppressed,
        `filt`; behind it those of the windows that it has completed.
        """
        if self._guests is None:
            return []
        nodes = [self._node(sample.node) for sample in samples]
        bits, results = self._compute(samples, nodes, self._guests)
        name = "processed" if self._calibration else "filt"
        rows: list[dict[str, Any]] = []
        for sample, node, anomaly, result in zip(samples, nodes, bits, results, strict=True):
            raw: int | None = None
            if anomaly is not None:
                raw = int(sample.signals["raw"])
                rows.append(_row(sample, anomaly, raw, name, result))
                if anomaly & SUPPRESSED:
                    raw = None
            for window in node.windows.add(sample.t_ms, raw, sample.signals, timed=sample.timed):
                rows.append({"node": sample.node, **window})
        return rows

    def _compute(
        self, samples: Sequence[Sample], nodes: Sequence[_Node], guests: Guests
    ) -> tuple[list[int | None], list[int | None]]:
        """Of each sample the anomalies (None: it has no reading) and the filter's result (None:
        there is none)."""
        which, places, raws, times_s = [], [], [], []
        for number, (sample, node) in enumerate(zip(samples, nodes, strict=True)):
            raw = sample.signals.get("raw")
            if raw is not None:
                which.append(number)
                places.append(node.place)
                raws.append(int(raw))
                times_s.append(sample.t_ms // 1000)
        bits: list[int | None] = [None] * len(samples)
        results: list[int | None] = [None] * len(samples)
        found = guests.take(places, raws, times_s, self._calibration)
        for number, anomaly, result in zip(which, *found, strict=True):
            bits[number] = anomaly
            results[number] = result
        return bits, results

    def _node(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            assert self._guests is not None
            windows = Windows(self._window_ms, self._late_ms)
            node = self._nodes[name] = _Node(self._guests.place(), windows)
        return node

    # State

    def look_back(self, node: str, samples: Sequence[Sample]) -> None:
        """After a restart without a state: the last samples of a node, oldest first, before the
        first new one; no rows come of them.

        At best all of the open window, and at least `levada.guest.abi.LOOK_BACK`.
        """
        if self._guests is None:
            return
        mine = self._node(node)
        read = [sample for sample in samples if "raw" in sample.signals]
        last = [(int(sample.signals["raw"]), sample.t_ms // 1000) for sample in read]
        bits = iter(self._guests.look_back(mine.place, last))
        for sample in samples:
            raw = None
            if "raw" in sample.signals and not next(bits) & SUPPRESSED:
                raw = int(sample.signals["raw"])
            mine.windows.add(sample.t_ms, raw, sample.signals, timed=sample.timed)
        mine.windows.changes()

    def states(self, nodes: Sequence[str]) -> dict[str, bytes]:
        """Of each node what its next results depend on, but for its windows."""
        assert self._guests is not None
        states = self._guests.states([self._nodes[node].place for node in nodes])
        return dict(zip(nodes, states, strict=True))

    def window_changes(self, node: str) -> list[tuple[int, dict[str, Any] | None]]:
        """(start [ms], state) of windows of a node that have changed since this was asked last;
        None: it is not needed any more."""
        return self._nodes[node].windows.changes()

    def resume(self, node: str, state: bytes, windows: Iterable[Mapping[str, Any]]) -> None:
        """Go on with a node from what `states` and `window_changes` gave."""
        if self._guests is None:
            return
        mine = self._node(node)
        self._guests.resume(mine.place, state)
        mine.windows.resume(windows)

    @property
    def too_late(self) -> int:
        """Samples that came too late for their window."""
        return sum(node.windows.too_late for node in self._nodes.values())

    def close(self) -> None:
        """Release the guests."""
        if self._guests is not None:
            self._guests.close()


def _row(sample: Sample, anomaly: int, raw: int, name: str, result: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"node": sample.node}
    if sample.seq is not None:
        row["boot"] = sample.boot
        row["seq"] = sample.seq
    if sample.timed:
        row["t"] = sample.t_ms
    row["anomaly"] = anomaly
    row["raw"] = raw
    if result is not None:
        row[name] = result
    return row


def _by_id(info: ModuleInfo, wanted: Mapping[str, int]) -> dict[int, int]:
    """Number of the guest's parameter -> value; raises ParameterError for one it does not have."""
    known = {parameter.name: parameter.id for parameter in info.parameters}
    found = {}
    for name, value in wanted.items():
        if name in known:
            found[known[name]] = value
        elif name not in CALIBRATION:  # which a guest may take as arguments
            raise ParameterError(
                f"parameter {name!r}: the guest has {', '.join(sorted(known)) or 'none'}"
            )
    return found
