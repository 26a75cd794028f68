"""Which kinds of numbers the code of a module computes with.

A guest of ABI 1 needs 32-bit integers only.  64-bit ones cost more on a small CPU; floating point
is outside the profile of a node (`levada.guest.module.features`), since NaN bits and rounding
libraries differ between engines and small CPUs.
"""

from __future__ import annotations

from typing import Final

from levada.guest.errors import ModuleError
from levada.guest.module.instructions import CODE, functions, instructions, skip_locals, spans
from levada.guest.module.sections import sections

__all__ = ["wide_arithmetic"]

OPCODES: Final = {
    "i64": spans(
        0x29, (0x30, 0x35), 0x37, (0x3C, 0x3E), 0x42, (0x50, 0x5A), (0x79, 0x8A), 0xA7,
        (0xAC, 0xB1), 0xB4, 0xB5, 0xB9, 0xBA, 0xBD, 0xBF, (0xC2, 0xC4),
    ),
    "f32": spans(
        0x2A, 0x38, 0x43, (0x5B, 0x60), (0x8B, 0x98), 0xA8, 0xA9, 0xAE, 0xAF, (0xB2, 0xB6), 0xBB,
        0xBC, 0xBE,
    ),
    "f64": spans(
        0x2B, 0x39, 0x44, (0x61, 0x66), (0x99, 0xA6), 0xAA, 0xAB, 0xB0, 0xB1, (0xB6, 0xBB), 0xBD,
        0xBF,
    ),
}  # fmt: skip
"""Instructions that take, hold or return such a number."""

SATURATING: Final = {
    0xFC00: ("f32",), 0xFC01: ("f32",), 0xFC02: ("f64",), 0xFC03: ("f64",),
    0xFC04: ("i64", "f32"), 0xFC05: ("i64", "f32"), 0xFC06: ("i64", "f64"), 0xFC07: ("i64", "f64"),
}  # fmt: skip
"""Truncations behind the prefix 0xFC."""

KINDS: Final = {
    opcode: tuple(kind for kind, opcodes in OPCODES.items() if opcode in opcodes)
    for opcode in range(0x100)
} | SATURATING
"""Kinds of numbers of an opcode."""


def wide_arithmetic(data: bytes) -> frozenset[str]:
    """Those of `i64`, `f32`, `f64` that any instruction of the module uses.

    ModuleError at an instruction that is none of the specification's scalar ones.
    """
    found: set[str] = set()
    for section in sections(data):
        if section.kind != CODE:
            continue
        code = section.payload
        for function in functions(code):
            for item in instructions(code, skip_locals(code, function.locals_at), function.end):
                if not item.known:
                    raise ModuleError(f"instruction 0x{item.opcode:02x}: not known to levada")
                found.update(KINDS.get(item.opcode, ()))
    return frozenset(found)
