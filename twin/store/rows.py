"""What goes into the store, and what a commit says.

Frozen values that pass between threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Final, Literal

from levada.guest.text.ranges import between, out_of_range
from levada.sim.signals import units_of
from levada.sim.units import DAY_MS
from levada.twin.errors import StoreError
from levada.twin.mqtt.sequence import Received

__all__ = [
    "UNITS",
    "Aggregate",
    "Commit",
    "Event",
    "Flag",
    "Item",
    "Kind",
    "Points",
    "PresenceChange",
    "Row",
    "Severity",
    "StoreSettings",
]

Kind = Literal["raw", "filtered", "twin"]
Severity = Literal["info", "warning", "error"]

UNITS: Final[Mapping[str, str]] = units_of(
    "raw", "pct", "irrigar", "flow", "temp_c", "battery_mv", "filt", "on", "off", "why"
)
"""Units of the signals that every part knows; others are stored with the unit they come with."""


class Flag(IntFlag):
    """What is peculiar about a row."""

    NONE = 0
    HISTORICAL = 1
    """Came late: behind a later one, or long after it was measured."""
    CLOCK = 2
    """The device's clock is not believed; the row has the time of its arrival."""
    UNIDENTIFIED = 4
    """The device gives no number; the receiver made one, and a repetition is not recognised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSettings:
    """How the store behaves."""

    group_rows: int = 50
    """Rows of one commit at most."""
    group_ms: int = 100
    """Time that a row waits for others at most [ms]."""
    queue_rows: int = 10_000
    """Rows that wait for the writer at most; beyond, `submit` refuses."""
    reserve_bytes: int = 4 << 20
    """Size of the file that is released when the disk is full; the log has to fit in twice."""
    log_bytes: int = 256 << 20
    """Write-ahead log beyond which nothing more is written (a reader holds it)."""
    busy_ms: int = 5_000
    """How long a write waits for another program [ms]."""
    answer_ms: int = 20_000
    """How long PostgreSQL may work on one statement [ms]; half as long again is waited for it."""
    retry_ms: int = 500
    """Between two attempts while the database cannot be written [ms]."""
    ahead_ms: int = 60_000
    """How far a device's clock may be ahead and still be believed [ms]."""
    late_ms: int = 60_000
    """Age from which on a row counts as historical [ms]."""
    behind_ms: int = 366 * DAY_MS
    """How long ago something may have been measured and still be believed [ms]."""
    nodes: int = 4_096
    """Nodes of a store at most; messages of more are refused."""
    signals: int = 256
    """Signals of one node that messages may bring; more are kept in the message alone."""
    back_ms: int = 1_000
    """How far a device's clock may step back and still be believed [ms]."""

    def believes(self, device_ms: int, now_ms: int) -> bool:
        """Whether a device's time can be that of something which has come by now."""
        return now_ms - self.behind_ms <= device_ms <= now_ms + self.ahead_ms

    def __post_init__(self) -> None:
        for name, low, high in (
            ("group_rows", 1, 10_000),
            ("group_ms", 0, 10_000),
            ("queue_rows", 1, 10_000_000),
            ("reserve_bytes", 0, 1 << 40),
            ("log_bytes", 1 << 16, 1 << 40),
            ("busy_ms", 0, 60_000),
            ("answer_ms", 10, 600_000),
            ("retry_ms", 1, 60_000),
            ("nodes", 1, 1_000_000),
            ("signals", 1, 100_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise StoreError(out_of_range(name, value, between(low, high)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """What the values of one signal in a window of time come to; None: that was not told."""

    signal: str
    start_ms: int
    length_s: int
    revision: int
    """A higher one replaces a lower."""
    count: int | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    total: float | None = None
    """Sum, of amounts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One message of a device, on its way into the store."""

    node: str
    boot: int
    seq: int
    """As on the wire, modulo 2^32."""
    oldest: int
    """Lowest number that the device still holds, modulo 2^32."""
    received_ms: int
    payload: str
    signals: Mapping[str, float]
    """Values to be drawn as series."""
    device_ms: int | None = None
    """Time by the device's clock; None: it has none."""
    kind: Kind = "raw"
    target: str = ""
    """Node whose series the signals belong to, if not `node` itself (what fog forwards)."""
    units: Mapping[str, str] = field(default_factory=lambda: UNITS)
    flags: Flag = Flag.NONE
    aggregates: tuple[Aggregate, ...] = ()
    """Of a window that this row sums up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """Values that no message brought, such as those of the twin; they replace earlier ones."""

    node: str
    time_ms: int
    signals: Mapping[str, float]
    kind: Kind = "twin"
    units: Mapping[str, str] = field(default_factory=lambda: UNITS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something to be shown: an alert, a gap, a refusal."""

    kind: str
    text: str
    time_ms: int
    severity: Severity = "info"
    node: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """What one transaction has made durable."""

    acks: Mapping[tuple[str, int], int]
    """(node, boot) -> number up to which everything is stored."""
    lives: Mapping[tuple[str, int], Received]
    """The same, with what is stored beyond; nobody changes them any more."""
    stored: int
    duplicates: int
    last_id: int
    """Highest `telemetry.id`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PresenceChange:
    """A node has shown itself or has gone."""

    node: str
    online: bool
    time_ms: int
    birth: Mapping[str, Any] | None = None
    """What it said at birth."""


Item = Row | Points | Event | PresenceChange
"""What the writer takes."""
