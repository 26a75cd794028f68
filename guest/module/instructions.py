"""Instructions of a module's functions, one after the other, without knowing what they do.

Whatever the bytes, reading ends, after a time in proportion to their number.

Opcodes and their immediates: WebAssembly core specification 2.0, section 5.4, without vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from levada.guest.errors import ModuleError
from levada.guest.module.sections import Section, sections, unsigned

__all__ = [
    "CODE",
    "Function",
    "Instruction",
    "functions",
    "instructions",
    "placed",
    "signed",
    "skip_locals",
    "spans",
]

CODE: Final = 10
BLOCKS: Final = (0x02, 0x03, 0x04)
BR_TABLE: Final = 0x0E
SELECT_TYPED: Final = 0x1C
PREFIXES: Final = (0xFB, 0xFC, 0xFD, 0xFE)


class Function(NamedTuple):
    """Where the code of one function lies."""

    locals_at: int
    """Offset of its local declarations in the section."""
    end: int
    """Offset behind its last instruction."""


class Instruction(NamedTuple):
    """One instruction."""

    opcode: int
    """Behind a prefix both together: `memory.fill` is 0xFC0B."""
    at: int
    """Offset of its first byte."""
    end: int
    """Offset behind it."""
    numbers: tuple[int, ...] = ()
    """Immediates; the labels of a `br_table`, the default one last."""
    known: bool = True
    """Otherwise its immediates are not known, and it is the last one given of its function."""


def spans(*bounds: int | tuple[int, int]) -> frozenset[int]:
    """Opcodes from single ones and inclusive ranges."""
    pairs = (bound if isinstance(bound, tuple) else (bound, bound) for bound in bounds)
    return frozenset(opcode for low, high in pairs for opcode in range(low, high + 1))


UNSIGNED: Final = (
    dict.fromkeys(
        spans(0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, (0x45, 0xC4), 0xD1, (0xFC00, 0xFC07)), 0
    )
    | dict.fromkeys(
        spans(
            0x0C, 0x0D, 0x10, 0x12, (0x20, 0x26), 0x3F, 0x40, 0xD2, 0xFC09, 0xFC0B, 0xFC0D,
            (0xFC0F, 0xFC11),
        ), 1,
    )
    | dict.fromkeys(spans(0x11, 0x13, (0x28, 0x3E), 0xFC08, 0xFC0A, 0xFC0C, 0xFC0E), 2)
)  # fmt: skip
"""How many unsigned numbers follow an opcode."""

SIGNED: Final = spans(*BLOCKS, 0x41, 0x42, 0xD0)
"""What one signed number follows: a type of a block or a reference, a constant."""

RAW_BYTES: Final = {0x43: 4, 0x44: 8}
"""Constants of floating point."""


def placed(data: bytes) -> Iterator[tuple[Section, int]]:
    """Every section of a module, and the offset of its payload."""
    at = 8
    for section in sections(data):
        at += len(section.raw)
        yield section, at - len(section.payload)


def functions(payload: bytes) -> Iterator[Function]:
    """The functions of a code section; ModuleError where one reaches beyond it."""
    count, at = unsigned(payload, 0, "number of functions")
    for _ in range(count):
        size, at = unsigned(payload, at, "size of a function")
        if at + size > len(payload):
            raise ModuleError(f"function at byte {at} of the code: reaches beyond its section")
        yield Function(at, at + size)
        at += size


def skip_locals(code: bytes, at: int) -> int:
    """Offset of a function's first instruction."""
    groups, at = unsigned(code, at, "number of locals")
    for _ in range(groups):
        _, at = unsigned(code, at, "number of locals")
        at += 1
    return at


def signed(data: bytes, at: int) -> tuple[int, int]:
    """LEB128 number of at most 64 bits with a sign, and the offset behind it."""
    value = 0
    for index in range(10):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value - (1 << 7 * (index + 1) if byte & 0x40 else 0), at + index + 1
    raise ModuleError(f"number at byte {at}: without an end, or more than 64 bits")


def instructions(code: bytes, at: int, end: int) -> Iterator[Instruction]:
    """The instructions between two offsets; ModuleError where one reaches beyond them."""
    while at < end:
        begin, opcode = at, code[at]
        at += 1
        numbers: list[int] = []
        if opcode in PREFIXES:
            second, at = unsigned(code, at, "opcode")
            opcode = opcode << 8 | min(second, 0xFF)
        if opcode == BR_TABLE:
            count, at = unsigned(code, at, "number of labels")
            if count > end - at:
                raise ModuleError(f"br_table at byte {begin}: more labels than bytes")
            wanted = count + 1
        elif opcode == SELECT_TYPED:
            count, at = unsigned(code, at, "number of types")
            wanted, at = 0, at + count
        elif opcode in SIGNED:
            value, at = signed(code, at)
            numbers.append(value)
            wanted = 0
        elif opcode in RAW_BYTES:
            wanted, at = 0, at + RAW_BYTES[opcode]
        elif opcode in UNSIGNED:
            wanted = UNSIGNED[opcode]
        else:
            yield Instruction(opcode, begin, at, known=False)
            return
        for _ in range(wanted):
            value, at = unsigned(code, at, "immediate")
            numbers.append(value)
        if at > end:
            raise ModuleError(f"instruction 0x{opcode:02x} at byte {begin}: is cut off")
        yield Instruction(opcode, begin, at, tuple(numbers))
