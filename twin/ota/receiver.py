"""A node's side of an update over MQTT: it fetches the module, has it installed, says where it is.

One update at a time: who offers another one meanwhile is told that the node is busy.  Until a new
module is committed the former one runs, and nothing here stops it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

from levada.hil.update.states import UpdateFailure, UpdateStage
from levada.twin.mqtt.messages import Message, OtaRequest, OtaState
from levada.twin.ota.chunks import Download, Offer, Taken
from levada.twin.ota.last_update import keep_last, read_last

__all__ = ["Identity", "Install", "Receiver", "TransferSettings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferSettings:
    """How patient a node is."""

    repeat_s: float = 0.5
    """For the first answer to a question for bytes; doubled with every repetition, up to"""
    repeat_most_s: float = 5.0
    stall_s: float = 120.0
    """Without a new byte for so long the transfer has failed; what came is kept."""
    download_s: float = 3_600.0
    """For the whole: who sends a byte now and then does not keep a node busy for ever."""
    damaged: int = 5
    """So often one chunk may come damaged."""
    slot_bytes: int = 65_536
    """Largest module."""
    beat_s: float = 5.0
    """Between two reports of an update that is under way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Which module a node runs."""

    guest_sha256: str
    guest_name: str = ""
    guest_version: str = ""
    counter: int | None = None
    nonce: str | None = None
    transfer: str | None = None
    """Of module and envelope together; None: not known."""


class Install(Protocol):
    """Has a module installed; what became of it is told to `Receiver.settle`."""

    def __call__(self, offer: Offer, module: bytes, settle: Settle) -> None:
        """Begin; returns at once."""


Settle = Callable[..., None]
"""`settle(state, reason="", text="")` of one offer, from any thread."""
COMMITTED: Final = "an abort comes too late: it is committed"


class Receiver:
    """The updates of one node.

    `say(message)` publishes; `identity()` tells which module runs; `give_up()` has what is being
    installed dropped, which `settle` then tells, unless it comes too late.  `folder` keeps what
    has come, and how it ended, over a restart.  `tick` is to be called some times a second.  All
    methods from any thread.
    """

    def __init__(
        self,
        say: Callable[[Message], object],
        *,
        identity: Callable[[], Identity],
        install: Install,
        give_up: Callable[[], object] = lambda: None,
        settings: TransferSettings = TransferSettings(),
        folder: Path | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._say = say
        self._identity = identity
        self._install = install
        self._give_up = give_up
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._download: Download | None = None
        self._offer: Offer | None = None
        self._state = UpdateStage.IDLE
        self._reason = ""
        self._text = ""
        self._began_s = self._asked_s = self._news_s = self._said_s = 0.0
        self._wait_s = settings.repeat_s
        self._damaged = 0
        kept = None if folder is None else read_last(folder)
        if kept is not None:
            self._offer, self._state, self._reason, self._text = kept

    @property
    def offer(self) -> Offer | None:
        """What was offered last."""
        return self._offer

    @property
    def state(self) -> UpdateStage:
        """Where the update stands."""
        return self._state

    def take(self, request: OtaRequest) -> None:
        """Do what is asked; raises PayloadError for a request that says nothing."""
        with self._lock:
            ours = self._offer is not None and request.id == self._offer.id
            if request.action == "status":
                self._report()
            elif request.action == "abort":
                self._abort(ours=ours)
            elif not self._state.is_final and not ours:
                self._refuse(request, UpdateFailure.BUSY, "another update is under way")
            elif ours and (not self._state.is_final or self._is_answered(request)):
                self._report()
            else:
                self._begin(Offer.of(request))

    def chunk(self, transfer: str, offset: int, payload: bytes) -> None:
        """Take bytes that have come."""
        with self._lock:
            download = self._download
            if self._state is not UpdateStage.DOWNLOADING or download is None:
                return
            if transfer != download.offer.id:
                return
            try:
                taken = download.take(offset, payload)
            except OSError as error:
                self._fail(UpdateFailure.FLASH, f"not kept: {error.strerror}")
                return
            if taken is Taken.NEW:
                self._damaged, self._wait_s = 0, self._settings.repeat_s
                self._news_s = self._clock()
                self._go_on(download)
            elif taken is Taken.DAMAGED:
                self._damaged += 1
                if self._damaged >= self._settings.damaged:
                    said = f"the bytes from {offset} on came damaged {self._damaged} times"
                    self._fail(UpdateFailure.DIGEST, said)
                else:
                    self._ask(download)

    def tick(self) -> None:
        """Ask again, give up, tell again: whatever is due."""
        with self._lock:
            if self._state.is_final:
                return
            now_s, settings = self._clock(), self._settings
            if now_s - self._said_s >= settings.beat_s:
                self._report()
            if self._state is not UpdateStage.DOWNLOADING or self._download is None:
                return
            if now_s - self._news_s >= settings.stall_s:
                self._fail(UpdateFailure.TIMEOUT, f"no byte came for {settings.stall_s:g} s")
            elif now_s - self._began_s >= settings.download_s:
                self._fail(UpdateFailure.TIMEOUT, f"not whole after {settings.download_s:g} s")
            elif now_s - self._asked_s >= self._wait_s:
                self._wait_s = min(2.0 * self._wait_s, settings.repeat_most_s)
                self._ask(self._download)

    def again(self) -> None:
        """There is a connection again: ask for what is missing, and say where it stands."""
        with self._lock:
            if self._state.is_final:
                return
            self._wait_s = self._settings.repeat_s
            self._report()
            if self._state is UpdateStage.DOWNLOADING and self._download is not None:
                self._ask(self._download)

    def gave_up(self, reason: str, text: str) -> None:
        """The node runs its former module again, although the last one was committed."""
        with self._lock:
            if self._state is UpdateStage.UPDATED:
                self._move(UpdateStage.FAILED, reason or UpdateFailure.CRASHES, text)

    def started_again(self, guest_sha256: str, reason: str, text: str) -> None:
        """The node runs that module after its restart; `reason` why it gave another one up.

        To be called once, before anything is taken.  A restart in the trial ends it.
        """
        with self._lock:
            offer = self._offer
            if offer is None or self._state is UpdateStage.FAILED:
                return
            if offer.sha256 == guest_sha256:
                self._move(UpdateStage.UPDATED)
            elif self._state is UpdateStage.UPDATED and not reason:
                self._offer, self._state = None, UpdateStage.IDLE  # it was given another one
            else:
                self._move(UpdateStage.FAILED, reason or UpdateFailure.RESTART, text)

    # Inside, with the lock

    def _begin(self, offer: Offer) -> None:
        kept, self._download, self._offer = self._download, None, offer
        if offer.size > self._settings.slot_bytes:
            most = self._settings.slot_bytes
            self._fail(UpdateFailure.SIZE, f"{offer.size} bytes: the node takes {most}")
            return
        runs = self._identity()
        if offer.id == runs.transfer or (offer.sha256 == runs.guest_sha256 and not offer.envelope):
            self._move(UpdateStage.UPDATED, text="it runs already")
            return
        try:
            download = self._download = Download(offer, self._folder, kept)
        except OSError as error:
            self._fail(UpdateFailure.FLASH, f"not kept: {error.strerror}")
            return
        self._began_s = self._news_s = self._clock()
        self._damaged, self._wait_s = 0, self._settings.repeat_s
        self._move(UpdateStage.DOWNLOADING)
        self._go_on(download)

    def _go_on(self, download: Download) -> None:
        if download.want() is not None:
            self._ask(download)
            return
        self._move(UpdateStage.DOWNLOADED)
        module = download.module()
        if module is None:
            self._fail(UpdateFailure.DIGEST, "the bytes do not have the promised SHA-256")
            return
        offer = download.offer

        def settle(state: UpdateStage, reason: str = "", text: str = "") -> None:
            self._settle(offer, state, reason, text)

        self._install(offer, module, settle)

    def _ask(self, download: Download) -> None:
        want = download.want()
        if want is not None:
            self._asked_s = self._clock()
            self._say(want)

    def _settle(self, offer: Offer, state: UpdateStage, reason: str, text: str) -> None:
        with self._lock:
            if self._offer is not offer or self._state.is_final:
                return  # given up meanwhile
            self._move(state, reason, text)
            if state.is_final and self._download is not None:
                self._download.forget()

    def _abort(self, *, ours: bool) -> None:
        """What waits or is on trial is given up as soon as the device can; nothing committed is."""
        if ours and self._state is UpdateStage.DOWNLOADING:
            self._fail(UpdateFailure.ABORTED, "by the operator")
            if self._download is not None:
                self._download.forget()
        elif ours and self._state is UpdateStage.UPDATED:
            assert self._offer is not None
            self._tell(self._offer.id, self._state, "", COMMITTED, self._offer.attempt)
        else:
            if ours and not self._state.is_final:
                self._give_up()
            self._report()

    def _is_answered(self, request: OtaRequest) -> bool:
        """Whether a request is the one whose end is known, and not another attempt."""
        offer = self._offer
        if self._state is UpdateStage.UPDATED:
            return offer is not None and offer.sha256 == self._identity().guest_sha256
        return offer is not None and offer.attempt == (request.attempt or "")

    def _fail(self, reason: UpdateFailure, text: str) -> None:
        self._move(UpdateStage.FAILED, reason, text)

    def _move(self, state: UpdateStage, reason: str = "", text: str = "") -> None:
        self._state, self._reason, self._text = state, str(reason), text[:500]
        lasting = state is UpdateStage.UPDATING or state.is_final
        if lasting and self._folder is not None and self._offer is not None:
            keep_last(self._folder, self._offer, state, self._reason, self._text)
        self._report()

    def _report(self) -> None:
        offer = self._offer
        self._said_s = self._clock()
        transfer, attempt = (None, "") if offer is None else (offer.id, offer.attempt)
        self._tell(transfer, self._state, self._reason, self._text, attempt)

    def _refuse(self, request: OtaRequest, reason: UpdateFailure, text: str) -> None:
        self._tell(request.id, UpdateStage.FAILED, reason, text, request.attempt or "")

    def _tell(
        self, transfer: str | None, state: UpdateStage, reason: str, text: str, attempt: str
    ) -> None:
        identity = self._identity()
        ours = self._offer is not None and transfer == self._offer.id
        size = self._offer.size if ours and self._offer is not None else 0
        received = self._download.received if ours and self._download is not None else 0
        self._say(
            OtaState(
                id=transfer,
                attempt=attempt or None,
                state=state,
                received=size if state is UpdateStage.UPDATED else received,
                size=size,
                reason=str(reason),
                text=text,
                guest_sha256=identity.guest_sha256 or None,
                guest_name=identity.guest_name[:64],
                guest_version=identity.guest_version[:64],
                counter=identity.counter,
                nonce=identity.nonce,
            )
        )
