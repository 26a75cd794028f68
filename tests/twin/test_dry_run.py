"""A calibration tried on the past."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_field import START_MS, scenario

from levada.sim.units import DAY_MS
from levada.twin.calibration.dry_run import dry_run
from levada.twin.errors import CalibrationError
from levada.twin.sources.bench import Bench
from levada.twin.store.store import Store
from levada.twin.twin import Twin

PRESENT = {"on_pct": 70, "off_pct": 90}


def test_the_values_in_force_change_nothing(tmp_path: Path) -> None:
    field = scenario(tmp_path, days=10)
    found = dry_run(field, "maize", PRESENT, PRESENT, now_ms=START_MS + 8 * DAY_MS, days=3)
    assert found.before == found.after
    assert (found.end_ms - found.start_ms) == 3 * DAY_MS


def test_a_lower_threshold_uses_less_water_and_more_openings_bring_more(tmp_path: Path) -> None:
    field = scenario(tmp_path, days=10)
    now_ms = START_MS + 10 * DAY_MS
    less = dry_run(field, "maize", PRESENT, {"on_pct": 20}, now_ms=now_ms, days=8)
    more = dry_run(field, "maize", PRESENT, {"on_pct": 85}, now_ms=now_ms, days=8)
    assert less.after.water_l < less.before.water_l
    assert more.after.openings > more.before.openings
    assert less.before == more.before


def test_it_finds_what_the_twin_itself_used(tmp_path: Path) -> None:
    """From the start on, the dry run is the season of the twin again: 3 days, 55 L a step."""
    with Store(tmp_path / "store.sqlite", clock_ms=lambda: START_MS) as store:
        twin = Twin(scenario(tmp_path, days=3), store, Bench(speed=None))
        twin.run()
        found = twin.try_out("maize", {"on_pct": 70}, 14)
        twin.close()
    used_l = twin.view.zones[0].water_l
    assert used_l > 0
    assert found.before.water_l == pytest.approx(used_l, rel=1e-9)
    # 1 L on 1 m2 is 1 mm, and the zone has 100 m2
    assert found.before.irrigation_mm == pytest.approx(used_l / 100, rel=1e-9)


def test_without_a_past_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no past yet"):
        dry_run(scenario(tmp_path), "maize", PRESENT, {"on_pct": 20}, now_ms=START_MS)
