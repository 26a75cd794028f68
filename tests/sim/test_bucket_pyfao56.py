"""The bucket beside pyfao56 1.4.3: two of the test seasons that program comes with."""

from __future__ import annotations

import numpy as np
import pytest

from validation import bucket
from validation.bucket import IRRIGATIONS, pairs
from validation.comparison import DOCS
from validation.crop import COTTON, MAIZE, Case, our_season, rows, theirs

SEASONS = [
    pytest.param(
        *(name, layered, irrigation),
        id=f"{name}, {soil}, {irrigation}",
        marks=[pytest.mark.slow] if name == "maize" and not layered else [],
    )
    for name in ("cotton", "maize")
    for layered, soil in ((False, "one soil"), (True, "layers"))
    for irrigation in IRRIGATIONS
]


@pytest.mark.parametrize("case", [COTTON, MAIZE], ids=["cotton 2013", "maize 2023"])
def test_crop_curve_cover_and_roots_are_those_of_pyfao56(case: Case) -> None:
    table = rows(case)
    ours, other = our_season(case, table), theirs(case, table)
    days = int(sum(case.crop.stages))
    for name, mine in (
        ("Kcb", ours.kcb),
        ("Kcmax", ours.kc_max),
        ("fc", ours.cover),
        ("Zr", ours.zr_m),
        ("h", ours.height_m),
    ):
        expected = other[name].to_numpy(float)[:days]
        np.testing.assert_allclose(mine[:days], expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(("name", "layered", "irrigation"), SEASONS)
def test_ten_minute_steps_keep_the_daily_balance_of_pyfao56(
    name: str, layered: bool, irrigation: str
) -> None:
    (pair,) = (p for p in pairs(name) if (p.layered, p.irrigation) == (layered, irrigation))
    # one soil: the same equations in the same order; their layers count roots in whole millimetres
    assert pair.depletion_mm < (0.5 if layered else 1e-6)
    for total, (mine, other) in pair.totals.items():
        assert mine == pytest.approx(other, rel=0.01, abs=0.1), total
    assert abs(pair.ours.events - pair.theirs.events) <= 1
    if irrigation == "automatic":
        assert pair.ours.events >= 10


def test_where_pyfao56_cuts_depletion_the_bucket_evaporates_less() -> None:
    """Rainfed maize dries to TAW: their cut makes 2 mm of water, ours leaves them in the soil."""
    pair = next(p for p in pairs("maize") if p.irrigation == "rainfed" and not p.layered)
    assert pair.theirs.evaporation - pair.ours.evaporation == pytest.approx(1.8, abs=0.1)


def test_every_comparison_stays_within_its_limit_and_is_on_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket, "figure", lambda *_args, **_kwargs: "")
    page = (DOCS / "validation.md").read_text(encoding="utf-8")
    for compare in (
        bucket.validate_cotton,
        bucket.validate_maize,
        bucket.validate_measured_layers,
    ):
        comparison = compare()
        assert comparison.worst < comparison.limit, comparison.error
        assert f"**{comparison.name}**" in page
