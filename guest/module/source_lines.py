"""Source lines of a module that carries DWARF, for the backtrace of a trap.

DWARF in WebAssembly lies in custom sections whose names begin with `.debug_`; an address in it is
an offset into the content of the code section (WebAssembly, "DWARF for WebAssembly", section 2).
Only the line programs are read, by pyelftools of the extra `build`; without it, without DWARF or
with DWARF that is damaged there are no lines, which is never an error: whoever asks has a trap to
tell of.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, Final

from levada.guest.module.sections import CUSTOM, sections

__all__ = ["source_line"]

CODE: Final = 10
"""Kind of the code section."""
DEBUG: Final = ".debug_"


def source_line(module: bytes, offset: int) -> str:
    """File and line, such as `guest.c:12`, of the instruction at an offset in the module's bytes.

    Empty if that is not known.
    """
    addresses, lines, code = _lines(module)
    at = bisect_right(addresses, offset - code) - 1
    return lines[at] if at >= 0 else ""


@lru_cache(maxsize=8)
def _lines(module: bytes) -> tuple[list[int], list[str], int]:
    """Addresses in rising order, the line from each of them on, and where the code begins."""
    debug: dict[str, bytes] = {}
    code = 0
    parts = list(sections(module))
    at = len(module) - sum(len(part.raw) for part in parts)
    for part in parts:
        if part.kind == CODE:
            code = at + len(part.raw) - len(part.payload)
        elif part.kind == CUSTOM and part.name.startswith(DEBUG):
            debug[part.name] = part.payload
        at += len(part.raw)
    if f"{DEBUG}line" not in debug:
        return [], [], code
    try:
        rows = sorted(_rows(debug).items())
    except Exception:  # noqa: BLE001 - whatever a parser says of bytes that nobody has checked
        return [], [], code
    return [address for address, _ in rows], [line for _, line in rows], code


def _rows(debug: dict[str, bytes]) -> dict[int, str]:
    """The line from each address on; empty behind the end of a sequence."""
    found: dict[int, str] = {}
    dwarf = _dwarf(debug)
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        first = 1 if program.header.version < 5 else 0
        names = [_text(entry.name) for entry in program.header.file_entry]
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if state.end_sequence:
                found.setdefault(state.address, "")
                continue
            number = state.file - first
            if 0 <= number < len(names) and state.line > 0:
                name = PurePosixPath(names[number]).name
                found[state.address] = f"{name}:{state.line}"
    return found


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _dwarf(debug: dict[str, bytes]) -> Any:
    from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

    def section(name: str) -> Any:
        payload = debug.get(f"{DEBUG}{name}")
        if payload is None:
            return None
        return DebugSectionDescriptor(BytesIO(payload), f"{DEBUG}{name}", 0, len(payload), 0)

    names = (
        *("info", "aranges", "abbrev", "frame", "str", "loc", "ranges", "line"),
        *("pubtypes", "pubnames", "addr", "str_offsets", "line_str", "loclists", "rnglists"),
    )
    return DWARFInfo(
        config=DwarfConfig(little_endian=True, machine_arch="wasm", default_address_size=4),
        eh_frame_sec=None,
        gnu_debugaltlink_sec=None,
        debug_sup_sec=None,
        debug_types_sec=section("types"),
        **{f"debug_{name}_sec": section(name) for name in names},
    )
