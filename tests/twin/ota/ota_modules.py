"""Variants of the shipped guest, built from its source."""

from __future__ import annotations

from pathlib import Path

from levada.guest.build import build
from levada.guest.shipped import DEFAULT_GUEST

__all__ = ["build_variant"]


def build_variant(
    folder: Path, version: str, *, trap: bool = False, max_open_s: int = 1_200
) -> Path:
    """The guest under another version; with `trap` it is stopped in every step; `max_open_s` is
    its longest opening by default."""
    text = (DEFAULT_GUEST.with_suffix(".c")).read_text("utf-8")
    changes = {
        '#define VERSION "1.2.0"': f'#define VERSION "{version}"',
        "43200,   1200)": f"43200, {max_open_s:6})",
    }
    if trap:
        changes["int levada_step(void)\n{"] = "int levada_step(void)\n{\n    __builtin_trap();"
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    source = folder / f"variant-{version}.c"
    source.write_text(text, encoding="utf-8")
    module = source.with_suffix(".wasm")
    build([source], module)
    return module
