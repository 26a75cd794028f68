"""Why Wasmtime has stopped a guest, in the terms of the ABI."""

from __future__ import annotations

import re
from typing import Final

import wasmtime

from levada.guest.abi import TrapKind
from levada.guest.limits import Budget
from levada.guest.module.source_lines import source_line

__all__ = ["TRAP_KINDS", "backtrace", "reason", "trap_kind"]

TRAP_KINDS: Final = tuple(
    int(kind)
    for kind in (
        TrapKind.STACK_OVERFLOW,
        TrapKind.MEMORY_OUT_OF_BOUNDS,
        TrapKind.OTHER,  # misaligned atomic
        TrapKind.BAD_INDIRECT_CALL,  # table out of bounds
        TrapKind.BAD_INDIRECT_CALL,  # null
        TrapKind.BAD_INDIRECT_CALL,  # wrong signature
        TrapKind.INTEGER_DIVIDE,  # overflow
        TrapKind.INTEGER_DIVIDE,  # by zero
        TrapKind.OTHER,  # float to integer
        TrapKind.UNREACHABLE,
        TrapKind.DEADLINE,  # epoch
        TrapKind.OUT_OF_FUEL,
    )
)
"""TrapKind by wasmtime's trap code (wasmtime.h, `wasmtime_trap_code_enum`)."""

_FRAME: Final = re.compile(r"^ *\d+: +0x([0-9a-f]+) - [^!\n]*!(.*)$", re.MULTILINE)
_LABEL: Final = re.compile(r"^(\d+: )?(wasm trap: )?")


def trap_kind(error: BaseException | None) -> TrapKind:
    """The kind of what wasmtime-py has raised; OTHER if it has no code."""
    code = error.trap_code if isinstance(error, wasmtime.Trap) else None
    known = code is not None and code.value < len(TRAP_KINDS)
    return TrapKind(TRAP_KINDS[code.value]) if known and code else TrapKind.OTHER


def reason(kind: TrapKind, budget: Budget, error: BaseException | None) -> str:
    """What to say of a guest that Wasmtime has stopped."""
    match kind:
        case TrapKind.OUT_OF_FUEL:
            return f"more than {budget.instructions} instructions"
        case TrapKind.DEADLINE:
            return f"longer than {budget.deadline_ms} ms"
        case _ if isinstance(error, wasmtime.Trap):
            return _cause(error.message)
        case _:
            return _cause(str(error)) if error is not None else ""


def backtrace(error: BaseException | None, module: bytes) -> tuple[str, ...]:
    """Functions of the guest that were running, the innermost first.

    Each has its name or number, the offset in it in bytes, and file and line if `module` has them.
    """
    if isinstance(error, wasmtime.WasmtimeError):  # of a host call: frames are only in its text
        frames = [(name, int(at, 16)) for at, name in _FRAME.findall(str(error))]
    elif isinstance(error, wasmtime.Trap):
        frames = [
            (
                f"{frame.func_name or f'func[{frame.func_index}]'}+0x{frame.func_offset:x}",
                frame.module_offset,
            )
            for frame in error.frames
        ]
    else:
        return ()
    lines = [source_line(module, offset) for _, offset in frames]
    return tuple(
        f"{name} ({line})" if line else name for (name, _), line in zip(frames, lines, strict=True)
    )


def _cause(message: str) -> str:
    """The last line of wasmtime's chain of contexts, without its number."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return _LABEL.sub("", lines[-1]) if lines else ""
