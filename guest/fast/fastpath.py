"""The fast path: wasmtime's C API called unchecked, from native code.

Where something is missing that it needs, `status` says what, and hosts take the ordinary path (same
functions, same results, a hundred times slower); under `CI=true` that is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import IMPORT_MODULE
from levada.guest.errors import FastPathError
from levada.guest.fast import hostcalls, jit, native
from levada.guest.wasm import c_api
from levada.guest.wasm.engine import ENGINE_VERSION

__all__ = ["Native", "PathName", "chosen", "load", "require", "status"]

PathName = Literal["fast", "ordinary"]


@dataclass(frozen=True, slots=True)
class Native:
    """What the fast path offers, once it is set up."""

    step: Callable[[int, npt.NDArray[np.int64], int, npt.NDArray[np.int32]], int]
    """See `levada.guest.fast.native.native_step`."""
    callbacks: dict[str, Any]
    """Host calls as C callbacks, by import name."""

    def define(self, linker: wasmtime.Linker, name: str, ty: wasmtime.FuncType, env: int) -> None:
        """Define a host call in `linker`; `env` is the address of the header."""
        c_api.define_unchecked(linker, IMPORT_MODULE, name, ty, self.callbacks[name], env)

    def bind(
        self, row: npt.NDArray[np.int64], store: wasmtime.Store, step: wasmtime.Func | None
    ) -> None:
        """Write what native code needs of an instance into the row of its guest."""
        row[hostcalls.CONTEXT] = c_api.context_address(store)
        if step is not None:
            raw = np.frombuffer(c_api.function_bytes(step), dtype=np.int64)
            row[hostcalls.STEP : hostcalls.STEP + 2] = raw

    def take_error(self, row: npt.NDArray[np.int64]) -> Exception | None:
        """The trap or error that stopped a step, as wasmtime-py's exception."""
        trap, error = int(row[hostcalls.TRAP_POINTER]), int(row[hostcalls.ERROR_POINTER])
        row[hostcalls.TRAP_POINTER] = row[hostcalls.ERROR_POINTER] = 0
        if trap:
            return c_api.trap_at(trap)
        return c_api.error_at(error) if error else None


def status() -> tuple[bool, str]:
    """Whether the fast path is in use, and a line for people: what it is, or why not."""
    found, reason = _load()
    return found is not None, reason


def load() -> Native | None:
    """The fast path, or None where it cannot be set up."""
    return _load()[0]


def require() -> Native:
    """The fast path; FastPathError says why there is none."""
    found, reason = _load()
    if found is None:
        raise FastPathError(f"no fast path: {reason}")
    return found


def chosen() -> PathName:
    """The path of hosts that are not told one: the fast one wherever it can be set up.

    Raises FastPathError under `CI=true` if it cannot, unless numba is switched off on purpose: a
    test that measures the ordinary path unawares proves nothing of what users run.
    """
    found, reason = _load()
    if found is not None:
        return "fast"
    if os.environ.get("CI") == "true" and not jit.config.DISABLE_JIT:
        raise FastPathError(
            f"no fast path, and CI=true permits no other: {reason}; "
            "NUMBA_DISABLE_JIT=1 asks for the ordinary path"
        )
    return "ordinary"


@lru_cache(maxsize=1)
def _load() -> tuple[Native | None, str]:
    if jit.config.DISABLE_JIT:
        return None, "ordinary path: numba is switched off (NUMBA_DISABLE_JIT)"
    try:
        c_api.check_sizes()
        import llvmlite.binding

        for name in native.C_FUNCTIONS:
            llvmlite.binding.add_symbol(name, c_api.address_of(name))
        callbacks = {
            name: c_api.unchecked_callback(address)
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

    for name in native.C_FUNCTIONS:
        llvmlite.binding.add_symbol(name, c_api.NOWHERE)
