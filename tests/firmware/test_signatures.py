"""Ed25519 as every port verifies it, and Python: the same signatures hold, the same do not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from device_bench import BUILD, EMULATORS, build

from levada.guest.signing.envelope import raw_public, signature_holds

FILE: Final = Path(__file__).parent / "ed25519_vectors.json"
"""RFC 8032, section 7.1; C2SP Wycheproof, `ed25519_test.json` (those of 64 bytes); the twelve cases
of Chalkias, Garillot and Nikolaenko 2020, "Taming the many EdDSAs", of which libsodium takes number
3 alone."""
PORTS: Final = ("wasm3", *EMULATORS)
P: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P


class Case(NamedTuple):
    """A signature, and whether it holds."""

    source: str
    key: bytes
    message: bytes
    signature: bytes
    holds: bool


def published() -> list[Case]:
    """Those of the file."""
    found = json.loads(FILE.read_text())
    hexed = bytes.fromhex
    return [Case(s, hexed(k), hexed(m), hexed(g), holds) for s, k, m, g, holds in found]


def small_order() -> list[bytes]:
    """Every encoding of the eight points whose order divides 8, those that are not canonical too.

    y is 0 (order 4), 1, -1, or of order 8: doubled those have y = 0, so x^2 = -y^2, and with the
    equation of the curve d y^4 + 2 y^2 = 1.
    """
    squares = [(-1 + sign * _square_root(1 + D)) * pow(D, -1, P) % P for sign in (1, -1)]
    eighth = [_square_root(s) for s in squares if pow(s, (P - 1) // 2, P) == 1]
    ys = {0, 1, P - 1, *eighth, *(P - y for y in eighth)}
    encoded = [n for y in ys for n in (y, y + P) if n < 2**255]
    return sorted((n | sign << 255).to_bytes(32, "little") for n in encoded for sign in (0, 1))


def _square_root(square: int) -> int:
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    assert root * root % P == square % P
    return root


def forgeries() -> list[Case]:
    """What holds wherever points of small order are let in: [S]B = R + [h]A, all of them small."""
    points = small_order()
    none = bytes(32)
    return [Case("small order", a, b"any", r + none, False) for a, r in product(points, points)]


def malleable() -> list[Case]:
    """A good signature, and the same with the order of the group added to S."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    good = key.sign(b"message")
    s = int.from_bytes(good[32:], "little")
    public = raw_public(key)
    found = [Case("malleable 0", public, b"message", good, True)]
    for k in range(1, 16):
        if s + k * ORDER < 2**256:
            other = good[:32] + (s + k * ORDER).to_bytes(32, "little")
            found.append(Case(f"malleable {k}", public, b"message", other, False))
    return found


def changed() -> list[Case]:
    """A good signature with one bit wrong, in it, in the key or in the message."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, message = raw_public(key), b"message"
    good = public + message + key.sign(message)
    found = []
    for bit in range(0, 8 * len(good), 7):
        wrong = bytearray(good)
        wrong[bit // 8] ^= 1 << bit % 8
        found.append(
            Case(f"bit {bit}", bytes(wrong[:32]), bytes(wrong[32:39]), bytes(wrong[39:]), False)
        )
    return found


def on_port(engine: str, cases: list[Case]) -> list[bool]:
    """What the program of an engine says."""
    build(f"build/levada-verifies-{engine}")
    done = subprocess.run(
        [*EMULATORS.get(engine, ()), BUILD / f"levada-verifies-{engine}"],
        input=b"".join(
            c.signature + c.key + len(c.message).to_bytes(4, "little") + c.message for c in cases
        ),
        capture_output=True,
        check=True,
    )
    return [bool(byte) for byte in done.stdout]


def in_python(cases: list[Case]) -> list[bool]:
    return [signature_holds(c.signature, c.message, c.key) for c in cases]


@pytest.mark.parametrize("engine", [*PORTS, "python"])
@pytest.mark.parametrize("cases", [published, forgeries, malleable, changed])
def test_every_port_takes_and_refuses_the_same(
    engine: str, cases: Callable[[], list[Case]]
) -> None:
    known = cases()
    verdicts = in_python(known) if engine == "python" else on_port(engine, known)
    assert len(verdicts) == len(known)
    wrong = [c.source for c, holds in zip(known, verdicts, strict=True) if holds != c.holds]
    assert wrong == []


def test_the_cases_are_as_many_as_was_counted() -> None:
    cases = published()
    assert len(cases) == 152 and sum(c.holds for c in cases) == 90
    assert sum(c.source.startswith("RFC 8032") for c in cases) == 5
    # five y, of which 0 and 1 have a second encoding, with both signs
    assert len(small_order()) == 14
    assert len(malleable()) >= 8


def test_openssl_alone_would_take_what_no_port_takes() -> None:
    """So the test of small order is one of ours: the reason why Python has it."""
    taken = 0
    for case in forgeries():
        try:
            Ed25519PublicKey.from_public_bytes(case.key).verify(case.signature, case.message)
        except (InvalidSignature, ValueError):
            continue
        taken += 1
    assert taken > 0
