"""Brings a module onto the device at the other end of a link, serial or MQTT alike.

The device leads: it says how many bytes it has, so what was interrupted goes on from there, and it
refuses what it must not take before it writes anything.  The module that runs goes on running.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from levada.guest.abi import TrapKind
from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError
from levada.hil.link import Link
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateFailure, UpdateStage
from levada.hil.wire.messages import Ack
from levada.hil.wire.update_messages import (
    Confirm,
    GetUpdateStatus,
    InstallAbort,
    InstallBegin,
    InstallChunk,
    InstallEnd,
    InstallTrial,
    Reject,
    TrialFlag,
    UpdateStatus,
)

__all__ = ["Trial", "UpdateError", "UpdateVerdict", "Updater"]

CHUNK: Final = 1_000
"""Bytes of a module in one message."""
BEGINNINGS: Final = 5
"""So often a transfer is begun when the device starts again or loses its place."""


class UpdateError(HilError):
    """A device did not take a module; `reason` is its code."""

    def __init__(self, text: str, reason: UpdateFailure) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a new module has to pass before it is committed."""

    steps: int = 3
    """Without a trap, a negative result or an overdrawn budget."""
    within_ms: int = 0
    """From its start to its commit, by the device's clock; 0: no limit."""
    confirm: bool = False
    """The host must say that it does well, as far as the host sees."""
    report: bool = False
    """The module must have published something."""

    @property
    def flags(self) -> TrialFlag:
        """As on the wire."""
        wanted = TrialFlag.CONFIRM if self.confirm else TrialFlag(0)
        return wanted | TrialFlag.REPORT if self.report else wanted


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateVerdict:
    """What a device tells of its last update."""

    stage: UpdateStage
    reason: str
    """Code, see `UpdateFailure`; empty unless it has failed."""
    detail: int
    sha256: str
    """Of the module that is received, waits, or is tried; else of the one in use."""
    received: int
    size: int
    steps: int
    """Of the trial, passed."""
    counter: int
    """Lowest that the device takes; 0: any."""
    nonce: str
    version: str
    """Of the module in use."""

    @property
    def why(self) -> str:
        """Why it has failed, for people."""
        match self.reason:
            case UpdateFailure.TRAP | UpdateFailure.FAULT | UpdateFailure.BUDGET:
                return f"rolled back: stopped on trial ({_trap(self.detail)})"
            case UpdateFailure.CRASHES:
                return f"given up: stopped three times within a day ({_trap(self.detail)})"
            case UpdateFailure.TIMEOUT:
                return f"rolled back: not committed in time, after {self.detail} steps"
            case UpdateFailure.RESTART:
                return "rolled back: the device started again in the trial"
            case UpdateFailure.REJECTED:
                return "rolled back: rejected by its host"
            case UpdateFailure.ABORTED:
                return "given up as it was asked to"
            case _:
                return f"not taken (detail {self.detail})"

    @classmethod
    def of(cls, status: UpdateStatus) -> UpdateVerdict:
        """As told on the wire; raises ValueError for a state that is none."""
        stage = UpdateStage.of(status.state)
        return cls(
            stage=stage,
            reason=UpdateFailure.of(status.reason) if stage is UpdateStage.FAILED else "",
            detail=status.detail,
            sha256=status.sha256.hex(),
            received=status.received,
            size=status.size,
            steps=status.steps,
            counter=status.counter,
            nonce=status.nonce.hex(),
            version=status.version,
        )


class Updater:
    """Updates of the device at `link`, within the session that the link has.

    `on_progress(received, size)` hears of every part that the device has [bytes].
    """

    def __init__(
        self, link: Link, on_progress: Callable[[int, int], object] = lambda *_: None
    ) -> None:
        self._link = link
        self._on_progress = on_progress
        self.sent_bytes = 0
        """Of modules, repetitions of the link not counted."""

    def send(self, package: ModulePackage) -> None:
        """Bring the module over; nothing is changed by that.

        Raises UpdateError if the device refuses it, DeviceRestarted if it has lost its session
        (then a new one, and again), LinkError.
        """
        for _ in range(BEGINNINGS):
            try:
                self._send(package)
            except DeviceError as error:
                failure = UpdateFailure.of_refusal(error.error)
                if failure is UpdateFailure.LINK:  # it has lost its place, as after a restart
                    last = error
                    continue
                raise UpdateError(_refusal(error, failure, package), failure) from None
            return
        raise UpdateError(str(last), UpdateFailure.LINK)

    def start_trial(self, trial: Trial, carried: Sequence[int] = ()) -> None:
        """Have the whole verified; the next start of the guest is that of the new one.

        `carried` are the ids of parameters whose values hold for it too.  Raises UpdateError.
        """
        request = InstallTrial(
            steps=trial.steps,
            within_ms=trial.within_ms,
            flags=trial.flags,
            carried=struct.pack(f"<{len(carried)}i", *carried),
        )
        self._ask(request)

    def commit(self) -> None:
        """Have the whole verified, and make it the guest at once, without a trial."""
        self._ask(InstallEnd())

    def confirm(self, sha256: str) -> None:
        """Say that the module on trial does well; raises UpdateError if there is none."""
        self._ask(Confirm(sha256=bytes.fromhex(sha256)))

    def reject(self) -> None:
        """Have the module on trial rolled back and barred."""
        self._ask(Reject())

    def abort(self) -> None:
        """Drop what is being installed or tried."""
        self._ask(InstallAbort())

    def status(self) -> UpdateVerdict:
        """Where the device's update stands; raises LinkError for nonsense."""
        found = self._link.ask(GetUpdateStatus(), UpdateStatus)
        try:
            return UpdateVerdict.of(found)
        except ValueError as error:
            raise LinkError(f"{self._link.url}: answered with {error}") from None

    def _send(self, package: ModulePackage) -> None:
        module, size = package.module, len(package.module)
        begin = InstallBegin(
            size=size, sha256=bytes.fromhex(package.sha256), envelope=package.envelope
        )
        there = self._link.ask(begin, Ack).value
        while there < size:
            self._on_progress(there, size)
            data = module[there : there + CHUNK]
            answer = self._link.ask(InstallChunk(offset=there, data=data), Ack).value
            self.sent_bytes += len(data)
            if not there < answer <= size:
                raise LinkError(
                    f"{self._link.url}: has {answer} bytes of {size} after {there + len(data)}"
                )
            there = answer
        self._on_progress(size, size)

    def _ask(self, request: Confirm | InstallAbort | InstallEnd | InstallTrial | Reject) -> int:
        try:
            return self._link.ask(request, Ack).value
        except DeviceRestarted:
            raise
        except DeviceError as error:
            failure = UpdateFailure.of_refusal(error.error)
            raise UpdateError(_REFUSALS.get(failure, str(error)), failure) from None


def _trap(kind: int) -> str:
    try:
        return TrapKind(kind).name.lower().replace("_", " ")
    except ValueError:
        return f"trap {kind}"


_REFUSALS: Final = {
    UpdateFailure.BUSY: "another sender has an update under way",
    UpdateFailure.SIGNATURE: "no key that the device trusts has signed it",
    UpdateFailure.TARGET: "it is for another node, tier, ABI or feature profile",
    UpdateFailure.EXPIRED: "it has expired, or answers another request",
    UpdateFailure.BARRED: "it has failed on this device before",
}
"""In words that people read on the page and in the record."""


def _refusal(error: DeviceError, failure: UpdateFailure, package: ModulePackage) -> str:
    """Why a device has refused the beginning of an update: what was offered, what it takes."""
    if failure is UpdateFailure.ROLLBACK:
        counter = "missing" if package.counter is None else package.counter
        has = f"the device has {error.detail}"
        return f"its counter is {counter}, and {has}: it takes a higher one"
    return _REFUSALS.get(failure, str(error))
