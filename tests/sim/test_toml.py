from __future__ import annotations

import tomllib
from datetime import date
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from levada.sim.scenario.toml_index import TextSpan, index
from levada.sim.settings.toml_value import toml_value

KEYS = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.dates(date(1, 1, 1)),
    st.datetimes().map(lambda t: t.replace(microsecond=0)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=5)


class TestWriter:
    @given(TABLES)
    def test_what_is_written_is_read_back_equal(self, table: dict[str, Any]) -> None:
        assert tomllib.loads(f"it = {toml_value(table)}")["it"] == table

    @given(TABLES)
    def test_types_survive_too(self, table: dict[str, Any]) -> None:
        def kinds(value: Any) -> Any:
            match value:
                case dict():
                    return {key: kinds(inner) for key, inner in value.items()}
                case list():
                    return [kinds(inner) for inner in value]
                case _:
                    return type(value)

        assert kinds(tomllib.loads(f"it = {toml_value(table)}")["it"]) == kinds(table)

    def test_refuses_what_toml_does_not_have(self) -> None:
        with pytest.raises(TypeError, match="TOML has no set"):
            toml_value({1})


DOCUMENT = '''\
# a comment with [brackets] and "quotes"
title = "a # is no comment"
[ site ]   # spaces are allowed
"quoted key".inner = 1
text = """
[not.a.table]
"""
[[zone]]
name = 'n\\'
soil = { theta = [0.1,
  0.2, # between elements
], texture = "clay" }
[zone.crop]
a.b = 1979-05-27T07:32:00
[[zone.layer]]
n = 1.5
[[zone.layer]]
n = 2.5
[[zone]]
  name = "m"
'''


class TestIndex:
    def test_names_line_column_and_width_of_keys_and_values(self) -> None:
        places = index(DOCUMENT)
        expected = {
            ("title",): (TextSpan(2, 1, 5), TextSpan(2, 9, 19)),
            ("site",): (TextSpan(3, 1, 8), TextSpan(3, 1, 8)),
            ("site", "quoted key", "inner"): (TextSpan(4, 1, 18), TextSpan(4, 22, 1)),
            ("site", "text"): (TextSpan(5, 1, 4), TextSpan(5, 8, 3)),
            ("zone",): (TextSpan(8, 1, 8), TextSpan(8, 1, 8)),
            ("zone", 0, "name"): (TextSpan(9, 1, 4), TextSpan(9, 8, 4)),
            ("zone", 0, "soil", "theta", 1): (TextSpan(11, 3, 3), TextSpan(11, 3, 3)),
            ("zone", 0, "soil", "texture"): (TextSpan(12, 4, 7), TextSpan(12, 14, 6)),
            ("zone", 0, "crop", "a", "b"): (TextSpan(14, 1, 3), TextSpan(14, 7, 19)),
            ("zone", 0, "layer", 0, "n"): (TextSpan(16, 1, 1), TextSpan(16, 5, 3)),
            ("zone", 0, "layer", 1, "n"): (TextSpan(18, 1, 1), TextSpan(18, 5, 3)),
            ("zone", 1): (TextSpan(19, 1, 8), TextSpan(19, 1, 8)),
            ("zone", 1, "name"): (TextSpan(20, 3, 4), TextSpan(20, 10, 3)),
        }
        found = {path: (places[path].key, places[path].value) for path in expected}
        assert found == expected

    @given(TABLES)
    def test_finds_exactly_the_keys_that_the_parser_finds(self, table: dict[str, Any]) -> None:
        def paths(value: Any, path: tuple[str | int, ...]) -> set[tuple[str | int, ...]]:
            found = {path} if path else set()
            if isinstance(value, dict):
                for key, inner in value.items():
                    found |= paths(inner, (*path, key))
            elif isinstance(value, list):
                for i, inner in enumerate(value):
                    found |= paths(inner, (*path, i))
            return found

        assert set(index(tomli_w.dumps(table))) == paths(table, ())
