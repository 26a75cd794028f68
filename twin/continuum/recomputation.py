"""The guest's functions over the raw stream once more, in the cloud: equal to what fog has found?

The same bytes on the same readings in the same order give the same bits, on whatever tier and by
whatever engine.  What differs accuses one of them, or a row that one of the two has not seen.

A filter remembers.  Where the cloud begins in the middle of a stream, it first gets the last
readings that are stored, and may need some results more until it has caught up; those are counted
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from levada.guest.abi import Anomaly
from levada.guest.errors import GuestError
from levada.guest.lifecycle import Closing
from levada.guest.module.inspect import inspect
from levada.guest.wasm.bank import Bank
from levada.sim.scenario.continuum import Cloud
from levada.twin.continuum.tier import Sample, Tier
from levada.twin.continuum.view import Agreement
from levada.twin.mqtt.messages import ForwardedRow

__all__ = ["AGREEING", "JOINING", "Recomputation"]

AGREEING: Final = 30
"""Results in a row after which the cloud has caught up with a filter that it joined later."""
JOINING: Final = 144
"""Results that it may take to catch up; beyond, what differs counts."""
_OPEN: Final = 4_096
"""Results of one node that wait for fog's."""
_TIMED: Final = int(Anomaly.STUCK | Anomaly.RATE)
"""Anomalies that hang on the time of a reading."""
_COMPARED: Final = ("anomaly", "filt", "processed")

Key = tuple[int | None, int | None, int | None]
LookBack = Callable[[str, ForwardedRow], Sequence[Sample]]
"""Node and its first row here -> its last stored readings before that, oldest first."""


@dataclass(slots=True)
class _Node:
    joining: int
    """Results that may still differ because the filter began elsewhere."""
    agreeing: int = 0
    equal: int = 0
    different: int = 0
    catching_up: int = 0
    newest: Mapping[str, Any] | None = None
    open: dict[Key, dict[str, Any]] = field(default_factory=dict)


class Recomputation(Closing):
    """What the cloud computes; `look_back` gives the past of a node that is new here.

    Raises what `levada.twin.continuum.tier.Tier` raises.
    """

    def __init__(self, module: bytes, settings: Cloud, look_back: LookBack) -> None:
        self.engine = settings.engine
        self.guest_sha256 = "" if settings.engine == "off" else inspect(module).sha256
        self._tier = Tier(module, settings.engine, settings.parameters, 0, 0)
        self._look_back = look_back
        self._nodes: dict[str, _Node] = {}
        self._process: Bank | None = None
        if settings.engine != "off":
            bank = Bank(module, 1, engine=settings.engine)
            if "process" in bank.signatures:
                self._process = bank
            else:
                bank.close()

    def close(self) -> None:
        """Release the guests."""
        self._tier.close()
        if self._process is not None:
            self._process.close()

    @property
    def computes(self) -> bool:
        """Whether it does anything at all."""
        return self._tier.computes

    def take(self, rows: Iterable[tuple[str, ForwardedRow]]) -> None:
        """Take rows of the raw stream with the names of their nodes, in fog's order."""
        if not self._tier.computes:
            return
        samples: list[Sample] = []
        for name, row in rows:
            values = row.signals()
            if "raw" in values:
                timed = row.t is not None
                samples.append(Sample(name, row.boot, row.seq, row.t or 0, values, timed))
                self._know(name, row)
        for result in self._tier.take(samples):
            mine = self._nodes[result["node"]]
            mine.open[_key(result)] = result
            if len(mine.open) > _OPEN:
                del mine.open[next(iter(mine.open))]

    def _know(self, name: str, row: ForwardedRow) -> None:
        if name in self._nodes:
            return
        before = self._look_back(name, row)
        if before:
            self._tier.look_back(name, before)
        self._nodes[name] = _Node(joining=JOINING if before else 0)

    def compare(self, name: str, row: ForwardedRow) -> None:
        """Take a row of the filtered stream: is it what was computed here?"""
        mine = self._nodes.get(name)
        fog = row.model_dump(exclude_none=True)
        own = mine.open.pop(_key(fog), None) if mine is not None else None
        if mine is None or own is None:
            return
        if _same(own, fog):
            mine.equal += 1
            mine.agreeing += 1
            if mine.agreeing >= AGREEING:
                mine.joining = 0
            return
        mine.agreeing = 0
        if mine.joining > 0:
            mine.joining -= 1
            mine.catching_up += 1
            return
        mine.different += 1
        mine.newest = {
            "boot": row.boot,
            "seq": row.seq,
            "fog": {name: fog[name] for name in _COMPARED if name in fog},
            "cloud": {name: own[name] for name in _COMPARED if name in own},
        }

    def found(self, name: str) -> Agreement | None:
        """How results of a node compare; None: nothing is computed."""
        if not self._tier.computes:
            return None
        mine = self._nodes.get(name, _Node(0))
        return Agreement(
            equal=mine.equal,
            different=mine.different,
            catching_up=mine.catching_up,
            newest_difference=mine.newest,
        )

    def process(self, raw: int, counts: tuple[int, int, int]) -> tuple[int, bool] | None:
        """Moisture [%] and whether to water, by the guest's `process` for a probe that reads
        `counts`: dry, wet and limit; None if the guest has none, or is stopped."""
        if self._process is None:
            return None
        try:
            values, traps = self._process.call("process", [0], [(raw, *counts)])
        except GuestError:
            return None
        if int(traps[0]):
            return None
        bits = int(values[0])
        return bits & 0xFF, bool(bits & 0x100)


def _key(row: Mapping[str, Any]) -> Key:
    return row.get("boot"), row.get("seq"), row.get("t")


def _same(own: Mapping[str, Any], fog: Mapping[str, Any]) -> bool:
    """Whether every result is the same; of a reading without a time, those that need none."""
    mask = ~0 if "t" in own else ~_TIMED
    mine = {name: own[name] for name in _COMPARED if name in own}
    other = {name: fog[name] for name in _COMPARED if name in fog}
    for found in (mine, other):
        if "anomaly" in found:
            found["anomaly"] = int(found["anomaly"]) & mask
    return mine == other
