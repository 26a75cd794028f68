from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from levada.twin.mqtt.sequence import MODULUS, WINDOW, Numbering, Received, unwrap


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


def test_every_node_that_numbers_nothing_has_a_sequence_of_its_own() -> None:
    numbering = Numbering(nodes=2)
    given = [numbering.next(node) for node in ("a", "b", "a", "a", "b")]
    assert [identity.seq for identity in given] == [0, 0, 1, 2, 1]
    assert len({identity.boot for identity in given}) == 1
    assert given[0].boot < 0
    assert all(identity.oldest == identity.seq for identity in given)


def test_more_nodes_than_are_known_begin_a_new_life() -> None:
    """Numbers that were given before may never come again in the same life."""
    numbering = Numbering(nodes=2)
    given = [numbering.next(node) for node in ("a", "b", "c", "a", "b", "a")]
    assert len({("a", given[i].boot, given[i].seq) for i in (0, 3, 5)}) == 3
    assert given[2].boot != given[0].boot


def test_the_window_of_a_store_moves_on_behind_what_was_lost() -> None:
    numbering = Numbering(nodes=1)
    life = Received.before(0)
    for count in range(2 * WINDOW + 10):
        identity = numbering.next("n")
        if count in (5, WINDOW, WINDOW + 1):
            continue  # nobody took it
        missing = life.skip(identity.oldest)
        assert missing == {6: [(5, 5)], WINDOW + 2: [(WINDOW, WINDOW + 1)]}.get(count, [])
        assert not life.has(identity.seq)
        assert life.fits(identity.seq)
        life.add(identity.seq)
    assert life.contiguous == 2 * WINDOW + 9


def test_a_gap_has_something_in_it() -> None:
    """Neighbours that are stored, at the beginning, in the middle and at the end."""
    life = Received.before(3)
    for number in (5, 6, 9, 10, 14):
        life.add(number)
    assert life.skip(15) == [(3, 4), (7, 8), (11, 13)]
    assert (life.contiguous, life.highest, life.beyond) == (14, 14, set())
