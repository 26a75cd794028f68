"""Files that are replaced as a whole; those that hold a secret only their owner can read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["replace_file", "sync_folder", "write_private", "write_private_bytes"]


def write_private(path: Path, data: Mapping[str, Any]) -> None:
    """Write `data` as JSON, in place of what was there."""
    write_private_bytes(path, json.dumps(data).encode())


def write_private_bytes(path: Path, data: bytes) -> None:
    """Replace a file by one that only its owner can read, from the first byte on."""
    replace_file(path, data, 0o600)


def replace_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Put a file in the place of the old one: after a crash, or a power cut, it is the old one as a
    whole or the new one.  Raises OSError that names the file."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # a full disk names none
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk, as those of new and renamed files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
