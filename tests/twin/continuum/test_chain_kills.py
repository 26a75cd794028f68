"""Edge to cloud through kill -9 of broker, fog and cloud: nothing lost, nothing doubled, and every
row computed is what the raw rows make."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from fog_process import FogProcess
from fog_telemetry import MODULE
from levada_process import BrokerProcess, CloudProcess, LevadaProcess
from mqtt_device import Device, Journal
from proof_log import Prove
from services import MOSQUITTO_BY_DAY, Mosquitto

from levada.hil.line.broker import BrokerAddress
from levada.twin.continuum.guests import SUPPRESSED
from levada.twin.continuum.tier import Sample, Tier
from levada.twin.store.reads import StoreReader
from levada.twin.store.stream_reads import aggregates

Broker = BrokerProcess | Mosquitto
HOUR_MS = 3_600_000
NODES = 4
T0 = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS - 300 * 24 * HOUR_MS
"""A clock that is further behind would not be believed."""


class Board(Device):
    """Measures every ten minutes of its own time: noise, outliers, error codes, late messages."""

    def reading(self, value: int) -> dict[str, int]:
        chance = random.Random(f"{self.node} {value}")
        raw = 2_000 + 40 * (value % 15) + chance.randrange(-3, 4)
        raw = chance.choices([raw, 4_000, -1], [96, 2, 2])[0]
        late_ms = chance.choices([0, 3 * HOUR_MS], [97, 3])[0]
        return {"t": T0 + value * 600_000 - late_ms, "raw": raw, "flow": chance.randrange(9)}


@pytest.fixture(params=["amqtt", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """The command `levada broker`, and mosquitto."""
    with closing(
        BrokerProcess(tmp_path) if request.param == "amqtt" else Mosquitto(tmp_path)
    ) as made:
        yield made


@contextmanager
def boards(address: BrokerAddress, folder: Path, each: int) -> Iterator[list[Board]]:
    """Boards that deliver `each` messages when they have measured them, and keep all until they are
    acknowledged."""
    made = [Board(address, f"n{i}", Journal(folder / f"journal{i}")) for i in range(NODES)]
    threads = [Thread(target=board.deliver, args=(each,)) for board in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for thread in threads:
            thread.join()
        for board in made:
            board.close()


def told(made: list[Board], each: int) -> list[Sample]:
    """What boards tell, board by board."""
    samples = []
    for board in made:
        for number in range(each):
            reading = board.reading(number)
            t_ms = reading.pop("t")
            samples.append(Sample(board.node, 1, number, t_ms, reading))
    return samples


def measure(made: list[Board], each: int) -> None:
    """Let every board have so many messages."""
    for board in made:
        while board.journal.written < each:
            board.measure(board.journal.written)


def computed(samples: list[Sample]) -> list[dict[str, Any]]:
    with Tier(MODULE, "wasm", {}, 3_600, 86_400) as tier:
        return tier.take(samples)


class Soak:
    """Broker, fog and cloud, each of which is killed in the middle of its own share of the work;
    now and then all of them at once, as by a power cut.

    Work is counted in the store, so that what was killed is alive again before the next one dies.
    """

    def __init__(self, broker: Broker, folder: Path, each: int, seed: int) -> None:
        print(f"seed {seed}")
        self._chance = random.Random(seed)
        self._broker = broker
        self._folder = folder
        self._each = each
        self._fog = FogProcess(folder, broker.address)
        self._cloud = CloudProcess(folder, broker.address)

    def run(self, kills_of_each: int, power_cuts: int, proof: Prove) -> None:
        """Let boards deliver, kill, and look at what is in the store."""
        with closing(self._fog), closing(self._cloud):
            assert self._cloud.first_line(), self._cloud.log.read_text()
            with (
                closing(StoreReader(str(self._cloud.store))) as reader,
                boards(self._broker.address, self._folder, self._each) as made,
            ):
                samples = told(made, self._each)
                every = len(samples) + len(computed(samples))
                victims = self._victims(kills_of_each, power_cuts)
                shares = len(victims) + 1
                for number, dying in enumerate(victims):
                    measure(made, (number + 1) * self._each // shares)
                    place = number + self._chance.uniform(0.1, 0.9)
                    self._wait_for(reader, place * every / shares)
                    for one in dying:
                        one.kill()
                measure(made, self._each)
                self._wait_for(reader, every)
        with closing(StoreReader(str(self._cloud.store))) as reader:
            check(reader, samples, proof)

    def _victims(self, kills_of_each: int, power_cuts: int) -> list[list[Any]]:
        found: list[list[Any]] = [[self._broker], [self._fog], [self._cloud]] * kills_of_each
        found += [[self._broker, self._fog, self._cloud]] * power_cuts
        self._chance.shuffle(found)
        return found

    def _wait_for(self, reader: StoreReader, rows: float) -> None:
        while sum(upto + 1 for upto in reader.acknowledged("fog").values()) < rows:
            for one in (self._fog, self._cloud, self._broker):
                if isinstance(one, LevadaProcess):
                    one.keep_alive()
            Event().wait(0.01)


def check(reader: StoreReader, samples: list[Sample], proof: Prove) -> None:
    """Each message is stored once, and in fog's one sequence of numbers the rows computed are those
    of a tier that was never killed, and the windows are what the raw rows make."""
    messages = reader.messages("fog", limit=10_000_000)
    assert len({message.boot for message in messages}) == 1
    assert [message.seq for message in messages] == list(range(len(messages)))
    rows: dict[str, list[dict[str, Any]]] = {"relayed": [], "processed": []}
    for message in messages:
        ((stream, row),) = message.payload.items()
        rows[stream].append(dict(row))
    found = [
        Sample(
            row["node"], row["boot"], row["seq"], row["t"], {"raw": row["raw"], "flow": row["flow"]}
        )
        for row in rows["relayed"]
    ]
    once = {(one.node, one.seq) for one in found}
    lost = {(one.node, one.seq) for one in samples} - once
    proof("acknowledged rows lost", tried=len(samples), found=len(lost))
    proof("acknowledged rows doubled", tried=len(samples), found=len(found) - len(once))
    assert sorted(found, key=lambda one: (one.node, one.seq)) == samples
    assert rows["processed"] == computed(found)
    for node in {sample.node for sample in samples}:
        check_windows(
            reader, node, [row for row in rows["processed"] if row["node"] == node], found
        )


def check_windows(
    reader: StoreReader, node: str, processed: list[dict[str, Any]], found: list[Sample]
) -> None:
    """Summed up again from the raw rows, with what fog has said of each; a window that the last
    message lies in may still grow."""
    suppressed = {row["seq"] for row in processed if row.get("anomaly", 0) & SUPPRESSED}
    raws: dict[int, list[int]] = defaultdict(list)
    pulses: dict[int, float] = defaultdict(float)
    for sample in found:
        if sample.node == node:
            start_ms = sample.t_ms - sample.t_ms % HOUR_MS
            pulses[start_ms] += sample.signals["flow"]
            if sample.seq not in suppressed:
                raws[start_ms].append(int(sample.signals["raw"]))
            last_ms = start_ms
    stored = {
        (part.start_ms, part.signal): part for part in aggregates(reader, node, limit=1_000_000)
    }
    growing = {max(pulses), last_ms}
    assert {start_ms for start_ms, _ in stored} - growing == set(pulses) - growing
    assert sum(part.revision > 0 for part in stored.values()) > 0
    for start_ms in set(pulses) - growing:
        assert stored[start_ms, "flow"].total == pulses[start_ms]
        kept, raw = raws[start_ms], stored[start_ms, "raw"]
        assert raw.count == len(kept)
        if kept:
            assert (raw.low, raw.high) == (min(kept), max(kept))
            assert raw.mean is not None
            assert abs(raw.mean - sum(kept) / len(kept)) <= 0.5


@MOSQUITTO_BY_DAY
def test_kill_9_of_broker_fog_and_cloud_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path, proof: Prove
) -> None:
    Soak(broker, tmp_path, each=500, seed=1).run(kills_of_each=1, power_cuts=1, proof=proof)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_kill_9_of_broker_fog_and_cloud_for_long_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path, proof: Prove
) -> None:
    Soak(broker, tmp_path, each=25_000, seed=2).run(kills_of_each=15, power_cuts=5, proof=proof)
