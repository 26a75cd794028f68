"""The comparisons of docs/validation.md hold, but for those of test_richards_validation."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from types import ModuleType

import pytest

from levada.sim.devices.energy import Range
from validation import comparison as validation
from validation.cited import beside
from validation.comparison import DOCS, MODULES, Comparison
from validation.node_energy import season

HERE = [
    importlib.import_module(name)
    for name in MODULES
    if not name.endswith(("_richards", ".bucket"))  # the bucket's seasons: test_bucket_pyfao56
]
COMPARISONS = [
    pytest.param(module, function, id=name)
    for module in HERE
    for name, function in vars(module).items()
    if name.startswith("validate_")
]


@pytest.mark.parametrize(("module", "compare"), COMPARISONS)
def test_the_comparison_stays_within_its_limit(
    module: ModuleType, compare: Callable[[], Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "figure", lambda *_args, **_kwargs: "", raising=False)
    comparison = compare()
    assert comparison.worst < comparison.limit, comparison.error
    assert f"**{comparison.name}**" in (DOCS / "validation.md").read_text(encoding="utf-8")


def test_every_model_has_a_row_and_those_without_comparison_a_dash() -> None:
    page = (DOCS / "validation.md").read_text(encoding="utf-8")
    for path in sorted((DOCS / "models").glob("*.md")):
        assert f"(models/{path.name})" in page, path.name
    for model, part in validation.NOTHING:
        assert f"| {model} | - | {part} | - | - | - | - |" in page


def test_figures_of_the_page_are_there() -> None:
    page = (DOCS / "validation.md").read_text(encoding="utf-8")
    drawn = {line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")}
    assert drawn
    assert all((DOCS / path).stat().st_size > 1000 for path in drawn)


@pytest.mark.parametrize(
    ("published", "ours", "verdict", "ratio"),
    [
        (100.0, 114.9, "within", 1.149),
        (100.0, 115.1, "outside", 1.151),
        (100.0, 86.9, "outside", 0.869),
        ((2.0, 4.0), 2.1, "within", 0.7),
        ((2.0, 4.0), 1.8, "within", 0.6),
        ((2.0, 4.0), Range(1.0, 1.5, 2.0), "in range", 0.5),
        ((2.0, 4.0), Range(1.0, 1.5, 1.9), "outside", 0.5),
        (-0.8, -0.75, "within", 0.9375),
        (-0.8, 0.75, "outside", -0.9375),
        (0.0, 0.0, "within", None),
        (0.0, 1.0, "outside", None),
    ],
)
def test_a_verdict_on_a_published_number(
    published: float | tuple[float, float],
    ours: float | Range,
    verdict: str,
    ratio: float | None,
) -> None:
    row = beside("q", published, "mA", ours, "a source")
    assert row.verdict == verdict
    assert row.ratio is None if ratio is None else row.ratio == pytest.approx(ratio)


def test_the_season_of_the_page_is_that_of_the_quickstart() -> None:
    """Its node makes a step and sends a message every ten minutes for 169 days."""
    stored = json.loads(
        (DOCS.parent / "levada/scenarios/results/quickstart.json").read_text(encoding="utf-8")
    )
    (row,) = season()
    ours_j = float(row.ours.split()[0].replace(",", ""))
    assert ours_j == pytest.approx(stored["figures"]["energy_j"]["value"], rel=0.01)
    assert row.verdict == "within"


def test_no_published_number_is_called_a_measurement_of_a_board_of_ours() -> None:
    page = (DOCS / "validation.md").read_text(encoding="utf-8")
    assert "none of these numbers is a measurement of a board of ours" in page
    rows = [line for line in page.splitlines() if line.count("|") == 7 and "in range" in line]
    assert all(line.rsplit("|", 2)[1].strip() for line in rows), "each has its source"
