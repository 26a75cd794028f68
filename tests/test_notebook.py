"""The notebook of the quickstart runs by the public functions alone, cell by cell."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/notebooks/quickstart.py"


@pytest.mark.filterwarnings("default")  # of the notebook's program
def test_every_cell_runs_and_the_figures_are_those_of_the_scenario() -> None:
    outputs, names = runpy.run_path(str(NOTEBOOK))["app"].run()
    stored = json.loads((ROOT / "scenarios/results/quickstart.json").read_text("utf-8"))["figures"]
    season = names["season"].summary
    assert season["irrigation_mm"] == pytest.approx(stored["irrigation_mm"]["value"], abs=0.1)
    assert names["season"].passed
    assert names["daily"]["irrigation_mm"].sum() == pytest.approx(season["irrigation_mm"], rel=1e-4)
    assert names["saved_mm"] > 0
    assert len(names["calls"]) == 8
    assert len(outputs) == 10


def test_it_uses_the_public_package_only() -> None:
    tree = ast.parse(NOTEBOOK.read_text("utf-8"))
    modules = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    modules += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert [name for name in modules if name.startswith("levada")] == ["levada"]
