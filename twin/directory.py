"""A directory that one command has for itself."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from levada.twin.errors import StoreBusyError

__all__ = ["held"]


@contextmanager
def held(where: Path, busy: str) -> Iterator[None]:
    """The directory for ourselves; the kernel gives it back whatever ends us.

    Raises StoreBusyError, which says `busy`, if somebody else has it.
    """
    descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreBusyError(busy) from None
        yield
    finally:
        os.close(descriptor)
