"""Compiling a guest that nobody trusts yet, with one engine for the whole process.

A module is first read here, without the engine: its size, the feature profile with its limits, its
memory.  What is left is validated and compiled by a child process that has limits itself
(`levada.guest.wasm.compiler`), and the machine code is read back; the shipped guest alone is
compiled in this process.  A module is compiled once in a process, whatever budgets it is looked at
with.

The features are those of the one profile, which `levada.guest.module.features` checks first and by
name.  What Wasmtime can switch off besides is off here; it cannot for saturating truncation and
extended constant expressions.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Final

import wasmtime

from levada.guest.errors import FeatureError, LimitError, ModuleError
from levada.guest.limits import Budget
from levada.guest.module.features import require_profile, survey
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.wasm import c_api
from levada.guest.wasm.compiler import compiler

__all__ = [
    "ENGINE_VERSION",
    "MAX_STACK_BYTES",
    "compile_module",
    "compiled_here",
    "engine",
    "exported_functions",
]

ENGINE_VERSION: Final = version("wasmtime")

MAX_STACK_BYTES: Final = 256 * 1024
"""Native stack for guest code [bytes]; an ESP32 task has far less."""

PAGE_BYTES: Final = 65_536


@lru_cache(maxsize=1)
def engine() -> wasmtime.Engine:
    """The engine: fuel and epochs counted, NaNs canonical, only features an ESP32 has."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = True
    config.max_wasm_stack = MAX_STACK_BYTES
    config.parallel_compilation = False
    # Small reservations instead of 4 GiB a guest: a fleet of thousands fits any address-space
    # limit, and explicit bounds checks cost nothing measurable in guests of this size.
    config.memory_reservation = 4 * PAGE_BYTES
    config.memory_reservation_for_growth = 0
    config.memory_guard_size = PAGE_BYTES
    config.wasm_relaxed_simd = False
    config.wasm_simd = False
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    config.wasm_tail_call = False
    config.wasm_exceptions = False
    config.wasm_gc = False
    config.wasm_function_references = False
    config.wasm_wide_arithmetic = False
    config.wasm_custom_page_sizes = False
    config.wasm_stack_switching = False
    config.wasm_multi_value = False
    # components need reference types, and their asynchronous ones have no switch in Python
    config.wasm_component_model = False
    c_api.switch_off_async_components(config)
    config.wasm_reference_types = False
    config.wasm_bulk_memory = False
    return wasmtime.Engine(config)


def compile_module(data: bytes, budget: Budget) -> wasmtime.Module:
    """The compiled module.

    Raises LimitError if it is larger than `budget.module_bytes`, declares more memory than
    `budget.memory_pages`, more locals or deeper blocks than the feature profile allows, or takes
    too long to compile; FeatureError if it uses what the feature profile has not, named in the
    message; ModuleError if it is no module.
    """
    if len(data) > budget.module_bytes:
        raise LimitError(
            f"module of {len(data)} bytes: at most {budget.module_bytes} bytes allowed"
        )
    if data[:4] != b"\0asm":  # wasmtime would also take the text format
        raise ModuleError(f"not a WebAssembly module: begins with {data[:4]!r}")
    try:
        require_profile(data)
        pages = survey(data).memory_pages
    except (FeatureError, LimitError):
        raise
    except ModuleError as error:  # broken: let Wasmtime say how, if it can
        compiler.compile(data)
        raise error
    if pages > budget.memory_pages:
        raise LimitError(
            f"module declares {pages} pages of memory: at most {budget.memory_pages} allowed"
        )
    return _compiled(data)


def exported_functions(module: bytes, budget: Budget) -> dict[str, wasmtime.FuncType]:
    """Exported functions of a module and their types; raises what `compile_module` does."""
    return {
        item.name: item.type
        for item in compile_module(bytes(module), budget).exports
        if isinstance(item.type, wasmtime.FuncType)
    }


@lru_cache(maxsize=32)
def _compiled(data: bytes) -> wasmtime.Module:
    if data == _shipped():
        return compiled_here(data)
    return wasmtime.Module.deserialize(engine(), compiler.compile(data))


@lru_cache(maxsize=1)
def _shipped() -> bytes:
    return DEFAULT_GUEST.read_bytes()


def compiled_here(data: bytes) -> wasmtime.Module:
    """The module, compiled in this process; ModuleError if it is invalid."""
    try:
        wasmtime.Module.validate(engine(), data)  # takes time in proportion, compiling may not
        return wasmtime.Module(engine(), data)
    except wasmtime.WasmtimeError as error:
        raise ModuleError(_plain_message(str(error))) from None


def _plain_message(message: str) -> str:
    """The cause without the engine's chain of contexts."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    causes = [line for line in lines if line != "Caused by:"]
    text = causes[-1] if causes else "unknown reason"
    return f"not a module that levada can run: {text.removeprefix('0: ')}"
