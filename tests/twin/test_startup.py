"""What the first look at the twin costs after `make demo`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_field import scenario

ROOT = Path(__file__).parents[2]
LEVADA = [sys.executable, "-c", "from levada.twin.cli.main import main; main()"]


@pytest.mark.slow
def test_a_twin_needs_no_kernel_that_a_run_has_not_compiled(tmp_path: Path) -> None:
    scenario(tmp_path, days=2)
    cache = tmp_path / "cache"
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)

    def levada(*arguments: str) -> set[str]:
        """Run a command; the kernels that are in the cache afterwards."""
        command = [*LEVADA, *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        return {path.name for path in cache.rglob("*.nbc")}

    levada("run", "field.toml", "--out", "run")
    prepare = [sys.executable, "-m", "levada.hil.warm_up"]
    subprocess.run(prepare, cwd=ROOT, env=environment, check=True, capture_output=True)
    compiled = {path.name for path in cache.rglob("*.nbc")}
    assert compiled
    at_full_speed = ("--speed", "max", "--port", "0", "--no-stay", "--out", "twin")
    for node in ("sim", "virtual"):
        assert levada("twin", "field.toml", "--node", node, *at_full_speed) == compiled
