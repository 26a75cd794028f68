"""What every instance of a module is made with: its limits, and the imports it may ask for."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import IMPORT_MODULE, IMPORTS
from levada.guest.errors import AbiError, LimitError
from levada.guest.limits import Budget
from levada.guest.wasm.engine import PAGE_BYTES, engine

__all__ = [
    "function_type",
    "limited_store",
    "memory_bytes",
    "not_instantiated",
    "require_known_imports",
]

TABLE_ELEMENTS: Final = 1024
"""Function pointers a guest may have; a 64 KiB module needs far fewer."""

_TYPES: Final = {"i": wasmtime.ValType.i32}
_LETTERS: Final = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}
_NO_MEMORY: Final = np.zeros(0, dtype=np.uint8)


def limited_store(budget: Budget) -> wasmtime.Store:
    """A store for one instance, whose memory and tables are bounded."""
    store = wasmtime.Store(engine())
    store.set_limits(
        memory_size=budget.memory_pages * PAGE_BYTES,
        table_elements=TABLE_ELEMENTS,
        instances=1,
        tables=1,
        memories=1,
    )
    return store


def not_instantiated(error: wasmtime.WasmtimeError) -> LimitError:
    """What to raise if a module asks for more than `limited_store` gives."""
    return LimitError(f"module cannot be instantiated: {str(error).strip().splitlines()[0]}")


def memory_bytes(memory: object, store: wasmtime.Store | wasmtime.Caller) -> npt.NDArray[np.uint8]:
    """The linear memory of an instance as it is now; empty if it exports none."""
    if not isinstance(memory, wasmtime.Memory) or memory.data_len(store) == 0:
        return _NO_MEMORY
    return np.frombuffer(memoryview(memory.get_buffer_ptr(store)).cast("B"), dtype=np.uint8)


@lru_cache
def function_type(params: str, results: str) -> wasmtime.FuncType:
    """The type of an import of the ABI."""
    return wasmtime.FuncType(
        [_TYPES[letter]() for letter in params], [_TYPES[letter]() for letter in results]
    )


def require_known_imports(module: wasmtime.Module) -> None:
    """Raise AbiError if the ABI does not have an import: module, name or type."""
    problems = []
    for item in module.imports:
        name = f"{item.module}.{item.name}"
        if not isinstance(item.type, wasmtime.FuncType):
            problems.append(f"{name} is not a function")
        elif item.module != IMPORT_MODULE or item.name not in IMPORTS:
            problems.append(f"{name} {_signature(item.type)} is not in the ABI")
        elif (found := _signature(item.type)) != (wanted := "({}){}".format(*IMPORTS[item.name])):
            problems.append(f"{name} has the type {found} instead of {wanted}")
    if problems:
        raise AbiError("imports outside the ABI: " + "; ".join(problems))


def _signature(ty: wasmtime.FuncType) -> str:
    params, results = (
        "".join(_LETTERS.get(str(v), "?") for v in values) for values in (ty.params, ty.results)
    )
    return f"({params}){results}"
