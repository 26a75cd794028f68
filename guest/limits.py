"""What one guest may use in one step, and which imports its tier allows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from levada.guest.abi import DEFAULT_PINS, IMPORTS
from levada.guest.errors import LimitError
from levada.guest.text.ranges import between, out_of_range

__all__ = ["CLOUD", "EDGE", "FOG", "PROFILES", "Budget", "Profile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Limits of one step; the same numbers on every engine."""

    instructions: int = 1_000_000
    """Wasm instructions (fuel); an engine that cannot count them uses a watchdog instead."""
    deadline_ms: int = 5_000
    """Wall-clock guard [ms]: fuel does not bound host calls."""
    memory_pages: int = 4
    """Linear memory, pages of 64 KiB."""
    host_calls: int = 256
    """Host calls of any kind."""
    log_bytes: int = 1_024
    """Bytes of `wasm_log` (a `log_int` counts 4)."""
    publish_bytes: int = 2_048
    """Bytes of topic and message of `mqtt_publish`."""
    module_bytes: int = 65_536
    """Size of the module, checked before parsing; it bounds compilation."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise LimitError(out_of_range(field.name, value, between(1, None)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Which imports a tier allows; the others link, but trap when called."""

    name: str
    imports: frozenset[str]
    pins: tuple[int, ...] = DEFAULT_PINS
    topic_prefix: str = "ic/"
    """The guest publishes to `<prefix><node>/...` only."""


EDGE: Final = Profile(name="edge", imports=frozenset(IMPORTS))
FOG: Final = Profile(name="fog", imports=frozenset(), pins=())
CLOUD: Final = replace(FOG, name="cloud")
PROFILES: Final = {p.name: p for p in (EDGE, FOG, CLOUD)}
