"""A file beside a database that is given back when the disk is full: even deleting needs room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from levada.twin.store.place import PRIVATE

__all__ = ["Reserve", "free_bytes"]


class Reserve:
    """`size` bytes beside the database in `file`; 0: none."""

    def __init__(self, file: Path, size: int) -> None:
        self._file = file
        self._path = file.with_name(file.name + ".reserve")
        self._size = size

    def make(self) -> bool:
        """Whether it is there, or could be made with as much room left beside it."""
        if not self._size or (self._path.exists() and self._path.stat().st_size == self._size):
            return True
        if free_bytes(self._file) < 2 * self._size:
            return False
        self._path.unlink(missing_ok=True)
        try:
            made = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
            with open(made, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:  # a quota, which the file system does not tell of
            self._path.unlink(missing_ok=True)
            return False
        return True

    def release(self) -> None:
        """The disk is full: give it back."""
        self._path.unlink(missing_ok=True)


def free_bytes(file: Path) -> int:
    """Bytes that the file system of `file` has left."""
    try:
        status = os.statvfs(file.parent)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return 0
        raise
    return status.f_bavail * status.f_frsize
