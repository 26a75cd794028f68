"""Edge, fog and cloud in simulated time: what `levada run --strategy` adds to a run.

Fog and cloud have no valve, so nothing comes back from them to the field: the chain takes the
telemetry off the tape when the run is over and lets it travel.  A node numbers its messages and
keeps each until fog has acknowledged it; fog computes (`levada.twin.continuum.tier`), numbers its
rows and keeps them until the cloud has acknowledged them; the cloud stores, and computes the same
of the raw stream once more.  Computing takes no simulated time.  Equal tapes, scenarios and seeds
give equal rows, and the same ones as the processes do (`levada up`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain as joined
from math import ceil
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import simpy

from levada.guest.abi import ErrorCode
from levada.guest.tape import Publication, TapeReader, publications
from levada.guest.topic import PREFIX, resolve_topic
from levada.hil.errors import PayloadError
from levada.sim.run import runner
from levada.sim.scenario.continuum import Cloud, Fog, Link
from levada.sim.scenario.model import Scenario
from levada.twin.continuum.hop import Direction, Hop
from levada.twin.continuum.tier import Sample, Tier
from levada.twin.errors import TwinError
from levada.twin.mqtt.messages import ForwardedRow, Telemetry, decode

__all__ = ["FILE", "Row", "read_telemetry", "simulate", "through_continuum"]

FILE: Final = "continuum.parquet"
"""In the run directory: every row that the cloud has stored."""

ROWS_A_MESSAGE: Final = 8
"""Rows that one message becomes at most: raw, filtered, windows that it ends or corrects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row in the cloud's store."""

    stream: str
    """`raw` as the node said it, `filtered` as fog computed it, `window` as fog summed it up."""
    node: str
    seq: int | None
    """Number of the node's message; None of a window."""
    t_ms: int
    """Time of the measurement, or start of the window [ms since 1970]."""
    window_s: int | None
    revision: int | None
    sent_ms: float
    """When the node sent what it rests on, the last of it [ms since 1970]."""
    fog_ms: float
    """When that arrived in fog [ms since 1970]."""
    cloud_ms: float
    """When the row arrived in the cloud [ms since 1970]."""
    signals: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Message:
    """Telemetry on its way to fog."""

    sample: Sample
    sent_s: float


@dataclass(frozen=True, slots=True)
class _Forwarded:
    """A row on its way to the cloud."""

    stream: str
    row: ForwardedRow
    sent_s: float
    fog_s: float


@dataclass(slots=True)
class _Totals:
    """What is counted on the way."""

    messages: int = 0
    unreadable: int = 0
    equal: int = 0
    different: int = 0
    rows: list[Row] = field(default_factory=list)


class _Chain:
    """The tiers of a scenario and the hops between them."""

    def __init__(self, scenario: Scenario, module: bytes) -> None:
        assert scenario.fog is not None and scenario.cloud is not None
        self._scenario = scenario
        self._fog, self._cloud = scenario.fog, scenario.cloud
        self.env = simpy.Environment()
        self._links: dict[str, Link] = {link.between: link for link in scenario.link}
        self._fog_tier = tier_of(module, self._fog)
        self._cloud_tier = tier_of(module, self._fog, self._cloud)
        self._start_ms = scenario.period.start_ms
        self.edges: dict[str, Hop[_Message]] = {}
        self.uplink = self._hop("fog-cloud", "fog", self._store, rows_s=self._fog.flush_rows_s)
        self.totals = _Totals()
        self._awaited: dict[tuple[str, int | None], dict[str, float]] = {}
        """What the cloud has computed of a message whose filtered row has not come yet."""

    def _hop(
        self, between: str, name: str, take: Callable[[Any], bool], *, rows_s: float | None = None
    ) -> Hop[Any]:
        link = self._links.get(between, Link(between=between))  # type: ignore[arg-type]
        seed, period = self._scenario.seed, self._scenario.period
        there = Direction(self.env, link, period, seed, between, name, "up")
        back = Direction(self.env, link, period, seed, between, name, "down")
        return Hop(self.env, there, back, take, rows_s=rows_s)

    def publish(self, node: str, messages: Iterable[Publication]) -> None:
        """Let a node say, at its times, what its guest has published."""
        self.edges[node] = self._hop("edge-fog", node, self._compute)
        self.env.process(self._say(node, messages))

    def _say(self, node: str, messages: Iterable[Publication]) -> Generator[simpy.Event, Any, None]:
        number = 0
        for message in messages:
            at_s = (message.time_ms - self._start_ms) / 1000.0
            yield self.env.timeout(max(0.0, at_s - self.env.now))
            try:
                signals = decode(Telemetry, message.message).signals()
            except PayloadError:
                self.totals.unreadable += 1
                continue
            sample = Sample(node=node, boot=1, seq=number, t_ms=message.time_ms, signals=signals)
            number += 1
            self.totals.messages += 1
            self.edges[node].put(_Message(sample, self.env.now), len(message.message))

    # -- fog -----------------------------------------------------------------------------------

    def _compute(self, message: _Message) -> bool:
        """A message has arrived in fog; false if it has no room for it."""
        if not self._make_room():
            return False
        sample = message.sample
        raw = {"node": sample.node, "boot": sample.boot, "seq": sample.seq, "t": sample.t_ms}
        self._forward("raw", raw | dict(sample.signals), message)
        for row in self._fog_tier.take([sample]):
            self._forward("window" if "window_s" in row else "filtered", row, message)
        return True

    def _make_room(self) -> bool:
        """Whether fog can take a message; what it does if its buffer is full is a setting."""
        most = self._fog.buffer_rows - ROWS_A_MESSAGE
        if self.uplink.kept <= most or self._fog.buffer_full == "stop":
            return self.uplink.kept <= most
        if self._fog.buffer_full == "fail":
            raise TwinError(
                f"the buffer of {self._fog.name} is full: {self.uplink.kept} rows wait for the "
                f"cloud, `buffer_rows` = {self._fog.buffer_rows}"
            )
        while self.uplink.kept > most:
            self.uplink.drop_oldest()
        return True

    def _forward(self, stream: str, members: dict[str, Any], message: _Message) -> None:
        row = ForwardedRow.model_validate(members)
        size = len(row.model_dump_json(exclude_none=True))
        self.uplink.put(_Forwarded(stream, row, message.sent_s, self.env.now), size)

    # -- cloud ---------------------------------------------------------------------------------

    def _store(self, forwarded: _Forwarded) -> bool:
        """A row has arrived in the cloud, which has always room."""
        row = forwarded.row
        at_ms = float(self._start_ms)
        self.totals.rows.append(
            Row(
                stream=forwarded.stream,
                node=row.node,
                seq=row.seq,
                t_ms=row.t if row.t is not None else 0,
                window_s=row.window_s,
                revision=row.revision,
                sent_ms=at_ms + forwarded.sent_s * 1000.0,
                fog_ms=at_ms + forwarded.fog_s * 1000.0,
                cloud_ms=at_ms + self.env.now * 1000.0,
                signals=row.signals(),
            )
        )
        key = (row.node, row.seq)
        if forwarded.stream == "raw":
            sample = Sample(
                node=row.node, boot=row.boot, seq=row.seq, t_ms=row.t or 0, signals=row.signals()
            )
            for computed in self._cloud_tier.take([sample]):
                if "window_s" not in computed:
                    self._awaited[key] = ForwardedRow.model_validate(computed).signals()
        elif forwarded.stream == "filtered" and key in self._awaited:
            same = self._awaited.pop(key) == row.signals()
            self.totals.equal += same
            self.totals.different += not same
        return True


def tier_of(module: bytes, fog: Fog, cloud: Cloud | None = None) -> Tier:
    """What fog computes with, or the cloud, which takes from `[fog]` what it does not say."""
    table = cloud or fog
    return Tier(
        module,
        table.engine,
        parameters=table.parameters or fog.parameters,
        window_s=round(fog.window.total_seconds()),
        late_s=round(fog.late.total_seconds()),
    )


def simulate(
    scenario: Scenario, module: bytes, telemetry: Mapping[str, Iterable[Publication]]
) -> tuple[list[Row], dict[str, Any]]:
    """Let the telemetry of nodes travel; the rows in the cloud, and what there is to say of them.

    It goes on until nothing is kept anywhere any more.
    """
    chain = _Chain(scenario, module)
    for node, messages in telemetry.items():
        chain.publish(node, messages)
    chain.env.run(until=scenario.period.days * 86_400.0)
    while chain.uplink.kept or any(hop.kept for hop in chain.edges.values()):
        chain.env.run(until=chain.env.now + 3_600.0)
    return chain.totals.rows, _summary(scenario, chain)


def through_continuum(scenario: Scenario, run_dir: Path) -> dict[str, Any]:
    """Let the telemetry of a run travel to the cloud; the entries for its summary.

    Writes `continuum.parquet` into the directory.  Empty if the scenario has no fog and no cloud.
    """
    if scenario.fog is None:
        return {}
    rows, summary = simulate(scenario, runner.read_guest(scenario), read_telemetry(run_dir))
    pq.write_table(_table(rows), run_dir / FILE)
    return {"continuum": summary}


def read_telemetry(run_dir: Path) -> dict[str, list[Publication]]:
    """What each node of a run has told."""
    reader = TapeReader(run_dir / "tape.cbor")
    parts: dict[int, list[bytes]] = {zone: [] for zone in range(len(reader.zones))}
    for zone, records in reader.chunks():
        parts[zone].append(records)
    return {name: _telemetry(name, b"".join(parts[zone])) for zone, name in enumerate(reader.zones)}


def _telemetry(node: str, tape: bytes) -> list[Publication]:
    """What left the node as telemetry."""
    topic = f"{PREFIX}{node}/data"
    return [
        message
        for message in publications(tape)
        if message.result == ErrorCode.OK
        and resolve_topic(message.topic.decode(errors="replace"), node) == topic
    ]


def _summary(scenario: Scenario, chain: _Chain) -> dict[str, Any]:
    assert scenario.fog is not None and scenario.cloud is not None
    rows, totals = chain.totals.rows, chain.totals
    filtered = [row for row in rows if row.stream == "filtered"]
    raw = [row for row in rows if row.stream == "raw"]
    windows = [row for row in rows if row.stream == "window"]
    sent = sum(hop.sent for hop in chain.edges.values())
    return {
        "engines": {
            "edge": scenario.edge.engine,
            "fog": scenario.fog.engine,
            "cloud": scenario.cloud.engine,
        },
        "messages": totals.messages,
        "unreadable": totals.unreadable,
        "stored": len(raw),
        "filtered": len(filtered),
        "suppressed": sum("filt" not in row.signals for row in filtered),
        "windows": len(windows),
        "corrected": sum(bool(row.revision) for row in windows),
        "fog_equals_cloud": totals.equal,
        "fog_differs_from_cloud": totals.different,
        "latency_ms": {
            "edge_to_fog": _percentiles(row.fog_ms - row.sent_ms for row in raw),
            "fog_to_cloud": _percentiles(row.cloud_ms - row.fog_ms for row in raw),
            "edge_to_cloud": _percentiles(row.cloud_ms - row.sent_ms for row in raw),
        },
        "sent_again": {"edge": sent - totals.messages, "fog": chain.uplink.sent - len(rows)},
        "dropped": chain.uplink.dropped,
        "kept_at_most": {
            "edge": max((hop.most for hop in chain.edges.values()), default=0),
            "fog": chain.uplink.most,
        },
        "digest": _digest(rows),
    }


def _percentiles(values: Iterable[float]) -> dict[str, float] | None:
    """Median, 95th percentile and maximum by the nearest rank; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    ranks = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {
        name: round(ordered[max(1, ceil(share * len(ordered))) - 1], 3)
        for name, share in ranks.items()
    }


def _digest(rows: Iterable[Row]) -> str:
    """SHA-256 of what is stored, without when it came."""
    found = hashlib.sha256()
    for row in rows:
        line = [row.stream, row.node, row.seq, row.t_ms, row.window_s, row.revision]
        signals = dict(sorted(row.signals.items()))
        found.update(json.dumps([*line, signals], separators=(",", ":")).encode() + b"\n")
    return found.hexdigest()


def _table(rows: list[Row]) -> pa.Table:
    names = sorted(set(joined.from_iterable(row.signals for row in rows)))
    return pa.table(
        {
            "stream": pa.array([row.stream for row in rows], pa.string()).dictionary_encode(),
            "node": pa.array([row.node for row in rows], pa.string()).dictionary_encode(),
            "seq": pa.array([row.seq for row in rows], pa.int64()),
            "t_ms": pa.array([row.t_ms for row in rows], pa.int64()),
            "window_s": pa.array([row.window_s for row in rows], pa.int32()),
            "revision": pa.array([row.revision for row in rows], pa.int32()),
            "sent_ms": pa.array([row.sent_ms for row in rows], pa.float64()),
            "fog_ms": pa.array([row.fog_ms for row in rows], pa.float64()),
            "cloud_ms": pa.array([row.cloud_ms for row in rows], pa.float64()),
            **{
                name: pa.array([row.signals.get(name) for row in rows], pa.float64())
                for name in names
            },
        }
    )
