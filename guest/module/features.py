"""The one feature profile: what a guest may contain on every tier.

A module fits if the poorest engine loads it and every engine charges its work alike: WebAssembly
1.0 with exported mutable globals and sign extension.  Everything else is refused by name, here and,
with the same rules, by the firmware (`firmware/engine/profile.c`):

- one instruction that does the work of thousands (`memory.fill`, `table.copy`) costs one unit of
  the budget on a board, so bulk memory is out, and with it the sections that come along;
- wasm3 lacks reference types, passive segments and padded table indices, takes tail calls for
  ordinary ones, and has several results only in part;
- floating point is not compiled into every engine, and its bits differ; functions of fog and cloud,
  which never run on a board, may use it.

Limits of size are there as zeroing locals and compiling nested blocks are work no budget counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from levada.guest.errors import FeatureError, LimitError, ModuleError
from levada.guest.module.instructions import (
    BLOCKS,
    CODE,
    Instruction,
    functions,
    instructions,
    placed,
)
from levada.guest.module.proposals import (
    ALL,
    AVOID,
    BULK,
    EXCEPTIONS,
    EXTENDED_CONST,
    FLOAT_OPCODES,
    FLOAT_TYPES,
    FLOATS,
    FUNCTION_REFERENCES,
    GC,
    MEMORIES,
    MEMORY64,
    MULTI_VALUE,
    OPCODE_FEATURES,
    PAGE_SIZES,
    REFERENCE,
    REFERENCES,
    SIGN_EXTENSION,
    SIMD,
    STACKS,
    THREADS,
    UNKNOWN,
    VALUES,
    name_of,
)
from levada.guest.module.sections import unsigned

__all__ = [
    "BLOCKS_MOST",
    "EXPORTS_MOST",
    "FUNCTIONS_MOST",
    "IMPORTS_MOST",
    "LOCALS_MOST",
    "NESTING_MOST",
    "PARAMETERS_MOST",
    "TABLE_MOST",
    "Found",
    "Survey",
    "require_profile",
    "survey",
]

PARAMETERS_MOST: Final = 64
"""Parameters of one function."""
LOCALS_MOST: Final = 128
"""Locals of one function: zeroed at every call, and the smallest engine has room for no more."""
NESTING_MOST: Final = 128
"""Blocks within blocks: wasm3 compiles them by recursion, and WAMR keeps each on its stack."""
TABLE_MOST: Final = 1024
"""Elements of the table."""
PAGE_BYTES: Final = 65_536
IMPORTS_MOST: Final = 64
EXPORTS_MOST: Final = 256
FUNCTIONS_MOST: Final = 1024
BLOCKS_MOST: Final = 4096
"""Of all functions; with so many, compiling takes half a second."""


class Found(NamedTuple):
    """Something outside the profile, where it comes first."""

    feature: str
    what: str
    """The section or instruction, and its place."""

    def __str__(self) -> str:
        advice = AVOID.get(self.feature)
        return f"{self.feature}: {self.what}" + (f" ({advice})" if advice else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a module contains, beyond WebAssembly 1.0 with integers."""

    refused: tuple[Found, ...]
    """Proposals outside the profile, each once; no tier takes the module."""
    floats: Found | None
    """Floating point: no node takes the module."""
    excess: tuple[Found, ...]
    """More than the profile's limits; no node takes the module."""
    sign_extension: bool
    """The one proposal of instructions that the profile has."""
    memory_pages: int
    """Pages at the start, whether or not the memory is exported."""


def require_profile(data: bytes) -> None:
    """FeatureError that lists every proposal outside the profile, LimitError as `survey` has it."""
    refused = survey(data).refused
    if refused:
        listed = "\n".join(f"  - {found}" for found in refused)
        raise FeatureError(
            f"the guest uses what not every engine has, or charges alike:\n{listed}\n{ALL}"
        )


@lru_cache(maxsize=32)
def survey(data: bytes) -> Survey:
    """What a module contains.

    Raises ModuleError if its framing is broken, and LimitError where it may take very long to
    compile, without reading on: too many functions or blocks, too many locals, too deep blocks.
    """
    return _Surveyor().run(data)


class _Surveyor:
    """Reads the sections in turn; each feature is kept with its first place."""

    def __init__(self) -> None:
        self.found: dict[str, Found] = {}
        self.excess: dict[str, Found] = {}
        self.sign_extension = False
        self.memory_pages = 0
        self.table_elements = 0
        self.imported = 0
        """Functions; those of the module are numbered behind them."""

    def run(self, data: bytes) -> Survey:
        readers = {
            1: self.type_section,
            2: self.import_section,
            4: self.table_section,
            5: self.memory_section,
            6: self.global_section,
            7: self.export_section,
            9: self.element_section,
            CODE: self.code_section,
            11: self.data_section,
        }
        for section, begin in placed(data):
            if section.kind == 12:
                self.note(BULK, "data count section")
            elif section.kind == 13:
                self.note(EXCEPTIONS, "tag section")
            elif section.kind > 13:
                self.note(UNKNOWN, f"section {section.kind}")
            elif section.kind in readers:
                readers[section.kind](section.payload, begin)
        floats = self.found.pop(FLOATS, None)
        return Survey(
            refused=tuple(self.found.values()),
            floats=floats,
            excess=tuple(self.excess.values()),
            sign_extension=self.sign_extension,
            memory_pages=self.memory_pages,
        )

    def note(self, feature: str, what: str) -> None:
        self.found.setdefault(feature, Found(feature, what))

    def exceed(self, what: str, where: str) -> None:
        self.excess.setdefault(what, Found(what, where))

    # Types: each reader says whether reading can go on behind it

    def value_type(self, byte: int, where: str) -> bool:
        if byte in FLOAT_TYPES:
            self.note(FLOATS, f"{VALUES[byte]} in {where}")
        elif byte == 0x7B:
            self.note(SIMD, f"v128 in {where}")
        elif byte in REFERENCE:
            self.note(REFERENCES, f"{REFERENCE[byte]} in {where}")
        elif byte in (0x63, 0x64):
            self.note(FUNCTION_REFERENCES, f"a typed reference in {where}")
            return False
        elif byte not in VALUES:
            self.note(GC if 0x68 <= byte < 0x7B else UNKNOWN, f"type 0x{byte:02x} in {where}")
            return False
        return True

    def value_types(self, payload: bytes, at: int, where: str) -> tuple[int, int] | None:
        """How many, and the offset behind them."""
        count, at = unsigned(payload, at, "number of types")
        for byte in payload[at : at + count]:
            if not self.value_type(byte, where):
                return None
        return count, at + count

    def limits(self, payload: bytes, at: int, where: str) -> tuple[int, int] | None:
        """The least size, and the offset behind both sizes."""
        flags, at = byte_at(payload, at), at + 1
        for bit, feature in ((2, THREADS), (4, MEMORY64), (8, PAGE_SIZES)):
            if flags & bit:
                self.note(feature, f"{where} section, {where} with flags 0x{flags:02x}")
        if flags > 1:
            if flags > 15:
                self.note(UNKNOWN, f"{where} section, {where} with flags 0x{flags:02x}")
            return None
        least, at = unsigned(payload, at, "size")
        if flags:
            _, at = unsigned(payload, at, "size")
        return least, at

    # Sections

    def type_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of types")
        for index in range(count):
            form, at = byte_at(payload, at), at + 1
            where = f"the type section, type {index}"
            if form != 0x60:
                kind = GC if form in (0x4D, 0x4E, 0x4F, 0x50, 0x5E, 0x5F) else UNKNOWN
                self.note(STACKS if form == 0x5D else kind, f"form 0x{form:02x} in {where}")
                return
            parameters = self.value_types(payload, at, where)
            results = parameters and self.value_types(payload, parameters[1], where)
            if not parameters or not results:
                return
            if parameters[0] > PARAMETERS_MOST:
                self.exceed(f"{parameters[0]} parameters in {where}", f"at most {PARAMETERS_MOST}")
            if results[0] > 1:
                self.note(MULTI_VALUE, f"{results[0]} results in {where}")
            at = results[1]

    def import_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of imports")
        if count > IMPORTS_MOST:
            self.exceed(f"{count} imports", f"at most {IMPORTS_MOST}")
        for _ in range(count):
            for _ in range(2):
                length, at = unsigned(payload, at, "length of a name")
                at += length
            kind, at = byte_at(payload, at), at + 1
            if kind == 0:
                _, at = unsigned(payload, at, "type")
                self.imported += 1
                continue
            if kind == 4:
                self.note(EXCEPTIONS, "tag in the import section")
            if kind in (1, 3):
                of = byte_at(payload, at)
                going = (kind == 1 and of == 0x70) or self.value_type(of, "the import section")
                at += 1
                if kind == 3 and going:
                    at += 1
                    continue
            found = self.limits(payload, at, "memory" if kind == 2 else "table")
            if kind not in (1, 2) or not found:
                return
            at = found[1]

    def export_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of exports")
        if count > EXPORTS_MOST:
            self.exceed(f"{count} exports", f"at most {EXPORTS_MOST}")
        for _ in range(count):
            length, at = unsigned(payload, at, "length of a name")
            name, at = payload[at : at + length], at + length
            kind = byte_at(payload, at)
            index, at = unsigned(payload, at + 1, "number of an export")
            if kind == 0 and index < self.imported:
                what = f"export {name.decode('utf-8', 'replace')} is a host call"
                self.exceed(what, "a guest exports functions of its own")

    def table_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of tables")
        if count > 1:
            self.note(REFERENCES, f"{count} tables in the table section")
        if not count:
            return
        kind = byte_at(payload, at)
        if kind == 0x40:
            self.note(FUNCTION_REFERENCES, "a table with a first value in the table section")
        elif kind != 0x70:
            self.value_type(kind, "the table section")
        else:
            found = self.limits(payload, at + 1, "table")
            self.table_elements = found[0] if found else 0
            if found and found[0] > TABLE_MOST:
                self.exceed(
                    f"table of {found[0]} elements", f"at most {TABLE_MOST} in a guest's table"
                )

    def memory_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of memories")
        if count > 1:
            self.note(MEMORIES, f"{count} memories in the memory section")
        found = self.limits(payload, at, "memory") if count else None
        if found:
            self.memory_pages = found[0]

    def global_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of globals")
        for index in range(count):
            where = f"the global section, global {index}"
            if not self.value_type(byte_at(payload, at), where):
                return
            if byte_at(payload, at + 1) > 1:
                self.note(THREADS, f"a shared one in {where}")
                return
            end = self.constant(payload, at + 2, where)
            if end is None:
                return
            at = end

    def constant(self, payload: bytes, at: int, where: str) -> int | None:
        """Read a constant expression; the offset behind it, None if that cannot be known."""
        for index, item in enumerate(instructions(payload, at, len(payload))):
            if item.opcode == 0x0B:
                return item.end
            self.instruction(payload, item, where)
            if not item.known:
                return None
            plain = item.opcode in (0x41, 0x42, 0x43, 0x44)
            if index or not (plain or item.opcode in OPCODE_FEATURES):
                self.note(EXTENDED_CONST, f"opcode 0x{item.opcode:02x} in {where}")
        raise ModuleError(f"constant expression in {where}: has no end")

    def element_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of segments")
        for index in range(count):
            where = f"the element section, segment {index}"
            flags, at = unsigned(payload, at, "flags")
            if flags:
                self.note(REFERENCES if flags > 3 else BULK, f"flags {flags} of {where}")
                return
            end = self.constant(payload, at, where)
            if end is None:
                return
            functions_, first = unsigned(payload, end, "number of functions")
            self.segment(payload, at, functions_, self.table_elements, f"elements, {where}")
            at = first
            for _ in range(functions_):
                _, at = unsigned(payload, at, "function")

    def data_section(self, payload: bytes, begin: int) -> None:
        count, at = unsigned(payload, 0, "number of segments")
        for index in range(count):
            where = f"the data section, segment {index}"
            flags, at = unsigned(payload, at, "flags")
            if flags:
                self.note(MEMORIES if flags == 2 else BULK, f"flags {flags} of {where}")
                return
            end = self.constant(payload, at, where)
            if end is None:
                return
            length, first = unsigned(payload, end, "length")
            self.segment(payload, at, length, self.memory_pages * PAGE_BYTES, f"bytes, {where}")
            at = first + length

    def segment(self, payload: bytes, at: int, length: int, room: int, what: str) -> None:
        """What is filled in at the start has to lie inside; some engines load it and trap later."""
        offset = next(instructions(payload, at, len(payload)))
        if offset.opcode == 0x41:
            start = offset.numbers[0] & 0xFFFFFFFF
            if start + length > room:
                self.exceed(f"{length} {what}, from {start} on", f"there is room for {room}")

    def code_section(self, payload: bytes, begin: int) -> None:
        blocks = 0
        count, _ = unsigned(payload, 0, "number of functions")
        if count > FUNCTIONS_MOST:
            raise LimitError(f"{count} functions: at most {FUNCTIONS_MOST}")
        for index, function in enumerate(functions(payload)):
            where = f"function {self.imported + index}"
            declared = self.locals_of(payload, function.locals_at, where)
            if declared is None:
                continue
            locals_, at = declared
            if locals_ > LOCALS_MOST:
                raise LimitError(f"{where} has {locals_} locals: at most {LOCALS_MOST}")
            nesting = 0
            for item in instructions(payload, at, function.end):
                self.instruction(payload, item, f"{where}, byte {begin + item.at}")
                if item.opcode in BLOCKS:
                    nesting, blocks = nesting + 1, blocks + 1
                    if blocks > BLOCKS_MOST:
                        raise LimitError(f"more blocks than allowed: at most {BLOCKS_MOST}")
                    if nesting > NESTING_MOST:
                        raise LimitError(
                            f"{where} nests its blocks {nesting} deep: at most {NESTING_MOST}"
                        )
                elif item.opcode == 0x0B:
                    nesting -= 1

    def locals_of(self, payload: bytes, at: int, where: str) -> tuple[int, int] | None:
        """How many there are, and the offset of the first instruction."""
        total = 0
        groups, at = unsigned(payload, at, "number of locals")
        for _ in range(groups):
            number, at = unsigned(payload, at, "number of locals")
            total += number
            if not self.value_type(byte_at(payload, at), f"the locals of {where}"):
                return None
            at += 1
        return total, at

    # Instructions

    def instruction(self, code: bytes, item: Instruction, where: str) -> None:
        opcode = item.opcode
        if opcode in OPCODE_FEATURES:
            self.note(OPCODE_FEATURES[opcode], f"{name_of(opcode)} in {where}")
        elif not item.known:
            self.note(UNKNOWN, f"opcode 0x{opcode:02x} in {where}")
        elif opcode in FLOAT_OPCODES:
            self.note(FLOATS, f"opcode 0x{opcode:02x} in {where}")
        elif opcode in SIGN_EXTENSION:
            self.sign_extension = True
        elif opcode in BLOCKS and item.numbers[0] >= 0:
            self.note(MULTI_VALUE, f"a block of type {item.numbers[0]} in {where}")
        elif opcode in BLOCKS and item.numbers[0] != -0x40:
            self.value_type(item.numbers[0] & 0x7F, where)
        elif opcode == 0x11 and item.end - unsigned(code, item.at + 1, "type")[1] > 1:
            self.note(REFERENCES, f"call_indirect with a padded table index in {where}")
        elif opcode == 0x11 and item.numbers[1]:
            self.note(REFERENCES, f"call_indirect of table {item.numbers[1]} in {where}")
        elif opcode in (0x3F, 0x40) and (item.numbers[0] or item.end - item.at > 2):
            self.note(MEMORIES, f"memory {item.numbers[0]} in {where}")
        elif 0x28 <= opcode <= 0x3E and item.numbers[0] >= 0x40:
            self.note(MEMORIES, f"opcode 0x{opcode:02x} with a memory index in {where}")


def byte_at(payload: bytes, at: int) -> int:
    """One byte; ModuleError behind the end."""
    if at >= len(payload):
        raise ModuleError(f"byte {at} of a section: the section ends before it")
    return payload[at]
