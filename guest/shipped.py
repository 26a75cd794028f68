"""The guest that comes with levada."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

__all__ = ["DEFAULT_GUEST"]

DEFAULT_GUEST: Final = Path(str(files("levada.guest"))) / "irrigation" / "irrigation.wasm"
"""Module of `guest/irrigation/irrigation.c`."""
