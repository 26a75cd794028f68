from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.twin.mqtt.sequence import WINDOW, Identity, Numbering, Received, check_oldest, unwrap


@pytest.mark.parametrize(
    ("seq", "near", "number"),
    [
        (7, 5, 7),
        (5, 7, 5),
        (3, 4_294_967_294, 4_294_967_299),  # five ahead, over the wrap
        (4_294_967_295, 4_294_967_297, 4_294_967_295),  # two behind, over the wrap
        (4_294_967_295, 0, -1),
        (0, 8_589_934_591, 8_589_934_592),  # the second wrap
        (2_147_483_647, 0, 2_147_483_647),
        (2_147_483_649, 0, -2_147_483_647),
        (
            2_147_483_648,
            0,
            -2_147_483_648,
        ),  # as far both ways: behind
    ],
)
def test_a_wrapped_number_is_the_one_nearest_to_what_is_expected(
    seq: int, near: int, number: int
) -> None:
    """A counter of 32 bits has 4,294,967,296 numbers."""
    assert unwrap(seq, near) == number


@pytest.mark.parametrize("oldest", [0, 4_294_967_290])
def test_a_device_holds_at_least_what_it_sends(oldest: int) -> None:
    """Of two numbers the one less than half of all 4,294,967,296 ahead is the later."""
    for ahead in (0, 1, 1_431_655_766, 2_147_483_647):
        check_oldest((oldest + ahead) % 4_294_967_296, oldest)
    for ahead in (2_147_483_648, 4_294_967_295):
        with pytest.raises(ValueError, match=f"oldest = {oldest} lies behind seq"):
            check_oldest((oldest + ahead) % 4_294_967_296, oldest)


def test_before_the_first_message_nothing_is_stored() -> None:
    life = Received.before(7)
    assert (life.contiguous, life.highest, life.last_ms, life.beyond) == (6, 6, None, set())
    assert [life.has(seq) for seq in (6, 7)] == [True, False]


def test_the_window_is_65536_numbers_from_the_first_that_is_missing() -> None:
    life = Received.before(100)
    assert [life.fits(seq) for seq in (100, 65_635, 65_636)] == [True, True, False]
    life.add(100)
    assert [life.fits(seq) for seq in (65_636, 65_637)] == [True, False]


def test_a_late_message_is_not_the_highest() -> None:
    life = Received.before(0)
    for number, highest in (4, 4), (2, 4), (5, 5), (0, 5):
        life.add(number)
        assert life.highest == highest


def test_a_copy_changes_alone() -> None:
    life = Received.before(0)
    life.add(2)
    life.last_ms = 5
    copy = life.copy()
    assert copy == life
    copy.add(0)
    copy.add(1)
    assert (life.contiguous, life.highest, life.last_ms, life.beyond) == (-1, 2, 5, {2})


@pytest.mark.parametrize(
    ("oldest", "missing", "contiguous"),
    [
        (0, [], 2),  # below what is known already
        (2, [], 2),
        (3, [], 2),  # as it was
        (4, [(3, 3)], 3),  # the one that was waited for
        (5, [(3, 4)], 6),  # 5 and 6 are there
        (6, [(3, 4)], 6),
        (7, [(3, 4)], 6),
        (8, [(3, 4), (7, 7)], 7),
    ],
)
def test_what_is_skipped_is_named_to_the_last_number(
    oldest: int, missing: list[tuple[int, int]], contiguous: int
) -> None:
    life = Received.before(3)
    for number in (5, 6, 9):
        life.add(number)
    assert life.skip(oldest) == missing
    assert (life.contiguous, life.highest, life.beyond) == (
        contiguous,
        9,
        {9} if contiguous > 4 else {5, 6, 9},
    )


def test_what_is_skipped_beyond_all_that_is_stored_is_the_highest() -> None:
    life = Received.before(0)
    life.add(1)
    assert life.skip(10) == [(0, 0), (2, 9)]
    assert (life.contiguous, life.highest, life.beyond) == (9, 9, set())


def test_numbers_given_here_are_of_lives_that_no_device_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Devices draw theirs from 32 bits, so ours are below zero, and as many."""
    asked = []
    monkeypatch.setattr(secrets, "randbelow", lambda count: asked.append(count) or 0)
    assert Numbering(nodes=1).next("n") == Identity(-4_294_967_296, 0, 0)
    monkeypatch.setattr(secrets, "randbelow", lambda count: count - 1)
    assert Numbering(nodes=1).next("n").boot == -1
    assert asked == [4_294_967_296]


def test_numbers_given_here_wrap_as_those_of_a_device_do() -> None:
    numbering = Numbering(nodes=1)
    numbering._given["n"] = 4_294_967_295
    given = [numbering.next("n") for _ in range(2)]
    assert [(identity.seq, identity.oldest) for identity in given] == [
        (4_294_967_295, 4_294_967_295),
        (0, 0),
    ]


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
