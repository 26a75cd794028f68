"""Sends what is buffered to the cloud: in order, within a window, until it is acknowledged.

Rows have numbers, and an acknowledgement names the number up to which the cloud has all of them in
its store.  As long as those keep coming, a window of messages is under way.  If none comes within
the patience, or the connection is lost, there is an *outage*: the oldest message alone is sent
again from time to time.  When it ends, what was kept meanwhile goes out in order, no faster than
`flush_rows_s`; what has come since the end of the outage waits behind it, and is not held up.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

from levada.guest.lifecycle import Closing
from levada.hil.errors import PayloadError
from levada.twin.continuum.buffer import Buffer, Outgoing
from levada.twin.continuum.hops import monotonic_us
from levada.twin.mqtt.messages import Ack, decode
from levada.twin.mqtt.sequence import MODULUS, unwrap

__all__ = ["Uplink", "envelope"]

_log = logging.getLogger(__name__)

WINDOW_ROWS: Final = 5_000
"""Rows that are under way without an acknowledgement at most; some hundred KB, since amqtt drops
what a consumer leaves unread beyond 1 MiB."""
PATIENCE_S: Final = 2.0
"""So long no acknowledgement may come before the way counts as broken."""
LONGEST_PATIENCE_S: Final = 15.0
_BATCH: Final = 16
"""Messages that are read from the buffer at a time."""
_RETRY_S: Final = 0.5
"""Before the next attempt, where the buffer cannot be read."""
_CROWDED_S: Final = 0.05
"""Before the next attempt, where the connection takes no more."""

Publish = Callable[[str, bytes], bool]


def envelope(
    message: Outgoing,
    *,
    boot: int,
    oldest: int,
    sent_us: int,
    heard: tuple[int, int] | None = None,
) -> bytes:
    """A message as it goes over the wire; `heard` is when the newest acknowledgement was sent, by
    the cloud's clock, and when it was heard here [us]."""
    echo = "" if heard is None else f'"echo_us":{heard[0]},"heard_us":{heard[1]},'
    head = (
        f'{{"boot":{boot},"seq":{message.first % MODULUS},"oldest":{oldest % MODULUS},'
        f'"sent_us":{sent_us},{echo}"rows":'
    )
    return b"".join((head.encode(), message.rows, b"}"))


class Uplink(Closing):
    """Sends the rows of `buffer` as those of the fog node `name`, by `publish(topic, payload)`."""

    def __init__(
        self,
        buffer: Buffer,
        name: str,
        publish: Publish,
        *,
        flush_rows_s: float,
        patience_s: float = PATIENCE_S,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._buffer = buffer
        self._name = name
        self._publish = publish
        self._flush_rows_s = flush_rows_s
        self._least_patience_s = self._patience_s = patience_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        kept = buffer.kept()
        self.acknowledged = kept.oldest - 1
        """Number up to which the cloud has all rows."""
        self._sent = kept.oldest
        """Number of the next row to be sent."""
        self._flush_until = buffer.next
        """Rows before this number were kept during an outage."""
        self._flush_due_s = 0.0
        """When the next of them may go."""
        self._progress_s = clock_s()
        self.outage = False
        """Whether nothing is acknowledged at present."""
        self.forwarded = 0
        """Messages sent, those that were repeated included."""
        self.trouble = ""
        """Why the buffer cannot be read at present."""
        self.repeated_rows = 0
        self._heard: tuple[int, int] | None = None
        self._round = 0
        """How often it was begun anew with the oldest row."""
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def told(self) -> None:
        """There are new rows."""
        self._news.set()

    def connected(self) -> None:
        """There is a new connection: what was under way is lost with the one before."""
        with self._lock:
            self._again(self._clock_s())
            self._end_outage()
        self._news.set()

    def acknowledge(self, payload: bytes) -> None:
        """Take an `Ack`; one of another life, or of rows that were never sent, is no news."""
        try:
            ack = decode(Ack, payload)
        except PayloadError as error:
            _log.warning("acknowledgement of the cloud ignored: %s", error)
            return
        if ack.refused is not None:
            _log.warning("the cloud has refused a message: %s", ack.refused)
        if ack.sent_us is not None:
            self._heard = ack.sent_us, monotonic_us()
        if ack.seq is None or ack.boot != self._buffer.boot:
            return
        with self._lock:
            number = unwrap(ack.seq, self.acknowledged + 1)
            if not self.acknowledged < number < self._buffer.next:
                return
            self.acknowledged = number
            self._sent = max(self._sent, number + 1)
            self._progress_s = self._clock_s()
            self._patience_s = self._least_patience_s
            if self.outage:
                self._end_outage()
        self._news.set()

    def _end_outage(self) -> None:
        if self.outage:
            _log.info("rows go to the cloud again, %d wait", self._buffer.next - self._sent)
        self.outage = False
        self._flush_until = self._buffer.next

    def _again(self, now_s: float) -> None:
        self.repeated_rows += max(0, self._sent - self.acknowledged - 1)
        self._sent = self.acknowledged + 1
        self._progress_s = now_s
        self._round += 1

    # The thread

    @property
    def is_running(self) -> bool:
        """Whether there is somebody who sends."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.clear()
            try:
                wait_s = self.step()
            except sqlite3.Error as error:
                if not self.trouble:
                    _log.error("the buffer cannot be read (%s): nothing is sent", error)
                self.trouble, wait_s = str(error), _RETRY_S
            else:
                self.trouble = ""
            if wait_s > 0:
                self._news.wait(wait_s)

    def step(self) -> float:
        """Send what may be sent now; the time until there may be more to do [s]."""
        with self._lock:
            now_s = self._clock_s()
            under_way = self._sent > self.acknowledged + 1
            left_s = self._progress_s + self._patience_s - now_s
            if under_way and left_s <= 0:
                if not self.outage:
                    _log.warning("the cloud acknowledges nothing: rows are kept")
                self.outage = True
                self._patience_s = min(2 * self._patience_s, LONGEST_PATIENCE_S)
                self._again(now_s)
                under_way, left_s = False, self._patience_s
            if not under_way:
                self._progress_s = now_s  # the patience begins with the first that is sent
            first, at_round = self._sent, self._round
            paced = first < self._flush_until
            if paced and self._flush_due_s > now_s:
                return self._flush_due_s - now_s
            room = WINDOW_ROWS - (first - self.acknowledged - 1)
            if self.outage and under_way:
                return left_s
            if room <= 0:
                return left_s
        messages = self._buffer.outgoing(first, 1 if self.outage or paced else _BATCH)
        if not messages:
            return max(left_s, 0.001) if under_way else self._least_patience_s
        for message in messages:
            if not self._send(message, at_round):
                return _CROWDED_S
        return 0.0

    def _send(self, message: Outgoing, at_round: int) -> bool:
        payload = envelope(
            message,
            boot=self._buffer.boot,
            oldest=self._buffer.kept().oldest,
            sent_us=monotonic_us(),
            heard=self._heard,
        )
        if not self._publish(f"ic/{self._name}/{message.stream}", payload):
            return False
        with self._lock:
            now_s = self._clock_s()
            self.forwarded += 1
            if message.first < self._flush_until:
                due_s = max(self._flush_due_s, now_s)
                self._flush_due_s = due_s + message.length / self._flush_rows_s
            if self._round != at_round:  # begun anew meanwhile
                return False
            self._sent = max(self._sent, message.last + 1)
        return True

    def close(self) -> None:
        """End; what is not acknowledged is sent by the next one."""
        self._closing.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()
