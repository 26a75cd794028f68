"""What the boards' engine says when it refuses a module, in words."""

from __future__ import annotations

from typing import Final

from levada.guest.module.features import NESTING_MOST
from levada.guest.module.proposals import (
    BULK,
    FLOAT_OPCODES,
    FLOATS,
    MEMORIES,
    MULTI_VALUE,
    OPCODE_FEATURES,
    REFERENCES,
    SECTION_NAMES,
    SIMD,
    UNKNOWN,
    name_of,
)

__all__ = ["refusal"]

FLAGS: Final = 0x1000
LOCAL_TYPE: Final = 0x3000
TYPE_FEATURES: Final = {0x7D: FLOATS, 0x7C: FLOATS, 0x7B: SIMD, 0x70: REFERENCES, 0x6F: REFERENCES}

REASONS: Final = {
    0: "neither init and step nor main",
    -1: "malformed, or with something that this engine lacks",
    -2: "an import outside the ABI, or of another type",
    -3: "more memory than allowed, or than there is",
    -4: "another guest than the one compiled in",
    -5: "an export is missing, has another type, is there twice, or is the host's own",
    -6: "a start function",
}
"""Why a board does not load a module (`firmware/engine/engine.h`)."""


SPECIAL: Final = {
    0x2001: f"{MULTI_VALUE}: a type with several results, or of a block",
    0x2002: f"{REFERENCES}: call_indirect with a padded or another table index",
    0x2003: f"{MEMORIES}: a memory index",
    0x2004: "more than the profile allows",
    0x2005: f"blocks nested deeper than {NESTING_MOST}",
}
"""What the firmware refuses for another reason than one byte of it."""


def refusal(detail: int) -> str:
    """What a board means by the detail of `Nak(LOAD)`."""
    if detail in REASONS:
        return REASONS[detail]
    if detail > -(1 << 16):
        return f"reason {detail}"
    section, code = -detail >> 16, -detail & 0xFFFF
    place = f"section {section} ({SECTION_NAMES.get(section, 'unknown')})"
    if section == 12:
        return f"{place}: {BULK}"
    if code in SPECIAL:
        return f"{place}: {SPECIAL[code]}"
    if FLAGS <= code < FLAGS + 0x100:
        return f"{place}: flags or number {code & 0xFF}, outside the profile"
    if LOCAL_TYPE <= code < LOCAL_TYPE + 0x100 or section in (1, 4):
        byte = code & 0xFF
        return f"{place}: type 0x{byte:02x}, {TYPE_FEATURES.get(byte, UNKNOWN)}"
    if section in (5, 13) or section > 13:
        return f"{place}: 0x{code:02x}, outside the profile"
    feature = FLOATS if code in FLOAT_OPCODES else OPCODE_FEATURES.get(code, "outside the profile")
    return f"{place}: {name_of(code)}, {feature}"
