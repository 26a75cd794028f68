from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from guest_modules import IMPORTS, data, lines, reactor, readings

from levada.guest.abi import Sensor
from levada.guest.errors import FastPathError, GuestError
from levada.guest.fast import fastpath, hostcalls, native
from levada.guest.wasm import c_api
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.pure import PureGuest

needs_compiler = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="without numba there is only the ordinary path"
)

# A guest that does anything: xorshift32 picks the calls and their arguments; some are deadly.
RANDOM_CALLS = reactor(
    """(local $k i32)
    (global.set $seed (i32.or (i32.xor (global.get $seed)
        (i32.add (call $read_sensor (i32.const 0)) (call $now_s))) (i32.const 1)))
    (local.set $k (i32.and (call $rnd) (i32.const 15)))
    (loop $again
      (call $one (i32.rem_u (call $rnd) (i32.const 15)))
      (br_if $again (i32.gt_s
        (local.tee $k (i32.sub (local.get $k) (i32.const 1))) (i32.const 0))))
    (i32.sub (i32.rem_u (call $rnd) (i32.const 2000)) (i32.const 8))""",
    "(global $seed (mut i32) (i32.const 1))",
    """(func $rnd (result i32)
      (global.set $seed (i32.xor (global.get $seed) (i32.shl (global.get $seed) (i32.const 13))))
      (global.set $seed (i32.xor (global.get $seed) (i32.shr_u (global.get $seed) (i32.const 17))))
      (global.set $seed (i32.xor (global.get $seed) (i32.shl (global.get $seed) (i32.const 5))))
      (global.get $seed))""",
    # One in 256 pointers lies anywhere, the others in the strings.
    """(func $pointer (result i32)
      (select (call $rnd) (i32.and (call $rnd) (i32.const 255))
        (i32.eqz (i32.and (call $rnd) (i32.const 255)))))""",
    "(func $small (result i32) (i32.sub (i32.rem_u (call $rnd) (i32.const 30)) (i32.const 3)))",
    """(func $deadly (if (i32.eqz (i32.and (call $rnd) (i32.const 31))) (then
      (block (block (block (block (block (br_table 0 1 2 3 4 (i32.rem_u (call $rnd) (i32.const 5))))
        unreachable)
        (drop (i32.div_s (i32.const 1) (i32.const 0))) return)
        (drop (i32.load (i32.const -4))) return)
        (loop $for_ever (br $for_ever)))
      (call_indirect (i32.const 3)))))""",
    "(table 4 funcref)",
    """(func $one (param $which i32)
      (block (block (block (block (block (block (block (block (block (block (block (block
        (br_table 0 1 2 3 4 5 6 7 8 9 10 11 (local.get $which)))
        (drop (call $read_sensor (call $small))) return)
        (call $set_output (call $small) (call $small)) return)
        (drop (call $get_config (call $rnd))) return)
        (drop (call $mqtt_publish (call $pointer) (call $pointer))) return)
        (call $wasm_log (call $pointer)) return)
        (call $log_int (call $rnd)) return)
        (call $delay_ms (call $small)) return)
        (drop (call $now_s)) return)
        (drop (call $uptime_s)) return)
        (drop (call $keep_get (call $small))) return)
        (drop (call $keep_set (call $small) (call $rnd))) return)
      (call $deadly))""",
    data(0, b"data\0ic/esp32/status\0ic/zone1/x\0ic/other/x\0#\0$SYS/a\0a//b\0..\0"),
    data(64, "água\0".encode() + b"\xff\xfe\0" + b"x" * 70 + b"\0" + b'{"raw":1}\0' + b"a" * 30),
    init="i32.const 5",
)


def adventure(path: str) -> tuple[list[bytes], list[list[int]], list[str]]:
    """Tapes, states and traps of three guests over 600 steps, rebooted after a trap."""
    rng = np.random.default_rng(20230415)
    names = ["esp32", "zone1", "zone2"]
    with SimNodes(RANDOM_CALLS, 3, names=names, path=path) as nodes:
        nodes.boot(0)
        states: list[list[int]] = []
        traps: list[str] = []
        tapes = [b""] * 3
        for k in range(600):
            nodes.online[:] = rng.integers(0, 2, 3)
            moisture = rng.integers(-(2**31), 2**31, (3, 4)).astype(np.int32)
            nodes.step(k * 1000, moisture)
            used = nodes.rows[:, hostcalls.USED]
            states.append([*nodes.outputs.ravel(), *nodes.wake_ms, *nodes.trap, *used])
            for zone in np.flatnonzero(nodes.trap):
                error = nodes.trap_error(int(zone))
                traps.append(f"{zone} {error}")
                nodes.boot(k * 1000, [int(zone)])
            if k % 97 == 0:
                tapes = [tape + nodes.drain_tape(z) for z, tape in enumerate(tapes)]
        return [tape + nodes.drain_tape(z) for z, tape in enumerate(tapes)], states, traps


@needs_compiler
def test_both_paths_agree_on_everything_a_guest_can_see() -> None:
    fast_tapes, fast_states, fast_traps = adventure("fast")
    tapes, states, traps = adventure("ordinary")

    assert fast_tapes == tapes
    assert fast_states == states
    assert fast_traps == traps
    text = "\n".join(line for tape in tapes for line in lines(tape))
    for name in IMPORTS:
        assert f"{name}(" in text
    for kind in (
        "unreachable", "integer divide", "memory out of bounds", "out of fuel",
        "bad indirect call", "guest fault", "pointer",
    ):  # fmt: skip
        assert f"trap: {kind}" in text
    for answer in ("invalid", "refused", "offline", "0"):
        assert f"-> {answer}\n" in text


@needs_compiler
def test_the_fast_path_is_in_use_here() -> None:
    found, line = fastpath.status()
    assert found, line
    assert line.startswith("fast path: wasmtime ")


@needs_compiler
def test_a_trap_on_the_fast_path_has_the_wasm_backtrace() -> None:
    guest = reactor("(call $inner)", "(func $inner (result i32) unreachable)")
    with SimNodes(guest, path="fast") as nodes:
        nodes.boot(0)
        nodes.step(0, readings())
        error = nodes.trap_error(0)
    assert error is not None
    assert [frame.split("+")[0] for frame in error.backtrace] == ["inner", "func[14]"]


@needs_compiler
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 4), np.int32),
        np.zeros((1, 3), np.int32),
    ],
)
def test_readings_of_a_wrong_shape_are_refused(wrong: object) -> None:
    with SimNodes(reactor("i32.const 1"), path="fast") as nodes:
        nodes.boot(0)
        with pytest.raises(GuestError, match=r"must be int32 of shape \(1, 4\)"):
            nodes.step(0, wrong)


@pytest.fixture
def fresh_load() -> object:
    """The set-up as in a new process."""
    fastpath._load.cache_clear()
    yield
    fastpath._load.cache_clear()


def test_a_missing_private_name_leaves_the_ordinary_path(
    monkeypatch: pytest.MonkeyPatch, fresh_load: object
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setitem(native.C_FUNCTIONS, "wasmtime_no_such_function", None)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)

    found, reason = fastpath.status()

    assert not found
    assert "wasmtime_no_such_function" in reason
    with SimNodes(reactor("i32.const 1000")) as nodes:
        assert nodes.path == "ordinary"
        nodes.boot(0)
        assert nodes.step(0, readings()) == 1
    with pytest.raises(FastPathError, match="no fast path: ordinary path: AttributeError"):
        SimNodes(reactor("i32.const 1000"), path="fast")


def test_under_ci_a_fast_path_that_cannot_be_set_up_is_an_error(
    monkeypatch: pytest.MonkeyPatch, fresh_load: object
) -> None:
    monkeypatch.setitem(native.C_FUNCTIONS, "wasmtime_no_such_function", None)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)
    monkeypatch.setenv("CI", "true")
    why = (
        "no fast path, and CI=true permits no other: ordinary path: AttributeError: .*"
        "wasmtime_no_such_function.*NUMBA_DISABLE_JIT=1 asks for the ordinary path"
    )

    with pytest.raises(FastPathError, match=why):
        SimNodes(reactor("i32.const 1000"))
    with pytest.raises(FastPathError, match=why):
        PureGuest(reactor("i32.const 1000"))
    with SimNodes(reactor("i32.const 1000"), path="ordinary") as nodes:
        assert nodes.path == "ordinary", "it was asked for"

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    fastpath._load.cache_clear()
    assert fastpath.chosen() == "ordinary", "numba is off on purpose"


def test_a_structure_of_another_size_leaves_the_ordinary_path(
    monkeypatch: pytest.MonkeyPatch, fresh_load: object
) -> None:
    monkeypatch.setitem(c_api.SIZES, "wasmtime_func_t", 24)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)

    assert fastpath.status() == (
        False,
        "ordinary path: TypeError: wasmtime_func_t has 16 bytes, expected 24",
    )


def test_without_numba_guests_run_on_the_ordinary_path() -> None:
    script = (
        "import wasmtime, numpy as np\n"
        "from levada.guest.fast import fastpath\n"
        "from levada.guest.wasm.fleet import SimNodes\n"
        "from guest_modules import reactor, readings, run, lines\n"
        "print(fastpath.status()[1])\n"
        "guest = reactor('(drop (call $read_sensor (i32.const 0))) i32.const 1000')\n"
        "with SimNodes(guest) as nodes:\n"
        "    print(lines(run(nodes, 1)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "NUMBA_DISABLE_JIT": "1",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == "ordinary path: numba is switched off (NUMBA_DISABLE_JIT)"
    assert "read_sensor(moisture) -> 1800" in second
    assert done.stderr == ""


def test_columns_do_not_overlap() -> None:
    widths = {
        "READINGS": len(Sensor), "CONFIG": 3, "PINS": hostcalls.MAX_PINS,
        "OUTPUTS": hostcalls.MAX_PINS, "MEMORY": 3, "STEP": 2, "KEPT": 8,
    }  # fmt: skip
    columns = [
        "TIME", "DELAYED", "WAKE", "TRAP", "TRAP_CALL", "ONLINE", "CALLS", "LOGGED", "PUBLISHED",
        "CALL_LIMIT", "LOG_LIMIT", "PUBLISH_LIMIT", "ALLOWED", "FUEL", "TICKS", "TAPING",
        "POSITION", "READ", "READINGS", "CONFIG", "PIN_COUNT", "PINS", "OUTPUTS", "EVER_SET",
        "RESULT", "SKEW", "BOOTED", "KEPT", "CONTEXT", "HAS_MEMORY", "MEMORY", "STEP",
        "TRAP_POINTER", "ERROR_POINTER",
        "TAPE_ADDRESS", "TAPE_CAPACITY", "TAPE_ROOM", "PREFIX_ADDRESS", "PREFIX_LENGTH", "USED",
    ]  # fmt: skip
    used = [getattr(hostcalls, name) + k for name in columns for k in range(widths.get(name, 1))]
    assert sorted(used) == list(range(hostcalls.ROW))
