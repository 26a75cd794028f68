"""Where an update stands, and why one has failed.

The stages are those of ThingsBoard (OTA updates, `fw_state`), so that its dashboards can show them;
the three kinds of failure are those of AWS IoT Jobs (AbortCriteria, `failureType`).  A device tells
both by number (`levada.hil.wire.update_messages`, `NakError`); here they have names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from levada.hil.wire.messages import NakError
from levada.hil.wire.update_messages import UpdateReason, UpdateState

__all__ = ["FailureType", "UpdateFailure", "UpdateStage", "failure_type"]


class UpdateStage(StrEnum):
    """Where an update stands."""

    IDLE = "IDLE"
    """None is under way."""
    DOWNLOADING = "DOWNLOADING"
    DOWNLOADED = "DOWNLOADED"
    """All bytes are there."""
    VERIFIED = "VERIFIED"
    """Digest, signature, ABI and feature profile are right."""
    UPDATING = "UPDATING"
    """The new module is on trial."""
    UPDATED = "UPDATED"
    """It has been committed."""
    FAILED = "FAILED"
    """The former module runs; the reason says why."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (UpdateStage.IDLE, UpdateStage.UPDATED, UpdateStage.FAILED)

    @classmethod
    def of(cls, state: int) -> UpdateStage:
        """The stage that a device tells; raises ValueError for a number it cannot mean."""
        return cls(UpdateState(state).name)


class UpdateFailure(StrEnum):
    """Why an update has failed."""

    BUSY = "BUSY"
    """Another one is under way."""
    SIGNATURE = "SIGNATURE"
    """None of the trusted keys has signed it."""
    ROLLBACK = "ROLLBACK"
    """Older than the installed module."""
    TARGET = "TARGET"
    """It is for another device."""
    EXPIRED = "EXPIRED"
    BARRED = "BARRED"
    """It has failed here before."""
    SIZE = "SIZE"
    """Larger than the slot."""
    LOAD = "LOAD"
    """It does not fit the ABI, the feature profile or the limits."""
    DIGEST = "DIGEST"
    """The bytes that came do not have the promised SHA-256."""
    FLASH = "FLASH"
    """It could not be written."""
    TIMEOUT = "TIMEOUT"
    """Its bytes came too slowly, or the verdict did."""
    TRAP = "TRAP"
    """Stopped on trial by a trap;"""
    FAULT = "FAULT"
    """by a result below 0;"""
    BUDGET = "BUDGET"
    """by its budget;"""
    RESTART = "RESTART"
    """or the device started again meanwhile."""
    CRASHES = "CRASHES"
    """Stopped three times within a day after it was committed."""
    REJECTED = "REJECTED"
    """By its host."""
    ABORTED = "ABORTED"
    """By the operator."""
    LINK = "LINK"
    """The device does not answer."""

    @classmethod
    def of(cls, reason: int) -> UpdateFailure:
        """The reason that a device tells with its state."""
        try:
            return cls(UpdateReason(reason).name)
        except ValueError:
            return cls.LINK

    @classmethod
    def of_refusal(cls, error: int) -> UpdateFailure:
        """The reason that a device refuses a message for."""
        try:
            return cls(NakError(error).name)
        except ValueError:
            return cls.LINK


class FailureType(StrEnum):
    """The kinds of failure that abort criteria tell apart."""

    FAILED = "FAILED"
    """Begun, and not brought to an end."""
    REJECTED = "REJECTED"
    """Refused before anything was written."""
    TIMED_OUT = "TIMED_OUT"


REFUSALS: Final = frozenset(
    {
        UpdateFailure.BUSY,
        UpdateFailure.SIGNATURE,
        UpdateFailure.ROLLBACK,
        UpdateFailure.TARGET,
        UpdateFailure.EXPIRED,
        UpdateFailure.BARRED,
        UpdateFailure.SIZE,
    }
)


def failure_type(reason: str) -> FailureType:
    """The kind of failure of a reason, known or not."""
    if reason == UpdateFailure.TIMEOUT:
        return FailureType.TIMED_OUT
    return FailureType.REJECTED if reason in REFUSALS else FailureType.FAILED
