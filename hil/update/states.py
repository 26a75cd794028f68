"""Where an update stands, and why one has failed.

The states are those of ThingsBoard (OTA updates, "fw_state"), so that its dashboards can show them;
the three kinds of failure are those of AWS IoT Jobs (AbortCriteria, "failureType").
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["FAILURE_TYPES", "FailureType", "UpdateReason", "UpdateState", "failure_type"]


class UpdateState(StrEnum):
    """Where an update stands."""

    IDLE = "IDLE"
    """None is under way."""
    DOWNLOADING = "DOWNLOADING"
    DOWNLOADED = "DOWNLOADED"
    """All bytes are there."""
    VERIFIED = "VERIFIED"
    """Digest, signature, ABI and feature profile are right."""
    UPDATING = "UPDATING"
    """The new module runs on trial, or is about to."""
    UPDATED = "UPDATED"
    """It has been committed."""
    FAILED = "FAILED"
    """The former module runs; the reason says why."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (UpdateState.IDLE, UpdateState.UPDATED, UpdateState.FAILED)


class UpdateReason(StrEnum):
    """Why an update has failed."""

    BUSY = "BUSY"
    """Another one is under way."""
    SIGNATURE = "SIGNATURE"
    """None of the trusted keys has signed it."""
    ROLLBACK = "ROLLBACK"
    """Its counter is lower than that of the installed module."""
    TARGET = "TARGET"
    """It is for another device."""
    EXPIRED = "EXPIRED"
    BARRED = "BARRED"
    """It has failed here before."""
    SIZE = "SIZE"
    """Larger than the slot."""
    LOAD = "LOAD"
    """It does not fit the ABI or the feature profile."""
    DIGEST = "DIGEST"
    """The bytes that came do not have the promised SHA-256."""
    STORAGE = "STORAGE"
    """It could not be written."""
    TIMEOUT = "TIMEOUT"
    """Its bytes came too slowly, or the verdict did."""
    TRIAL = "TRIAL"
    """Stopped, too slow or silent while on trial: rolled back."""
    ABORTED = "ABORTED"
    """By the operator."""
    LINK = "LINK"
    """The device does not answer."""


class FailureType(StrEnum):
    """The kinds of failure that abort criteria tell apart."""

    FAILED = "FAILED"
    """Begun, and not brought to an end."""
    REJECTED = "REJECTED"
    """Refused before anything was written."""
    TIMED_OUT = "TIMED_OUT"


FAILURE_TYPES: Final = {
    UpdateReason.BUSY: FailureType.REJECTED,
    UpdateReason.SIGNATURE: FailureType.REJECTED,
    UpdateReason.ROLLBACK: FailureType.REJECTED,
    UpdateReason.TARGET: FailureType.REJECTED,
    UpdateReason.EXPIRED: FailureType.REJECTED,
    UpdateReason.BARRED: FailureType.REJECTED,
    UpdateReason.SIZE: FailureType.REJECTED,
    UpdateReason.TIMEOUT: FailureType.TIMED_OUT,
}
"""Those that are not plain failures."""


def failure_type(reason: str) -> FailureType:
    """The kind of failure of a reason, known or not."""
    try:
        return FAILURE_TYPES.get(UpdateReason(reason), FailureType.FAILED)
    except ValueError:
        return FailureType.FAILED
