from __future__ import annotations

from levada.twin.sources.completeness import Completeness


def test_it_reaches_to_the_message_before_which_none_is_missing() -> None:
    made = Completeness()
    made.hear(1, 5, 5, 500)
    assert made.upto_ms == 500
    made.hear(1, 7, 5, 700)
    assert made.upto_ms == 500
    made.hear(1, 6, 5, 600)
    assert made.upto_ms == 700


def test_what_a_device_still_holds_is_to_come() -> None:
    made = Completeness()
    made.hear(1, 5, 3, 500)
    assert made.upto_ms is None
    made.hear(1, 3, 3, 300)
    made.hear(1, 4, 3, 400)
    assert made.upto_ms == 500


def test_what_a_device_has_dropped_is_not_waited_for() -> None:
    made = Completeness()
    made.hear(1, 0, 0, 0)
    made.hear(1, 9, 8, 900)
    assert made.upto_ms == 0
    made.hear(1, 10, 9, 1_000)
    assert made.upto_ms == 1_000


def test_a_missing_number_can_be_given_up() -> None:
    made = Completeness()
    made.hear(1, 0, 0, 0)
    made.hear(1, 3, 0, 300)
    made.give_up()
    assert made.upto_ms == 300
    made.give_up()
    assert made.upto_ms == 300


def test_a_new_life_counts_anew_and_a_former_one_no_more() -> None:
    made = Completeness()
    made.hear(1, 40, 40, 400)
    made.hear(2, 0, 0, 500)
    assert made.upto_ms == 500
    made.hear(1, 41, 41, 450)
    assert made.upto_ms == 500


def test_numbers_may_wrap() -> None:
    made = Completeness()
    made.hear(1, 2**32 - 1, 2**32 - 1, 100)
    made.hear(1, 0, 2**32 - 1, 200)
    assert made.upto_ms == 200
