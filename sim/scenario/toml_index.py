"""Where each key and value of a TOML document stands, so that an error can point at it.

`tomllib` keeps no positions.  This walks a text that `tomllib` has accepted already, so it only has
to follow the nesting of TOML 1.0, not to judge it.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Final

__all__ = ["KeyPlace", "Path", "TextSpan", "index"]

Path = tuple[str | int, ...]
"""Keys and positions in arrays from the top of the document, e.g. ("zone", 0, "crop", "name")."""


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A piece of one line; both numbers count characters from 1."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """A key and its value; the value of a table is its header."""

    key: TextSpan
    value: TextSpan


_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_BLANK: Final = re.compile(r"[ \t]*")
_GAP: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'(?:.)*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]+")


def index(text: str) -> dict[Path, KeyPlace]:
    """Path -> place of every key, array element and table of a valid TOML text."""
    return _Walk(text).document()


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[Path, KeyPlace] = {}
        self.tables: dict[Path, int] = {}
        self.starts = [0] + [m.end() for m in re.finditer("\n", text)]
        self.line = 0

    def document(self) -> dict[Path, KeyPlace]:
        table: Path = ()
        self.skip(_GAP)
        while self.at < len(self.text):
            table = self.header() if self.text[self.at] == "[" else self.pair(table)
            self.skip(_GAP)
        return self.places

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at character {self.at}")
        self.at = match.end()
        return match.group()

    def span(self, start: int, end: int) -> TextSpan:
        while self.line + 1 < len(self.starts) and self.starts[self.line + 1] <= start:
            self.line += 1
        while self.starts[self.line] > start:
            self.line -= 1
        first_line = self.text[start:end].split("\n", 1)[0].rstrip()
        return TextSpan(self.line + 1, start - self.starts[self.line] + 1, max(len(first_line), 1))

    def keys(self) -> list[str]:
        """A dotted key."""
        found = []
        while True:
            self.skip(_BLANK)
            key = self.skip(_KEY)
            found.append(str(tomllib.loads(f"k={key}")["k"]) if key[0] in "\"'" else key)
            self.skip(_BLANK)
            if self.text[self.at : self.at + 1] != ".":
                return found
            self.at += 1

    def header(self) -> Path:
        start = self.at
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        keys = self.keys()
        self.at += 2 if many else 1
        span = self.span(start, self.at)
        path: Path = ()
        for depth, key in enumerate(keys, start=1):
            path += (key,)
            if depth == len(keys) and many:
                self.places.setdefault(path, KeyPlace(span, span))
                self.tables[path] = self.tables.get(path, 0) + 1
            elif depth < len(keys):
                self.places.setdefault(path, KeyPlace(span, span))
            if path in self.tables:
                path += (self.tables[path] - 1,)
        self.places[path] = KeyPlace(span, span)
        return path

    def pair(self, table: Path) -> Path:
        """`key = value`; returns the table it stands in."""
        start = self.at
        keys = self.keys()
        key_span = self.span(start, start + len(self.text[start : self.at].rstrip()))
        self.at += 1  # the equals sign
        self.skip(_BLANK)
        path = table + tuple(keys)
        begin = self.at
        self.value(path)
        value_span = self.span(begin, self.at)
        for depth in range(1, len(keys)):
            self.places.setdefault(table + tuple(keys[:depth]), KeyPlace(key_span, value_span))
        self.places[path] = KeyPlace(key_span, value_span)
        return table

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self.skip(_STRING)
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.at += 1
            self.skip(_GAP)
            while self.text[self.at] != "}":
                self.pair(path)
                self.separator()
            self.at += 1
        else:
            scalar = self.skip(_SCALAR)
            self.at -= len(scalar) - len(scalar.rstrip())

    def array(self, path: Path) -> None:
        self.at += 1
        self.skip(_GAP)
        count = 0
        while self.text[self.at] != "]":
            begin = self.at
            self.value((*path, count))
            span = self.span(begin, self.at)
            self.places[*path, count] = KeyPlace(span, span)
            count += 1
            self.separator()
        self.at += 1

    def separator(self) -> None:
        self.skip(_GAP)
        if self.text[self.at] == ",":
            self.at += 1
            self.skip(_GAP)
