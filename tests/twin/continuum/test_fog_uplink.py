"""The way to the cloud: in order, in a window, again until acknowledged, slowly after an outage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fog_telemetry import Core, arrival

from levada.twin.continuum.uplink import PATIENCE_S, WINDOW_ROWS, Uplink
from levada.twin.mqtt.messages import Ack, Relayed, decode


class Way:
    """An uplink over a clock that is set by hand, and what arrives of it."""

    def __init__(self, folder: Path, flush_rows_s: float = 1_000) -> None:
        self.core = Core(folder / "fog.sqlite", engine="off", rows=1_000_000)
        self.now_s = 100.0
        self.there = True
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while a message is handed over."""
        self.got: list[dict[str, Any]] = []
        self.at_s: list[float] = []
        self.node_seq = 0
        self.uplink = Uplink(
            self.core.buffer,
            "fog",
            self._publish,
            flush_rows_s=flush_rows_s,
            clock_s=lambda: self.now_s,
        )

    def _publish(self, topic: str, payload: bytes) -> bool:
        if not self.there:
            return False
        assert topic == "ic/fog/relayed"
        decode(Relayed, payload)
        self.got.append(json.loads(payload))
        self.at_s.append(self.now_s)
        self.meanwhile()
        return True

    def add(self, rows: int) -> None:
        """Rows that are committed together, so messages of up to 256."""
        seqs = range(self.node_seq, self.node_seq + rows)
        self.core.take(*(arrival("n", boot=1, seq=s, oldest=s, raw=1) for s in seqs))
        self.node_seq += rows

    def go(self, seconds: float = 0.0) -> None:
        """Let the time pass."""
        end_s = self.now_s + seconds
        for _ in range(10_000):
            wait_s = self.uplink.step()
            if wait_s > 0:
                if self.now_s + wait_s > end_s + 1e-9:
                    break
                self.now_s += wait_s
        else:
            raise AssertionError("the uplink never rests")
        self.now_s = end_s

    def ack(self, number: int, boot: int | None = None) -> None:
        boot = self.core.buffer.boot if boot is None else boot
        self.uplink.acknowledge(Ack(boot=boot, seq=number % 2**32).encode())

    @property
    def seqs(self) -> list[int]:
        """Numbers of the rows that arrived, in that order."""
        return [m["seq"] + offset for m in self.got for offset in range(len(m["rows"]))]


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    made = Way(tmp_path)
    yield made
    made.core.close()


def test_rows_arrive_once_and_in_order_while_they_are_acknowledged(way: Way) -> None:
    for number in range(20):
        way.add(30)
        way.go()
        way.ack(30 * (number + 1) - 1)
    way.go(60)
    assert way.seqs == list(range(600))
    assert not way.uplink.outage
    assert way.uplink.repeated_rows == 0


def test_no_more_than_a_window_is_under_way(way: Way) -> None:
    way.add(3 * WINDOW_ROWS)
    way.go()
    assert WINDOW_ROWS <= len(way.seqs) < WINDOW_ROWS + 256 * 16
    before = len(way.seqs)
    way.ack(255)
    way.go()
    assert len(way.seqs) - before <= 256 * 16


def test_what_is_not_acknowledged_is_sent_again_from_the_oldest(way: Way) -> None:
    way.add(300)
    way.go()
    way.ack(99)
    way.go(PATIENCE_S - 0.1)
    assert way.seqs == list(range(300))
    way.go(0.2)
    assert way.uplink.outage
    assert way.seqs[300:] == list(range(256))  # the message that holds number 100, alone


def test_a_message_that_is_lost_on_the_way_is_sent_again(way: Way) -> None:
    way.add(10)
    way.go()
    way.got.clear()
    way.go(PATIENCE_S + 0.1)
    way.ack(9)
    way.go(60)
    assert way.seqs == list(range(10))


def test_an_outage_loses_nothing_and_its_end_is_a_flush_within_the_rate(way: Way) -> None:
    """A week in small: rows come all the time, and nobody acknowledges."""
    way.add(100)
    way.go()
    for _ in range(168):
        way.add(200)
        way.go(60)
    assert way.uplink.outage
    held = way.core.buffer.kept().rows
    assert held == 100 + 168 * 200
    probes = len(way.got)
    assert probes < 168 * 60 / 10  # seldom, and one message each
    way.ack(99)
    began_s = way.now_s
    last, at = 99, probes
    while last < held - 1:
        way.go(0.05)
        fresh = way.got[at:]
        at = len(way.got)
        for message in fresh:
            if message["seq"] == last + 1:
                last += len(message["rows"])
        way.ack(last)
        assert way.now_s < began_s + 200
    flushed = way.got[probes:]
    assert [m["seq"] for m in flushed] == sorted(m["seq"] for m in flushed)
    assert way.seqs[-(held - 100) :] == list(range(100, held))
    sent = 0
    for message, at_s in zip(flushed, way.at_s[probes:], strict=True):
        assert sent <= 1_000 * (at_s - began_s) + 256  # rows so far, without this message
        sent += len(message["rows"])
    assert not way.uplink.outage


def test_what_comes_after_the_outage_is_not_slowed_down(way: Way) -> None:
    way.add(100)
    way.go(10)
    assert way.uplink.outage
    way.ack(99)
    way.go(1)
    way.got.clear()
    way.add(4_000)
    way.go()
    assert len(way.seqs) == 4_000


def test_a_new_connection_begins_again_with_the_oldest(way: Way) -> None:
    way.add(600)
    way.go(1)
    way.ack(255)
    way.got.clear()
    way.uplink.connected()
    way.go(1)
    assert way.seqs == list(range(256, 600))


def test_without_a_connection_nothing_is_taken_for_sent(way: Way) -> None:
    way.there = False
    way.add(50)
    way.go(30)
    way.there = True
    way.uplink.connected()
    way.go(1)
    assert way.seqs == list(range(50))


def test_acknowledgements_that_cannot_be_right_are_no_news(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    way.add(50)
    way.go()
    way.ack(49, boot=(way.core.buffer.boot + 1) % 2**32)  # of a buffer that was lost
    way.ack(50)  # was never sent
    way.ack(-1)
    way.uplink.acknowledge(b" " * 65_537)
    way.uplink.acknowledge(b'{"refused":"no room"}')
    assert way.uplink.acknowledged == -1
    assert [record.message for record in caplog.records] == [
        "acknowledgement of the cloud ignored: payload of 65537 bytes: at most 65536",
        "the cloud has refused a message: no room",
    ]
    way.ack(49)
    way.ack(20)  # late
    assert way.uplink.acknowledged == 49


def test_rows_that_were_dropped_do_not_hold_up_the_others(tmp_path: Path) -> None:
    way = Way(tmp_path)
    way.core.close()
    way.core = Core(tmp_path / "b.sqlite", engine="off", rows=1_000, full="drop-oldest")
    way.uplink = Uplink(
        way.core.buffer, "fog", way._publish, flush_rows_s=1e9, clock_s=lambda: way.now_s
    )
    way.add(256)
    way.go()
    for _ in range(20):
        way.add(256)
    way.go()
    way.ack(255)
    way.go()
    numbers = [message["seq"] for message in way.got]
    assert numbers == [0, *range(way.core.buffer.kept().oldest, 21 * 256, 256)]
    assert way.got[-1]["oldest"] == way.core.buffer.kept().oldest
    way.core.close()


def test_a_restarted_fog_sends_what_is_kept_as_after_an_outage(tmp_path: Path) -> None:
    first = Way(tmp_path)
    first.add(2_000)
    first.core.close()
    way = Way(tmp_path, flush_rows_s=1_000)
    way.go(1.0)
    assert 1_000 <= len(way.seqs) <= 1_000 + 256
    assert way.seqs == list(range(len(way.seqs)))
    way.core.close()


def test_a_connection_that_is_made_during_a_flush_is_no_way_round_its_rate(way: Way) -> None:
    way.add(2_000)
    way.uplink.connected()
    left = [None] * 3

    def connected_again() -> None:
        if left:
            left.pop()
            way.uplink.connected()

    way.meanwhile = connected_again
    way.go(2.5)
    assert not left
    sent = list(zip(way.at_s, way.got, strict=True))
    for (at_s, message), (next_s, _) in pairwise(sent):
        assert next_s - at_s >= len(message["rows"]) / 1_000 - 1e-9
