"""Clocks and hops, against examples calculated by hand (RFC 5905, section 8)."""

from __future__ import annotations

import pytest

from levada.twin.continuum.hops import (
    SHARED,
    ClockOffset,
    Exchange,
    Journey,
    OffsetEstimate,
    Spread,
    host_id,
    spread,
)

AHEAD = Exchange(100, 1_105, 1_107, 112)
"""The other clock is 1,000 us ahead; 5 us there, 2 us until the answer, 5 us back."""


def test_the_offset_of_an_even_way_is_exact() -> None:
    assert AHEAD.round_trip_us == 10
    assert AHEAD.offset_us == 1_000


def test_an_uneven_way_is_wrong_by_at_most_half_of_the_round_trip() -> None:
    uneven = Exchange(100, 1_109, 1_111, 112)  # 9 us there, 1 us back
    assert uneven.round_trip_us == 10
    assert abs(uneven.offset_us - 1_000) == 4
    estimate = OffsetEstimate()
    estimate.take(uneven)
    assert estimate.offset is not None
    assert abs(estimate.offset.us - 1_000) <= estimate.offset.error_us == 5


def test_the_exchange_with_the_least_round_trip_is_believed() -> None:
    estimate = OffsetEstimate()
    assert estimate.offset is None
    estimate.take(Exchange(0, 1_400, 1_400, 500))  # round trip 500, offset 1,150
    estimate.take(AHEAD)
    estimate.take(Exchange(200, 1_800, 1_800, 900))
    assert estimate.offset == ClockOffset(1_000, 5)


def test_an_exchange_that_ends_before_it_began_tells_nothing() -> None:
    estimate = OffsetEstimate()
    estimate.take(Exchange(100, 1_105, 1_190, 112))  # round trip -73
    assert estimate.offset is None


def test_an_old_exchange_is_forgotten() -> None:
    estimate = OffsetEstimate()
    estimate.take(AHEAD)
    for _ in range(64):
        estimate.take(Exchange(0, 1_400, 1_400, 500))
    assert estimate.offset == ClockOffset(1_150, 250)


JOURNEY = Journey(
    node_sent_us=5_000_000,
    fog_received_us=1_000_300,
    fog_sent_us=1_000_900,
    cloud_received_us=400,
    cloud_committed_us=2_400,
)
"""By three clocks; 0 is the start of the cloud's."""


def test_stages_are_told_by_the_cloud_s_clock() -> None:
    node, fog = ClockOffset(5_000_200, 10), ClockOffset(1_000_000, 10)
    # the node sent at -200, fog received at 300 and sent at 900: with an offset this wrong, the
    # message seems to arrive before it was sent, which is told as it is
    assert JOURNEY.stages(node, fog) == {
        "edge_us": 500,
        "fog_us": 600,
        "uplink_us": -500,
        "commit_us": 2_000,
    }


def test_what_hangs_on_an_unknown_clock_is_not_told() -> None:
    assert JOURNEY.stages(None, ClockOffset(1_000_600, 10)) == {
        "fog_us": 600,
        "uplink_us": 100,
        "commit_us": 2_000,
    }
    assert JOURNEY.stages() == {"fog_us": 600, "commit_us": 2_000}
    assert Journey(cloud_received_us=1).stages(SHARED, SHARED) == {}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], None),
        ([7], Spread(count=1, p50=7, p95=7, most=7)),
        ([4, 1, 3, 2], Spread(count=4, p50=2, p95=4, most=4)),
        (list(range(1, 101)), Spread(count=100, p50=50, p95=95, most=100)),
    ],
)
def test_percentiles_are_those_of_the_nearest_rank(
    values: list[float], found: Spread | None
) -> None:
    assert spread(values) == found


def test_a_start_of_a_machine_has_one_name() -> None:
    assert host_id() == host_id()
    assert 1 <= len(host_id()) <= 64
