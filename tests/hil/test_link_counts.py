"""What a link counts and how long it waits, exactly: the line is a script, the clock a number."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_line import Clock, Piece, Script, flipped, older, ping, pong, sends

from levada.hil import link as link_module
from levada.hil.errors import LinkError
from levada.hil.link import Link, LinkQuality, Patience
from levada.hil.wire.codec import Frame, encode_frame
from levada.hil.wire.messages import Ack, Ping, Pong


@pytest.mark.parametrize(
    ("answers", "retries", "damaged", "stale", "console"),
    [
        pytest.param([[pong]], 0, 0, 0, [], id="healthy"),
        pytest.param([[flipped], [pong]], 1, 1, 0, [], id="a CRC error"),
        pytest.param([[flipped, flipped, pong]], 0, 2, 0, [], id="two CRC errors, then the answer"),
        pytest.param([[], [], [pong]], 2, 0, 0, [], id="two lost answers"),
        pytest.param([[older, pong]], 0, 0, 1, [], id="an older answer"),
        pytest.param([[lambda f: pong(f)[:9]], [pong]], 1, 1, 0, [], id="an answer cut short"),
        pytest.param([[b"I (3) a\nI (4) b\n", pong]], 0, 0, 0, ["I (3) a", "I (4) b"], id="text"),
        pytest.param([[b"\x01\x02\x03\0", older, flipped, pong]], 0, 2, 1, [], id="all at once"),
    ],
)
def test_what_goes_wrong_is_counted_once_each(
    clock: Clock,
    answers: list[list[Piece]],
    retries: int,
    damaged: int,
    stale: int,
    console: list[str],
) -> None:
    line = Script(clock, *answers)
    link = Link(line)
    ping(link)
    quality = link.quality
    counts = (quality.requests, quality.retries, quality.damaged, quality.stale, quality.reopened)
    assert counts == (1, retries, damaged, stale, 0)
    assert list(link.console) == console
    assert len(set(line.written)) == 1, "the same bytes each time"
    assert quality.summary()["crc_errors"] == damaged
    assert quality.summary()["resyncs"] == stale
    assert len(quality.round_trips_s) == (retries == 0)


def test_the_wait_doubles_with_each_try_up_to_the_longest(clock: Clock) -> None:
    line = Script(clock, [], [], [], [], [pong])
    ping(Link(line, patience=Patience(least_s=0.2, most_s=3.0)))
    assert line.waits_s == [1.0, 2.0, 3.0, 3.0]  # UNKNOWN_S first


def test_a_silence_is_told_while_it_lasts_and_when_it_has_ended(clock: Clock) -> None:
    told: list[float] = []
    line = Script(clock, [], LinkError("gone"), [pong], [pong], absent=220)
    link = Link(line, patience=Patience(reopen_s=20.0))
    link.on_silence = told.append
    asleep = clock.wait

    def look(seconds: float) -> None:
        asleep(seconds)
        seen.append(link.silent_s)

    seen: list[float] = []
    link_module.sleep = look  # type: ignore[assignment, attr-defined]  # undone with the clock
    assert link.silent_s == 0.0
    ping(link)
    # 1 s without an answer, then 220 looks of 0.05 s for the line
    assert told == [pytest.approx(12.0)]
    assert seen[-1] == pytest.approx(12.0)
    assert link.quality.reopened == 1
    assert link.silent_s == 0.0
    ping(link)
    assert len(told) == 1


def test_a_short_silence_is_told_to_nobody(clock: Clock) -> None:
    told: list[float] = []
    link = Link(Script(clock, [], [], [pong]))  # 1 s and 2 s
    link.on_silence = told.append
    ping(link)
    assert told == []
    assert link.quality.retries == 2


@pytest.mark.parametrize(
    ("silence_s", "told"),
    [(3.95, []), (4.0, []), (4.05, [4.05])],
    ids=["shorter", "as long as is told to nobody", "longer"],
)
def test_a_silence_is_told_from_four_seconds_on(
    clock: Clock, silence_s: float, told: list[float]
) -> None:
    clock.now_s = 0.0  # so that the sums are exact
    found: list[float] = []
    late = Patience(least_s=silence_s, most_s=silence_s)
    link = Link(Script(clock, [], [pong]), patience=late)
    link.on_silence = found.append
    ping(link)
    assert found == told


def test_a_request_is_sent_five_times_then_the_line_is_opened_anew_and_five_times_again(
    clock: Clock,
) -> None:
    line = Script(clock)
    link = Link(line)
    with pytest.raises(LinkError, match="script: no answer to Ping, sent 10 times; last console"):
        ping(link)
    assert line.waits_s == 2 * [1.0, 2.0, 2.0, 2.0, 2.0]
    assert (len(line.written), len(set(line.written)), line.openings) == (10, 1, 1)
    quality = link.quality
    assert (quality.requests, quality.retries, quality.reopened) == (1, 9, 1)
    assert link.silent_s == 18.0


def test_the_wait_is_at_least_a_fifth_of_a_second_and_doubles(clock: Clock) -> None:
    line = Script(clock, [pong], [], [], [], [], [pong], [pong])
    link = Link(line)
    for _ in range(3):
        ping(link)
    assert line.waits_s == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert link.quality.retries == 4
    assert list(link.quality.round_trips_s) == [0.0, 0.0], "of requests that were sent once"


def test_the_wait_is_twice_the_longest_of_the_last_sixteen_round_trips(clock: Clock) -> None:
    def after(seconds: float) -> Piece:
        def answer(frame: Frame) -> bytes:
            clock.wait(seconds)
            return pong(frame)

        return answer

    slow, quick = after(0.5), after(0.25)
    line = Script(clock, [slow], *([quick] for _ in range(15)), [], [pong], [pong], [], [pong])
    link = Link(line)
    for _ in range(17):
        ping(link)
    assert line.waits_s == pytest.approx([1.0])
    ping(link)  # the seventeenth that was sent once: the slow one is forgotten
    ping(link)
    assert line.waits_s == pytest.approx([1.0, 0.5])
    assert list(link.quality.round_trips_s) == pytest.approx([0.5] + [0.25] * 15 + [0.0])


@pytest.mark.parametrize(("reopen_s", "openings"), [(0.0, 1), (0.12, 4)])
def test_a_line_that_is_gone_is_tried_every_twentieth_of_a_second_until_the_time_is_over(
    clock: Clock, reopen_s: float, openings: int
) -> None:
    line = Script(clock, LinkError("gone"), absent=100)
    link = Link(line, patience=Patience(reopen_s=reopen_s))
    with pytest.raises(LinkError, match="gone"):
        ping(link)
    assert (line.openings, len(line.written)) == (openings, 1)
    assert link.quality.reopened == 0


def test_a_line_that_is_gone_is_waited_for_ten_seconds(clock: Clock) -> None:
    clock.now_s = 0.0
    with pytest.raises(LinkError, match="gone"):
        ping(Link(Script(clock, LinkError("gone"), absent=1000)))
    assert clock.now_s == pytest.approx(10.0, abs=0.06)  # and perhaps one sleep


def test_raw_bytes_stand_between_zeros(clock: Clock) -> None:
    class Raw(Script):
        def write(self, data: bytes) -> None:
            self.written.append(data)

    line = Raw(clock)
    Link(line).write_raw(b"abc")
    assert line.written == [b"\0abc\0"]


def test_a_line_that_is_gone_twice_is_given_up(clock: Clock) -> None:
    line = Script(clock, LinkError("gone"), LinkError("gone again"), [pong])
    link = Link(line)
    with pytest.raises(LinkError, match="gone again"):
        ping(link)
    assert (link.quality.reopened, link.quality.retries) == (1, 1)
    ping(link)
    assert link.quality.retries == 1


def test_numbers_go_up_by_one_and_begin_again_behind_ffff(clock: Clock) -> None:
    line = Script(clock, [pong], [pong], [pong])
    link = Link(line)
    link._sequence = 0xFFFE
    for _ in range(3):
        ping(link)
    assert [frame.sequence for frame in line.frames] == [0xFFFF, 0, 1]
    assert link.quality.requests == 3


def test_what_is_no_answer_is_none_though_its_number_is_right(clock: Clock) -> None:
    """An echo of the request, then the answer of the lowest type."""
    echo: Piece = lambda frame: encode_frame(frame.type, frame.sequence, frame.body)  # noqa: E731
    link = Link(Script(clock, [echo, older, sends(Ack(value=7))]))
    assert link.ask(Ping(data=b""), Ack).value == 7
    assert (link.quality.stale, link.quality.damaged) == (2, 0)


def test_the_last_request_is_repeated_byte_by_byte_and_counted_as_such(clock: Clock) -> None:
    line = Script(clock, [pong], [pong])
    link = Link(line)
    ping(link)
    assert link.repeat() == Pong(data=b"twelve bytes")
    assert len(line.written) == 2 and len(set(line.written)) == 1
    assert (link.quality.requests, link.quality.retries) == (1, 1)
    assert len(link.quality.round_trips_s) == 1


def test_the_last_two_hundred_lines_of_the_console_are_kept(clock: Clock) -> None:
    text = b"".join(b"line %d\n" % k for k in range(201))
    link = Link(Script(clock, [text, pong]))
    ping(link)
    assert link.console[0] == "line 1" and link.last_console_line == "line 200"
    assert len(link.console) == 200


def test_a_line_of_the_console_without_an_end_is_kept_when_the_line_is_idle(clock: Clock) -> None:
    link = Link(Script(clock, [b"I (1) no end"]), patience=Patience(tries=1))
    with pytest.raises(LinkError, match="last console line: I \\(1\\) no end"):
        ping(link)


# What is made of the counts


def test_a_new_link_has_seen_nothing() -> None:
    quality = LinkQuality()
    assert [getattr(quality, name) for name in LinkQuality.__slots__][:-1] == [0] * 7
    assert quality.void() is None
    assert quality.summary() == {
        "requests": 0,
        "retries": 0,
        "crc_errors": 0,
        "resyncs": 0,
        "round_trip_p50_ms": 0.0,
        "round_trip_p99_ms": 0.0,
        "jitter_ms": 0.0,
    }


@pytest.mark.parametrize(
    ("counts", "void"),
    [
        ({"requests": 10, "retries": 5}, None),
        ({"requests": 10, "retries": 6}, "6 of 10 requests had to be repeated: 1% permitted"),
        ({"requests": 10, "retries": 9, "excused": 4}, None),
        ({"requests": 1000, "retries": 10}, None),
        ({"requests": 1000, "retries": 11}, "11 of 1000 requests had to be repeated: 1% permitted"),
        ({"requests": 10, "taken": 2}, r"another host has taken the device, 2 time(s)"),
    ],
)
def test_few_repetitions_void_no_run_and_more_than_one_in_a_hundred_do(
    counts: dict[str, Any], void: str | None
) -> None:
    assert LinkQuality(**counts).void() == void


def test_round_trips_are_summed_up_as_percentiles() -> None:
    quality = LinkQuality(requests=101, retries=4, damaged=5, stale=6, reopened=7)
    quality.round_trips_s.extend(k / 1000.0 for k in range(1, 102))
    assert quality.summary() == {
        "requests": 101,
        "retries": 4,
        "crc_errors": 5,
        "resyncs": 13,
        "round_trip_p50_ms": pytest.approx(51.0),
        "round_trip_p99_ms": pytest.approx(100.0),
        # of 1..n: sqrt((n^2 - 1) / 12)
        "jitter_ms": pytest.approx(850.0**0.5),
    }


def test_a_wait_of_a_twentieth_of_a_second_is_waited_too(clock: Clock) -> None:
    line = Script(clock, [], [], [pong])
    ping(Link(line, patience=Patience(least_s=0.05, most_s=0.05)))
    assert line.waits_s == pytest.approx([0.05, 0.05])
