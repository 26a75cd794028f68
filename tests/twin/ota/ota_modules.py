"""Variants of the shipped guest, built from its source."""

from __future__ import annotations

from pathlib import Path

from levada.guest.build import build
from levada.guest.shipped import DEFAULT_GUEST

__all__ = ["EXPECTATION", "build_variant"]

EXPECTATION = """
[[expect]]
name = "Some water is given"
kind = "total"
of = "irrigation_mm"
above = 3
"""
"""What a variant that opens too briefly breaks in the small field."""


def build_variant(
    folder: Path,
    version: str,
    *,
    trap: bool = False,
    crash_after: int = 0,
    longest_open_s: int = 0,
    sleeps: bool = False,
    tells: str = "message",
) -> Path:
    """The guest under another version.

    With `trap` it is stopped in every step, with `crash_after` in every one behind so many since
    its start; with `longest_open_s` its openings are cut to that, whatever its parameters say.  One
    that `sleeps` wants to run again after as long as can be said; one that `tells` publishes that
    expression instead.
    """
    text = (DEFAULT_GUEST.with_suffix(".c")).read_text("utf-8")
    changes = {
        '#define VERSION "1.2.0"': f'#define VERSION "{version}"',
    }
    if trap:
        changes["int levada_step(void)\n{"] = "int levada_step(void)\n{\n    __builtin_trap();"
    if crash_after:
        changes["int levada_step(void)\n{"] = (
            "static int steps_made;\nint levada_step(void)\n{\n"
            f"    if (steps_made++ >= {crash_after})\n        __builtin_trap();"
        )
    if sleeps:
        changes["int levada_step(void)\n{"] = (
            "static int made_step(void);\nint levada_step(void)\n{\n    (void)made_step();\n"
            "    return 0x7fffffff;\n}\n\nstatic int made_step(void)\n{"
        )
    changes['mqtt_publish("data", message)'] = f'mqtt_publish("data", {tells})'
    if longest_open_s:
        changes["if (now - since >= (seconds)setting[max_open_s])"] = (
            f"if (now - since >= {longest_open_s})"
        )
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    source = folder / f"variant-{version}.c"
    source.write_text(text, encoding="utf-8")
    module = source.with_suffix(".wasm")
    build([source], module)
    return module
