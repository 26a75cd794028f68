"""Programs that are started: they hear nothing of the terminal, and end when who started them does.

Ctrl-C goes to every process of the terminal's group.  It is for us alone: a board or a broker that
it ended would be missing when we close the valve.  So children get a session of their own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["run_child", "start_child", "until_input_ends"]

GUARD: Final = """
exec 3<&0 </dev/null
{ cat <&3; kill -9 0; } >/dev/null 2>&1 &
guard=$!
"$@" 3<&-
status=$?
kill -9 $guard
exit $status
"""
"""Runs a command that knows nothing of us: when its input ends, all that came of it is killed."""


def until_input_ends() -> None:
    """Wait, in a child, for the end of standard input: whoever started it is gone, or wants it so.

    Not by `sys.stdin`, whose lock an interpreter that ends could not get.
    """
    while os.read(0, 65_536):
        pass


def start_child(command: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
    """A child that ends with its standard input, as `levada.guest.lifecycle.end_process` has it."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **options)


def run_child(
    command: Sequence[str | os.PathLike[str]], **options: Any
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run`, without input: if we are interrupted or killed, nothing of it is left."""
    if os.name != "posix":
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False, **options)
    ours, theirs = os.pipe()
    try:
        guarded = ["sh", "-c", GUARD, "sh", *command]
        return subprocess.run(guarded, stdin=ours, start_new_session=True, check=False, **options)
    finally:
        os.close(ours)
        os.close(theirs)
