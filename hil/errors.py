"""Errors of the package `hil`; the tree of all stands in `levada.guest.errors`."""

from __future__ import annotations

from levada.guest.errors import LevadaError
from levada.guest.exit_codes import Exit
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


class HilError(LevadaError):
    """Base of the errors of devices and their lines; no message holds a password."""

    exit_code = Exit.NODE_OR_LINK

    def __init__(self, text: str = "") -> None:
        super().__init__(redacted(text))


class UsageError(HilError):
    """What is asked for cannot be, whatever the device; says what is permitted."""

    exit_code = Exit.BAD_INPUT


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
