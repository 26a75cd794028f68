"""Modules that are changed by chance, the same ones for the same seed."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Final

from levada.guest.attacks.cases import suite
from levada.guest.module.sections import HEADER, sections
from levada.guest.shipped import DEFAULT_GUEST

__all__ = ["SEED", "mutant"]

SEED: Final = 20230415
LARGE: Final = 1000
"""Bytes of a module that is seldom changed, since it takes long to read."""
SHARE_OF_LARGE: Final = 0.02
CHANGES_MOST: Final = 4


def mutant(seed: int, number: int) -> bytes:
    """The mutant of that number: of bytes, of sections, or cut."""
    rng = random.Random(f"{seed}/{number}")
    small, large = _originals()
    module = bytearray(rng.choice(large if rng.random() < SHARE_OF_LARGE else small))
    if rng.random() < 0.1:
        module = _mixed(module, rng)
    for _ in range(rng.randint(1, CHANGES_MOST)):
        if len(module) > len(HEADER):
            _change(module, rng)
    return bytes(module)


@lru_cache(maxsize=1)
def _originals() -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Small modules that are run, and large ones."""
    ran = [c.module for c in suite().cases if c.outcome != "refused" and not c.made_by]
    small = tuple(module for module in ran if len(module) < LARGE)
    return small, (DEFAULT_GUEST.read_bytes(),)


def _mixed(module: bytearray, rng: random.Random) -> bytearray:
    """With its sections doubled, dropped or in another order."""
    parts = [section.raw for section in sections(bytes(module))]
    first, second = rng.randrange(len(parts)), rng.randrange(len(parts))
    match rng.randrange(3):
        case 0:
            parts[first], parts[second] = parts[second], parts[first]
        case 1:
            parts.insert(first, parts[second])
        case _:
            del parts[first]
    return bytearray(HEADER + b"".join(parts))


def _change(module: bytearray, rng: random.Random) -> None:
    """One change, behind the header."""
    at = rng.randrange(len(HEADER), len(module))
    match rng.randrange(8):
        case 0:
            del module[at]
        case 1:
            module.insert(at, rng.randrange(256))
        case 2:
            module[at] ^= 1 << rng.randrange(8)
        case 3:
            module[at] = (module[at] + rng.choice((-1, 1))) & 0xFF
        case 4:
            module[at] = rng.choice((0x00, 0x40, 0x7F, 0x80, 0xFF))
        case 5 if rng.random() < 0.1:
            del module[at:]
        case _:
            module[at] = rng.randrange(256)
