"""Sessions, heartbeats and refusals, as a link understands them: the line is a script."""

from __future__ import annotations

import secrets

import pytest
from scripted_line import BORN, Clock, Piece, Script, birth, ping, pong, sends

from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError
from levada.hil.link import Link, Patience
from levada.hil.wire.codec import encode_frame
from levada.hil.wire.messages import Ack, Close, Heartbeat, Nak, NakError, Ping


def test_a_session_has_a_number_of_thirty_two_bits_which_the_answer_repeats(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda limit: limit - 1)
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
    assert line.frames[-1].type == Heartbeat.TYPE


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


def test_who_said_no_hello_has_given_up_nothing(clock: Clock) -> None:
    link = Link(Script(clock, [nak(NakError.SEQUENCE, 98)]))
    link._sequence = 99
    with pytest.raises(DeviceRestarted, match="another host"):
        ping(link)


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
