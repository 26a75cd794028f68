"""Integers of a JSON object, read by compiled code: what `json_text.parse` would find.

The plant looks into every message of every guest, too often for Python.  The whole text has to be
JSON (RFC 8259), nested no deeper than boards read; of a key that is there twice the last counts.
Keys are compared as they are written: one spelt with escapes is another key.
"""

from __future__ import annotations

from typing import Final

from levada.guest.fast.jit import njit
from levada.guest.fast.strings import Bytes
from levada.guest.text.json_text import DEPTH_ON_BOARDS

__all__ = ["json_integers", "key_number"]

_KEY_BYTES: Final = 7
_MOST: Final = 10**17
"""Numbers beyond it, of either sign, are taken to be so large."""
_QUOTE, _COMMA, _COLON, _BACKSLASH = 0x22, 0x2C, 0x3A, 0x5C
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_LIST, _CLOSE_LIST = 0x7B, 0x7D, 0x5B, 0x5D
_MINUS, _PLUS, _POINT, _ZERO, _E = 0x2D, 0x2B, 0x2E, 0x30, 0x65
# What may come next, in an order that makes ranges of what is asked together.
_VALUE, _VALUE_OR_END, _COMMA_OR_END, _KEY_OR_END, _KEY, _NOTHING = range(6)


@njit
def _after_space(text: Bytes, at: int, stop: int) -> int:
    while at < stop and (text[at] == 0x20 or 0x09 <= text[at] <= 0x0A or text[at] == 0x0D):
        at += 1
    return at


@njit
def _is_hexadecimal(c: int) -> bool:
    return 0x30 <= c <= 0x39 or 0x41 <= c <= 0x46 or 0x61 <= c <= 0x66


@njit
def _after_escape(text: Bytes, at: int, stop: int) -> int:
    """Behind what follows a backslash, or -1."""
    if at == stop:
        return -1
    if text[at] == 0x75:  # u
        known = at + 5 <= stop
        for k in range(1, 5 if known else 1):
            known = known and _is_hexadecimal(text[at + k])
        return at + 5 if known else -1
    for e in b'"\\/bfnrt':
        if text[at] == e:
            return at + 1
    return -1


@njit
def _after_string(text: Bytes, at: int, stop: int) -> int:
    """Behind the closing quote of the string that opens at `at`, or -1."""
    at += 1
    while at < stop and text[at] >= 0x20:
        c = text[at]
        at += 1
        if c == _QUOTE:
            return at
        if c == _BACKSLASH:
            at = _after_escape(text, at, stop)
            if at < 0:
                return -1
    return -1


@njit
def _is_digit(c: int) -> bool:
    return int(c) ^ _ZERO <= 9


@njit
def _after_digits(text: Bytes, at: int, stop: int) -> int:
    """Behind at least one digit, or -1."""
    start = at
    while at < stop and _is_digit(text[at]):
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


def key_number(key: str) -> int:
    """A key of 1 to 7 ASCII characters as the number that `json_integers` compares."""
    if not key.isascii() or not 1 <= len(key) <= _KEY_BYTES:
        raise ValueError(f"key {key!r}: permitted are 1 to {_KEY_BYTES} ASCII characters")
    return int.from_bytes(key.encode(), "little")


@njit
def _key_number(text: Bytes, start: int, stop: int) -> int:
    """The same of text[start:stop]; 0 if it is too long to be compared."""
    number = 0
    for k in range(stop - start if stop - start <= _KEY_BYTES else 0):
        number |= int(text[start + k]) << 8 * k
    return number


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
    if c == _MINUS or _is_digit(c):
        return _after_number(text, at, stop)
    if c == _QUOTE:
        return _after_string(text, at, stop)
    return _after_word(text, at, stop)


@njit
def _integer(text: Bytes, start: int, stop: int, missing: int) -> int:
    """The integer that a scalar is, or `missing`."""
    negative = text[start] == _MINUS
    value = 0
    for k in range(start + 1 if negative else start, stop):
        if not _is_digit(text[k]):
            return missing
        value = min(10 * value + int(text[k]) - _ZERO, _MOST)
    return -value if negative else value


@njit
def json_integers(
    text: Bytes, start: int, stop: int, keys: tuple[int, int], missing: tuple[int, int]
) -> tuple[int, int]:
    """The integers under two keys (of `key_number`) of the object that text[start:stop] is.

    Those `missing` if the text is no JSON object, or has something else there, or nothing.
    """
    first, second = missing
    depth = 0
    objects = 0  # bit by depth: it is an object, and no list
    key = 0  # that was read last at depth 1
    expected = _VALUE
    at = _after_space(text, start, stop)
    while at < stop:
        c = text[at]
        if expected == _COMMA_OR_END and c == _COMMA:
            expected = _KEY if objects >> depth & 1 else _VALUE
            at += 1
        elif _KEY_OR_END <= expected <= _KEY and c == _QUOTE:
            end = _after_string(text, at, stop)
            key = _key_number(text, at + 1, end - 1) if depth == 1 else 0
            at = _after_space(text, end, stop) if end > 0 else stop
            if at == stop or text[at] != _COLON:
                return missing
            expected = _VALUE
            at += 1
        elif _VALUE_OR_END <= expected <= _KEY_OR_END and c == (
            _CLOSE_OBJECT if objects >> depth & 1 else _CLOSE_LIST
        ):
            depth -= 1
            expected = _COMMA_OR_END if depth else _NOTHING
            at += 1
        elif expected <= _VALUE_OR_END and (c == _OPEN_OBJECT or c == _OPEN_LIST):  # noqa: SIM109
            is_object = c == _OPEN_OBJECT
            depth += 1
            if depth > DEPTH_ON_BOARDS or (depth == 1 and not is_object):
                return missing
            first = missing[0] if key == keys[0] else first
            second = missing[1] if key == keys[1] else second
            key = 0
            objects = objects & ~(1 << depth) | is_object << depth
            expected = _KEY_OR_END if is_object else _VALUE_OR_END
            at += 1
        elif expected <= _VALUE_OR_END and depth > 0:
            end = _after_scalar(text, at, stop)
            if end < 0:
                return missing
            first = _integer(text, at, end, missing[0]) if key == keys[0] else first
            second = _integer(text, at, end, missing[1]) if key == keys[1] else second
            key = 0
            expected = _COMMA_OR_END
            at = end
        else:
            return missing
        at = _after_space(text, at, stop)
    return (first, second) if expected == _NOTHING else missing
