"""Text in a guest's memory: its length, whether a topic is permitted, whether it is UTF-8."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from levada.guest.fast.jit import njit
from levada.guest.topic import MAX_TOPIC_BYTES

__all__ = ["MAX_TOPIC_BYTES", "text_length", "topic_allowed", "utf8_valid"]

Bytes = npt.NDArray[np.uint8]


@njit
def text_length(memory: Bytes, start: int) -> int:
    """Bytes before the NUL, or -1 if there is none before the end of memory."""
    for k in range(start, memory.size):
        if memory[k] == 0:
            return k - start
    return -1


@njit
def topic_allowed(memory: Bytes, start: int, size: int, prefix: Bytes) -> bool:
    """The rule of `levada.guest.topic.resolve_topic`, for bytes.

    `prefix` holds the node's own prefix, a NUL, and the alias that old binaries use.
    """
    if size == 0 or size > MAX_TOPIC_BYTES or not utf8_valid(memory, start, size):
        return False
    level = 0  # bytes in this level so far
    dots = 0  # of which dots
    slashes = 0
    for k in range(size + 1):
        c = 0x2F if k == size else int(memory[start + k])
        if c == 0x2F:
            if level == 0 or (dots == level and level <= 2):
                return False
            level = 0
            dots = 0
            slashes += 1
        elif c < 0x20 or c == 0x7F or c == 0x23 or c == 0x24 or c == 0x2B:  # control # $ +
            return False
        else:
            level += 1
            if c == 0x2E:
                dots += 1
    if slashes == 1:  # the one that closes the only level
        return True
    matches = True
    k = 0
    for i in range(prefix.size + 1):
        if i == prefix.size or prefix[i] == 0:
            if matches:
                return True
            matches = True
            k = 0
        else:
            if k >= size or memory[start + k] != prefix[i]:
                matches = False
            k += 1
    return False


@njit
def utf8_valid(memory: Bytes, start: int, size: int) -> bool:
    """Whether the bytes are UTF-8 as RFC 3629, section 4 defines it."""
    k = 0
    while k < size:
        lead = memory[start + k]
        k += 1
        if lead < 0x80:
            continue
        low = 0x80
        high = 0xBF
        if lead >= 0xC2 and lead <= 0xDF:
            tail = 1
        elif lead >= 0xE0 and lead <= 0xEF:
            tail = 2
            if lead == 0xE0:  # else longer than needed
                low = 0xA0
            elif lead == 0xED:  # surrogates
                high = 0x9F
        elif lead >= 0xF0 and lead <= 0xF4:
            tail = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:  # beyond U+10FFFF
                high = 0x8F
        else:
            return False
        if k + tail > size:
            return False
        for i in range(tail):
            c = memory[start + k + i]
            if c < low or c > high:
                return False
            low = 0x80
            high = 0xBF
        k += tail
    return True
