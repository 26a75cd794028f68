"""Every engine and CPU makes the same calls as the simulator's, byte by byte on the tape."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from device_bench import CONFIGURE, EMULATORS, START_MS, WAMR, Bench, build
from device_guests import GUESTS, OPEN_VALVE, STRAIGHT, guest, module

from levada.guest.abi import TrapKind
from levada.guest.build import build as build_guest
from levada.guest.shipped import SHIPPED_GUESTS
from levada.guest.wasm.fleet import SimNodes
from levada.hil.wire.message import Message
from levada.hil.wire.messages import (
    Ack,
    Birth,
    BirthFlag,
    Configure,
    Nak,
    NakError,
    Start,
    StartFlag,
    Step,
    StepResult,
)

pytestmark = pytest.mark.usefixtures("boards")

ENGINES = ("native", "wasm3", "wasmtime", *EMULATORS, *(("wamr",) if WAMR else ()))
WASM_ENGINES = ENGINES[1:]
NEVER_MS = 1 << 62
IRRIGATION = Path(__file__).parents[2] / "levada/guest" / "irrigation" / "irrigation.wasm"
PARAMETERS = ((2, 600), (18, 300), (0, 40))


def state(nodes: SimNodes) -> tuple[int, int, list[int], bytes]:
    """Trap, next wake, outputs and the tape since the last call."""
    outputs = [int(v) for v in nodes.outputs[0]]
    trap = int(nodes.trap[0])
    wake = NEVER_MS if trap else int(nodes.wake_ms[0])
    return trap, wake, outputs, nodes.drain_tape(0)


def seen(bench: Bench, result: StepResult) -> tuple[int, int, list[int], bytes]:
    """The same of a device."""
    outputs = [result.outputs >> k & 1 for k in range(4)]
    return result.trap, result.wake_ms, outputs, bench.tape(result)


@pytest.fixture(scope="module")
def bench_of() -> Iterator[Callable[[str], Bench]]:
    """The one board of an engine for all guests, since starting an emulator is what takes time."""
    with ExitStack() as stack:
        yield functools.cache(lambda engine: stack.enter_context(Bench(engine)))


def run_both(
    bench: Bench,
    wasm: bytes,
    steps: int,
    parameters: tuple[tuple[int, int], ...] = (),
    *,
    station: bool = False,
) -> int:
    """Run a guest on both sides with the same readings; how many bytes of tape were equal.

    With a `station` there are rain, forecast and reference ET too, each missing now and then.
    """
    generator = random.Random(1)
    print("seed 1")
    compared = 0
    with SimNodes(wasm, parameters=dict(parameters)) as nodes:
        nodes.boot(START_MS)
        result: Message = bench.start(wasm, parameters, flags=StartFlag.FORGET)
        for _ in range(steps):
            assert isinstance(result, StepResult), result
            expected = state(nodes)
            assert seen(bench, result) == expected
            compared += len(expected[3])
            if result.trap or result.wake_ms == NEVER_MS:
                break
            readings = (
                generator.choice((generator.randrange(900, 2700), 2000, -2)),
                generator.randrange(-500, 4000),
                3700,
                generator.choice((0, 0, 700, 5000)),
            )
            more = [generator.choice((-2, 0, 3, 90)) for _ in range(3 * station)]
            nodes.step(result.wake_ms, np.array([(*readings, *more)], dtype=np.int32))
            result = bench.ask(
                Step(
                    time_ms=result.wake_ms,
                    flags=1,
                    readings=readings,
                    uptime_ms=result.wake_ms - START_MS,
                    further=tuple((4 + k, value) for k, value in enumerate(more) if value != -2),
                )
            )
    return compared


@pytest.mark.parametrize("engine", ENGINES)
def test_the_shipped_guest_makes_the_same_calls(
    engine: str, bench_of: Callable[[str], Bench]
) -> None:
    assert run_both(bench_of(engine), IRRIGATION.read_bytes(), 400, PARAMETERS) > 40_000


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_the_et_guest_makes_the_same_calls(engine: str, bench_of: Callable[[str], Bench]) -> None:
    module = SHIPPED_GUESTS["et"].read_bytes()
    assert run_both(bench_of(engine), module, 400, ((5, 39), (24, 0)), station=True) > 60_000


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_rain_that_a_step_does_not_ask_for_is_told_in_the_next(
    engine: str, bench_of: Callable[[str], Bench]
) -> None:
    """A guest that asks in every other step: it reads what two steps have brought."""
    asks = " ".join(f"(drop (call $read_sensor (i32.const {kind})))" for kind in (4, 4, 5, 6, 7))
    counts = "(global.set $n (i32.xor (global.get $n) (i32.const 1)))"
    step = f"{counts} (if (global.get $n) (then {asks})) (i32.const 1000)"
    module = guest(step, more="(global $n (mut i32) (i32.const 0))")
    assert run_both(bench_of(engine), module, 40, station=True) > 40 * 20


@pytest.mark.parametrize("kind", [-1, 0, 3, 7, 2**31 - 1])
def test_a_step_with_a_sensor_that_there_is_not_is_refused(
    kind: int, bench_of: Callable[[str], Bench]
) -> None:
    bench = bench_of("wasm3")
    started = bench.start(SHIPPED_GUESTS["et"].read_bytes())
    wrong = Step(
        time_ms=started.wake_ms,
        flags=1,
        readings=(2000, 1500, 3700, 0),
        uptime_ms=0,
        further=((kind, 1),),
    )
    refused = bench.ask(wrong)
    assert isinstance(refused, Nak)
    assert (refused.error, refused.detail) == (NakError.VALUE, 4)


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_a_guest_makes_the_same_calls_and_is_stopped_for_the_same_reason(
    engine: str, name: str, bench_of: Callable[[str], Bench]
) -> None:
    if (engine, name) == ("wamr", "command that never delays"):
        pytest.skip("WAMR does not count what a main does: the board's watchdog ends it")
    assert run_both(bench_of(engine), GUESTS[name], 6) > 0


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_code_may_be_straight_for_as_long_as_a_module_may_be(
    engine: str, bench_of: Callable[[str], Bench]
) -> None:
    assert run_both(bench_of(engine), STRAIGHT, 4) > 0


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_an_import_that_the_profile_denies_stops_the_guest_when_called(engine: str) -> None:
    wasm = guest(f"{OPEN_VALVE} (call $log_int (i32.const 1)) (i32.const 60000)")
    values = {name: getattr(CONFIGURE, name) for name, _ in CONFIGURE.FORMS}
    no_log_int = Configure(**values | {"imports": 0xFFE & ~(1 << 6)})
    with Bench(engine) as bench:
        result = bench.start(wasm, configure=no_log_int)
        assert result.trap == 0
        result = bench.ask(Step(time_ms=START_MS, flags=1, readings=(0, 0, 0, 0), uptime_ms=0))
        assert isinstance(result, StepResult)
        assert (result.trap, result.trap_call) == (TrapKind.DENIED, 6)
        assert result.outputs == 0


REFUSED = {
    "not a module": (b"\0asm\1\0\0", -1),
    "another version": (b"\0asm\2\0\0\0", -1),
    "cut short": (IRRIGATION.read_bytes()[:3000], -1),
    "import outside the ABI": (
        module('(func (export "step") (result i32) (i32.const 1))').replace(b"log_int", b"log_inT"),
        -2,
    ),
    "a start function": (guest("(i32.const 1)", more="(func $s) (start $s)"), -6),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_a_module_that_cannot_run_is_refused_and_the_old_guest_goes_on(
    engine: str, name: str
) -> None:
    wasm, reason = REFUSED[name]
    with Bench(engine) as bench:
        assert bench.start(IRRIGATION.read_bytes()).trap == 0
        refused = bench.install(wasm)
        assert refused == Nak(error=NakError.LOAD, request=0x0A, detail=reason)
        step = bench.ask(
            Step(time_ms=START_MS, flags=1, readings=(2000, 1500, 3700, 0), uptime_ms=0)
        )
        assert isinstance(step, StepResult)
        assert step.host_calls > 0


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_a_module_with_more_memory_than_allowed_is_refused(engine: str) -> None:
    with Bench(engine) as bench:
        bench.install(guest("(i32.const 1)", memory="5"))
        bench.ask(CONFIGURE)
        refused = bench.ask(Start(time_ms=START_MS, flags=0, parameters=()))
        assert refused in (
            Nak(error=NakError.LOAD, request=3, detail=-3),
            Nak(error=NakError.NO_GUEST, request=3, detail=0),  # refused at its installation
        )


@pytest.mark.parametrize("engine", WASM_ENGINES)
def test_an_export_of_another_type_is_refused(engine: str) -> None:
    wasm = module(
        '(func (export "abi_version") (result i32) (i32.const 1))'
        '(func (export "init") (result i32) (i32.const 1))'
        '(func (export "step") (param i32) (result i32) (i32.const 1))'
    )
    with Bench(engine) as bench:
        assert isinstance(bench.install(wasm), Ack)
        refused = bench.ask(Start(time_ms=START_MS, flags=0, parameters=()))
        assert refused == Nak(error=NakError.LOAD, request=3, detail=-5)


def test_the_native_board_runs_no_other_guest_than_the_one_compiled_in() -> None:
    with Bench("native") as bench:
        refused = bench.install(GUESTS["every pin"])
        assert refused == Nak(error=NakError.LOAD, request=0x0A, detail=-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_variables_of_the_guest_begin_anew_at_every_start(engine: str) -> None:
    wasm = IRRIGATION.read_bytes()
    with Bench(engine) as bench:
        tapes = []
        for _ in range(2):
            result: Message = bench.start(wasm, PARAMETERS, flags=StartFlag.FORGET)
            assert isinstance(result, StepResult)
            records = bench.tape(result)
            for k in range(30):
                result = bench.ask(
                    Step(
                        time_ms=result.wake_ms,
                        flags=1,
                        readings=(2000 + k, 1500, 3700, 0),
                        uptime_ms=0,
                    )
                )
                assert isinstance(result, StepResult)
                records += bench.tape(result)
            tapes.append(records)
        assert tapes[0] == tapes[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_says_which_engine_and_guest_it_runs(engine: str) -> None:
    import hashlib

    wasm = IRRIGATION.read_bytes()
    with Bench(engine) as bench:
        bench.start(wasm)
        birth = bench.hello(session=77)
        assert isinstance(birth, Birth)
        assert birth.session == 77
        assert birth.guest_sha256 == hashlib.sha256(wasm).digest()
        assert birth.guest_bytes == len(wasm)
        takes = BirthFlag.HEARTBEAT | BirthFlag.UPDATES
        assert birth.flags == BirthFlag.INSTALLED | BirthFlag.STARTED | takes
        expected = {"native": "native", "wasmtime": "wasmtime 50.", "wamr": "wamr 2."}.get(
            engine, "wasm3 0.5.0"
        )
        assert birth.engine.startswith(expected)
        assert birth.firmware.split()[2] == (engine if engine in EMULATORS else "posix")


@pytest.mark.parametrize("name", ["loop", "threshold"])
def test_another_guest_compiled_in_makes_the_same_calls_as_its_module(
    name: str, tmp_path: Path
) -> None:
    source = IRRIGATION.parents[1] / "examples" / f"{name}.c"
    copy = tmp_path / source.name
    copy.write_bytes(source.read_bytes())
    wasm = build_guest([source], copy.with_suffix(".wasm")).module
    build(
        f"NATIVE=native-{name}",
        f"GUEST={copy.with_suffix('')}",
        f"build/levada-board-native-{name}",
    )
    with Bench(f"native-{name}") as bench:
        assert run_both(bench, wasm, 50) > 500
