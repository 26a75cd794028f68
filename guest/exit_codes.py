"""Exit codes of `levada`; every error of ours carries the one it ends the program with."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["INTERRUPTED", "Exit"]


class Exit(IntEnum):
    """Exit codes of `levada`."""

    PASS = 0
    EXPECTATION_FAILED = 1
    BAD_INPUT = 2
    INTERNAL = 3
    NODE_OR_LINK = 4
    NOTHING_RAN = 5


INTERRUPTED: Final = 130
"""By Ctrl-C, as shells have it, and alike by SIGTERM or SIGHUP."""
