"""The command `levada` in this process: to start an interpreter takes longer than most commands."""

from __future__ import annotations

from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from levada.twin.cli.main import _run

__all__ = ["Done", "levada"]


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    returncode: object
    stdout: str
    stderr: str


def levada(*arguments: str | Path, cwd: Path) -> Done:
    """Run a command as one types it in a folder."""
    out, errors = StringIO(), StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(errors):
        code = _run([*map(str, arguments)])
    return Done(code, out.getvalue(), errors.getvalue())
