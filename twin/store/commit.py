"""One transaction of the writer: rows become messages, series, acknowledgements and events.

Everything is worked out on copies; only when the transaction is durable does `Known` learn of it.
"""

from __future__ import annotations

import json
from collections import ChainMap, Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update

from levada.twin.mqtt.sequence import Received, unwrap
from levada.twin.store import schema
from levada.twin.store.engine import insert_newer
from levada.twin.store.health import Refusal
from levada.twin.store.points import write_points
from levada.twin.store.rows import (
    Commit,
    Event,
    Flag,
    Item,
    Points,
    PresenceChange,
    Row,
    StoreSettings,
)
from levada.twin.store.statements import execute_many

__all__ = ["Known", "Work", "clean", "make_node", "new_id"]

_TELEMETRY: Final = insert(schema.telemetry)
_EVENTS: Final = insert(schema.events)
_RECEIVED: Final = update(schema.boots).where(
    schema.boots.c.node_id == bindparam("of_node"), schema.boots.c.boot == bindparam("of_boot")
)
_TOUCHED: Final = (
    update(schema.nodes)
    .where(schema.nodes.c.id == bindparam("of_node"))
    .values(online=literal_column("1"))
)


@dataclass(slots=True)
class Known:
    """What the writer remembers of the database, so that it need not ask."""

    node_ids: dict[str, int] = field(default_factory=dict)
    series_ids: dict[tuple[int, str, str], int] = field(default_factory=dict)
    received: dict[tuple[int, int], Received] = field(default_factory=dict)
    listed: dict[tuple[int, str], int] = field(default_factory=dict)
    """(node, kind) whose series are all in `series_ids` -> how many they are."""
    crowded: set[str] = field(default_factory=set)
    """What was reported as too much."""
    nodes: int = 0
    """Nodes that there are; 0: not known."""
    newest_ms: dict[int, int] = field(default_factory=dict)
    """Newest time of each series; later than that if points were removed meanwhile."""
    next_id: int = 0
    """Next `telemetry.id`; 0: not known."""

    def learn(self, work: Work) -> None:
        """`work` is committed."""
        self.received.update(work.received)
        self.node_ids.update(work.node_ids)
        self.series_ids.update(work.series_ids)
        self.listed.update(work.listed)
        self.crowded |= work.crowded
        self.nodes = work.nodes
        self.newest_ms.update(work.newest_ms)
        self.next_id = work.next_id


def new_id(key: Any) -> int:
    """The number that the database gave a new row."""
    if key is None:
        raise TypeError("the insert gave no key")
    return int(key[0])


def make_node(connection: Connection, node: str, now_ms: int) -> int:
    """Row of `node`, made if it is new."""
    table = schema.nodes
    found = connection.scalar(select(table.c.id).where(table.c.name == node))
    if found is not None:
        return int(found)
    result = connection.execute(
        insert(table).values(name=node, online=0, first_ms=now_ms, last_ms=now_ms)
    )
    return new_id(result.inserted_primary_key)


class Work:
    """What one transaction changes; thrown away if it fails."""

    def __init__(
        self, known: Known, connection: Connection, settings: StoreSettings, now_ms: int
    ) -> None:
        self.known = known
        self.connection = connection
        self.settings = settings
        self.now_ms = now_ms
        self.node_ids: dict[str, int] = {}
        self.series_ids: dict[tuple[int, str, str], int] = {}
        self.received: dict[tuple[int, int], Received] = {}
        self.names: dict[tuple[int, int], str] = {}
        self.telemetry: list[dict[str, Any]] = []
        self.windows: list[dict[str, Any]] = []
        self.values: dict[tuple[int, int, int], float] = {}
        self.newest_ms: dict[int, int] = {}
        self.events: list[dict[str, Any]] = []
        self.touched: dict[int, int] = {}
        self.listed: dict[tuple[int, str], int] = {}
        self.crowded: set[str] = set()
        self.nodes = known.nodes
        self.duplicates = 0
        self.refused: Counter[tuple[str, Refusal]] = Counter()
        self.left_out = 0
        self.next_id = known.next_id or self._first_free_id()

    def _first_free_id(self) -> int:
        return int(self.connection.scalar(select(func.max(schema.telemetry.c.id))) or 0) + 1

    def node(self, name: str) -> int:
        """Number of a node, made if it is new."""
        known = self.node_ids.get(name) or self.known.node_ids.get(name)
        if known is None:
            known = make_node(self.connection, name, self.now_ms)
        self.node_ids[name] = known
        return known

    def admit(self, name: str) -> bool:
        """Whether a node may be known: it is, or there is room for one more."""
        if name in self.node_ids or name in self.known.node_ids:
            return True
        table = schema.nodes
        if self.connection.scalar(select(table.c.id).where(table.c.name == name)) is not None:
            return True
        if not self.nodes:
            self.nodes = int(self.connection.scalar(select(func.count()).select_from(table)) or 0)
        if self.nodes < self.settings.nodes:
            self.nodes += 1
            return True
        self.tell_crowd(
            "nodes",
            f"the store has {self.nodes} nodes, as many as it takes: others are refused",
        )
        return False

    def tell_crowd(self, what: str, text: str, node: str = "") -> None:
        """Say once that there is too much of something."""
        if what in self.crowded or what in self.known.crowded:
            return
        self.crowded.add(what)
        self.event(
            Event(kind="store", severity="warning", node=node, time_ms=self.now_ms, text=text)
        )

    def brought(
        self,
        node: str,
        node_id: int,
        kind: str,
        names: Collection[str],
        units: Mapping[str, str],
    ) -> set[str]:
        """Those of the signals that a message brings for which there is room."""
        group = (node_id, kind)
        count = self.listed.get(group, self.known.listed.get(group))
        if count is None:
            table = schema.series
            mine = select(table.c.name, table.c.id).where(
                table.c.node_id == node_id, table.c.kind == kind
            )
            found = {
                (node_id, kind, str(name)): int(n) for name, n in self.connection.execute(mine)
            }
            self.series_ids |= found
            count = len(found)
        taken = set()
        for name in names:
            key = (node_id, kind, name)
            if key not in self.series_ids and key not in self.known.series_ids:
                if count >= self.settings.signals:
                    continue
                self.series(node_id, kind, name, units.get(name, ""))
                count += 1
            taken.add(name)
        self.listed[group] = count
        if len(taken) < len(names):
            self.left_out += len(names) - len(taken)
            self.tell_crowd(
                f"signals {group}",
                f"{node} tells more than {self.settings.signals} signals: "
                "what is beyond is kept in its messages alone",
                node,
            )
        return taken

    def series(self, node_id: int, kind: str, name: str, unit: str) -> int:
        """Number of a series, made if it is new."""
        key = (node_id, kind, name)
        known = self.series_ids.get(key) or self.known.series_ids.get(key)
        if known is None:
            table = schema.series
            known = self.connection.scalar(
                select(table.c.id).where(
                    table.c.node_id == node_id, table.c.kind == kind, table.c.name == name
                )
            )
        if known is None:
            result = self.connection.execute(
                insert(table).values(node_id=node_id, kind=kind, name=name, unit=unit)
            )
            known = new_id(result.inserted_primary_key)
        self.series_ids[key] = known
        return known

    def life(self, node_id: int, row: Row) -> Received:
        """What is stored of the row's (node, boot), as a copy of this transaction's own."""
        key = (node_id, row.boot)
        mine = self.received.get(key)
        if mine is not None:
            return mine
        known = self.known.received.get(key)
        mine = known.copy() if known else self._read_life(node_id, row)
        self.received[key] = mine
        self.names[key] = row.node
        return mine

    def _read_life(self, node_id: int, row: Row) -> Received:
        table = schema.boots
        found = self.connection.execute(
            select(table.c.contiguous, table.c.highest, table.c.last_ms).where(
                table.c.node_id == node_id, table.c.boot == row.boot
            )
        ).first()
        if found is None:
            self.connection.execute(
                insert(table).values(
                    node_id=node_id,
                    boot=row.boot,
                    contiguous=row.oldest - 1,
                    highest=row.oldest - 1,
                    first_received_ms=row.received_ms,
                )
            )
            return Received.before(row.oldest)
        beyond = self.connection.scalars(
            select(schema.telemetry.c.seq).where(
                schema.telemetry.c.node_id == node_id,
                schema.telemetry.c.boot == row.boot,
                schema.telemetry.c.seq > found.contiguous,
            )
        )
        return Received(found.contiguous, found.highest, found.last_ms, set(beyond))

    def take(self, item: Item) -> None:
        """Take whatever comes."""
        match item:
            case Row():
                self.row(item)
            case Points():
                self.points(item)
            case Event():
                self.event(item)
            case PresenceChange():
                self.seen(item)

    def seen(self, seen: PresenceChange) -> None:
        """Note that a node is there or not, and what it said at birth."""
        if not self.admit(seen.node):
            return
        values: dict[str, Any] = {"online": int(seen.online)}
        if seen.online:
            values["last_ms"] = seen.time_ms
        if seen.birth is not None:
            values["birth"] = json.dumps(dict(seen.birth))
            values["boot"] = seen.birth.get("boot")
        node_id = self.node(seen.node)
        if not seen.online and node_id in self.touched:  # what came before in this group
            values["last_ms"] = self.touched.pop(node_id)
        self.connection.execute(
            update(schema.nodes).where(schema.nodes.c.id == node_id).values(**values)
        )

    def row(self, row: Row) -> None:
        """Take a message, unless it is there already.

        What is forwarded of a node for which there is no room keeps its number, so that it does
        not hold up what follows, and is kept without its signals.
        """
        if not self.admit(row.node):
            self.refused[row.node, Refusal.NODES] += 1
            return
        node_id = self.node(row.node)
        life = self.life(node_id, row)
        self.names[node_id, row.boot] = row.node
        for first, last in life.skip(unwrap(row.oldest, life.contiguous + 1)):
            self.gap(row, first, last)
        seq = unwrap(row.seq, life.contiguous + 1)
        if life.has(seq):
            self.duplicates += 1
            return
        if not life.fits(seq):
            self.refused[row.node, Refusal.WINDOW] += 1
            return
        time_ms, flags = _place(row, seq, life, self.settings)
        if seq > life.highest:
            life.last_ms = time_ms
        life.add(seq)
        self.touched[node_id] = max(self.touched.get(node_id, 0), row.received_ms)
        identity = self.next_id
        self.next_id += 1
        self.telemetry.append(
            {
                "id": identity,
                "node_id": node_id,
                "boot": row.boot,
                "seq": seq,
                "time_ms": time_ms,
                "device_ms": row.device_ms,
                "received_ms": row.received_ms,
                "flags": int(flags),
                "payload": row.payload,
            }
        )
        if row.target and not self.admit(row.target):
            self.refused[row.node, Refusal.NODES] += 1
            return
        owner = self.node(row.target) if row.target else node_id
        self.windows += [{"node_id": owner, **asdict(part)} for part in row.aggregates]
        room = self.brought(row.target or row.node, owner, row.kind, row.signals, row.units)
        signals = {name: value for name, value in row.signals.items() if name in room}
        self.signals(owner, row.kind, time_ms, identity, signals, row.units)

    def gap(self, row: Row, first: int, last: int) -> None:
        """Note that messages will never come, or, where the numbers were given here, that they
        came and were refused."""
        if row.flags & Flag.UNIDENTIFIED:
            what = "messages without numbers came and were refused here, not lost on the way"
            which = "counted in /health"
        else:
            what, which = "messages never came", f"{first} to {last} of boot {row.boot}"
        self.event(
            Event(
                kind="gap",
                severity="warning",
                node=row.node,
                time_ms=row.received_ms,
                text=f"{last - first + 1} {what}: {which}",
                evidence={"boot": row.boot, "first": first, "last": last},
            )
        )

    def points(self, points: Points) -> None:
        """Take values that no message brought."""
        node_id = self.node(points.node)
        self.signals(node_id, points.kind, points.time_ms, 0, points.signals, points.units)

    def signals(
        self,
        node_id: int,
        kind: str,
        time_ms: int,
        identity: int,
        signals: Mapping[str, float],
        units: Mapping[str, str],
    ) -> None:
        """Take values of a node's series; `identity` is the message that brought them, or 0."""
        for name, value in signals.items():
            series = self.series(node_id, kind, name, units.get(name, ""))
            self.values[series, time_ms, identity] = value

    def event(self, event: Event) -> None:
        """Take an event."""
        of_node = bool(event.node) and self.admit(event.node)
        self.events.append(
            {
                "time_ms": event.time_ms,
                "node_id": self.node(event.node) if of_node else None,
                "kind": event.kind,
                "severity": event.severity,
                "text": clean(event.text),
                "evidence": json.dumps(dict(event.evidence)),
            }
        )

    def write(self) -> None:
        """Send everything to the database."""
        if self.telemetry:
            execute_many(self.connection, _TELEMETRY, self.telemetry)
        if self.windows:
            statement = insert_newer(self.connection.dialect.name, schema.windows, "revision")
            execute_many(self.connection, statement, self.windows)
        newest_ms = ChainMap(self.newest_ms, self.known.newest_ms)
        write_points(self.connection, self.values, newest_ms)
        if self.events:
            execute_many(self.connection, _EVENTS, self.events)
        if self.received:
            execute_many(
                self.connection,
                _RECEIVED,
                [
                    {
                        "of_node": node_id,
                        "of_boot": boot,
                        "contiguous": life.contiguous,
                        "highest": life.highest,
                        "last_ms": life.last_ms,
                    }
                    for (node_id, boot), life in self.received.items()
                ],
            )
        if self.touched:
            execute_many(
                self.connection,
                _TOUCHED,
                [{"of_node": node_id, "last_ms": t} for node_id, t in self.touched.items()],
            )

    def commit(self) -> Commit:
        """What this transaction will have made durable."""
        lives = {(self.names[key], key[1]): life for key, life in self.received.items()}
        return Commit(
            acks={key: life.contiguous for key, life in lives.items()},
            lives=lives,
            stored=len(self.telemetry),
            duplicates=self.duplicates,
            last_id=self.next_id - 1,
        )


def _place(row: Row, seq: int, life: Received, settings: StoreSettings) -> tuple[int, Flag]:
    """Where on the time axis a row belongs, and what is peculiar about it.

    A device's clock is believed unless it is ahead of ours, has never been set (what was measured a
    year ago does not come today), or has stepped back since the message before (a row that comes
    late is not compared: it is older by nature; nor is one that is forwarded, as rows of several
    clocks and windows of the past stand in one sequence).
    """
    flags = row.flags
    late = seq < life.highest
    time_ms = row.device_ms
    if time_ms is None:
        time_ms = row.received_ms
    elif not settings.believes(time_ms, row.received_ms) or (
        not (late or row.target)
        and life.last_ms is not None
        and time_ms < life.last_ms - settings.back_ms
    ):
        flags |= Flag.CLOCK
        time_ms = row.received_ms
    if late or row.received_ms - time_ms > settings.late_ms:
        flags |= Flag.HISTORICAL
    return min(time_ms, row.received_ms), flags


def clean(words: str) -> str:
    """Text that every database takes: no NUL, no half of a character, and not endless."""
    whole = words.encode(errors="replace").decode()
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")[:4_000]
