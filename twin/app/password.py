"""The password of the page: kept as what scrypt makes of it, tried a few times only.

The cost is that of OWASP's Password Storage Cheat Sheet for scrypt (N = 2^15, r = 8, p = 3): 32 MiB
and a tenth of a second a try.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from levada.guest.private_file import write_private
from levada.guest.text.json_text import parse
from levada.hil.errors import UsageError

__all__ = ["LEAST", "MOST", "Attempts", "Password", "read_password", "write_password"]

LEAST: Final = 12
"""Characters of a password."""
MOST: Final = 256
_N, _R, _P = 2**15, 8, 3
_MEMORY: Final = 64 << 20
_BURST: Final = 5
"""Attempts that one address has at once."""
_EVERY_S: Final = 30.0
"""After which it has one more."""
_ALL_BURST: Final = 40
_ALL_EVERY_S: Final = 1.0
"""The same of all addresses together, which may be those of one attacker."""
_ADDRESSES: Final = 1_000


class Password:
    """What is kept of a password."""

    def __init__(self, salt: bytes, digest: bytes) -> None:
        self._salt, self._digest = salt, digest
        self._one = threading.Lock()

    def matches(self, text: str) -> bool:
        """Whether it is the password; one at a time, for the memory that it takes."""
        if len(text) > MOST:
            return False
        with self._one:
            return hmac.compare_digest(_derived(text, self._salt), self._digest)


def _derived(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        text.encode("utf-8", "replace"), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY
    )


def write_password(path: Path, text: str) -> None:
    """Keep a password in a file that only its owner can read; raises UsageError."""
    if not LEAST <= len(text) <= MOST:
        raise UsageError(
            f"the password has {len(text)} characters: {LEAST} to {MOST} are permitted"
        )
    salt = secrets.token_bytes(16)
    data = {"scrypt": [_N, _R, _P], "salt": salt.hex(), "digest": _derived(text, salt).hex()}
    try:
        write_private(path, data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def read_password(path: Path) -> Password:
    """Raises UsageError if the file is none that `write_password` has written."""
    try:
        data = parse(path.read_text("utf-8"))
        if data["scrypt"] != [_N, _R, _P]:
            raise ValueError("made by another version")
        return Password(bytes.fromhex(data["salt"]), bytes.fromhex(data["digest"]))
    except OSError as error:
        reason = error.strerror or str(error)
    except (KeyError, TypeError, ValueError):
        reason = "no file of a password"
    raise UsageError(
        f"--password-file {path}: {reason}; `levada page-password {path}` asks for a password and "
        "makes one"
    )


class Attempts:
    """How often a password may be tried: each address some times at once, then slowly.

    A successful login does not count, and who is logged in is not touched by any of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._of: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Address -> attempts left, and when that was so."""
        self._all = (float(_ALL_BURST), clock())

    def take(self, address: str) -> float:
        """Use one up; 0, or how long to wait [s] for the next."""
        now = self._clock()
        with self._lock:
            own = _refilled(self._of.get(address), now, _BURST, _EVERY_S)
            everybody = _refilled(self._all, now, _ALL_BURST, _ALL_EVERY_S)
            if own < 1.0:
                return (1.0 - own) * _EVERY_S
            if everybody < 1.0:
                return (1.0 - everybody) * _ALL_EVERY_S
            self._of[address] = own - 1.0, now
            self._of.move_to_end(address)
            self._all = everybody - 1.0, now
            if len(self._of) > _ADDRESSES:
                self._of.popitem(last=False)
            return 0.0

    def forgive(self, address: str) -> None:
        """It knew the password."""
        with self._lock:
            self._of.pop(address, None)


def _refilled(before: tuple[float, float] | None, now: float, burst: int, every_s: float) -> float:
    if before is None:
        return float(burst)
    left, since = before
    return min(float(burst), left + (now - since) / every_s)
