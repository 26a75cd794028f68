"""What a module is, in the few bytes that are signed: `Manifest`, and its canonical CBOR.

The shape is that of SUIT (draft-ietf-suit-manifest), with its labels where it has one and negative
private ones for the rest; it is no SUIT manifest, whose commands a board of this size need not
interpret.  Encoding is deterministic (RFC 8949, section 4.2.1), and only that encoding is read:
`firmware/core/manifest.c` reads the same bytes, and no others.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from typing import Any, Final

import cbor2

from levada.guest.abi import ABI_VERSION
from levada.guest.errors import ManifestError
from levada.guest.module.inspect import ModuleInfo
from levada.guest.module.tiers import EVERY_TIER
from levada.guest.text.ranges import between, out_of_range

__all__ = [
    "ANY_TARGET",
    "COUNTER_MOST",
    "FEATURE_PROFILE",
    "NONCE_BYTES",
    "TEXT_BYTES",
    "TIER_BITS",
    "Manifest",
    "labelled",
    "manifest_of",
    "schema_digest",
]

MANIFEST_VERSION: Final = 1
FEATURE_PROFILE: Final = 1
"""Of `levada.guest.module.features`; a wider one will have a higher number."""
COUNTER_MOST: Final = 2**32 - 1
SHA256_BYTES: Final = 32
SCHEMA_BYTES: Final = 8
NONCE_BYTES: Final = 16
TEXT_BYTES: Final = 32
"""Most of a name, a version, a target, as UTF-8."""
ANY_TARGET: Final = "*"
TIER_BITS: Final = {tier: 1 << bit for bit, tier in enumerate(EVERY_TIER)}

LABELS: Final = {
    "counter": 2,  # suit-manifest-sequence-number
    "name": -1,
    "version": -2,
    "target": -3,
    "abi": -4,
    "tiers": -5,
    "profile": -6,
    "size": -7,
    "sha256": -8,
    "schema": -9,
    "expiry_s": -10,
    "nonce": -11,
}
VERSION_LABEL: Final = 1
"""suit-manifest-version."""
OPTIONAL: Final = ("expiry_s", "nonce")
LIMITS: Final = {"counter": COUNTER_MOST, "abi": COUNTER_MOST, "tiers": 7}
LIMITS_REST: Final = COUNTER_MOST
LENGTHS: Final = {"sha256": SHA256_BYTES, "schema": SCHEMA_BYTES, "nonce": NONCE_BYTES}
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What is signed of a module.  Raises ManifestError for a value that cannot be in one."""

    counter: int
    """Of the release, from 1: a device takes no lower one than that it has."""
    name: str
    version: str
    target: str = ANY_TARGET
    """Name of the node it is for, `*`: for all."""
    abi: int = ABI_VERSION
    tiers: int = TIER_BITS["edge"]
    """Bits of `TIER_BITS`."""
    profile: int = FEATURE_PROFILE
    size: int
    """Of the module [bytes]."""
    sha256: bytes
    """Of the module."""
    schema: bytes
    """`schema_digest` of its parameters."""
    expiry_s: int | None = None
    """Not to be installed after that [s since 1970]; None: at any time."""
    nonce: bytes | None = None
    """Of the request that it answers."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.name not in OPTIONAL:
                _check(field.name, value)

    @property
    def tier_names(self) -> tuple[str, ...]:
        """The tiers that it is for."""
        return tuple(tier for tier, bit in TIER_BITS.items() if self.tiers & bit)

    def encode(self) -> bytes:
        """Its canonical CBOR."""
        values = {label: getattr(self, name) for name, label in LABELS.items()}
        present = {label: value for label, value in values.items() if value is not None}
        return cbor2.dumps({VERSION_LABEL: MANIFEST_VERSION} | present, canonical=True)

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """From its canonical CBOR; ManifestError for any other bytes."""
        found = labelled(data, "the manifest")
        version = found.pop(VERSION_LABEL, None)
        if version != MANIFEST_VERSION or type(version) is not int:  # True and 1.0 are equal to 1
            raise ManifestError(
                f"the manifest: version {version!r:.40}, this program reads {MANIFEST_VERSION}"
            )
        names = {label: name for name, label in LABELS.items()}
        unknown = [f"{label!r:.40}" for label in found if label not in names]
        missing = [n for n, label in LABELS.items() if label not in found and n not in OPTIONAL]
        if unknown or missing:
            said = [f"label {', '.join(unknown)} is unknown"] if unknown else []
            said += [f"{', '.join(missing)} is missing"] if missing else []
            raise ManifestError(f"the manifest: {'; '.join(said)}")
        for name in OPTIONAL:
            if found.get(LABELS[name], 0) is None:
                raise ManifestError(f"the manifest: {name} is null")
        return cls(**{names[label]: value for label, value in found.items()})


def _check(name: str, value: object) -> None:
    if name in LENGTHS:
        if not isinstance(value, bytes) or len(value) != LENGTHS[name]:
            found = f"{len(value)} bytes" if isinstance(value, bytes) else f"{value!r:.40}"
            raise ManifestError(f"{name}: {found}, must be {LENGTHS[name]} bytes")
    elif name in ("name", "version", "target"):
        size = len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else 0
        if not isinstance(value, str) or not 1 <= size <= TEXT_BYTES or not _is_plain(value):
            raise ManifestError(
                f"{name} {value!r:.60}: must be text of 1 to {TEXT_BYTES} bytes without control "
                "characters"
            )
    else:
        most = LIMITS.get(name, LIMITS_REST)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ManifestError(out_of_range(name, value, between(1, most)))


def _is_plain(text: str) -> bool:
    return CONTROL.search(text) is None and not any("\ud800" <= c <= "\udfff" for c in text)


def labelled(data: bytes, what: str) -> dict[int, Any]:
    """A map by integers in canonical CBOR; ManifestError that names `what` for anything else."""
    try:
        found = cbor2.loads(data)
        again = cbor2.dumps(found, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError) as error:
        raise ManifestError(f"{what}: not CBOR: {error}") from error
    if again != data:
        raise ManifestError(f"{what}: CBOR, but not its canonical form (RFC 8949, section 4.2.1)")
    if not isinstance(found, dict) or any(type(label) is not int for label in found):
        raise ManifestError(f"{what}: not a map whose labels are integers")
    return found


def schema_digest(info: ModuleInfo) -> bytes:
    """Of the parameters that a module declares, in the order of their ids, and of its rules."""
    parameters = [
        [p.id, p.name, p.unit, p.minimum, p.maximum, p.default]
        for p in sorted(info.parameters, key=lambda p: p.id)
    ]
    said = cbor2.dumps([parameters, [str(rule) for rule in info.rules]], canonical=True)
    return hashlib.sha256(said).digest()[:SCHEMA_BYTES]


def manifest_of(
    info: ModuleInfo,
    *,
    counter: int,
    target: str = ANY_TARGET,
    expiry_s: int | None = None,
    nonce: bytes | None = None,
) -> Manifest:
    """Of a module that fits the ABI and carries metadata.  Raises AbiError or ManifestError."""
    info.require()
    if info.metadata is None:
        raise ManifestError(
            "the module has no metadata, and so neither name nor version: LV_METADATA of levada.h "
            "writes it (docs/abi.md)"
        )
    return Manifest(
        counter=counter,
        name=info.metadata.name,
        version=info.metadata.version,
        target=target,
        tiers=sum(TIER_BITS[tier] for tier in info.tiers),
        size=info.size,
        sha256=bytes.fromhex(info.sha256),
        schema=schema_digest(info),
        expiry_s=expiry_s,
        nonce=nonce,
    )
