"""Instances of a module that are given nothing to call, in numbered places: fog and cloud.

They are called by wasmtime's unchecked C function, through ctypes: a microsecond a call, and
nothing to compile at the start.  Arguments and result of a call are packed by `struct`.

Fuel is what bounds a call.  There is no host to wait for, so a million instructions are over within
3 ms, or 30 ms if all of them ask for memory (measured).  A call therefore keeps the interpreter to
itself: to give it up would cost 5 ms wherever another thread is busy, as Python lets one run for so
long.  Only with a budget of more than `KEPT_INSTRUCTIONS` a call gives it up, and only then can the
deadline pass.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import IMPORT_MODULE, IMPORTS, Call, TrapKind
from levada.guest.errors import GuestError, Trap
from levada.guest.limits import FOG, Budget
from levada.guest.module.tiers import CONSTRUCTORS
from levada.guest.wasm import c_api
from levada.guest.wasm.engine import compile_module, engine
from levada.guest.wasm.linking import (
    function_type,
    limited_store,
    memory_bytes,
    not_instantiated,
    require_known_imports,
)
from levada.guest.wasm.traps import backtrace, reason, trap_kind
from levada.guest.wasm.watchdog import TICK_MS, watchdog

__all__ = ["OTHER_IMAGE", "Calls", "Places", "Signature", "WasmPlaces"]

KEPT_INSTRUCTIONS: Final = 1_000_000
"""Up to so many, a call keeps the interpreter."""
MOST_ARGUMENTS: Final = 4
OTHER_IMAGE: Final = "the image is that of another guest"
NO_INTEGER: Final = "its result is no integer of 32 bits"
# What rounds to none of 32 bits.
BELOW_I32: Final = -2147483648.5
ABOVE_I32: Final = 2147483647.5

_VALUE_BYTES: Final = c_api.SIZES["wasmtime_val_raw_t"]
_FORMATS: Final = {"i32": "i", "f32": "f", "f64": "d"}
_EVER: Final = 1 << 62
"""Ticks that never pass."""


class Signature:
    """Types of a function that a bank can call."""

    def __init__(self, parameters: str, result: str) -> None:
        """The types as formats of `struct`."""
        self.parameters = len(parameters)
        """How many."""
        self.is_integer = {*parameters, result} == {"i"}
        sizes = [Struct(f"={letter}").size for letter in parameters]
        packed = [f"{c}{_VALUE_BYTES - n}x" for c, n in zip(parameters, sizes, strict=True)]
        self.put: Callable[..., None] = Struct("=" + "".join(packed)).pack_into
        """Write the arguments into a buffer, as `wasmtime_val_raw_t`."""
        self.get = Struct(f"={result}").unpack_from
        """Read the result from there."""
        self.rounds = result != "i"
        self.values = max(self.parameters, 1)
        """The larger of the numbers of arguments and of results."""

    @classmethod
    def of(cls, ty: wasmtime.FuncType) -> Signature | None:
        """Of a function of at most four numbers of 32 bits or floats that returns one; else
        None."""
        letters = [_FORMATS.get(str(kind), "") for kind in (*ty.params, *ty.results)]
        if len(ty.results) != 1 or len(ty.params) > MOST_ARGUMENTS or "" in letters:
            return None
        return cls("".join(letters[:-1]), letters[-1])


class Calls:
    """A batch under way: `nodes` [n], `arguments` [n, k], `results` [n]."""

    def __init__(self, nodes: npt.NDArray[np.int32], arguments: npt.NDArray[np.int32]) -> None:
        self.nodes = nodes
        self.arguments = arguments
        self.results = np.zeros(nodes.size, dtype=np.int32)
        self.done = 0

    @cached_property
    def lists(self) -> tuple[list[int], list[list[int]]]:
        """Nodes and arguments as Python has them."""
        return self.nodes.tolist(), self.arguments.tolist()


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


@dataclass(slots=True)
class _Instance:
    store: wasmtime.Store
    context: int
    functions: dict[str, wasmtime.Func]
    addresses: dict[str, int]
    memory: object


class WasmPlaces:
    """The module in Wasmtime; `functions` are the names that are called."""

    def __init__(self, module: bytes, nodes: int, budget: Budget, functions: Iterable[str]) -> None:
        self.busy = False
        self._budget = budget
        self._names = tuple(functions)
        self._bytes = bytes(module)
        self._module = compile_module(self._bytes, budget)
        require_known_imports(self._module)
        self._instances: list[_Instance | None] = [None] * nodes
        self._denied: list[int] = []
        self._deny = c_api.denying_callback(self._denied.append)
        self._linker = self._link()
        self._values = ctypes.create_string_buffer(MOST_ARGUMENTS * _VALUE_BYTES)
        self._trap = ctypes.c_void_p()
        self._guarded = budget.instructions > KEPT_INSTRUCTIONS
        self._ticks = -(-budget.deadline_ms // TICK_MS) + 1 if self._guarded else _EVER
        watchdog.watch(self)

    def _link(self) -> wasmtime.Linker:
        """Every import of the ABI as a function that stops the guest."""
        linker = wasmtime.Linker(engine())
        for name, (params, results) in IMPORTS.items():
            ty = function_type(params, results)
            number = int(Call[name.upper()])
            c_api.define_unchecked(linker, IMPORT_MODULE, name, ty, self._deny, number)
        return linker

    def alive(self, node: int) -> bool:
        """See `Places`."""
        return self._instances[node] is not None

    def renew(self, node: int) -> None:
        """See `Places`."""
        self._drop(node)
        store = limited_store(self._budget)
        self._enter()
        try:
            self._instances[node] = self._instantiate(store)
        except BaseException:
            store.close()
            raise
        finally:
            self.busy = False

    def _instantiate(self, store: wasmtime.Store) -> _Instance:
        store.set_fuel(self._budget.instructions)
        store.set_epoch_deadline(self._ticks)
        try:
            exports = dict(self._linker.instantiate(store, self._module).exports(store).items())
        except wasmtime.Trap as error:
            raise self._stopped("start", error) from None
        except wasmtime.WasmtimeError as error:
            denied = bool(self._denied)
            raise (self._stopped("start", error) if denied else not_instantiated(error)) from None
        for name in CONSTRUCTORS:
            constructor = exports.get(name)
            if isinstance(constructor, wasmtime.Func):
                store.set_fuel(self._budget.instructions)
                try:
                    constructor(store)
                except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
                    raise self._stopped(name, error) from None
                break
        functions = {n: f for n in self._names if isinstance(f := exports[n], wasmtime.Func)}
        return _Instance(
            store,
            c_api.context_address(store),
            functions,
            {name: c_api.function_address(function) for name, function in functions.items()},
            exports.get("memory"),
        )

    def _drop(self, node: int) -> None:
        instance = self._instances[node]
        if instance is not None:
            self._instances[node] = None
            instance.store.close()

    def _enter(self) -> None:
        if self.busy:
            raise GuestError("a guest of this bank is running: its calls take turns")
        self.busy = True
        if self._guarded and not watchdog.awake:
            watchdog.wake()

    def call(self, name: str, signature: Signature, calls: Calls) -> Trap | None:
        """See `Places`."""
        self._enter()
        try:
            begin, results = calls.done, list[int]()
            trap = self._call(name, signature, calls, results)
            calls.done = begin + len(results)
            calls.results[begin : calls.done] = results
            if trap is not None:
                self._drop(int(calls.nodes[calls.done]))
            return trap
        finally:
            self.busy = False

    def _call(
        self, name: str, signature: Signature, calls: Calls, results: list[int]
    ) -> Trap | None:
        """Add the results to `results`, up to the first call that has none."""
        nodes, arguments = calls.lists
        instances, fuel, guarded = self._instances, self._budget.instructions, self._guarded
        put, get, rounds = signature.put, signature.get, signature.rounds
        raw, trap = self._values, self._trap
        raw_at, trap_at = ctypes.addressof(raw), ctypes.addressof(trap)
        enter = c_api.call_giving_up if guarded else c_api.call_keeping
        for index in range(calls.done, len(nodes)):
            instance = instances[nodes[index]]
            if instance is None:
                return None
            context = instance.context
            c_api.set_fuel(context, fuel)
            if guarded:
                c_api.set_deadline(context, self._ticks)
            put(raw, 0, *arguments[index])
            error = enter(context, instance.addresses[name], raw_at, signature.values, trap_at)
            if error or trap.value:
                return self._stopped(name, self._take_error(error))
            result = get(raw)[0]
            if rounds:
                result = _rounded(result)
                if result is None:
                    return Trap(TrapKind.OTHER, name, NO_INTEGER)
            results.append(result)
        return None

    def _take_error(self, error: int | None) -> Exception:
        """What stopped a call, as wasmtime-py's exception."""
        if error:
            return c_api.error_at(error)
        trap = c_api.trap_at(self._trap.value or 0)
        self._trap.value = None
        return trap

    def _stopped(self, function: str, error: Exception) -> Trap:
        if self._denied:
            imported = Call(self._denied.pop()).name.lower()
            self._denied.clear()
            detail = f"profile {FOG.name!r} does not allow {imported}"
            return Trap(TrapKind.DENIED, function, detail, backtrace(error, self._bytes))
        kind = trap_kind(error)
        return Trap(
            kind, function, reason(kind, self._budget, error), backtrace(error, self._bytes)
        )

    def image(self, node: int) -> bytes:
        """Those words of the memory that are not 0: a page is nearly empty."""
        words = self._words(node)
        where = np.flatnonzero(words != 0)  # several times as fast as of the words themselves
        head = np.array([words.size, where.size], dtype=np.uint32)
        return head.tobytes() + where.astype(np.uint32).tobytes() + words[where].tobytes()

    def restore(self, node: int, image: bytes) -> None:
        """See `Places`."""
        words = self._words(node)
        head = np.frombuffer(image, dtype=np.uint32, count=min(2, len(image) // 4))
        if head.size < 2 or head[0] != words.size or len(image) != 8 + 12 * int(head[1]):
            raise GuestError(OTHER_IMAGE)
        where = np.frombuffer(image, dtype=np.uint32, offset=8, count=int(head[1]))
        values = np.frombuffer(image[8 + 4 * where.size :], dtype=np.uint64)
        if where.size and where.max() >= words.size:
            raise GuestError(OTHER_IMAGE)
        words[:] = 0
        words[where] = values

    def _words(self, node: int) -> npt.NDArray[np.uint64]:
        instance = self._instances[node]
        assert instance is not None
        return memory_bytes(instance.memory, instance.store).view(np.uint64)

    def close(self) -> None:
        """See `Places`."""
        watchdog.forget(self)
        for node in range(len(self._instances)):
            self._drop(node)
        self._linker.close()


def _rounded(value: float) -> int | None:
    """The nearest integer, halves away from 0; None if it is no i32."""
    if not BELOW_I32 < value < ABOVE_I32:
        return None
    size = abs(value)
    nearest = int(size) + (size - int(size) >= 0.5)
    return nearest if value > 0 else -nearest
