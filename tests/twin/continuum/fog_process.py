"""The command `levada fog` as a process, and a cloud that keeps in memory what it forwards."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from levada_process import LevadaProcess

from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.messages import Ack, Processed, Relayed, decode
from levada.twin.mqtt.sequence import Received

__all__ = ["Cloud", "FogProcess"]


class FogProcess(LevadaProcess):
    """`levada fog` between two brokers; its buffer is `fog.sqlite` in `folder`."""

    def __init__(self, folder: Path, edge: BrokerAddress | None, *options: str) -> None:
        command = ["fog", "--buffer", str(folder / "fog.sqlite"), "--health-port", "0"]
        if edge is not None:
            command += ["--edge-broker", edge.url]
        self.addresses = folder / "fog.json"
        super().__init__(folder, [*command, *options], edge)

    def wait_until_ready(self) -> dict[str, Any]:
        """Where it is, once it is there."""
        assert self.first_line(), self.log.read_text()
        found: dict[str, Any] = json.loads(self.addresses.read_text())
        return found


class Cloud:
    """Takes what the fog node `fog` forwards, each row once, and acknowledges what is complete."""

    def __init__(self, address: BrokerAddress, fog: str = "fog") -> None:
        self._fog = fog
        self.rows: dict[tuple[int, int], dict[str, Any]] = {}
        """(boot, number) -> row with its `stream`."""
        self._lives: dict[int, Received] = {}
        self._counts: Counter[str] = Counter()
        """Rows by stream."""
        self.sent: list[tuple[int, int]] = []
        """Of each message when fog has sent it [us], and how many rows it has."""
        self.repeated = 0
        self.holds = False
        """Acknowledges nothing."""
        self.news = threading.Condition()
        self._client = MqttClient(
            address,
            subscription=[f"ic/{fog}/relayed", f"ic/{fog}/processed"],
            handler=self._take,
        )

    def _take(self, topic: str, payload: bytes) -> None:
        stream = topic.rpartition("/")[2]
        decode(Relayed if stream == "relayed" else Processed, payload)
        message = json.loads(payload)
        boot, first = message["boot"], message["seq"]
        with self.news:
            life = self._lives.setdefault(boot, Received.before(message["oldest"]))
            life.skip(message["oldest"])
            self.sent.append((message["sent_us"], len(message["rows"])))
            for number, row in enumerate(message["rows"], first):
                if life.has(number):
                    self.repeated += 1
                    assert self.rows[boot, number] == {"stream": stream, **row}
                else:
                    life.add(number)
                    self._counts[stream] += 1
                    self.rows[boot, number] = {"stream": stream, **row}
            self.news.notify_all()
            contiguous = life.contiguous
        if not self.holds and contiguous >= 0:
            ack = Ack(boot=boot, seq=contiguous)
            self._client.publish(f"ic/{self._fog}/ack", ack.encode())

    def wait_for(self, rows: int, stream: str, timeout_s: float = 120.0) -> bool:
        """Whether so many rows of a stream come within the time."""
        with self.news:
            return self.news.wait_for(lambda: self._counts[stream] >= rows, timeout_s)

    def stream(self, name: str) -> list[dict[str, Any]]:
        """Rows of one stream in the order of their numbers."""
        found = []
        for _, row in sorted(self.rows.items()):
            if row["stream"] == name:
                found.append({key: value for key, value in row.items() if key != "stream"})
        return found

    def close(self) -> None:
        self._client.close()
