"""What report and terminal say of the way to the cloud, from a summary made by hand."""

from __future__ import annotations

from typing import Any

from levada.sim.results.continuum import continuum


def summary(
    *, longest_ms: float = 0.0, engines: tuple[str, str, str] = ("wasm",) * 3
) -> dict[str, Any]:
    """100 messages, of which fog has suppressed 8."""
    times = {"p50": 0.0, "p95": 0.0, "max": longest_ms}
    return {
        "continuum": {
            "engines": dict(zip(("edge", "fog", "cloud"), engines, strict=True)),
            "messages": 100,
            "stored": 100,
            "filtered": 100,
            "suppressed": 8,
            "windows": 16,
            "corrected": 0,
            "fog_equals_cloud": 100,
            "fog_differs_from_cloud": 0,
            "latency_ms": dict.fromkeys(("edge_to_fog", "fog_to_cloud", "edge_to_cloud"), times),
            "sent_again": {"edge": 0, "fog": 0},
            "dropped": 0,
            "kept_at_most": {"edge": 1, "fog": 2},
        }
    }


def test_what_is_suppressed_is_not_filtered() -> None:
    found = continuum(summary())
    assert found is not None
    facts = dict(found.tiers[1].facts)
    assert (facts["filtered"], facts["suppressed"]) == (92, 8)


def test_a_tier_that_computes_nothing_is_told_by_what_it_does() -> None:
    found = continuum(summary(engines=("wasm", "off", "off")))
    assert found is not None
    assert [tier.engine for tier in found.tiers] == ["WebAssembly", "relays only", "stores only"]


def test_whether_links_took_time_is_known() -> None:
    without, late = continuum(summary()), continuum(summary(longest_ms=40.0))
    assert without is not None and late is not None
    assert (without.takes_time, late.takes_time) == (False, True)
