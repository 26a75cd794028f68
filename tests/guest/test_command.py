from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from guest_modules import data, lines, module, reactor, readings, run

from levada.guest.abi import TrapKind
from levada.guest.errors import GuestError
from levada.guest.fast import hostcalls
from levada.guest.fast.hostcalls import NEVER_MS
from levada.guest.limits import Budget
from levada.guest.wasm.command import CommandThread, Unwind
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.node import WasmtimeNode

# The shape of guests made for ESP32 boards: two pages, reports as JSON, loops for ever.
LOOP = """
  (call $wasm_log (i32.const 0))
  (loop $for_ever
    (call $set_output (i32.const 23)
      (i32.gt_s (call $read_sensor (i32.const 0)) (call $get_config (i32.const 2))))
    (drop (call $mqtt_publish (i32.const 16) (i32.const 32)))
    (call $delay_ms (i32.const 3000))
    (br $for_ever))"""
STRINGS = data(0, b"started\0        ic/esp32/data\0  " + b'{"umidade":2300}\0')


def command(body: str, *fields: str, entry: str = "main", params: str = "") -> bytes:
    return module(
        f'(func (export "{entry}") {params} {"(result i32)" if entry != "_start" else ""} {body})',
        *fields,
        memory="2",
    )


@pytest.fixture
def no_threads_are_left() -> object:
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert {t.name for t in left} <= {"levada watchdog"}


pytestmark = pytest.mark.usefixtures("no_threads_are_left")


@pytest.mark.parametrize(
    ("entry", "params"),
    [("main", ""), ("main", "(param i32 i32)"), ("__main_void", ""), ("_start", "")],
)
def test_a_loop_in_main_runs_between_its_delays(entry: str, params: str) -> None:
    tail = "" if entry == "_start" else "unreachable"
    with SimNodes(command(LOOP + tail, STRINGS, entry=entry, params=params)) as nodes:
        assert nodes.path == "ordinary"
        nodes.boot(0)
        ran = [nodes.step(t, readings(values=(2300, 0, 0, 0))) for t in range(0, 6_001, 1_500)]
        text = lines(nodes.drain_tape(0))
        state = (nodes.wake_ms[0], nodes.outputs.tolist(), nodes.trap[0])
    assert ran == [1, 0, 1, 0, 1]
    once = [
        "read_sensor(moisture) -> 2300",
        "get_config(limit) -> 2000",
        "set_output(23, 1)",
        r'mqtt_publish("ic/esp32/data", "{\"umidade\":2300}") -> 0',
        "delay_ms(3000)",
    ]
    assert text == [
        "boot at 1970-01-01T00:00:00",
        "main at 1970-01-01T00:00:00",
        'wasm_log("started")',
        *once,
        "main at 1970-01-01T00:00:03",
        *once,
        "main at 1970-01-01T00:00:06",
        *once,
    ]
    assert state == (9_000, [[1, 0, 0, 0]], 0)


def test_readings_are_injected_before_every_run() -> None:
    guest = command(LOOP + "unreachable", STRINGS)
    with SimNodes(guest) as nodes:
        nodes.boot(0)
        opened = []
        for k, moisture in enumerate((2300, 1500, 2300)):
            nodes.step(3_000 * k, readings(values=(moisture, 0, 0, 0)))
            opened.append(int(nodes.outputs[0, 0]))
    assert opened == [1, 0, 1]


def test_many_commands_take_turns() -> None:
    guest = command(LOOP + "unreachable", STRINGS)
    with SimNodes(guest, 5) as nodes:
        nodes.boot(0)
        assert [nodes.step(3_000 * k, readings(5)) for k in range(10)] == [5] * 10
        tapes = {nodes.drain_tape(z) for z in range(5)}
    assert len(tapes) == 1


def test_two_runs_are_equal_byte_by_byte() -> None:
    guest = command(LOOP + "unreachable", STRINGS)
    tapes = []
    for _ in range(2):
        with SimNodes(guest) as nodes:
            tapes.append(run(nodes, 20))
    assert tapes[0] == tapes[1]


def test_a_main_that_returns_has_finished() -> None:
    guest = command("(call $set_output (i32.const 23) (i32.const 1)) i32.const -3")
    with SimNodes(guest) as nodes:
        tape = run(nodes, 3)
        assert nodes.trap[0] == TrapKind.NONE
        assert nodes.wake_ms[0] == NEVER_MS
        assert nodes.outputs[0, 0] == 1
    assert lines(tape)[-1] == "return -3"
    assert lines(tape).count("return -3") == 1


def test_a_delay_of_nothing_still_lets_time_pass() -> None:
    for ms, wait in ((0, 1), (-5, 1), (2**31 - 1, 2**31 - 1)):
        guest = command(f"(loop (call $delay_ms (i32.const {ms})) (br 0)) unreachable")
        with SimNodes(guest) as nodes:
            run(nodes)
            assert nodes.wake_ms[0] == wait


def test_a_loop_without_a_delay_runs_out_of_fuel() -> None:
    with SimNodes(command("(loop (br 0)) unreachable")) as nodes:
        run(nodes)
        error = nodes.trap_error(0)
    assert error is not None
    assert error.kind == TrapKind.OUT_OF_FUEL
    assert error.function == "main"


def test_every_run_between_delays_has_a_fresh_budget() -> None:
    calls = "(call $log_int (i32.const 1))" * 9
    guest = command(f"(loop {calls} (call $delay_ms (i32.const 1)) (br 0)) unreachable")
    with SimNodes(guest, budget=Budget(host_calls=10, instructions=200)) as nodes:
        nodes.boot(0)
        for k in range(50):
            assert nodes.step(k, readings()) == 1
        assert nodes.trap[0] == TrapKind.NONE


def test_instructions_are_counted_from_delay_to_delay() -> None:
    guest = command("(loop (call $delay_ms (i32.const 1)) (br 0)) unreachable")
    with SimNodes(guest) as nodes:
        nodes.boot(0)
        used = []
        for k in range(4):
            nodes.step(k, readings())
            used.append(int(nodes.rows[0, hostcalls.USED]))
    assert 0 < used[1] < 10
    assert used[1] == used[2] == used[3]


def test_a_trap_in_main_stops_only_its_guest() -> None:
    guest = command(
        """(loop $for_ever
          (call $set_output (i32.const 23) (i32.const 1))
          (call $delay_ms (i32.const 1000))
          (if (i32.lt_s (call $read_sensor (i32.const 0)) (i32.const 0)) (then unreachable))
          (br $for_ever)) unreachable"""
    )
    with SimNodes(guest, 3) as nodes:
        nodes.boot(0)
        both = readings(3)
        nodes.step(0, both)
        both[1, 0] = -2
        assert nodes.step(1_000, both) == 3
        assert nodes.trap.tolist() == [0, TrapKind.UNREACHABLE, 0]
        assert nodes.outputs[:, 0].tolist() == [1, 0, 1]
        assert nodes.step(2_000, both) == 2
        both[1, 0] = 1800
        nodes.boot(2_000, [1])
        assert nodes.step(2_000, both) == 1
        assert nodes.outputs[:, 0].tolist() == [1, 1, 1]


def test_a_reboot_unwinds_the_old_run() -> None:
    with SimNodes(command(LOOP + "unreachable", STRINGS)) as nodes:
        for k in range(5):
            nodes.boot(k)
            nodes.step(k, readings())
        starts = [line for line in lines(nodes.drain_tape(0)) if "started" in line]
    assert len(starts) == 5


def test_a_command_guest_is_a_node_too() -> None:
    node = WasmtimeNode(command(LOOP + "unreachable", STRINGS))
    node.boot(0)
    result = node.step(0, (2300, 0, 0, 0))
    assert result.wake_ms == 3_000
    assert result.publications == [("ic/esp32/data", '{"umidade":2300}')]
    node.install(reactor("i32.const 1000"))
    node.boot(0)
    assert node.step(0, (2300, 0, 0, 0)).wake_ms == 1_000
    node.close()


def test_the_fast_path_is_not_for_commands() -> None:
    with pytest.raises(GuestError, match="command guests take the ordinary path"):
        SimNodes(command("i32.const 0"), path="fast")


def test_a_process_ends_with_a_guest_in_its_delay() -> None:
    script = (
        "from test_command import *\n"
        "nodes = SimNodes(command(LOOP + 'unreachable', STRINGS))\n"
        "run(nodes)\n"
        "print(threading.active_count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "3\n"  # this one, the guest's, the watchdog
    assert done.stderr == ""


# The hand-off itself


def test_resume_and_pause_alternate_strictly() -> None:
    order: list[str] = []

    def main() -> None:
        for k in range(3):
            order.append(f"guest {k}")
            thread.pause()

    thread = CommandThread(main, "test")
    for k in range(4):
        order.append(f"host {k}")
        thread.resume()
    assert order == ["host 0", "guest 0", "host 1", "guest 1", "host 2", "guest 2", "host 3"]
    assert thread.finished
    thread.resume()
    thread.close()


def test_what_main_raises_is_raised_by_resume_once() -> None:
    def main() -> None:
        raise KeyError("lost")

    thread = CommandThread(main, "test")
    with pytest.raises(KeyError):
        thread.resume()
    thread.resume()
    thread.close()


def test_close_unwinds_a_paused_main_and_one_that_never_ran() -> None:
    unwound: list[str] = []

    def main() -> None:
        try:
            thread.pause()
        except Unwind:
            unwound.append("paused")
            raise

    thread = CommandThread(main, "test")
    thread.resume()
    thread.close()
    never = CommandThread(lambda: unwound.append("ran"), "test")
    never.close()
    assert unwound == ["paused"]
