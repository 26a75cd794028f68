"""What is sent to a device: a module, and the signed envelope that says what it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

__all__ = ["ModulePackage", "transfer_id"]


def transfer_id(sha256: str, envelope: bytes) -> str:
    """Of the SHA-256 of a module, as hexadecimal digits, and its envelope."""
    return hashlib.sha256(bytes.fromhex(sha256) + envelope).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class ModulePackage:
    """A module as it is sent; without an envelope only devices without keys take it."""

    module: bytes
    name: str = ""
    version: str = ""
    counter: int | None = None
    """Of the signed manifest; None: it is not signed."""
    envelope: bytes = b""

    @cached_property
    def sha256(self) -> str:
        """Of the module, as hexadecimal digits."""
        return hashlib.sha256(self.module).hexdigest()

    @cached_property
    def id(self) -> str:
        """Of module and envelope together: who sends the same goes on where the other left off."""
        return transfer_id(self.sha256, self.envelope)

    @property
    def label(self) -> str:
        """Name and version, for people."""
        return f"{self.name} {self.version}".strip() or "unnamed"
