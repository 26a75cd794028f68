"""JSON from outside that is nested too deep, or no JSON: one kind of error, wherever it is read."""

from __future__ import annotations

import json
import math
import random
import sys

import pytest

from levada.guest.errors import ModuleError
from levada.guest.module.metadata import read_metadata
from levada.guest.text.json_text import DEPTH, DEPTH_ON_BOARDS, parse


@pytest.mark.parametrize("kind", ["[]", "{}"])
def test_the_deepest_is_read_and_one_more_is_not(kind: str) -> None:
    def nested(depth: int) -> str:
        inner = '{"a":' if kind == "{}" else "["
        return inner * (depth - 1) + kind + kind[1] * (depth - 1)

    assert parse(nested(DEPTH)) == json.loads(nested(DEPTH))
    for depth in (DEPTH + 1, 1_000, 200_000):
        with pytest.raises(ValueError, match="nested deeper than 64 levels"):
            parse(nested(depth))
        with pytest.raises(ValueError, match="nested deeper"):
            parse(nested(depth).encode())


def test_brackets_in_texts_and_side_by_side_are_not_deep() -> None:
    for text in (
        '"' + "[" * 500 + '"',
        "[" + ",".join(["[]"] * 500) + "]",
        '["\\"' + "[" * 99 + '"]',
    ):
        assert parse(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", "[" * 100, '"' + "[" * 100, b"\xff"])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize("number", ["9" * 5_000, "1e999", "9" * 400])
def test_a_number_beyond_every_float_is_infinite(number: str) -> None:
    assert parse(f"[{number}, -{number}]") == [math.inf, -math.inf]


def test_depth_is_judged_before_python_recurses_however_little_is_left() -> None:
    def deep(levels: int) -> str:
        if levels:
            return deep(levels - 1)
        with pytest.raises(ValueError, match="nested deeper"):
            parse("[" * 900 + "]" * 900)
        return str(parse("[]"))

    assert deep(sys.getrecursionlimit() // 2) == "[]"


def test_random_texts_are_judged_as_by_their_own_depth() -> None:
    source = random.Random(3)
    for _ in range(300):
        depth = source.randrange(1, 2 * DEPTH)
        text: str = "1"
        for _ in range(depth):
            filler = source.choice(['"]"', "0", "[[]]", '{"}":1}'])
            around = [f"[{text},{filler}]", f'{{"{{":{text}}}', f"[{filler},{text}]"]
            text = source.choice(around)
        found = depth_of(json.loads(text))
        if found <= DEPTH:
            assert parse(text) == json.loads(text)
        else:
            with pytest.raises(ValueError, match="nested deeper"):
                parse(text)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def test_metadata_that_a_board_would_not_read_are_refused() -> None:
    def metadata(depth: int) -> list[bytes]:
        inner = depth - 1
        return [b'{"name":"m","version":"1","more":' + b"[" * inner + b"]" * inner + b"}"]

    assert read_metadata(metadata(DEPTH_ON_BOARDS)) is not None
    with pytest.raises(ModuleError, match="nested deeper than 16 levels"):
        read_metadata(metadata(DEPTH_ON_BOARDS + 1))
