"""The device's side of delivery, against a store that loses and repeats."""

from __future__ import annotations

import json
import queue
import random
import threading
from collections import Counter
from collections.abc import Iterator
from time import monotonic_ns
from typing import Any

import pytest

from levada.twin.mqtt.outbox import Outbox
from levada.twin.mqtt.sequence import Received


class Line:
    """Where messages go: any of them may be lost, and an acknowledgement too."""

    def __init__(self, loss: float, seed: int) -> None:
        self._chance = random.Random(seed)
        self._loss = loss
        self._way: queue.Queue[bytes | None] = queue.Queue()
        self.stored: list[dict[str, Any]] = []
        self.box: Outbox | None = None
        self._life: Received | None = None
        self._thread = threading.Thread(target=self._store)
        self._thread.start()

    def publish(self, node: str, payload: bytes) -> bool:
        assert node == "n"
        if self._chance.random() >= self._loss:
            self._way.put(payload)
        return True

    def _store(self) -> None:
        while (payload := self._way.get()) is not None:
            message = json.loads(payload)
            if self._life is None:
                self._life = Received.before(message["oldest"])
            self._life.skip(message["oldest"])
            if not self._life.has(message["seq"]):
                self._life.add(message["seq"])
                self.stored.append(message)
            assert self.box is not None
            if self._chance.random() >= self._loss:
                self.box.acknowledge("n", message["boot"], self._life.contiguous)

    def end(self) -> None:
        self._way.put(None)
        self._thread.join()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost message is missed after 20 ms."""
    monkeypatch.setattr("levada.twin.mqtt.outbox._PATIENCE_S", 0.02)


@pytest.fixture(params=[0.0, 0.3], ids=["sound", "lossy"])
def line(request: pytest.FixtureRequest, quick: None) -> Iterator[Line]:
    made = Line(request.param, seed=1)
    with Outbox(["n"], made.publish) as made.box:
        yield made
        made.end()


def test_everything_arrives_once_whatever_is_lost(line: Line) -> None:
    assert line.box is not None
    for number in range(2_000):
        line.box.put("n", number, f'{{"raw":{number}}}')
    assert line.box.flush(60.0)
    assert sorted(m["raw"] for m in line.stored) == list(range(2_000))
    assert {m["t"] - m["raw"] for m in line.stored} == {0}
    assert line.box.dropped == 0


def test_a_full_outbox_drops_its_oldest_and_says_so(quick: None) -> None:
    sent: list[dict[str, Any]] = []
    reached = threading.Event()
    there = False

    def publish(_node: str, payload: bytes) -> bool:
        if there:
            sent.append(json.loads(payload))
            reached.set()
        return there

    with Outbox(["n"], publish, limit=10) as box:
        for number in range(25):
            box.put("n", number, "{}")
        there = True
        assert reached.wait(60)
    assert box.dropped == 15
    assert (sent[0]["seq"], sent[0]["oldest"], sent[0]["t"]) == (15, 15, 15)


def test_an_acknowledgement_of_another_life_or_of_the_future_forgets_nothing(quick: None) -> None:
    with Outbox(["n"], lambda _node, _payload: True) as box:
        box.put("n", 0, "{}")
        boot = box.boot("n")
        box.acknowledge("n", boot + 1, 0)
        box.acknowledge("n", boot, 5)
        box.acknowledge("m", boot, 0)
        assert not box.flush(0.0)
        box.acknowledge("n", boot, 0)
        assert box.flush(0.0)


@pytest.mark.parametrize(
    ("said", "member", "value"),
    [
        ('{"raw":1,"boot":7,"seq":9}', "seq", 0),  # a guest cannot speak for its node
        ("dry!", "text", "dry!"),
        ("[1]", "text", "[1]"),
        ('{"raw":', "text", '{"raw":'),
        (" {} ", "t", 5),
    ],
)
def test_whatever_a_guest_says_becomes_a_message_of_its_node(
    said: str, member: str, value: object
) -> None:
    sent: list[bytes] = []

    def publish(_node: str, payload: bytes) -> bool:
        sent.append(payload)
        return True

    with Outbox(["n"], publish) as box:
        box.put("n", 5, said)
        boot = box.boot("n")
    message = json.loads(sent[0])
    assert (message[member], message["boot"], message["oldest"]) == (value, boot, 0)


def test_a_repetition_says_when_the_message_was_sent_first(quick: None) -> None:
    sent: queue.Queue[dict[str, int]] = queue.Queue()

    def publish(_node: str, payload: bytes) -> bool:
        sent.put(json.loads(payload))
        return True

    before_ms = monotonic_ns() // 1_000_000
    with Outbox(["n"], publish) as box:
        box.put("n", 5, "{}")
        first, again = (sent.get(timeout=60) for _ in range(2))
    assert before_ms <= first["up_ms"] <= monotonic_ns() // 1_000_000
    assert again == first


def test_what_nobody_acknowledges_holds_up_nothing_that_is_newer(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is never acknowledged, so no number is; all leave, and then all once more."""
    monkeypatch.setattr("levada.twin.mqtt.outbox._WINDOW", 8)
    heard: queue.Queue[int] = queue.Queue()

    def publish(_node: str, payload: bytes) -> bool:
        heard.put(json.loads(payload)["raw"])
        return True

    with Outbox(["n"], publish) as box:
        for number in range(50):
            box.put("n", number, f'{{"raw":{number}}}')
        seen = [heard.get(timeout=30) for _ in range(100)]
    assert seen == [*range(50), *range(50)]


def test_a_node_that_nobody_acknowledges_holds_up_no_other_nor_is_forgotten_beside_it(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.twin.mqtt.outbox._WINDOW", 8)
    heard: queue.Queue[tuple[str, int]] = queue.Queue()

    def publish(node: str, payload: bytes) -> bool:
        heard.put((node, json.loads(payload)["seq"]))
        return True

    with Outbox(["deaf", "n"], publish) as box:
        for number in range(20):
            box.put("deaf", number, "{}")
        told: Counter[int] = Counter()  # how often each of the deaf node's has left
        number = 0
        while told[0] < 2:
            box.put("n", number, "{}")
            for _ in range(1_000):
                node, seq = heard.get(timeout=30)
                if (node, seq) == ("n", number):
                    break
                if node == "deaf":
                    told[seq] += 1
            assert (node, seq) == ("n", number)
            box.acknowledge("n", box.boot("n"), number)
            number += 1
    assert set(told) == set(range(20))


def test_text_that_is_nested_too_deep_is_a_text(quick: None) -> None:
    payloads: queue.Queue[bytes] = queue.Queue()

    def publish(_node: str, payload: bytes) -> bool:
        payloads.put(payload)
        return True

    deep = '{"a":' * 2_000 + "1" + "}" * 2_000
    with Outbox(["n"], publish) as box:
        box.put("n", 0, deep)
        payload = payloads.get(timeout=30)
    assert json.loads(payload)["text"] == deep
