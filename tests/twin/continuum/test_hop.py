"""Links and hops in simulated time, against times that were calculated by hand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import simpy

from levada.sim.scenario.continuum import Link, Outage
from levada.sim.scenario.model import Period
from levada.twin.continuum.hop import ACK_BYTES, Direction, Hop

PERIOD = Period(start=date(2023, 7, 1), end=date(2023, 7, 31))


def hop_over(
    link: Link, seed: int = 1, rows_s: float | None = None
) -> tuple[simpy.Environment, Hop[int], list[tuple[float, int]]]:
    env = simpy.Environment()
    taken: list[tuple[float, int]] = []
    hop = Hop[int](
        env,
        Direction(env, link, PERIOD, seed, "there"),
        Direction(env, link, PERIOD, seed, "back"),
        lambda item: taken.append((env.now, item)) is None,
        rows_s=rows_s,
    )
    return env, hop, taken


def test_a_message_arrives_after_the_delay_and_is_forgotten_after_the_way_back() -> None:
    env, hop, taken = hop_over(Link(between="edge-fog", delay_ms=250.0))
    hop.put(7, 100)
    env.run(until=0.4)
    assert (taken, hop.kept) == ([(0.25, 7)], 1)
    env.run(until=0.6)
    assert hop.kept == 0
    assert hop.sent == 1


def test_messages_queue_for_a_slow_line() -> None:
    """1,000 bytes at 8 kbit/s take a second each; acknowledgements, 40 bytes, have the other
    direction for themselves."""
    assert ACK_BYTES == 40
    env, hop, taken = hop_over(Link(between="edge-fog", delay_ms=100.0, rate_kbit_s=8.0))
    for item in range(3):
        hop.put(item, 1_000)
    env.run(until=10.0)
    assert [(round(at, 9), item) for at, item in taken] == [(1.1, 0), (2.1, 1), (3.1, 2)]
    assert hop.sent == 3


def test_what_is_put_in_an_outage_leaves_at_its_end() -> None:
    outage = Outage(start=timedelta(seconds=10), duration=timedelta(days=7))
    env, hop, taken = hop_over(Link(between="fog-cloud", delay_ms=50.0, outage=(outage,)))
    env.run(until=20.0)
    for item in range(1_000):
        hop.put(item, 100)
    env.run(until=10 + 7 * 86_400 + 10)
    assert hop.kept == 0
    assert hop.most == 1_000
    assert [item for _, item in taken] == list(range(1_000))
    assert taken[0][0] == pytest.approx(10 + 7 * 86_400 + 0.05)


def test_a_flush_keeps_to_its_rate() -> None:
    env, hop, taken = hop_over(Link(between="fog-cloud", delay_ms=50.0), rows_s=100.0)
    for item in range(301):
        hop.put(item, 100)
    env.run(until=60.0)
    times = [at for at, _ in taken]
    assert times[-1] - times[0] == pytest.approx(3.0)
    assert len(times) == 301


@pytest.mark.parametrize("seed", range(5))
def test_loss_and_jitter_change_when_messages_arrive_and_not_which(seed: int) -> None:
    link = Link(between="edge-fog", delay_ms=20.0, jitter_ms=300.0, loss_pct=30.0)
    env, hop, taken = hop_over(link, seed)

    def source() -> object:
        for item in range(500):
            hop.put(item, 100)
            yield env.timeout(0.5)

    env.process(source())  # type: ignore[arg-type]
    env.run(until=3_600.0)
    assert [item for _, item in taken] == list(range(500))
    assert hop.kept == 0
    assert hop.sent > 600  # 30 % of them, and of the acknowledgements, were lost
    assert all(at >= 0.02 for at, _ in taken)


def test_a_message_that_is_lost_comes_after_the_patience() -> None:
    """With 99 % loss nearly nothing arrives at first; the tries are 1, 2, 4 ... 64 s apart, and the
    time there and back, 0.2 s."""
    link = Link(between="edge-fog", delay_ms=100.0, loss_pct=99.0)
    env, hop, taken = hop_over(link)
    hop.put(1, 100)
    env.run(until=36_000.0)
    arrivals = [0.1]
    for number in range(500):
        arrivals.append(arrivals[-1] + min(2.0**number, 64.0) + 0.2)
    assert len(taken) == 1
    at = min(arrivals, key=lambda time: abs(time - taken[0][0]))
    assert taken[0][0] == pytest.approx(at)
    assert at > 1.0


def test_equal_seeds_give_equal_times() -> None:
    link = Link(between="edge-fog", delay_ms=20.0, jitter_ms=300.0, loss_pct=30.0)
    runs = []
    for seed in (3, 3, 4):
        env, hop, taken = hop_over(link, seed)
        for item in range(50):
            hop.put(item, 100)
        env.run(until=600.0)
        runs.append(taken)
    assert runs[0] == runs[1] != runs[2]


def test_what_the_other_side_has_no_room_for_is_kept_and_sent_again() -> None:
    env = simpy.Environment()
    link = Link(between="edge-fog", delay_ms=100.0)
    taken: list[int] = []

    def take(item: int) -> bool:
        if env.now < 5.0:
            return False
        taken.append(item)
        return True

    up, down = (Direction(env, link, PERIOD, 1, name) for name in ("up", "down"))
    hop = Hop[int](env, up, down, take)
    for item in range(3):
        hop.put(item, 100)
    env.run(until=4.9)
    assert (taken, hop.kept) == ([], 3)
    env.run(until=20.0)
    assert (taken, hop.kept) == ([0, 1, 2], 0)


def test_what_was_dropped_is_not_waited_for() -> None:
    outage = Outage(start=timedelta(seconds=0), duration=timedelta(seconds=60))
    env, hop, taken = hop_over(Link(between="fog-cloud", delay_ms=50.0, outage=(outage,)))
    for item in range(10):
        hop.put(item, 100)
    env.run(until=30.0)
    for _ in range(4):
        hop.drop_oldest()
    env.run(until=120.0)
    assert [item for _, item in taken] == [4, 5, 6, 7, 8, 9]
    assert (hop.kept, hop.dropped) == (0, 4)


def test_an_outage_while_a_message_is_sent_breaks_it_off() -> None:
    """1,000 bytes at 1 kbit/s take 8 s, and the link is down from 3 to 4.  The second try begins
    1.64 s after the first has left: 1 s of patience, and 0.32 s for 40 bytes in either direction.
    """
    outage = Outage(start=timedelta(seconds=3), duration=timedelta(seconds=1))
    env, hop, taken = hop_over(Link(between="edge-fog", rate_kbit_s=1.0, outage=(outage,)))
    hop.put(1, 1_000)
    env.run(until=60.0)
    assert [(round(at, 9), item) for at, item in taken] == [(8.0 + 1.0 + 2 * 0.32 + 8.0, 1)]


@pytest.mark.parametrize("rate_kbit_s", [0.1, 1.0, 4.0])
def test_a_message_that_takes_long_to_send_is_waited_for(rate_kbit_s: float) -> None:
    """Up to 80 s to send, and 3.2 s until it is acknowledged: the patience begins when the last of
    it has left, and allows for the time that an acknowledgement takes."""
    env, hop, taken = hop_over(Link(between="edge-fog", rate_kbit_s=rate_kbit_s))
    for item in range(3):
        hop.put(item, 1_000)
    env.run(until=1_000.0)
    assert [item for _, item in taken] == [0, 1, 2]
    assert hop.sent == 3
    assert taken[0][0] == pytest.approx(8_000 / (rate_kbit_s * 1_000))
