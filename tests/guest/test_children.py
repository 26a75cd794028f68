"""Programs that are started hear nothing of the terminal and do not outlive who started them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from levada.guest.children import run_child, start_child
from levada.guest.lifecycle import end_process

GRANDCHILD = "sleep 600 & echo $! >>{pids}; echo $$ >>{pids}; sleep 600"
"""A command that starts another one, as `make` starts a compiler."""


def family(pids: Path) -> list[psutil.Process]:
    """Both of them, or those that are left."""
    found = []
    for pid in pids.read_text().split():
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(int(pid)))
    return found


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=60)[1]


def test_a_child_that_runs_to_its_end_gives_code_and_output_and_reads_nothing() -> None:
    code = "import sys; print(repr(sys.stdin.read())); print('e', file=sys.stderr); sys.exit(7)"
    done = run_child([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, "''\n", "e\n")


def test_children_are_in_no_group_of_ours() -> None:
    code = "import os; print(os.getpgrp(), os.getsid(0), flush=True); input()"
    ran = run_child([sys.executable, "-c", code], capture_output=True, text=True)
    started = start_child([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    for line in (ran.stdout, started.stdout.readline()):
        group, session = map(int, line.split())
        assert group != os.getpgrp()
        assert session != os.getsid(0)
    end_process(started, 60)
    assert started.returncode == 1  # EOFError: it ends with its input


def test_a_child_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(subprocess.TimeoutExpired):
        run_child(["sh", "-c", GRANDCHILD.format(pids=pids)], timeout=3.0, capture_output=True)
    assert pids.exists()
    assert gone(family(pids))


def test_a_parent_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
from levada.guest.children import run_child
run_child(["sh", "-c", {GRANDCHILD.format(pids=pids)!r}], capture_output=True)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        while not pids.exists() or len(pids.read_text().split()) < 2:
            assert parent.poll() is None
        left = family(pids)
        assert len(left) == 2
        parent.kill()
    assert gone(left)
