"""Processes that are watched: ready, ended, killed, and not left behind."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from typing import Any

import pytest

from levada.twin.continuum import supervisor
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


def test_the_last_lines_are_passed_on_however_slow_who_hears_them() -> None:
    lines: queue.Queue[str] = queue.Queue()

    def tell(line: str) -> None:
        if line == "last":
            while not gone(pid):
                pass  # it is waited for in another thread
            NEVER.wait(0.2)  # what that thread does next is to have happened
        lines.put(line)

    talkative = (
        "import os, sys; print(os.getpid(), flush=True); sys.stdin.read(); print('last\\nbut one')"
    )
    with Supervised("part", [sys.executable, "-c", talkative], tell) as part:
        pid = int(lines.get(timeout=60))
        assert pid == part.pid
    assert [lines.get(timeout=60) for _ in range(2)] == ["last", "but one"]
    assert part.over


def test_one_that_cannot_be_started_again_at_once_is_tried_until_it_can(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines: queue.Queue[str] = queue.Queue()
    with supervised(WELL, lines) as part:
        pid = int(lines.get(timeout=60))
        start, refusals = supervisor.start_child, [BlockingIOError("no more processes")] * 2

        def start_child(*arguments: Any, **options: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return start(*arguments, **options)

        monkeypatch.setattr(supervisor, "start_child", start_child)
        os.kill(pid, signal.SIGKILL)
        assert int(lines.get(timeout=60)) == part.pid != pid
        assert part.restarts == 1
    assert caplog.text.count("part cannot be started: no more processes") == 2
