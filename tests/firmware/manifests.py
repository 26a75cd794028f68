"""Envelopes for tests, sound and damaged, and what a manifest says as unit_manifest.c shows it."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from levada.guest.errors import ManifestError
from levada.guest.signing.envelope import DOMAIN, ENVELOPE_BYTES, Envelope, raw_public, sign
from levada.guest.signing.manifest import COUNTER_MOST, Manifest

KEYS: Final = tuple(Ed25519PrivateKey.from_private_bytes(bytes([k]) * 32) for k in (1, 2, 3))
PUBLIC: Final = tuple(map(raw_public, KEYS))

PLAIN: Final = Manifest(
    counter=7,
    name="irrigation",
    version="1.0.0",
    size=5_231,
    sha256=bytes(range(32)),
    schema=bytes(range(100, 108)),
)
LARGE: Final = Manifest(
    counter=COUNTER_MOST,
    name="n" * 32,
    version="v" * 32,
    target="zône 1" + "t" * 25,
    abi=COUNTER_MOST,
    tiers=7,
    profile=COUNTER_MOST,
    size=COUNTER_MOST,
    sha256=b"\xff" * 32,
    schema=b"\xff" * 8,
    expiry_s=COUNTER_MOST,
    nonce=b"\xff" * 16,
)
SMALL: Final = replace(PLAIN, counter=1, name="n", version="v", size=1, abi=1, tiers=1)
SOUND: Final = (
    PLAIN,
    SMALL,
    LARGE,
    replace(PLAIN, counter=23, size=24, expiry_s=1_800_000_000, target="zone1"),
    replace(PLAIN, counter=255, size=256, nonce=bytes(16), target="a b"),
    replace(PLAIN, counter=65_535, size=65_536, expiry_s=1, nonce=b"0123456789abcdef"),
    replace(PLAIN, target="\u0080\u00c0", name="~", version=" "),
)


def shown(m: Manifest) -> bytes:
    """The fields as unit_manifest.c writes them."""
    numbers = (m.counter, m.abi, m.tiers, m.profile, m.size, m.expiry_s or 0)
    texts = b"".join(t.encode().ljust(33, b"\0") for t in (m.name, m.version, m.target))
    rest = m.sha256 + m.schema + bytes([m.nonce is not None]) + (m.nonce or bytes(16))
    return struct.pack("<6I", *numbers) + texts + rest


def damaged(envelope: bytes, source: random.Random) -> Iterator[bytes]:
    """Cut, lengthened, and changed at every byte."""
    for at in range(len(envelope)):
        yield envelope[:at]
        yield envelope[:at] + envelope[at + 1 :]
        yield envelope[:at] + source.randbytes(1) + envelope[at:]
        for change in (0x01, 0x20, 0x80, source.randrange(1, 256)):
            yield envelope[:at] + bytes([envelope[at] ^ change]) + envelope[at + 1 :]
    yield envelope + b"\0"


def reencoded(manifest: bytes) -> Iterator[bytes]:
    """The same manifest by other encodings than the canonical one, or with other members."""
    yield b"\xb8" + bytes([manifest[0] & 0x1F]) + manifest[1:]  # the count in two bytes
    yield b"\xbf" + manifest[1:] + b"\xff"  # of indefinite length
    yield manifest[:1] + manifest[3:5] + manifest[1:3] + manifest[5:]  # another order
    yield manifest[:2] + b"\x18\x01" + manifest[3:]  # a number longer than it need be
    yield manifest[:2] + b"\x19\x00\x01" + manifest[3:]
    yield manifest[:2] + b"\x1a\x00\x00\x00\x01" + manifest[3:]
    yield manifest[:2] + b"\x1b" + bytes(7) + b"\x01" + manifest[3:]
    yield manifest[:2] + b"\xf9\x3c\x00" + manifest[3:]  # 1.0
    yield manifest[:2] + b"\xf5" + manifest[3:]  # true
    yield manifest[:1] + b"\xf5" + manifest[2:]
    yield manifest[:3] + b"\xf9\x40\x00" + manifest[4:]  # 2.0
    yield manifest[:2] + b"\xc2\x41\x01" + manifest[3:]  # a big number of one byte
    yield bytes([manifest[0] + 1]) + manifest + b"\x2b\x01"  # an unknown label
    yield bytes([manifest[0] + 1]) + manifest[1:] + b"\x2b\x01"
    yield bytes([manifest[0] + 1]) + manifest[1:] + b"\x29\x01"  # and labels once more
    yield bytes([manifest[0] + 1]) + manifest[1:] + b"\x2a" + b"\x50" + bytes(16)
    yield b"\xd8\x2a" + manifest  # a tag
    # 65,536 in eight bytes, and a number of more than 32 bits that ends like a sound one
    for high in (0, 1):
        longer = b"\x26\x1b" + high.to_bytes(4, "big") + b"\0\1\0\0"
        yield manifest.replace(b"\x26\x1a\0\1\0\0", longer)
    yield manifest.replace(b"\x61*", b"\x61\x7f").replace(b"\x61g", b"\x61\x1f")
    yield manifest.replace(b"\x61*", b"\x61\xff")
    yield from (manifest[:length] for length in range(len(manifest)))


def altered() -> Iterator[bytes]:
    """Canonical, each with a value that no manifest has, or without one that all have."""
    sound: dict[int, Any] = cbor2.loads(SOUND[5].encode())
    wrong: dict[int, tuple[Any, ...]] = {
        1: (0, 2, -1, "1", None),
        2: (0, 2**32, -1, b"1"),
        -8: (bytes(31), bytes(33), "t" * 32),
        -9: (bytes(7), bytes(9)),
        -10: (0, 2**32, None, 1.5),
        -11: (bytes(15), bytes(17), b"", None),
    }
    wrong |= dict.fromkeys((-1, -2, -3), ("", "n" * 33, "n" * 255, "n" * 300, b"name", 1))
    wrong |= dict.fromkeys((-4, -6, -7), (0, 2**32, -1, [1], {}))
    wrong[-5] = (0, 8, 255)
    for label, values in wrong.items():
        for value in values:
            yield cbor2.dumps(sound | {label: value}, canonical=True)
        yield cbor2.dumps({k: v for k, v in sound.items() if k != label}, canonical=True)


def three() -> Envelope:
    """One signature more than there may be, each of another key."""
    found = [sign(PLAIN, key).signatures[0] for key in KEYS]
    return replace(sign(PLAIN, KEYS[0]), signatures=tuple(found))


def verdicts() -> Iterator[tuple[bytes, bytes]]:
    """Envelopes, and what is shown of their manifests, nothing if they are refused."""
    source = random.Random(14)
    for number, manifest in enumerate(SOUND):
        keys = KEYS[: 1 + number % 2]
        envelope = sign(manifest, *keys)
        found = [envelope.encode()]
        if number in (0, 2, 5):
            found += damaged(envelope.encode(), source)
        found += [replace(envelope, signed=s).encode() for s in reencoded(manifest.encode())]
        for count in (0, 3):
            found.append(replace(envelope, signatures=envelope.signatures[:1] * count).encode())
        for data in found:
            yield data, expected(data)
    padded = replace(sign(PLAIN, KEYS[0]), signed=bytes(ENVELOPE_BYTES)).encode()
    yield padded, b""
    for data in altered():
        whole = replace(sign(PLAIN, KEYS[0]), signed=data).encode()
        yield whole, expected(whole)
    yield three().encode(), b""


def expected(data: bytes) -> bytes:
    """What Python reads, as it is shown; nothing if it refuses."""
    try:
        return shown(Envelope.decode(data).manifest)
    except ManifestError:
        return b""


def signed() -> Iterator[tuple[bytes, ...]]:
    """Public key, the message, its signature by cryptography, the envelope, what is shown."""
    for number, manifest in enumerate(SOUND):
        key = KEYS[number % 3]
        envelope = sign(manifest, key)
        message = DOMAIN + envelope.signed
        signature = envelope.signatures[0][1]
        yield raw_public(key), message, signature, envelope.encode(), shown(manifest)
