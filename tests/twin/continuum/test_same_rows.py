"""The simulated chain and the processes give the same rows for the same telemetry."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from services import Mosquitto
from small_field import fault, scenario, until

from levada import api
from levada.guest.build import build
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import Publication
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.scenario.model import Scenario
from levada.twin.continuum.chain import Row, read_telemetry, simulate
from levada.twin.continuum.fog import Fog
from levada.twin.continuum.guests import SUPPRESSED
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.messages import Ack, ForwardedRow, decode
from levada.twin.mqtt.outbox import Outbox
from levada.twin.store.rows import Aggregate
from levada.twin.store.store import Store
from levada.twin.store.stream_reads import aggregates

MODULE = DEFAULT_GUEST.read_bytes()
DAYS = 4
SECOND_ZONE = """
[[zone]]
name = "vine"
soil.model = "bucket"
soil.texture = "loam"
crop.name = "maize"
crop.planting = 2023-05-02
probe.depth_m = 0.3
"""
FAULTS = (
    fault("probe-spike", "1 d", "6 h", "1500 counts")
    + fault("probe-stuck", "40 h", "8 h")
    + fault("probe-open", "3 d", "3 h")
)
TIERS = '[fog]\nparameters = { filter_kind = 2, window = 5 }\nwindow = "40 min"\n[cloud]\n'

Lines = dict[tuple[str, str], list[tuple[Any, ...]]]
"""Stream and node -> number, time, window, revision and signals, in the order of the rows."""
Told = dict[str, list[Publication]]


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, Told]:
    """Two zones whose probes have faults, and what their nodes have told."""
    folder = tmp_path_factory.mktemp("season")
    of = scenario(folder, days=DAYS, zones=SECOND_ZONE, extra=FAULTS + TIERS)
    api.run(folder / "field.toml", folder / "run", report=False)
    return of, read_telemetry(folder / "run")


def simulated(rows: list[Row]) -> Lines:
    found: Lines = {}
    for row in rows:
        line = (row.seq, row.t_ms, row.window_s, row.revision, dict(row.signals))
        found.setdefault((row.stream, row.node), []).append(line)
    return found


def stored(store: Store, fog: str) -> Lines:
    """What stands in the store, of what fog has forwarded."""
    found: Lines = {}
    for message in store.reader.messages(fog, limit=1_000_000):
        ((stream, members),) = message.payload.items()
        row = ForwardedRow.model_validate(members)
        if row.window_s is not None:
            name = "window"
        else:
            name = "raw" if stream == "relayed" else "filtered"
        line = (row.seq, row.t, row.window_s, row.revision, row.signals())
        found.setdefault((name, row.node), []).append(line)
    return found


def windows(lines: list[tuple[Any, ...]]) -> list[Aggregate]:
    """Rows of windows as they stand in the store, the last revision of each."""
    newest: dict[tuple[int, str], Aggregate] = {}
    for _, start_ms, length_s, revision, signals in lines:
        raw = {"count": "count", "mean": "mean", "low": "min", "high": "max"}
        values = {to: signals.get(f"raw_{part}") for to, part in raw.items()}
        where = {"start_ms": start_ms, "length_s": length_s, "revision": revision}
        newest[start_ms, "raw"] = Aggregate(signal="raw", **where, **values)
        if "flow_sum" in signals:
            total = signals["flow_sum"]
            newest[start_ms, "flow"] = Aggregate(signal="flow", **where, total=total)
    return [newest[key] for key in sorted(newest)]


class BadWay:
    """Publishes to a broker; of what it is given it loses some, repeats some and delays some."""

    def __init__(self, client: MqttClient, seed: int) -> None:
        self._client = client
        self._chance = random.Random(seed)
        self._late: list[tuple[str, bytes]] = []
        self.lost = 0

    def __call__(self, node: str, payload: bytes) -> bool:
        what = self._chance.random()
        if what < 0.02:
            self.lost += 1
            return True
        if what < 0.05:
            self._late.append((node, payload))
            return True
        self._publish(node, payload)
        if what < 0.10:
            self._publish(node, payload)
        while self._late and self._chance.random() < 0.1:
            self._publish(*self._late.pop())
        return True

    def _publish(self, node: str, payload: bytes) -> None:
        self._client.publish(f"ic/{node}/data", payload)


@contextmanager
def boards(address: BrokerAddress, nodes: list[str]) -> Iterator[tuple[Outbox, BadWay]]:
    """Nodes that keep what they tell until it is acknowledged, on a bad way."""

    def acknowledge(topic: str, payload: bytes) -> None:
        ack = decode(Ack, payload)
        assert ack.boot is not None and ack.seq is not None
        box.acknowledge(topic.split("/")[1], ack.boot, ack.seq)

    with ExitStack() as open_:
        client = MqttClient(address, subscription="ic/+/ack", handler=acknowledge)
        open_.callback(client.close)
        way = BadWay(client, seed=6)
        box = open_.enter_context(Outbox(nodes, way))
        yield box, way


def through_processes(
    of: Scenario, module: bytes, told: Told, address: BrokerAddress, folder: Path, rows: int
) -> tuple[Lines, dict[str, list[Aggregate]], int]:
    """What `rows` rows are in the cloud's store, and the windows of each node; how many messages
    were lost on the way to fog."""
    assert of.fog is not None
    fog = of.fog.name
    with ExitStack() as open_:
        store = open_.enter_context(
            Store(folder / "store.sqlite", clock_ms=lambda: of.period.end_ms + 60_000)
        )
        delivery = Delivery(store, address, fogs=True)
        open_.callback(delivery.close)
        file = folder / "fog.sqlite"
        open_.enter_context(Fog(of.fog, module, edge=address, cloud=address, file=file))
        box, way = open_.enter_context(boards(address, list(told)))
        for node, message in sorted(
            ((node, message) for node, messages in told.items() for message in messages),
            key=lambda one: one[1].time_ms,
        ):
            box.put(node, message.time_ms, message.message.decode())
        assert box.flush(120)
        until(lambda: store.reader.count(fog) >= rows)
        assert store.flush()
        sums = {node: aggregates(store.reader, node) for node in told}
        for parts in sums.values():
            parts.sort(key=lambda part: (part.start_ms, part.signal))
        return stored(store, fog), sums, way.lost


def test_the_simulated_chain_and_the_processes_give_the_same_rows(
    season: tuple[Scenario, Told], broker: EmbeddedBroker | Mosquitto, tmp_path: Path
) -> None:
    """Here what nodes say is lost, repeated, and overtaken on its way to fog."""
    of, told = season
    rows, summary = simulate(of, MODULE, told)
    assert summary["messages"] > 900
    assert summary["suppressed"] > 20
    expected = simulated(rows)
    found, sums, lost = through_processes(of, MODULE, told, broker.address, tmp_path, len(rows))
    assert found == expected
    assert sums == {node: windows(expected["window", node]) for node in told}
    assert lost > 10


PROTOTYPE = """
#include <stdint.h>

__attribute__((export_name("process")))
int32_t process(int32_t raw, int32_t dry, int32_t wet, int32_t limit)
{
    int32_t pct = 100 * (dry - raw) / (dry - wet);
    pct = pct < 0 ? 0 : pct > 100 ? 100 : pct;
    return pct | (raw > limit ? 256 : 0);
}
"""
DRY, WET, LIMIT = 3_000, 1_200, 2_170


def test_a_module_of_the_first_generation_is_the_filter_of_fog(
    season: tuple[Scenario, Told], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """It exports nothing but `process`; so do the rows hold its results, in both chains."""
    of, told = season
    assert of.fog is not None
    calibration = {"dry_counts": DRY, "wet_counts": WET, "limit_counts": LIMIT}
    fog = of.fog.model_copy(update={"parameters": calibration})
    of = of.model_copy(update={"fog": fog})
    some = {"vine": told["vine"][:200]}
    source = tmp_path / "prototype.c"
    source.write_text(PROTOTYPE)
    module = build([source]).module
    rows, _ = simulate(of, module, some)
    found, _, _ = through_processes(of, module, some, mosquitto.address, tmp_path, len(rows))
    assert found == simulated(rows)
    filtered = [signals for *_, signals in found["filtered", "vine"]]
    assert len(filtered) == 200
    for signals in filtered:
        pct = min(100, max(0, 100 * (DRY - int(signals["raw"])) // (DRY - WET)))
        irrigate = 256 if signals["raw"] > LIMIT else 0
        assert signals.get("processed") == (
            None if int(signals["anomaly"]) & SUPPRESSED else pct + irrigate
        )
    assert len({signals.get("processed", 0) >= 256 for signals in filtered}) == 2
