"""Compiling a guest that nobody trusts yet, with one engine for the whole process.

The size cap alone does not bound compilation.  Measured with wasmtime 50.0.1 on one core of a
shared server, one module per process: 64 KiB of empty functions that each declare 50,000 locals
take 24 s, one 57 KB function with 4,000 loops over 50,000 locals 13 s and 1.2 GB, and 9,000 nested
loops 4 s.  What stays below `PLAIN_BYTES` and `PLAIN_LOCALS` took 0.2 s at worst and is compiled
here; the shipped guest is of that kind.  Anything else is compiled by a child process with limits
on processor time and memory (about 0.1 s more), and the machine code is read back.  It is the
processor's time that counts: a computer that is busy with other things refuses no honest module.  A
module is compiled once in a process, whatever budgets it is looked at with.

The features are those of the one profile, which `levada.guest.module.features` checks first and by
name.  What Wasmtime can switch off besides is off here; it cannot for saturating truncation and
extended constant expressions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import wasmtime

from levada.guest.errors import FeatureError, LimitError, ModuleError
from levada.guest.limits import Budget
from levada.guest.module.features import require_profile
from levada.guest.module.sections import sections, unsigned
from levada.guest.wasm import c_api

__all__ = ["ENGINE_VERSION", "MAX_STACK_BYTES", "compile_module", "engine", "exported_functions"]

ENGINE_VERSION: Final = version("wasmtime")

MAX_STACK_BYTES: Final = 256 * 1024
"""Native stack for guest code [bytes]; an ESP32 task has far less."""

PLAIN_BYTES: Final = 8 * 1024
PLAIN_LOCALS: Final = 10_000
COMPILE_SECONDS: Final = 5
"""Processor time."""
WALL_SECONDS: Final = 300
"""After so long a child counts as stopped by somebody else."""
COMPILE_MEMORY_BYTES: Final = 1 << 30

ROOT: Final = str(Path(__file__).parents[3])
_OUT_OF_TIME: Final = (-signal.SIGXCPU, -signal.SIGKILL)
PAGE_BYTES: Final = 65_536
MEMORY_SECTION: Final = 5
CODE_SECTION: Final = 10


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
    `budget.memory_pages` or takes too long to compile; FeatureError if it uses what the feature
    profile has not, named in the message; ModuleError if it is no module.
    """
    if len(data) > budget.module_bytes:
        raise LimitError(
            f"module of {len(data)} bytes: at most {budget.module_bytes} bytes allowed"
        )
    if data[:4] != b"\0asm":  # wasmtime would also take the text format
        raise ModuleError(f"not a WebAssembly module: begins with {data[:4]!r}")
    try:
        require_profile(data)
        declared_locals, pages = _shape(data)
    except FeatureError:
        raise
    except ModuleError as error:  # broken: let Wasmtime say how, if it can
        _validate(data)
        raise error
    if pages > budget.memory_pages:
        raise LimitError(
            f"module declares {pages} pages of memory: at most {budget.memory_pages} allowed"
        )
    return _compiled(data, len(data) <= PLAIN_BYTES and declared_locals <= PLAIN_LOCALS)


def exported_functions(module: bytes, budget: Budget) -> dict[str, wasmtime.FuncType]:
    """Exported functions of a module and their types; raises what `compile_module` does."""
    return {
        item.name: item.type
        for item in compile_module(bytes(module), budget).exports
        if isinstance(item.type, wasmtime.FuncType)
    }


@lru_cache(maxsize=32)
def _compiled(data: bytes, plain: bool) -> wasmtime.Module:
    if plain:
        return _compile(data)
    _validate(data)  # takes time in proportion, compiling may not
    return _compile_in_child(data)


def _validate(data: bytes) -> None:
    try:
        wasmtime.Module.validate(engine(), data)
    except wasmtime.WasmtimeError as error:
        raise ModuleError(_plain_message(str(error))) from None


def _compile(data: bytes) -> wasmtime.Module:
    try:
        return wasmtime.Module(engine(), data)
    except wasmtime.WasmtimeError as error:
        raise ModuleError(_plain_message(str(error))) from None


def _compile_in_child(data: bytes) -> wasmtime.Module:
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "levada.guest.wasm.engine", str(COMPILE_SECONDS)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((ROOT, *sys.path))},
            input=data,
            capture_output=True,
            timeout=WALL_SECONDS,
            start_new_session=True,  # Ctrl-C is for us, who end it
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LimitError(f"compiling has not ended within {WALL_SECONDS} s") from None
    if child.returncode in _OUT_OF_TIME:
        raise LimitError(f"compiling takes longer than {COMPILE_SECONDS} s of processor time")
    if child.returncode != 0:
        raise LimitError(
            f"compiling was stopped (exit {child.returncode}): at most "
            f"{COMPILE_MEMORY_BYTES >> 20} MiB of memory allowed"
        )
    return wasmtime.Module.deserialize(engine(), child.stdout)


def _child(seconds: int | None = None) -> None:
    """Read a module from standard input, write its machine code to standard output."""
    seconds = seconds or COMPILE_SECONDS
    try:
        import resource  # not on every platform; the time limit of the parent holds anyway

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (COMPILE_MEMORY_BYTES, COMPILE_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except ImportError:
        pass
    sys.stdout.buffer.write(_compile(sys.stdin.buffer.read()).serialize())


def _plain_message(message: str) -> str:
    """The cause without the engine's chain of contexts."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    causes = [line for line in lines if line != "Caused by:"]
    text = causes[-1] if causes else "unknown reason"
    return f"not a module that levada can run: {text.removeprefix('0: ')}"


def _shape(data: bytes) -> tuple[int, int]:
    """Declared locals of all functions, and the initial pages of the first memory.

    Raises ModuleError if the bytes end early.
    """
    locals_, pages = 0, 0
    for section in sections(data):
        if section.kind not in (MEMORY_SECTION, CODE_SECTION):
            continue
        payload = section.payload
        count, at = unsigned(payload, 0, "count")
        if section.kind == MEMORY_SECTION and count:
            pages, _ = unsigned(payload, at + 1, "pages")
        elif section.kind == CODE_SECTION:
            for _ in range(count):
                size, at = unsigned(payload, at, "size of a function")
                groups, inner = unsigned(payload, at, "groups of locals")
                at += size
                for _ in range(groups):
                    number, inner = unsigned(payload, inner, "number of locals")
                    inner += 1  # their type
                    locals_ += number
    return locals_, pages


if __name__ == "__main__":
    _child(int(sys.argv[1]))
