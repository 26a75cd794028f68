"""Instances of one module, each in a store of its own, with the host state in arrays.

What `levada.guest.wasm.fleet` builds on: linking (only the ABI's imports, each denied or not by the
profile), budgets, calls, and traps as typed errors.  There are two ways for a guest to reach its
host: the fast path (native callbacks) and the ordinary one (Python callbacks); both end in the
functions of `levada.guest.fast.hostcalls`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from weakref import ref

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import IMPORT_MODULE, IMPORTS, Call, TrapKind
from levada.guest.errors import GuestError, LimitError, Trap
from levada.guest.fast import fastpath, hostcalls, native
from levada.guest.fast.fastpath import PathName
from levada.guest.limits import Budget, Profile
from levada.guest.module.tiers import CONSTRUCTORS
from levada.guest.topic import ALIAS, resolve_topic
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

__all__ = ["Inside", "Instances"]

_WITH_MEMORY: Final = ("mqtt_publish", "wasm_log")


class _GuestStopped(Exception):  # noqa: N818 - never leaves this module
    """A host call stops the guest; the row says why."""


class Inside(NamedTuple):
    """What a guest holds between two of its runs, or where it was stopped."""

    memory: bytes
    globals: dict[str, int | float]
    """Value of those that the module exports, by name."""


@dataclass(slots=True)
class _Instance:
    store: wasmtime.Store
    functions: dict[str, wasmtime.Func]
    memory: wasmtime.Memory | None
    globals: dict[str, wasmtime.Global]

    def look(self) -> Inside:
        """What it holds now."""
        memory = b"" if self.memory is None else bytes(self.memory.read(self.store))
        values = {name: item.value(self.store) for name, item in self.globals.items()}
        return Inside(memory, values)


class Instances:
    """`n` places for an instance of one module; a place is empty until `instantiate`."""

    def __init__(
        self,
        module: bytes,
        names: Sequence[str],
        *,
        budget: Budget,
        profile: Profile,
        tape: bool,
        path: PathName,
    ) -> None:
        self.busy = False
        self.names = tuple(names)
        self.path = path
        self.on_delay: Callable[[], None] | None = None
        """Called by `delay_ms` on the ordinary path: command guests yield here."""
        self.traps: dict[int, Trap] = {}
        self.looks = False
        """Whether what guests held when they were stopped is kept, too."""
        self._stopped_inside: dict[int, Inside] = {}
        self._budget = budget
        self._profile = profile
        self._bytes = bytes(module)
        self._module = compile_module(self._bytes, budget)
        require_known_imports(self._module)
        if len(profile.pins) > hostcalls.MAX_PINS:
            raise LimitError(
                f"profile {profile.name!r}: {len(profile.pins)} pins, "
                f"at most {hostcalls.MAX_PINS} allowed"
            )
        self._instances: dict[int, _Instance] = {}
        self._current = 0
        self._native = fastpath.require() if path == "fast" else None
        self._make_rows(tape)
        self._linker = self._link(0)
        watchdog.watch(self)

    # Arrays

    def _make_rows(self, tape: bool) -> None:
        budget, n = self._budget, len(self.names)
        self._room = (
            min(
                13 * budget.host_calls + budget.log_bytes + budget.publish_bytes,
                (13 + hostcalls.MAX_TOPIC_BYTES + hostcalls.MAX_MESSAGE_BYTES) * budget.host_calls,
            )
            + 64  # BOOT, STEP, RETURN, PARAM_SET, TRAP
        )
        self.rows = np.zeros((n, hostcalls.ROW), dtype=np.int64)
        self._prefixes = [
            np.frombuffer(bytearray(_prefixes(self._profile, name)), dtype=np.uint8)
            for name in self.names
        ]
        self._headers = np.zeros((n, native.HEADER), dtype=np.int64)
        self._headers[:, native.NAMES :] = np.frombuffer(native.HEADER_NAMES, dtype=np.int64)
        self._headers[:, native.CURRENT] = self.rows.ctypes.data + 8 * hostcalls.ROW * np.arange(n)
        self.address = self._headers.ctypes.data
        """Of the header that native code works with."""
        rows, pins = self.rows, self._profile.pins
        rows[:, hostcalls.WAKE] = hostcalls.NEVER_MS
        rows[:, hostcalls.ONLINE] = 1
        rows[:, hostcalls.CALL_LIMIT] = budget.host_calls
        rows[:, hostcalls.LOG_LIMIT] = budget.log_bytes
        rows[:, hostcalls.PUBLISH_LIMIT] = budget.publish_bytes
        rows[:, hostcalls.ALLOWED] = sum(
            1 << Call[name.upper()] for name in self._profile.imports if name in IMPORTS
        )
        rows[:, hostcalls.FUEL] = budget.instructions
        rows[:, hostcalls.TICKS] = -(-budget.deadline_ms // TICK_MS) + 1
        rows[:, hostcalls.TAPING] = tape
        rows[:, hostcalls.PIN_COUNT] = len(pins)
        rows[:, hostcalls.PINS : hostcalls.PINS + len(pins)] = pins
        rows[:, hostcalls.TAPE_ROOM] = self._room
        rows[:, hostcalls.PREFIX_ADDRESS] = [p.ctypes.data for p in self._prefixes]
        rows[:, hostcalls.PREFIX_LENGTH] = [p.size for p in self._prefixes]
        self.tapes = np.empty((n, 0), dtype=np.uint8)
        self.grow_tapes(self._room + (16 * 1024 if tape else 0))

    def grow_tapes(self, capacity: int = 0) -> None:
        """Make room for another run of every guest."""
        capacity = max(capacity, 2 * self.tapes.shape[1])
        tapes = np.empty((len(self.names), capacity), dtype=np.uint8)
        for zone, used in enumerate(self.rows[:, hostcalls.POSITION]):
            tapes[zone, :used] = self.tapes[zone, :used]
        self.tapes = tapes
        self.rows[:, hostcalls.TAPE_CAPACITY] = capacity
        self.rows[:, hostcalls.TAPE_ADDRESS] = tapes.ctypes.data + capacity * np.arange(
            len(self.names)
        )

    def tape_for_run(self, zone: int) -> npt.NDArray[np.uint8]:
        """The tape buffer of a guest, with room for one run."""
        if self.rows[zone, hostcalls.POSITION] + self._room > self.tapes.shape[1]:
            self.grow_tapes()
        buffer: npt.NDArray[np.uint8] = self.tapes[zone]
        return buffer

    # Linking

    def _link(self, zone: int) -> wasmtime.Linker:
        """The host calls of one guest; on the ordinary path they find it by `select`."""
        linker = wasmtime.Linker(engine())
        for name, (params, results) in IMPORTS.items():
            ty = function_type(params, results)
            if self._native is not None:
                self._native.define(linker, name, ty, self.address + 8 * native.HEADER * zone)
            else:
                callback = _callback(ref(self), name, bool(results))
                linker.define_func(IMPORT_MODULE, name, ty, callback, access_caller=True)
        return linker

    # Instances

    def enter(self) -> None:
        """Begin work that may run a guest; GuestError if one is running already."""
        if self.busy:
            raise GuestError("a guest of this host is running: hosts are not re-entrant")
        self.busy = True
        if not watchdog.awake:
            watchdog.wake()

    def exports(self, zone: int) -> Mapping[str, wasmtime.Func]:
        """The functions of an instance; raises its Trap, or GuestError if there is none."""
        instance = self._instances.get(zone)
        if instance is None:
            raise self.traps.get(zone) or GuestError(f"guest {self.names[zone]!r} is not running")
        return instance.functions

    def instantiate(self, zone: int) -> None:
        """A clean instance in a new store; its start function and constructors have run.

        Raises Trap, or LimitError if the module asks for more memory or tables than allowed.
        """
        self.drop(zone)
        self.traps.pop(zone, None)
        self._stopped_inside.pop(zone, None)
        row = self.rows[zone]
        row[hostcalls.TRAP] = row[hostcalls.TRAP_CALL] = 0
        row[hostcalls.WAKE] = hostcalls.NEVER_MS
        row[hostcalls.OUTPUTS : hostcalls.OUTPUTS + hostcalls.MAX_PINS] = 0
        row[hostcalls.EVER_SET] = row[hostcalls.HAS_MEMORY] = row[hostcalls.CONTEXT] = 0
        store = limited_store(self._budget)
        self.renew(zone, store)
        self.select(zone)
        try:
            linker = self._linker if self._native is None else self._link(zone)
            instance = linker.instantiate(store, self._module)
        except (wasmtime.Trap, _GuestStopped) as error:
            store.close()
            raise self.stopped(zone, "start", error) from None
        except wasmtime.WasmtimeError as error:
            store.close()
            if row[hostcalls.TRAP]:
                raise self.stopped(zone, "start", error) from None
            self.stopped(zone, "start", error)
            raise not_instantiated(error) from None
        exports = dict(instance.exports(store).items())
        functions = {n: item for n, item in exports.items() if isinstance(item, wasmtime.Func)}
        memory = exports.get("memory")
        self._instances[zone] = _Instance(
            store,
            functions,
            memory if isinstance(memory, wasmtime.Memory) else None,
            {n: item for n, item in exports.items() if isinstance(item, wasmtime.Global)},
        )
        if self._native is not None:
            self._native.bind(row, store, functions.get("step"))
        for constructor in CONSTRUCTORS:
            if constructor in functions:
                self.call(zone, constructor)
                break

    def drop(self, zone: int) -> None:
        """Release an instance."""
        instance = self._instances.pop(zone, None)
        if instance is not None:
            instance.store.close()
            self.rows[zone, hostcalls.CONTEXT] = 0

    def inside(self, zone: int) -> Inside | None:
        """What a guest holds; of a stopped one if `looks` was set before, None if it is unknown."""
        instance = self._instances.get(zone)
        return self._stopped_inside.get(zone) if instance is None else instance.look()

    def select(self, zone: int) -> None:
        """Host calls are for this guest now."""
        self._current = zone

    def renew(self, zone: int, store: wasmtime.Store | None = None) -> None:
        """Fuel and deadline for one run."""
        if store is None:
            store = self._instances[zone].store
        store.set_fuel(self._budget.instructions)
        store.set_epoch_deadline(int(self.rows[zone, hostcalls.TICKS]))

    def call(self, zone: int, name: str, *arguments: Any) -> Any:
        """Call an export with a fresh budget; a stop of the guest is raised as Trap."""
        function = self.exports(zone)[name]
        store = self._instances[zone].store
        hostcalls.renew_budget(self.rows[zone])
        self.renew(zone, store)
        self.select(zone)
        try:
            result = function(store, *arguments)
        except (wasmtime.Trap, wasmtime.WasmtimeError, _GuestStopped) as error:
            self.count_instructions(zone)
            raise self.stopped(zone, name, error) from None
        self.count_instructions(zone)
        return result

    def count_instructions(self, zone: int) -> None:
        """Note what the run used, as the fast path does."""
        instance = self._instances.get(zone)
        if instance is not None:
            left = instance.store.get_fuel()
            self.rows[zone, hostcalls.USED] = self._budget.instructions - left

    def stopped(self, zone: int, function: str, error: BaseException | None) -> Trap:
        """Put a guest that was stopped into its safe state; the error that says so."""
        row = self.rows[zone]
        kind = TrapKind(int(row[hostcalls.TRAP]))
        if kind == TrapKind.NONE:
            kind = trap_kind(error)
        hostcalls.stop(row, self.tape_for_run(zone), int(kind))
        return self.keep_trap(zone, function, kind, error)

    def keep_trap(
        self, zone: int, function: str, kind: TrapKind, error: BaseException | None
    ) -> Trap:
        """Remember why a guest was stopped and release its instance."""
        detail = self._detail(zone, kind, function, error)
        trap = Trap(kind, function, detail, backtrace(error, self._bytes))
        self.traps[zone] = trap
        if self.looks and zone in self._instances:
            self._stopped_inside[zone] = self._instances[zone].look()
        self.drop(zone)
        return trap

    def take_native_error(self, zone: int) -> Exception | None:
        """What stopped a step on the fast path."""
        return self._native.take_error(self.rows[zone]) if self._native is not None else None

    def _detail(self, zone: int, kind: TrapKind, function: str, error: BaseException | None) -> str:
        row, budget = self.rows[zone], self._budget
        imported = Call(int(row[hostcalls.TRAP_CALL])).name.lower()
        match kind:
            case TrapKind.DENIED:
                return f"profile {self._profile.name!r} does not allow {imported}"
            case TrapKind.HOST_CALLS:
                return f"more than {budget.host_calls} host calls, the last one {imported}"
            case TrapKind.POINTER:
                return f"{imported}: string outside memory or without an end"
            case TrapKind.LOG_BYTES:
                return f"{imported}: more than {budget.log_bytes} bytes of log"
            case TrapKind.PUBLISH_BYTES:
                return f"{imported}: more than {budget.publish_bytes} bytes published"
            case TrapKind.GUEST_FAULT:
                return f"{function} returned {row[hostcalls.RESULT]}"
            case _:
                return reason(kind, budget, error)

    def close(self) -> None:
        """Release every instance; their outputs are 0."""
        watchdog.forget(self)
        for zone in list(self._instances):
            self.drop(zone)
        self.rows[:, hostcalls.OUTPUTS : hostcalls.OUTPUTS + hostcalls.MAX_PINS] = 0
        self.rows[:, hostcalls.WAKE] = hostcalls.NEVER_MS
        self._linker.close()


def _prefixes(profile: Profile, name: str) -> bytes:
    """What a topic of this node may begin with: its own prefix, NUL, that of old binaries."""
    own = f"{profile.topic_prefix}{name}/"
    if "/" in name or resolve_topic(f"{own}x", name, profile.topic_prefix) is None:
        raise GuestError(f"node name {name!r}: not one level of an MQTT topic of at most 64 bytes")
    return f"{own}\0{profile.topic_prefix}{ALIAS}/".encode()


def _callback(owner: ref[Instances], name: str, has_result: bool) -> Callable[..., int | None]:
    """A host call of the ordinary path; it holds its host weakly, as the linker outlives it."""
    function = getattr(hostcalls, name)
    with_memory = name in _WITH_MEMORY
    yields = name == "delay_ms"

    def host_call(caller: wasmtime.Caller, *arguments: int) -> int | None:
        host = owner()
        if host is None:
            raise _GuestStopped
        zone = host._current
        row, tape = host.rows[zone], host.tapes[zone]
        if name == "mqtt_publish":
            result = function(row, tape, _memory(caller), host._prefixes[zone], *arguments)
        elif with_memory:
            result = function(row, tape, _memory(caller), *arguments)
        else:
            result = function(row, tape, *arguments)
        if row[hostcalls.TRAP]:
            raise _GuestStopped
        if yields and host.on_delay is not None:
            host.on_delay()
        return int(result) if has_result else None

    return host_call


def _memory(caller: wasmtime.Caller) -> npt.NDArray[np.uint8]:
    return memory_bytes(caller.get("memory"), caller)
