"""Fog without threads: what is on the disk after every commit, and after an end at any of them."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fog_telemetry import NOW_MS, Core, arrival, rows_of, season

from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.twin.continuum.buffer import Buffer
from levada.twin.continuum.groups import ENVELOPE_BYTES
from levada.twin.continuum.intake import Reason
from levada.twin.errors import BufferFullError, StoreBusyError, StoreError
from levada.twin.mqtt.messages import Processed, Relayed


def test_rows_of_both_streams_have_one_sequence_and_are_messages(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite")
    group = core.take(
        arrival("a", boot=1, seq=0, oldest=0, raw=1_500, t=NOW_MS), arrival("b", pct=3)
    )
    core.take(arrival("a", boot=1, seq=1, oldest=0, raw=1_501, t=NOW_MS))
    assert group.acks == [("a", 1, 0)]  # b numbers nothing
    rows = rows_of(core.buffer)
    assert [(row["number"], row["stream"], row["node"]) for row in rows] == [
        (0, "relayed", "a"),
        (1, "relayed", "b"),
        (2, "processed", "a"),
        (3, "relayed", "a"),
        (4, "processed", "a"),
    ]
    for message in core.buffer.outgoing(0, 10):
        kind = Relayed if message.stream == "relayed" else Processed
        text = f'{{"boot":1,"seq":0,"oldest":0,"rows":{message.rows.decode()}}}'
        assert len(kind.model_validate_json(text).rows) == message.length
    core.close()


def test_messages_fit_into_a_payload_however_large_their_rows_are(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite")
    wide = {f"signal_with_a_long_name_{number:040d}": 1e300 / 3 for number in range(256)}
    small = [arrival("s", boot=1, seq=seq, oldest=0, raw=2_000) for seq in range(700)]
    large = [arrival("w", boot=1, seq=seq, oldest=0, **wide) for seq in range(12)]
    core.take(*small, *large)
    messages = core.buffer.outgoing(0, 1_000)
    assert max(len(message.rows) for message in messages) <= MAX_PAYLOAD_BYTES - ENVELOPE_BYTES
    assert max(message.length for message in messages) == 256
    assert [row["seq"] for row in rows_of(core.buffer)][:712] == [*range(700), *range(12)]
    core.close()


def groups_of(messages: int, size: int, seed: int) -> list[list[Any]]:
    arrivals = list(season(messages, seed))
    return [arrivals[start : start + size] for start in range(0, len(arrivals), size)]


def copied(folder: Path, name: str) -> Path:
    """What is left of a buffer if its process ends now: the files as they are."""
    target = folder / name
    target.mkdir()
    for file in folder.glob("fog.sqlite*"):
        shutil.copy(file, target)
    return target / "fog.sqlite"


def test_an_end_at_any_commit_changes_no_byte_of_what_follows(tmp_path: Path) -> None:
    """Rows, their numbers, and what nodes are told, against a run that was not interrupted."""
    groups = groups_of(420, 40, seed=11)
    whole = Core(tmp_path / "fog.sqlite")
    left, acks = [], []
    for number, group in enumerate(groups):
        left.append(copied(tmp_path, str(number)))
        acks.append(whole.take(*group).acks)
    expected = whole.buffer.outgoing(0, 1_000_000)
    assert sum("revision" in row and row["revision"] > 0 for row in rows_of(whole.buffer)) > 3
    assert any(row.get("anomaly") == 2 for row in rows_of(whole.buffer))  # a probe that is stuck
    whole.close()
    for number, file in enumerate(left):
        again = Core(file)
        if number == 0:  # a buffer that is empty begins another life
            again.close()
            continue
        found = [again.take(*group).acks for group in groups[number:]]
        assert found == acks[number:], number
        assert again.buffer.outgoing(0, 1_000_000) == expected, number
        again.close()


def test_an_end_after_every_group_and_all_that_was_not_acknowledged_again(tmp_path: Path) -> None:
    """As nodes do: what was taken before the end is no news, and is acknowledged again."""
    groups = groups_of(200, 40, seed=12)
    whole = Core(tmp_path / "whole.sqlite")
    for group in groups:
        whole.take(*group)
    expected = rows_of(whole.buffer)
    whole.close()
    for before, group in itertools.pairwise([[], *groups]):
        core = Core(tmp_path / "fog.sqlite")
        again = core.take(*before)
        assert not again.change.outgoing
        assert {(node, boot) for node, boot, _ in again.acks} == set(again.taken.lives)
        core.take(*group)
        core.close()
    core = Core(tmp_path / "fog.sqlite")
    assert rows_of(core.buffer) == expected
    core.close()


def test_what_the_cloud_has_is_removed_and_numbers_go_on(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite", engine="off")
    for seq in range(4):
        core.take(arrival("n", boot=1, seq=seq, oldest=0, raw=1), arrival("m", raw=1))
    core.take(acknowledged=2)  # in the middle of the second message
    assert core.buffer.kept().rows == 6
    assert core.buffer.kept().oldest == 2
    core.take(acknowledged=7)
    kept = core.buffer.kept()
    assert (kept.rows, kept.oldest, kept.oldest_ms) == (0, 8, None)
    boot = core.buffer.boot
    core.close()
    core = Core(tmp_path / "fog.sqlite", engine="off")
    core.take(arrival("n", boot=1, seq=4, oldest=0, raw=1))
    assert core.buffer.boot == boot
    assert [row["number"] for row in rows_of(core.buffer)] == [8]
    core.close()
    other = Core(tmp_path / "other.sqlite", engine="off")
    assert other.buffer.boot != boot
    other.close()


def test_a_full_buffer_acknowledges_nothing_more_until_there_is_room(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite", engine="off", rows=1_000)
    held = 0
    while core.take(arrival("n", boot=1, seq=held, oldest=0, raw=1)).acks:
        held += 1
    assert 990 <= held <= 1_000
    again = [arrival("n", boot=1, seq=s, oldest=0, raw=1) for s in range(held, held + 100)]
    group = core.take(*again)
    assert core.groups.is_full
    assert group.acks == []
    assert group.taken.refused == {Reason.FULL: 100}
    core.take(acknowledged=499)
    group = core.take(*again)
    assert not core.groups.is_full
    assert group.acks == [("n", 1, held + 99)]
    assert [row["seq"] for row in rows_of(core.buffer)] == list(range(500, held + 100))
    core.close()


def test_what_waits_for_its_turn_has_room_in_the_buffer_or_is_sent_again(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite", engine="off", rows=1_000)
    messages = [arrival("n", boot=1, seq=s, oldest=0, raw=1) for s in range(400)]
    core.take(*messages[1:201])  # the first is missing
    assert core.take(messages[0]).acks == [("n", 1, 200)]
    core.take(*messages[202:302])
    core.take(*(arrival("m", boot=1, seq=s, oldest=0, raw=1) for s in range(150)))
    assert core.take(messages[201]).acks == [("n", 1, 201)]  # of 1,000 rows 352 are there
    group = core.take(*messages[202:302])
    assert (group.taken.early, group.acks) == (0, [("n", 1, 301)])
    assert core.buffer.kept().rows <= 1_000
    core.close()


def test_a_full_buffer_drops_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite", engine="off", rows=1_000, full="drop-oldest")
    for seq in range(0, 1_000, 100):
        core.take(*(arrival("n", boot=1, seq=s, oldest=0, raw=1) for s in range(seq, seq + 100)))
    group = core.take(*(arrival("n", boot=1, seq=s, oldest=0, raw=1) for s in range(1_000, 1_150)))
    assert group.acks == [("n", 1, 1_149)]
    kept = core.buffer.kept()
    assert (kept.rows, kept.dropped, kept.oldest) == (950, 200, 200)
    core.close()
    core = Core(tmp_path / "fog.sqlite", engine="off", rows=1_000, full="drop-oldest")
    assert core.buffer.kept() == kept
    core.take(
        *(arrival("n", boot=1, seq=s, oldest=0, raw=1) for s in range(1_150, 1_250)),
        acknowledged=449,
    )
    assert core.buffer.kept().dropped == 200  # what the cloud has makes room enough
    core.close()


def test_a_full_buffer_ends_it_if_that_is_wanted(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite", engine="off", rows=1_000, full="fail")
    with pytest.raises(BufferFullError, match=r"holds \d+ rows, permitted are 1000"):
        for seq in range(2_000):
            core.take(arrival("n", boot=1, seq=seq, oldest=0, raw=1))
    assert len(rows_of(core.buffer)) > 990
    core.close()


def test_a_commit_that_failed_is_made_again_without_computing_again(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite")
    core.take(arrival("n", boot=1, seq=0, oldest=0, raw=1_000))
    group = core.groups.prepare([arrival("n", boot=1, seq=1, oldest=0, raw=2_000)], -1, NOW_MS)
    with sqlite3.connect(tmp_path / "fog.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            core.groups.commit(group)
        assert len(rows_of(core.buffer)) == 2
        other.execute("ROLLBACK")
    other.close()
    core.groups.commit(group)
    (row,) = [row for row in rows_of(core.buffer) if row.get("seq") == 1 and "filt" in row]
    assert row["filt"] == 1_250  # an exponential mean that took it once
    core.close()


def test_a_disk_that_is_full_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite", engine="off", rows=1_000_000)
    ask = core.buffer._connection.execute
    (pages,) = ask("PRAGMA page_count").fetchone()
    ask(f"PRAGMA max_page_count = {pages + 20}")
    seq = 0
    with pytest.raises(sqlite3.OperationalError, match="full"):
        while True:
            numbers = range(seq, seq + 100)
            seq += 100
            arrivals = [arrival("n", boot=1, seq=s, oldest=0, raw=1) for s in numbers]
            group = core.groups.prepare(arrivals, -1, NOW_MS)
            core.groups.commit(group)
    kept = [row["seq"] for row in rows_of(core.buffer)]
    assert kept == list(range(seq - 100))
    ask("PRAGMA max_page_count = 100000")
    core.groups.commit(group)
    assert [row["seq"] for row in rows_of(core.buffer)] == list(range(seq))
    core.close()


def test_only_a_buffer_of_fog_is_opened_and_by_one_process(tmp_path: Path) -> None:
    core = Core(tmp_path / "fog.sqlite", engine="off")
    with pytest.raises(StoreBusyError):
        Buffer(tmp_path / "fog.sqlite")
    core.close()
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    before = foreign.read_bytes()
    with pytest.raises(StoreError, match="no buffer of fog"):
        Buffer(foreign)
    assert foreign.read_bytes() == before
    text = tmp_path / "notes.txt"
    text.write_text("something else entirely " * 100)
    with pytest.raises(StoreError, match="not a database"):
        Buffer(text)
    with sqlite3.connect(tmp_path / "fog.sqlite") as newer:
        newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(StoreError, match="version 2, and this levada reads 1"):
        Buffer(tmp_path / "fog.sqlite")


def test_a_buffer_with_rows_is_not_taken_by_a_fog_of_another_name(tmp_path: Path) -> None:
    """The cloud may have them under the former name, and would store them again."""
    file = tmp_path / "fog.sqlite"
    core = Core(file, engine="off")
    core.take(arrival("n", boot=1, seq=0, oldest=0, raw=1))
    core.close()
    with pytest.raises(StoreError, match=r"keeps 1 rows of the fog node 'fog'.*--name fog"):
        Buffer(file, "north")
    core = Core(file, engine="off")
    core.take(acknowledged=0)  # the cloud has it
    boot, number = core.buffer.boot, core.buffer.next
    core.close()
    with Buffer(file, "north") as renamed:
        assert (renamed.boot, renamed.next, renamed.kept().rows) == (boot, number, 0)


def test_a_buffer_of_an_earlier_version_takes_the_name_that_fog_has_now(tmp_path: Path) -> None:
    file = tmp_path / "fog.sqlite"
    Core(file, engine="off").close()
    with sqlite3.connect(file) as earlier:
        earlier.execute("ALTER TABLE fog DROP COLUMN name")
    earlier.close()
    with Buffer(file, "north") as buffer:
        assert buffer._connection.execute("SELECT name FROM fog").fetchone() == ("north",)


def test_every_commit_is_synchronised(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path / "fog.sqlite")
    ask = buffer._connection.execute
    assert ask("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    buffer.close()


def test_rows_hold_nothing_that_was_not_measured(tmp_path: Path) -> None:
    """Every number of a relayed row stands in the message that it names."""
    core = Core(tmp_path / "fog.sqlite")
    arrivals = list(season(150, seed=13))
    core.take(*arrivals)
    sent = {}
    for one in arrivals:
        payload = json.loads(one.payload)
        sent[one.topic.split("/")[1], payload["seq"]] = payload
    relayed = [row for row in rows_of(core.buffer) if row["stream"] == "relayed"]
    assert len(relayed) == len(sent)
    for row in relayed:
        told = sent[row["node"], row["seq"]]
        told.pop("oldest")
        own = {"number", "stream", "node", "received_us"}
        assert {name: value for name, value in row.items() if name not in own} == told
    core.close()
