"""Lines and cells of a weather file, whatever program wrote it."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from levada.sim.errors import WeatherError

__all__ = ["Text", "number", "read_text", "whole_number"]

_BYTE_ORDER_MARKS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_END_OF_LINE: Final = re.compile("\r\n|\n|\r")
_ABSENT: Final = frozenset(("", "na", "n/a", "nan", "null", "none"))


@dataclass(frozen=True, slots=True)
class Text:
    """The lines of a file; numbers of lines count from 1."""

    path: str
    lines: list[str]
    sha256: str

    def cells(self, line: int, delimiter: str = ",") -> list[str]:
        """The cells of a line, without quotes and blanks around them.

        A line is taken by itself: a quote that is never closed must not swallow the file.
        """
        try:
            row = next(csv.reader([self.lines[line - 1]], delimiter=delimiter), [])
        except csv.Error as error:
            raise WeatherError(self.path, line, f"not a row: {error}", "CSV is needed") from None
        return [cell.strip() for cell in row]


def read_text(path: str | Path, *, strict: bool = False) -> Text:
    """A text file with or without byte order mark.

    Names of places come in any encoding, and numbers are ASCII in all of them, so that what is not
    UTF-8 is read as Latin-1, unless `strict`.  Raises WeatherError.
    """
    content = Path(path).read_bytes()
    encoding = next((e for mark, e in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if strict:
            found = f"byte {error.start} is not UTF-8"
            raise WeatherError(str(path), 0, found, "save as UTF-8") from None
        text = content.decode("latin-1")
    return Text(str(path), _END_OF_LINE.split(text), hashlib.sha256(content).hexdigest())


def number(path: str, line: int, what: str, cell: str) -> float:
    """The number in a cell, NaN where it is absent: empty, `NaN`, `NA` or `null`."""
    text = cell.strip()
    if text.lower() in _ABSENT:
        return float("nan")
    try:
        value = float(text) if "_" not in text else None
    except ValueError:
        value = None
    if value is None:
        raise WeatherError(path, line, f"`{text}` in column `{what}`", "a number is needed")
    if not np.isfinite(value):
        raise WeatherError(path, line, f"`{text}` in column `{what}`", "a finite number is needed")
    return value


def whole_number(path: str, line: int, what: str, cell: str) -> int:
    """The whole number in a cell, which must not be absent."""
    value = number(path, line, what, cell)
    if value != value or value != int(value):
        found = f"`{cell.strip()}` in column `{what}`"
        raise WeatherError(path, line, found, "a whole number is needed")
    return int(value)
