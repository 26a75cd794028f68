"""Every command that holds a valve closes it when it is interrupted, and hears of it alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import wasmtime

from levada.hil.diff import Diff, NodeRun
from levada.hil.virtual import VirtualDevice
from levada.testing import WEATHER
from levada.twin.cli.main import main

OPENER = (
    '(module (import "env" "set_output" (func $set_output (param i32 i32)))'
    ' (memory (export "memory") 1)'
    ' (func (export "abi_version") (result i32) (i32.const 1))'
    ' (func (export "init") (result i32) (i32.const 1000))'
    ' (func (export "step") (result i32)'
    "  (call $set_output (i32.const 23) (i32.const 1)) (i32.const 3600000)))"
)
"""Opens the valve after a second, and sleeps for an hour."""
SCENARIO = f"""
version = 1
name = "interrupted"
title = "Interrupted"
period.start = 2023-07-06
period.end = 2023-07-07
weather.file = "{WEATHER}"
guest.file = "guest.wasm"

[site]
latitude_deg = 40.45
longitude_deg = -104.64
elevation_m = 1427
utc_offset_h = -7

[[zone]]
name = "maize"
soil.model = "bucket"
soil.texture = "sandy loam"
crop.name = "maize"
crop.planting = 2023-05-02
"""
PLUGIN = """
def test_it_waits(levada_node):
    node = levada_node.open(open("guest.wasm", "rb").read())
    node.boot(1_688_601_600_000)
    node.step(1_688_601_601_000, (2000, 1500, 3700, 0))
    while True:
        signal.pause()
"""
LEVADA = (sys.executable, "-c", "from levada.twin.cli.main import main; main()")
COMMANDS = {
    "run": (*LEVADA, "run", "field.toml", "--speed", "1x", "--node", "{node}"),
    "twin": (*LEVADA, "twin", "field.toml", "--port", "0", "--out", "out", "--node", "{node}"),
    "selftest": (*LEVADA, "selftest", "--steps", "100000000", "--node", "{node}"),
    "pytest": (
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:dash"),
        *("test_plugin.py", "--levada-node", "{node}"),
    ),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture(autouse=True)
def _signals_as_at_a_terminal() -> Iterator[None]:
    """Commands begin with SIGHUP at its default, although the tests may run under `nohup`."""
    before = signal.signal(signal.SIGHUP, lambda *_: None)  # a handler is not handed on
    yield
    signal.signal(signal.SIGHUP, before)


class Held:
    """A command that holds a board which is not its own, and has opened its valve."""

    def __init__(self, command: str, folder: Path, stack: ExitStack) -> None:
        self.pins = folder / "pins"
        board = stack.enter_context(VirtualDevice(pins=self.pins))
        (folder / "guest.wasm").write_bytes(wasmtime.wat2wasm(OPENER))
        (folder / "field.toml").write_text(SCENARIO)
        (folder / "test_plugin.py").write_text("import signal\n" + PLUGIN)
        self.process = subprocess.Popen(
            [part.format(node=f"serial:{board.url}") for part in COMMANDS[command]],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(self._end)
        deadline = time.monotonic() + 120.0
        while "23 1" not in self.pins.read_text().splitlines():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize(
    ("command", "number"), [("run", signal.SIGHUP), *((name, signal.SIGTERM) for name in COMMANDS)]
)
def test_a_command_that_is_terminated_closes_its_valve(
    tmp_path: Path, stack: ExitStack, command: str, number: signal.Signals
) -> None:
    held = Held(command, tmp_path, stack)
    held.process.send_signal(number)
    said, _ = held.process.communicate(timeout=120)
    assert held.process.returncode == (2 if command == "pytest" else 130), said
    assert b"Traceback" not in said
    # closed by the host: the board lives on, and its lease would have taken seconds
    assert held.pins.read_text().splitlines()[-1] == "23 0"


def test_nohup_keeps_a_run_alive_when_its_terminal_is_gone(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "nohup", ("nohup", *COMMANDS["run"]))
    held = Held("nohup", tmp_path, stack)
    held.process.send_signal(signal.SIGHUP)
    held.process.send_signal(signal.SIGTERM)
    held.process.communicate(timeout=120)
    assert held.process.returncode == 130
    assert held.pins.read_text().splitlines()[-1] == "23 0"


def test_children_do_not_take_the_signals_of_the_terminal(tmp_path: Path, stack: ExitStack) -> None:
    """Ctrl-C goes to the whole group of the terminal; all that is started is in another."""
    command = [*COMMANDS["twin"][:-1], "virtual"]
    (tmp_path / "guest.wasm").write_bytes(wasmtime.wat2wasm(OPENER))
    (tmp_path / "field.toml").write_text(SCENARIO)
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdout is not None and process.stdout.readline().startswith(b"http")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3  # the broker, a board and its bench
    assert os.getpgid(process.pid) not in {os.getpgid(child.pid) for child in children}
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 130
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_a_comparison_that_is_interrupted_does_not_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = NodeRun(node="sim", path=tmp_path, summary={"partial": True}, zone=None, difference=None)
    monkeypatch.setattr(
        "levada.hil.diff.diff_nodes", lambda *_args, **_more: Diff(runs=(run,), calls=0)
    )
    monkeypatch.setattr("levada.twin.cli.console.diff", lambda _found: None)
    with pytest.raises(SystemExit) as ended:
        main(["diff", "x.toml", "--node", "sim", "--node", "virtual"])
    assert ended.value.code == 130


FINALISER = """
import os, signal, time
from levada.twin.interrupts import interrupts

class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

with interrupts() as heard:
    with heard.heard():
        Held()
        print("went on", heard.came.is_set(), flush=True)
        while True:
            signal.pause()
"""


def test_an_interrupt_in_a_finaliser_is_neither_lost_nor_printed_in_its_middle() -> None:
    """Python prints what is raised in `__del__`, and goes on."""
    ended = subprocess.run([sys.executable, "-c", FINALISER], capture_output=True, text=True)
    assert ended.stdout == "went on True\n"
    assert "Exception ignored" not in ended.stderr
    assert ended.stderr.endswith("KeyboardInterrupt\n")
