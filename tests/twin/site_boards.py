"""The boards of a site as a program: python tests/twin/site_boards.py < orders

The first line is `Site` as JSON.  Boards of our own keep their messages until they are
acknowledged and start at once; legacy and mapped boards, which number nothing, send as many
messages as a line `send N` asks each of them for, which is answered when the broker has taken them.
`finish` waits until the boards of our own have delivered all theirs.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqtt_device import Device, Journal
from raw_mqtt import PINGREQ, log_in, publish

from levada.hil.line.broker import BrokerAddress

__all__ = ["Site"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """What boards there are, and where."""

    address: dict[str, Any]
    folder: str
    """Of the journals of our own boards."""
    boards: int
    """Of each kind."""
    count: int
    """Messages of each of our own boards."""

    def own(self) -> list[str]:
        return [f"own-{number}" for number in range(self.boards)]

    def legacy(self) -> list[str]:
        return [f"legacy-{number}" for number in range(self.boards)]

    def mapped(self) -> list[str]:
        return [f"mapped-{number}" for number in range(self.boards)]


class Unnumbered:
    """A board that publishes and forgets; what it measures is how often it has measured."""

    def __init__(self, address: BrokerAddress, name: str, *, legacy: bool) -> None:
        self._socket = log_in(address, name)
        self._socket.settimeout(None)
        self._topic = f"ic/{name}/data" if legacy else f"tele/{name}/SENSOR"
        self._legacy = legacy
        self._sent = 0

    def send(self, count: int) -> None:
        """Send `count` messages, and wait until the broker has read them."""
        for _ in range(count):
            self._socket.sendall(publish(self._topic, self._payload()))
            self._sent += 1
        self._socket.sendall(PINGREQ)
        answer = self._socket.recv(2)
        assert answer == b"\xd0\x00", answer

    def _payload(self) -> bytes:
        reading = {"raw": self._sent, "pct": 40, "irrigar": 0}
        return json.dumps(reading if self._legacy else {"ANALOG": {"A0": self._sent}}).encode()


def _main() -> None:
    site = Site(**json.loads(sys.stdin.readline()))
    address = BrokerAddress(**site.address)
    own = [
        Device(address, name, Journal(Path(site.folder) / name), window=20) for name in site.own()
    ]
    threads = [threading.Thread(target=device.run, args=(site.count,)) for device in own]
    for thread in threads:
        thread.start()
    others = [Unnumbered(address, name, legacy=True) for name in site.legacy()]
    others += [Unnumbered(address, name, legacy=False) for name in site.mapped()]
    print("ready", flush=True)
    for order in sys.stdin:
        verb, _, number = order.strip().partition(" ")
        if verb == "finish":
            for thread in threads:
                thread.join()
            for device in own:
                device.close()
        else:
            for board in others:
                board.send(int(number))
        print(verb, flush=True)


if __name__ == "__main__":
    _main()
