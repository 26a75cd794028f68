"""Fog takes the telemetry that the store would take, and tells the same messages apart."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fog_telemetry import NOW_MS, T0, arrival

from levada.hil.errors import PayloadError
from levada.twin.continuum.intake import Arrival, Intake, Reason, Taken
from levada.twin.mqtt.messages import ForwardedRow, Telemetry, decode
from levada.twin.mqtt.sequence import WINDOW, Received
from levada.twin.store.rows import Row
from levada.twin.store.store import Store


def intake() -> Intake:
    return Intake(lambda _node, _boot: None, own_name="fog")


def take(*arrivals: Arrival) -> Taken:
    return intake().take(arrivals)


PAYLOADS = [
    b'{"boot":7,"seq":41,"oldest":40,"t":1700000000000,"raw":1502,"pct":40,"irrigar":0}',
    b'{"umidade": 2100, "seco": 1, "pct": 18}',
    b'{"raw": 1800, "pct": 40, "irrigar": 0, "temp_c": 21.5, "note": "dry", "list": [1]}',
    b'{"raw": true}',
    b'{"raw": 1.5}',
    b'{"raw": "1502"}',
    b'{"irrigar": 2}',
    b'{"boot": -1, "seq": 1, "oldest": 0}',
    b'{"boot": 4294967296}',
    b'{"boot": 1, "seq": 1}',
    b'{"raw": null, "x": null, "pct": 3}',
    b'{"x": 1e400, "y": NaN, "z": Infinity, "ok": 1}',
    b'{"big": 1' + b"0" * 400 + b"}",
    b'{"digits": ' + b"9" * 5_000 + b"}",
    b'{"t": 9007199254740993}',
    b'{"1x": 1, "_x": 2, "x y": 3, "ok": 4, "' + b"k" * 64 + b'": 5, "' + b"k" * 65 + b'": 6}',
    b"[1]",
    b"7",
    b"",
    b"\xff",
    b'{"raw": 1',
    b'{"raw": 1, "raw": 2}',
    b'{"flag": true, "umidade": 5, "raw": 6}',
    b" " * 65_537,
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=[str(p[:24]) for p in PAYLOADS])
def test_what_is_taken_and_what_it_holds_is_as_the_type_of_the_message_says(
    payload: bytes,
) -> None:
    taken = take(Arrival("ic/n/data", payload, 1, NOW_MS))
    try:
        message = decode(Telemetry, payload)
    except PayloadError as error:
        assert taken.refused == {Reason.MALFORMED: 1}
        assert taken.malformed == [("n", str(error))]
        return
    (sample,) = taken.samples
    assert sample.signals == message.signals()
    row = ForwardedRow.model_validate(taken.rows[0])
    assert row.signals() == message.signals()
    identity = message.identity
    assert (row.boot, row.seq) == ((identity.boot, identity.seq) if identity else (None, None))
    assert row.t == message.t


def test_a_device_cannot_write_the_members_that_fog_writes() -> None:
    (row,) = take(arrival("n", raw=5, node=1, received_us=2, window_s=3, revision=4, up_ms=7)).rows
    assert row == {"node": "n", "up_ms": 7, "received_us": 1_000, "raw": 5}
    (row,) = take(arrival("n", raw=5, up_ms=1.5)).rows
    assert row == {"node": "n", "received_us": 1_000, "raw": 5}


def test_of_one_message_no_more_signals_are_forwarded_than_a_store_takes() -> None:
    (row,) = take(arrival("n", **{f"s{number}": number for number in range(1_000)})).rows
    assert len(row) == 2 + 256
    assert row["s255"] == 255


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        (T0, True),
        (NOW_MS + 59_000, True),
        (NOW_MS + 61_000, False),  # ahead by more than a minute
        (86_400_000, False),  # of a clock that was never set
        (None, False),
    ],
)
def test_a_clock_that_cannot_be_right_puts_the_sample_at_its_arrival(
    told: int | None, believed: bool
) -> None:
    members: dict[str, Any] = {} if told is None else {"t": told}
    taken = take(arrival("n", raw=1, **members))
    (sample,) = taken.samples
    assert (sample.t_ms, sample.timed) == (told, True) if believed else (NOW_MS, False)
    assert taken.rows[0].get("t") == told  # what the node said is forwarded


def test_topics_that_are_none_of_a_node_are_not_taken() -> None:
    topics = ["ic/fog/data", "ic/a/b/data", "ic//data", "x/n/data", "ic/$n/data", "ic/n/ack"]
    taken = take(*(Arrival(topic, b'{"raw":1}', 1, NOW_MS) for topic in topics))
    assert taken.refused == {Reason.FOREIGN: len(topics)}
    assert not taken.rows


def test_names_cannot_use_up_the_memory() -> None:
    taken = take(*(arrival(f"n{number}", raw=1) for number in range(5_000)))
    assert len(taken.rows) == 4_096
    assert taken.refused == {Reason.NODES: 904}


def test_a_number_far_ahead_is_not_taken_until_the_gap_is_closed() -> None:
    mine = intake()
    mine.take([arrival("n", boot=1, seq=0, oldest=0)])
    far = arrival("n", boot=1, seq=WINDOW + 1, oldest=0)
    assert mine.take([far]).refused == {Reason.WINDOW: 1}
    assert len(mine.take([arrival("n", boot=1, seq=WINDOW + 1, oldest=WINDOW)]).rows) == 1


def test_the_same_messages_are_new_to_fog_and_to_the_store(tmp_path: Path) -> None:
    """Repeated, reordered, lost, given up by the node, wrapped, in two lives."""
    chance = random.Random(9)
    arrivals = []
    for _ in range(1_500):
        seq = (2**32 - 200 + chance.randrange(600)) % 2**32
        oldest = (seq - chance.randrange(300)) % 2**32
        members = {"boot": chance.choice([1, 2]), "seq": seq, "oldest": oldest}
        arrivals.append((members, arrival("n", raw=1, **members)))
    taken = intake().take([one for _, one in arrivals])
    with Store(tmp_path / "s.sqlite") as store:
        for members, one in arrivals:
            row = Row(
                node="n", received_ms=NOW_MS, payload=one.payload.decode(), signals={}, **members
            )
            while not store.submit(row):
                store.flush()
        assert store.flush()
        stored = store.reader.messages("n", limit=10_000)
        assert store.health().duplicates == taken.duplicates > 300
    wanted = sorted((m.boot, m.seq % 2**32) for m in stored)
    assert sorted((row["boot"], row["seq"]) for row in taken.rows) == wanted


def test_what_was_taken_before_a_restart_is_taken_from_the_buffer() -> None:
    asked = []

    def life(node: str, boot: int) -> Received:
        asked.append((node, boot))
        return Received(contiguous=4, highest=6, beyond={6})

    mine = Intake(life, ["n"])
    taken = mine.take([arrival("n", boot=1, seq=s, oldest=0) for s in (4, 5, 6, 7)])
    assert [row["seq"] for row in taken.rows] == [5, 7]
    assert taken.duplicates == 2
    assert taken.lives["n", 1].contiguous == 7
    assert asked == [("n", 1)]


def test_a_payload_of_a_signal_is_forwarded_as_it_came() -> None:
    (row,) = take(arrival("n", raw=1_502, temp_c=21.5, flow=3)).rows
    assert json.dumps([row["raw"], row["temp_c"], row["flow"]]) == "[1502, 21.5, 3]"
