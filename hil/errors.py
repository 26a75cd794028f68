"""Errors of the package `hil`.

HilError
├── UsageError                  what is asked for cannot be, whatever the device
├── LinkError                   the device does not answer, or the port is gone
│   └── BrokerError             the broker cannot be started or reached
│       └── ClientIdTakenError  somebody else uses our client id
├── DeviceError                 the device answered, and refused
├── DeviceRestarted             the device has started again in the middle of a session
└── PayloadError                an MQTT message outside the contract
"""

from __future__ import annotations

from levada.guest.text.redaction import redacted

__all__ = [
    "BrokerError",
    "ClientIdTakenError",
    "DeviceError",
    "DeviceRestarted",
    "HilError",
    "LinkError",
    "PayloadError",
    "UsageError",
]


class HilError(Exception):
    """Base of the errors of this package; no message holds a password."""

    def __init__(self, text: str = "") -> None:
        super().__init__(redacted(text))


class UsageError(HilError):
    """What is asked for cannot be, whatever the device; says what is permitted."""


class LinkError(HilError):
    """The device does not answer, or the port is gone; says what was tried."""


class BrokerError(LinkError):
    """The broker cannot be started or reached."""


class ClientIdTakenError(BrokerError):
    """Another client uses the same client id, and the two would push each other out for ever."""


class DeviceError(HilError):
    """The device refused a request; `error` is its `levada.hil.wire.messages.NakError`, by
    number."""

    def __init__(self, text: str, error: int, detail: int) -> None:
        super().__init__(text)
        self.error = error
        self.detail = detail


class DeviceRestarted(HilError):  # noqa: N818 - an event rather than a fault
    """The device has started again: what it knew of the guest is gone, its outputs are closed."""


class PayloadError(HilError):
    """A message outside the contract; says which field, its value and what is permitted."""
