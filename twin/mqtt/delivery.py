"""Delivery, cloud side: topics -> store -> acknowledgement.

Whatever the broker loses, repeats or reorders: a message is acknowledged after it is in the store,
and never stored twice.  Devices repeat what is not acknowledged.  Nodes that number nothing get
numbers made here; for them delivery is as good as the broker (`Flag.UNIDENTIFIED`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from paho.mqtt.client import topic_matches_sub

from levada.guest.topic import PREFIX
from levada.hil.errors import PayloadError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.mqtt.mapping import PayloadMap
from levada.twin.mqtt.messages import (
    Ack,
    Ask,
    ConfigAck,
    Message,
    Processed,
    Status,
    Telemetry,
    check_node,
    decode,
    node_topic,
    split_topic,
)
from levada.twin.mqtt.sequence import MODULUS, Numbering
from levada.twin.store.rows import UNITS, Commit, Event, Flag, PresenceChange, Row, StoreSettings
from levada.twin.store.store import Store

__all__ = ["Counters", "Delivery", "Presence"]

_log = logging.getLogger(__name__)

_MISSED: Final = 3
"""Heartbeats that a node may miss before it counts as gone."""
_DEFAULT_BEAT_MS: Final = 5_000
_UNKNOWN_BEAT_MS: Final = 1_200_000
"""Of a node that names none and was heard once."""
_NODES: Final = StoreSettings().nodes
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

    A node that names no heartbeat, such as one that sleeps between its steps, has the rhythm in
    which it was heard so far.  Nothing rests on the broker's last will; a half-open connection
    gives none.
    """

    def __init__(self, tell: Callable[[str, bool], None], beat_ms: int = _DEFAULT_BEAT_MS) -> None:
        self._tell = tell
        self._beat_ms = beat_ms
        self._lock = threading.Lock()
        self._heard: dict[str, tuple[int, int]] = {}
        self._rhythm: dict[str, tuple[int, int]] = {}
        """Of nodes that name no heartbeat: heard last, and the longest pause."""
        self._named: set[str] = set()
        self.news = threading.Event()
        """Set when a node may have to be checked sooner than `check` has said."""

    def heard(self, node: str, now_ms: int, every_ms: int | None = None) -> None:
        """`node` gave a sign of life."""
        with self._lock:
            known = self._heard.get(node)
            if known is None and len(self._heard) >= _NODES:
                return  # the store does not know that many either
            if every_ms is not None:
                self._named.add(node)
            beat = every_ms or (known[1] if known else self._beat_ms)
            if node not in self._named:
                beat = self._pause(node, now_ms)
            self._heard[node] = (now_ms, beat)
        if known is None or beat < known[1]:
            self.news.set()
        if known is None:
            self._tell(node, True)

    def _pause(self, node: str, now_ms: int) -> int:
        """How long a node that names no heartbeat may pause."""
        before = self._rhythm.get(node)
        if before is None:
            if len(self._rhythm) >= _NODES:
                self._rhythm.clear()  # they are learned again
            self._rhythm[node] = (now_ms, 0)
            return _UNKNOWN_BEAT_MS
        longest = max(before[1], min(now_ms - before[0], _UNKNOWN_BEAT_MS))
        self._rhythm[node] = (now_ms, longest)
        return max(longest, self._beat_ms)

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

    `on_message(node, message)` hears every valid message, `on_row(row)` every row before it goes
    into the store, both in the network thread.  `maps` are payloads of other devices, which are
    listened to as well.  With `names`, node -> name under which it is stored, all other nodes are
    somebody else's: nothing of theirs is stored or acknowledged.  `shift_ms` is added to every time
    that a device tells.
    """

    def __init__(
        self,
        store: Store,
        address: BrokerAddress,
        *,
        maps: Sequence[PayloadMap] = (),
        names: Mapping[str, str] = {},
        shift_ms: int = 0,
        on_message: Callable[[str, Message], None] | None = None,
        on_row: Callable[[Row], None] | None = None,
        beat_ms: int = _DEFAULT_BEAT_MS,
    ) -> None:
        self.store = store
        self.counters = Counters()
        self.presence = Presence(self._presence_changed, beat_ms)
        self._maps = tuple(maps)
        self._names = dict(names)
        self._devices = {name: device for device, name in names.items()}
        self._shift_ms = shift_ms
        self._on_message = on_message
        self._on_row = on_row
        self._beat_ms = beat_ms
        self._numbering = Numbering(_NODES)
        self._refusals = 0
        self._left_out: set[str] = set()
        self._closing = threading.Event()
        store.listen(self._acknowledge)
        self._client: MqttClient | None = None  # messages may come before we have it
        self._client = MqttClient(
            address,
            subscription=_filters(self._maps),
            handler=self._handle,
        )
        self._client.on_oversized(self._oversized)
        self._beater = threading.Thread(target=self._beat, name="presence", daemon=True)
        self._beater.start()

    @property
    def client(self) -> MqttClient:
        """The connection to the broker."""
        assert self._client is not None
        return self._client

    def ask_birth(self, node: str) -> bool:
        """Ask a node who it is."""
        return self.send(node, Ask(what="birth"))

    def send(self, node: str, message: Message) -> bool:
        """Publish a message to a node; False if there is no connection."""
        payload = message.encode()
        return self._client is not None and self._client.publish(
            node_topic(type(message), node), payload
        )

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
                if self._is_ours(node):
                    self._mapped(mapping, node, payload)
                return
        place = split_topic(topic)
        if place is None:
            self.counters.foreign += 1
            return
        node, rest = place
        if rest != "fog/processed" and not self._is_ours(node):
            return
        message: Message
        match rest:
            case "data":
                message = decode(Telemetry, payload)
                self._telemetry(node, message, payload)
            case "fog/processed":
                message = decode(Processed, payload)
                check_node(message.node)
                if self._is_ours(message.node):
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
        self.presence.heard(node, _wall_ms())
        processed = isinstance(message, Processed)
        name = self._named(node)
        identity = message.identity or self._numbering.next(name)
        self._take(
            Row(
                node=name,
                boot=identity.boot,
                seq=identity.seq,
                oldest=identity.oldest,
                device_ms=None if message.t is None else message.t + self._shift_ms,
                received_ms=0,
                payload=payload.decode(),
                signals=message.signals(),
                kind="filtered" if processed else "raw",
                target=self._named(message.node) if isinstance(message, Processed) else "",
                flags=Flag.NONE if message.identity else Flag.UNIDENTIFIED,
            )
        )

    def _take(self, row: Row) -> None:
        if self._on_row is not None:
            self._on_row(row)
        # asked afterwards: who hears the first row may set the clock by it
        self.store.submit(replace(row, received_ms=self.store.now_ms()))

    def _is_ours(self, node: str) -> bool:
        ours = not self._names or node in self._names
        self.counters.foreign += not ours
        return ours

    def _named(self, node: str) -> str:
        return self._names.get(node, node)

    def _mapped(self, mapping: PayloadMap, node: str, payload: bytes) -> None:
        try:
            signals = mapping.apply(payload)
        finally:
            self._tell_left_out(mapping, node)
        self.presence.heard(node, _wall_ms())
        name = self._named(node)
        identity = self._numbering.next(name)
        self._take(
            Row(
                node=name,
                boot=identity.boot,
                seq=identity.seq,
                oldest=identity.oldest,
                received_ms=0,
                payload=payload.decode(),
                signals=signals,
                units={**UNITS, **mapping.units()},
                flags=Flag.UNIDENTIFIED,
            )
        )

    def _tell_left_out(self, mapping: PayloadMap, node: str) -> None:
        """Once for every signal that is not what its mapping says it is; the rest is counted."""
        for signal in mapping.left_out.keys() - self._left_out:
            self._left_out.add(signal)
            self.store.submit(
                Event(
                    kind="mapping",
                    severity="warning",
                    node=self._named(node),
                    time_ms=self.store.now_ms(),
                    text=f"{mapping.table.topic}: `{signal}` is no number: left out, and counted",
                    evidence={"topic": mapping.table.topic, "signal": signal},
                )
            )

    def left_out(self) -> dict[str, int]:
        """Signal -> how often a payload had something there that is no number."""
        return dict(sum((mapping.left_out for mapping in self._maps), Counter()))

    def _status(self, node: str, message: Status) -> None:
        if message.state == "death":
            self.presence.gone(node)
            return
        self.presence.heard(node, _wall_ms(), message.every_ms)
        if message.state == "birth":
            birth = message.model_dump(exclude_none=True)
            now = self.store.now_ms()
            self.store.submit(
                PresenceChange(node=self._named(node), online=True, time_ms=now, birth=birth)
            )

    def _presence_changed(self, node: str, online: bool) -> None:
        now = self.store.now_ms()
        node = self._named(node)
        self.store.submit(
            Event(
                kind="online" if online else "offline",
                severity="info" if online else "warning",
                node=node,
                time_ms=now,
                text=f"{node} is there" if online else f"{node} has fallen silent",
            )
        )
        self.store.submit(PresenceChange(node=node, online=online, time_ms=now))

    def _oversized(self, topic: str, size: int) -> None:
        self.counters.oversized += 1
        self._refuse(topic, f"payload of {size} bytes: at most 65536")

    def _refuse(self, topic: str, why: str) -> None:
        """Tell the sender and the people, but not endlessly."""
        self._refusals += 1
        if self._refusals > _REFUSALS:
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
        place = split_topic(topic)
        if place is not None:
            self.send(place[0], Ack(refused=why[:500]))

    # -- in other threads ----------------------------------------------------------------------

    def _acknowledge(self, commit: Commit) -> None:
        for (node, boot), contiguous in commit.acks.items():
            device = self._devices.get(node, node)
            # below 0 the very first message is missing; modulo 2^32 it would cover everything
            covers = boot >= 0 and contiguous >= 0
            if covers and self.send(device, Ack(boot=boot, seq=contiguous % MODULUS)):
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


def _filters(maps: Sequence[PayloadMap]) -> list[str]:
    """What to subscribe to: ours, and topics of others that no filter covers already."""
    found = [f"{PREFIX}#"]
    for topic in dict.fromkeys(mapping.table.topic for mapping in maps):
        if not any(topic_matches_sub(known, topic) for known in found):
            found.append(topic)
    return found
