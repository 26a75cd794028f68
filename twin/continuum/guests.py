"""One instance of the guest a node, called in groups of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from levada.guest.errors import ModuleError, Trap
from levada.guest.lifecycle import Closing
from levada.guest.limits import Budget
from levada.guest.wasm.pure import PureGuest, exported_functions

__all__ = ["Guests"]

_RANGE: Final = 1


class Guests(Closing):
    """Guests of all nodes; raises ModuleError if the module has nothing for this tier."""

    def __init__(
        self, module: bytes, engine: Literal["wasm", "native"], parameters: Mapping[int, int]
    ) -> None:
        self._module = module
        self._functions = frozenset(exported_functions(module, Budget()))
        if not self._functions & {"filter", "process"}:
            raise ModuleError(
                "the module exports neither `filter` nor `process`, which fog and cloud call"
            )
        self._parameters = dict(parameters)
        self._guests: list[PureGuest] = []
        self.traps = 0

    def has(self, function: str) -> bool:
        """Whether the guest exports a function."""
        return function in self._functions

    def place(self, _node: str) -> int:
        """A new instance; its number."""
        guest = PureGuest(self._module)
        for number, value in self._parameters.items():
            guest.call("param_set", number, value)
        self._guests.append(guest)
        return len(self._guests) - 1

    def anomaly(
        self, places: Sequence[int], raws: Sequence[int], times_s: Sequence[int]
    ) -> list[int]:
        """Bits of each reading; a guest that judges none has negative ones, error codes, as out
        of range."""
        if not self.has("anomaly"):
            return [_RANGE if raw < 0 else 0 for raw in raws]
        found = []
        for place, raw, t_s in zip(places, raws, times_s, strict=True):
            bits = self._call(place, "anomaly", raw, _signed(t_s))
            found.append(_RANGE if bits is None else bits)
        return found

    def filter(
        self, places: Sequence[int], raws: Sequence[int], calibration: tuple[int, ...]
    ) -> list[int | None]:
        """Result of each reading; with a calibration that of `process`.  None: it was stopped."""
        name = "process" if calibration else "filter"
        return [
            self._call(place, name, raw, *calibration)
            for place, raw in zip(places, raws, strict=True)
        ]

    def state(self, place: int) -> Any:
        """What the guest says of its filter, as `look_back` takes it; None: nothing."""
        if not self.has("filter_state"):
            return None
        return self._call(place, "filter_state")

    def resume(self, place: int, state: Any, last: Sequence[Sequence[int]]) -> None:
        """Put a fresh instance into the state that it had: give it its last readings again."""
        raws = [int(raw) for raw, _ in last]
        bits = self.anomaly([place] * len(raws), raws, [int(t_s) for _, t_s in last])
        for raw, found in zip(raws, bits, strict=True):
            if not found & 9:
                if self.has("look_back"):
                    self._call(place, "look_back", raw)
                elif self.has("filter"):
                    self._call(place, "filter", raw)
        if state is not None:
            self._call(place, "look_back", state)

    def _call(self, place: int, name: str, *arguments: int) -> int | None:
        try:
            result = self._guests[place].call(name, *arguments)
        except Trap:
            self.traps += 1
            return None
        assert isinstance(result, int)
        return result

    def close(self) -> None:
        """Release the instances."""
        for guest in self._guests:
            guest.close()


def _signed(t_s: int) -> int:
    """The lowest 32 bits, as the guest's `int` has them."""
    return (t_s + 2**31) % 2**32 - 2**31
