"""Modules that are too large to be written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["MODULES"]

HEADER: Final = b"\0asm\x01\0\0\0"
LARGEST: Final = 65_536
"""Bytes of a module that is not refused for its size."""
END: Final = b"\x0b"
BLOCK: Final = b"\x02\x40"
NO_RESULT: Final = b"\x60\0\0"
I32: Final = b"\x7f"
EXPORTED: Final = ("abi_version", "init", "step")
RESULTS: Final = (b"\x41\x01", b"\x41\0", b"\x41\xe0\xd4\x03")
"""`i32.const` 1, 0, 60000."""


def _leb(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes((low | 0x80,)) + _leb(rest) if rest else bytes((low,))


def _section(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + _leb(len(payload)) + payload


def _reactor(bodies: list[bytes]) -> bytes:
    """A guest that does nothing, and has these functions besides."""
    types = b"\x02" + NO_RESULT + b"\x60\0\x01" + I32
    names = [_leb(len(n)) + n.encode() + b"\0" + _leb(k) for k, n in enumerate(EXPORTED)]
    code = [b"\0" + result + END for result in RESULTS] + bodies
    return (
        HEADER
        + _section(1, types)
        + _section(3, _leb(len(code)) + b"\x01" * len(EXPORTED) + b"\0" * len(bodies))
        + _section(7, _leb(len(names)) + b"".join(names))
        + _section(10, _leb(len(code)) + b"".join(_leb(len(body)) + body for body in code))
    )


def _locals(count: int) -> bytes:
    return b"\x01" + _leb(count) + I32


def giant() -> bytes:
    """One byte more than a module may have."""
    body = b"\0" + b"\x01" * (LARGEST - 64) + END
    padding = LARGEST + 1 - len(_reactor([body]))
    return _reactor([b"\0" + b"\x01" * (LARGEST - 64 + padding) + END])


def many_functions() -> bytes:
    """As many functions as fit."""
    return _reactor([b"\0" + END] * 15_000)


def many_locals() -> bytes:
    """1,000 functions of 50,000 locals each: seconds of compiling, unless somebody looks first."""
    return _reactor([_locals(50_000) + END] * 1_000)


def deep_nesting() -> bytes:
    """20,000 blocks within blocks."""
    return _reactor([b"\0" + BLOCK * 20_000 + END * 20_001])


def many_blocks() -> bytes:
    """As many blocks as fit, nested as deep as is allowed: 3 s of compiling."""
    return _reactor([_locals(128) + (b"\x03\x40" * 127 + END * 127) * 170 + END])


def costliest() -> bytes:
    """What takes longest to compile within the profile: as many functions and blocks as allowed."""
    nested = _locals(128) + (b"\x03\x40" * 127 + END * 127) * 32 + END
    return _reactor([nested] + [_locals(128) + END] * 1020)


MODULES: Final[dict[str, Callable[[], bytes]]] = {
    function.__name__: function
    for function in (giant, many_functions, many_blocks, many_locals, deep_nesting, costliest)
}
