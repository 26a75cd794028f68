"""JSON from outside: whatever the text, a value comes back or a ValueError."""

from __future__ import annotations

import json
import math
from typing import Any, Final

__all__ = ["parse"]

_DIGITS: Final = 400
"""An integer of so many digits is beyond every float."""


def parse(text: str | bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Python reads no integer of more than 4,300 digits; here one of 400 is infinite, as 1e999 is.
    Raises ValueError for what is no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> float:
    if len(digits) < _DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf
