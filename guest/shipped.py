"""The guests that come with levada."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

__all__ = ["DEFAULT_GUEST", "SHIPPED_GUESTS"]

_FOLDER: Final = Path(str(files("levada.guest")))

SHIPPED_GUESTS: Final = {name: _FOLDER / name / f"{name}.wasm" for name in ("irrigation", "et")}
"""Name and module of each: `irrigation` waters by a probe, `et` by weather."""
DEFAULT_GUEST: Final = SHIPPED_GUESTS["irrigation"]
"""Module of `guest/irrigation/irrigation.c`."""
