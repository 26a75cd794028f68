"""Errors of the package `twin`; the tree of all stands in `levada.guest.errors`."""

from __future__ import annotations

from levada.guest.errors import LevadaError
from levada.guest.exit_codes import Exit
from levada.guest.text.redaction import redacted
from levada.hil.errors import PayloadError

__all__ = [
    "BufferFullError",
    "CalibrationError",
    "MappingError",
    "PkiError",
    "RolloutBusyError",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreVersionError",
    "TwinError",
    "TwinMismatchError",
    "UnansweredError",
]


class TwinError(LevadaError):
    """Base of the errors of twins, their stores and pages; no message holds a password."""

    exit_code = Exit.BAD_INPUT

    def __init__(self, text: str = "") -> None:
        super().__init__(redacted(text))


class StoreError(TwinError):
    """The store cannot do what was asked."""


class StoreBusyError(StoreError):
    """Another process holds the store."""


class StoreFullError(StoreError):
    """No space is left where the store is."""


class BufferFullError(StoreError):
    """Fog may keep no more rows for a cloud that does not acknowledge any."""

    exit_code = Exit.NODE_OR_LINK


class StoreReadOnlyError(StoreError):
    """The store cannot be written."""


class StoreVersionError(StoreError):
    """The schema of the store is newer than this program, or cannot be migrated."""


class MappingError(TwinError, PayloadError):
    """A foreign payload does not fit its mapping."""


class PkiError(TwinError):
    """The authority cannot do what was asked: a name, a date or a file of it is wrong."""


class RolloutBusyError(TwinError):
    """Another process drives the rollout."""


class CalibrationError(TwinError):
    """A parameter or its value is wrong, or the guest did not take it."""


class UnansweredError(CalibrationError):
    """A calibration was sent, and nobody says whether it is in force."""


class TwinMismatchError(TwinError):
    """A device runs another guest than its twin; names both."""
