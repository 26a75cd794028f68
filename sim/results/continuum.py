"""What the report and the terminal say of a run's way through fog to the cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Continuum", "Hop", "Tier", "continuum"]

_HOPS: Final = {
    "edge_to_fog": "Edge to fog",
    "fog_to_cloud": "Fog to cloud",
    "edge_to_cloud": "Edge to cloud",
}
_ENGINES: Final = {"wasm": "WebAssembly", "native": "native code"}
_OFF: Final = {"fog": "relays only", "cloud": "stores only"}
"""What a tier does that computes nothing."""


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier, as a box of the diagram."""

    name: str
    engine: str
    facts: tuple[tuple[str, int], ...]
    """What is counted, and how many."""


@dataclass(frozen=True, slots=True)
class Hop:
    """How long messages took, as text with units."""

    name: str
    median: str
    p95: str
    longest: str


@dataclass(frozen=True, slots=True)
class Continuum:
    """The tiers in their order, and the hops between them."""

    tiers: tuple[Tier, ...]
    hops: tuple[Hop, ...]
    verdict: str
    """Whether fog and cloud agree."""
    takes_time: bool
    """Whether any message took time on its way."""


def continuum(summary: Mapping[str, Any]) -> Continuum | None:
    """Of a run's summary; None if it had no fog and no cloud."""
    found = summary.get("continuum")
    if found is None:
        return None
    edge = (("messages", found["messages"]), ("sent again", found["sent_again"]["edge"]))
    fog = (
        ("filtered", found["filtered"] - found["suppressed"]),
        ("suppressed", found["suppressed"]),
        ("windows", found["windows"]),
        ("windows corrected", found["corrected"]),
        ("most rows kept at once", found["kept_at_most"]["fog"]),
        ("dropped", found["dropped"]),
    )
    cloud = (("messages stored", found["stored"]),)
    engines, latency = found["engines"], found["latency_ms"]
    return Continuum(
        tuple(
            Tier(name, _engine(name.lower(), engines[name.lower()]), _worth_saying(facts))
            for name, facts in (("Edge", edge), ("Fog", fog), ("Cloud", cloud))
        ),
        tuple(
            Hop(name, *(_time(times[rank]) for rank in ("p50", "p95", "max")))
            for key, name in _HOPS.items()
            if (times := latency[key]) is not None
        ),
        _verdict(found),
        takes_time=any(times is not None and times["max"] > 0 for times in latency.values()),
    )


def _engine(tier: str, engine: str) -> str:
    return _OFF[tier] if engine == "off" else _ENGINES[engine]


def _worth_saying(facts: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """The first, and those that are not 0."""
    return tuple(fact for number, fact in enumerate(facts) if not number or fact[1])


def _verdict(found: Mapping[str, Any]) -> str:
    missing = found["messages"] - found["stored"]
    lost = f"{missing} messages are not in the cloud" if missing else "Every message is stored once"
    compared = found["fog_equals_cloud"] + found["fog_differs_from_cloud"]
    if not compared:
        return f"{lost}."
    if found["fog_differs_from_cloud"]:
        return f"{lost}. {found['fog_differs_from_cloud']} results of fog and cloud differ."
    return f"{lost}. Fog and cloud computed the same, bit for bit."


_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))


def _time(ms: float) -> str:
    """`151.8 ms`, `4.8 s`, `80.0 min`: in the largest unit of which it has two."""
    unit, size_ms = next(((u, size) for u, size in _UNITS if ms >= 2 * size), ("ms", 1))
    return f"{ms / size_ms:.1f} {unit}"
