"""Instances of one module, each in a store of its own, with the host state in arrays.

What `levada.guest.wasm.fleet` builds on: linking (only the ABI's imports, each denied or not by the
profile), budgets, calls, and traps as typed errors.  There are two ways for a guest to reach its
host: the fast path (native callbacks) and the ordinary one (Python callbacks); both end in the
functions of `levada.guest.fast.hostcalls`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from weakref import ref

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import IMPORT_MODULE, IMPORTS, Call, TrapKind
from levada.guest.errors import AbiError, GuestError, LimitError, Trap
from levada.guest.fast import fastpath, hostcalls, native
from levada.guest.fast.fastpath import PathName
from levada.guest.limits import Budget, Profile
from levada.guest.module.tiers import CONSTRUCTORS
from levada.guest.topic import ALIAS, resolve_topic
from levada.guest.wasm.engine import PAGE_BYTES, compile_module, engine
from levada.guest.wasm.watchdog import TICK_MS, watchdog

__all__ = ["Instances", "link_problems"]

TABLE_ELEMENTS: Final = 1024
"""Function pointers a guest may have; a 64 KiB module needs far fewer."""

_TYPES: Final = {"i": wasmtime.ValType.i32}
_LETTERS: Final = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}
_WITH_MEMORY: Final = ("mqtt_publish", "wasm_log")
_FRAME: Final = re.compile(r"^ *\d+: +0x[0-9a-f]+ - [^!\n]*!(.*)$", re.MULTILINE)
_LABEL: Final = re.compile(r"^(\d+: )?(wasm trap: )?")
_NO_MEMORY: Final = np.zeros(0, dtype=np.uint8)


class _GuestStopped(Exception):  # noqa: N818 - never leaves this module
    """A host call stops the guest; the row says why."""


@dataclass(slots=True)
class _Instance:
    store: wasmtime.Store
    functions: dict[str, wasmtime.Func]
    memory: wasmtime.Memory | None


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
        self._budget = budget
        self._profile = profile
        self._module = compile_module(bytes(module), budget)
        problems = link_problems(self._module)
        if problems:
            raise AbiError("imports outside the ABI: " + "; ".join(problems))
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
            ty = _function_type(params, results)
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

    def has(self, zone: int) -> bool:
        """Whether there is an instance."""
        return zone in self._instances

    def exports(self, zone: int) -> Mapping[str, wasmtime.Func]:
        """The functions of an instance; raises its Trap, or GuestError if there is none."""
        instance = self._instances.get(zone)
        if instance is None:
            raise self.traps.get(zone) or GuestError(f"guest {self.names[zone]!r} is not running")
        return instance.functions

    def memory(self, zone: int) -> npt.NDArray[np.uint8]:
        """The linear memory of an instance as it is now; empty if it exports none."""
        memory = self._instances[zone].memory
        store = self._instances[zone].store
        if memory is None or memory.data_len(store) == 0:
            return _NO_MEMORY
        return np.frombuffer(memoryview(memory.get_buffer_ptr(store)).cast("B"), dtype=np.uint8)

    def instantiate(self, zone: int) -> None:
        """A clean instance in a new store; its start function and constructors have run.

        Raises Trap, or LimitError if the module asks for more memory or tables than allowed.
        """
        self.drop(zone)
        self.traps.pop(zone, None)
        row = self.rows[zone]
        row[hostcalls.TRAP] = row[hostcalls.TRAP_CALL] = 0
        row[hostcalls.WAKE] = hostcalls.NEVER_MS
        row[hostcalls.OUTPUTS : hostcalls.OUTPUTS + hostcalls.MAX_PINS] = 0
        row[hostcalls.EVER_SET] = row[hostcalls.HAS_MEMORY] = row[hostcalls.CONTEXT] = 0
        store = wasmtime.Store(engine())
        store.set_limits(
            memory_size=self._budget.memory_pages * PAGE_BYTES,
            table_elements=TABLE_ELEMENTS,
            instances=1,
            tables=1,
            memories=1,
        )
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
            message = str(error).strip().splitlines()[0]
            self.stopped(zone, "start", error)
            raise LimitError(f"module cannot be instantiated: {message}") from None
        exports = dict(instance.exports(store).items())
        functions = {n: item for n, item in exports.items() if isinstance(item, wasmtime.Func)}
        memory = exports.get("memory")
        self._instances[zone] = _Instance(
            store, functions, memory if isinstance(memory, wasmtime.Memory) else None
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
            code = error.trap_code if isinstance(error, wasmtime.Trap) else None
            known = code is not None and code.value < len(hostcalls.TRAP_KINDS)
            kind = TrapKind(hostcalls.TRAP_KINDS[code.value]) if known and code else TrapKind.OTHER
        hostcalls.stop(row, self.tape_for_run(zone), int(kind))
        return self.keep_trap(zone, function, kind, error)

    def keep_trap(
        self, zone: int, function: str, kind: TrapKind, error: BaseException | None
    ) -> Trap:
        """Remember why a guest was stopped and release its instance."""
        trap = Trap(kind, function, self._detail(zone, kind, function, error), _backtrace(error))
        self.traps[zone] = trap
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
            case TrapKind.OUT_OF_FUEL:
                return f"more than {budget.instructions} instructions"
            case TrapKind.DEADLINE:
                return f"longer than {budget.deadline_ms} ms"
            case _ if isinstance(error, wasmtime.Trap):
                return _cause(error.message)
            case _:
                return _cause(str(error)) if error is not None else ""

    def close(self) -> None:
        """Release every instance; their outputs are 0."""
        watchdog.forget(self)
        for zone in list(self._instances):
            self.drop(zone)
        self.rows[:, hostcalls.OUTPUTS : hostcalls.OUTPUTS + hostcalls.MAX_PINS] = 0
        self.rows[:, hostcalls.WAKE] = hostcalls.NEVER_MS
        self._linker.close()


@lru_cache
def _function_type(params: str, results: str) -> wasmtime.FuncType:
    return wasmtime.FuncType(
        [_TYPES[letter]() for letter in params], [_TYPES[letter]() for letter in results]
    )


def link_problems(module: wasmtime.Module) -> list[str]:
    """Every import that the ABI does not have: module, name or type."""
    problems = []
    for item in module.imports:
        name = f"{item.module}.{item.name}"
        if not isinstance(item.type, wasmtime.FuncType):
            problems.append(f"{name} is not a function")
        elif item.module != IMPORT_MODULE or item.name not in IMPORTS:
            problems.append(f"{name} {_signature(item.type)} is not in the ABI")
        elif (found := _signature(item.type)) != (wanted := "({}){}".format(*IMPORTS[item.name])):
            problems.append(f"{name} has the type {found} instead of {wanted}")
    return problems


def _signature(ty: wasmtime.FuncType) -> str:
    params, results = (
        "".join(_LETTERS.get(str(v), "?") for v in values) for values in (ty.params, ty.results)
    )
    return f"({params}){results}"


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
    """The guest's memory as it is now; empty if it exports none."""
    memory = caller.get("memory")
    if not isinstance(memory, wasmtime.Memory) or memory.data_len(caller) == 0:
        return _NO_MEMORY
    return np.frombuffer(memoryview(memory.get_buffer_ptr(caller)).cast("B"), dtype=np.uint8)


def _backtrace(error: BaseException | None) -> tuple[str, ...]:
    if isinstance(error, wasmtime.WasmtimeError):  # of a host call: frames are only in its text
        return tuple(_FRAME.findall(str(error)))
    if not isinstance(error, wasmtime.Trap):
        return ()
    return tuple(
        f"{frame.func_name or f'func[{frame.func_index}]'}+0x{frame.func_offset:x}"
        for frame in error.frames
    )


def _cause(message: str) -> str:
    """The last line of wasmtime's chain of contexts, without its number."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return _LABEL.sub("", lines[-1]) if lines else ""
