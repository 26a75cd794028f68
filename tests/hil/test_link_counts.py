"""What a link counts and how long it waits, exactly: the line is a script, the clock a number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import pytest
from wire_frames import EXAMPLES

from levada.hil import link as link_module
from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError
from levada.hil.link import Link, LinkQuality, Patience
from levada.hil.wire.codec import Decoder, Frame, encode_frame
from levada.hil.wire.message import Message
from levada.hil.wire.messages import Ack, Birth, Close, Heartbeat, Hello, Nak, NakError, Ping, Pong

Piece = bytes | Callable[[Frame], bytes]
BORN = next(message for message in EXAMPLES if isinstance(message, Birth))


class Clock:
    """Goes on only when somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(link_module, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(link_module, "sleep", self.wait)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


class Script:
    """For each request what is read after it; an error is raised by the write, and so often by the
    openings that follow as `absent` says."""

    url = "script"

    def __init__(self, clock: Clock, *answers: list[Piece] | LinkError, absent: int = 0) -> None:
        self._clock = clock
        self._answers = deque(answers)
        self._pieces: deque[bytes] = deque()
        self._absent = absent
        self.waits_s: list[float] = []
        """Of the reads that brought nothing."""
        self.written: list[bytes] = []
        self.openings = 0

    @property
    def frames(self) -> list[Frame]:
        """What was written."""
        found = Decoder().feed(b"".join(self.written))
        return [frame for frame in found if isinstance(frame, Frame)]

    def open(self) -> None:
        self.openings += 1
        if self._absent:
            self._absent -= 1
            raise LinkError("absent")

    def write(self, data: bytes) -> None:
        self.written.append(data)
        answer = self._answers.popleft() if self._answers else []
        if isinstance(answer, LinkError):
            raise answer
        [frame] = Decoder().feed(data)
        assert isinstance(frame, Frame)
        self._pieces.extend(piece if isinstance(piece, bytes) else piece(frame) for piece in answer)

    def read(self, timeout_s: float) -> bytes:
        assert timeout_s > 0.0
        if self._pieces:
            return self._pieces.popleft()
        self.waits_s.append(timeout_s)
        self._clock.wait(timeout_s)
        return b""

    def close(self) -> None:
        pass


def pong(frame: Frame) -> bytes:
    return encode_frame(Pong.TYPE, frame.sequence, frame.body)


def sends(message: Message) -> Piece:
    """That message as the answer."""
    return lambda frame: encode_frame(message.TYPE, frame.sequence, message.encode())


def birth(boot_id: int = 3) -> Piece:
    """The answer to a HELLO, by a device that has started so often."""

    def answer(frame: Frame) -> bytes:
        session = Hello.decode(frame.body).session
        body = replace(BORN, session=session, boot_id=boot_id).encode()
        return encode_frame(Birth.TYPE, frame.sequence, body)

    return answer


def older(frame: Frame) -> bytes:
    return encode_frame(Pong.TYPE, frame.sequence - 1 & 0xFFFF, frame.body)


def flipped(frame: Frame) -> bytes:
    """One bit of the body is wrong."""
    data = bytearray(pong(frame))
    data[-7] ^= 1
    return bytes(data)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def ping(link: Link) -> None:
    assert link.ask(Ping(data=b"twelve bytes"), Pong).data == b"twelve bytes"


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
    link_module.sleep = look  # type: ignore[assignment]  # undone with the clock
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

    line = Script(clock, [after(0.5)], *[[after(0.25)]] * 15, [], [pong], [pong], [], [pong])
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


def test_a_line_that_is_gone_twice_is_given_up(clock: Clock) -> None:
    line = Script(clock, LinkError("gone"), LinkError("gone again"), [pong])
    link = Link(line)
    with pytest.raises(LinkError, match="gone again"):
        ping(link)
    assert (link.quality.reopened, link.quality.retries) == (1, 1)
    ping(link)
    assert link.quality.retries == 1


def test_numbers_go_up_by_one_and_begin_again_behind_ffff(clock: Clock) -> None:
    line = Script(clock, *[[pong]] * 3)
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


# Sessions


def test_a_session_has_a_number_of_thirty_two_bits_which_the_answer_repeats(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module.secrets, "randbelow", lambda limit: limit - 1)
    line = Script(clock, [birth()], [sends(BORN)])
    link = Link(line)
    assert link.hello().session == 2**32 - 1
    with pytest.raises(LinkError, match="script: answered HELLO with Birth"):
        link.hello()


def test_a_heartbeat_is_said_in_a_session_only_and_not_after_what_was_never_answered(
    clock: Clock,
) -> None:
    hasty = Patience(tries=1)
    line = Script(clock, [pong], [birth()], [], [], [], [pong])
    link = Link(line, patience=hasty)
    ping(link)
    link.beat()
    assert len(line.frames) == 1, "there is no session"
    session = link.hello().session
    link.beat()
    beat = line.frames[-1]
    assert (beat.type, beat.sequence) == (Heartbeat.TYPE, 0)
    assert Heartbeat.decode(beat.body).session == session
    with pytest.raises(LinkError, match="no answer"):
        ping(link)
    link.beat()
    assert len(line.frames) == 5, "who asked takes the outputs for closed"
    ping(link)
    link.beat()
    assert line.frames[-1].type == Heartbeat.TYPE
    link.close()
    link.beat()
    assert len(line.frames) == 7


def test_a_heartbeat_waits_for_no_request(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken:
        def acquire(self, blocking: bool = True) -> bool:
            assert not blocking
            return False

    line = Script(clock, [birth()])
    link = Link(line)
    link.hello()
    monkeypatch.setattr(link, "_busy", Taken())
    link.beat()
    assert len(line.frames) == 1


def test_a_heartbeat_opens_a_line_that_is_gone(clock: Clock) -> None:
    line = Script(clock, [birth()], LinkError("gone"), LinkError("gone"))
    link = Link(line)
    link.hello()
    link.beat()
    assert (line.openings, link.quality.reopened, link.silent_s) == (1, 1, 0.0)
    line._absent = 1
    link.beat()
    clock.wait(2.5)
    assert (line.openings, link.quality.reopened, link.silent_s) == (2, 1, 2.5)
    link.beat()  # the line is back
    assert not link._busy.locked()


def nak(error: int, detail: int = 0) -> Piece:
    return sends(Nak(error=error, request=Ping.TYPE, detail=detail))


@pytest.mark.parametrize(
    ("boot_id", "detail", "taken"),
    [(3, 3, 1), (2**32 - 1, -1, 1), (3, 4, 0)],
    ids=["same life", "same life, the number is unsigned", "another life"],
)
def test_a_session_that_is_lost_in_one_life_of_the_device_was_taken(
    clock: Clock, boot_id: int, detail: int, taken: int
) -> None:
    line = Script(clock, [birth(boot_id)], [nak(NakError.NO_SESSION, detail)])
    link = Link(line)
    link.hello()
    says = "another host has taken the device" if taken else "the device has started again"
    with pytest.raises(DeviceRestarted, match=f"script: {says}"):
        ping(link)
    assert link.quality.taken == taken
    link.beat()
    assert len(line.frames) == 2, "there is no session any more"


@pytest.mark.parametrize("given_up", [0, 1, 2])
@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("first", [100, 0xFFFF])
def test_numbers_that_we_never_sent_were_another_hosts(
    clock: Clock, first: int, given_up: int, beyond: int
) -> None:
    """The device tells the last number that it has seen: a request that got no answer may have
    reached it or not, and no other one is ours."""
    hasty = Patience(tries=1)
    before = (first - 1 + given_up) & 0xFFFF
    last = (before - given_up - beyond) & 0xFFFF
    answers: list[list[Piece]] = [[birth()], *[[]] * (2 * given_up)]
    link = Link(Script(clock, *answers, [nak(NakError.SEQUENCE, last)]), patience=hasty)
    link._sequence = (first - 2) & 0xFFFF
    link.hello()
    for _ in range(given_up):
        with pytest.raises(LinkError, match="no answer"):
            ping(link)
    with pytest.raises(DeviceRestarted):
        ping(link)
    assert link.quality.taken == beyond


def test_requests_of_an_older_session_that_got_no_answer_excuse_nothing(clock: Clock) -> None:
    line = Script(clock, [], [], [birth()], [nak(NakError.NO_SESSION, 3)])
    link = Link(line, patience=Patience(tries=1))
    with pytest.raises(LinkError, match="no answer"):
        ping(link)
    link.hello()
    with pytest.raises(DeviceRestarted, match="another host"):
        ping(link)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (nak(NakError.VALUE, 3), DeviceError, r"script: refused Ping: value \(detail 3\)"),
        (nak(99, 3), DeviceError, r"refused Ping: error 99 \(detail 3\)"),
        (
            nak(NakError.LOAD, -6),
            DeviceError,
            r"refused Ping: load \(a start function; detail -6\)",
        ),
        (sends(Ack(value=1)), LinkError, r"answered Ping with Ack\(value=1\)"),
    ],
)
def test_an_answer_of_another_kind_is_said_in_words(
    clock: Clock, answer: Piece, kind: type[HilError], says: str
) -> None:
    link = Link(Script(clock, [answer]))
    with pytest.raises(kind, match=says) as raised:
        ping(link)
    if isinstance(raised.value, DeviceError):
        assert raised.value.detail in (3, -6)
    assert link.quality.taken == 0


def test_an_answer_that_is_malformed_is_none(clock: Clock) -> None:
    link = Link(Script(clock, [lambda f: encode_frame(Ack.TYPE, f.sequence, b"abc")]))
    with pytest.raises(LinkError, match="script: answered Close with Ack has 3 bytes: 4 wanted"):
        link.ask(Close(), Ack)


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
    counts: dict[str, int], void: str | None
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
