"""Whether a guest keeps state in globals, which a board's deep sleep would lose.

Through deep sleep a board keeps the guest's memory and nothing else: an engine gives no access to
globals that are not exported.  So a guest may sleep deeply only if its globals are, between two
calls, what they were at the start.  That is certain if

- no instruction sets a global; or
- one global alone is set, and every function leaves it as it found it.  That is what clang does
  with `__stack_pointer`: down by the size of a frame at the entry, up again before the end.

The second is found by following the code once, as an engine's validator does.  The value of the
global is known as the value at the function's entry and an offset; only constants are added to it,
and it comes back from the one local (set once, outside all blocks) that the frame's address was put
into.  Wherever that is not enough to know the value, the answer is that the guest keeps state: then
the board sleeps lightly, which costs charge and loses nothing.  The name of the global proves
nothing and is not looked at.

`firmware/engine/profile.c` decides by the same rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from levada.guest.module.features import NESTING_MOST
from levada.guest.module.instructions import (
    BLOCKS,
    BR_TABLE,
    CODE,
    Function,
    Instruction,
    functions,
    instructions,
    skip_locals,
)
from levada.guest.module.sections import sections

__all__ = ["state_in_globals"]

BLOCK, LOOP, IF = BLOCKS
ELSE, END, BR, BR_IF, RETURN, UNREACHABLE = 0x05, 0x0B, 0x0C, 0x0D, 0x0F, 0x00
NOP: Final = 0x01
LOCAL_GET, LOCAL_SET, LOCAL_TEE, GLOBAL_GET, GLOBAL_SET = 0x20, 0x21, 0x22, 0x23, 0x24
I32_CONST, I32_ADD, I32_SUB = 0x41, 0x6A, 0x6B
MASK: Final = 0xFFFF_FFFF

Kind = Literal["entry", "number", "unknown"]


class Value(NamedTuple):
    """What is known of an operand: a number, or the global at the entry and an offset."""

    kind: Kind
    offset: int = 0


ANY: Final = Value("unknown")
DEAD: Final = None
"""Offset of the global where control never comes."""


@dataclass(slots=True)
class OpenBlock:
    """A block that is open."""

    opcode: int
    begin: int | None
    """Offset of the global at its beginning."""
    end: int | None = DEAD
    """The same behind it, as far as branches have come there."""


class _KeepsState(Exception):  # noqa: N818 - never leaves this module
    """The global may differ at an end of the function, or that is not known."""


@lru_cache(maxsize=32)
def state_in_globals(data: bytes) -> bool:
    """Whether a global may hold state between two calls of the module's exports."""
    payload = next((s.payload for s in sections(data) if s.kind == CODE), b"\0")
    bodies = [(f, skip_locals(payload, f.locals_at)) for f in functions(payload)]
    setting: list[tuple[Function, int]] = []
    found: set[int] = set()
    for function, begin in bodies:
        here = {
            item.numbers[0]
            for item in instructions(payload, begin, function.end)
            if item.opcode == GLOBAL_SET
        }
        if here:
            setting.append((function, begin))
        found |= here
    if len(found) > 1:
        return True
    try:
        for function, begin in setting:
            _GlobalTracker(payload, begin, function.end, next(iter(found))).run()
    except _KeepsState:
        return True
    return False


class _GlobalTracker:
    """Follows one function."""

    def __init__(self, code: bytes, begin: int, end: int, tracked: int) -> None:
        self.code, self.begin, self.end, self.tracked = code, begin, end, tracked
        self.offset: int | None = 0
        self.blocks: list[OpenBlock] = [OpenBlock(BLOCK, 0)]
        """The first is the function's own."""
        self.top: list[Value] = []
        """What is known of the uppermost operands; at most two."""
        self.kept_in = -1
        """The local that holds the address of the frame."""
        self.kept = ANY
        self.assigned = Counter(
            item.numbers[0]
            for item in instructions(code, begin, end)
            if item.opcode in (LOCAL_SET, LOCAL_TEE)
        )

    def run(self) -> None:
        for item in instructions(self.code, self.begin, self.end):
            if not item.known or len(self.blocks) > NESTING_MOST + 1:
                raise _KeepsState
            if not self.operand(item) and item.opcode != NOP:
                self.top = []
                self.control(item)
        if self.blocks:
            raise _KeepsState

    # Operands

    def pop(self) -> Value:
        return self.top.pop() if self.top else ANY

    def push(self, value: Value) -> None:
        self.top = [*self.top[-1:], value]

    def operand(self, item: Instruction) -> bool:
        """Whether it is an instruction whose effect on known operands is known."""
        opcode, number = item.opcode, item.numbers[0] if item.numbers else 0
        if opcode == GLOBAL_GET:
            here = number == self.tracked and self.offset is not DEAD
            self.push(Value("entry", self.offset or 0) if here else ANY)
        elif opcode == I32_CONST:
            self.push(Value("number", number & MASK))
        elif opcode in (I32_ADD, I32_SUB):
            self.push(total(opcode, self.pop(), self.pop()))
        elif opcode == LOCAL_GET:
            self.push(self.kept if number == self.kept_in else ANY)
        elif opcode in (LOCAL_SET, LOCAL_TEE):
            value = self.pop()
            if value.kind == "entry" and len(self.blocks) == 1 and self.assigned[number] == 1:
                self.kept_in, self.kept = number, value
            if opcode == LOCAL_TEE:
                self.push(value)
        elif opcode == GLOBAL_SET:
            value = self.pop()
            if self.offset is not DEAD:
                if value.kind != "entry":
                    raise _KeepsState
                self.offset = value.offset
        else:
            return False
        return True

    # Control

    def control(self, item: Instruction) -> None:
        opcode = item.opcode
        if opcode in BLOCKS:
            self.blocks.append(OpenBlock(opcode, self.offset))
        elif opcode == ELSE:
            frame = self.blocks[-1]
            frame.opcode = ELSE
            frame.end = joined(frame.end, self.offset)
            self.offset = frame.begin
        elif opcode == END:
            self.close()
        elif opcode in (BR, BR_IF, BR_TABLE):
            for label in item.numbers:
                self.branch(label)
            if opcode != BR_IF:
                self.offset = DEAD
        elif opcode == RETURN:
            self.branch(len(self.blocks) - 1)
            self.offset = DEAD
        elif opcode == UNREACHABLE:
            self.offset = DEAD

    def close(self) -> None:
        if not self.blocks:
            raise _KeepsState
        frame = self.blocks.pop()
        self.offset = joined(frame.end, self.offset)
        if frame.opcode == IF:  # without an else
            self.offset = joined(self.offset, frame.begin)
        if not self.blocks and self.offset not in (DEAD, 0):
            raise _KeepsState

    def branch(self, label: int) -> None:
        if label >= len(self.blocks):
            raise _KeepsState
        frame = self.blocks[-1 - label]
        if frame.opcode == LOOP:
            joined(frame.begin, self.offset)
        else:
            frame.end = joined(frame.end, self.offset)


def joined(a: int | None, b: int | None) -> int | None:
    """The offset where two ways meet."""
    if a is DEAD or b is DEAD:
        return b if a is DEAD else a
    if a != b:
        raise _KeepsState
    return a


def total(opcode: int, right: Value, left: Value) -> Value:
    """Sum or difference of two operands."""
    if opcode == I32_SUB:
        if left.kind == "entry" and right.kind == "number":
            return Value("entry", (left.offset - right.offset) & MASK)
        return ANY
    kinds = {left.kind, right.kind}
    if kinds == {"entry", "number"}:
        return Value("entry", (left.offset + right.offset) & MASK)
    return ANY
