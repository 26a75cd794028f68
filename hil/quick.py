"""The first try of a request over a terminal, compiled: a frame out, the frame that answers it in.

In lockstep nearly every request is answered at once, by one frame in one piece.  An interpreter's
way through that costs the more as the processor has forgotten it each time the device had its turn;
so this one case is compiled, codec and all.  Whatever else comes is handed back as it came, for the
ordinary path of `levada.hil.link`.
"""

from __future__ import annotations

from typing import Any, Final

import numba as _numba
import numpy as np
import numpy.typing as npt

from levada.guest.fast.jit import config, njit
from levada.hil.line.serial_port import Port
from levada.hil.wire.codec import MAX_CONTENT, MAX_ENCODED, RESIDUE
from levada.hil.wire.message import MAX_BODY, MessageError
from levada.hil.wire.messages import WIRE_VERSION

__all__ = ["Quick"]

_types: Any = _numba.types
_external: Any = _types.ExternalFunction
_write: Any = _external("write", _types.intp(_types.intc, _types.voidptr, _types.uintp))
_read: Any = _external("read", _types.intp(_types.intc, _types.voidptr, _types.uintp))

Bytes = npt.NDArray[np.uint8]

HEAD: Final = 4
CRC: Final = 4
LEAST_ANSWER: Final = 0x80
"""Types from here on are answers."""
ONES: Final = 0xFFFFFFFF
FULL: Final = 255
"""Code of a COBS block that has no zero behind it."""

# What the kernel works in, one array since handing over costs by the array: two counts of 8 bytes,
# the content of a frame, and what goes over the line.
WRITTEN: Final = 0
CAME: Final = 1
CONTENT: Final = 16
LINE: Final = 16 + 1104
CHUNK: Final = 4096
STATE: Final = (LINE + CHUNK) // 8
assert MAX_ENCODED + CRC <= LINE - CONTENT


def _crc_table() -> npt.NDArray[np.uint32]:
    """CRC-32 of every byte (reflected polynomial 0xEDB88320)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(0xEDB88320), table >> 1)
    return table.astype(np.uint32)


_TABLE: Final = _crc_table()


@njit
def _crc32(data: Bytes, size: int) -> int:
    crc = np.uint32(ONES)
    for k in range(size):
        crc = _TABLE[(crc ^ data[k]) & np.uint32(255)] ^ (crc >> np.uint32(8))
    return int(crc ^ np.uint32(ONES))


@njit
def _frame(content: Bytes, size: int, line: Bytes) -> int:
    """Write `content` as a frame; its length."""
    line[0] = 0
    block = 1
    at = 2
    for k in range(size):
        if at - block == FULL:
            line[block] = FULL
            block = at
            at += 1
        if content[k] != 0:
            line[at] = content[k]
        else:
            line[block] = at - block
            block = at
        at += 1
    line[block] = at - block
    line[at] = 0
    return at + 1


@njit
def _open(line: Bytes, size: int, content: Bytes) -> int:
    """Length of the content, without its CRC, of the one frame that `line` is; -1 if it is not."""
    end = size - 1
    if size < HEAD + CRC + 3 or size > MAX_ENCODED + 2 or line[0] != 0 or line[end] != 0:
        return -1
    at = 1
    used = 0
    while at < end:
        code = int(line[at])
        if code == 0 or at + code > end:
            return -1
        for k in range(at + 1, at + code):
            if line[k] == 0:
                return -1
            content[used] = line[k]
            used += 1
        at += code
        if code != FULL and at < end:
            content[used] = 0
            used += 1
    if used < HEAD + CRC or used > MAX_CONTENT:
        return -1
    return used - CRC


@njit
def _exchange(
    descriptor: int, terminal: int, head: int, size: int, state: npt.NDArray[np.int64]
) -> int:
    """Type of the answer, whose content then replaces the request's; -1 if it is not that.

    `head` is version, type and sequence number in one, `size` that of the body.
    """
    state[WRITTEN] = state[CAME] = 0
    if terminal < 0:
        return -1
    content = state.view(np.uint8)[CONTENT:LINE]
    line = state.view(np.uint8)[LINE:]
    for k in range(HEAD):
        content[k] = head >> 8 * k & 255
    size += HEAD
    crc = _crc32(content, size)
    for k in range(CRC):
        content[size + k] = crc >> 8 * k & 255
    size = _frame(content, size + CRC, line)
    state[WRITTEN] = _write(descriptor, line.ctypes, size)
    if state[WRITTEN] != size:
        return -1
    state[CAME] = _read(terminal, line.ctypes, CHUNK)
    size = _open(line, state[CAME], content)
    if size < 0 or _crc32(content, size + CRC) != RESIDUE:
        return -1
    # version and sequence number are those of the request
    if content[0] != head & 255 or content[2] != head >> 16 & 255 or content[3] != head >> 24:
        return -1
    if content[1] < LEAST_ANSWER:
        return -1
    state[CAME] = size
    return int(content[1])


class Quick:
    """One who asks a terminal; see the module."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._state = np.zeros(STATE, np.int64)
        self._content = memoryview(self._state.view(np.uint8))[CONTENT:LINE]  # type: ignore[arg-type]
        _exchange(-1, -1, 0, 0, self._state)  # compiles it, or takes it from the cache

    @staticmethod
    def possible() -> bool:
        """False where numba is switched off."""
        return not config.DISABLE_JIT

    def exchange(self, kind: int, sequence: int, body: bytes) -> int:
        """Write a request and read once: the answer's type, or -1 if none came in one piece."""
        size = len(body)
        if size > MAX_BODY:
            raise MessageError(f"body of {size} bytes: at most {MAX_BODY} allowed")
        self._content[HEAD : HEAD + size] = body
        head = WIRE_VERSION | kind << 8 | sequence << 16
        return _exchange(self._port.descriptor, self._port.terminal, head, size, self._state)

    def body(self) -> bytes:
        """Of the answer."""
        return self._content[HEAD : self._state[CAME]].tobytes()

    @property
    def written(self) -> int:
        """Bytes of the request that the terminal took."""
        return max(0, int(self._state[WRITTEN]))

    @property
    def came(self) -> bytes:
        """What was read instead of the answer."""
        size = max(0, int(self._state[CAME]))
        return self._state.view(np.uint8)[LINE : LINE + size].tobytes()
