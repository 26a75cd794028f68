"""The records of a tape as lines that people and programs read."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from levada.guest.abi import Call
from levada.guest.tape import Record, TapeReader, iter_records, record_text, time_text
from levada.sim.errors import SimError

__all__ = ["TapeCursor", "TapeLine", "TapeListingError", "tape_lines", "tape_of"]


class TapeListingError(SimError, ValueError):
    """A zone that the tape does not have, or a pattern that is none."""


@dataclass(frozen=True, slots=True)
class TapeLine:
    """One record, with the zone and the run of the guest it belongs to."""

    zone: str
    time_ms: int
    """When that run of the guest began, or the guest was instantiated [ms since 1970]."""
    run: int
    """Index of the run (init, step, main) among those of its zone; -1 before the first."""
    record: Record

    @property
    def text(self) -> str:
        """The call, with arguments and result."""
        return record_text(self.record)

    @property
    def time(self) -> str:
        """`time_ms` as ISO 8601."""
        return time_text(self.time_ms)

    def to_json(self) -> str:
        """One object, on one line; bytes are given as text."""
        return json.dumps(
            {
                "time_ms": self.time_ms,
                "zone": self.zone,
                "run": self.run,
                "call": self.record.call.name.lower(),
                "values": [
                    v.decode("utf-8", "replace") if isinstance(v, bytes) else v
                    for v in self.record.values
                ],
                "text": self.text,
            },
            ensure_ascii=False,
        )


def tape_lines(
    tape: TapeReader, *, zone: str = "", pattern: str = "", last: int | None = None
) -> Iterable[TapeLine]:
    """The records in the order in which they were written.

    Of one zone only, if `zone` is given; only those whose text `pattern`, a regular expression,
    is found in; and of these the `last` ones.  Raises TapeListingError.
    """
    if zone and zone not in tape.zones:
        raise TapeListingError(
            f"{tape.path}: no zone `{zone}`; it has {', '.join(sorted(set(tape.zones)))}"
        )
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise TapeListingError(f"pattern {pattern!r}: {error}") from None
    cursor = TapeCursor(tape.zones, tape.start_ms)
    found = (
        line
        for number, records in tape.chunks()
        for line in cursor.lines(number, records)
        if zone in ("", line.zone) and wanted.search(line.text)
    )
    return found if last is None else deque(found, last)


class TapeCursor:
    """Turns records into lines, as they come."""

    def __init__(self, zones: Sequence[str], start_ms: int) -> None:
        self._zones = zones
        self._times_ms, self._runs = [start_ms] * len(zones), [-1] * len(zones)

    def lines(self, zone: int, records: bytes) -> Iterator[TapeLine]:
        """The next records of a zone, by its index."""
        for record in iter_records(records):
            if record.call in (Call.STEP, Call.BOOT):
                self._times_ms[zone] = record.values[0]
                self._runs[zone] += record.call == Call.STEP
            yield TapeLine(self._zones[zone], self._times_ms[zone], self._runs[zone], record)


def tape_of(path: Path) -> TapeReader:
    """The tape of a run's directory, or a tape by its file."""
    from levada.sim.run.rundir import RunDir

    return TapeReader(path if path.is_file() else RunDir(path).tape_path)
