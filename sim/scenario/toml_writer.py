"""Writes plain data as TOML: what `tomllib` reads back is equal, and the order is kept."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

__all__ = ["toml_text", "toml_value"]

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


def toml_text(data: Mapping[str, object]) -> str:
    """A document; entries that are None are left out."""
    return "\n".join(_table(data, ())).strip() + "\n"


def _text(value: str) -> str:
    # JSON escapes are TOML escapes, but for DEL, which JSON leaves as it is
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _lines(value: object) -> str:
    """A text of several lines as such, anything else on one line."""
    if not isinstance(value, str) or "\n" not in value:
        return toml_value(value)
    return '"""\n' + "\n".join(_text(line)[1:-1] for line in value.split("\n")) + '"""'


def _key(key: str) -> str:
    return key if _BARE.match(key) else _text(key)


def _table(table: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    later: list[tuple[str, object]] = []
    for key, value in table.items():
        if value is None:
            continue
        if isinstance(value, Mapping) or _is_tables(value):
            later.append((key, value))
        else:
            yield f"{_key(key)} = {_lines(value)}"
    for key, value in later:
        inner = (*path, key)
        header = ".".join(map(_key, inner))
        if isinstance(value, Mapping):
            yield ""
            yield f"[{header}]"
            yield from _table(value, inner)
        elif isinstance(value, Sequence):
            for item in value:
                yield ""
                yield f"[[{header}]]"
                yield from _table(item, inner)


def _is_tables(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(item, Mapping) for item in value)
    )
