"""Sensors that few nodes have, on both ways to the host: rain, forecast and reference ET."""

from __future__ import annotations

import numpy as np
import pytest
from guest_modules import all_paths, lines, reactor

from levada.guest.errors import GuestError
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.node import WasmtimeNode

FIRST = (1800, 2150, 3700, 12)
ASKS = " ".join(f"(drop (call $read_sensor (i32.const {kind})))" for kind in (4, 4, 5, 6, 7))
ALWAYS = reactor(f"{ASKS} (i32.const 1000)")
EVERY_OTHER = reactor(
    f"(global.set $n (i32.add (global.get $n) (i32.const 1))) "
    f"(if (i32.and (global.get $n) (i32.const 1)) (then {ASKS})) (i32.const 1000)",
    "(global $n (mut i32) (i32.const 1))",
)
"""Asks in its second step, its fourth and so on."""


def read(module: bytes, path: str, *steps: tuple[int, ...]) -> list[list[str]]:
    """What a guest has read in each step."""
    found = []
    with SimNodes(module, path=path) as nodes:  # type: ignore[arg-type]
        nodes.boot(0)
        nodes.drain_tape(0)
        for k, further in enumerate(steps, 1):
            nodes.wake_ms[0] = 0
            nodes.step(1000 * k, np.array([FIRST + further], dtype=np.int32))
            told = [line for line in lines(nodes.drain_tape(0)) if "read_sensor" in line]
            found.append([line.partition("-> ")[2] for line in told])
    return found


@pytest.mark.parametrize("path", all_paths())
def test_a_guest_reads_what_its_node_has_and_a_second_time_nothing_more(path: str) -> None:
    [told] = read(ALWAYS, path, (3, 25, 140))
    assert told == ["3", "0", "25", "140", "invalid"]


@pytest.mark.parametrize("path", all_paths())
def test_what_is_left_out_is_unavailable(path: str) -> None:
    assert read(ALWAYS, path, (), (3,)) == [
        ["unavailable"] * 4 + ["invalid"],
        ["3", "0", "unavailable", "unavailable", "invalid"],
    ]


@pytest.mark.parametrize("path", all_paths())
def test_rain_and_reference_et_are_counted_over_steps_that_do_not_ask(path: str) -> None:
    """A forecast is that of the present; a count does not run over."""
    told = read(EVERY_OTHER, path, (3, 25, 140), (4, 20, 2**31 - 1), (1, 9, -2), (2, 8, 5))
    assert told == [
        [],
        ["7", "0", "20", str(2**31 - 1), "invalid"],
        [],
        ["3", "0", "8", "5", "invalid"],
    ]


@pytest.mark.parametrize("path", all_paths())
def test_a_start_forgets_what_was_not_read(path: str) -> None:
    init = "(drop (call $read_sensor (i32.const 4))) (i32.const 0)"
    with SimNodes(reactor("i32.const 1000", init=init), path=path) as nodes:  # type: ignore[arg-type]
        nodes.boot(0)
        nodes.step(1000, np.array([(*FIRST, 3, 25, 140)], dtype=np.int32))
        nodes.boot(2000)
        told = [line for line in lines(nodes.drain_tape(0)) if "read_sensor" in line]
    assert [line.partition("-> ")[2] for line in told] == ["unavailable"] * 2


@pytest.mark.parametrize("path", all_paths())
@pytest.mark.parametrize("columns", [0, 3, 8])
def test_readings_of_another_shape_are_refused(path: str, columns: int) -> None:
    with SimNodes(ALWAYS, path=path) as nodes:  # type: ignore[arg-type]
        nodes.boot(0)
        with pytest.raises(GuestError, match=r"int32 of shape \(1, 4\) to \(1, 7\)"):
            nodes.step(1000, np.zeros((1, columns), dtype=np.int32))


def test_a_node_of_its_own_reads_the_same() -> None:
    with WasmtimeNode(ALWAYS) as node:
        node.boot(0)
        first = node.step(1000, (*FIRST, 3, 25, 140)).tape
        assert "unavailable" in lines(node.step(2000, FIRST).tape)[1]
    assert lines(first)[1].endswith("-> 3")
