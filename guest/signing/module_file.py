"""A signed module: `NAME.wasm`, and its envelope beside it as `NAME.wasm.manifest`.

Two files, so that the module stays what every tool of WebAssembly reads, and keeps its digest.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from levada.guest.errors import ManifestError
from levada.guest.module.inspect import ModuleInfo
from levada.guest.signing.envelope import DOMAIN, ENVELOPE_BYTES, Envelope, key_id, signature_holds
from levada.guest.signing.manifest import ANY_TARGET, Manifest, schema_digest

__all__ = ["manifest_path", "read_envelope", "require_matching", "require_target", "said"]

SUFFIX: Final = ".manifest"


def manifest_path(module: Path) -> Path:
    """Where the envelope of a module lies."""
    return module.with_name(module.name + SUFFIX)


def read_envelope(module: Path) -> Envelope | None:
    """The envelope beside a module, None if there is none; ManifestError if it is malformed."""
    path = manifest_path(module)
    try:
        found = path.stat()
        if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
            raise ManifestError(f"{path}: is no file")  # it may never end
        if found.st_size > ENVELOPE_BYTES and stat.S_ISREG(found.st_mode):
            raise ManifestError(f"{path}: {found.st_size} bytes, at most {ENVELOPE_BYTES}")
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from error
    try:
        envelope = Envelope.decode(data)
        envelope.manifest  # noqa: B018 - malformed within is malformed
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error
    return envelope


def require_matching(manifest: Manifest, info: ModuleInfo) -> None:
    """Raise ManifestError unless the manifest is that of this module, in everything it says."""
    metadata = info.metadata
    pairs = {
        "SHA-256": (manifest.sha256.hex(), info.sha256),
        "size": (manifest.size, info.size),
        "name": (manifest.name, metadata.name if metadata else None),
        "version": (manifest.version, metadata.version if metadata else None),
        "parameter schema": (manifest.schema.hex(), schema_digest(info).hex()),
        "tiers": (", ".join(manifest.tier_names), ", ".join(info.tiers)),
    }
    wrong = [
        f"{what}: the manifest says {signed}, the module has {found}"
        for what, (signed, found) in pairs.items()
        if signed != found
    ]
    if wrong:
        raise ManifestError("the manifest is that of another module: " + "; ".join(wrong))


def require_target(manifest: Manifest, node: str) -> None:
    """Raise ManifestError unless the module is for that node."""
    if manifest.target not in (ANY_TARGET, node):
        raise ManifestError(f"the module is signed for node {manifest.target}, not for {node}")


def said(envelope: Envelope, trusted: Sequence[bytes], now: datetime) -> list[tuple[str, str]]:
    """What an envelope says, line by line; a signature is verified by the keys that are given."""
    manifest = envelope.manifest
    rows = [
        ("signed by", _signers(envelope, trusted)),
        ("release", f"{manifest.name} {manifest.version}, counter {manifest.counter}"),
        ("for", _audience(manifest)),
    ]
    if manifest.expiry_s is not None:
        rows.append(("expires", _expiry(manifest.expiry_s, now)))
    if manifest.nonce is not None:
        rows.append(("answers", f"request {manifest.nonce.hex()}, and no other"))
    return rows


def _signers(envelope: Envelope, trusted: Sequence[bytes]) -> str:
    by_id = {key_id(public): public for public in trusted}
    names = []
    for key, signature in envelope.signatures:
        public = by_id.get(key)
        if not trusted:
            state = "not verified"
        elif public is None:
            state = "not trusted"
        else:
            holds = signature_holds(signature, DOMAIN + envelope.signed, public)
            state = "holds" if holds else "does not hold"
        names.append(f"key {key.hex()}: {state}")
    return ", ".join(names)


def _audience(manifest: Manifest) -> str:
    who = "every node" if manifest.target == ANY_TARGET else f"node {manifest.target}"
    return (
        f"{who}; ABI {manifest.abi}, {', '.join(manifest.tier_names)}, profile {manifest.profile}"
    )


def _expiry(expiry_s: int, now: datetime) -> str:
    when = datetime.fromtimestamp(expiry_s, UTC)
    over = " (over)" if when < now else ""
    return f"{when:%Y-%m-%d %H:%M} UTC{over}"
