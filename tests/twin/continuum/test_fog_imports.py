"""What a fog node loads: it has to fit a small computer, and to be up at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {
    "amqtt", "dash", "flask", "llvmlite", "numba", "pandas", "plotly", "pyarrow", "scipy", "simpy",
    "sqlalchemy",
}  # fmt: skip

PROGRAM = """
import atexit, sys
from levada.guest.shipped import DEFAULT_GUEST
from levada.twin.cli.main import main
from levada.twin.continuum.tier import Sample, Tier

atexit.register(lambda: print(*sorted({name.split(".")[0] for name in sys.modules})))
for engine in ("wasm", "native"):
    with Tier(DEFAULT_GUEST.read_bytes(), engine, {}, 3600, 86_400) as tier:
        (row,) = tier.take([Sample("maize", 7, 41, 1_688_000_000_000, {"raw": 1502.0})])
        print(row["filt"])
main()
"""


def test_a_fog_node_loads_no_compiler_no_page_and_no_simulation(tmp_path: Path) -> None:
    nobody = "mqtt://127.0.0.1:9"  # is waited for
    options = ["--edge-broker", nobody, "--buffer", str(tmp_path / "fog.sqlite")]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "fog", "--health-port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["1502\n"] * 2
        assert process.stdout.readline().startswith("fog takes")
        process.terminate()
        loaded = process.stdout.read().splitlines()[-1].split()
    assert "wasmtime" in loaded
    assert HEAVY.intersection(loaded) == set()
