"""L8 of the serial matrix: the terminal goes, and comes back as another one under the same name."""

from __future__ import annotations

import errno
import os
import pty
import select
import termios
import tty
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest
from lockstep import START_MS, STEP_MS, TOGGLER

from levada.guest.node import StepResult
from levada.guest.wasm.node import WasmtimeNode
from levada.hil.errors import LinkError
from levada.hil.line.serial_port import Port
from levada.hil.link import Link, Patience
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.messages import GetStatistics, Statistics

PATIENCE = Patience(tries=50)
"""How often a link tries is not what is tested here, and the computer may be busy."""


class Cable:
    """Between a board and a host that knows it by a name in the file system."""

    def __init__(self, board: str, name: Path) -> None:
        self.name = name
        self.mute = Event()
        """Answers stay in the cable."""
        self.asked = Event()
        """A request has passed while it was mute."""
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board)
        self._thread: Thread | None = None

    def plug(self) -> None:
        self._plug, host = pty.openpty()
        tty.setraw(host)
        self._stop, self._stopper = os.pipe()
        self._thread = Thread(target=self._carry, args=(self._plug, self._stop))
        self._thread.start()
        self._host = host
        self.name.symlink_to(os.ttyname(host))

    def unplug(self) -> None:
        if self._thread is not None:
            self.name.unlink()
            os.close(self._stopper)
            self._thread.join()
            self._thread = None
            for file in (self._stop, self._plug, self._host):
                os.close(file)

    def _carry(self, plug: int, stop: int) -> None:
        while True:
            listened = [plug, stop] if self.mute.is_set() else [plug, stop, self._board]
            ready, _, _ = select.select(listened, [], [])
            if stop in ready:
                return
            if plug in ready:
                os.write(self._board, os.read(plug, 4096))
                if self.mute.is_set():
                    self.asked.set()
            if self._board in ready:
                os.write(plug, os.read(self._board, 4096))

    def close(self) -> None:
        self.unplug()
        os.close(self._board)


class Missed(Port):
    """Tells when it was looked for in vain."""

    def __init__(self, url: str) -> None:
        self.missing = Event()
        self.misses = 0
        super().__init__(url)

    def open(self) -> None:
        try:
            super().open()
        except LinkError:
            self.misses += 1
            self.missing.set()
            raise


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    with VirtualDevice() as device:
        found = Cable(device.url, tmp_path / "board")
        found.plug()
        yield found
        found.close()


def test_l8_a_terminal_that_went_is_found_again_and_no_command_is_doubled(cable: Cable) -> None:
    port = Missed(str(cable.name))
    node, twin = DeviceNode(Link(port, patience=PATIENCE), TOGGLER), WasmtimeNode(TOGGLER)
    assert node.boot(START_MS).tape == twin.boot(START_MS).tape
    missed = []  # how often it was looked for in vain although it was there again

    def step(k: int) -> StepResult:
        return node.step(START_MS + k * STEP_MS, (2000, 1500, 3700, k))

    with ThreadPoolExecutor(1) as pool:
        for k in range(1, 11):
            port.missing.clear()
            if k % 2:  # between two requests
                cable.unplug()
                stepping = pool.submit(step, k)
            else:  # in the middle of one, which the board has had
                cable.asked.clear()
                cable.mute.set()
                stepping = pool.submit(step, k)
                assert cable.asked.wait(60)
                cable.unplug()
            assert port.missing.wait(60)
            cable.mute.clear()
            cable.plug()
            before = port.misses
            result = stepping.result(60.0)
            missed.append(port.misses - before)
            expected = twin.step(START_MS + k * STEP_MS, (2000, 1500, 3700, k))
            assert result.tape == expected.tape
        statistics = node.link.ask(GetStatistics(), Statistics)
    assert statistics.steps == 10
    assert node.link.quality.reopened == 10
    node.close()
    twin.close()
    assert max(missed) <= 1  # one look may have been under way; the next follows 0.05 s later


def test_a_board_that_has_ended_is_not_looked_for_under_the_name_of_its_terminal() -> None:
    """The kernel gives the number of a pseudo terminal to whoever asks next."""
    with VirtualDevice() as device:
        port = device.port()
        node = DeviceNode(Link(port, patience=Patience(reopen_s=0.2)), TOGGLER)
        node.boot(START_MS)
        device.process.kill()
        device.process.wait()
        strangers, terminal = pty.openpty()
        tty.setraw(terminal)
        port.url = os.ttyname(terminal)  # as if it had got the same number
        with pytest.raises(LinkError):
            node.step(START_MS + STEP_MS, (2000, 1500, 3700, 0))
        assert not select.select([strangers], [], [], 0)[0], "a stranger was written to"
        node.close()
        os.close(strangers)
        os.close(terminal)


def test_a_terminal_that_goes_while_it_is_opened_is_an_error_of_the_link(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = Port(str(cable.name))

    def gone(*_arguments: object) -> None:
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr(termios, "tcsetattr", gone)
    with pytest.raises(LinkError, match="cannot be opened"):
        port.open()
    monkeypatch.undo()
    port.open()
    port.close()
