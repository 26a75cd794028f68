"""Records of a tape for compiled code; `levada.guest.tape` describes them and has their sizes."""

from __future__ import annotations

from typing import Final

import numpy as np

from levada.guest.abi import Call
from levada.guest.fast.jit import njit
from levada.guest.fast.strings import Bytes
from levada.guest.tape import RECORD_BYTES

__all__ = ["i32_at", "message_span", "record_bytes"]

_PUBLISH: Final = int(Call.MQTT_PUBLISH)
_LOG: Final = int(Call.WASM_LOG)
_BYTES: Final = np.array([RECORD_BYTES.get(call, -1) for call in range(256)])


@njit
def i32_at(tape: Bytes, at: int) -> int:
    """The i32 at `at`."""
    value = 0
    for k in range(4):
        value |= int(tape[at + k]) << (8 * k)
    return value - (1 << 32) if value >= (1 << 31) else value


@njit
def _u16_at(tape: Bytes, at: int) -> int:
    return int(tape[at]) | int(tape[at + 1]) << 8


@njit
def record_bytes(tape: Bytes, at: int) -> int:
    """Size of the record at `at`; beyond the end of the tape if it is cut, -1 if it is unknown."""
    call = tape[at]
    cut = tape.size + 1
    if call == _LOG:
        return cut if at + 3 > tape.size else 3 + _u16_at(tape, at + 1)
    if call != _PUBLISH:
        return int(_BYTES[call])
    if at + 3 > tape.size:
        return cut
    topic = _u16_at(tape, at + 1)
    return cut if at + 5 + topic > tape.size else 9 + topic + _u16_at(tape, at + 3 + topic)


@njit
def message_span(tape: Bytes, at: int) -> tuple[int, int]:
    """Where the message of the MQTT_PUBLISH at `at` begins and ends."""
    start = at + 5 + _u16_at(tape, at + 1)
    return start, start + _u16_at(tape, start - 2)
