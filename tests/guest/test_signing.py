"""Manifests, envelopes, and the keys that sign them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from levada.guest.errors import AbiError, KeyFileError, ManifestError, SignatureError
from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.signing.envelope import Envelope, key_id, raw_public, sign
from levada.guest.signing.keys import KeyFolder, Trusted, new_keys, read_trusted
from levada.guest.signing.manifest import Manifest, manifest_of, schema_digest

SHIPPED = DEFAULT_GUEST.read_bytes()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
MANIFEST = Manifest(
    counter=7, name="g", version="1", size=9, sha256=bytes(range(32)), schema=b"schema.."
)


def never(path: Path) -> str:
    raise AssertionError(f"asked for the passphrase of {path}")


# --- the manifest -------------------------------------------------------------------------------


def test_a_manifest_is_the_bytes_that_rfc_8949_prescribes() -> None:
    by_hand = (
        "ab 01 01 02 07"  # a map of 11: version 1, sequence number 7
        " 20 61 67  21 61 31  22 61 2a"  # "g", "1", "*"
        " 23 01  24 01  25 01  26 09"  # ABI, tiers, profile, size
        f" 27 58 20 {bytes(range(32)).hex()} 28 48 {b'schema..'.hex()}"
    )
    assert MANIFEST.encode() == bytes.fromhex(by_hand)
    assert Manifest.decode(MANIFEST.encode()) == MANIFEST


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"counter": 0}, "`counter` = 0: permitted 1 to 4294967295"),
        ({"counter": 2**32}, "permitted 1 to 4294967295"),
        ({"counter": True}, "`counter`"),
        ({"tiers": 8}, "`tiers` = 8: permitted 1 to 7"),
        ({"size": 0}, "`size` = 0"),
        ({"name": ""}, "name '': must be text of 1 to 32 bytes"),
        ({"name": "n" * 33}, "must be text of 1 to 32 bytes"),
        ({"version": "1\n"}, "without control characters"),
        ({"target": "\ud800"}, "target"),
        ({"target": "\udfff"}, "target"),
        ({"target": "é" * 17}, "1 to 32 bytes"),
        ({"sha256": bytes(31)}, "sha256: 31 bytes, must be 32 bytes"),
        ({"schema": "12345678"}, "schema: '12345678', must be 8 bytes"),
        ({"expiry_s": 0}, "`expiry_s` = 0"),
        ({"nonce": b""}, "nonce: 0 bytes, must be 16 bytes"),
    ],
)
def test_a_value_that_no_device_reads_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint.replace("(", r"\(")):
        replace(MANIFEST, **change)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not CBOR"),
        (b"\xff", "not CBOR"),
        (b"\x81" * 3000, "not CBOR"),
        (MANIFEST.encode() + b"\0", r"not its canonical form \(RFC 8949, section 4\.2\.1\)"),
        (b"\x80", "not a map"),
        (cbor2.dumps({1: 2}), "version 2, this program reads 1"),
        (cbor2.dumps({2: 2}), "version None"),
        (cbor2.dumps({1: 1, 2: 3}), "name, version, target, abi, tiers, profile, size, sha256"),
        (MANIFEST.encode().replace(b"\xab", b"\xac") + b"\x2b\x01", "label -12 is unknown"),
        (MANIFEST.encode().replace(b"\xab", b"\xac") + b"\x29\xf6", "expiry_s is null"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        Manifest.decode(data)


@given(st.binary(max_size=600))
def test_no_bytes_make_the_reader_do_anything_but_refuse(data: bytes) -> None:
    for read in (Manifest.decode, Envelope.decode):
        try:
            found = read(data)
        except ManifestError:
            continue
        assert found.encode() == data


def test_the_manifest_of_the_shipped_guest_is_what_the_module_says() -> None:
    info = inspect(SHIPPED)
    manifest = manifest_of(info, counter=3, target="zone1")
    assert manifest.sha256 == hashlib.sha256(SHIPPED).digest()
    assert manifest.size == len(SHIPPED)
    assert (manifest.name, manifest.tier_names) == ("irrigation", ("edge", "fog", "cloud"))
    assert len(sign(manifest, KEY, OTHER).encode()) <= 512


def test_the_schema_is_another_one_when_a_range_is() -> None:
    info = inspect(SHIPPED)
    assert info.metadata
    first, *rest = info.metadata.parameters
    narrowed = replace(first, maximum=first.maximum - 1)
    other = replace(info, metadata=replace(info.metadata, parameters=(narrowed, *rest)))
    turned = replace(info, metadata=replace(info.metadata, parameters=(*rest, first)))
    assert schema_digest(other) != schema_digest(info) == schema_digest(turned)


def test_what_a_device_cannot_run_or_name_is_not_signed() -> None:
    empty = inspect(b"\0asm\1\0\0\0")
    with pytest.raises(ManifestError, match="no metadata, and so neither name nor version"):
        manifest_of(replace(empty, problems=()), counter=1)
    with pytest.raises(AbiError):
        manifest_of(replace(empty, problems=("it is wrong",)), counter=1)


# --- the envelope -------------------------------------------------------------------------------


def test_a_signature_is_ed25519_over_domain_and_manifest() -> None:
    envelope = sign(MANIFEST, KEY)
    [(identifier, signature)] = envelope.signatures
    public = raw_public(KEY)
    assert identifier == hashlib.sha256(public).digest()[:8] == key_id(public)
    message = b"levada-manifest-1\0" + MANIFEST.encode()
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    assert Envelope.decode(envelope.encode()) == envelope
    assert envelope.verify([raw_public(OTHER), public]) == public


def test_one_of_two_signatures_is_enough_and_a_wrong_one_is_none() -> None:
    trusted = [raw_public(KEY)]
    assert sign(MANIFEST, OTHER, KEY).verify(trusted) == trusted[0]
    with pytest.raises(SignatureError, match="no trusted key has signed it: signed by key"):
        sign(MANIFEST, OTHER).verify(trusted)
    with pytest.raises(SignatureError, match="trusted are none"):
        sign(MANIFEST, OTHER).verify([])
    forged = replace(sign(MANIFEST, KEY), signed=replace(MANIFEST, counter=8).encode())
    with pytest.raises(SignatureError, match="the signature does not hold"):
        forged.verify(trusted)
    [(identifier, signature)] = sign(MANIFEST, KEY).signatures
    short = Envelope(signatures=((identifier, signature[:63]),), signed=MANIFEST.encode())
    with pytest.raises(SignatureError):
        short.verify(trusted)


@pytest.mark.parametrize("count", [0, 3])
def test_one_or_two_keys_sign(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 2 sign"):
        sign(MANIFEST, *[KEY] * count)


PAIR = [b"k" * 8, b"s" * 64]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "must be a map of signatures"),
        ({2: [PAIR]}, "must be a map of signatures"),
        ({2: [], 3: b""}, "must have 1 to 2 signatures"),
        ({2: [PAIR] * 3, 3: b""}, "must have 1 to 2 signatures"),
        ({2: [PAIR, PAIR], 3: b""}, "two signatures name the same key"),
        ({2: [PAIR], 3: "text"}, "must be a byte string"),
        ({2: [[b"k" * 7, b"s" * 64]], 3: b""}, "a key id of 8 bytes and 64 bytes"),
        ({2: [[b"k" * 8, b"s" * 63]], 3: b""}, "a key id of 8 bytes and 64 bytes"),
        ({2: [b"k"], 3: b""}, "a key id of 8 bytes"),
        ({2: [PAIR], 3: b"", 4: 1}, "must be a map of signatures"),
    ],
)
def test_what_is_no_envelope_is_refused(content: Any, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        Envelope.decode(cbor2.dumps(content, canonical=True))


def test_an_envelope_that_is_empty_or_too_long_is_refused() -> None:
    with pytest.raises(ManifestError, match="nothing is signed"):
        Envelope.decode(b"")
    with pytest.raises(ManifestError, match="513 bytes, at most 512"):
        Envelope.decode(bytes(513))


# --- keys ---------------------------------------------------------------------------------------


def test_new_keys_are_two_that_only_their_owner_reads(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "a" / "keys")
    assert (tmp_path / "a" / "keys").stat().st_mode & 0o777 == 0o700
    for name in ("active.pem", "next.pem"):
        assert (folder.path / name).stat().st_mode & 0o777 == 0o600
    trusted = folder.trusted
    assert trusted.keys == (raw_public(folder.active(never)), raw_public(folder.next(never)))
    assert trusted.version == 1 and trusted.keys[0] != trusted.keys[1]
    assert "*.pem" in (folder.path / ".gitignore").read_text()


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    new_keys(tmp_path / "keys")
    with pytest.raises(KeyFileError, match="is not empty"):
        new_keys(tmp_path / "keys")


def test_a_passphrase_protects_the_files(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys", "öffne dich")
    assert folder.protected
    assert b"ENCRYPTED PRIVATE KEY" in (folder.path / "active.pem").read_bytes()
    assert raw_public(folder.active(lambda path: "öffne dich")) == folder.trusted.keys[0]
    with pytest.raises(KeyFileError, match=r"active.pem: wrong passphrase, or damaged"):
        folder.active(lambda path: "")


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys")
    (folder.path / "active.pem").chmod(0o640)
    with pytest.raises(KeyFileError, match=r"has mode 640: only its owner may read .*chmod 600"):
        folder.active(never)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_file_that_is_no_key_says_so(content: bytes, tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys")
    (folder.path / "active.pem").write_bytes(content)
    with pytest.raises(KeyFileError, match="not a private key in PEM"):
        folder.active(never)


def test_a_key_of_another_kind_or_folder_is_refused(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys")
    other = generate_private_key(SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder.path / "active.pem").write_bytes(pem)
    with pytest.raises(KeyFileError, match="must be Ed25519"):
        folder.active(never)
    (folder.path / "next.pem").replace(folder.path / "active.pem")
    with pytest.raises(KeyFileError, match="they belong to different versions"):
        folder.active(never)
    (folder.path / "active.pem").unlink()
    with pytest.raises(KeyFileError, match="No such file"):
        folder.active(never)


def test_rotation_lets_the_next_key_sign_and_hands_over_by_it(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys")
    before = folder.trusted
    envelope_before = sign(MANIFEST, folder.active(never))
    new, retired = folder.rotate(never)
    assert folder.trusted == new and new.version == 2
    assert new.keys[0] == before.keys[1] == raw_public(folder.active(never))
    assert new.keys[1] == raw_public(folder.next(never)) not in before.keys
    assert retired.stat().st_mode & 0o777 == 0o600
    before.require_successor(new)
    # devices that have the old pair take what the new active key signs, and the other way round
    assert sign(MANIFEST, folder.active(never)).verify(before.keys)
    with pytest.raises(SignatureError):
        envelope_before.verify(new.keys)
    newest, _ = folder.rotate(never)
    new.require_successor(newest)
    assert read_trusted(folder.path / "trusted-1.json") == before
    with pytest.raises(SignatureError, match="version 3 does not follow version 1"):
        before.require_successor(newest)


def test_whoever_has_the_active_key_cannot_hand_over(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys")
    old, thief = folder.trusted, folder.active(never)
    mine = Trusted(version=2, keys=(raw_public(KEY), raw_public(OTHER)))
    for signature in (b"", thief.sign(mine.signed()), KEY.sign(mine.signed())):
        with pytest.raises(SignatureError, match="is not signed by the next key of version 1"):
            old.require_successor(replace(mine, hand_over=signature))


def test_a_lost_active_key_can_be_retired(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys")
    (folder.path / "active.pem").unlink()
    new, retired = folder.rotate(never)
    assert not retired.exists()
    assert raw_public(folder.active(never)) == new.keys[0]


def test_a_rotation_that_cannot_be_changes_nothing(tmp_path: Path) -> None:
    folder = new_keys(tmp_path / "keys")
    (folder.path / "next.pem").unlink()
    before = sorted((p.name, p.read_bytes()) for p in folder.path.iterdir())
    with pytest.raises(KeyFileError, match=r"next.pem: No such file"):
        folder.rotate(never)
    assert sorted((p.name, p.read_bytes()) for p in folder.path.iterdir()) == before


GOOD = {"version": 1, "keys": ["0a" * 32, "0b" * 32], "hand_over": ""}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "not JSON"),
        ("[]", "must be an object with version, keys and hand_over"),
        (json.dumps(GOOD | {"x": 1}), "must be an object"),
        (json.dumps(GOOD | {"version": 0}), "version 0: must be a whole number from 1"),
        (json.dumps(GOOD | {"version": True}), "version True"),
        (json.dumps(GOOD | {"keys": ["0a" * 32]}), "must be a list of 2"),
        (json.dumps(GOOD | {"keys": ["0a" * 32] * 2}), "both are the same"),
        (json.dumps(GOOD | {"keys": ["0a" * 32, "0b" * 31]}), "must be 64 hexadecimal digits"),
        (json.dumps(GOOD | {"hand_over": "ab"}), "must be 128 hexadecimal digits, or empty"),
    ],
)
def test_a_trusted_json_that_is_none_says_why(content: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "trusted.json"
    path.write_text(content)
    with pytest.raises(KeyFileError, match=complaint):
        read_trusted(path)


def test_the_counter_only_goes_up(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    assert folder.counter == 0
    for given_, kept in ((3, 3), (2, 3), (4, 4)):
        folder.given(given_)
        assert folder.counter == kept
    (tmp_path / "counter").write_text("-1")
    with pytest.raises(KeyFileError, match="must be a number, 0 to 4294967295"):
        folder.given(5)
