"""What is sent, from a file and the signed manifest beside it."""

from __future__ import annotations

from pathlib import Path

from levada.guest.errors import ModuleError
from levada.guest.module.inspect import inspect
from levada.guest.signing.module_file import read_envelope
from levada.hil.update.package import ModulePackage

__all__ = ["read_package"]


def read_package(module: Path) -> ModulePackage:
    """The module in a file, with its envelope if there is one; nothing is verified.

    Raises OSError, and ManifestError for an envelope that cannot be read.
    """
    data = module.read_bytes()
    envelope = read_envelope(module)
    if envelope is not None:
        manifest = envelope.manifest
        return ModulePackage(
            module=data,
            envelope=envelope.encode(),
            name=manifest.name,
            version=manifest.version,
            counter=manifest.counter,
        )
    try:
        metadata = inspect(data).metadata
    except ModuleError:
        metadata = None  # the gate says what is wrong with it
    if metadata is None:
        return ModulePackage(module=data, name=module.stem)
    return ModulePackage(module=data, name=metadata.name, version=metadata.version)
