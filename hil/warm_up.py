"""What the first run against a device would wait for, done beforehand: `python -m
levada.hil.warm_up`.

Builds the virtual board and compiles what talks to it.  Where that cannot be, it says what is
missing; nothing else needs it.
"""

from __future__ import annotations

import sys
from typing import Final

from levada.hil.errors import HilError
from levada.hil.link import Link
from levada.hil.virtual import VirtualDevice

__all__ = ["main", "warm_up"]

NEXT: Final = ".venv/bin/levada twin quickstart --node virtual --speed 600x"


def warm_up() -> str:
    """Who the virtual board is; raises HilError if there can be none."""
    with VirtualDevice() as device:
        link = Link(device.port())
        birth = link.hello()
        link.close()
    return f"{birth.engine}, {birth.firmware}"


def main() -> None:
    """Say what is ready, or what is missing for it."""
    try:
        sys.stdout.write(f"virtual board ready: {warm_up()}; try  {NEXT}\n")
    except HilError as error:
        sys.stdout.write(f"no virtual board: {error}\n")


if __name__ == "__main__":
    main()
