from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from simpy import Environment

from levada.sim.run import clock
from levada.sim.run.clock import LateError, WallClock, new_clock, parse_speed


class Wall:
    """A wall clock that only sleeping and work move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 5000.0
        self.slept: list[float] = []
        monkeypatch.setattr(clock, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(clock, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now_s += seconds


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def ticks(environment: Environment, wall: Wall, work_s: float, seen: list[float]) -> Any:
    def process() -> Generator[Any, Any, None]:
        while True:
            seen.append(wall.now_s)
            wall.now_s += work_s
            yield environment.timeout(60)

    return environment.process(process())


@pytest.mark.parametrize(("factor", "apart_s"), [(1.0, 60.0), (60.0, 1.0)])
def test_events_happen_when_the_wall_clock_says_so(
    wall: Wall, factor: float, apart_s: float
) -> None:
    environment, seen = WallClock(factor=factor), list[float]()
    wall.now_s += 30.0  # what is done before the first event takes no simulated time
    ticks(environment, wall, 0.25, seen)
    environment.run(until=200)
    assert seen == pytest.approx([5030.0 + k * apart_s for k in range(4)])
    assert environment.overruns == 0


def test_lateness_is_counted_and_made_up_for(wall: Wall) -> None:
    environment, seen = WallClock(factor=60.0), list[float]()

    def process() -> Generator[Any, Any, None]:
        for work_s in (2.5, 0.0, 0.0, 0.0):
            seen.append(wall.now_s)
            wall.now_s += work_s
            yield environment.timeout(60)

    environment.process(process())
    environment.run()
    # due at 0, 1, 2, 3 s; the first takes 2.5 s
    assert seen == pytest.approx([5000.0, 5002.5, 5002.5, 5003.0])
    assert environment.overruns == 2
    assert environment.late_s == pytest.approx(1.5)


def test_too_late_is_an_error_where_a_bound_is_set(wall: Wall) -> None:
    environment = WallClock(bound_s=1.0)
    ticks(environment, wall, 62.5, [])
    with pytest.raises(LateError, match=r"2\.500 s late at simulated second 60; allowed are 1\.0"):
        environment.run(until=1000)


def test_the_pace_can_change_on_the_way(wall: Wall) -> None:
    environment, seen = WallClock(factor=1.0), list[float]()
    ticks(environment, wall, 0.0, seen)
    environment.run(until=61)
    environment.pace(60.0)
    environment.run(until=181)
    assert seen == pytest.approx([5000.0, 5060.0, 5061.0 + 59 / 60, 5062.0 + 59 / 60])


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_time_that_does_not_go_forward_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=r"`factor` = .*: permitted above 0"):
        WallClock(factor=factor)


@pytest.mark.parametrize(("text", "factor"), [("max", None), ("1x", 1.0), ("60x", 60.0)])
def test_speeds_are_read(text: str, factor: float | None) -> None:
    assert parse_speed(text) == factor


@pytest.mark.parametrize("text", ["", "x", "60", "0x", "-1x", "1e3x", "fast", "60 x"])
def test_other_texts_are_no_speeds(text: str) -> None:
    with pytest.raises(ValueError, match="must be `max` or a factor"):
        parse_speed(text)


def test_without_a_speed_the_clock_is_plain_simpy() -> None:
    assert type(new_clock(None)) is Environment
    paced = new_clock(60.0)
    assert isinstance(paced, WallClock)
    assert paced.factor == 60.0
