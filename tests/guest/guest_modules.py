"""Small guests in the text format, for the tests of the host."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.tape import iter_records, record_text
from levada.guest.wasm.fleet import SimNodes

IMPORTS = {
    "read_sensor": "(param i32) (result i32)",
    "set_output": "(param i32 i32)",
    "get_config": "(param i32) (result i32)",
    "mqtt_publish": "(param i32 i32) (result i32)",
    "wasm_log": "(param i32)",
    "log_int": "(param i32)",
    "delay_ms": "(param i32)",
    "now_s": "(result i32)",
    "uptime_s": "(result i32)",
    "keep_get": "(param i32) (result i32)",
    "keep_set": "(param i32 i32) (result i32)",
}
READINGS = (1800, 2150, 3700, 12)


@lru_cache(maxsize=256)
def wasm(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def module(*fields: str, imports: Sequence[str] = tuple(IMPORTS), memory: str = "1") -> bytes:
    """A module with the host's imports, a memory, and the fields given."""
    imported = "\n".join(
        f'(import "env" "{name}" (func ${name} {IMPORTS[name]}))' for name in imports
    )
    exported = f'(memory (export "memory") {memory})' if memory else ""
    return wasm(f"(module {imported} {exported} {' '.join(fields)})")


def reactor(step: str, *fields: str, init: str = "i32.const 0", memory: str = "1") -> bytes:
    """A reactor whose functions have these bodies."""
    return module(
        *fields,
        '(func (export "abi_version") (result i32) i32.const 1)',
        f'(func (export "init") (result i32) {init})',
        f'(func (export "step") (result i32) {step})',
        memory=memory,
    )


def data(offset: int, text: bytes) -> str:
    """A data segment."""
    return f'(data (i32.const {offset}) "{escaped(text)}")'


def escaped(text: bytes) -> str:
    """Bytes in a string of the text format."""
    return "".join(f"\\{b:02x}" for b in text)


def readings(n: int = 1, values: Sequence[int] = READINGS) -> npt.NDArray[np.int32]:
    return np.tile(np.array(values, dtype=np.int32), (n, 1))


def lines(tape: bytes) -> list[str]:
    """A tape as people read it."""
    return [record_text(record) for record in iter_records(tape)]


def run(nodes: SimNodes, steps: int = 1, time_ms: int = 0) -> bytes:
    """Boot and step at every tick of an hour; the tape of the first zone."""
    nodes.boot(time_ms)
    for k in range(steps):
        nodes.step(time_ms + 3_600_000 * k, readings(nodes.n))
    return nodes.drain_tape(0)


def all_paths() -> tuple[str, ...]:
    """Both ways to the host; without a compiler only the ordinary one exists."""
    return ("ordinary",) if numba.config.DISABLE_JIT else ("fast", "ordinary")
