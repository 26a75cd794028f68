"""One value as TOML writes it on one line, for messages and tables; `tomli_w` writes documents."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime

__all__ = ["toml_value"]

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def toml_value(value: object) -> str:
    """One value on one line; raises TypeError for what TOML cannot hold."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            if math.isnan(value) or math.isinf(value):
                return str(value)  # nan, inf, -inf as TOML spells them
            return repr(value)
        case str():
            return _text(value)
        case datetime():
            return value.isoformat(sep="T")
        case date():
            return value.isoformat()
        case Mapping():
            return "{" + ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items()) + "}"
        case Sequence():
            return "[" + ", ".join(map(toml_value, value)) + "]"
        case _:
            raise TypeError(f"TOML has no {type(value).__name__}")


def _text(value: str) -> str:
    # JSON escapes are TOML escapes, but for DEL, which JSON leaves as it is
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.match(key) else _text(key)
