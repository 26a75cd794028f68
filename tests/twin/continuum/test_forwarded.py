"""What fog forwards, taken apart."""

from __future__ import annotations

import json

import pytest

from levada.hil.errors import PayloadError
from levada.twin.mqtt.forwarded import Acknowledgements, aggregates_of, rows_of
from levada.twin.mqtt.messages import ForwardedRow, Processed, Relayed
from levada.twin.store.rows import Aggregate


def payload(rows: list[object], **head: int) -> bytes:
    return json.dumps({"boot": 3, "seq": 10, "oldest": 8, **head, "rows": rows}).encode()


def test_rows_are_numbered_from_the_first_on_modulo_2_to_the_32() -> None:
    _, rows = rows_of(Relayed, payload([{"node": "a"}, {"node": "b"}], seq=2**32 - 1))
    assert [(n.seq, n.row.node if n.row else "") for n in rows] == [(2**32 - 1, "a"), (0, "b")]
    assert json.loads(rows[1].payload) == {"node": "b"}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"raw": 1}, "node"),
        ({"node": "a", "seq": -1}, "seq = '-1'"),
        ({"node": "a/b"}, "no node may be called so"),
        ({"node": "a", "window_s": 60, "raw_mean": 1.5}, "says when it began"),
        (7, "payload = '7'"),
        (None, "payload"),
    ],
)
def test_a_row_that_cannot_be_read_keeps_its_number_and_says_why(bad: object, why: str) -> None:
    message, rows = rows_of(Processed, payload([{"node": "a"}, bad, {"node": "b"}], sent_us=5))
    assert (message.boot, message.seq, message.oldest, message.sent_us) == (3, 10, 8, 5)
    assert [n.seq for n in rows] == [10, 11, 12]
    assert [n.row is None for n in rows] == [False, True, False]
    assert why in rows[1].wrong
    assert json.loads(rows[1].payload)["refused"] == rows[1].wrong


@pytest.mark.parametrize(
    "wrong",
    [
        b"no json",
        b"[]",
        b'{"boot":3,"seq":1,"oldest":0,"rows":[]}',
        b'{"boot":3,"seq":1,"oldest":0}',
        b'{"boot":3,"oldest":0,"rows":[{"node":"a"}]}',
        b'{"boot":3,"seq":"1","oldest":0,"rows":[{"node":"a"}]}',
        json.dumps({"boot": 3, "seq": 0, "oldest": 0, "rows": [{"node": "a"}] * 1_001}).encode(),
    ],
)
def test_who_does_not_say_which_rows_they_are_is_refused(wrong: bytes) -> None:
    with pytest.raises(PayloadError):
        rows_of(Relayed, wrong)


def test_a_window_is_told_by_signal() -> None:
    row = ForwardedRow(
        node="a",
        t=0,
        window_s=3_600,
        revision=2,
        raw_count=60,
        raw_mean=1500.5,
        raw_min=1490,
        raw_max=1511,
        flow_sum=12,
    )
    assert aggregates_of(row, 5_000) == (
        Aggregate(signal="flow", start_ms=5_000, length_s=3_600, revision=2, total=12.0),
        Aggregate(
            signal="raw",
            start_ms=5_000,
            length_s=3_600,
            revision=2,
            count=60,
            mean=1500.5,
            low=1490.0,
            high=1511.0,
        ),
    )
    assert aggregates_of(ForwardedRow(node="a", raw_mean=1.0), 0) == ()


def relayed(seq: int, sent_us: int | None) -> Relayed:
    return Relayed(boot=3, seq=seq, oldest=0, sent_us=sent_us, rows=(ForwardedRow(node="a"),))


def test_an_acknowledgement_tells_the_times_of_the_newest_message_that_it_covers() -> None:
    acks = Acknowledgements("here")
    acks.heard("fog", relayed(0, 100), 2, 1_100)
    acks.heard("fog", relayed(2, 200), 2, 1_200)
    acks.heard("fog", relayed(4, 300), 2, 1_300)
    ack = acks.make("fog", 3, 3, 1_400)  # rows 0 to 3: the third message is not all there
    assert (ack.boot, ack.seq, ack.host) == (3, 3, "here")
    assert (ack.echo_us, ack.received_us, ack.sent_us) == (200, 1_200, 1_400)
    ack = acks.make("fog", 3, 5, 1_500)
    assert (ack.echo_us, ack.received_us, ack.sent_us) == (300, 1_300, 1_500)


def test_an_acknowledgement_that_covers_nothing_timed_tells_no_times() -> None:
    acks = Acknowledgements("here")
    acks.heard("fog", relayed(0, None), 1, 1_100)
    acks.heard("fog", relayed(5, 200), 1, 1_200)
    ack = acks.make("fog", 3, 4, 1_300)
    assert (ack.seq, ack.echo_us, ack.sent_us) == (4, None, None)
    assert acks.make("other", 3, 4, 1_300).sent_us is None


def test_numbers_beyond_32_bits_are_acknowledged_modulo_2_to_the_32() -> None:
    acks = Acknowledgements("here")
    acks.heard("fog", relayed(1, 200), 1, 1_200)
    ack = acks.make("fog", 3, 2**32 + 1, 1_300)
    assert (ack.seq, ack.echo_us) == (1, 200)
