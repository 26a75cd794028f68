"""The tiers above the node: what fog and cloud compute, and the links between them.

The same tables stand in a scenario and in the configuration file of `levada fog` and `levada
cloud`.  What a tier computes runs as WebAssembly (`wasm`), as the same C built for this computer
(`native`), or not at all (`off`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from levada.sim.quantities import Duration, Moment
from levada.sim.scenario.config_table import Table
from levada.sim.settings.base import as_tuple
from levada.sim.settings.issue import Issue

__all__ = ["Cloud", "Edge", "Engine", "Fog", "Link", "Outage"]

Engine = Literal["wasm", "native", "off"]

_LONGEST_WINDOW: Final = timedelta(days=7)

TierName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
GuestParameters = dict[str, Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]]


class Edge(Table):
    """How simulated nodes run their guest."""

    engine: Literal["wasm", "native"] = "wasm"
    """`wasm`: the module in a sandbox; `native`: the same C in a virtual board, without one."""


class Fog(Table):
    """What fog computes, and how it keeps what the cloud has not acknowledged."""

    name: TierName = "fog"
    """Of the fog node, as in `ic/fog/processed`."""
    engine: Engine = "wasm"
    """How it runs the guest's functions; `off`: it relays and keeps, no more."""
    parameters: GuestParameters = Field(default={})
    """Parameters of the guest in fog, such as `filter_kind`; default: the guest's own."""
    window: Duration = timedelta(hours=1)
    """Length of the windows that are summed up; `"0 s"`: none."""
    late: Duration = timedelta(days=1)
    """How late a message may be and still correct its window."""
    buffer_rows: int = Field(default=10_000_000, ge=1_000, le=10**9)
    """Rows that are kept for the cloud at most."""
    buffer_full: Literal["stop", "drop-oldest", "fail"] = "stop"
    """Then: acknowledge nothing more, so that nodes keep their messages; drop the oldest rows; or
    end with an error."""
    flush_rows_s: int = Field(default=5_000, ge=1, le=10**6)
    """Rows that are sent to the cloud a second at most after an outage."""

    def troubles(self) -> Iterator[Issue]:
        """Windows of a sensible length."""
        if self.window > _LONGEST_WINDOW:
            yield Issue(("window",), f"`window`: {self.window}: permitted at most 7 d")
        if self.window and timedelta(days=1) % self.window and self.window % timedelta(days=1):
            yield Issue(
                ("window",), f"`window`: {self.window}: must divide a day, or be whole days"
            )


class Cloud(Table):
    """What the cloud computes of what fog forwards."""

    engine: Engine = "wasm"
    """How it runs the guest's functions; `off`: it stores and compares, no more."""
    parameters: GuestParameters = Field(default={})
    """Parameters of the guest in the cloud; default: those of `[fog]`."""


class Outage(Table):
    """A time in which a link carries nothing."""

    start: Moment
    """When: a local time, or the time since the start of the period."""
    duration: Duration
    """For how long."""


class Link(Table):
    """What a message meets between two tiers."""

    between: Literal["edge-fog", "fog-cloud"]
    """Which tiers it connects."""
    delay_ms: float = Field(default=0.0, ge=0.0, le=600_000.0)
    """Time on the way in one direction."""
    jitter_ms: float = Field(default=0.0, ge=0.0, le=600_000.0)
    """Added to `delay_ms`, uniformly from 0 to this."""
    loss_pct: float = Field(default=0.0, ge=0.0, le=99.0)
    """Messages that are lost."""
    rate_kbit_s: float | None = Field(default=None, ge=0.1, le=1e9)
    """Throughput; default: not limited."""
    outage: Annotated[tuple[Outage, ...], BeforeValidator(as_tuple)] = ()
    """`[[link.outage]]`: when it is down."""
