"""What a virtual device is asked to do wrong; part of the table of `levada.hil.wire.messages`."""

from __future__ import annotations

from enum import IntEnum

from levada.hil.wire.message import U8, U32, Message, message_type

__all__ = ["Fault", "FaultKind", "FaultPoint"]


class FaultKind(IntEnum):
    """What the virtual device is asked to do wrong."""

    NONE = 0
    RESET = 1
    """Power cut; argument: unused."""
    SLOW = 2
    """Wait; argument: ms."""
    CORRUPT = 3
    """Flip one bit of the answer; argument: bit number modulo length."""
    DROP = 4
    """Do not send the answer."""
    CONSOLE = 5
    """Write a line of text before the answer."""
    HANG = 6
    """Stop serving, so that the watchdog bites."""


class FaultPoint(IntEnum):
    """Where in the life of a request a fault strikes."""

    RECEIVED = 0
    """Before it is executed."""
    CALL = 1
    """At a host call of the guest."""
    EXECUTED = 2
    """Before the answer is sent."""
    HALF_SENT = 3
    """After half of the answer's bytes."""
    SENT = 4
    """After the answer."""
    FLASH_BEFORE = 5
    """Before a write of flash."""
    FLASH_HALF = 6
    """After half of its bytes."""
    FLASH_AFTER = 7


@message_type(0x10)
class Fault(Message):
    """Ask the virtual device to fail.  Answer: `Ack`; a board refuses it."""

    kind: U8
    """FaultKind."""
    point: U8
    """FaultPoint."""
    after: U32
    """How many such points to let pass first, beginning with the next request."""
    argument: U32
    """Depends on the kind."""
