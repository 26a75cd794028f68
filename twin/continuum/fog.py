"""The fog process: takes telemetry from one broker, computes, keeps, and forwards to another.

    with Fog(settings, module, edge=address, cloud=address, file=Path("fog.sqlite")) as fog:
        fog.run()

The thread of the edge's connection only puts messages into a queue.  The worker takes what has come
meanwhile, computes it as one group, commits, and only then acknowledges to the nodes; so a quiet
fog adds one synchronised write to a message, and a busy one many messages to a write.
`levada.twin.continuum.uplink` sends what is committed.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from levada.guest.lifecycle import Closing
from levada.guest.module.inspect import inspect
from levada.guest.text.logs import LimitedLog
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.sim.scenario.continuum import Fog as FogSettings
from levada.twin.continuum.bridge import DOWN, UP, Bridge, is_same_broker
from levada.twin.continuum.buffer import Buffer
from levada.twin.continuum.connection import Connection
from levada.twin.continuum.groups import Group, Groups
from levada.twin.continuum.heartbeat import BEAT_S, Heartbeat
from levada.twin.continuum.hops import host_id
from levada.twin.continuum.intake import Arrival, Reason
from levada.twin.continuum.observability import Metrics
from levada.twin.continuum.tier import Tier
from levada.twin.continuum.uplink import Uplink
from levada.twin.errors import BufferFullError, StoreError
from levada.twin.health import Part, Parts, process_part
from levada.twin.mqtt.messages import Ack, Status, decode, split_topic
from levada.twin.mqtt.refusals import Refusals, Why

__all__ = ["Fog"]

_log = logging.getLogger(__name__)

GROUP: Final = 4_000
"""Messages of one transaction at most."""
QUEUE: Final = 50_000
"""Messages that wait for the worker at most."""
IDLE_S: Final = 1.0
"""After so long without messages, acknowledged rows are removed in a transaction of their own."""
RETRY_S: Final = 0.5
"""Between two attempts while the buffer cannot be written."""
STALLED_S: Final = 30.0
"""A worker that has not looked for so long is not well."""
CROWDED: Final = 0.9
"""Part of the buffer beyond which somebody should look."""
RECENT_S: Final = 300.0
"""How long a refused message is a reason to look [s]."""


class Fog(Closing):
    """A fog node; `edge` and `cloud` are the brokers, and may be one.

    Raises StoreError if the buffer cannot be used, and what `Tier` raises.  A broker that is not
    there is waited for.
    """

    def __init__(
        self,
        settings: FogSettings,
        module: bytes,
        *,
        edge: BrokerAddress,
        cloud: BrokerAddress,
        file: Path,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics("fog")
        self._tier = Tier(
            module,
            settings.engine,
            settings.parameters,
            round(settings.window.total_seconds()),
            round(settings.late.total_seconds()),
        )
        try:
            self._buffer = Buffer(file, settings.name)
        except BaseException:
            self._tier.close()
            raise
        self._groups = Groups(
            self._buffer,
            self._tier,
            rows=settings.buffer_rows,
            full=settings.buffer_full,
            own_name=settings.name,
        )
        self._queue: deque[Arrival] = deque()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._refusals = Refusals()
        self._said = LimitedLog(_log)
        self._trouble = ""
        self._committed_s: float | None = None
        self._looked_s = time.monotonic()
        self._refused_s = -RECENT_S
        self._refused: Reason | None = None
        self.failure: Exception | None = None
        """Why it has ended by itself."""
        name = settings.name
        separate = not is_same_broker(edge, cloud)
        self._bridge = Bridge(self._edge_publish, self._cloud_publish)
        self._uplink = Uplink(
            self._buffer, name, self._cloud_publish, flush_rows_s=settings.flush_rows_s
        )
        self._ack_topic, self._ask_topic = f"ic/{name}/ack", f"ic/{name}/ask"
        self._status_topic = f"ic/{name}/status"
        self._namesake_s = -RECENT_S
        """When somebody else of this name was heard last."""
        self._guest = inspect(module)
        self._heartbeat = Heartbeat(
            self._status, lambda payload: self._cloud_publish(self._status_topic, payload)
        )
        self._cloud: Connection | None = None
        self._edge: Connection | None = None
        self._cloud = Connection(
            cloud,
            subscription=[
                *(self._ack_topic, self._status_topic),
                *(DOWN if separate else (self._ask_topic,)),
            ],
            handler=self._from_cloud,
            on_connect=self._cloud_connected,
        )
        self._worker = threading.Thread(target=self._work, name="fog", daemon=True)
        self._worker.start()
        self._uplink.start()
        self._edge = Connection(
            edge,
            subscription=["ic/+/data", *(UP if separate else ())],
            handler=self._from_edge,
            on_oversized=self._oversized,
        )
        self._heartbeat.start()
        self._add_gauges()

    # -- in the network threads ----------------------------------------------------------------

    def _from_edge(self, topic: str, payload: bytes) -> None:
        if not topic.endswith("/data"):
            self._bridge.up(topic, payload)
            return
        self._queue.append(
            Arrival(topic, payload, time.monotonic_ns() // 1000, time.time_ns() // 1_000_000)
        )
        if len(self._queue) > QUEUE:
            self._queue.pop()
            self.metrics.refused.labels(Reason.OVERRUN).inc()
            self._refused, self._refused_s = Reason.OVERRUN, time.monotonic()
        if not self._news.is_set():
            self._news.set()

    def _oversized(self, topic: str, size: int) -> None:
        self.metrics.received.inc()
        self._count_refused(Reason.OVERSIZED, 1)
        place = split_topic(topic)
        if place is not None:
            text = f"payload of {size} bytes: at most {MAX_PAYLOAD_BYTES}"
            self._refuse(place[0], Why.OVERSIZED, text)

    def _from_cloud(self, topic: str, payload: bytes) -> None:
        if topic == self._ack_topic:
            self._uplink.acknowledge(payload)
        elif topic == self._status_topic:
            self._hear_status(decode(Status, payload))
        elif topic == self._ask_topic:
            self._heartbeat.say("birth")
        else:
            self._bridge.down(topic, payload)

    def _hear_status(self, status: Status) -> None:
        """Our own, or that of somebody else with our name.  The rows of another fog node have
        numbers of their own, and what both forward the cloud stores twice."""
        if status.state == "death" or status.boot in (None, self._buffer.boot):
            return
        self._namesake_s = time.monotonic()
        self._said.warning(
            "somebody else is called %r at %s: give one of the two another --name",
            *(self.settings.name, self._cloud.address.url if self._cloud else "the broker"),
        )

    def _cloud_connected(self) -> None:
        self._uplink.connected()
        self._heartbeat.say("birth")

    def _status(self) -> Status:
        kept, engine = self._buffer.kept(), self.settings.engine
        return Status(
            state="alive",
            boot=self._buffer.boot,
            every_ms=round(BEAT_S * 1000),
            engine=engine,
            guest_sha256=None if engine == "off" else self._guest.sha256,
            host=host_id(),
            buffer_rows=kept.rows,
            buffer_limit_rows=self.settings.buffer_rows,
            dropped_rows=kept.dropped,
        )

    def _edge_publish(self, topic: str, payload: bytes) -> bool:
        return self._edge is not None and self._edge.publish(topic, payload)

    def _cloud_publish(self, topic: str, payload: bytes) -> bool:
        return self._cloud is not None and self._cloud.publish(topic, payload)

    # -- the worker ----------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            is_whole = True
            while is_whole and not self._closing.is_set():
                self._news.wait(IDLE_S)
                self._news.clear()
                is_whole = self._take_all()
            if is_whole:
                self._take_all()  # what came before the end
        except BufferFullError as error:
            self.failure = error
            self._closing.set()
        except Exception as error:  # noqa: BLE001 - silence would look like health
            self.failure = error
            self._closing.set()
            _log.exception("the worker of fog has ended")

    def _take_all(self) -> bool:
        """Take what waits, and remove what the cloud has.

        False if a group could not be written before the end: what comes behind it must not be
        taken any more, as its numbers are counted as there.
        """
        while True:
            self._looked_s = time.monotonic()
            arrivals = self._next()
            acknowledged = self._uplink.acknowledged
            if not arrivals and acknowledged < self._buffer.kept().oldest:
                return True
            begin_s = time.perf_counter()
            group = self._groups.prepare(arrivals, acknowledged, time.time_ns() // 1_000_000)
            computed_s = time.perf_counter()
            if not self._commit(group):
                return False
            end_s = time.perf_counter()
            self._acknowledge(group)
            if arrivals:
                self._count(group, arrivals)
                self.metrics.execution.observe(computed_s - begin_s)
                self.metrics.commit.observe(end_s - computed_s)
            if len(arrivals) < GROUP and not self._queue:
                return True

    def _next(self) -> list[Arrival]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(len(queue), GROUP))]

    def _commit(self, group: Group) -> bool:
        """Commit, waiting for the disk as long as it takes; False at the end of it."""
        while True:
            try:
                self._groups.commit(group)
            except (sqlite3.Error, StoreError) as error:
                if not self._trouble:
                    _log.error("the buffer cannot be written (%s): nothing is acknowledged", error)
                self._trouble = str(error)
                with suppress(sqlite3.Error, StoreError):  # said above
                    self._buffer.make_room(self._uplink.acknowledged)
                if self._closing.wait(RETRY_S):
                    return False
            else:
                if self._trouble:
                    _log.warning("the buffer can be written again")
                    self._buffer.refill()
                self._trouble = ""
                self._committed_s = time.monotonic()
                return True

    def _acknowledge(self, group: Group) -> None:
        for node, boot, seq in group.acks:
            self._edge_publish(f"ic/{node}/ack", b'{"boot":%d,"seq":%d}' % (boot, seq))
        if group.change.outgoing:
            self._uplink.told()
        for node, text in group.taken.malformed:
            self._refuse(node, Why.MALFORMED, text)

    def _count(self, group: Group, arrivals: list[Arrival]) -> None:
        metrics, taken = self.metrics, group.taken
        metrics.received.inc(len(arrivals))
        metrics.duplicates.inc(taken.duplicates)
        metrics.early.inc(taken.early)
        metrics.computed_rows.inc(group.processed)
        for message in group.change.outgoing:
            metrics.forwarded_rows.labels(message.stream).inc(message.length)
        for reason, count in taken.refused.items():
            self._count_refused(reason, count)
        now_us = time.monotonic_ns() // 1000
        metrics.latency.observe((now_us - arrivals[0].received_us) / 1e6)

    def _count_refused(self, reason: Reason, count: int) -> None:
        if reason is Reason.NAME:
            self._said.warning(
                "a node is called %r, as this fog node is: nothing of it is taken; give fog "
                "another --name",
                self.settings.name,
            )
        self.metrics.refused.labels(reason).inc(count)
        self._refused, self._refused_s = reason, time.monotonic()

    def _refuse(self, node: str, why: Why, text: str) -> None:
        """Tell the sender and the log, but not endlessly."""
        if self._refusals.note(node, why, text) is None:
            return
        self._said.warning("message of %s refused: %s", node, text)
        self._edge_publish(f"ic/{node}/ack", Ack(refused=text[:500]).encode())

    # -- how it is -----------------------------------------------------------------------------

    def parts(self) -> Parts:
        """The parts whose state /health shows."""
        assert self._edge is not None
        assert self._cloud is not None
        return {
            "edge broker": self._edge.part,
            "cloud broker": self._cloud.part,
            "cloud": self._cloud_part,
            "buffer": self._buffer_part,
            "worker": self._worker_part,
            "refusals": self._refusals_part,
            "name": self._name_part,
            "process": process_part,
        }

    @property
    def _is_cut_off(self) -> bool:
        """Whether rows are kept for want of a connection, or of acknowledgements."""
        return self._uplink.outage or self._cloud is None or not self._cloud.connected

    def _cloud_part(self) -> Part:
        if not self._uplink.is_running:
            return Part(ok=False, detail="nothing is sent: the thread for it has ended")
        if self._uplink.trouble:
            return Part(ok=False, detail=f"buffer cannot be read: {self._uplink.trouble}")
        return Part(
            ok=not self._uplink.outage,
            detail="acknowledges nothing: rows are kept" if self._uplink.outage else "",
        )

    def _buffer_part(self) -> Part:
        kept, most = self._buffer.kept(), self.settings.buffer_rows
        detail = f"{kept.rows} of at most {most} rows"
        if kept.dropped:
            detail += f"; {kept.dropped} were dropped, the oldest first"
        if self._trouble:
            return Part(ok=False, detail=f"cannot be written: {self._trouble}")
        return Part(ok=kept.rows < CROWDED * most and not self._groups.is_full, detail=detail)

    def _worker_part(self) -> Part:
        if self.failure is not None:
            return Part(ok=False, detail=f"has ended: {self.failure}")
        now_s, waiting = time.monotonic(), len(self._queue)
        said = "no commit yet"
        if self._committed_s is not None:
            said = f"last commit {now_s - self._committed_s:.1f} s ago"
        return Part(
            ok=self._worker.is_alive() and now_s - self._looked_s < STALLED_S,
            detail=f"{said}, {waiting} messages wait",
        )

    def _refusals_part(self) -> Part:
        age_s = time.monotonic() - self._refused_s
        if self._refused is None or age_s > RECENT_S:
            return Part(ok=True)
        return Part(ok=False, detail=f"the last one {age_s:.0f} s ago: {self._refused}")

    def _name_part(self) -> Part:
        age_s = time.monotonic() - self._namesake_s
        if age_s > 3 * BEAT_S:
            return Part(ok=True)
        return Part(ok=False, detail=f"somebody else is called {self.settings.name!r}, too")

    def _add_gauges(self) -> None:
        buffer, uplink, metrics = self._buffer, self._uplink, self.metrics
        metrics.gauge("buffer_rows", "Rows kept for the cloud.", lambda: buffer.kept().rows)
        metrics.gauge("buffer_dropped_rows", "Rows given up, ever.", lambda: buffer.kept().dropped)
        metrics.gauge("buffer_oldest_age_seconds", "Age of the oldest row kept.", self._age_s)
        metrics.gauge("queue_messages", "Messages that wait.", lambda: len(self._queue))
        metrics.gauge(
            "held_messages", "Messages that came before their turn.", lambda: self._groups.held
        )
        metrics.gauge("repeated_rows", "Rows sent again.", lambda: uplink.repeated_rows)
        metrics.gauge("guest_traps", "Calls of the guest stopped.", lambda: self._tier.traps)
        metrics.gauge(
            "too_late_samples", "Samples too late for their window.", lambda: self._tier.too_late
        )
        metrics.state(
            "state",
            "What the tier does at present.",
            {
                "forwarding": lambda: not (self._is_cut_off or self._groups.is_full),
                "outage": lambda: self._is_cut_off,
                "full": lambda: self._groups.is_full,
            },
        )

    def _age_s(self) -> float:
        oldest_ms = self._buffer.kept().oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)

    def run(self) -> None:
        """Wait until it is closed or ends by itself; raises why."""
        self._closing.wait()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Let `run` return."""
        self._closing.set()

    def close(self) -> None:
        """Take no more, and close all of it; what the cloud has not acknowledged is kept."""
        if self._edge is not None:
            self._edge.close()
        self._closing.set()
        self._news.set()
        self._worker.join()
        self._uplink.close()
        self._heartbeat.close()
        if self._cloud is not None:
            self._cloud.close()
        self._tier.close()
        self._buffer.close()
