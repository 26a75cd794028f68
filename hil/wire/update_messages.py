"""Messages that bring another module to a device: transfer, trial, and what came of it.

Part of the table of `levada.hil.wire.messages`.  `docs/updates.md` tells the story, and
`firmware/core/update.h` has the states.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from levada.hil.wire.message import (
    I32,
    U8,
    U16,
    U32,
    Bytes16,
    Message,
    Rest,
    Sha256,
    Text40,
    message_type,
)

__all__ = [
    "Confirm",
    "GetUpdateStatus",
    "InstallAbort",
    "InstallBegin",
    "InstallChunk",
    "InstallEnd",
    "InstallTrial",
    "Reject",
    "TrialFlag",
    "UpdateReason",
    "UpdateState",
    "UpdateStatus",
]


class UpdateState(IntEnum):
    """How far an update is, in the words of ThingsBoard."""

    IDLE = 0
    """None since the device was new."""
    DOWNLOADING = 1
    DOWNLOADED = 2
    """All bytes are there, and not verified."""
    VERIFIED = 3
    """Complete and accepted; the next `Start` puts it on trial."""
    UPDATING = 4
    """On trial: it runs, its outputs stay closed, what it publishes and keeps is held."""
    UPDATED = 5
    """Committed: it is the module in use."""
    FAILED = 6
    """`UpdateReason` says why; the module in use is the one before."""


class UpdateReason(IntEnum):
    """Why an update failed; the number in brackets is `UpdateStatus.detail`."""

    NONE = 0
    TRAP = 1
    """It trapped on trial (TrapKind)."""
    FAULT = 2
    """Its `init` or `step` returned a negative number on trial."""
    BUDGET = 3
    """It used up its instructions, host calls, or bytes on trial (TrapKind)."""
    TIMEOUT = 4
    """It was not committed within the time of its trial (steps that it has passed)."""
    REJECTED = 5
    """The host said `Reject`."""
    RESTART = 6
    """The device started again in the trial (ResetReason)."""
    LOAD = 7
    """The engine does not load it (an engine's reason), or it refuses a parameter (its id)."""
    DIGEST = 8
    """Flash does not give back what was promised."""
    FLASH = 9
    """Flash cannot be written."""
    CRASHES = 10
    """It trapped three times within 24 h after it was committed (the last TrapKind)."""
    ABORTED = 11
    """The host said `InstallAbort`."""


class TrialFlag(IntFlag):
    """What a trial wants besides its steps."""

    CONFIRM = 1
    """`Confirm` by the host."""
    REPORT = 2
    """The module has published something."""


@message_type(0x08)
class InstallBegin(Message):
    """Open the slot that is not in use for a new guest.  Answer: `Ack`, bytes already there."""

    size: U32
    sha256: Sha256
    envelope: Rest = b""
    """The signed manifest; a device that trusts keys refuses a module without."""


@message_type(0x09)
class InstallChunk(Message):
    """Part of the module, in order.  Answer: `Ack` with the number of bytes received."""

    offset: U32
    """At most the number received: what is there already is not written again."""
    data: Rest


@message_type(0x0A)
class InstallEnd(Message):
    """Verify the whole and switch slots; `Start` runs the new guest.  Answer: `Ack`."""


@message_type(0x13)
class InstallTrial(Message):
    """Verify the whole; the next `Start` puts it on trial.  Answer: `Ack`."""

    steps: U16
    """That it has to pass without a trap, 1..65535."""
    within_ms: U32
    """From its start to its commit, by the device's clock [ms]; 0: no limit."""
    flags: U8
    """TrialFlag."""
    carried: Rest
    """Ids (i32) of the parameters whose kept values hold for the new module too."""


@message_type(0x14)
class Confirm(Message):
    """The module on trial does well, as far as the host sees.  Answer: `Ack`, its UpdateState."""

    sha256: Sha256
    """Of the module that is meant."""


@message_type(0x15)
class Reject(Message):
    """Roll back the module on trial, or that waits for it, and bar it.  Answer: `Ack`."""


@message_type(0x16)
class InstallAbort(Message):
    """Drop whatever is being installed or tried; it is not barred.  Answer: `Ack`."""


@message_type(0x17)
class GetUpdateStatus(Message):
    """Answer: `UpdateStatus`."""


@message_type(0x8A)
class UpdateStatus(Message):
    """How far the last update is."""

    state: U8
    """UpdateState."""
    reason: U8
    """UpdateReason."""
    detail: I32
    """Of the reason."""
    sha256: Sha256
    """Of the module that is received, waits, or is tried; else of the one in use."""
    received: U32
    """Bytes of it that are there."""
    size: U32
    steps: U16
    """Of the trial, passed."""
    counter: U32
    """Lowest counter of a signed module that the device takes; 0: any."""
    nonce: Bytes16
    """Of this start of the device; a manifest with it answers this device, now."""
    version: Text40
    """Of the module in use, as its manifest says; empty if it has none."""
