"""Delivery, cloud side: topics -> store -> acknowledgement.

Whatever the broker loses, repeats or reorders: a message is acknowledged after it is in the store,
and never stored twice.  Devices repeat what is not acknowledged.  Nodes that number nothing get
numbers made here; for them delivery is as good as the broker (`Flag.UNIDENTIFIED`).
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twin.broker import BrokerAddress
from twin.client import MqttClient
from twin.errors import PayloadError
from twin.mapping import PayloadMap
from twin.messages import (
    Ack,
    Ask,
    ConfigAck,
    Message,
    Processed,
    Status,
    Telemetry,
    decode,
    node_topic,
    split_topic,
)
from twin.sequence import MODULUS
from twin.store import Store
from twin.store_rows import UNITS, Commit, Event, Flag, Row, Seen

__all__ = ["Counters", "Delivery", "Presence"]

_log = logging.getLogger(__name__)

_MISSED: Final = 3
"""Heartbeats that a node may miss before it counts as gone."""
_DEFAULT_BEAT_MS: Final = 5_000
_REFUSALS: Final = 20
"""Events of refused messages in one heartbeat; more are only counted."""


@dataclass(slots=True)
class Counters:
    """What has come in."""

    received: int = 0
    malformed: int = 0
    oversized: int = 0
    foreign: int = 0
    """Topics that are neither ours nor mapped."""
    acknowledged: int = 0
    """Acknowledgements sent."""


class Presence:
    """Which nodes are there: heard within three of their own heartbeats.

    Nothing rests on the broker's last will; a half-open connection gives none.
    """

    def __init__(self, tell: Callable[[str, bool], None], beat_ms: int = _DEFAULT_BEAT_MS) -> None:
        self._tell = tell
        self._beat_ms = beat_ms
        self._lock = threading.Lock()
        self._heard: dict[str, tuple[int, int]] = {}
        self.news = threading.Event()
        """Set when a node may have to be checked sooner than `check` has said."""

    def heard(self, node: str, now_ms: int, every_ms: int | None = None) -> None:
        """`node` gave a sign of life."""
        with self._lock:
            known = self._heard.get(node)
            beat = every_ms or (known[1] if known else self._beat_ms)
            self._heard[node] = (now_ms, beat)
        if known is None or beat < known[1]:
            self.news.set()
        if known is None:
            self._tell(node, True)

    def gone(self, node: str) -> None:
        """`node` has said goodbye."""
        with self._lock:
            known = self._heard.pop(node, None)
        if known is not None:
            self._tell(node, False)

    def check(self, now_ms: int) -> int:
        """Find those that have been silent for too long; when the next may have been [ms]."""
        with self._lock:
            due = {node: at + _MISSED * beat for node, (at, beat) in self._heard.items()}
            silent = [node for node, at in due.items() if at <= now_ms]
            for node in silent:
                del self._heard[node], due[node]
        for node in silent:
            self._tell(node, False)
        return min(due.values(), default=now_ms + self._beat_ms)

    def present(self) -> list[str]:
        """Nodes that are there, by name."""
        with self._lock:
            return sorted(self._heard)


class Delivery:
    """Consumes `ic/#` of a broker into a store.

    `on_message(node, message)` hears every valid message (telemetry before it is stored), in the
    network thread.  `maps` are payloads of other devices; their topics need a subscription that
    covers them, `subscription` (one wildcard, never two that overlap).
    """

    def __init__(
        self,
        store: Store,
        address: BrokerAddress,
        *,
        maps: Sequence[PayloadMap] = (),
        subscription: str = "ic/#",
        on_message: Callable[[str, Message], None] | None = None,
        beat_ms: int = _DEFAULT_BEAT_MS,
    ) -> None:
        self.store = store
        self.counters = Counters()
        self.presence = Presence(self._presence_changed, beat_ms)
        self._maps = tuple(maps)
        self._on_message = on_message
        self._beat_ms = beat_ms
        self._boot = secrets.randbelow(MODULUS) - MODULUS  # negative: numbers made here
        self._numbers = itertools.count()
        self._refusals = 0
        self._closing = threading.Event()
        store.listen(self._acknowledge)
        self.client = MqttClient(
            address,
            subscription=subscription,
            handler=self._handle,
        )
        self.client.on_oversized(self._oversized)
        self._beater = threading.Thread(target=self._beat, name="presence", daemon=True)
        self._beater.start()

    def ask_birth(self, node: str) -> bool:
        """Ask a node who it is."""
        return self.send(node, Ask(what="birth"))

    def send(self, node: str, message: Message) -> bool:
        """Publish a message to a node; False if there is no connection."""
        return self.client.publish(node_topic(type(message), node), message.encode())

    def close(self) -> None:
        """Stop consuming; the store stays open."""
        self._closing.set()
        self.presence.news.set()
        self.client.close()
        self._beater.join()

    # -- in the network thread -----------------------------------------------------------------

    def _handle(self, topic: str, payload: bytes) -> None:
        self.counters.received += 1
        try:
            self._dispatch(topic, payload)
        except PayloadError as error:
            self.counters.malformed += 1
            self._refuse(topic, str(error))

    def _dispatch(self, topic: str, payload: bytes) -> None:
        for mapping in self._maps:
            node = mapping.node_of(topic)
            if node is not None:
                self._mapped(mapping, node, payload)
                return
        place = split_topic(topic)
        if place is None:
            self.counters.foreign += 1
            return
        node, rest = place
        message: Message
        match rest:
            case "data":
                message = decode(Telemetry, payload)
                self._telemetry(node, message, payload)
            case "fog/processed":
                message = decode(Processed, payload)
                self._telemetry(node, message, payload)
            case "status":
                message = decode(Status, payload)
                self._status(node, message)
            case "config/ack":
                message = decode(ConfigAck, payload)
                self.presence.heard(node, _wall_ms())
            case _:
                return  # what we or others said to the node
        if self._on_message is not None:
            self._on_message(node, message)

    def _telemetry(self, node: str, message: Telemetry, payload: bytes) -> None:
        now = self.store.now_ms()
        self.presence.heard(node, _wall_ms())
        processed = isinstance(message, Processed)
        identity = self._identity(message)
        self.store.submit(
            Row(
                node=node,
                boot=identity[0],
                seq=identity[1],
                oldest=identity[2],
                device_ms=message.t,
                received_ms=now,
                payload=payload.decode(),
                signals=message.signals(),
                kind="filtered" if processed else "raw",
                target=message.node if isinstance(message, Processed) else "",
                flags=Flag.NONE if message.identified else Flag.UNIDENTIFIED,
            )
        )

    def _identity(self, message: Telemetry) -> tuple[int, int, int]:
        if message.boot is not None and message.seq is not None and message.oldest is not None:
            return message.boot, message.seq, message.oldest
        number = next(self._numbers) % MODULUS
        return self._boot, number, 0

    def _mapped(self, mapping: PayloadMap, node: str, payload: bytes) -> None:
        signals = mapping.apply(payload)
        now = self.store.now_ms()
        self.presence.heard(node, _wall_ms())
        boot, number, oldest = self._identity(Telemetry())
        self.store.submit(
            Row(
                node=node,
                boot=boot,
                seq=number,
                oldest=oldest,
                received_ms=now,
                payload=payload.decode(),
                signals=signals,
                units={**UNITS, **mapping.units()},
                flags=Flag.UNIDENTIFIED,
            )
        )

    def _status(self, node: str, message: Status) -> None:
        if message.state == "death":
            self.presence.gone(node)
            return
        self.presence.heard(node, _wall_ms(), message.every_ms)
        if message.state == "birth":
            birth = message.model_dump(exclude_none=True)
            now = self.store.now_ms()
            self.store.submit(Seen(node=node, online=True, time_ms=now, birth=birth))

    def _presence_changed(self, node: str, online: bool) -> None:
        now = self.store.now_ms()
        self.store.submit(
            Event(
                kind="online" if online else "offline",
                severity="info" if online else "warning",
                node=node,
                time_ms=now,
                text=f"{node} is there" if online else f"{node} has fallen silent",
            )
        )
        self.store.submit(Seen(node=node, online=online, time_ms=now))

    def _oversized(self, topic: str, size: int) -> None:
        self.counters.oversized += 1
        self._refuse(topic, f"payload of {size} bytes: at most 65536")

    def _refuse(self, topic: str, why: str) -> None:
        """Tell the sender and the people, but not endlessly."""
        self._refusals += 1
        if self._refusals > _REFUSALS:
            return
        place = split_topic(topic)
        if place is None:
            return
        self.store.submit(
            Event(
                kind="refused",
                severity="warning",
                time_ms=self.store.now_ms(),
                text=f"message on {topic} refused: {why}",
                evidence={"topic": topic},
            )
        )
        self.send(place[0], Ack(refused=why[:500]))

    # -- in other threads ----------------------------------------------------------------------

    def _acknowledge(self, commit: Commit) -> None:
        for (node, boot), contiguous in commit.acks.items():
            # below 0 the very first message is missing; modulo 2^32 it would cover everything
            covers = boot >= 0 and contiguous >= 0
            if covers and self.send(node, Ack(boot=boot, seq=contiguous % MODULUS)):
                self.counters.acknowledged += 1

    def _beat(self) -> None:
        counted_ms = _wall_ms()
        while not self._closing.is_set():
            now_ms = _wall_ms()
            if now_ms - counted_ms >= self._beat_ms:
                counted_ms, self._refusals = now_ms, 0
            due_ms = min(self.presence.check(now_ms), counted_ms + self._beat_ms)
            self.presence.news.wait(max(1, due_ms - now_ms) / 1000)
            self.presence.news.clear()


def _wall_ms() -> int:
    """Heartbeats are of this world, even where the field lives in virtual time."""
    return time.monotonic_ns() // 1_000_000
