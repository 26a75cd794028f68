"""Delivery, device side: messages are kept until the store has them.

Every node numbers its messages from 0 in a life of its own (`boot`).  A message is sent, and sent
again, until an acknowledgement covers it; whatever the broker loses comes once more
(docs/mqtt.md, "Exactly once").  What nobody acknowledges holds up nothing that is newer, and no
other node: everything leaves, and then once more from the oldest.  A node that keeps too many
drops its oldest and says so with `oldest`, which the store shows as a gap.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic, monotonic_ns
from typing import Final

from levada.guest.lifecycle import Closing
from levada.guest.text.json_text import parse
from levada.twin.mqtt.sequence import MODULUS

__all__ = ["Outbox"]

_PATIENCE_S: Final = 1.0
"""Without an acknowledgement for so long, what is on its way holds up nothing any more."""
_WINDOW: Final = 400
"""Messages on their way at most, of all nodes; what the embedded broker handles in less than
the patience."""


class _Message:
    """A message that is kept."""

    __slots__ = ("members", "number", "up_ms")

    def __init__(self, number: int, members: str) -> None:
        self.number = number
        self.members = members
        """As JSON text."""
        self.up_ms: int | None = None
        """When it was sent first, by the monotonic clock; None: it was not sent yet."""


class _Held:
    """Messages of one node."""

    def __init__(self) -> None:
        self.boot = secrets.randbelow(1 << 31)
        self.next = 0
        self.pending: deque[_Message] = deque()
        """By number, rising."""
        self.sent = 0
        """How many of the pending have left since the last round began."""
        self.on_the_way = 0
        """How many of those hold up what comes after them."""
        self.progress_s = monotonic()
        """When one was acknowledged, or given up."""

    def forget_oldest(self) -> None:
        """It is stored, or has no room."""
        self.pending.popleft()
        if self.sent:
            self.sent -= 1
            self.on_the_way = max(0, self.on_the_way - 1)


class Outbox(Closing):
    """Keeps and sends the messages of `nodes`; `publish(node, payload)` is False if it cannot now.

    `limit` is how many messages a node keeps.  Threads may call anything at any time.
    """

    def __init__(
        self, nodes: Iterable[str], publish: Callable[[str, bytes], bool], *, limit: int = 10_000
    ) -> None:
        self._held = {node: _Held() for node in nodes}
        self._publish = publish
        self._limit = limit
        self._window = max(1, _WINDOW // max(1, len(self._held)))
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._closing = threading.Event()
        self.dropped = 0
        """Messages given up because too many were kept."""
        self._thread = threading.Thread(target=self._watch, name="outbox", daemon=True)
        self._thread.start()

    def boot(self, node: str) -> int:
        """The life under which a node numbers its messages."""
        return self._held[node].boot

    def put(self, node: str, time_ms: int, message: str, *, wait_s: float = 0.0) -> None:
        """Take a message of the guest, measured at `time_ms`.

        If the node keeps too many, wait so long for acknowledgements before its oldest is dropped.
        """
        held = self._held[node]
        with self._room:
            if len(held.pending) >= self._limit and not self._room.wait_for(
                lambda: len(held.pending) < self._limit or self._closing.is_set(), wait_s
            ):
                self._drop(held)
            if not held.pending:
                held.progress_s = monotonic()
            held.pending.append(_Message(held.next, f'{_members(message)}"t":{time_ms}'))
            held.next += 1
            self._send(node, held)

    def skip(self, node: str) -> None:
        """Count a message that is not to be sent; who listens sees that it joins later."""
        with self._lock:
            self._held[node].next += 1

    def acknowledge(self, node: str, boot: int, seq: int) -> None:
        """Everything of this life up to `seq`, modulo 2^32, is stored."""
        held = self._held.get(node)
        if held is None or boot != held.boot:
            return
        with self._room:
            if not held.pending or (seq - held.pending[0].number) % MODULUS >= len(held.pending):
                return  # covers nothing, or numbers that were never given
            while held.pending and (seq - held.pending[0].number) % MODULUS < MODULUS // 2:
                held.forget_oldest()
            held.progress_s = monotonic()
            self._send(node, held)
            self._room.notify_all()

    def again(self) -> None:
        """Take everything that is on its way for lost, as after a new connection."""
        with self._lock:
            for node, held in self._held.items():
                held.sent = 0
                self._go_on(node, held)

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is kept; False if that takes too long."""
        with self._room:
            return self._room.wait_for(
                lambda: not any(held.pending for held in self._held.values()), timeout_s
            )

    def close(self) -> None:
        """End; what is not acknowledged is lost with this process."""
        self._closing.set()
        with self._room:
            self._room.notify_all()
        self._thread.join()

    def _drop(self, held: _Held) -> None:
        held.forget_oldest()
        self.dropped += 1

    def _send(self, node: str, held: _Held) -> None:
        while held.sent < len(held.pending) and held.on_the_way < self._window:
            message = held.pending[held.sent]
            if message.up_ms is None:
                message.up_ms = monotonic_ns() // 1_000_000
            identity = {
                "up_ms": message.up_ms,
                "boot": held.boot,
                "seq": message.number % MODULUS,
                "oldest": held.pending[0].number % MODULUS,
            }
            # last, so that it holds whatever the guest has called its own members
            payload = f"{{{message.members},{json.dumps(identity, separators=(',', ':'))[1:]}"
            if not self._publish(node, payload.encode()):
                return
            held.sent += 1
            held.on_the_way += 1

    def _watch(self) -> None:
        while not self._closing.wait(_PATIENCE_S / 4):
            with self._lock:
                for node, held in self._held.items():
                    if held.pending and monotonic() - held.progress_s > _PATIENCE_S:
                        self._go_on(node, held)

    def _go_on(self, node: str, held: _Held) -> None:
        """Send what has not been sent yet; if all has, all of it again."""
        if held.sent == len(held.pending):
            held.sent = 0
        held.on_the_way = 0
        held.progress_s = monotonic()
        self._send(node, held)


def _members(message: str) -> str:
    """The members of a JSON object as text that more may follow; other text becomes one member."""
    try:
        is_object = isinstance(parse(message), dict)
    except ValueError:
        is_object = False
    if not is_object:
        return f'"text":{json.dumps(message)},'
    inner = message.strip()[1:-1].strip()
    return f"{inner}," if inner else ""
