"""A module and its envelope as files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from levada.guest.errors import ManifestError, ModuleError
from levada.guest.module.inspect import inspect
from levada.guest.signing.envelope import Envelope
from levada.hil.update.package import ModulePackage

__all__ = ["ENVELOPE_SUFFIX", "envelope_file", "read_package"]

ENVELOPE_SUFFIX: Final = ".envelope"
"""What `levada guest sign` adds to the name of the module's file."""


def envelope_file(module: Path) -> Path:
    """Where the envelope of a module is looked for."""
    return module.with_name(module.name + ENVELOPE_SUFFIX)


def read_package(module: Path, envelope: Path | None = None) -> ModulePackage:
    """Module and envelope, if there is one; nothing is verified.

    Raises OSError, and ManifestError for an envelope that cannot be read.
    """
    data = module.read_bytes()
    file = envelope or envelope_file(module)
    signed = file.read_bytes() if envelope is not None or file.is_file() else b""
    name, version, counter = module.stem, "", None
    if signed:
        try:
            manifest = Envelope.decode(signed).manifest
        except ManifestError as error:
            raise ManifestError(f"{file}: {error}") from None
        name, version, counter = manifest.name, manifest.version, manifest.counter
    else:
        try:
            metadata = inspect(data).metadata
        except ModuleError:
            metadata = None  # the gate says what is wrong with it
        if metadata is not None:
            name, version = metadata.name, metadata.version
    return ModulePackage(module=data, envelope=signed, name=name, version=version, counter=counter)
