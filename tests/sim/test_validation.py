"""The comparisons of docs/validation.md hold, but for those of test_richards_validation."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest

from validation import comparison as validation
from validation.comparison import DOCS, MODULES, Comparison

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
    monkeypatch.setattr(module, "figure", lambda *_args, **_kwargs: "")
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
