from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from levada.twin.mqtt.sequence import MODULUS, Received, unwrap


def test_a_wrapped_number_is_the_one_nearest_to_what_is_expected() -> None:
    assert unwrap(3, MODULUS - 2) == MODULUS + 3
    assert unwrap(MODULUS - 1, MODULUS + 1) == MODULUS - 1
    assert unwrap(7, 5) == 7


def test_an_acknowledgement_never_covers_a_missing_message() -> None:
    life = Received.before(0)
    for number in (0, 1, 3, 4):
        life.add(number)
    assert (life.contiguous, life.highest) == (1, 4)
    life.add(2)
    assert life.contiguous == 4
    assert not life.beyond


def test_what_the_device_no_longer_holds_is_named_as_missing() -> None:
    life = Received.before(0)
    for number in (0, 3, 6):
        life.add(number)
    assert life.skip(6) == [(1, 2), (4, 5)]
    assert life.contiguous == 6
    assert life.skip(6) == []


@given(st.integers(0, 50), st.permutations(range(20)))
def test_any_order_ends_in_everything_received(first: int, order: list[int]) -> None:
    life = Received.before(first)
    for step in order:
        assert not life.has(first + step)
        life.add(first + step)
    assert (life.contiguous, life.beyond) == (first + 19, set())
