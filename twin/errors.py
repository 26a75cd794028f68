"""Errors of the package `twin`.

TwinError
├── StoreError              the store cannot do what was asked
│   ├── StoreBusyError      another process holds it
│   ├── StoreFullError      no space left
│   ├── StoreReadOnlyError  it cannot be written
│   └── StoreVersionError   its schema is newer than this program
├── MappingError            a foreign payload does not fit its mapping
├── CalibrationError        a parameter or its value is wrong, or was not taken
│   └── UnansweredError     it was sent, and nobody says whether it holds
└── TwinMismatchError       a device runs another guest than its twin
"""

from __future__ import annotations

from levada.guest.text.redaction import redacted
from levada.hil.errors import PayloadError

__all__ = [
    "CalibrationError",
    "MappingError",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreVersionError",
    "TwinError",
    "TwinMismatchError",
    "UnansweredError",
]


class TwinError(Exception):
    """Base of all errors of this package; no message holds a password."""

    def __init__(self, text: str = "") -> None:
        super().__init__(redacted(text))


class StoreError(TwinError):
    """The store cannot do what was asked."""


class StoreBusyError(StoreError):
    """Another process holds the store."""


class StoreFullError(StoreError):
    """No space is left where the store is."""


class StoreReadOnlyError(StoreError):
    """The store cannot be written."""


class StoreVersionError(StoreError):
    """The schema of the store is newer than this program, or cannot be migrated."""


class MappingError(TwinError, PayloadError):
    """A foreign payload does not fit its mapping."""


class CalibrationError(TwinError):
    """A parameter or its value is wrong, or the guest did not take it."""


class UnansweredError(CalibrationError):
    """A calibration was sent, and nobody says whether it is in force."""


class TwinMismatchError(TwinError):
    """A device runs another guest than its twin; names both."""
