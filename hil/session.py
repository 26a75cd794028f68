"""A session with a device: who it is, its guest and limits in place, its lease renewed.

A device that starts again has forgotten its session and its guest, and closed its outputs.  The
session is then opened anew; when and why is kept.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import sleep
from typing import Final, TypeVar

from levada.guest.abi import Call
from levada.guest.limits import Budget, Profile
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.tape import time_text
from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError
from levada.hil.lease import LEASE_MS, Heart, old_lease_ms
from levada.hil.link import Link
from levada.hil.wire import messages
from levada.hil.wire.messages import BirthFlag, NakError, ResetReason

__all__ = ["RESTARTS_IN_A_ROW", "GuestRanForEver", "Session"]

_log = logging.getLogger(__name__)

CHUNK: Final = 1000
"""Bytes of a module in one message."""
RESTARTS_IN_A_ROW: Final = 3
"""So often may a device start again within one request before it is given up."""
FOR_EVER: Final = " (the guest ran for ever)"
"""Why a watchdog bit that bites again at once: no fault of the device."""
BUSY_MS: Final = 11_000
"""Longest time for which a device waits for a host that has stopped installing."""
PIN_PLACES: Final = 16
"""In `Configure`; those beyond the last pin are 0."""

_DoneT = TypeVar("_DoneT")


class GuestRanForEver(HilError):  # noqa: N818 - an event rather than a fault
    """The watchdog has bitten twice in one request."""


class Session:
    """One guest on a device, from HELLO to CLOSE, and again after every restart of the device.

    The first request brings the module over if the device has another one, and none of `others`,
    which are modules that it may have been given before, with their envelopes.  `lease_ms` None: as
    long as the firmware allows for (`levada.hil.lease`), 0: the outputs never close by themselves.
    """

    def __init__(
        self,
        link: Link,
        module: bytes,
        *,
        envelope: bytes = b"",
        others: Sequence[tuple[bytes, bytes]] = (),
        name: str,
        budget: Budget,
        profile: Profile,
        config: tuple[int, int, int],
        lease_ms: int | None,
        speed: float | None,
    ) -> None:
        self.link = link
        self.device: messages.Birth | None = None
        """What the device said when the present session began; None without one."""
        self.started: bool
        """Whether the guest was started in the present session."""
        self.time_ms = 0
        """Virtual time of the present request [ms since 1970]."""
        self.restarts: list[str] = []
        """When the device had started again, and why."""
        self.lapses: list[str] = []
        """When the device told that it had closed its outputs because no host was heard."""
        self.silences: list[str] = []
        """When the device was heard again after a silence, and how long that was."""
        self.on_back: Callable[[ModuleInfo], object] = lambda _given_up: None
        """Told which module the device has given up."""
        self.heart = Heart(link, speed)
        self.config = config
        self._name = name
        self._budget = budget
        self._profile = profile
        self._lease_ms = lease_ms
        self._speed = speed
        self._former: tuple[bytes, bytes] | None = None
        """Module and envelope before the one that an update has brought."""
        self._told_of_old_lease = False
        self._boot_id: int | None = None
        self._taken = link.quality.taken
        link.on_silence = self._note_silence
        self.take_module(module, envelope)
        self._others = tuple(others)
        """Modules with their envelopes that it may have been given before."""

    def take_module(self, module: bytes, envelope: bytes = b"") -> None:
        """The guest from the next request on; raises GuestError for what is no guest."""
        self._know(module, envelope)
        self._former = None
        self._others = ()
        self.lose()

    def adopt(self, module: bytes, envelope: bytes = b"") -> None:
        """The device runs this one by now: it was brought there by an update."""
        self._former = self.module, self.envelope
        self._know(module, envelope)
        if self.device is not None:
            self.device = replace(self.device, guest_sha256=self._sha256)

    def go_back(self) -> None:
        """The device has given up what an update has brought: it runs the module before."""
        assert self._former is not None
        (module, envelope), given_up = self._former, self.info
        self._former = None
        self._know(module, envelope)
        if self.device is not None:
            self.device = replace(self.device, guest_sha256=self._sha256)
        self.on_back(given_up)

    @property
    def former(self) -> tuple[bytes, bytes] | None:
        """Module and envelope before the one that an update has brought; None: none has."""
        return self._former

    def _know(self, module: bytes, envelope: bytes) -> None:
        self.info = inspect(module, budget=self._budget).require()
        self.module, self.envelope = module, envelope
        self._sha256 = hashlib.sha256(module).digest()

    def lose(self) -> None:
        """There is no session any more; the next request opens one."""
        self.device = None
        self.started = False

    def surely(self, action: Callable[[], _DoneT]) -> _DoneT:
        """Do it in a session, in a new one if the device starts again.

        Raises GuestRanForEver if the watchdog bites at every try, LinkError if the device starts
        again more often than RESTARTS_IN_A_ROW.
        """
        bites = 0
        for attempt in range(RESTARTS_IN_A_ROW + 1):
            try:
                device = self.open()
                if attempt and device.reset_reason == ResetReason.WATCHDOG:
                    bites += 1
                    if bites > 1:
                        raise GuestRanForEver
                return action()
            except DeviceRestarted:
                self.lose()
        raise LinkError(
            f"{self.link.url}: had to be started again {RESTARTS_IN_A_ROW + 1} times within one "
            f"request ({'; '.join(self.restarts[-RESTARTS_IN_A_ROW:])}); "
            f"last console line: {self.link.last_console_line}"
        )

    def open(self) -> messages.Birth:
        """Say HELLO, bring the guest over, configure it; nothing of it if that was done."""
        if self.device is not None:
            return self.device
        device = self._hello()
        if device.flags & BirthFlag.TRIAL:
            # a run is of the module that it names, and not of one that is being tried
            self.link.ask(messages.InstallAbort(), messages.Ack)
        self._recognise(device)
        if device.guest_sha256 != self._sha256:
            # the device judges the module by the limits that it will run with
            self.link.ask(self._configuration(), messages.Ack)
            self._install(device)
            device = self._hello()
            if device.guest_sha256 != self._sha256:
                raise LinkError(
                    f"{self.link.url}: has guest {device.guest_sha256.hex()[:16]} after "
                    f"{self._sha256.hex()[:16]} was installed"
                )
        self.device = device
        try:
            self.link.ask(self._configuration(), messages.Ack)
        except BaseException:
            self.device = None
            raise
        self._begin_to_beat(device)
        return device

    def _recognise(self, device: messages.Birth) -> None:
        """A module that the device was given before, and has, is the one that it goes on with."""
        former = () if self._former is None else (self._former,)
        for module, envelope in (*former, *self._others):
            digest = hashlib.sha256(module).digest()
            if device.guest_sha256 == digest != self._sha256:
                before = self.module, self.envelope
                self._former = module, envelope
                self.go_back()
                if (module, envelope) in self._others:
                    self._former = before  # it may still go back to that
                return

    def close_outputs(self) -> None:
        """Say CLOSE, in a new session if this one was lost."""
        try:
            self.note_lease(self.link.ask(messages.Close(), messages.Ack).value)
        except DeviceRestarted:  # or Ctrl-C kept the request before from being sent
            self.link.hello()
            self.link.ask(messages.Close(), messages.Ack)

    @property
    def lease_ms(self) -> int:
        """Silence of ours after which the device closes its outputs [wall-clock ms]; 0: never."""
        if self._lease_ms is not None:
            return self._lease_ms
        if self.device is None or self.device.flags & BirthFlag.HEARTBEAT:
            return LEASE_MS
        return old_lease_ms(self._speed)

    def set_lease(self, lease_ms: int | None) -> None:
        """Another lease from now on, as `lease_ms` of the session."""
        self._lease_ms = lease_ms
        if self.device is not None:
            self.link.ask(self._configuration(), messages.Ack)

    def note_lease(self, ended: int) -> None:
        """Keep that the device had closed its outputs, if it did."""
        if ended:
            self.lapses.append(time_text(self.time_ms))
            _log.warning(
                "%s: it had closed its outputs, as no host was heard for %g s",
                self.link.url,
                self.lease_ms / 1000.0,
            )

    def excuse_watchdog(self) -> None:
        """The guest ran for ever: the watchdog's bites of this request are no fault of a board."""
        bite = f"{time_text(self.time_ms)}: watchdog"
        self.restarts = [r + FOR_EVER if r == bite else r for r in self.restarts]

    def _note_silence(self, silent_s: float) -> None:
        self.silences.append(f"{time_text(self.time_ms)}: not heard for {silent_s:.1f} s")
        _log.warning("%s: was not heard for %.1f s", self.link.url, silent_s)

    def _begin_to_beat(self, device: messages.Birth) -> None:
        if device.flags & BirthFlag.HEARTBEAT:
            self.heart.begin()
        elif not self._told_of_old_lease:
            self._told_of_old_lease = True
            _log.warning(
                "%s: firmware %s takes no heartbeat: without a host its outputs close after %.0f s",
                self.link.url,
                device.firmware,
                self.lease_ms / 1000.0,
            )

    def _hello(self) -> messages.Birth:
        device = self.link.hello()
        reason = None
        if self._boot_id not in (None, device.boot_id):
            try:
                reason = ResetReason(device.reset_reason).name.lower().replace("_", " ")
            except ValueError:
                reason = f"reason {device.reset_reason}"
        elif self.link.quality.taken > self._taken:
            reason = "taken by another host"
        if reason:
            self.restarts.append(f"{time_text(self.time_ms)}: {reason}")
        self._boot_id = device.boot_id
        self._taken = self.link.quality.taken
        return device

    def _install(self, device: messages.Birth) -> None:
        if len(self.module) > device.slot_bytes:
            raise LinkError(
                f"{self.link.url}: the guest has {len(self.module)} bytes, the device takes "
                f"{device.slot_bytes}"
            )
        ask = self.link.ask
        there = self._begin_install()
        for offset in range(there, len(self.module), CHUNK):
            data = self.module[offset : offset + CHUNK]
            ask(messages.InstallChunk(offset=offset, data=data), messages.Ack)
        ask(messages.InstallEnd(), messages.Ack)

    def _begin_install(self) -> int:
        """How many bytes of the module the device has already.  One that another host has begun to
        install and then left alone is waited for."""
        begin = messages.InstallBegin(
            size=len(self.module), sha256=self._sha256, envelope=self.envelope
        )
        try:
            return self.link.ask(begin, messages.Ack).value
        except DeviceError as error:
            if error.error != NakError.BUSY or not 0 < error.detail <= BUSY_MS:
                raise
            sleep(error.detail / 1000.0)
        return self.link.ask(begin, messages.Ack).value

    def _configuration(self) -> messages.Configure:
        pins, budget = self._profile.pins, self._budget
        return messages.Configure(
            node=self._name,
            prefix=self._profile.topic_prefix,
            counts=self.config,
            imports=sum(1 << Call[name.upper()] for name in self._profile.imports),
            pin_count=len(pins),
            pins=(*pins, *(0,) * (PIN_PLACES - len(pins))),
            instructions=budget.instructions,
            deadline_ms=budget.deadline_ms,
            memory_pages=budget.memory_pages,
            host_calls=budget.host_calls,
            log_bytes=budget.log_bytes,
            publish_bytes=budget.publish_bytes,
            lease_ms=self.lease_ms,
        )
