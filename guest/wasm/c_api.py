"""Private names of wasmtime-py: its binding of the C API, and what its classes hold.

This is the one module that uses them.  Functions and structures behind the names are wasmtime's
public C API, but the package does not promise to keep what it calls them in Python.
`tests/test_private_names.py` names every one and tries it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi

__all__ = [
    "NOWHERE",
    "SIZES",
    "address_of",
    "call_giving_up",
    "call_keeping",
    "check_sizes",
    "context_address",
    "define_unchecked",
    "denying_callback",
    "error_at",
    "function_address",
    "function_bytes",
    "set_deadline",
    "set_fuel",
    "switch_off_async_components",
    "trap_at",
    "unchecked_callback",
]

SIZES: Final = {
    "wasmtime_func_t": 16,
    "wasmtime_memory_t": 24,
    "wasmtime_extern_t": 32,
    "wasmtime_val_raw_t": 16,
}
"""Of the structures that native code lays out by itself [bytes]."""

NOWHERE: Final = ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value or 0
"""An address for code that is linked and never runs; it would end the process."""


_CONTEXT = _ADDRESS = ctypes.c_void_p

# Called with addresses as integers, which costs half of what typed pointers do.
_CALL: Final = (_ADDRESS, _CONTEXT, _ADDRESS, _ADDRESS, ctypes.c_size_t, _ADDRESS)

call_giving_up: Final = ctypes.CFUNCTYPE(*_CALL)(("wasmtime_func_call_unchecked", ffi.dll))
"""`(context, function, values, number of values, where to put a trap) -> error`, both 0 or None if
all went well; other threads run meanwhile."""
call_keeping: Final = ctypes.PYFUNCTYPE(*_CALL)(("wasmtime_func_call_unchecked", ffi.dll))
"""The same, but the thread keeps the interpreter: for what is over at once."""
set_fuel: Final = ctypes.PYFUNCTYPE(_ADDRESS, _CONTEXT, ctypes.c_uint64)(
    ("wasmtime_context_set_fuel", ffi.dll)
)
"""`(context, instructions)`"""
set_deadline: Final = ctypes.PYFUNCTYPE(None, _CONTEXT, ctypes.c_uint64)(
    ("wasmtime_context_set_epoch_deadline", ffi.dll)
)
"""`(context, ticks)`"""


def check_sizes() -> None:
    """Raise TypeError if a structure has another size than native code takes it to have."""
    for name, size in SIZES.items():
        found = ctypes.sizeof(getattr(ffi, name))
        if found != size:
            raise TypeError(f"{name} has {found} bytes, expected {size}")


def address_of(name: str) -> int:
    """Address of a function of the C API; AttributeError if the library has none of this name."""
    return ctypes.cast(getattr(ffi.dll, name), ctypes.c_void_p).value or 0


def unchecked_callback(address: int) -> Any:
    """Native code at `address` as a callback for `define_unchecked`."""
    return ffi.wasmtime_func_unchecked_callback_t(address)


def denying_callback(note: Callable[[int], None]) -> Any:
    """A callback for `define_unchecked` that notes its environment and stops the guest.

    It must live as long as the stores of the guests.
    """

    def deny(environment: int | None, _caller: Any, _values: Any, _count: int) -> int:
        note(environment or 0)
        return ctypes.cast(ffi.wasmtime_trap_new(b"denied", 6), ctypes.c_void_p).value or 0

    return ffi.wasmtime_func_unchecked_callback_t(deny)


def define_unchecked(
    linker: wasmtime.Linker,
    module: str,
    name: str,
    ty: wasmtime.FuncType,
    callback: Any,
    environment: int,
) -> None:
    """Define a host call that wasmtime calls with raw values and the address `environment`."""
    error: Any = ffi.wasmtime_linker_define_func_unchecked(
        linker.ptr(),
        ctypes.create_string_buffer(module.encode()),
        len(module),
        ctypes.create_string_buffer(name.encode()),
        len(name),
        ty.ptr(),
        callback,
        environment,
        ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
    )
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)


def context_address(store: wasmtime.Store) -> int:
    """Address of a store's `wasmtime_context_t`."""
    return ctypes.cast(store._context(), ctypes.c_void_p).value or 0


def function_bytes(function: wasmtime.Func) -> bytes:
    """The `wasmtime_func_t` of a function."""
    return bytes(function._func)


def function_address(function: wasmtime.Func) -> int:
    """Address of the `wasmtime_func_t` of a function, as long as `function` lives."""
    return ctypes.addressof(function._func)


def trap_at(address: int) -> wasmtime.Trap:
    """The trap at an address that wasmtime handed out; it belongs to the result from now on."""
    return wasmtime.Trap._from_ptr(ctypes.cast(address, ctypes.POINTER(ffi.wasm_trap_t)))


def error_at(address: int) -> wasmtime.WasmtimeError:
    """The error at an address that wasmtime handed out; it belongs to the result from now on."""
    return wasmtime.WasmtimeError._from_ptr(
        ctypes.cast(address, ctypes.POINTER(ffi.wasmtime_error_t))
    )


def switch_off_async_components(config: wasmtime.Config) -> None:
    """What `Config` has no attribute for."""
    ffi.wasmtime_config_wasm_component_model_async_set(config.ptr(), False)
