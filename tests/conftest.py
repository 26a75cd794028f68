"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "levada",
    derandomize=True,  # equal on every machine and run
    deadline=None,  # these machines share two cores
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("levada")
