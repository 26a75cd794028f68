"""Which serial ports there are, and which of them a levada device answers on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serial.tools import list_ports

from levada.hil.errors import HilError
from levada.hil.line.serial_port import Port
from levada.hil.link import Link, Patience
from levada.hil.wire.messages import Birth

__all__ = ["FoundPort", "find_ports", "say_hello"]

USB_CHIPS: Final = {
    (0x303A, 0x1001): "ESP32 USB-Serial/JTAG",
    (0x10C4, 0xEA60): "CP210x",
    (0x1A86, 0x7523): "CH340",
    (0x1A86, 0x55D4): "CH9102",
    (0x0403, 0x6001): "FT232R",
    (0x0403, 0x6010): "FT2232H",
}
"""Vendor and product of the USB bridges on ESP32 boards."""

SHORT: Final = Patience(least_s=0.5, most_s=0.5, tries=2, reopen_s=0.0)
"""A board that was reset by opening its port boots meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundPort:
    """A serial port of this computer."""

    device: str
    description: str
    bridge: str
    """USB bridge, if it is one found on ESP32 boards."""
    serial_number: str
    birth: Birth | None
    """What a levada device there answered; None if it was not asked or there is none."""
    trouble: str = ""
    """Why it could not be asked."""


def find_ports(*, ask: bool = False, baud: int = 921_600) -> list[FoundPort]:
    """All ports, USB bridges of ESP32 boards first.

    With `ask` each of those is opened, which resets most boards, and greeted.
    """
    found = []
    for port in list_ports.comports():
        bridge = USB_CHIPS.get((port.vid or 0, port.pid or 0), "")
        birth, trouble = None, ""
        if ask and bridge:
            try:
                birth = say_hello(port.device, baud)
            except HilError as error:
                trouble = str(error)
        found.append(
            FoundPort(
                device=port.device,
                description=port.description or "",
                bridge=bridge,
                serial_number=port.serial_number or "",
                birth=birth,
                trouble=trouble,
            )
        )
    return sorted(found, key=lambda port: (not port.bridge, port.device))


def say_hello(url: str, baud: int = 921_600) -> Birth:
    """Who answers at a port; raises LinkError if nobody does."""
    link = Link(Port(url, baud=baud), patience=SHORT)
    try:
        return link.hello()
    finally:
        link.close()
