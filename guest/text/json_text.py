"""JSON from outside: whatever is wrong with it is a ValueError, nesting too deep included.

Python's own reader recurses, so a text of two kilobytes can take more stack than is left where it
is called; RecursionError is no ValueError, and may come later, from whoever walks the result.
It also reads no whole number of more than 4,300 digits: here one of 400 is infinite, as 1e999 is.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

__all__ = ["DEPTH", "DEPTH_ON_BOARDS", "parse"]

DEPTH: Final = 64
DEPTH_ON_BOARDS: Final = 16
"""What the firmware reads (LV_JSON_DEPTH)."""
_DIGITS: Final = 400
"""A whole number of so many digits is beyond every float."""
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[{\]}]")


def parse(text: str | bytes, depth: int = DEPTH) -> Any:
    """The value that a text says; ValueError if it is no JSON, or nested deeper than `depth`."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if text.count("{") + text.count("[") > depth and _depth(text) > depth:
        raise ValueError(f"nested deeper than {depth} levels")
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> float:
    if len(digits) < _DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def _depth(text: str) -> int:
    level = deepest = 0
    for bracket in _BRACKET.findall(_TEXT.sub("", text)):
        level += 1 if bracket in "[{" else -1
        deepest = max(deepest, level)
    return deepest
