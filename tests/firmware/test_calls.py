"""The functions of fog and cloud on every engine of a board: the bits of the fast path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from device_bench import BUILD, EMULATORS, WAMR, build

from levada.guest.wasm.bank import Bank

sys.path.insert(0, str(Path(__file__).parents[1] / "guest"))
from tier_calls import EXPORTS, SHIPPED, Calls, random_calls

LOADED = ("init", "step", "main", "param_get", "param_set", *EXPORTS)
"""In the order of `lv_export`."""
ENGINES = ("native", "wasm3", "wasmtime", *EMULATORS, *(("wamr",) if WAMR else ()))
CALL = np.dtype([("which", "<i4"), ("arguments", "<i4", 4)])
ANSWER = np.dtype([("rc", "<i4"), ("result", "<i4")])


def packed(batches: list[Calls]) -> bytes:
    """The calls as the program reads them."""
    parts = []
    for name, nodes, arguments in batches:
        calls = np.zeros(nodes.size, dtype=CALL)
        calls["which"] = LOADED.index(name)
        calls["arguments"][:, : arguments.shape[1]] = arguments
        parts.append(calls.tobytes())
    return b"".join(parts)


def answers(engine: str, calls: bytes, module: bytes = SHIPPED) -> npt.NDArray[np.void]:
    """What the program of an engine says to them."""
    build(f"build/levada-calls-{engine}")
    done = subprocess.run(
        [*EMULATORS.get(engine, ()), BUILD / f"levada-calls-{engine}"],
        input=len(module).to_bytes(4, "little") + module + calls,
        capture_output=True,
        check=True,
    )
    return np.frombuffer(done.stdout, dtype=ANSWER)


def check(engine: str, blocks: int, calls: int) -> None:
    """A guest of an engine returns what the fast path returns."""
    batches = list(random_calls(1866, 1, blocks, calls))
    with Bank(SHIPPED, 1) as bank:
        expected = np.concatenate([bank.call(*batch).results for batch in batches])
    found = answers(engine, packed(batches))
    assert not found["rc"].any()
    assert np.array_equal(found["result"], expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_the_results_of_the_fast_path(engine: str) -> None:
    check(engine, 20, 500)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_the_results_of_the_fast_path_over_100_000_readings(engine: str) -> None:
    check(engine, 50, 2_000)


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine != "native"])
def test_a_function_that_is_not_exported_is_missing(engine: str) -> None:
    older = SHIPPED.replace(b"\x07anomaly", b"\x07anomalx")
    anomaly, filter_ = (
        Calls(name, np.zeros(1, dtype=np.int32), np.full((1, count), 700, dtype=np.int32))
        for name, count in (("anomaly", 2), ("filter", 1))
    )
    found = answers(engine, packed([anomaly, filter_]), older)
    assert found.tolist() == [(101, 0), (0, 700)]  # LV_GUEST_MISSING
