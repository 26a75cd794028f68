"""Processes that are watched: ready, ended, killed, and not left behind."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading

import pytest

from levada.twin.continuum.supervisor import Supervised
from levada.twin.errors import TwinError

WELL = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read(); print('bye', flush=True)"
NEVER = threading.Event()


def supervised(code: str, lines: queue.Queue[str]) -> Supervised:
    return Supervised("part", [sys.executable, "-c", code], lines.put)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_is_ready_with_its_first_line_and_ends_with_its_input() -> None:
    lines: queue.Queue[str] = queue.Queue()
    with supervised(WELL, lines) as part:
        part.wait(60.0, NEVER)
        pid = int(lines.get(timeout=60))
        assert pid == part.pid
    assert lines.get(timeout=60) == "bye"
    assert gone(pid)
    assert (part.over, part.exit_code, part.restarts) == (True, 0, 0)


def test_one_that_is_killed_is_started_again() -> None:
    lines: queue.Queue[str] = queue.Queue()
    with supervised(WELL, lines) as part:
        pids = []
        for _ in range(3):
            pids.append(int(lines.get(timeout=60)))
            os.kill(pids[-1], signal.SIGKILL)
        last = int(lines.get(timeout=60))
        assert part.restarts == 3
    assert len({*pids, last}) == 4
    assert gone(last)


def test_one_that_cannot_start_is_said_so_and_not_tried_again() -> None:
    lines: queue.Queue[str] = queue.Queue()
    with (
        supervised("import sys; sys.exit(2)", lines) as part,
        pytest.raises(TwinError, match="part ended with exit code 2"),
    ):
        part.wait(60.0, NEVER)
    assert part.restarts == 0


def test_one_that_has_done_its_work_is_left_alone() -> None:
    lines: queue.Queue[str] = queue.Queue()
    with supervised("print('done')", lines) as part:
        part.wait(60.0, NEVER)
        assert lines.get(timeout=60) == "done"
        part.finished.wait(60)
        assert (part.over, part.exit_code, part.restarts) == (True, 0, 0)


def test_who_does_not_want_to_wait_does_not() -> None:
    stop = threading.Event()
    stop.set()
    lines: queue.Queue[str] = queue.Queue()
    with supervised("import sys; sys.stdin.read()", lines) as part:
        part.wait(60.0, stop)
        assert not part.over
