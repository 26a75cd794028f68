"""The envelope: a manifest with the signatures of one or two keys.

A signature is Ed25519 (RFC 8032) over `DOMAIN` and the bytes of the manifest.  `verify` accepts
what a device accepts: neither a key nor an R of small order, whatever the library behind it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from levada.guest.errors import ManifestError, SignatureError
from levada.guest.signing.manifest import Manifest, labelled

__all__ = [
    "DOMAIN",
    "ENVELOPE_BYTES",
    "KEY_BYTES",
    "KEY_ID_BYTES",
    "Envelope",
    "key_id",
    "raw_public",
    "sign",
    "signature_holds",
]

DOMAIN: Final = b"levada-manifest-1\0"
"""Before the bytes that are signed: no other signature of the key can stand for one of these."""
ENVELOPE_BYTES: Final = 512
"""Most that a device reads."""
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
SIGNATURE_BYTES: Final = 64
SIGNATURES_MOST: Final = 2
SIGNATURES, MANIFEST = 2, 3  # suit-authentication-wrapper, suit-manifest

_P: Final = 2**255 - 19
_Y8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})
"""y of the eight points whose order divides 8: (0, 1), (0, -1), (+-sqrt(-1), 0), and of order 8."""


def key_id(public: bytes) -> bytes:
    """By which an envelope names a key."""
    return hashlib.sha256(public).digest()[:KEY_ID_BYTES]


def raw_public(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes that a device gets."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def signature_holds(signature: bytes, message: bytes, public: bytes) -> bool:
    """Whether a signature of Ed25519 over a message holds, as every port of the firmware says."""
    if len(signature) != SIGNATURE_BYTES or not _is_sound(public) or not _is_sound(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _is_sound(point: bytes) -> bool:
    """Whether the encoding is canonical, y below 2^255 - 19, and not of a point of small order."""
    y = int.from_bytes(point, "little") & ~(1 << 255)
    return y < _P and y not in _SMALL_ORDER_Y


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A manifest as it came, and who says to have signed it."""

    signatures: tuple[tuple[bytes, bytes], ...]
    """Key id and signature."""
    signed: bytes
    """The manifest's bytes."""

    @property
    def manifest(self) -> Manifest:
        """What was signed; ManifestError if it is malformed."""
        return Manifest.decode(self.signed)

    def encode(self) -> bytes:
        """Its canonical CBOR."""
        signatures = [list(pair) for pair in self.signatures]
        return cbor2.dumps({SIGNATURES: signatures, MANIFEST: self.signed}, canonical=True)

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """From its canonical CBOR; ManifestError for any other bytes.  Nothing is verified."""
        if not data:
            raise ManifestError("the envelope is empty: nothing is signed")
        if len(data) > ENVELOPE_BYTES:
            raise ManifestError(f"the envelope: {len(data)} bytes, at most {ENVELOPE_BYTES}")
        found = labelled(data, "the envelope")
        if set(found) != {SIGNATURES, MANIFEST}:
            raise ManifestError("the envelope: must be a map of signatures (2) and manifest (3)")
        pairs, signed = found[SIGNATURES], found[MANIFEST]
        if not isinstance(pairs, list) or not 1 <= len(pairs) <= SIGNATURES_MOST:
            raise ManifestError(f"the envelope: must have 1 to {SIGNATURES_MOST} signatures")
        if not isinstance(signed, bytes):
            raise ManifestError("the envelope: the manifest must be a byte string")
        signatures = tuple(_pair(pair) for pair in pairs)
        if len({key for key, _ in signatures}) < len(signatures):
            raise ManifestError("the envelope: two signatures name the same key")
        return cls(signatures=signatures, signed=signed)

    def verify(self, trusted: Sequence[bytes]) -> bytes:
        """The first of these public keys that has signed it; SignatureError if none has."""
        by_id = dict(self.signatures)
        for public in trusted:
            signature = by_id.get(key_id(public))
            if signature and signature_holds(signature, DOMAIN + self.signed, public):
                return public
        theirs = ", ".join(key.hex() for key in by_id)
        ours = ", ".join(key_id(public).hex() for public in trusted) or "none"
        known = [public for public in trusted if key_id(public) in by_id]
        why = "the signature does not hold" if known else "no trusted key has signed it"
        raise SignatureError(f"{why}: signed by key {theirs}; trusted are {ours}")


def _pair(pair: object) -> tuple[bytes, bytes]:
    match pair:
        case [bytes(key), bytes(signature)] if (
            len(key) == KEY_ID_BYTES and len(signature) == SIGNATURE_BYTES
        ):
            return key, signature
    raise ManifestError(
        f"the envelope: a signature must be a key id of {KEY_ID_BYTES} bytes and "
        f"{SIGNATURE_BYTES} bytes"
    )


def sign(manifest: Manifest, *keys: Ed25519PrivateKey) -> Envelope:
    """The manifest with the signatures of one or two keys."""
    if not 1 <= len(keys) <= SIGNATURES_MOST:
        raise ValueError(f"{len(keys)} keys: 1 to {SIGNATURES_MOST} sign")
    signed = manifest.encode()
    return Envelope(
        signatures=tuple((key_id(raw_public(k)), k.sign(DOMAIN + signed)) for k in keys),
        signed=signed,
    )
