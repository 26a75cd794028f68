"""Delivery, cloud side: topics -> store -> acknowledgement.

Whatever the broker loses, repeats or reorders: a message is acknowledged after it is in the store,
and never stored twice.  Devices repeat what is not acknowledged.  Nodes that number nothing get
numbers made here; for them delivery is as good as the broker (`Flag.UNIDENTIFIED`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from levada.guest.topic import PREFIX
from levada.hil.errors import PayloadError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES, MqttClient, matches
from levada.twin.continuum.hops import host_id, monotonic_us
from levada.twin.errors import MappingError
from levada.twin.mqtt.forwarded import Acknowledgements, NumberedRow, aggregates_of, rows_of
from levada.twin.mqtt.mapping import PayloadMap, kept
from levada.twin.mqtt.messages import (
    Ack,
    Ask,
    Config,
    ConfigAck,
    Forwarded,
    ForwardedRow,
    Message,
    OtaRequest,
    OtaState,
    Processed,
    Relayed,
    Status,
    Telemetry,
    decode,
    node_topic,
    split_topic,
)
from levada.twin.mqtt.presence import Presence, PresenceWatch, wall_ms
from levada.twin.mqtt.refusals import Refusals, Why
from levada.twin.mqtt.sequence import MODULUS, Identity, Numbering
from levada.twin.mqtt.update_notes import UpdateNote, update_offer, update_stage
from levada.twin.store.rows import UNITS, Commit, Event, Flag, PresenceChange, Row, StoreSettings
from levada.twin.store.store import Store
from levada.twin.store.stream_reads import stored_row

__all__ = ["Counters", "Delivery"]

_NODES: Final = StoreSettings().nodes
_FORWARDED: Final[Mapping[str, type[Forwarded]]] = {"relayed": Relayed, "processed": Processed}
_ENDINGS: Final = {kind: ending for ending, kind in _FORWARDED.items()}
_OF_FOGS: Final = tuple(
    f"{PREFIX}+/{ending}"
    for ending in (*_FORWARDED, "status", "config", "config/ack", "ota/request", "ota/state")
)
"""What is subscribed to where nodes are heard through fogs."""

OnForwarded = Callable[[str, Forwarded, Sequence[NumberedRow], int], None]

_SIGNS: Final = frozenset({"data", *_FORWARDED, "config/ack", "ota/want", "ota/state"})
"""Topics of a node on which any message is a sign of life; `status` says itself what it is."""


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


class Delivery:
    """Consumes what nodes say at a broker into a store, or, with `fogs`, what fogs forward.

    Whoever consumes acknowledges, and what is acknowledged is forgotten: it takes one of the two.

    `on_message(node, message)` hears every valid message, `on_row(row)` every row before it goes
    into the store, both in the network thread; `on_client(client)` is given the connection before
    anything is acknowledged.  `maps` are payloads of other devices, which are
    listened to as well.  With `names`, node -> name under which it is stored, all other nodes are
    somebody else's: nothing of theirs is stored or acknowledged.  `shift_ms` is added to every time
    that a device tells.  What a fog relays reaches `on_row` as the row that the node itself would
    have brought; `on_forwarded(fog, message, rows, received_us)` hears of all that fogs forward
    before it goes into the store.
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
        fogs: bool = False,
        on_forwarded: OnForwarded | None = None,
        on_client: Callable[[MqttClient], None] = lambda _client: None,
    ) -> None:
        self.store = store
        self.counters = Counters()
        self.presence = Presence(self._presence_changed)
        self.refusals = Refusals()
        self._maps = tuple(maps)
        self._names = dict(names)
        self._devices = {name: device for device, name in names.items()}
        self._shift_ms = shift_ms
        self._on_message = on_message
        self._on_row = on_row
        self._fogs = fogs
        self._on_forwarded = on_forwarded
        self._acks = Acknowledgements(host_id())
        self._first: dict[str, tuple[int, int]] = {}
        """Node -> boot and first number that fog has relayed of it."""
        self._numbering = Numbering(_NODES)
        self._not_numbers: Counter[str] = Counter()
        self._updates: dict[tuple[str, str], UpdateNote] = {}
        """What was noted last, by node and topic."""
        self._told_unusable: set[tuple[str, str]] = set()
        """Topic of the mapping and signal."""
        store.listen(self._acknowledge)
        self._client: MqttClient | None = None  # messages may come before we have it
        client = MqttClient(
            address,
            subscription=list(_OF_FOGS) if fogs else _filters(self._maps),
            handler=self._handle,
        )
        client.on_oversized(self._oversized)
        on_client(client)
        self._client = client
        self._watch = PresenceWatch(self.presence)

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
        self.client.close()
        self._watch.close()

    # -- in the network thread -----------------------------------------------------------------

    def _handle(self, topic: str, payload: bytes) -> None:
        self.counters.received += 1
        for mapping in self._maps:
            node = mapping.node_of(topic)
            if node is not None:
                if self._is_ours(node):
                    self._mapped(mapping, node, topic, payload)
                    self._heard(node)
                return
        place = split_topic(topic)
        if place is None:
            self.counters.foreign += 1
            return
        node, rest = place
        of_fogs = rest in _FORWARDED
        if of_fogs != self._fogs and (of_fogs or rest == "data"):
            return  # for another consumer
        try:
            if of_fogs:
                self._forwarded(node, _FORWARDED[rest], payload)
            elif self._is_ours(node) or (self._fogs and rest == "status"):
                self._dispatch(node, rest, payload)
            else:
                return
        except PayloadError as error:
            self.counters.malformed += 1
            self._refuse(topic, node, Why.MALFORMED, str(error))
        if rest in _SIGNS:
            self._heard(node)

    def _dispatch(self, node: str, rest: str, payload: bytes) -> None:
        message: Message
        match rest:
            case "data":
                message = decode(Telemetry, payload)
                self._telemetry(node, message, payload)
            case "status":
                message = decode(Status, payload)
                if self._names and node not in self._names and message.buffer_rows is None:
                    return  # neither one of ours nor a fog
                self._status(node, message)
            case "config/ack":
                message = decode(ConfigAck, payload)
            case "ota/state" | "ota/request":
                self._note_update(node, rest, payload)
                return
            case "config":  # others may set something on the node
                try:
                    message = decode(Config, payload)
                except PayloadError:
                    return  # the node answers who sent it
            case _:
                return  # what we or others said to the node
        if self._on_message is not None:
            self._on_message(node, message)

    def _note_update(self, node: str, rest: str, payload: bytes) -> None:
        """Keep who sends a module, and how far that is, once each."""
        said = (
            update_stage(decode(OtaState, payload))
            if rest == "ota/state"
            else update_offer(decode(OtaRequest, payload))
        )
        if said is None or self._updates.get((node, rest)) == said:
            return
        if len(self._updates) >= _NODES:
            self._updates.clear()  # names must not use up the memory
        self._updates[node, rest] = said
        now_ms = self.store.now_ms()
        self.store.submit(said.event(self._named(node), now_ms))

    def _heard(self, node: str) -> None:
        """Any message is a sign of life, whatever it holds; noted after it was looked at, since the
        first reading may set the clock by which that is dated."""
        self.presence.heard(node, wall_ms())

    def _telemetry(self, node: str, message: Telemetry, payload: bytes) -> None:
        name = self._named(node)
        self.refusals.taken(name)
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
                flags=Flag.NONE if message.identity else Flag.UNIDENTIFIED,
            )
        )

    def _take(self, row: Row) -> None:
        if self._on_row is not None:
            self._on_row(row)
        # asked afterwards: who hears the first row may set the clock by it
        self.store.submit(replace(row, received_ms=self.store.now_ms()))

    def _forwarded(self, fog: str, kind: type[Forwarded], payload: bytes) -> None:
        received_us = monotonic_us()
        message, rows = rows_of(kind, payload)
        self._acks.heard(fog, message, len(rows), received_us)
        if self._on_forwarded is not None:
            self._on_forwarded(fog, message, rows, received_us)
        for numbered in rows:
            row, wrong, why = numbered.row, numbered.wrong, Why.MALFORMED
            if row is not None and not self._is_ours(row.node):
                wrong, why = f"node {row.node}: not one of this scenario", Why.UNKNOWN
                row = None
            if row is None:
                self._refuse(f"{PREFIX}{fog}/{_ENDINGS[kind]}", fog, why, wrong)
            elif kind is Relayed:
                if self._on_row is not None:
                    self._on_row(self._as_spoken(row))
                self._heard(row.node)
            self.store.submit(self._row(fog, message, kind, replace(numbered, row=row)))

    def _row(
        self, fog: str, message: Forwarded, kind: type[Forwarded], numbered: NumberedRow
    ) -> Row:
        """A row of fog as it is stored: under fog's own number, its signals those of the node."""
        row = numbered.row
        start_ms = None if row is None or row.t is None else row.t + self._shift_ms
        is_window = row is not None and row.window_s is not None
        return Row(
            node=fog,
            boot=message.boot,
            seq=numbered.seq,
            oldest=message.oldest,
            device_ms=start_ms,
            received_ms=self.store.now_ms(),
            payload=numbered.payload
            if numbered.wrong
            else stored_row(_ENDINGS[kind], numbered.payload),
            signals={} if row is None or is_window else row.signals(),
            kind="raw" if kind is Relayed else "filtered",
            target="" if row is None else self._named(row.node),
            aggregates=() if row is None or start_ms is None else aggregates_of(row, start_ms),
        )

    def _as_spoken(self, row: ForwardedRow) -> Row:
        """The row that the node would have brought itself."""
        name = self._named(row.node)
        given = row.boot is None or row.seq is None
        identity = self._numbering.next(name) if given else self._identity(name, row)
        return Row(
            node=name,
            boot=identity.boot,
            seq=identity.seq,
            oldest=identity.oldest,
            device_ms=None if row.t is None else row.t + self._shift_ms,
            received_ms=0,
            payload="",
            signals=row.signals(),
            flags=Flag.UNIDENTIFIED if given else Flag.NONE,
        )

    def _identity(self, name: str, row: ForwardedRow) -> Identity:
        """Of a relayed message; what came before the first of a life is not expected any more."""
        assert row.boot is not None and row.seq is not None
        boot, first = self._first.get(name, (None, 0))
        if boot != row.boot:
            if len(self._first) >= _NODES:
                self._first.clear()  # names must not use up the memory
            self._first[name] = row.boot, (first := row.seq)
        return Identity(row.boot, row.seq, first if row.oldest is None else row.oldest)

    def _is_ours(self, node: str) -> bool:
        ours = not self._names or node in self._names
        self.counters.foreign += not ours
        return ours

    def _named(self, node: str) -> str:
        return self._names.get(node, node)

    def _mapped(self, mapping: PayloadMap, node: str, topic: str, payload: bytes) -> None:
        name = self._named(node)
        try:
            found = mapping.apply(payload)
        except MappingError as error:
            self.counters.malformed += 1
            self._refuse(topic, node, Why.MAPPING, str(error))
            return
        if found.unusable:
            self._note_unusable(mapping, name, found.unusable)
        self.refusals.taken(name)
        identity = self._numbering.next(name)
        self._take(
            Row(
                node=name,
                boot=identity.boot,
                seq=identity.seq,
                oldest=identity.oldest,
                received_ms=0,
                payload=kept(topic, payload, found.signals),
                signals=found.signals,
                units={**UNITS, **mapping.units()},
                flags=Flag.UNIDENTIFIED,
            )
        )

    def _note_unusable(self, mapping: PayloadMap, node: str, signals: Iterable[str]) -> None:
        """Count signals that are no numbers though their mapping says so; tell once of each."""
        table = mapping.table.topic
        for signal in signals:
            known = node in self._not_numbers or len(self._not_numbers) < _NODES
            self._not_numbers[node if known else ""] += 1
            if (table, signal) in self._told_unusable:
                continue
            self._told_unusable.add((table, signal))
            self.store.submit(
                Event(
                    kind="mapping",
                    severity="warning",
                    node=node,
                    time_ms=self.store.now_ms(),
                    text=f"{table}: `{signal}` is no number: left out, and counted",
                    evidence={"topic": table, "signal": signal},
                )
            )

    def not_numbers(self, name: str) -> int:
        """How often a mapped value of a node, by its name in the store, was no number; of more
        nodes than a store takes, all under ''."""
        return self._not_numbers[name]

    def _status(self, node: str, message: Status) -> None:
        if message.state == "death":
            self.presence.gone(node)
            return
        self.presence.heard(node, wall_ms(), message.every_ms)
        if message.state == "birth":
            birth = message.model_dump(exclude_none=True)
            now = self.store.now_ms()
            self.store.submit(
                PresenceChange(node=self._named(node), online=True, time_ms=now, birth=birth)
            )

    def _presence_changed(self, node: str, online: bool) -> None:
        if online and self._fogs:
            self.ask_birth(node)  # it may have been born while nobody listened here
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
        place = split_topic(topic) or next(
            ((node, "") for m in self._maps if (node := m.node_of(topic)) is not None), ("", "")
        )
        text = f"payload of {size} bytes: at most {MAX_PAYLOAD_BYTES}"
        self._refuse(topic, place[0], Why.OVERSIZED, text)

    def _refuse(self, topic: str, node: str, why: Why, text: str) -> None:
        """Tell the sender and the people, but not endlessly."""
        untold = self.refusals.note(self._named(node), why, text)
        if untold is None:
            return
        more = f" ({untold} more like it before)" if untold else ""
        self.store.submit(
            Event(
                kind="mapping" if why is Why.MAPPING else "refused",
                severity="warning",
                node=self._known(topic, node),
                time_ms=self.store.now_ms(),
                text=f"message on {topic} refused: {text}{more}",
                evidence={"topic": topic},
            )
        )
        if split_topic(topic) is not None:
            self.send(node, Ack(refused=text[:500]))

    def _known(self, topic: str, node: str) -> str:
        """`node`, if it is one of the store; names of strangers make no nodes."""
        place = split_topic(topic)
        is_fog = self._fogs and place is not None and place[1] in _FORWARDED
        return node if is_fog else self._names.get(node, "")

    # -- in other threads ----------------------------------------------------------------------

    def _acknowledge(self, commit: Commit) -> None:
        for (node, boot), contiguous in commit.acks.items():
            device = self._devices.get(node, node)
            # below 0 the very first message is missing; modulo 2^32 it would cover everything
            covers = boot >= 0 and contiguous >= 0
            if not covers:
                continue
            if self._fogs:
                ack = self._acks.make(node, boot, contiguous, monotonic_us())
            else:
                ack = Ack(boot=boot, seq=contiguous % MODULUS)
            if self.send(device, ack):
                self.counters.acknowledged += 1


def _filters(maps: Sequence[PayloadMap]) -> list[str]:
    """What to subscribe to: ours, and topics of others that no filter covers already."""
    found = [f"{PREFIX}#"]
    for topic in dict.fromkeys(mapping.table.topic for mapping in maps):
        if not any(matches(known, topic) for known in found):
            found.append(topic)
    return found
