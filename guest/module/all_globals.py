"""A module that shows all its globals, for somebody who looks into a guest.

Exports are added for globals that the module keeps to itself; code and addresses stay as they are.
Binary format: WebAssembly core specification 1.0, sections 5.5.9 (globals) and 5.5.10 (exports).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from levada.guest.module.sections import CUSTOM, HEADER, sections, unsigned

__all__ = ["PREFIX", "global_names", "with_all_globals"]

PREFIX: Final = "levada global "
"""Name of an added export, before the index of its global."""
_GLOBALS: Final = 6
_EXPORTS: Final = 7
_KIND_GLOBAL: Final = 3
_NAMES_OF_GLOBALS: Final = 7


def with_all_globals(module: bytes) -> bytes:
    """The module with an export of each global that it does not export itself.

    Raises ModuleError if the framing of the module is wrong.  A guest imports no globals, so that
    the first one that it declares has the index 0.
    """
    parts = list(sections(module))
    payload = next((part.payload for part in parts if part.kind == _GLOBALS), b"\0")
    count, _ = unsigned(payload, 0, "number of globals")
    exported = {
        index for part in parts if part.kind == _EXPORTS for index in _exported(part.payload)
    }
    hidden = [index for index in range(count) if index not in exported]
    added = b"".join(
        _leb128(len(name)) + name + bytes([_KIND_GLOBAL]) + _leb128(index)
        for index in hidden
        for name in [f"{PREFIX}{index}".encode()]
    )
    out = [HEADER]
    for part in parts:
        if part.kind != _EXPORTS:
            out.append(part.raw)
            continue
        exports, at = unsigned(part.payload, 0, "number of exports")
        content = _leb128(exports + len(hidden)) + part.payload[at:] + added
        out.append(bytes([_EXPORTS]) + _leb128(len(content)) + content)
    return b"".join(out)


def _exported(payload: bytes) -> Iterator[int]:
    """Indices of the globals that the export section names."""
    count, at = unsigned(payload, 0, "number of exports")
    for _ in range(count):
        length, at = unsigned(payload, at, "length of a name")
        at += length
        kind = payload[at]
        index, at = unsigned(payload, at + 1, "index of an export")
        if kind == _KIND_GLOBAL:
            yield index


def global_names(module: bytes) -> dict[int, str]:
    """Index -> name, as the name section has it (extended name section, subsection 7)."""
    found = [p.payload for p in sections(module) if (p.kind, p.name) == (CUSTOM, "name")]
    payload = found[0] if found else b""
    at, names = 0, dict[int, str]()
    while at < len(payload):
        kind = payload[at]
        size, at = unsigned(payload, at + 1, "size of a subsection of names")
        end = at + size
        if kind == _NAMES_OF_GLOBALS:
            count, at = unsigned(payload, at, "number of names")
            for _ in range(count):
                index, at = unsigned(payload, at, "index of a global")
                length, at = unsigned(payload, at, "length of a name")
                names[index] = payload[at : at + length].decode("utf-8", "replace")
                at += length
        at = end
    return names


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
