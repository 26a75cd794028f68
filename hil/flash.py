"""Bringing firmware and guest onto an ESP32 with esptool (the extra `flash`).

A guest slot is a data partition: the module from its beginning, the rest of 64 KiB empty, and in
the sector behind it a label that says how long the module is and what its SHA-256 is
(firmware/port/esp-idf/main/flash.c).  The board adopts it at its next start, so a guest can be
changed over the boot loader's cable while the firmware does not run.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from levada.guest.children import run_child
from levada.guest.module.inspect import inspect
from levada.guest.text.json_text import parse
from levada.hil.errors import HilError, UsageError
from levada.hil.virtual import FIRMWARE

__all__ = ["SLOT_BYTES", "flash", "flash_arguments", "partition_offset", "slot_image"]

SLOT_BYTES: Final = 65_536
PARTITIONS: Final = FIRMWARE / "port" / "esp-idf" / "partitions.csv"
FLASH_ARGUMENTS: Final = "flasher_args.json"
"""What an ESP-IDF build leaves: which file goes where."""


def slot_image(module: bytes) -> bytes:
    """The bytes of a guest partition up to its label; raises GuestError for what is no guest."""
    inspect(module).require()
    if len(module) > SLOT_BYTES:
        raise UsageError(f"the guest has {len(module)} bytes, a slot takes {SLOT_BYTES}")
    label = b"lvsl" + struct.pack("<I", len(module)) + hashlib.sha256(module).digest()
    return module.ljust(SLOT_BYTES, b"\xff") + label + struct.pack("<I", zlib.crc32(label))


def partition_offset(name: str, table: Path = PARTITIONS) -> int:
    """Where a partition begins, by the table of the firmware."""
    with table.open(encoding="utf-8") as file:
        rows = csv.reader(line for line in file if not line.startswith("#"))
        offsets = {row[0].strip(): int(row[3], 0) for row in rows if len(row) > 3}
    if name not in offsets:
        raise HilError(f"{table}: no partition `{name}`: there are {', '.join(offsets)}")
    return offsets[name]


def flash_arguments(build: Path) -> list[tuple[int, Path]]:
    """Offset and file of everything that an ESP-IDF build wants flashed."""
    try:
        table = parse((build / FLASH_ARGUMENTS).read_text("utf-8"))["flash_files"]
        return sorted((int(offset, 0), build / file) for offset, file in table.items())
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"{build} is no finished ESP-IDF build ({FLASH_ARGUMENTS}: {error}); "
            "docs/hardware.md says how to build"
        ) from None


def flash(
    port: str,
    *,
    build: Path | None = None,
    guest: bytes | None = None,
    slot: int = 0,
    chip: str = "auto",
    baud: int = 460_800,
    options: Sequence[str] = (),
) -> None:
    """Write a firmware build, a guest, or both, and verify; esptool's output is shown as it comes.

    Raises UsageError if there is nothing to flash or no esptool, HilError if esptool fails, with
    what to try then.
    """
    if build is None and guest is None:
        raise UsageError("nothing to flash: give a firmware build, a guest, or both")
    if importlib.util.find_spec("esptool") is None:
        raise UsageError(
            "flashing needs esptool: in the clone, .venv/bin/python -m pip install -e '.[flash]'"
        )
    with TemporaryDirectory() as folder:
        parts = [] if build is None else flash_arguments(build)
        if guest is not None:
            image = Path(folder) / f"guest{slot}.bin"
            image.write_bytes(slot_image(guest))
            parts.append((partition_offset(f"guest{slot}"), image))
        command = [sys.executable, "-m", "esptool", "--chip", chip, "--port", port]
        command += ["--baud", str(baud), *options, "write-flash"]
        for offset, file in parts:
            command += [hex(offset), str(file)]
        done = run_child(command)
    if done.returncode:
        raise HilError(
            f"esptool could not write to {port} (exit {done.returncode}). If it does not connect: "
            "hold BOOT, press EN once, release BOOT, and try again; close every other program that "
            "has the port; try a lower --baud"
        )
