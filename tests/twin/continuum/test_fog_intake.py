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
    b'{"boot":7,"seq":41,"oldest":41,"t":1700000000000,"raw":1502,"pct":40,"irrigar":0}',
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
    topics = ["ic/a/b/data", "ic//data", "x/n/data", "ic/$n/data", "ic/n/ack"]
    taken = take(*(Arrival(topic, b'{"raw":1}', 1, NOW_MS) for topic in topics))
    assert taken.refused == {Reason.FOREIGN: len(topics)}
    assert not taken.rows


def test_a_node_with_the_name_of_fog_is_told_apart_from_no_node() -> None:
    taken = take(Arrival("ic/fog/data", b'{"raw":1}', 1, NOW_MS))
    assert taken.refused == {Reason.NAME: 1}
    assert not taken.rows


@pytest.mark.parametrize(
    ("seq", "oldest", "right"),
    [
        (0, 2**31, False),
        (5, 6, False),
        (2**32 - 1, 0, False),
        (5, 5, True),
        (3, 2**32 - 3, True),  # it has wrapped
        (2**31 - 1, 0, True),
    ],
)
def test_a_device_holds_what_it_sends(seq: int, oldest: int, right: bool) -> None:
    """Otherwise one wrong number would give up all that the node still has to send."""
    mine = intake()
    mine.take([arrival("n", boot=3, seq=0, oldest=0, raw=1)])
    wrong = arrival("n", boot=3, seq=seq, oldest=oldest, raw=1)
    unreadable = arrival("n", boot=3, seq=seq, oldest=oldest, raw="wet")
    if right:
        decode(Telemetry, wrong.payload)
        return
    with pytest.raises(PayloadError, match=f"oldest = {oldest} lies behind seq = {seq}"):
        decode(Telemetry, wrong.payload)
    taken = mine.take([wrong, unreadable, arrival("n", boot=3, seq=1, oldest=0, raw=2)])
    assert taken.refused == {Reason.MALFORMED: 2}
    assert f"oldest = {oldest} lies behind seq = {seq}" in taken.malformed[0][1]
    assert seqs(taken) == [1]


def test_names_cannot_use_up_the_memory() -> None:
    taken = take(*(arrival(f"n{number}", raw=1) for number in range(5_000)))
    assert len(taken.rows) == 4_096
    assert taken.refused == {Reason.NODES: 904}


def test_a_number_far_ahead_is_not_taken_until_the_gap_is_closed() -> None:
    mine = intake()
    mine.take([arrival("n", boot=1, seq=0, oldest=0)])
    far = arrival("n", boot=1, seq=WINDOW + 1, oldest=0)
    assert mine.take([far]).refused == {Reason.WINDOW: 1}
    assert len(mine.take([arrival("n", boot=1, seq=WINDOW + 1, oldest=WINDOW + 1)]).rows) == 1


def test_the_same_messages_are_new_to_fog_and_to_the_store(tmp_path: Path) -> None:
    """Repeated, reordered, lost, given up by the node, wrapped, in two lives; fog has them in the
    order of their numbers."""
    chance = random.Random(9)
    arrivals = []
    start = 2**32 - 200
    for number in range(1_500):
        n = chance.randrange(min(600, number // 2 + 1))
        oldest = max(0, n - chance.randrange(300))
        members = {"seq": (start + n) % 2**32, "oldest": (start + oldest) % 2**32}
        arrivals.append(arrival("n", raw=1, boot=chance.choice([1, 2]), **members))
    for boot in (1, 2):  # nothing is to come below
        arrivals.append(arrival("n", raw=1, boot=boot, seq=700, oldest=700))
    taken = intake().take(arrivals)
    assert taken.early > 300
    with Store(tmp_path / "s.sqlite") as store:
        for one in arrivals:
            members = json.loads(one.payload)
            members.pop("raw")
            row = Row(
                node="n", received_ms=NOW_MS, payload=one.payload.decode(), signals={}, **members
            )
            while not store.submit(row):
                store.flush()
        assert store.flush()
        stored = store.reader.messages("n", limit=10_000)
    wanted = sorted(((m.boot, m.seq % 2**32) for m in stored), key=lambda m: (m[0], _from(m[1])))
    found = [(row["boot"], row["seq"]) for row in taken.rows]
    assert [one for one in found if one[0] == 1] + [one for one in found if one[0] == 2] == wanted
    assert len(wanted) > 300


def _from(seq: int) -> int:
    return (seq + 200) % 2**32


def sent(count: int, oldest: int = 0, boot: int = 1) -> list[Arrival]:
    """Messages as a node sends them."""
    return [arrival("n", boot=boot, seq=s, oldest=oldest, raw=s) for s in range(count)]


def seqs(taken: Taken) -> list[Any]:
    return [row["seq"] for row in taken.rows]


def test_what_follows_a_missing_message_waits_for_it_unacknowledged() -> None:
    mine, messages = intake(), sent(6)
    first = mine.take([messages[0], messages[2], messages[4], messages[2], messages[3]])
    assert (seqs(first), first.early, first.duplicates) == ([0], 4, 0)
    assert first.lives["n", 1].contiguous == 0
    assert mine.held == 3
    second = mine.take([messages[1]])
    assert seqs(second) == [sample.seq for sample in second.samples] == [1, 2, 3, 4]
    assert second.lives["n", 1].contiguous == 4
    third = mine.take([messages[3], messages[5]])
    assert (seqs(third), third.early, third.duplicates, mine.held) == ([5], 0, 1, 0)


def test_what_the_node_has_given_up_is_not_waited_for() -> None:
    mine, messages = intake(), sent(6)
    assert seqs(mine.take([messages[0], messages[2], messages[4], messages[5]])) == [0]
    taken = mine.take([arrival("n", boot=1, seq=7, oldest=4, raw=7)])
    assert (seqs(taken), taken.early) == ([2, 4, 5], 1)  # 2 came, so it is not lost
    assert taken.lives["n", 1].contiguous == 5
    assert seqs(mine.take([arrival("n", boot=1, seq=6, oldest=4, raw=6)])) == [6, 7]


def test_the_first_message_of_a_life_is_the_oldest_that_its_node_holds() -> None:
    mine = intake()
    assert seqs(mine.take([arrival("n", boot=1, seq=9, oldest=8, raw=1)])) == []
    assert seqs(mine.take([arrival("n", boot=1, seq=8, oldest=8, raw=1)])) == [8, 9]


def test_a_malformed_message_holds_up_none_behind_it_and_is_not_acknowledged() -> None:
    mine, messages = intake(), sent(5)
    bad = arrival("n", boot=1, seq=1, oldest=0, raw="wet")
    taken = mine.take([messages[0], messages[2], bad, messages[3], bad])
    assert seqs(taken) == [0, 2, 3]
    assert taken.refused == {Reason.MALFORMED: 2}
    assert taken.lives["n", 1].contiguous == 0
    assert seqs(mine.take([messages[1], messages[4]])) == [1, 4]  # it has thought better of it
    early = mine.take([arrival("n", boot=2, seq=1, oldest=0, raw="wet"), sent(3, boot=2)[2]])
    assert (seqs(early), early.refused) == ([], {Reason.MALFORMED: 1})
    assert seqs(mine.take(sent(1, boot=2))) == [0, 2]


def test_what_waits_cannot_use_up_the_memory_and_comes_again() -> None:
    mine, messages = intake(), sent(2_500)
    for _ in range(3):
        taken = mine.take(messages[1:])
        assert (taken.early, taken.rows) == (2_499, [])
        assert mine.held < 2_000
    assert seqs(mine.take(messages)) == list(range(2_500))


def test_rows_do_not_depend_on_the_way_that_messages_have_taken() -> None:
    """One in four is lost, some are repeated, ten at a time come in any order."""
    chance = random.Random(4)
    mine, messages, found = intake(), sent(500), []
    for _ in range(200):
        first = len(found)
        some = [m for m in messages[first : first + 10] if chance.random() < 0.75]
        some += chance.choices(messages[: first + 10], k=3)
        chance.shuffle(some)
        found += seqs(mine.take(some))
    assert found == list(range(500))


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
