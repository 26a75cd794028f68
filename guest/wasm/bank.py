"""The guests of a fog or cloud node: one instance a node, called in batches.

    with Bank(module, nodes=100) as bank:
        filtered, traps = bank.call("filter", nodes, readings)

A batch is one function for many nodes, in the order given; a node may occur more than once.  Each
call has the whole budget.  One that is stopped has the result 0 and its TrapKind, its node gets a
fresh instance with the parameters in force, and the batch goes on.  An import of the module that is
called stops the call, too: fog and cloud give a guest nothing to call.

The engine is the module in Wasmtime (`wasm`) or its C source compiled for this computer (`native`),
by the same ABI and with the same results.  `native` cannot stop a guest: only denied imports are
noticed there, so it runs only what is compiled from the source beside the module.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from levada.guest.abi import Call, TrapKind
from levada.guest.errors import AbiError, GuestError, ParameterError, Trap
from levada.guest.lifecycle import Closing
from levada.guest.limits import Budget
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.native_library import SHIPPED_SOURCE, native_library
from levada.guest.wasm.engine import exported_functions
from levada.guest.wasm.parameters import check_values, set_values
from levada.guest.wasm.places import OTHER_IMAGE, Calls, Places, Signature, WasmPlaces

__all__ = ["Bank", "Batch", "EngineName"]

EngineName = Literal["wasm", "native"]


class Batch(NamedTuple):
    """What a batch of calls gave, by call."""

    results: npt.NDArray[np.int32]
    """0 where the guest was stopped."""
    traps: npt.NDArray[np.uint8]
    """TrapKind of the calls that were stopped, 0 of all others."""


class Bank(Closing):
    """`nodes` places for a guest's functions; an instance is made when its place is first called.

    `info` describes the module, `signatures` the functions that `call` takes.
    """

    def __init__(
        self,
        module: bytes,
        nodes: int,
        *,
        engine: EngineName = "wasm",
        parameters: Mapping[int, int] | None = None,
        budget: Budget = Budget(),  # noqa: B008 - immutable
        source: Path = SHIPPED_SOURCE,
    ) -> None:
        """Raises ModuleError, ParameterError, and BuildError where no native library can be made.

        `parameters` by id hold for all nodes.  `source` is the C file of `native`; the module must
        be the one beside it.
        """
        if nodes < 1:
            raise GuestError(f"{nodes} nodes: must be 1 or more")
        self.nodes = nodes
        self.engine: EngineName = engine
        self.info: ModuleInfo = inspect(bytes(module), budget=budget).require()
        self.signatures = _signatures(module, budget)
        self.traps: dict[int, Trap] = {}
        """Why the guest of a node was stopped last."""
        check_values(self.info, parameters or {}, {})
        self._parameters = [dict(parameters or {}) for _ in range(nodes)]
        self._places: Places
        if engine == "native":
            self.signatures = {n: s for n, s in self.signatures.items() if s.is_integer}
            self._places = _NativePlaces(bytes(module), nodes, source)
        else:
            self._places = WasmPlaces(bytes(module), nodes, budget, self.signatures)
        try:
            self._renew(0)
        except BaseException:
            self.close()
            raise

    def call(
        self, name: str, nodes: npt.ArrayLike, arguments: npt.ArrayLike | None = None
    ) -> Batch:
        """Results of a function: `nodes` [n], `arguments` [n, k] or [n] for one parameter, int32.

        A result of floating point is rounded to the nearest integer, halves away from 0; one that
        is no i32 counts as stopped (OTHER).  Raises AbiError if there is no such function.
        """
        signature = self.signatures.get(name)
        if signature is None:
            known = ", ".join(sorted(self.signatures)) or "none"
            raise AbiError(f"no function {name!r} for fog and cloud; there are {known}")
        calls = Calls(*self._checked(name, signature.parameters, nodes, arguments))
        traps = np.zeros(calls.nodes.size, dtype=np.uint8)
        while True:
            trap = self._places.call(name, signature, calls)
            if calls.done == calls.nodes.size:
                return Batch(calls.results, traps)
            node = int(calls.nodes[calls.done])
            if trap is None:
                try:
                    self._renew(node)
                    continue
                except Trap as error:
                    trap = error
            self.traps[node] = trap
            traps[calls.done] = trap.kind
            calls.results[calls.done] = 0
            calls.done += 1

    def set_parameters(self, node: int, values: Mapping[int, int]) -> None:
        """Set parameters of a node by id; they stay in force for a fresh instance.

        ParameterError if they break a range or a rule, and nothing is changed.
        """
        check_values(self.info, values, self._parameters[node])
        if not self._places.alive(node):
            self._renew(node)
        set_values(self.info, partial(self._set, node), values)
        self._parameters[node].update(values)

    def reset(self, node: int) -> None:
        """Give a node a fresh instance, which remembers nothing but its parameters."""
        self._renew(node)

    def image(self, node: int) -> bytes | None:
        """All that the guest of a node remembers, its parameters included; None if that cannot be
        known, because it keeps some of it outside of its memory.

        It is worth something to a bank of the same module and engine only.
        """
        if self.info.keeps_globals:
            return None
        if not self._places.alive(node):
            self._renew(node)
        return self._places.image(node)

    def restore(self, node: int, image: bytes) -> None:
        """Have the guest of a node remember what `image` says, in a fresh instance.

        Raises GuestError if that is the image of another guest.
        """
        self._renew(node)
        self._places.restore(node, image)

    def close(self) -> None:
        """Release every instance."""
        self._places.close()

    def _renew(self, node: int) -> None:
        self._places.renew(node)
        set_values(self.info, partial(self._set, node), self._parameters[node])

    def _set(self, node: int, parameter: int, value: int) -> int:
        signature = self.signatures.get("param_set")
        if signature is None:
            raise ParameterError(f"parameter {parameter}: the guest has none")
        calls = Calls(
            np.array([node], dtype=np.int32), np.array([[parameter, value]], dtype=np.int32)
        )
        trap = self._places.call("param_set", signature, calls)
        if trap is not None:
            raise trap
        return int(calls.results[0])

    def _checked(
        self, name: str, parameters: int, nodes: npt.ArrayLike, arguments: npt.ArrayLike | None
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        places = _int32("nodes", nodes)
        none = np.zeros((places.size, 0), dtype=np.int32)
        given = none if arguments is None else _int32("arguments", arguments)
        if given.ndim == 1:
            given = given.reshape(-1, 1)
        if places.ndim != 1 or given.shape != (places.size, parameters):
            raise GuestError(
                f"{name}: nodes of shape {places.shape} with arguments of shape {given.shape}: "
                f"must be (n,) and (n, {parameters})"
            )
        if places.size and not 0 <= places.min() <= places.max() < self.nodes:
            raise GuestError(f"{name}: nodes must be from 0 to {self.nodes - 1}")
        return places, given


class _NativePlaces:
    def __init__(self, module: bytes, nodes: int, source: Path) -> None:
        beside = source.with_suffix(".wasm")
        if not beside.is_file() or beside.read_bytes() != module:
            raise GuestError(
                f"engine native: the module is not {beside}, so {source.name} is not its source"
            )
        self._library = native_library(source)
        self._images = np.zeros((nodes, self._library.fresh.size), dtype=np.uint8)
        self._alive = np.zeros(nodes, dtype=np.bool_)

    def alive(self, node: int) -> bool:
        return bool(self._alive[node])

    def renew(self, node: int) -> None:
        self._images[node] = self._library.fresh
        self._alive[node] = True

    def call(self, name: str, signature: Signature, calls: Calls) -> Trap | None:
        empty = np.flatnonzero(~self._alive[calls.nodes[calls.done :]])
        end = calls.done + int(empty[0]) if empty.size else calls.nodes.size
        calls.done, denied = self._library.call(
            name, self._images, calls.nodes[:end], calls.arguments, calls.results, calls.done
        )
        if not denied:
            return None
        self._alive[calls.nodes[calls.done]] = False
        imported = Call(denied).name.lower()
        return Trap(TrapKind.DENIED, name, f"engine native has no {imported}")

    def image(self, node: int) -> bytes:
        image: bytes = self._images[node].tobytes()
        return image

    def restore(self, node: int, image: bytes) -> None:
        if len(image) != self._images.shape[1]:
            raise GuestError(OTHER_IMAGE)
        self._images[node] = np.frombuffer(image, dtype=np.uint8)

    def close(self) -> None:
        self._alive[:] = False


def _signatures(module: bytes, budget: Budget) -> dict[str, Signature]:
    """The functions that a bank can call."""
    found = {name: Signature.of(ty) for name, ty in exported_functions(module, budget).items()}
    return {name: signature for name, signature in found.items() if signature is not None}


def _int32(what: str, values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    array = np.ascontiguousarray(values)
    if array.dtype == np.int32:
        return array
    converted = array.astype(np.int32) if array.dtype.kind in "iu" else np.zeros(0, dtype=np.int32)
    if not np.array_equal(converted, array):
        raise GuestError(f"{what}: must be integers of 32 bits")
    return converted
