"""What a guest keeps, on the virtual board of every engine: restarts, power cuts, torn writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_bench import START_MS, Bench
from device_guests import KEEPS, SLEEP, guest

from levada.guest.abi import Call
from levada.guest.tape import iter_records
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.wire.message import Message
from levada.hil.wire.messages import (
    Ack,
    Fault,
    FaultKind,
    FaultPoint,
    Reset,
    StartFlag,
    Step,
    StepResult,
)

pytestmark = pytest.mark.usefixtures("boards")

WASM_ENGINES = ("wasm3", "wasmtime", "xtensa", "esp32", "aarch64")
READINGS = (2000, 1500, 3700, 0)
RECORDS_AT, RECORD_BYTES = (2048, 3072), 64
"""Where the two records lie in the flash of the virtual board."""


def step(number: int) -> Step:
    wait_ms = 600_000 * number
    return Step(time_ms=START_MS + wait_ms, flags=1, readings=READINGS, uptime_ms=wait_ms)


def started(bench: Bench, module: bytes = KEEPS, flags: int = 0) -> int:
    """Start the guest; what it found in slot 7."""
    return found(bench, bench.start(module, flags=flags))


def found(bench: Bench, result: Message) -> int:
    """What `keep_get(7)` answered in a run."""
    assert isinstance(result, StepResult)
    assert result.trap == 0
    records = iter_records(bench.tape(result))
    return int(next(r.values[1] for r in records if r.call == Call.KEEP_GET and r.values[0] == 7))


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_what_is_kept_outlives_a_start_a_restart_and_a_loss_of_power(
    engine: str, tmp_path: Path
) -> None:
    flash = tmp_path / "flash"
    with Bench(engine, "--flash", flash) as bench:
        assert started(bench) == 0
        bench.ask(step(1))
        assert started(bench) == 1
        bench.ask(step(1))
        bench.ask(step(2))
        assert isinstance(bench.ask(Reset()), Ack)
        assert started(bench) == 3
        bench.ask(step(1))
    with Bench(engine, "--flash", flash) as bench:  # its process was killed: the power went
        assert started(bench) == 4


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_a_run_that_begins_anew_finds_nothing(engine: str) -> None:
    with Bench(engine) as bench:
        started(bench)
        bench.ask(step(1))
        assert started(bench, flags=StartFlag.FORGET) == 0
        assert isinstance(bench.ask(Reset()), Ack)
        assert started(bench) == 0


def test_the_simulated_node_keeps_and_forgets_alike() -> None:
    def first(node: WasmtimeNode, *, forget: bool = False) -> int:
        records = iter_records(node.boot(START_MS, forget=forget).tape)
        return int(next(r.values[1] for r in records if r.call == Call.KEEP_GET))

    node = WasmtimeNode(KEEPS)
    assert first(node) == 0
    node.step(START_MS + 2000, READINGS)
    assert first(node) == 1
    node.install(KEEPS)
    assert first(node) == 1
    assert first(node, forget=True) == 0
    node.step(START_MS + 2000, READINGS)
    node.install(guest(SLEEP))
    node.install(KEEPS)
    assert first(node) == 0
    node.close()


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_another_module_finds_nothing_and_leaves_nothing(engine: str) -> None:
    other = guest(
        f"(drop (call $keep_set (i32.const 7) (i32.const 99))) {SLEEP}",
        init="(drop (call $keep_get (i32.const 7))) (i32.const 2000)",
    )
    with Bench(engine) as bench:
        started(bench)
        bench.ask(step(1))
        assert started(bench, other) == 0
        assert started(bench) == 0  # the values were the other one's, though it had set none
        bench.ask(step(1))
        assert started(bench, other) == 0
        bench.ask(step(1))
        assert isinstance(bench.ask(Reset()), Ack)
        assert started(bench) == 0


POINTS = (FaultPoint.FLASH_BEFORE, FaultPoint.FLASH_HALF, FaultPoint.FLASH_AFTER)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("engine", ["wasm3", "esp32"])
def test_a_power_cut_while_it_is_written_leaves_the_old_value_or_the_new_one(
    engine: str, before: int, point: FaultPoint, tmp_path: Path
) -> None:
    with Bench(engine, "--flash", tmp_path / "flash") as bench:
        started(bench)
        for number in range(before):
            bench.ask(step(number + 1))
        bench.ask(Fault(kind=FaultKind.RESET, point=point, after=0, argument=0))
        assert bench.answer_or_death(step(before + 1)) is None
        assert started(bench) == (before if point != FaultPoint.FLASH_AFTER else before + 1)


def test_a_record_torn_at_any_byte_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with Bench("wasm3", "--flash", flash) as bench:
        started(bench)
        bench.ask(step(1))
        old = flash.read_bytes()
        bench.ask(step(2))
        new = flash.read_bytes()
    [at] = [at for at in RECORDS_AT if old[at : at + 64] != new[at : at + 64]]
    seen = set()
    for cut in (0, 1, 7, 28, 40, 59, 60, 63, 64):
        torn = new[: at + cut] + old[at + cut : at + RECORD_BYTES] + new[at + RECORD_BYTES :]
        flash.write_bytes(torn)
        with Bench("wasm3", "--flash", flash) as bench:
            value = started(bench)
        assert value in (1, 2), cut
        seen.add(value)
    assert seen == {1, 2}


@pytest.mark.parametrize("bit", [0, 40, 250, 480, 511])
def test_a_damaged_record_gives_way_to_the_one_before(bit: int, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with Bench("wasm3", "--flash", flash) as bench:
        started(bench)
        bench.ask(step(1))
        before = flash.read_bytes()
        bench.ask(step(2))
    data = bytearray(flash.read_bytes())
    [at] = [at for at in RECORDS_AT if before[at : at + 64] != data[at : at + 64]]
    data[at + bit // 8] ^= 1 << bit % 8
    flash.write_bytes(data)
    with Bench("wasm3", "--flash", flash) as bench:
        assert started(bench) == 1


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_uptime_counts_from_the_start_and_not_by_the_clock(engine: str) -> None:
    back = Step(time_ms=START_MS - 86_400_000, flags=1, readings=READINGS, uptime_ms=2_999)
    with Bench(engine) as bench:
        bench.start(KEEPS, flags=StartFlag.FORGET)
        result = bench.ask(back)
        assert isinstance(result, StepResult)
        records = list(iter_records(bench.tape(result)))
        # 2.999 s, and 1.5 s of delay later
        assert [r.values[0] for r in records if r.call == Call.UPTIME_S] == [2, 4]
