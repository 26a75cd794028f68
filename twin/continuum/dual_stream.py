"""The raw stream of a node beside the filtered one, which fog has made of it.

Rows are taken in the order in which fog numbered them, each once, so what is found does not depend
on the network.  A row of one stream that has no partner is missing in the other as soon as the
other has gone on to a later message of the node.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from levada.twin.continuum.hops import Spread, spread

__all__ = ["ANOMALIES", "Comparison", "DualStream", "Residual", "StreamRow", "Suppressed"]

ANOMALIES: Final[Mapping[int, str]] = {1: "range", 2: "stuck", 4: "rate", 8: "Hampel"}
"""Bit of `anomaly` -> what was found."""
_RECENT: Final = 1_000
"""Delays that are kept."""
_OPEN: Final = 4_096
"""Rows of one stream that wait for their partner; of more, the oldest count as missing."""
_SHOWN: Final = 20
"""Suppressed samples that are kept to be shown."""

Key = tuple[int | None, int | None, int | None]
"""Boot, number and time of the raw message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamRow:
    """A row of one of the streams."""

    boot: int | None
    seq: int | None
    t_ms: int | None
    values: Mapping[str, float]
    received_us: int
    """When it came, by the cloud's monotonic clock."""

    @property
    def key(self) -> Key:
        """Of the raw message that it is, or was made of."""
        return self.boot, self.seq, self.t_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Residual:
    """What the filter changed: filtered less raw [counts]."""

    count: int
    mean: float
    rms: float
    """Root of the mean square."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppressed:
    """A sample that was not fed to the filter."""

    t_ms: int | None
    raw: float | None
    anomaly: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What was found so far."""

    raw: int
    filtered: int
    matched: int
    missing_filtered: int
    """Raw rows without a filtered one."""
    missing_raw: int
    """Filtered rows without a raw one."""
    delay_us: Spread | None
    """How long after the raw row the filtered one came."""
    residual: Residual | None
    suppressed: int
    anomalies: Mapping[str, int]
    """What was found -> in how many samples."""
    newest_suppressed: tuple[Suppressed, ...]


@dataclass(slots=True)
class _Side:
    """One of the streams."""

    open: dict[Key, tuple[int, StreamRow]] = field(default_factory=dict)
    """Rows without a partner so far, each with its place in the stream."""
    rows: int = 0
    reached: int = 0
    """Place of the newest row that has a partner."""
    given_up: int = 0

    def add(self, row: StreamRow) -> int:
        self.rows += 1
        self.open[row.key] = self.rows, row
        if len(self.open) > _OPEN:
            del self.open[next(iter(self.open))]
            self.given_up += 1
        return self.rows

    def missing(self) -> int:
        """Rows whose partner was passed over."""
        return self.given_up + sum(place < self.reached for place, _ in self.open.values())


class DualStream:
    """The streams of one node."""

    def __init__(self) -> None:
        self._raw = _Side()
        self._filtered = _Side()
        self._matched = 0
        self._delays_us: deque[int] = deque(maxlen=_RECENT)
        self._residuals = 0
        self._sum = 0.0
        self._square_sum = 0.0
        self._suppressed = 0
        self._anomalies: Counter[str] = Counter()
        self._shown: deque[Suppressed] = deque(maxlen=_SHOWN)

    def raw(self, row: StreamRow) -> None:
        """Take a row of the raw stream."""
        self._raw.add(row)
        self._match(row.key)

    def filtered(self, row: StreamRow) -> None:
        """Take a row of the filtered stream."""
        self._filtered.add(row)
        anomaly = int(row.values.get("anomaly", 0))
        for bit, name in ANOMALIES.items():
            if anomaly & bit:
                self._anomalies[name] += 1
        if "filt" not in row.values:
            self._suppressed += 1
            value = row.values.get("raw")
            self._shown.append(Suppressed(t_ms=row.t_ms, raw=value, anomaly=anomaly))
        self._match(row.key)

    def _match(self, key: Key) -> None:
        if key not in self._raw.open or key not in self._filtered.open:
            return
        raw_place, raw = self._raw.open.pop(key)
        filtered_place, filtered = self._filtered.open.pop(key)
        self._raw.reached = max(self._raw.reached, raw_place)
        self._filtered.reached = max(self._filtered.reached, filtered_place)
        self._matched += 1
        self._delays_us.append(filtered.received_us - raw.received_us)
        if "filt" in filtered.values and "raw" in raw.values:
            difference = filtered.values["filt"] - raw.values["raw"]
            self._residuals += 1
            self._sum += difference
            self._square_sum += difference * difference

    @property
    def found(self) -> Comparison:
        """What was found so far."""
        n = self._residuals
        return Comparison(
            raw=self._raw.rows,
            filtered=self._filtered.rows,
            matched=self._matched,
            missing_filtered=self._raw.missing(),
            missing_raw=self._filtered.missing(),
            delay_us=spread(self._delays_us),
            residual=None
            if not n
            else Residual(count=n, mean=self._sum / n, rms=math.sqrt(self._square_sum / n)),
            suppressed=self._suppressed,
            anomalies=dict(self._anomalies),
            newest_suppressed=tuple(self._shown),
        )
