"""Which kinds of numbers the code of a module computes with.

A guest of ABI 1 needs 32-bit integers only.  Whoever uses more may still run, but NaN bits and
rounding libraries differ between engines and small CPUs.  Opcodes and their immediates: WebAssembly
core specification 2.0, section 5.4, without vectors.
"""

from __future__ import annotations

from typing import Final

from guest.errors import ModuleError
from guest.sections import sections, unsigned

__all__ = ["wide_arithmetic"]

CODE: Final = 10


def spans(*bounds: int | tuple[int, int]) -> frozenset[int]:
    """Opcodes from single ones and inclusive ranges."""
    pairs = (bound if isinstance(bound, tuple) else (bound, bound) for bound in bounds)
    return frozenset(opcode for low, high in pairs for opcode in range(low, high + 1))


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
    0: ("f32",), 1: ("f32",), 2: ("f64",), 3: ("f64",),
    4: ("i64", "f32"), 5: ("i64", "f32"), 6: ("i64", "f64"), 7: ("i64", "f64"),
}  # fmt: skip
"""Truncations behind the prefix 0xFC."""

PREFIXED_IMMEDIATES: Final = dict.fromkeys(range(8), 0) | {
    8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1,
}  # fmt: skip
"""How many LEB128 numbers follow the opcode behind the prefix 0xFC."""

IMMEDIATES: Final = (
    dict.fromkeys(spans((0x02, 0x04), 0x0C, 0x0D, 0x10, (0x20, 0x26), 0x3F, 0x40), 1)
    | dict.fromkeys(spans(0x41, 0x42, 0xD0, 0xD2), 1)
    | dict.fromkeys(spans(0x11, (0x28, 0x3E)), 2)
    | dict.fromkeys(
        spans(0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, (0x45, 0xC4), 0xD1, 0x43, 0x44), 0
    )
)
"""How many LEB128 numbers follow an opcode."""

CONSTANT_BYTES: Final = {0x43: 4, 0x44: 8}


def wide_arithmetic(data: bytes) -> frozenset[str]:
    """Those of `i64`, `f32`, `f64` that any instruction of the module uses.

    ModuleError at an instruction that is none of the specification's scalar ones.
    """
    found: set[str] = set()
    for section in sections(data):
        if section.kind != CODE:
            continue
        body = section.payload
        count, at = unsigned(body, 0, "number of functions")
        for _ in range(count):
            size, at = unsigned(body, at, "size of a function")
            found |= of_function(body[at : at + size])
            at += size
    return frozenset(found)


def of_function(body: bytes) -> set[str]:
    """The same for one function: its locals, then its instructions."""
    found: set[str] = set()
    groups, at = unsigned(body, 0, "number of locals")
    for _ in range(groups):
        _, at = unsigned(body, at, "number of locals")
        at += 1
    while at < len(body):
        opcode, at = body[at], at + 1
        found |= {kind for kind, opcodes in OPCODES.items() if opcode in opcodes}
        if opcode == 0x0E:  # br_table: a vector of labels, and the default one
            count, at = unsigned(body, at, "number of labels")
            numbers = count + 1
        elif opcode == 0x1C:  # select with types, one byte each
            count, at = unsigned(body, at, "number of types")
            numbers, at = 0, at + count
        elif opcode == 0xFC:
            second, at = unsigned(body, at, "opcode")
            found |= set(SATURATING.get(second, ()))
            numbers = PREFIXED_IMMEDIATES.get(second, -1)
        else:
            numbers = IMMEDIATES.get(opcode, -1)
            at += CONSTANT_BYTES.get(opcode, 0)
        if numbers < 0:
            raise ModuleError(f"instruction 0x{opcode:02x}: not known to levada")
        for _ in range(numbers):
            at = skip_number(body, at)
    return found


def skip_number(body: bytes, at: int) -> int:
    """Offset behind a LEB128 number of either sign and any width."""
    while at < len(body) and body[at] & 0x80:
        at += 1
    return at + 1
