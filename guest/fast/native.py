"""Host calls and the step loop as native code, for the fast path.

The functions of `levada.guest.fast.hostcalls` behind the C signatures that wasmtime calls, and a
loop over all zones that calls wasmtime.  Names are those of wasmtime's public C API (`wasmtime.h`),
found by the linker when the functions are compiled or loaded; `levada.guest.fast.fastpath` makes
them known before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numba
import numba.extending
import numpy as np
import numpy.typing as npt

from levada.guest.fast.hostcalls import (
    CONTEXT,
    ERROR_POINTER,
    FUEL,
    HAS_MEMORY,
    LEAST_SENSORS,
    MEMORY,
    POSITION,
    PREFIX_ADDRESS,
    PREFIX_LENGTH,
    ROW,
    SENSORS,
    STEP,
    TAPE_ADDRESS,
    TAPE_CAPACITY,
    TAPE_ROOM,
    TICKS,
    TRAP,
    TRAP_OTHER,
    TRAP_POINTER,
    USED,
    WAKE,
    Row,
    begin,
    delay_ms,
    finish,
    get_config,
    inject,
    keep_get,
    keep_set,
    log_int,
    mqtt_publish,
    now_s,
    read_sensor,
    set_output,
    stop,
    uptime_s,
    wasm_log,
)
from levada.guest.fast.jit import KEEPING, njit, njit_owning
from levada.guest.fast.strings import Bytes
from levada.guest.wasm.traps import TRAP_KINDS

__all__ = [
    "C_FUNCTIONS",
    "native_callbacks",
    "native_step",
    "step_zone",
    "tape_of",
]

# Columns of the header of one guest: what native code hands to wasmtime by address.  Each guest has
# its own, so that guests can run on several threads.
CURRENT: Final = 0  # address of the guest's row
ARGUMENTS: Final = 1  # two wasmtime_val_raw_t, 16 bytes each
EXTERN: Final = 5  # wasmtime_extern_t, 32 bytes
TRAP_OUT: Final = 9
CODE: Final = 10
FUEL_LEFT: Final = 11
NAMES: Final = 12  # "memory" and "levada", the text of our traps
HEADER: Final = 14

HEADER_NAMES: Final = b"memory\0\0levada\0\0"

_numba: Any = numba  # its types do not know what native code is made of
_I64: Any = _numba.types.int64
_U8: Any = _numba.types.uint8
_PTR: Any = _numba.types.voidptr
_VOID: Any = _numba.types.void
_carray: Any = _numba.carray
_external: Any = _numba.types.ExternalFunction

C_FUNCTIONS: Final[dict[str, Any]] = {
    "wasmtime_context_set_fuel": _I64(_I64, _I64),
    "wasmtime_context_get_fuel": _I64(_I64, _I64),
    "wasmtime_context_set_epoch_deadline": _VOID(_I64, _I64),
    "wasmtime_func_call_unchecked": _I64(_I64, _I64, _I64, _I64, _I64),
    "wasmtime_trap_new": _I64(_I64, _I64),
    "wasmtime_trap_code": _U8(_I64, _I64),
    "wasmtime_memory_data": _I64(_I64, _I64),
    "wasmtime_memory_data_size": _I64(_I64, _I64),
    "wasmtime_caller_context": _I64(_PTR),
    "wasmtime_caller_export_get": _U8(_PTR, _I64, _I64, _I64),
}

(
    _set_fuel,
    _get_fuel,
    _set_deadline,
    _call,
    _trap_new,
    _trap_code,
    _data,
    _data_size,
    _context,
    _export,
) = (_external(name, signature) for name, signature in C_FUNCTIONS.items())


@_numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    """The integer as a C pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(_PTR))

    return _PTR(_I64), generate


@njit_owning
def _ints(address: int, size: int) -> Row:
    return _carray(_pointer(address), (size,), np.int64)  # type: ignore[no-any-return]


@njit_owning
def _bytes(address: int, size: int) -> Bytes:
    return _carray(_pointer(address), (size,), np.uint8)  # type: ignore[no-any-return]


@njit_owning
def _native_memory(header: Row, z: Row, caller: Any) -> Bytes:
    """The guest's memory as it is now; empty if it exports none."""
    if z[HAS_MEMORY] == 0:
        z[CONTEXT] = _context(caller)
        base = header.ctypes.data
        if not _export(caller, base + 8 * NAMES, 6, base + 8 * EXTERN):
            return _bytes(base, 0)
        if header[EXTERN] & 0xFF != 3:  # WASMTIME_EXTERN_MEMORY
            return _bytes(base, 0)
        for k in range(3):
            z[MEMORY + k] = header[EXTERN + 1 + k]
        z[HAS_MEMORY] = 1
    memory = header[CURRENT] + 8 * MEMORY
    return _bytes(_data(z[CONTEXT], memory), _data_size(z[CONTEXT], memory))


@njit
def _native_trap(header: Row, z: Row) -> int:
    """NULL, or a trap for wasmtime to raise."""
    if z[TRAP] == 0:
        return 0
    return _trap_new(header.ctypes.data + 8 * (NAMES + 1), 6)  # type: ignore[no-any-return]


@njit
def _argument(raw: Any, k: int) -> int:
    """Argument of a host call; values are 16 bytes apart."""
    return np.int64(raw[4 * k])  # type: ignore[return-value]  # compiled: a plain integer


@njit_owning
def _frame(env: Any, args: Any) -> tuple[Any, Row, Any, Bytes]:
    """Of a host call: header and row of the guest that runs, its arguments, and its tape."""
    header = _carray(env, (HEADER,), np.int64)
    z = _ints(header[CURRENT], ROW)
    return header, z, _carray(args, (8,), np.int32), _bytes(z[TAPE_ADDRESS], z[TAPE_CAPACITY])


def native_callbacks() -> dict[str, int]:
    """Addresses of the host calls as `wasmtime_func_unchecked_callback_t`, by import name."""
    callback = _numba.cfunc(_I64(_PTR, _PTR, _PTR, _numba.types.uint64), cache=KEEPING)

    @callback  # type: ignore[untyped-decorator]
    def c_read_sensor(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        raw[0] = read_sensor(z, tape, _argument(raw, 0))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_set_output(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        set_output(z, tape, _argument(raw, 0), _argument(raw, 1))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_get_config(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        raw[0] = get_config(z, tape, _argument(raw, 0))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_mqtt_publish(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        prefix = _bytes(z[PREFIX_ADDRESS], z[PREFIX_LENGTH])
        memory = _native_memory(header, z, caller)
        raw[0] = mqtt_publish(z, tape, memory, prefix, _argument(raw, 0), _argument(raw, 1))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_wasm_log(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        wasm_log(z, tape, _native_memory(header, z, caller), _argument(raw, 0))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_log_int(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        log_int(z, tape, _argument(raw, 0))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_delay_ms(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        delay_ms(z, tape, _argument(raw, 0))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_now_s(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        raw[0] = now_s(z, tape)
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_uptime_s(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        raw[0] = uptime_s(z, tape)
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_keep_get(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        raw[0] = keep_get(z, tape, _argument(raw, 0))
        return _native_trap(header, z)

    @callback  # type: ignore[untyped-decorator]
    def c_keep_set(env: Any, caller: Any, args: Any, count: Any) -> int:
        header, z, raw, tape = _frame(env, args)
        raw[0] = keep_set(z, tape, _argument(raw, 0), _argument(raw, 1))
        return _native_trap(header, z)

    return {
        "read_sensor": c_read_sensor.address,
        "set_output": c_set_output.address,
        "get_config": c_get_config.address,
        "mqtt_publish": c_mqtt_publish.address,
        "wasm_log": c_wasm_log.address,
        "log_int": c_log_int.address,
        "delay_ms": c_delay_ms.address,
        "now_s": c_now_s.address,
        "uptime_s": c_uptime_s.address,
        "keep_get": c_keep_get.address,
        "keep_set": c_keep_set.address,
    }


@njit_owning
def tape_of(z: Row) -> Bytes:
    """The tape buffer of a guest."""
    return _bytes(z[TAPE_ADDRESS], z[TAPE_CAPACITY])


@njit
def _run(address: int, z: Row) -> int:
    """Call the step of the guest with row `z`, its result goes to the header; 0 or a TrapKind."""
    header = _ints(address, HEADER)
    header[TRAP_OUT] = 0
    header[ARGUMENTS] = 0
    _set_fuel(z[CONTEXT], z[FUEL])
    _set_deadline(z[CONTEXT], z[TICKS])
    error = _call(
        z[CONTEXT],
        header[CURRENT] + 8 * STEP,
        address + 8 * ARGUMENTS,
        1,
        address + 8 * TRAP_OUT,
    )
    header[FUEL_LEFT] = 0
    _get_fuel(z[CONTEXT], address + 8 * FUEL_LEFT)
    z[USED] = z[FUEL] - header[FUEL_LEFT]
    if error == 0 and header[TRAP_OUT] == 0:
        return 0
    z[ERROR_POINTER] = error
    z[TRAP_POINTER] = header[TRAP_OUT]
    if z[TRAP] != 0:
        return z[TRAP]  # type: ignore[no-any-return]
    if header[TRAP_OUT] != 0 and _trap_code(header[TRAP_OUT], address + 8 * CODE):
        code = header[CODE] & 0xFF
        if code < len(TRAP_KINDS):
            return int(TRAP_KINDS[code])
    return TRAP_OTHER


@njit
def step_zone(address: int, z: Row, time_ms: int, readings: npt.NDArray[np.int32]) -> None:
    """Run the guest with row `z` once; `address` is that of its header."""
    header = _ints(address, HEADER)
    tape = tape_of(z)
    inject(z, readings)
    begin(z, tape, time_ms, 1)
    kind = _run(address, z)
    if kind != 0:
        stop(z, tape, kind)
        return
    finish(z, tape, ((header[ARGUMENTS] + 0x80000000) & 0xFFFFFFFF) - 0x80000000, 1)


def native_step() -> Callable[[int, npt.NDArray[np.int64], int, npt.NDArray[np.int32]], int]:
    """The loop over zones: `(address of the headers, rows, time_ms, readings) -> packed`.

    Packed are the number of zones stepped, `<< 24` the number of traps, `<< 48` the number of
    tapes without room for another run; -1 if `readings` has the wrong shape.
    """

    @_numba.njit(  # type: ignore[untyped-decorator]
        _I64(
            _I64,
            _numba.types.Array(_I64, 2, "C"),
            _I64,
            _numba.types.Array(_numba.types.int32, 2, "C"),
        ),
        cache=KEEPING,
        nogil=True,
    )
    def step_zones(
        address: int,
        rows: npt.NDArray[np.int64],
        time_ms: int,
        readings: npt.NDArray[np.int32],
    ) -> int:
        if readings.shape[0] != rows.shape[0] or not (
            LEAST_SENSORS <= readings.shape[1] <= SENSORS
        ):
            return -1
        stepped = 0
        traps = 0
        full = 0
        for zone in range(rows.shape[0]):
            z = rows[zone]
            if z[TRAP] != 0 or z[WAKE] > time_ms:
                continue
            stepped += 1
            step_zone(address + 8 * HEADER * zone, z, time_ms, readings[zone])
            if z[TRAP] != 0:
                traps += 1
            if z[POSITION] + z[TAPE_ROOM] > z[TAPE_CAPACITY]:
                full += 1
        return stepped | (traps << 24) | (full << 48)

    return step_zones  # type: ignore[no-any-return]
