"""What the cloud makes of the streams of its fogs, beside storing them.

Rows are looked at when they are stored, in fog's order and each once, however they came: the
network thread lays them by, the store tells up to which number everything is durable, and a thread
of its own takes those.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from levada.guest.lifecycle import Closing
from levada.twin.continuum.dual_stream import DualStream, StreamRow
from levada.twin.continuum.hops import (
    SHARED,
    STAGES,
    ClockOffset,
    Exchange,
    Journey,
    OffsetEstimate,
    host_id,
    monotonic_us,
    spread,
)
from levada.twin.continuum.recomputation import LookBack, Recomputation
from levada.twin.continuum.tier import Sample
from levada.twin.continuum.view import (
    ContinuumView,
    FogView,
    JourneyView,
    NodeStreamView,
    TierView,
)
from levada.twin.health import Part
from levada.twin.mqtt.forwarded import NumberedRow
from levada.twin.mqtt.messages import Forwarded, ForwardedRow, Message, Relayed, Status
from levada.twin.mqtt.sequence import WINDOW, unwrap
from levada.twin.store.reads import NodeInfo
from levada.twin.store.rows import Commit, StoreSettings
from levada.twin.store.store import Store
from levada.twin.store.stream_reads import last_values

__all__ = ["Streams"]

_log = logging.getLogger(__name__)

_MOST_ROWS: Final = 200_000
"""Rows that wait to be looked at; more are stored, and not looked at."""
_JOURNEYS: Final = 1_000
"""Messages over which the times of the hops are summed up."""
_SHOWN: Final = 5
_LOOK_BACK: Final = 1_000
"""Readings after which a filter has forgotten where it began, but for the slowest."""
_LIVES: Final = 8
"""Lives of one fog that may still send; each ends when fog has lost its buffer."""
_NODES: Final = StoreSettings().nodes


@dataclass(slots=True)
class _Arrived:
    """A row that waits for its turn."""

    row: ForwardedRow | None
    relayed: bool
    sent_us: int | None
    received_us: int
    committed_us: int = 0
    """0: it is not stored yet."""


@dataclass(slots=True)
class _Life:
    """One life of a fog node."""

    upto: int
    """Everything up to this number is stored."""
    waiting: dict[int, _Arrived] = field(default_factory=dict)
    unstored: set[int] = field(default_factory=set)
    """Those of the waiting that are not stored yet; the others wait for one before them."""


@dataclass(slots=True)
class _Fog:
    boot: int | None = None
    lives: dict[int, _Life] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    estimate: OffsetEstimate = field(default_factory=OffsetEstimate)
    status: Status | None = None

    @property
    def offset(self) -> ClockOffset | None:
        if self.status is not None and self.status.host == host_id():
            return SHARED
        return self.estimate.offset


@dataclass(slots=True)
class _Node:
    fog: str
    dual: DualStream = field(default_factory=DualStream)
    windows: int = 0
    t_ms: int | None = None
    raw: float | None = None
    """Newest reading."""


class Streams(Closing):
    """The streams that come into `store`; any thread may ask for the `view`.

    `recomputation` makes what is computed of the raw stream here.  With `names`, node -> name under
    which it is stored, rows of other nodes are not looked at.  `shift_ms` is what the store has
    added to the times of nodes.
    """

    def __init__(
        self,
        store: Store,
        recomputation: Callable[[LookBack], Recomputation],
        *,
        names: Mapping[str, str] = {},
        shift_ms: int = 0,
    ) -> None:
        self.store = store
        self._recomputation = recomputation(self._look_back)
        self._names = names
        self._shift_ms = shift_ms
        self._lock = threading.Lock()
        """Of what network and writer lay by."""
        self._looking = threading.Lock()
        """Of what is made of it."""
        self._fogs: dict[str, _Fog] = {}
        self._nodes: dict[str, _Node] = {}
        self._births: dict[str, Status] = {}
        """What nodes have said of themselves; the store may know them from before."""
        self._journeys: deque[tuple[str, str, ForwardedRow, Journey]] = deque(maxlen=_JOURNEYS)
        self._ready: queue.SimpleQueue[tuple[str, list[_Arrived]] | None] = queue.SimpleQueue()
        self._ready_rows = 0
        self._skipped = 0
        store.listen(self._committed)
        self._thread = threading.Thread(target=self._work, name="streams", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look at what is stored, and end."""
        self._ready.put(None)
        self._thread.join()
        self._recomputation.close()

    @property
    def parts(self) -> dict[str, Callable[[], Part]]:
        """What /health shows of them."""
        return {"streams": self._part, "fogs": self._fogs_part}

    def _part(self) -> Part:
        skipped = f"{self._skipped} rows were stored and not compared" if self._skipped else ""
        return Part(ok=self._thread.is_alive(), detail=skipped)

    def _fogs_part(self) -> Part:
        """Whether every fog that was ever heard of is there."""
        known = {info.name: info.online for info in self.store.reader.nodes()}
        with self._lock:
            names = sorted(self._fogs)
        silent = [name for name in names if not known.get(name)]
        if silent:
            return Part(ok=False, detail=f"silent: {', '.join(silent)}")
        return Part(ok=True, detail=f"{len(names)} heard of")

    # In the network thread

    def hear(
        self, fog: str, message: Forwarded, rows: Sequence[NumberedRow], received_us: int
    ) -> None:
        """Lay by what a fog has forwarded; it is `levada.twin.mqtt.delivery.OnForwarded`."""
        with self._lock:
            mine = self._fogs.get(fog)
            if mine is None:
                if len(self._fogs) >= _NODES:
                    return  # the store does not take that many either
                mine = self._fogs[fog] = _Fog()
            life = mine.lives.get(message.boot)
            if life is None:
                life = mine.lives[message.boot] = _Life(self._stored(fog, message))
                if len(mine.lives) > _LIVES:
                    del mine.lives[next(iter(mine.lives))]
            mine.boot = message.boot
            left_us, heard_us, sent_us = message.echo_us, message.heard_us, message.sent_us
            if left_us is not None and heard_us is not None and sent_us is not None:
                mine.estimate.take(Exchange(left_us, heard_us, sent_us, received_us))
            for numbered in rows:
                number = unwrap(numbered.seq, life.upto + 1)
                if number in life.waiting or not life.upto < number <= life.upto + WINDOW:
                    continue
                life.unstored.add(number)
                life.waiting[number] = _Arrived(
                    numbered.row, isinstance(message, Relayed), message.sent_us, received_us
                )

    def _stored(self, fog: str, message: Forwarded) -> int:
        """Up to which number a life was stored before this process has heard of it."""
        return self.store.reader.acknowledged(fog).get(message.boot, message.oldest - 1)

    def on_message(self, node: str, message: Message) -> None:
        """Hear what nodes and fogs say of themselves."""
        if not isinstance(message, Status):
            return
        name = self._names.get(node, node)
        with self._lock:
            if message.state == "birth" and (name in self._births or len(self._births) < _NODES):
                self._births[name] = message
            if message.buffer_rows is not None and len(self._fogs) < _NODES:
                fog = self._fogs.setdefault(node, _Fog())
                fog.status = message if fog.status is None else _merged(fog.status, message)

    # In the writer's thread

    def _committed(self, commit: Commit) -> None:
        now_us = monotonic_us()
        with self._lock:
            for (name, boot), stored in commit.lives.items():
                fog = self._fogs.get(name)
                life = fog.lives.get(boot) if fog is not None else None
                if life is None:
                    continue
                for number in [n for n in life.unstored if stored.has(n)]:
                    life.unstored.remove(number)
                    life.waiting[number].committed_us = now_us
                self._in_order(name, life, stored.contiguous)

    def _in_order(self, fog: str, life: _Life, contiguous: int) -> None:
        """Pass on what is stored without a gap before it."""
        if contiguous <= life.upto:
            return
        life.upto = contiguous
        rows = [life.waiting.pop(n) for n in sorted(n for n in life.waiting if n <= contiguous)]
        if self._ready_rows + len(rows) > _MOST_ROWS:
            self._skipped += len(rows)
        elif rows:
            self._ready_rows += len(rows)
            self._ready.put((fog, rows))

    # In the thread that looks at them

    def _work(self) -> None:
        while (ready := self._ready.get()) is not None:
            fog, rows = ready
            try:
                with self._looking:
                    self._look_at(fog, rows)
            except Exception:  # noqa: BLE001 - what cannot be compared is stored all the same
                _log.exception("rows of %s not looked at", fog)
            with self._lock:
                self._ready_rows -= len(rows)

    def _look_at(self, fog: str, rows: Sequence[_Arrived]) -> None:
        found: list[tuple[str, _Node, ForwardedRow, _Arrived]] = []
        for arrived in rows:
            row = arrived.row
            name = self._name(row)
            if row is None or name is None:
                self._fogs[fog].counts["unreadable"] += 1
                continue
            node = self._nodes.setdefault(name, _Node(fog))
            node.fog = fog
            found.append((name, node, row, arrived))
        self._recomputation.take((name, row) for name, _, row, arrived in found if arrived.relayed)
        for name, node, row, arrived in found:
            self._look(fog, name, node, row, arrived)

    def _name(self, row: ForwardedRow | None) -> str | None:
        """Under which name a row's node is known; None: it is not."""
        if row is None or (self._names and row.node not in self._names):
            return None
        name = self._names.get(row.node, row.node)
        return name if name in self._nodes or len(self._nodes) < _NODES else None

    def _look(self, fog: str, name: str, node: _Node, row: ForwardedRow, arrived: _Arrived) -> None:
        counts = self._fogs[fog].counts
        if row.window_s is not None:
            counts["windows"] += 1
            node.windows += 1
            return
        part = StreamRow(
            boot=row.boot,
            seq=row.seq,
            t_ms=self._time_ms(row),
            values=row.signals(),
            received_us=arrived.received_us,
        )
        if not arrived.relayed:
            counts["processed"] += 1
            node.dual.filtered(part)
            self._recomputation.compare(name, row)
            return
        counts["relayed"] += 1
        node.t_ms = part.t_ms if part.t_ms is not None else node.t_ms
        node.raw = part.values.get("raw", node.raw)
        node.dual.raw(part)
        journey = Journey(
            node_sent_us=None if row.up_ms is None else row.up_ms * 1_000,
            fog_received_us=row.received_us,
            fog_sent_us=arrived.sent_us,
            cloud_received_us=arrived.received_us,
            cloud_committed_us=arrived.committed_us,
        )
        self._journeys.append((name, fog, row, journey))

    def _time_ms(self, row: ForwardedRow) -> int | None:
        """Time of a row as the store has it, if the node tells one."""
        return None if row.t is None else row.t + self._shift_ms

    def _look_back(self, name: str, before: ForwardedRow) -> list[Sample]:
        """Last readings of a node before a row."""
        before_ms = self._time_ms(before)
        if before_ms is None:
            return []
        found = last_values(
            self.store.reader,
            name,
            "raw",
            kind="raw",
            before_ms=before_ms,
            count=_LOOK_BACK,
        )
        return [
            Sample(name, None, None, time_ms - self._shift_ms, {"raw": value})
            for time_ms, value in found
        ]

    @property
    def journeys(self) -> list[tuple[int | None, Journey]]:
        """Number and way of the last messages, at most 1,000, the oldest first."""
        with self._looking:
            return [(row.seq, journey) for _, _, row, journey in self._journeys]

    # For the page

    @property
    def view(self) -> ContinuumView:
        """How it is now."""
        known = {info.name: info for info in self.store.reader.nodes()}
        with self._lock:
            fogs = tuple(self._fog_view(name, fog, known) for name, fog in self._fogs.items())
            clocks = {
                name: (fog.offset, fog.status.host if fog.status else None)
                for name, fog in self._fogs.items()
            }
        with self._looking:
            nodes = tuple(
                self._node_view(name, node, known.get(name))
                for name, node in sorted(self._nodes.items())
            )
            journeys = tuple(self._journeys)
        hosts = {node.tier.name: node.tier.host for node in nodes}
        found = []
        for name, fog_name, row, journey in journeys:
            offset, host = clocks.get(fog_name, (None, None))
            own = hosts[name]
            of_node = SHARED if own == host_id() else offset if own and own == host else None
            found.append((name, row, journey.stages(of_node, offset)))
        return ContinuumView(
            cloud=TierView(
                name="cloud",
                engine=self._recomputation.engine,
                guest_sha256=self._recomputation.guest_sha256,
                host=host_id(),
            ),
            store="SQLite" if self.store.file is not None else "PostgreSQL",
            fogs=fogs,
            nodes=nodes,
            stages={
                stage: summed
                for stage in STAGES
                if (summed := spread([s[stage] for _, _, s in found if stage in s])) is not None
            },
            total=spread([sum(s.values()) for _, _, s in found if len(s) == len(STAGES)]),
            journeys=tuple(
                JourneyView(
                    node=name,
                    boot=row.boot,
                    seq=row.seq,
                    t_ms=self._time_ms(row),
                    stages_us=stages,
                )
                for name, row, stages in found[-_SHOWN:]
            ),
            skipped=self._skipped,
        )

    @staticmethod
    def _fog_view(name: str, fog: _Fog, known: dict[str, NodeInfo]) -> FogView:
        info, status = known.get(name), fog.status
        life = fog.lives.get(fog.boot) if fog.boot is not None else None
        return FogView(
            tier=_tier(name, info, status),
            online=info is not None and info.online,
            boot=fog.boot,
            relayed=fog.counts["relayed"],
            processed=fog.counts["processed"],
            windows=fog.counts["windows"],
            unreadable=fog.counts["unreadable"],
            contiguous=None if life is None else life.upto,
            waiting=0 if life is None else len(life.waiting),
            buffer_rows=status.buffer_rows if status else None,
            buffer_limit_rows=status.buffer_limit_rows if status else None,
            dropped_rows=status.dropped_rows if status else None,
            offset=fog.offset,
        )

    def _node_view(self, name: str, node: _Node, info: NodeInfo | None) -> NodeStreamView:
        processed = None
        born = self._births.get(name)
        told = info.birth.get("counts") if info is not None else None
        counts = tuple(told or ()) if born is None else born.counts
        if node.raw is not None and counts and len(counts) == 3:
            processed = self._recomputation.process(int(node.raw), counts)
        return NodeStreamView(
            tier=_tier(name, info, born),
            online=info is not None and info.online,
            fog=node.fog,
            t_ms=node.t_ms,
            comparison=node.dual.found,
            windows=node.windows,
            agreement=self._recomputation.found(name),
            pct=None if processed is None else processed[0],
            irrigate=None if processed is None else processed[1],
        )


def _merged(old: Status, new: Status) -> Status:
    """A heartbeat says less than a birth."""
    if new.state == "birth":
        return new
    return old.model_copy(update=new.model_dump(exclude_none=True))


def _tier(name: str, info: NodeInfo | None, status: Status | None) -> TierView:
    """What a node or fog has said of itself last."""
    said = dict(info.birth) if info else {}
    if status is not None:
        said |= status.model_dump(exclude_none=True)
    return TierView(
        name=name,
        engine=str(said.get("engine", "")),
        guest_sha256=str(said.get("guest_sha256", "")),
        host=str(said.get("host", "")),
    )
