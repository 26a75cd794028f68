"""The guests of a tier's nodes by name, and what is needed to go on with one after a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

import cbor2
import numpy as np

from levada.guest.abi import LOOK_BACK, Anomaly
from levada.guest.errors import GuestError, ModuleError
from levada.guest.lifecycle import Closing
from levada.guest.wasm.bank import Bank
from levada.twin.store.rows import StoreSettings

__all__ = ["SUPPRESSED", "Guests"]

NODES: Final = StoreSettings().nodes
"""Nodes of a tier at most; an instance is made when its node is first heard."""
SUPPRESSED: Final = int(Anomaly.RANGE | Anomaly.HAMPEL)
"""Bits of a reading that the filter does not get."""

Readings = deque[tuple[int, int]]
"""Reading and time [s], oldest first."""


class Guests(Closing):
    """Raises ModuleError if the module has nothing for this tier, ParameterError for a parameter
    that it does not take, BuildError if it cannot be compiled for this computer."""

    def __init__(
        self, module: bytes, engine: Literal["wasm", "native"], parameters: Mapping[int, int]
    ) -> None:
        self._bank = Bank(module, NODES, engine=engine, parameters=parameters)
        if not (self.has("filter") or self.has("process")):
            self._bank.close()
            raise ModuleError(
                "the module exports neither `filter` nor `process`, which fog and cloud call"
            )
        if unfit := self._bank.info.unfit.get("fog"):
            self._bank.close()
            raise ModuleError(f"the module is not fit for fog and cloud: {unfit}")
        self._kind = f"{sha256(module).hexdigest()} {engine} {sorted(parameters.items())}"
        """Who understands an image."""
        self._last: list[Readings] = []
        self.traps = 0
        """Calls that were stopped; their results are missing."""

    def has(self, function: str) -> bool:
        """Whether the guest exports a function."""
        return function in self._bank.signatures

    def place(self) -> int:
        """A place for one more node."""
        if len(self._last) == NODES:
            raise GuestError(f"a tier computes for {NODES} nodes at most")
        self._last.append(deque(maxlen=LOOK_BACK))
        return len(self._last) - 1

    def take(
        self,
        places: Sequence[int],
        readings: Sequence[int],
        times_s: Sequence[int],
        calibration: tuple[int, ...],
    ) -> tuple[list[int], list[int | None]]:
        """Anomalies of each reading, and what the filter made of it; None: it did not get it, or
        was stopped.

        With a `calibration`, `process` is the filter.
        """
        where = np.array(places, dtype=np.int32)
        raws = np.array(readings, dtype=np.int32)
        # times beyond 2038 are, to the guest, negative: what it reckons with are differences
        times = np.array(times_s, dtype=np.int64).astype(np.uint32).view(np.int32)
        bits = self._anomaly(where, raws, times)
        for place, raw, t_s in zip(places, readings, times.tolist(), strict=True):
            self._last[place].append((raw, t_s))
        fed = np.flatnonzero((bits & SUPPRESSED) == 0)
        arguments = raws[fed].reshape(-1, 1)
        if calibration:
            rest = np.tile(np.array(calibration, dtype=np.int32), (fed.size, 1))
            arguments = np.hstack((arguments, rest))
        name = "process" if calibration else "filter"
        values, traps = self._bank.call(name, where[fed], arguments)
        self.traps += int(np.count_nonzero(traps))
        results: list[int | None] = [None] * len(readings)
        for index, value, trap in zip(fed.tolist(), values.tolist(), traps.tolist(), strict=True):
            if not trap:
                results[index] = value
        return bits.tolist(), results

    def _anomaly(self, where: Any, raws: Any, times: Any) -> Any:
        """Bits of each reading.  A guest that judges none: negative ones, error codes, are out of
        range.  One that is stopped: it has not been found fit."""
        if not self.has("anomaly"):
            return np.where(raws < 0, np.int32(Anomaly.RANGE), np.int32(0))
        bits, traps = self._bank.call("anomaly", where, np.stack((raws, times), axis=1))
        self.traps += int(np.count_nonzero(traps))
        return np.where(traps > 0, np.int32(Anomaly.RANGE), bits)

    # State

    def states(self, places: Sequence[int]) -> list[bytes]:
        """What the next results of each depend on.

        An image of the guest's memory, for the same guest; for another one, as after an update of
        the module, the last readings, and what the filter says of itself.
        """
        filters: list[int | None] = [None] * len(places)
        if self.has("filter_state"):
            filters = self._bank.call("filter_state", places).results.tolist()
        found = []
        for place, filter_state in zip(places, filters, strict=True):
            state: dict[str, Any] = {"last": list(self._last[place]), "filter": filter_state}
            image = self._bank.image(place)
            if image is not None:
                state |= {"of": self._kind, "image": image}
            found.append(cbor2.dumps(state))
        return found

    def resume(self, place: int, state: bytes) -> None:
        """Go on from what `states` gave, in a place that nothing has come to."""
        found = cbor2.loads(state)
        last = [(int(raw), int(t_s)) for raw, t_s in found["last"]]
        if found.get("of") == self._kind:
            self._bank.restore(place, found["image"])
            self._last[place].extend(last)
        else:
            self.look_back(place, last, found["filter"])

    def look_back(
        self, place: int, last: Sequence[tuple[int, int]], filter_state: int | None = None
    ) -> list[int]:
        """Give a fresh guest its last readings, oldest first, with their times [s]; their bits."""
        self._last[place].extend(last)
        raws = np.array([raw for raw, _ in last], dtype=np.int32)
        times = np.array([t_s for _, t_s in last], dtype=np.int64).astype(np.uint32).view(np.int32)
        where = np.full(raws.size, place, dtype=np.int32)
        bits = self._anomaly(where, raws, times)
        fed = raws[(bits & SUPPRESSED) == 0].tolist()
        name = "look_back" if self.has("look_back") else "filter"
        if name == "look_back" and filter_state is not None:
            fed.append(filter_state)
        if self.has(name):
            self._bank.call(name, [place] * len(fed), fed)
        found: list[int] = bits.tolist()
        return found

    def close(self) -> None:
        """Release the guests."""
        self._bank.close()
