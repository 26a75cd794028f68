"""The state of the continuum at one moment: immutable, so that any thread may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from levada.twin.continuum.dual_stream import Comparison
from levada.twin.continuum.hops import ClockOffset, Spread

__all__ = ["Agreement", "ContinuumView", "FogView", "JourneyView", "NodeStreamView", "TierView"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TierView:
    """What runs the guest's functions on one tier."""

    name: str
    engine: str
    """`off`: nothing; empty: that was not told."""
    guest_sha256: str
    host: str
    """Start of its machine; empty: that was not told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FogView:
    """A fog node."""

    tier: TierView
    online: bool
    boot: int | None
    relayed: int
    """Rows of the raw stream that have come since the cloud started,"""
    processed: int
    """of the filtered stream,"""
    windows: int
    """and of windows."""
    unreadable: int
    contiguous: int | None
    """Number up to which everything of its present life is stored."""
    waiting: int
    """Rows that have come and are not stored yet."""
    buffer_rows: int | None
    buffer_limit_rows: int | None
    dropped_rows: int | None
    offset: ClockOffset | None
    """How far its clock is ahead of the cloud's; None: that is not known yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """What the cloud has computed of the raw stream, beside what fog has."""

    equal: int
    """Results that are the same bit for bit."""
    different: int
    catching_up: int
    """Results that differ because the cloud has joined later, and its filter not caught up yet."""
    newest_difference: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeStreamView:
    """Both streams of a node."""

    tier: TierView
    online: bool
    fog: str
    t_ms: int | None
    """Time of its newest message, as it is stored."""
    comparison: Comparison
    windows: int
    agreement: Agreement | None
    """None: the cloud computes nothing."""
    pct: int | None
    irrigate: bool | None
    """What the guest's `process` says of the newest reading, in the cloud."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyView:
    """The way of one message, from its node to the store."""

    node: str
    boot: int | None
    seq: int | None
    t_ms: int | None
    stages_us: Mapping[str, float]
    """Part of the way -> its time; parts that cannot be told are not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContinuumView:
    """Everything."""

    cloud: TierView
    store: str
    """Where it stores: SQLite or PostgreSQL."""
    fogs: tuple[FogView, ...]
    nodes: tuple[NodeStreamView, ...]
    stages: Mapping[str, Spread]
    """Part of the way -> the times of the recent messages [us]."""
    total: Spread | None
    """The whole way of those of which every part is known [us]."""
    journeys: tuple[JourneyView, ...]
    """Of the newest messages, the newest last."""
    skipped: int
    """Rows that were stored but not looked at, because too many waited."""
