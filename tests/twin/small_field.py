"""A small field for tests of the twin: one zone, a few days of July, dry enough to be watered."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from levada.guest.abi import TrapKind
from levada.guest.node import Birth, Readings, StepResult
from levada.guest.tape import outcome
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.testing import WEATHER

if TYPE_CHECKING:
    from levada.twin.twin import Twin

START_MS = 1_688_601_600_000  # 2023-07-06


def scenario(folder: Path, *, extra: str = "", days: int = 3, zones: str = "") -> Scenario:
    """The field, with further tables; its valve opens on the first morning."""
    text = f"""
version = 1
name = "small-field"
title = "Small field"
period.start = 2023-07-06
period.end = 2023-07-{5 + days:02}
weather.file = "{WEATHER}"

[site]
latitude_deg = 40.45
longitude_deg = -104.64
elevation_m = 1427
utc_offset_h = -7

[[zone]]
name = "maize"
soil.model = "bucket"
soil.texture = "sandy loam"
soil.initial.available_pct = 60
crop.name = "maize"
crop.planting = 2023-05-02
probe.depth_m = 0.2
valve.flow_l_min = 5.5
parameters.on_pct = 70
parameters.off_pct = 90
parameters.max_open_s = 10800
parameters.min_pause_s = 7200
{zones}
{extra}
"""
    path = folder / "field.toml"
    path.write_text(text)
    return load(path)


def run(twin: Twin) -> Twin:
    """Let it live until the end of the period."""
    try:
        twin.run()
    finally:
        twin.close()
    return twin


def until(true: Callable[[], bool], patience_s: float = 120.0) -> None:
    """Wait for what other threads bring about."""
    end_s = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def fault(kind: str, start: str, duration: str = "2 d", magnitude: str = "") -> str:
    """A [[fault]] table."""
    size = f'magnitude = "{magnitude}"' if magnitude else ""
    return f"""
[[fault]]
kind = "{kind}"
start = "{start}"
duration = "{duration}"
{size}
"""


def step(tape: bytes, *, valve: int = 0, trap: TrapKind = TrapKind.NONE) -> StepResult:
    """What a step with this tape did."""
    published, logs = outcome(tape)
    return StepResult(
        outputs={23: valve},
        tape=tape,
        publications=published,
        logs=logs,
        trap=trap,
        wake_ms=600_000,
    )


def birth(sha256: str) -> Birth:
    """Of a node with this guest."""
    return Birth(
        guest_sha256=sha256,
        guest_name="other",
        guest_version="9.9.9",
        abi_version=1,
        engine="none",
        firmware="none",
        boot_id=1,
    )


READINGS: Readings = (2300, 2000, 4000, 0)
