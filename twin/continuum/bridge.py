"""What fog passes on, as it is, where edge and cloud have a broker each.

Upwards go birth, heartbeat, answers to calibrations and what nodes say of updates, downwards
calibrations, questions and modules.
Telemetry and acknowledgements do not: fog takes the one, and gives the other itself.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from levada.hil.line.broker import BrokerAddress

__all__ = ["DOWN", "UP", "Bridge", "is_same_broker"]

UP: Final = ("ic/+/status", "ic/+/config/ack", "ic/+/ota/want", "ic/+/ota/state")
DOWN: Final = ("ic/+/config", "ic/+/ask", "ic/+/ota/request", "ic/+/ota/chunk/+/+")

Publish = Callable[[str, bytes], bool]


class Bridge:
    """Between two brokers; what cannot be passed on at once is lost, as at a broker alone."""

    def __init__(self, edge: Publish, cloud: Publish) -> None:
        self._edge = edge
        self._cloud = cloud

    def up(self, topic: str, payload: bytes) -> None:
        """From a node to the cloud."""
        self._cloud(topic, payload)

    def down(self, topic: str, payload: bytes) -> None:
        """From the cloud to a node."""
        self._edge(topic, payload)


def is_same_broker(a: BrokerAddress, b: BrokerAddress) -> bool:
    """Whether two addresses, however they are written, are those of one broker.

    To bridge a broker with itself would send every message round and round.
    """
    if a.port != b.port:
        return False
    return a.host == b.host or not _addresses(a.host).isdisjoint(_addresses(b.host))


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return {host}
