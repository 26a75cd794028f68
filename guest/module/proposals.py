"""Names of the proposals of WebAssembly, what belongs to each, and what keeps a compiler from it.

Opcodes and sections: WebAssembly core specification 2.0, chapter 5, and the proposals.
"""

from __future__ import annotations

from typing import Final

from levada.guest.module.instructions import spans

__all__ = [
    "ALL",
    "AVOID",
    "BULK",
    "EXCEPTIONS",
    "EXTENDED_CONST",
    "FLOATS",
    "FLOAT_OPCODES",
    "FLOAT_TYPES",
    "FUNCTION_REFERENCES",
    "GC",
    "MEMORIES",
    "MEMORY64",
    "MULTI_VALUE",
    "NAMES",
    "OPCODE_FEATURES",
    "PAGE_SIZES",
    "REFERENCE",
    "REFERENCES",
    "SATURATING",
    "SECTION_NAMES",
    "SIGN_EXTENSION",
    "SIMD",
    "STACKS",
    "TAIL_CALLS",
    "THREADS",
    "UNKNOWN",
    "VALUES",
    "WIDE",
    "name_of",
]

BULK: Final = "bulk memory"
REFERENCES: Final = "reference types"
MULTI_VALUE: Final = "multi-value"
SATURATING: Final = "saturating truncation"
SIMD: Final = "SIMD"
TAIL_CALLS: Final = "tail calls"
THREADS: Final = "threads"
EXCEPTIONS: Final = "exceptions"
MEMORY64: Final = "memory64"
MEMORIES: Final = "multiple memories"
EXTENDED_CONST: Final = "extended constant expressions"
FUNCTION_REFERENCES: Final = "function references"
GC: Final = "GC"
WIDE: Final = "wide arithmetic"
PAGE_SIZES: Final = "custom page sizes"
STACKS: Final = "stack switching"
UNKNOWN: Final = "unknown to levada"
FLOATS: Final = "floating point"

AVOID: Final = {
    BULK: "clang, zig: -mno-bulk-memory -mno-bulk-memory-opt; asc: --disable bulk-memory",
    REFERENCES: "clang, zig: -mno-reference-types -mno-call-indirect-overlong; "
    "asc: no --enable reference-types",
    MULTI_VALUE: "clang, zig: -mno-multivalue",
    SATURATING: "clang, zig: -mno-nontrapping-fptoint; asc: --disable nontrapping-f2i",
    SIMD: "clang, zig: -mno-simd128; asc: no --enable simd",
    TAIL_CALLS: "clang, zig: -mno-tail-call",
    THREADS: "clang, zig: -mno-atomics, no --shared-memory; asc: no --enable threads",
    EXCEPTIONS: "clang, zig: -fno-exceptions -mno-exception-handling",
    MEMORY64: "clang, zig: --target=wasm32",
    MEMORIES: "clang, zig: -mno-multimemory",
    EXTENDED_CONST: "clang, zig: -mno-extended-const",
    WIDE: "clang, zig: -mno-wide-arithmetic",
    PAGE_SIZES: "linker: no --page-size",
    FLOATS: "compute with scaled integers",
}
"""What keeps a compiler from it; flags that end in `-opt` and `-overlong` came with LLVM 20."""

ALL: Final = "-mcpu=mvp (clang, zig) and -C target-cpu=mvp (rustc) keep to the profile"

VALUES: Final = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128"}
REFERENCE: Final = {0x70: "funcref", 0x6F: "externref"}
FLOAT_TYPES: Final = (0x7D, 0x7C)
FLOAT_OPCODES: Final = spans(
    0x2A, 0x2B, 0x38, 0x39, 0x43, 0x44, (0x5B, 0x66), (0x8B, 0xA6), (0xA8, 0xAB), (0xAE, 0xBF)
)
SIGN_EXTENSION: Final = spans((0xC0, 0xC4))

NAMES: Final = {
    0x12: "return_call", 0x13: "return_call_indirect", 0x14: "call_ref", 0x15: "return_call_ref",
    0x1C: "select with a type", 0x25: "table.get", 0x26: "table.set", 0xD0: "ref.null",
    0xD1: "ref.is_null", 0xD2: "ref.func", 0xFC08: "memory.init", 0xFC09: "data.drop",
    0xFC0A: "memory.copy", 0xFC0B: "memory.fill", 0xFC0C: "table.init", 0xFC0D: "elem.drop",
    0xFC0E: "table.copy", 0xFC0F: "table.grow", 0xFC10: "table.size", 0xFC11: "table.fill",
}  # fmt: skip

OPCODE_FEATURES: Final[dict[int, str]] = {
    opcode: feature
    for feature, opcodes in {
        EXCEPTIONS: spans((0x06, 0x0A), 0x18, 0x19, 0x1F),
        TAIL_CALLS: spans(0x12, 0x13),
        FUNCTION_REFERENCES: spans(0x14, 0x15, (0xD4, 0xD6)),
        REFERENCES: spans(0x1C, 0x25, 0x26, (0xD0, 0xD2), (0xFC0F, 0xFC11)),
        GC: spans(0xD3, (0xFB00, 0xFBFF)),
        SATURATING: spans((0xFC00, 0xFC07)),
        BULK: spans((0xFC08, 0xFC0E)),
        WIDE: spans((0xFC13, 0xFC16)),
        SIMD: spans((0xFD00, 0xFDFF)),
        THREADS: spans((0xFE00, 0xFEFF)),
        STACKS: spans((0xE0, 0xE6)),
    }.items()
    for opcode in opcodes
}
"""What an instruction outside the profile belongs to."""

SECTION_NAMES: Final = {
    1: "type", 2: "import", 3: "function", 4: "table", 5: "memory", 6: "global", 7: "export",
    8: "start", 9: "element", 10: "code", 11: "data", 12: "data count", 13: "tag",
}  # fmt: skip


def name_of(opcode: int) -> str:
    """`memory.fill (0xfc0b)`, or the number alone."""
    number = f"0x{opcode:02x}"
    return f"{NAMES[opcode]} ({number})" if opcode in NAMES else f"opcode {number}"
