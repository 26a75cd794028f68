"""However `levada twin` ends, and whenever: no process, no open port, a store that is whole."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from small_field import scenario

from levada.twin.cli import main as commands
from levada.twin.interrupts import interrupts

MARK = "LEVADA_TEST_MARK"


class Started:
    """`levada twin` as a program, and all processes that come from it."""

    def __init__(self, folder: Path, *options: str) -> None:
        scenario(folder, days=20)
        self.where = folder / "run"
        self.mark = uuid.uuid4().hex
        self.said = folder / "stderr"
        command = [
            *(sys.executable, "-c", "from levada.twin.cli.main import main; main()"),
            *("twin", str(folder / "field.toml"), "--speed", "600x", *options),
            *("--port", "0", "--out", str(self.where)),
        ]
        with self.said.open("w") as stderr:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | {MARK: self.mark},
                text=True,
            )

    def family(self) -> list[psutil.Process]:
        """Those that live, the program itself left out."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if (
                    process.pid != self.process.pid
                    and process.environ().get(MARK) == self.mark
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

    def wait_until(self, what: Callable[[], object], timeout_s: float = 120.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def wait_for_page(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("http://127.0.0.1:")

    def check_nothing_is_left(self, patience_s: float = 20.0) -> None:
        _, alive = psutil.wait_procs(self.family(), timeout=patience_s)
        assert alive == [], [process.cmdline() for process in alive]
        store = self.where / "store.sqlite"
        if store.exists():
            with closing(sqlite3.connect(store)) as raw:
                assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for process in self.family():
            process.kill()


@pytest.fixture
def started(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Started]:
    made = Started(tmp_path, *getattr(request, "param", ("--node", "virtual")))
    yield made
    made.clean_up()


CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MOMENTS: dict[str, Callable[[Started], object]] = {
    "the store is opened": lambda s: (s.where / "store.sqlite.lock").exists(),
    "the first child runs": lambda s: s.family(),
    "the page is there": lambda s: (s.where / "page.json").exists(),
}


def test_the_first_interrupt_stops_the_second_raises_and_closing_hears_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[bool] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with interrupts():
        pass
    assert {number: signal.getsignal(number) for number in before} == before
    with interrupts() as interrupt:
        with pytest.raises(KeyboardInterrupt), interrupt.heard():
            interrupt.stop_with(lambda: stopped.append(True))
            signal.raise_signal(signal.SIGINT)
            assert stopped == [True]
            with pytest.raises(KeyboardInterrupt):  # as if a finaliser had dropped it
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)  # too soon to be another wish
            monkeypatch.setattr("levada.twin.interrupts.PAUSE_S", -1.0)
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert interrupt.came.is_set()
    signal.raise_signal(signal.SIGINT)  # nor what comes after
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted_while_it_starts_it_leaves_nothing(
    started: Started, moment: str, number: signal.Signals
) -> None:
    started.wait_until(lambda: MOMENTS[moment](started))
    started.process.send_signal(number)
    assert started.process.wait(120) == 130
    assert "Traceback" not in started.said.read_text()
    started.check_nothing_is_left()


@pytest.mark.parametrize(
    "pause_s", [0.05, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.0, 0.3))]
)
def test_interrupted_twice_it_leaves_nothing(started: Started, pause_s: float) -> None:
    started.wait_for_page()
    started.process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        started.process.wait(pause_s)
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(120) == 130
    assert "Traceback" not in started.said.read_text()
    started.check_nothing_is_left()


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(moment, marks=pytest.mark.slow) if moment != "the first child runs" else moment
        for moment in MOMENTS
    ],
)
def test_interrupted_all_the_time_it_leaves_nothing(started: Started, moment: str) -> None:
    started.wait_until(lambda: MOMENTS[moment](started))
    deadline = time.monotonic() + 120
    while started.process.poll() is None and time.monotonic() < deadline:
        started.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            started.process.wait(0.002)
    assert started.process.returncode == 130, started.said.read_text()
    said = started.said.read_text()  # Python itself tells of one that it drops in a finaliser
    assert "Traceback" not in said or "Exception ignored in" in said
    started.check_nothing_is_left()


@pytest.mark.parametrize(
    "started",
    [("--node", "virtual"), ("--node", "virtual:mqtt", "--shadow")],
    indirect=True,
    ids=["hil", "shadow"],
)
def test_killed_it_takes_its_children_along(started: Started) -> None:
    started.wait_for_page()
    assert started.family()
    started.process.kill()
    started.process.wait()
    started.check_nothing_is_left()


def test_what_breaks_after_an_interrupt_is_the_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops an interrupt in a finaliser: what it broke off is found missing later."""

    def broken(**_: object) -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise AttributeError("half made")

    monkeypatch.setattr(commands, "_command", lambda: broken)
    before = {number: signal.getsignal(number) for number in CAUGHT}
    try:
        with pytest.raises(SystemExit) as ended:
            commands.main([])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.value.code == 130
    assert "interrupted (AttributeError: half made)" in capsys.readouterr().err
