"""What a guest has decided, read from its tape: the coverage that guides the search.

Of each run of the guest (`init` or `step`) three numbers are kept: the reason that it published
(`why`), how it left the valve, and a hash of its path, which is the sequence of its host calls with
what they were about (kind of sensor, slot, pin and state) and whether they failed, without the
values.  Two runs that took other branches around a host call have other paths.  Equal runs in a row
count as one, and sequences of two and three are kept as well, since a guest has memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import DEFAULT_PINS, WHY, Call
from levada.guest.fast.jit import njit
from levada.guest.fast.json_integers import json_integers, key_number
from levada.guest.fast.strings import Bytes
from levada.guest.fast.tape_records import i32_at, message_span, record_bytes

__all__ = ["Decisions", "Feature", "Run", "decision_text", "features", "runs_of"]

Run = tuple[int, int, int]
"""Reason, state of the valve, hash of the path."""
Feature = tuple[Run, ...]
"""One to three runs that followed each other."""

NO_REASON: Final = -1
VALVE: Final = DEFAULT_PINS[0]
KEYS: Final = (key_number("why"), key_number("irrigar"))
PRIME: Final = 1_000_003
MASK: Final = (1 << 40) - 1
STEP, BOOT, TRAP = int(Call.STEP), int(Call.BOOT), int(Call.TRAP)
READ, CONFIG, KEEP_GET = int(Call.READ_SENSOR), int(Call.GET_CONFIG), int(Call.KEEP_GET)
SET, KEEP_SET, PUBLISH = int(Call.SET_OUTPUT), int(Call.KEEP_SET), int(Call.MQTT_PUBLISH)


@njit
def _mixed(path: int, value: int) -> int:
    return ((path ^ (value & MASK)) * PRIME) & MASK


@njit
def _runs(tape: Bytes, found: npt.NDArray[np.int64]) -> int:
    """Reason, valve and path of every run into the rows of `found`; how many there are."""
    n, at, valve = -1, 0, 0
    while at < tape.size:
        call = int(tape[at])
        size = record_bytes(tape, at)
        if size < 0 or at + size > tape.size:
            break
        if call == STEP:
            n += 1
            found[n, 0], found[n, 2] = NO_REASON, int(tape[at + 9])
        elif call == BOOT:
            valve = 0
        elif n >= 0:
            path = _mixed(found[n, 2], call)
            if call in (READ, CONFIG, KEEP_GET, KEEP_SET):
                path = _mixed(path, i32_at(tape, at + 1))
            if call in (READ, CONFIG):
                path = _mixed(path, min(i32_at(tape, at + 5), 0))
            elif call == SET:
                path = _mixed(path, 2 * i32_at(tape, at + 1) + (i32_at(tape, at + 5) != 0))
                if i32_at(tape, at + 1) == VALVE:
                    valve = int(i32_at(tape, at + 5) != 0)
            elif call == PUBLISH:
                path = _mixed(path, i32_at(tape, at + size - 4))
                start, end = message_span(tape, at)
                why, _ = json_integers(tape, start, end, KEYS, (NO_REASON, 0))
                found[n, 0] = min(max(why, -1), 127)
            elif call == TRAP:
                path = _mixed(path, int(tape[at + 1]))
            found[n, 2] = path
        if n >= 0:
            found[n, 1] = valve
        at += size
    return n + 1


def runs_of(tape: bytes) -> list[Run]:
    """The runs of a tape in their order, equal ones in a row once."""
    # may be written, as a simulated node's tape may: else numba compiles it once more
    records = np.frombuffer(bytearray(tape), dtype=np.uint8)
    found = np.zeros((tape.count(STEP) + 1, 3), dtype=np.int64)
    rows = found[: _runs(records, found)]
    if not len(rows):
        return []
    changes = np.flatnonzero(np.any(rows[1:] != rows[:-1], axis=1)) + 1
    kept = rows[np.concatenate(([0], changes))]
    return [(why, valve, path) for why, valve, path in kept.tolist()]


def features(runs: list[Run]) -> set[Feature]:
    """Runs, and sequences of reasons and states of the valve of two and three of them."""
    found: set[Feature] = {(run,) for run in runs}
    short = [(why, valve, 0) for why, valve, _ in runs]
    found.update(pairwise(short))
    found.update(zip(short, short[1:], short[2:], strict=False))
    return found


class Decisions:
    """What has been covered so far."""

    def __init__(self) -> None:
        self._seen: set[Feature] = set()

    def add(self, found: Iterable[Feature]) -> int:
        """Add what a case has covered; how much of it is new."""
        before = len(self._seen)
        self._seen.update(found)
        return len(self._seen) - before

    @property
    def decided(self) -> list[tuple[int, int]]:
        """Pairs of reason and state of the valve, sorted."""
        return sorted({run[:2] for feature in self._seen if len(feature) == 1 for run in feature})

    @property
    def reasons(self) -> list[int]:
        """Reasons that were published, sorted; none of a guest that gives none."""
        return sorted({why for why, _ in self.decided if why != NO_REASON})

    @property
    def paths(self) -> int:
        """Different paths through a run."""
        return sum(len(feature) == 1 for feature in self._seen)

    @property
    def sequences(self) -> int:
        """Different sequences of two and three runs."""
        return len(self._seen) - self.paths


def decision_text(why: int) -> str:
    """Name of a reason of the shipped guest, else its number."""
    return WHY(why).name if why in WHY.__members__.values() else str(why)
