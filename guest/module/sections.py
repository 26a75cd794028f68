"""Sections of a WebAssembly module: the few bytes of framing that tools outside an engine need.

Binary format: WebAssembly core specification 1.0, sections 5.2.2 (integers, LEB128) and 5.5
(modules).  Code is not read here; an engine validates it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from levada.guest.errors import ModuleError

__all__ = ["CUSTOM", "Section", "keep_custom", "sections"]

HEADER: Final = b"\0asm\x01\0\0\0"
CUSTOM: Final = 0


class Section(NamedTuple):
    """One section: its kind, its name if it is a custom one, what it holds, and all its bytes."""

    kind: int
    name: str
    payload: bytes
    raw: bytes


def unsigned(data: bytes, at: int, what: str) -> tuple[int, int]:
    """LEB128 number of at most 32 bits at an offset, and the offset behind it."""
    value = 0
    for index in range(5):
        if at + index >= len(data):
            raise ModuleError(f"{what} at byte {at}: the module ends within it")
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >= 1 << 32:
                break
            return value, at + index + 1
    raise ModuleError(f"{what} at byte {at}: more than 32 bits")


def sections(data: bytes) -> Iterator[Section]:
    """Every section in order; ModuleError where the framing is wrong."""
    if data[:4] != HEADER[:4]:
        raise ModuleError(f"not a WebAssembly module: starts with {data[:4]!r}, not {HEADER[:4]!r}")
    if data[:8] != HEADER:
        raise ModuleError(f"WebAssembly version {data[4:8]!r}: only {HEADER[4:]!r} is known")
    at = len(HEADER)
    while at < len(data):
        start = at
        kind = data[at]
        size, at = unsigned(data, at + 1, f"size of section {kind}")
        end = at + size
        if end > len(data):
            raise ModuleError(
                f"section {kind} at byte {start}: says {size} bytes, {len(data) - at} are there"
            )
        name = ""
        if kind == CUSTOM:
            length, at = unsigned(data, at, "length of a custom section's name")
            if at + length > end:
                raise ModuleError(f"custom section at byte {start}: its name is longer than it")
            try:
                name = data[at : at + length].decode()
            except UnicodeDecodeError as error:
                raise ModuleError(f"custom section at byte {start}: name is not UTF-8") from error
            at += length
        yield Section(kind, name, data[at:end], data[start:end])
        at = end


def keep_custom(data: bytes, names: frozenset[str]) -> bytes:
    """The module without custom sections of other names: no paths, no toolchain."""
    return HEADER + b"".join(
        section.raw for section in sections(data) if section.kind != CUSTOM or section.name in names
    )
