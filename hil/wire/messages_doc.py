"""Writes the message tables of `docs/wire.md` from the message table.

`python -m levada.hil.wire.messages_doc` renews the part of the page between its two markers; a test
compares.
"""

from __future__ import annotations

import ast
import inspect
from enum import IntEnum, IntFlag
from importlib.resources import files
from pathlib import Path
from typing import Final

from levada.hil.wire import messages
from levada.hil.wire.message import Form, Message
from levada.hil.wire.messages import MESSAGES

__all__ = ["markdown", "renewed"]

PAGE: Final = Path(str(files("levada"))).parent / "docs" / "wire.md"
BEGIN: Final = "<!-- written by hil/wire/messages_doc.py -->\n"
END: Final = "<!-- end -->\n"

_ENUMS: Final[tuple[type[IntEnum] | type[IntFlag], ...]] = (
    messages.NakError,
    messages.ResetReason,
    messages.BirthFlag,
    messages.StartFlag,
    messages.StepFlag,
    messages.FaultKind,
    messages.FaultPoint,
    messages.UpdateState,
    messages.UpdateReason,
    messages.TrialFlag,
)
_NAMES: Final = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64", "i": "i32", "q": "i64"}


def markdown() -> str:
    """The tables."""
    parts = []
    for title, numbers in (("Requests", range(0x80)), ("Answers", range(0x80, 0x100))):
        parts.append(f"### {title}\n")
        parts += [_message(t, m) for t, m in sorted(MESSAGES.items()) if t in numbers]
    parts.append("### Numbers\n")
    parts += [_enumeration(e) for e in _ENUMS]
    return "\n".join(parts)


def renewed(page: str) -> str:
    """The page with the tables of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def _form(form: Form) -> str:
    if form.kind == "tail":
        return "bytes, the rest"
    if form.kind == "pairs":
        return "pairs of i32, the rest"
    if form.kind == "text":
        return f"text, {form.count} bytes"
    if form.kind == "bytes":
        return f"{form.count} bytes"
    if form.kind == "ints":
        return f"{form.count} x {_NAMES[form.code]}"
    return _NAMES[form.code]


def _message(number: int, message: type[Message]) -> str:
    notes = _notes(message)
    lines = [f"**`{number:#04x}` {message.__name__}.** {_first(message.__doc__)}\n"]
    if message.FORMS:
        lines += ["| field | form | |", "|---|---|---|"]
        lines += [f"| `{n}` | {_form(f)} | {notes.get(n, '')} |" for n, f in message.FORMS]
        lines.append("")
    return "\n".join(lines)


def _enumeration(enum: type[IntEnum] | type[IntFlag]) -> str:
    notes = _notes(enum)
    lines = [f"**{enum.__name__}.** {_first(enum.__doc__)}\n", "| | | |", "|---|---|---|"]
    lines += [f"| {v.value} | `{v.name}` | {notes.get(v.name or '', '')} |" for v in enum]
    return "\n".join([*lines, ""])


def _first(text: str | None) -> str:
    return " ".join((text or "").split())


def _notes(cls: type) -> dict[str, str]:
    """The line of text under each field of a class, by field."""
    body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    notes: dict[str, str] = {}
    name = ""
    for item in body.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            name = item.target.id
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            name = item.targets[0].id
        elif name and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            notes[name] = _first(str(item.value.value))
            name = ""
    return notes


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
