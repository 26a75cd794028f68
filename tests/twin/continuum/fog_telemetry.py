"""Messages of nodes as fog takes them, for the tests of this folder."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from levada.guest.shipped import DEFAULT_GUEST
from levada.twin.continuum.buffer import Buffer
from levada.twin.continuum.groups import Group, Groups, Policy
from levada.twin.continuum.intake import Arrival
from levada.twin.continuum.tier import Sample, Tier

__all__ = ["MODULE", "NOW_MS", "T0", "Core", "arrival", "rows_of", "sample", "season"]

MODULE = DEFAULT_GUEST.read_bytes()
T0 = 1_700_000_000_000 - 1_700_000_000_000 % 3_600_000
NOW_MS = T0 + 365 * 86_400_000
"""When they arrive."""


def arrival(node: str, /, **members: Any) -> Arrival:
    payload = json.dumps(members, separators=(",", ":")).encode()
    return Arrival(f"ic/{node}/data", payload, 1_000, NOW_MS)


def season(messages: int, seed: int, nodes: int = 3) -> Iterator[Arrival]:
    """Of some nodes in turn: drying and watering, noise, outliers, error codes, a probe that does
    not move, pulses, late messages, repetitions."""
    chance = random.Random(seed)
    sent: list[Arrival] = []
    for number in range(messages):
        node, seq = f"n{number % nodes}", number // nodes
        raw = 2_000 + round(600 * ((seq % 97) / 97)) + chance.randrange(-3, 4)
        raw = chance.choices([raw, 4_000, -1, 30], [95, 2, 2, 1])[0]
        if node == "n1" and seq > 20:
            raw = 1_777
        late_ms = chance.choices([0, 45 * 60_000, 5 * 3_600_000], [94, 4, 2])[0]
        t_ms = T0 + seq * 600_000 - late_ms
        sent.append(
            arrival(node, boot=5, seq=seq, oldest=0, t=t_ms, raw=raw, pct=40, flow=number % 2)
        )
        yield sent[-1]
        if chance.random() < 0.05:
            yield chance.choice(sent)


class Core:
    """Fog without threads and brokers, on the buffer in `file`."""

    def __init__(
        self, file: Path, *, engine: Any = "wasm", rows: int = 10_000, full: Policy = "stop"
    ) -> None:
        self.tier = Tier(MODULE, engine, {}, 3_600, 86_400)
        self.buffer = Buffer(file)
        self.groups = Groups(self.buffer, self.tier, rows=rows, full=full, own_name="fog")

    def take(self, *arrivals: Arrival, acknowledged: int = -1) -> Group:
        group = self.groups.prepare(arrivals, acknowledged, NOW_MS)
        self.groups.commit(group)
        return group

    def close(self) -> None:
        self.tier.close()
        self.buffer.close()


def rows_of(buffer: Buffer) -> list[dict[str, Any]]:
    """All rows that wait for the cloud, with their numbers."""
    found = []
    for message in buffer.outgoing(0, 1_000_000):
        rows = json.loads(message.rows)
        assert len(rows) == message.length
        for offset, row in enumerate(rows):
            found.append({"number": message.first + offset, "stream": message.stream, **row})
    return found


def sample(node: str, minute: float, /, **signals: float) -> Sample:
    return Sample(node, 5, round(minute), T0 + round(minute * 60_000), signals)
