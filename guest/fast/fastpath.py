"""The fast path: wasmtime's C API called unchecked, from native code.

This is the one place that uses private names of wasmtime-py.  Functions and structures behind them
are wasmtime's public C API, but the package does not promise to keep its Python names; so every
use is here, sizes are checked first, and where anything is missing `status` says what, and hosts
take the ordinary path (same functions, same results, many times slower).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba.core.config
import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import IMPORT_MODULE
from levada.guest.fast import hostcalls, native
from levada.guest.wasm.engine import ENGINE_VERSION

__all__ = ["Native", "load", "status"]

_SIZES = {
    "wasmtime_func_t": 16,
    "wasmtime_memory_t": 24,
    "wasmtime_extern_t": 32,
    "wasmtime_val_raw_t": 16,
}


@dataclass(frozen=True, slots=True)
class Native:
    """What the fast path offers, once it is set up."""

    step: Callable[[int, npt.NDArray[np.int64], int, npt.NDArray[np.int32]], int]
    """See `levada.guest.fast.native.native_step`."""
    callbacks: dict[str, Any]
    """Host calls as C callbacks, by import name."""

    def define(self, linker: wasmtime.Linker, name: str, ty: wasmtime.FuncType, env: int) -> None:
        """Define a host call in `linker`; `env` is the address of the header."""
        from wasmtime import _ffi as ffi

        error: Any = ffi.wasmtime_linker_define_func_unchecked(
            linker.ptr(),
            ctypes.create_string_buffer(IMPORT_MODULE.encode()),
            len(IMPORT_MODULE),
            ctypes.create_string_buffer(name.encode()),
            len(name),
            ty.ptr(),
            self.callbacks[name],
            env,
            ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def bind(
        self, row: npt.NDArray[np.int64], store: wasmtime.Store, step: wasmtime.Func | None
    ) -> None:
        """Write what native code needs of an instance into the row of its guest."""
        context = ctypes.cast(store._context(), ctypes.c_void_p).value
        row[hostcalls.CONTEXT] = context if context is not None else 0
        if step is not None:
            raw = np.frombuffer(bytes(step._func), dtype=np.int64)
            row[hostcalls.STEP : hostcalls.STEP + 2] = raw

    def take_error(self, row: npt.NDArray[np.int64]) -> Exception | None:
        """The trap or error that stopped a step, as wasmtime-py's exception."""
        from wasmtime import _ffi as ffi

        trap, error = int(row[hostcalls.TRAP_POINTER]), int(row[hostcalls.ERROR_POINTER])
        row[hostcalls.TRAP_POINTER] = row[hostcalls.ERROR_POINTER] = 0
        if trap:
            return wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(ffi.wasm_trap_t)))
        if error:
            return wasmtime.WasmtimeError._from_ptr(
                ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))
            )
        return None


def status() -> tuple[bool, str]:
    """Whether the fast path is in use, and a line for people: what it is, or why not."""
    found, reason = _load()
    return found is not None, reason


def load() -> Native | None:
    """The fast path, or None where it cannot be set up."""
    return _load()[0]


@lru_cache(maxsize=1)
def _load() -> tuple[Native | None, str]:
    if numba.core.config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at run time
        return None, "ordinary path: numba is switched off (NUMBA_DISABLE_JIT)"
    try:
        _check()
        import llvmlite.binding
        from wasmtime import _ffi as ffi

        for name in native.C_FUNCTIONS:
            address = ctypes.cast(getattr(ffi.dll, name), ctypes.c_void_p).value
            llvmlite.binding.add_symbol(name, address)
        callbacks = {
            name: ffi.wasmtime_func_unchecked_callback_t(address)
            for name, address in native.native_callbacks().items()
        }
        return (
            Native(step=native.native_step(), callbacks=callbacks),
            f"fast path: wasmtime {ENGINE_VERSION} called from native code",
        )
    except Exception as error:  # noqa: BLE001 - whatever is missing, the ordinary path works
        _leave_unresolved()
        return None, f"ordinary path: {type(error).__name__}: {error}"


def _leave_unresolved() -> None:
    """Give every C function some address: code that could call them still has to be linked."""
    import llvmlite.binding

    nowhere = ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value
    for name in native.C_FUNCTIONS:
        llvmlite.binding.add_symbol(name, nowhere)


def _check() -> None:
    """Raise if a private name or a size is not what this module was written for."""
    from wasmtime import _ffi as ffi

    for name, size in _SIZES.items():
        found = ctypes.sizeof(getattr(ffi, name))
        if found != size:
            raise TypeError(f"{name} has {found} bytes, expected {size}")
    for owner, attribute in (
        (wasmtime.Store, "_context"),
        (wasmtime.Trap, "_from_ptr"),
        (wasmtime.WasmtimeError, "_from_ptr"),
    ):
        getattr(owner, attribute)
    getattr(ffi, "wasmtime_linker_define_func_unchecked")  # noqa: B009 - only whether it is there
