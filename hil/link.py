"""Requests and answers over a line that may damage, lose or repeat what it carries.

One request is on its way at a time; between two, another thread may say a heartbeat.  If no answer
comes in time the same bytes are sent again under the same sequence number, and the device answers
from memory instead of executing twice (docs/wire.md).  If the line itself is gone it is opened
again, for a while.  Everything that went wrong is counted: `LinkQuality` is part of a run's result.
"""

from __future__ import annotations

import secrets
import threading
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from levada.guest.module.refusal import refusal
from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError
from levada.hil.wire.codec import Console, Decoder, Frame, encode_frame
from levada.hil.wire.message import Message, MessageError
from levada.hil.wire.messages import Birth, Heartbeat, Hello, Nak, NakError

__all__ = ["SILENCE_S", "Line", "Link", "LinkQuality", "Patience"]

CONSOLE_LINES: Final = 200
RETRY_LIMIT: Final = 0.01
"""A run is void beyond this share of repeated requests."""
OPENINGS: Final = 2
"""A line that is opened anew so often, less one, without an answer is given up."""
ANSWERS: Final = 0x80
"""Types from here on are answers."""
SILENCE_S: Final = 4.0
"""Shorter ones are told to nobody; a device without its host closes its outputs after as long."""
FREE_RETRIES: Final = 5
"""So few repetitions void no run, however short."""
LAST: Final = 16
"""Round trips that tell how long to wait for the next one."""
UNKNOWN_S: Final = 1.0
"""Wait for the first of all answers."""
_AnswerT = TypeVar("_AnswerT", bound=Message)


class Line(Protocol):
    """What a link needs of a port (`levada.hil.line.serial_port.Port`)."""

    url: str

    def open(self) -> None:
        """Open again."""

    def write(self, data: bytes) -> None:
        """Send; LinkError if the line is gone."""

    def read(self, timeout_s: float) -> bytes:
        """Receive; empty after the timeout."""

    def close(self) -> None:
        """Release."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a link waits, and how often it tries.

    The wait for an answer is twice the longest of the last round trips, between the two limits, and
    doubles with every try.
    """

    least_s: float = 0.2
    most_s: float = 2.0
    tries: int = 5
    """Sendings of one request before the line is opened anew; so again after each opening."""
    reopen_s: float = 10.0
    """For a line that is gone to come back."""


@dataclass(slots=True)
class LinkQuality:
    """What a link has seen."""

    requests: int = 0
    retries: int = 0
    """Requests sent again."""
    excused: int = 0
    """Of these, those of a device whose guest ran for ever: no fault of the line."""
    damaged: int = 0
    """Runs of bytes that were neither frame nor text: CRC errors, broken frames, noise."""
    stale: int = 0
    """Frames that answered an older request."""
    reopened: int = 0
    """Times the line was opened again."""
    taken: int = 0
    """Sessions that another host has ended."""
    round_trips_s: array[float] = field(default_factory=lambda: array("d"))
    """Of requests that were sent once."""

    def summary(self) -> dict[str, Any]:
        """As in summary.json: counts, and the round trip [ms]."""
        times = np.frombuffer(self.round_trips_s) * 1000.0 if self.round_trips_s else np.zeros(1)
        p50, p99 = np.percentile(times, (50, 99)).tolist()
        return {
            "requests": self.requests,
            "retries": self.retries,
            "crc_errors": self.damaged,
            "resyncs": self.stale + self.reopened,
            "round_trip_p50_ms": p50,
            "round_trip_p99_ms": p99,
            "jitter_ms": float(np.std(times)),
        }

    def void(self) -> str | None:
        """Why a run over this link does not count; None if it does."""
        if self.taken:
            return f"another host has taken the device, {self.taken} time(s)"
        allowed = max(FREE_RETRIES, RETRY_LIMIT * self.requests)
        blamed = self.retries - self.excused
        if blamed <= allowed:
            return None
        return (
            f"{blamed} of {self.requests} requests had to be repeated: {RETRY_LIMIT:.0%} permitted"
        )


class Link:
    """A session with a device.

    `on_console` is given every line of text the device prints between frames; the last ones are
    kept in `console` anyway.
    """

    def __init__(
        self,
        line: Line,
        *,
        name: str | None = None,
        patience: Patience = Patience(),
        on_console: Callable[[str], None] | None = None,
    ) -> None:
        self._line = line
        self._name = name
        self.patience = patience
        self._on_console = on_console
        self._decoder = Decoder()
        self._last: tuple[type[Message], bytes] = Hello, b""
        """Request and its body."""
        self._sequence = secrets.randbelow(1 << 16)
        self._boot_id: int | None = None
        self._session: int | None = None
        self._busy = threading.Lock()
        """The line is used: one request, one heartbeat at a time."""
        self._answered = False
        """Whether the last request was."""
        self._given_up = 0
        """Requests of this session that were never answered."""
        self._silent_since_s: float | None = None
        """When the device should have been heard, and was not."""
        self.on_silence: Callable[[float], None] = lambda _: None
        """Is told how long a silence was that has ended, if it was longer than SILENCE_S [s]."""
        self.on_wait: Callable[[], None] = lambda: None
        """Is called by the thread that asks, between two tries to get an answer."""
        self.quality = LinkQuality()
        self.console: deque[str] = deque(maxlen=CONSOLE_LINES)

    @property
    def url(self) -> str:
        """Where the device is, for people."""
        return self._name or self._line.url

    @property
    def silent_s(self) -> float:
        """How long the device has not been heard though it should have been [s]: a request has no
        answer in its time, or the line is gone.  0.0 while all is well; from any thread."""
        since_s = self._silent_since_s
        return 0.0 if since_s is None else monotonic() - since_s

    def hello(self) -> Birth:
        """Begin a session; raises LinkError if no device answers."""
        session = secrets.randbelow(1 << 32)
        birth = self.ask(Hello(session=session), Birth)
        if birth.session != session:
            raise LinkError(f"{self.url}: answered HELLO with {birth}")
        self._boot_id = birth.boot_id
        self._session = session
        self._given_up = 0
        return birth

    def beat(self) -> None:
        """Tell the device that its host lives; from any thread, and without an answer.

        A request that is on its way says so by itself.  One that was never answered ends it: who
        asked has to take the outputs for closed.  A line that is gone is opened again.
        """
        if not self._busy.acquire(blocking=False):
            return
        try:
            if self._session is None or not self._answered:
                return
            body = Heartbeat(session=self._session).encode()
            self._line.write(encode_frame(Heartbeat.TYPE, 0, body))
        except LinkError:
            self._miss(monotonic())
            with suppress(LinkError):
                self._open_again()
                self._hear()
        finally:
            self._busy.release()

    def ask(self, request: Message, kind: type[_AnswerT]) -> _AnswerT:
        """The answer to a request, which must be of that kind.

        Raises DeviceError if the device refuses, DeviceRestarted if it has lost its session, and
        LinkError if it does not answer, or with nonsense.
        """
        body = self.exchange(type(request), request.encode(), kind)
        try:
            return kind.decode(body)
        except MessageError as error:
            raise LinkError(f"{self.url}: answered {type(request).__name__} with {error}") from None

    def exchange(self, request: type[Message], body: bytes, kind: type[Message]) -> bytes:
        """The body of the answer to a request given by its body; raises as `ask`."""
        with self._busy:
            return self._exchange(request, body, kind)

    def _exchange(self, request: type[Message], body: bytes, kind: type[Message]) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._last = request, body
        self._answered = False
        self.quality.requests += 1
        answer = self._persist()
        self._answered = True
        if self._silent_since_s is not None:
            self._hear()
        if answer.type == kind.TYPE:
            return answer.body
        raise self._refusal(request, answer)

    def repeat(self) -> Message:
        """Send the last request once more, as after a lost answer; the answer."""
        with self._busy:
            answer = self._try(self._last_frame(), again=True)
        if answer is None:
            raise LinkError(f"{self.url}: no answer to a repeated request")
        return self._message(answer)

    def write_raw(self, data: bytes) -> None:
        """Put bytes on the line that are no frame."""
        with self._busy:
            self._line.write(b"\0" + data + b"\0")

    @property
    def last_console_line(self) -> str:
        """What the device printed last."""
        return self.console[-1] if self.console else "none"

    def close(self) -> None:
        """Release the line."""
        with self._busy:
            self._session = None
            self._keep_last()
            self._line.close()

    def _message(self, answer: Frame) -> Message:
        try:
            return answer.message()
        except MessageError as error:
            raise LinkError(f"{self.url}: answered with {error}") from None

    def _refusal(self, request: type[Message], answer: Frame) -> HilError:
        """What an answer of another kind than the one wanted means."""
        message = self._message(answer)
        if not isinstance(message, Nak):
            return LinkError(f"{self.url}: answered {request.__name__} with {message}")
        if message.error in (NakError.NO_SESSION, NakError.SEQUENCE):
            self._session = None
            if self._taken(message):
                self.quality.taken += 1
                return DeviceRestarted(f"{self.url}: another host has taken the device")
            return DeviceRestarted(f"{self.url}: the device has started again")
        return DeviceError(
            f"{self.url}: refused {request.__name__}: {_reason(message)}",
            message.error,
            message.detail,
        )

    def _taken(self, lost: Nak) -> bool:
        """Whether the session was ended by another host: neither by a restart nor by a request of
        ours that never arrived."""
        if lost.error == NakError.SEQUENCE:
            return (self._sequence - lost.detail) & 0xFFFF > self._given_up + 1
        return self._given_up == 0 and lost.detail & 0xFFFF_FFFF == self._boot_id

    def _last_frame(self) -> bytes:
        request, body = self._last
        return encode_frame(request.TYPE, self._sequence, body)

    def _persist(self) -> Frame:
        """The answer to the last request, however often it must be sent."""
        frame = self._last_frame()
        gone: LinkError | None = None
        unanswered = 0
        for opening in range(OPENINGS):
            if opening and not self._reopened():
                break
            try:
                answer = self._try(frame, again=opening > 0)
            except LinkError as error:
                self._miss(monotonic())
                gone = error
                continue
            if answer is not None:
                return answer
            gone = None
            unanswered += self.patience.tries
        self._given_up += 1
        self._keep_last()
        if gone is not None:
            raise gone
        raise LinkError(
            f"{self.url}: no answer to {self._last[0].__name__}, sent "
            f"{unanswered} times; last console line: {self.last_console_line}"
        )

    def _reopened(self) -> bool:
        """Open the line again; false if it does not come back in time."""
        give_up_s = monotonic() + self.patience.reopen_s
        while True:
            try:
                self._open_again()
            except LinkError:
                if monotonic() >= give_up_s:
                    return False
                self.on_wait()
                sleep(0.05)  # an unplugged port tells nobody when it is back
            else:
                return True

    def _open_again(self) -> None:
        self._line.open()
        self.quality.reopened += 1
        self._keep_last()
        self._decoder = Decoder()

    def _keep_last(self) -> None:
        """Keep the text that still waits for the end of its line, such as that of a panic."""
        for item in self._decoder.finish():
            if isinstance(item, Console):
                self._keep(item.text)

    def _try(self, frame: bytes, *, again: bool) -> Frame | None:
        """Send until an answer comes, as often as patience allows."""
        patience = self.patience
        last = self.quality.round_trips_s[-LAST:]
        wait_s = 2.0 * max(last) if last else UNKNOWN_S
        wait_s = min(max(wait_s, patience.least_s), patience.most_s)
        for attempt in range(patience.tries):
            self.quality.retries += again or attempt > 0
            sent_s = monotonic()
            self._line.write(frame)
            answer = self._receive(sent_s + wait_s)
            if answer is not None:
                if attempt == 0 and not again:  # else it is not known which of them was answered
                    self.quality.round_trips_s.append(monotonic() - sent_s)
                return answer
            self._miss(sent_s)
            self.on_wait()
            wait_s = min(2.0 * wait_s, patience.most_s)
        return None

    def _miss(self, since_s: float) -> None:
        """The device should have been heard since then."""
        if self._silent_since_s is None:
            self._silent_since_s = since_s

    def _hear(self) -> None:
        """A silence has ended."""
        silent_s, self._silent_since_s = self.silent_s, None
        if silent_s > SILENCE_S:
            self.on_silence(silent_s)

    def _receive(self, until_s: float) -> Frame | None:
        while (left_s := until_s - monotonic()) > 0.0:
            answer = self._take(self._line.read(left_s))
            if answer is not None:
                return answer
        return None

    def _take(self, data: bytes) -> Frame | None:
        """The answer among what has come; without data the line was idle."""
        answer: Frame | None = None
        for item in self._decoder.feed(data) if data else self._decoder.flush():
            if isinstance(item, Frame):
                if item.sequence == self._sequence and item.type >= ANSWERS:
                    answer = item
                else:
                    self.quality.stale += 1
            elif isinstance(item, Console):
                self._keep(item.text)
            else:
                self.quality.damaged += 1
        return answer

    def _keep(self, text: str) -> None:
        for line in text.splitlines():
            self.console.append(line)
            if self._on_console is not None:
                self._on_console(line)


def _reason(nak: Nak) -> str:
    try:
        name = NakError(nak.error).name.lower().replace("_", " ")
    except ValueError:
        name = f"error {nak.error}"
    if nak.error == NakError.LOAD:
        return f"{name} ({refusal(nak.detail)}; detail {nak.detail})"
    return f"{name} (detail {nak.detail})"
