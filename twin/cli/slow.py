"""What is said when something takes longer than usual."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer

__all__ = ["said_if_slow"]

_AFTER_S: Final = 3.0


@contextmanager
def said_if_slow(text: str, after_s: float = _AFTER_S) -> Iterator[Callable[[], None]]:
    """Say `text` on standard error, unless the block ends, or what is given is called, before."""
    timer = threading.Timer(after_s, lambda: typer.echo(text, err=True))
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()
