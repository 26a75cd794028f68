"""The keys of whoever releases modules: a folder with two private ones, and what devices trust.

    active.pem     signs (PKCS #8)
    next.pem       signs once the active one is retired; better kept elsewhere until then
    trusted.json   both public keys, for devices and for whoever verifies; nothing in it is secret
    counter        the highest counter that was given to a module

A device trusts two keys from the start, so that one can be retired while modules signed by the
other are still taken.  `rotate` retires the active key and has the next one sign the hand-over:
whoever has stolen the active key cannot write one.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from levada.guest.errors import KeyFileError, SignatureError
from levada.guest.private_file import replace_file, write_private_bytes
from levada.guest.signing.envelope import key_id, raw_public, signature_holds
from levada.guest.signing.manifest import COUNTER_MOST
from levada.guest.text.json_text import parse

__all__ = ["KEYS", "KeyFolder", "Trusted", "new_keys", "read_trusted"]

KEYS: Final = 2
"""Public keys of one device, `LV_KEYS` of the firmware."""
DOMAIN: Final = b"levada-trusted-1\0"
ACTIVE: Final = "active.pem"
NEXT: Final = "next.pem"
TRUSTED: Final = "trusted.json"
ROTATION: Final = "rotation.json"
"""What trusted.json will be, while a rotation is under way."""
COUNTER: Final = "counter"
ENCRYPTED: Final = b"ENCRYPTED PRIVATE KEY"
HEX_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")

AskPassphrase = Callable[[Path], str]
"""Asks for the passphrase of a file of a key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trusted:
    """The public keys that devices are given; the second one signs what follows this."""

    version: int
    """From 1, one higher with every rotation."""
    keys: tuple[bytes, ...]
    hand_over: bytes = b""
    """Signature by the next key of the version before; empty in the first."""

    def signed(self) -> bytes:
        """What the hand-over signs."""
        said = {"version": self.version, "keys": [key.hex() for key in self.keys]}
        return DOMAIN + json.dumps(said, sort_keys=True, separators=(",", ":")).encode()

    def require_successor(self, newer: Trusted) -> None:
        """Raise SignatureError unless `newer` is the next version, handed over by this one."""
        if newer.version != self.version + 1:
            raise SignatureError(
                f"hand-over: version {newer.version} does not follow version {self.version}; every "
                "version has to be taken in turn"
            )
        if not signature_holds(newer.hand_over, newer.signed(), self.keys[-1]):
            raise SignatureError(
                f"hand-over: version {newer.version} is not signed by the next key of version "
                f"{self.version}, {key_id(self.keys[-1]).hex()}"
            )

    def write(self, path: Path) -> None:
        """Write the file that devices and others are given."""
        data = {
            "version": self.version,
            "keys": [key.hex() for key in self.keys],
            "hand_over": self.hand_over.hex(),
        }
        replace_file(path, (json.dumps(data, indent=2) + "\n").encode())


def read_trusted(path: Path) -> Trusted:
    """The keys of a file; KeyFileError says what is wrong with it."""
    try:
        data = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"{path}: not JSON: {error}") from error
    try:
        return _trusted(data)
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from error


def _trusted(data: Any) -> Trusted:
    if not isinstance(data, dict) or set(data) != {"version", "keys", "hand_over"}:
        raise ValueError("must be an object with version, keys and hand_over")
    version, keys, hand_over = data["version"], data["keys"], data["hand_over"]
    if type(version) is not int or version < 1:
        raise ValueError(f"version {version!r:.40}: must be a whole number from 1")
    if not isinstance(keys, list) or len(keys) != KEYS:
        raise ValueError(f"keys: must be a list of {KEYS}")
    for key in keys:
        if not isinstance(key, str) or not HEX_KEY.fullmatch(key):
            raise ValueError(f"key {key!r:.80}: must be 64 hexadecimal digits")
    if not isinstance(hand_over, str) or not re.fullmatch(r"([0-9a-fA-F]{128})?", hand_over):
        raise ValueError("hand_over: must be 128 hexadecimal digits, or empty")
    found = tuple(bytes.fromhex(key) for key in keys)
    if found[0] == found[1]:
        raise ValueError("keys: both are the same; two different ones are needed")
    return Trusted(version=version, keys=found, hand_over=bytes.fromhex(hand_over))


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """A folder that `new_keys` has made."""

    path: Path

    @property
    def trusted(self) -> Trusted:
        """What devices are given; KeyFileError.  A rotation that was cut off is finished first."""
        if (self.path / ROTATION).exists():
            try:
                self._hand_over()
            except OSError as error:
                raise KeyFileError(f"{error.filename}: {error.strerror}") from error
        return read_trusted(self.path / TRUSTED)

    @property
    def protected(self) -> bool:
        """Whether the next key has a passphrase."""
        try:
            return ENCRYPTED in (self.path / NEXT).read_bytes()
        except OSError as error:
            raise KeyFileError(f"{self.path / NEXT}: {error.strerror}") from error

    def active(self, ask: AskPassphrase) -> Ed25519PrivateKey:
        """The key that signs; KeyFileError, also if devices are not told of it."""
        return self._private(ACTIVE, self.trusted.keys[0], ask)

    def next(self, ask: AskPassphrase) -> Ed25519PrivateKey:
        """The key that signs after it; KeyFileError, also if devices are not told of it."""
        return self._private(NEXT, self.trusted.keys[1], ask)

    def _private(self, name: str, public: bytes, ask: AskPassphrase) -> Ed25519PrivateKey:
        key = _read_private(self.path / name, ask)
        if raw_public(key) != public:
            raise KeyFileError(
                f"{self.path / name} is key {key_id(raw_public(key)).hex()}, and {TRUSTED} says "
                f"{key_id(public).hex()}: they belong to different versions"
            )
        return key

    def rotate(self, ask: AskPassphrase, passphrase: str = "") -> tuple[Trusted, Path]:
        """Retire the active key, make the next one active and a new next one: what devices are to
        trust from now on, and the file of the retired key.  KeyFileError, and nothing has changed.
        """
        old = self.trusted
        signer = self.next(ask)
        fresh = Ed25519PrivateKey.generate()
        keys = (old.keys[1], raw_public(fresh))
        unsigned = Trusted(version=old.version + 1, keys=keys)
        new = Trusted(version=old.version + 1, keys=keys, hand_over=signer.sign(unsigned.signed()))
        _write_private(self._draft(new), fresh, passphrase)
        old.write(self.path / f"trusted-{old.version}.json")
        new.write(self.path / ROTATION)
        return new, self._hand_over()

    def _draft(self, new: Trusted) -> Path:
        return self.path / f"next-{key_id(new.keys[1]).hex()}.pem"

    def _hand_over(self) -> Path:
        """Give every file its new name, from wherever that was cut off; that of the retired key."""
        new, old = read_trusted(self.path / ROTATION), read_trusted(self.path / TRUSTED)
        retired = self.path / f"retired-{key_id(old.keys[0]).hex()}.pem"
        draft, active, following = self._draft(new), self.path / ACTIVE, self.path / NEXT
        if draft.exists():
            if following.exists():
                if active.exists():  # it may be lost: that is a reason to rotate
                    active.replace(retired)
                following.replace(active)
            draft.replace(following)
        (self.path / ROTATION).replace(self.path / TRUSTED)
        return retired

    @property
    def counter(self) -> int:
        """The highest that was given to a module, 0: none was."""
        path = self.path / COUNTER
        try:
            text = path.read_bytes().decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
        if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > COUNTER_MOST:
            raise KeyFileError(f"{path}: {text!r:.40}: must be a number, 0 to {COUNTER_MOST}")
        return int(text)

    def given(self, counter: int) -> None:
        """Keep that a module has this counter."""
        if counter > self.counter:
            replace_file(self.path / COUNTER, f"{counter}\n".encode())


def new_keys(path: Path, passphrase: str = "") -> KeyFolder:
    """Make a folder with two keys.  KeyFileError if there is anything in it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise KeyFileError(f"{path} is not empty: name a folder that is not there yet")
        keys = {name: Ed25519PrivateKey.generate() for name in (ACTIVE, NEXT)}
        # no key gets into a repository by mistake
        (path / ".gitignore").write_text("*.pem\n", encoding="utf-8")
        for name, key in keys.items():
            _write_private(path / name, key, passphrase)
        trusted = Trusted(version=1, keys=tuple(map(raw_public, keys.values())))
        trusted.write(path / TRUSTED)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    return KeyFolder(path)


def _write_private(path: Path, key: Ed25519PrivateKey, passphrase: str) -> None:
    secret = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    write_private_bytes(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def _read_private(path: Path, ask: AskPassphrase) -> Ed25519PrivateKey:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyFileError(
                f"{path} has mode {mode:03o}: only its owner may read a private key (chmod 600)"
            )
        pem = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    encrypted = ENCRYPTED in pem
    passphrase = ask(path).encode() if encrypted else None
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError) as error:
        wrong = "wrong passphrase, or damaged" if encrypted else "not a private key in PEM"
        raise KeyFileError(f"{path}: {wrong}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: a key of another kind, must be Ed25519")
    return key
