"""Random streams: one root seed, one independent stream per part and zone.

A stream is named, e.g. `("probe", "north")`, and depends on the root seed and its own name only:
adding a zone, a part or a sample elsewhere never changes it.  Names are hashed with SHA-256 and
feed numpy's `SeedSequence`, whose output numpy keeps stable between releases (NEP 19).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.text.ranges import check_range

__all__ = ["MAX_SEED", "Key", "deviates", "generator", "normal", "sequence", "zone_keys"]

Key = npt.NDArray[np.uint64]

MAX_SEED: Final = 2**63 - 1
"""Largest root seed: fits the integers of TOML."""


def sequence(root: int, *names: str) -> np.random.SeedSequence:
    """The seed sequence of the stream `names` under the root seed `root`, 0 .. MAX_SEED.

    Raises ValueError if the root is out of range or no name is given.
    """
    check_range("seed", root, 0, MAX_SEED)
    if not names:
        raise ValueError("a stream needs at least one name")
    digest = hashlib.sha256()
    for name in names:
        text = name.encode()
        digest.update(len(text).to_bytes(8, "little"))  # ("ab", "c") is not ("a", "bc")
        digest.update(text)
    words = np.frombuffer(digest.digest(), dtype="<u4")
    return np.random.SeedSequence([root, *(int(word) for word in words)])


def generator(root: int, *names: str) -> np.random.Generator:
    """A numpy generator (PCG64) for the stream `names`."""
    return np.random.Generator(np.random.PCG64(sequence(root, *names)))


def normal(count: int, root: int, *names: str) -> list[float]:
    """`count` standard normal numbers of the stream `names`."""
    found: list[float] = generator(root, *names).standard_normal(count).tolist()
    return found


def deviates(count: int, key: np.uint64) -> npt.NDArray[np.float64]:
    """`count` standard normal numbers of a key of `zone_keys`, shape (count,)."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(int(key))))
    return generator.standard_normal(count)


def zone_keys(root: int, part: str, zones: Iterable[str]) -> Key:
    """Keys of the counter-based noise of one part, shape (zones,), one a zone name."""
    return np.array(
        [sequence(root, part, zone).generate_state(1, np.uint64)[0] for zone in zones],
        dtype=np.uint64,
    )
