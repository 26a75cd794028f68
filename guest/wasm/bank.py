"""The guests of a fog or cloud node: one instance a node, called in batches without Python.

    with Bank(module, nodes=100) as bank:
        filtered, traps = bank.call("filter", nodes, readings)

A batch is one function for many nodes, in the order given; a node may occur more than once.  Each
call has the whole budget.  One that is stopped has the result 0 and its TrapKind, its node gets a
fresh instance with the parameters in force, and the batch goes on.

The engine is the module in Wasmtime (`wasm`) or its C source compiled for this computer (`native`),
by the same ABI and with the same results.  `native` cannot stop a guest: only denied imports are
noticed there, so it runs only what is compiled from the source beside the module.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from levada.guest.abi import Call, TrapKind
from levada.guest.errors import AbiError, GuestError, ParameterError, Trap
from levada.guest.fast import fastpath, native
from levada.guest.fast.fastpath import PathName
from levada.guest.lifecycle import Closing
from levada.guest.limits import FOG, Budget, Profile
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.native_library import SHIPPED_SOURCE, native_library
from levada.guest.wasm.instances import Instances
from levada.guest.wasm.parameters import check_values, set_values
from levada.guest.wasm.pure import exported_functions

__all__ = ["Bank", "Batch", "EngineName"]

EngineName = Literal["wasm", "native"]
KINDS: Final = {"i32": native.I32, "f32": native.F32, "f64": native.F64}
NO_INTEGER: Final = "its result is no integer of 32 bits"
OTHER_IMAGE: Final = "the image is that of another guest"


class Batch(NamedTuple):
    """What a batch of calls gave, by call."""

    results: npt.NDArray[np.int32]
    """0 where the guest was stopped."""
    traps: npt.NDArray[np.uint8]
    """TrapKind of the calls that were stopped, 0 of all others."""


class Signature(NamedTuple):
    """Types of a function that a bank can call."""

    kinds: npt.NDArray[np.int64]
    """Of its parameters, and of its result last."""

    @property
    def parameters(self) -> int:
        """How many."""
        return self.kinds.size - 1


class Places(Protocol):
    """Instances of a guest in numbered places, by one engine."""

    def alive(self, node: int) -> bool:
        """Whether there is an instance."""

    def renew(self, node: int) -> None:
        """Make a fresh instance; Trap or LimitError if its constructors do not let it."""

    def call(self, name: str, signature: Signature, calls: Calls) -> Trap | None:
        """Make the calls from `calls.done` on, as far as that goes.

        At the end `done` is their number, or the index of a call whose node has no instance (None
        is returned) or was stopped (and has none now).
        """

    def image(self, node: int) -> bytes:
        """What an instance remembers."""

    def restore(self, node: int, image: bytes) -> None:
        """Have an instance remember what another one of the same kind did."""

    def close(self) -> None:
        """Release all of them."""


class Calls:
    """A batch under way."""

    def __init__(self, nodes: npt.NDArray[np.int32], arguments: npt.NDArray[np.int32]) -> None:
        self.nodes = nodes
        self.arguments = arguments
        self.results = np.zeros(nodes.size, dtype=np.int32)
        self.done = 0


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
        profile: Profile = FOG,
        path: PathName | None = None,
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
            self.signatures = {n: s for n, s in self.signatures.items() if not s.kinds.any()}
            self._places = _NativePlaces(bytes(module), nodes, source)
        else:
            self._places = _WasmPlaces(module, nodes, budget, profile, path)
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


class _WasmPlaces:
    def __init__(
        self, module: bytes, nodes: int, budget: Budget, profile: Profile, path: PathName | None
    ) -> None:
        self._host = Instances(
            module,
            [f"place{node}" for node in range(nodes)],
            budget=budget,
            profile=profile,
            tape=False,
            path=path or fastpath.chosen(),
        )
        self._native = fastpath.require() if self._host.path == "fast" else None
        self._functions: dict[str, npt.NDArray[np.int64]] = {}

    def alive(self, node: int) -> bool:
        return self._host.has(node)

    def renew(self, node: int) -> None:
        host = self._host
        host.enter()
        try:
            host.instantiate(node)
        finally:
            host.busy = False
        for name, functions in self._functions.items():
            self._bind(node, name, functions)

    def call(self, name: str, signature: Signature, calls: Calls) -> Trap | None:
        host = self._host
        host.enter()
        try:
            if self._native is None:
                return self._call_ordinary(name, signature, calls)
            calls.done = self._native.calls(
                *(host.address, host.rows, self._handles(name), signature.kinds),
                *(calls.nodes, calls.arguments, calls.results, calls.done),
            )
            if calls.done == calls.nodes.size:
                return None
            node = int(calls.nodes[calls.done])
            if not host.has(node):
                return None
            return host.stopped(node, name, host.take_native_error(node) or GuestError(NO_INTEGER))
        finally:
            host.busy = False

    def _handles(self, name: str) -> npt.NDArray[np.int64]:
        functions = self._functions.get(name)
        if functions is None:
            functions = np.zeros((len(self._host.names), 2), dtype=np.int64)
            self._functions[name] = functions
            for node in range(len(self._host.names)):
                if self._host.has(node):
                    self._bind(node, name, functions)
        return functions

    def _bind(self, node: int, name: str, functions: npt.NDArray[np.int64]) -> None:
        if self._native is not None:
            functions[node] = self._native.function(self._host.exports(node)[name])

    def _call_ordinary(self, name: str, signature: Signature, calls: Calls) -> Trap | None:
        host, kinds = self._host, signature.kinds
        while calls.done < calls.nodes.size:
            node = int(calls.nodes[calls.done])
            if not host.has(node):
                return None
            values = [
                int(value) if kind == native.I32 else float(value)
                for value, kind in zip(calls.arguments[calls.done], kinds[:-1], strict=True)
            ]
            try:
                result = _rounded(host.call(node, name, *values))
            except Trap as trap:
                return trap
            if result is None:
                return host.stopped(node, name, GuestError(NO_INTEGER))
            calls.results[calls.done] = result
            calls.done += 1
        return None

    def image(self, node: int) -> bytes:
        """Those words of the memory that are not 0: a page is nearly empty."""
        words = self._host.memory(node).view(np.uint64)
        where = np.flatnonzero(words != 0)  # several times as fast as of the words themselves
        head = np.array([words.size, where.size], dtype=np.uint32)
        return head.tobytes() + where.astype(np.uint32).tobytes() + words[where].tobytes()

    def restore(self, node: int, image: bytes) -> None:
        words = self._host.memory(node).view(np.uint64)
        head = np.frombuffer(image, dtype=np.uint32, count=min(2, len(image) // 4))
        if head.size < 2 or head[0] != words.size or len(image) != 8 + 12 * int(head[1]):
            raise GuestError(OTHER_IMAGE)
        where = np.frombuffer(image, dtype=np.uint32, offset=8, count=int(head[1]))
        values = np.frombuffer(image[8 + 4 * where.size :], dtype=np.uint64)
        if where.size and where.max() >= words.size:
            raise GuestError(OTHER_IMAGE)
        words[:] = 0
        words[where] = values

    def close(self) -> None:
        self._host.close()


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
    """The functions that take at most four numbers of 32 bits or floats, and return one."""
    found = {}
    for name, ty in exported_functions(module, budget).items():
        kinds = [KINDS.get(str(kind)) for kind in (*ty.params, *ty.results)]
        if len(ty.results) == 1 and len(ty.params) <= native.MOST_ARGUMENTS and None not in kinds:
            found[name] = Signature(np.array(kinds, dtype=np.int64))
    return found


def _rounded(value: float) -> int | None:
    """As the fast path has it: the nearest integer, halves away from 0; None if it is no i32."""
    if isinstance(value, int):
        return value
    if not native.BELOW_I32 < value < native.ABOVE_I32:
        return None
    size = abs(value)
    nearest = int(size) + (size - int(size) >= 0.5)
    return nearest if value > 0 else -nearest


def _int32(what: str, values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    array = np.ascontiguousarray(values)
    if array.dtype == np.int32:
        return array
    converted = array.astype(np.int32) if array.dtype.kind in "iu" else np.zeros(0, dtype=np.int32)
    if not np.array_equal(converted, array):
        raise GuestError(f"{what}: must be integers of 32 bits")
    return converted
