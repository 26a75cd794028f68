"""A site of three machines with a bad network between them: every message is accounted for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from bad_network import BadNetwork, Link, can_make_namespaces
from services import Mosquitto, need
from site_boards import Site

from levada.twin.store.reads import Latest, StoreReader

HERE = Path(__file__).parent
BOARDS = 20
"""Of our own, of the legacy kind, and mapped ones."""
LINK = Link(loss=0.01, delay_ms=5.0, jitter_ms=10.0)
ROUND = 17
"""Messages of each board that numbers nothing, in one go: what a broker queues for the twin."""
MAPPING = {
    "topic": "tele/+/SENSOR",
    "field": [{"signal": "raw", "pointer": "/ANALOG/A0", "unit": "counts"}],
}


@pytest.fixture
def network() -> Iterator[BadNetwork]:
    if not can_make_namespaces():
        need("ip", Path("/usr/sbin"))
        pytest.skip("this user or kernel allows no network namespaces with a TUN device")
    with BadNetwork(["broker", "boards", "twin"], seed=7, link=LINK) as made:
        yield made


def cut_off(network: BadNetwork, name: str, packets: int) -> None:
    """Nothing passes to or from a machine until so many packets more have been lost by it."""
    network.cut(name)
    enough = network.counters()["cut"] + packets
    while network.counters()["cut"] < enough:
        threading.Event().wait(0.02)
    network.join(name)


class Program:
    """A program on a machine, which is told things and answers in lines."""

    def __init__(self, network: BadNetwork, machine: str, *arguments: str) -> None:
        self._process = network.start(
            machine,
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def tell(self, line: str) -> None:
        print(line, file=self._in, flush=True)

    def expect(self, answer: str) -> None:
        assert self._out.readline().strip() == answer

    def close(self) -> None:
        self._in.close()
        self._process.wait()
        self._out.close()


class Boards(Program):
    """The boards of a site."""

    def __init__(self, network: BadNetwork, site: Site) -> None:
        super().__init__(network, "boards", str(HERE / "site_boards.py"))
        self.tell(json.dumps(asdict(site)))
        self.expect("ready")

    def send(self, count: int) -> None:
        """Have every board that numbers nothing send so many messages."""
        self.tell(f"send {count}")

    def finish(self) -> None:
        """Wait until our own boards have delivered everything."""
        self.tell("finish")
        self.expect("finish")


class Cloud(Program):
    """What stores and acknowledges."""

    def __init__(self, network: BadNetwork, file: Path, site: Site) -> None:
        super().__init__(network, "twin", str(HERE / "cloud.py"), str(file), json.dumps([MAPPING]))
        self.tell(json.dumps(site.address))
        self.expect("ready")


def measured(row: Latest) -> int:
    """What a board has counted, as it said or as its mapping read it."""
    payload: dict[str, Any] = row.payload
    return int(payload.get("signals", payload)["raw"])


def stored_of(reader: StoreReader, names: list[str]) -> int:
    reader.renew()
    return sum(reader.count(name) for name in names)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(2 * ROUND, id="2,040 messages"),
        pytest.param(197 * ROUND, id="200,940 messages", marks=[pytest.mark.slow]),
    ],
)
@pytest.mark.timeout(3_600)
def test_every_message_of_a_site_with_a_bad_network_is_stored_once(
    network: BadNetwork, count: int, tmp_path: Path, memory_folder: Path
) -> None:
    file = memory_folder / "site.sqlite"
    with ExitStack() as stack:
        broker = Mosquitto(
            tmp_path,
            host=network.address("broker"),
            popen=lambda command, **options: network.start("broker", command, **options),
        )
        stack.callback(broker.close)
        site = Site(
            address=asdict(broker.address), folder=str(memory_folder), boards=BOARDS, count=count
        )
        stack.enter_context(closing(Cloud(network, file, site)))
        boards = stack.enter_context(closing(Boards(network, site)))
        reader = stack.enter_context(closing(StoreReader(str(file))))
        unnumbered = site.legacy() + site.mapped()
        for turn in range(count // ROUND):
            boards.send(ROUND)
            if turn % 40 == 0:
                cut_off(network, "boards", 20)
            boards.expect("send")
            while stored_of(reader, unnumbered) < (turn + 1) * ROUND * len(unnumbered):
                threading.Event().wait(0.02)
            if turn % 40 == 1:  # now that nobody sends who could not send again
                cut_off(network, "twin", 4)
        boards.finish()
        once = Counter(range(count))
        for name in site.own() + unnumbered:
            found = Counter(map(measured, reader.messages(name, limit=count + 1)))
            assert found - once == {}, f"{name}: stored twice, or never sent"
            assert once - found == {}, f"{name}: sent and not stored"
        packets = network.counters()
    assert min(packets["lost"], packets["overtaken"], packets["cut"]) > 0
