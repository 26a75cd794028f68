"""How things are ended: what `close` ends, `with` ends; a child ends when its input does."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, Self

__all__ = ["Closing", "end_process"]


class Closing(ABC):
    """Something to be closed; a `with` block does it, however it is left."""

    @abstractmethod
    def close(self) -> None:
        """Release what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def end_process(process: subprocess.Popen[Any], patience_s: float) -> None:
    """End a child that ends with its standard input; kill it if it has not in time."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # it may have ended already
            process.stdin.close()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
