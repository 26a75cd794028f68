from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.sim import seeds

ZONES = ["north", "south", "east", "west"]


def test_the_key_of_a_zone_does_not_depend_on_other_zones() -> None:
    alone = seeds.zone_keys(7, "probe", ["east"])
    among = seeds.zone_keys(7, "probe", ZONES)
    assert alone[0] == among[2]


def test_parts_zones_and_roots_have_different_streams() -> None:
    keys = {
        int(key)
        for root in (0, 1, 2)
        for part in ("probe", "valve")
        for key in seeds.zone_keys(root, part, ZONES)
    }
    assert len(keys) == 3 * 2 * len(ZONES)


def test_names_are_kept_apart() -> None:
    a = seeds.sequence(1, "ab", "c").generate_state(4)
    b = seeds.sequence(1, "a", "bc").generate_state(4)
    assert not np.array_equal(a, b)


def test_a_stream_is_what_the_documentation_says() -> None:
    # the recipe of the module docstring, written out
    digest = hashlib.sha256(
        (5).to_bytes(8, "little") + b"probe" + (5).to_bytes(8, "little") + b"north"
    ).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    expected = np.random.SeedSequence([42, *words]).generate_state(1, np.uint64)
    assert seeds.zone_keys(42, "probe", ["north"])[0] == expected[0]


def test_equal_names_give_equal_generators() -> None:
    a = seeds.generator(3, "weather").random(5)
    b = seeds.generator(3, "weather").random(5)
    c = seeds.generator(3, "weather2").random(5)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("root", [-1, seeds.MAX_SEED + 1])
def test_a_root_out_of_range_is_refused_with_the_range(root: int) -> None:
    with pytest.raises(ValueError, match=r"`seed` = .*permitted 0 to 9223372036854775807"):
        seeds.sequence(root, "x")


def test_a_stream_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="name"):
        seeds.sequence(1)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=20, unique=True))
def test_any_names_give_distinct_keys(names: list[str]) -> None:
    keys = seeds.zone_keys(0, "probe", names)
    assert len(set(keys.tolist())) == len(names)
