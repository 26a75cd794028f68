"""Text from outside as it can be shown and stored: nothing in it commands a terminal or breaks XML.

Names from modules, words of devices, lines of files: whoever wrote them may have put the beginning
of a colour sequence into them, or half of a character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["UNPRINTABLE", "plain", "plain_values"]

UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line feed; ESC and CSI among them
    "\u2028\u2029\u202a-\u202e\u2066-\u2069"  # new lines, and what turns the direction of writing
    "\ud800-\udfff\ufffe\uffff]"  # halves of characters, and what XML 1.0 has not
)
"""What neither a terminal nor an XML file should be given."""


def plain(text: str) -> str:
    r"""The text with what is unprintable written out, such as `\x1b`; tabs and line feeds stay."""
    return UNPRINTABLE.sub(lambda match: _written(ord(match.group())), text)


def plain_values(value: Any) -> Any:
    """The same of every text in tables and lists, keys included."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain_values(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    return value


def _written(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
