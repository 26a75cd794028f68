"""An integer of a JSON object, read by compiled code: what `json_text.parse` would find.

The plant looks into every message of every guest, too often for Python.  The whole text has to be
JSON (RFC 8259), nested no deeper than boards read; of a key that is there twice the last counts.
Keys are compared as they are written: one spelt with escapes is another key.
"""

from __future__ import annotations

from typing import Final

from levada.guest.fast.jit import njit
from levada.guest.fast.strings import Bytes
from levada.guest.text.json_text import DEPTH_ON_BOARDS

__all__ = ["json_integer"]

_MOST: Final = 10**17
"""Numbers beyond it, of either sign, are taken to be so large."""
_QUOTE, _COMMA, _COLON, _BACKSLASH = 0x22, 0x2C, 0x3A, 0x5C
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_LIST, _CLOSE_LIST = 0x7B, 0x7D, 0x5B, 0x5D
_MINUS, _PLUS, _POINT, _ZERO, _NINE, _E = 0x2D, 0x2B, 0x2E, 0x30, 0x39, 0x65
# What may come next.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COMMA_OR_END, _NOTHING = range(6)


@njit
def _after_space(text: Bytes, at: int, stop: int) -> int:
    while at < stop and (text[at] == 0x20 or 0x09 <= text[at] <= 0x0A or text[at] == 0x0D):
        at += 1
    return at


@njit
def _is_hexadecimal(c: int) -> bool:
    return 0x30 <= c <= 0x39 or 0x41 <= c <= 0x46 or 0x61 <= c <= 0x66


@njit
def _after_string(text: Bytes, at: int, stop: int) -> int:
    """Behind the closing quote of the string that opens at `at`, or -1."""
    at += 1
    while at < stop:
        c = text[at]
        if c == _QUOTE:
            return at + 1
        if c < 0x20:
            return -1
        at += 1
        if c == _BACKSLASH:
            if at == stop:
                return -1
            if text[at] == 0x75:  # u
                for k in range(1, 5):
                    if at + k >= stop or not _is_hexadecimal(text[at + k]):
                        return -1
                at += 4
            else:
                known = False
                for e in b'"\\/bfnrt':
                    known = known or text[at] == e
                if not known:
                    return -1
            at += 1
    return -1


@njit
def _after_digits(text: Bytes, at: int, stop: int) -> int:
    """Behind at least one digit, or -1."""
    start = at
    while at < stop and _ZERO <= text[at] <= _NINE:
        at += 1
    return at if at > start else -1


@njit
def _after_number(text: Bytes, at: int, stop: int) -> int:
    if text[at] == _MINUS:
        at += 1
    start = at
    at = _after_digits(text, at, stop)
    if at < 0 or (text[start] == _ZERO and at > start + 1):
        return -1
    if at < stop and text[at] == _POINT:
        at = _after_digits(text, at + 1, stop)
        if at < 0:
            return -1
    if at < stop and text[at] | 0x20 == _E:
        at += 1
        if at < stop and (text[at] == _MINUS or text[at] == _PLUS):
            at += 1
        at = _after_digits(text, at, stop)
    return at


@njit
def _same(text: Bytes, start: int, stop: int, word: Bytes) -> bool:
    same = stop - start == word.size
    for k in range(word.size if same else 0):
        same = same and text[start + k] == word[k]
    return same


@njit
def _after_word(text: Bytes, at: int, stop: int) -> int:
    """Behind `true`, `false` or `null`, or -1."""
    for word in (b"true", b"false", b"null"):
        same = at + len(word) <= stop
        for k in range(len(word)):
            same = same and text[at + k] == word[k]
        if same:
            return at + len(word)
    return -1


@njit
def _after_scalar(text: Bytes, at: int, stop: int) -> int:
    c = text[at]
    if c == _QUOTE:
        return _after_string(text, at, stop)
    if c == _MINUS or _ZERO <= c <= _NINE:
        return _after_number(text, at, stop)
    return _after_word(text, at, stop)


@njit
def _integer(text: Bytes, start: int, stop: int, missing: int) -> int:
    """The integer that a scalar is, or `missing`."""
    negative = text[start] == _MINUS
    value = 0
    for k in range(start + 1 if negative else start, stop):
        if text[k] < _ZERO or text[k] > _NINE:
            return missing
        value = min(10 * value + int(text[k]) - _ZERO, _MOST)
    return -value if negative else value


@njit
def json_integer(text: Bytes, start: int, stop: int, key: Bytes, missing: int) -> int:
    """The integer under `key` in the object that text[start:stop] is.

    `missing` if the text is no JSON object, or has something else there, or nothing.
    """
    found = missing
    depth = 0
    objects = 0  # bit by depth: it is an object, and no list
    wanted = False
    expected = _VALUE
    at = _after_space(text, start, stop)
    while at < stop:
        c = text[at]
        closes = c == (_CLOSE_OBJECT if objects >> depth & 1 else _CLOSE_LIST)
        if closes and expected in (_KEY_OR_END, _VALUE_OR_END, _COMMA_OR_END):
            depth -= 1
            expected = _COMMA_OR_END if depth else _NOTHING
            at += 1
        elif expected == _COMMA_OR_END and c == _COMMA:
            expected = _KEY if objects >> depth & 1 else _VALUE
            at += 1
        elif expected in (_KEY, _KEY_OR_END) and c == _QUOTE:
            end = _after_string(text, at, stop)
            wanted = depth == 1 and end > 0 and _same(text, at + 1, end - 1, key)
            at = _after_space(text, end, stop) if end > 0 else stop
            if at == stop or text[at] != _COLON:
                return missing
            expected = _VALUE
            at += 1
        elif expected in (_VALUE, _VALUE_OR_END) and c in (_OPEN_OBJECT, _OPEN_LIST):
            is_object = c == _OPEN_OBJECT
            depth += 1
            if depth > DEPTH_ON_BOARDS or (depth == 1 and not is_object):
                return missing
            found = missing if wanted else found
            wanted = False
            objects = objects & ~(1 << depth) | is_object << depth
            expected = _KEY_OR_END if is_object else _VALUE_OR_END
            at += 1
        elif expected in (_VALUE, _VALUE_OR_END) and depth > 0:
            end = _after_scalar(text, at, stop)
            if end < 0:
                return missing
            found = _integer(text, at, end, missing) if wanted else found
            wanted = False
            expected = _COMMA_OR_END
            at = end
        else:
            return missing
        at = _after_space(text, at, stop)
    return found if expected == _NOTHING else missing
