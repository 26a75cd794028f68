"""Errors of the package `twin`.

TwinError
├── StoreError              the store cannot do what was asked
│   ├── StoreBusyError      another process holds it
│   ├── StoreFullError      no space left
│   ├── StoreReadOnlyError  it cannot be written
│   └── StoreVersionError   its schema is newer than this program
├── BrokerError             the broker cannot be started or reached
│   └── ClientIdTakenError  somebody else uses our client id
├── PayloadError            a message outside the contract
│   └── MappingError        a mapping of foreign payloads is wrong
├── CalibrationError        a parameter or its value is wrong, or was not taken
└── TwinMismatchError       a device runs another guest than its twin
"""

from __future__ import annotations

__all__ = [
    "BrokerError",
    "CalibrationError",
    "ClientIdTakenError",
    "MappingError",
    "PayloadError",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreVersionError",
    "TwinError",
    "TwinMismatchError",
]


class TwinError(Exception):
    """Base of all errors of this package."""


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


class BrokerError(TwinError):
    """The broker cannot be started or reached."""


class ClientIdTakenError(BrokerError):
    """Another client uses the same client id, and the two would push each other out for ever."""


class PayloadError(TwinError):
    """A message outside the contract; says which field, its value and what is permitted."""


class MappingError(PayloadError):
    """A mapping of foreign payloads is wrong, or does not fit the payload."""


class CalibrationError(TwinError):
    """A parameter or its value is wrong, or the guest did not take it."""


class TwinMismatchError(TwinError):
    """A device runs another guest than its twin; names both."""
