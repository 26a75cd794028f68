"""Settings of the whole suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cpu_time import CpuTime
from hypothesis import HealthCheck, settings
from services import Mosquitto
from tools import esp32_skipped

from levada.hil.line.broker import EmbeddedBroker

settings.register_profile(
    "levada",
    derandomize=True,  # equal on every machine and run
    deadline=None,  # these machines share two cores
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("levada")


SLOW_S = 3_600
"""What hangs ends after that time; how long a slow test takes depends on who else computes."""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuTime())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skipped = esp32_skipped()
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if skipped and "esp32" in (parameters.get("engine"), parameters.get("board")):
            item.add_marker(pytest.mark.skip(reason=skipped))
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_S))


@pytest.fixture(params=["amqtt", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedBroker | Mosquitto]:
    """Each of the brokers that we test with."""
    made = EmbeddedBroker() if request.param == "amqtt" else Mosquitto(tmp_path)
    yield made
    made.close()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    yield made
    made.close()
