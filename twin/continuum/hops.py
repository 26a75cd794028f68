"""Where a message was when: the hops from the board to the store, and the clocks they are told by.

Every tier notes times on its own monotonic clock.  Two tiers on one machine share that clock.
Those on two machines learn how far their clocks are apart from four timestamps, as NTP does
(RFC 5905, section 8): a message leaves at `t1` by the one clock and arrives at `t2` by the other,
the answer leaves at `t3` and arrives at `t4`.  Then the other clock is ahead by

    offset = ((t2 - t1) + (t3 - t4)) / 2

and that is wrong by at most half of the round trip, (t4 - t1) - (t3 - t2), if all of it fell on one
way.  So of the recent exchanges the one with the least round trip is believed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Final

__all__ = [
    "SHARED",
    "STAGES",
    "ClockOffset",
    "Exchange",
    "Journey",
    "OffsetEstimate",
    "Spread",
    "host_id",
    "monotonic_us",
    "spread",
]

_RECENT: Final = 64
"""Exchanges among which the best is looked for; quartz clocks drift some ten us a second apart, so
that an old one tells less with time."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

STAGES: Final[Mapping[str, str]] = {
    "edge_us": "from the node to fog",
    "fog_us": "in fog, until it was sent",
    "uplink_us": "from fog to the cloud",
    "commit_us": "in the cloud, until it was stored",
}
"""Part of the way -> what it is."""


def monotonic_us() -> int:
    """This machine's monotonic clock [us]."""
    return time.monotonic_ns() // 1_000


@cache
def host_id() -> str:
    """This start of this machine: who tells the same shares the monotonic clock."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return f"no-boot-id-{token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message and its answer, each timed at both ends [us]."""

    t1: int
    """It left, by our clock,"""
    t2: int
    """arrived, by the other clock,"""
    t3: int
    """was answered, by the other clock,"""
    t4: int
    """and the answer arrived, by our clock."""

    @property
    def round_trip_us(self) -> int:
        """Time on the way, both ways together (RFC 5905, section 8: delta)."""
        return (self.t4 - self.t1) - (self.t3 - self.t2)

    @property
    def offset_us(self) -> float:
        """How far the other clock is ahead of ours (RFC 5905, section 8: theta)."""
        return ((self.t2 - self.t1) + (self.t3 - self.t4)) / 2


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far another clock is ahead of ours."""

    us: float
    error_us: float
    """It is off by no more than this."""
    shared: bool = False
    """Whether it is one and the same clock."""


SHARED: Final = ClockOffset(0.0, 0.0, shared=True)
"""Of a tier on this machine."""


class OffsetEstimate:
    """The offset of one other clock, from what was exchanged last."""

    def __init__(self) -> None:
        self._recent: deque[Exchange] = deque(maxlen=_RECENT)

    def take(self, exchange: Exchange) -> None:
        """Take an exchange; one that would have gone back in time tells nothing."""
        if exchange.round_trip_us >= 0:
            self._recent.append(exchange)

    @property
    def offset(self) -> ClockOffset | None:
        """By the exchange with the least round trip; None: there was none."""
        best = min(self._recent, key=lambda e: e.round_trip_us, default=None)
        return None if best is None else ClockOffset(best.offset_us, best.round_trip_us / 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Journey:
    """When one message was where, each by the clock of that tier [us]; None: not told."""

    node_sent_us: int | None = None
    fog_received_us: int | None = None
    fog_sent_us: int | None = None
    cloud_received_us: int | None = None
    cloud_committed_us: int | None = None

    def stages(
        self, node: ClockOffset | None = None, fog: ClockOffset | None = None
    ) -> dict[str, float]:
        """Part of the way (a key of `STAGES`) -> its time [us], as far as it can be told.

        `node` and `fog` say how far those clocks are ahead of the cloud's; None: that is unknown.
        """
        node_sent = _at(self.node_sent_us, node)
        at_fog = _at(self.fog_received_us, fog)
        cloud = self.cloud_received_us
        pairs: dict[str, tuple[float | None, float | None]] = {
            "edge_us": (node_sent, at_fog),
            "fog_us": (self.fog_received_us, self.fog_sent_us),
            "uplink_us": (_at(self.fog_sent_us, fog), cloud),
            "commit_us": (cloud, self.cloud_committed_us),
        }
        return {
            name: end - start
            for name, (start, end) in pairs.items()
            if start is not None and end is not None
        }


def _at(time_us: int | None, offset: ClockOffset | None) -> float | None:
    """A time by another clock, by ours."""
    return None if time_us is None or offset is None else time_us - offset.us


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How values are spread."""

    count: int
    p50: float
    p95: float
    most: float


def spread(values: Sequence[float]) -> Spread | None:
    """Median, 95th percentile (nearest rank: the least value that 95 of 100 do not exceed) and
    maximum; None if there are no values."""
    if not values:
        return None
    ranked = sorted(values)
    return Spread(count=len(ranked), p50=_rank(ranked, 50), p95=_rank(ranked, 95), most=ranked[-1])


def _rank(ranked: Sequence[float], percent: int) -> float:
    """Value of the nearest rank, ceil(percent / 100 * n)."""
    return ranked[-(-percent * len(ranked) // 100) - 1]
