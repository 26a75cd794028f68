"""Whether a command can write its file, asked before the work that would be lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import typer

__all__ = ["check_output"]


def check_output(path: Path | None, option: str, *, made: Path | None = None) -> None:
    """Raises BadParameter if no file can be written at `path`, in a folder that is there.

    `made` is a folder that the command makes before it writes.
    """
    if path is None or (made is not None and path.absolute().is_relative_to(made.absolute())):
        return
    is_new = not path.exists() and not path.is_symlink()
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if is_new or path.is_file():  # not a pipe: whoever reads it would take this for its end
            path.open("ab").close()
    except OSError as error:
        raise typer.BadParameter(
            f"{path}: {error.strerror}; name a file that can be written, in a folder that is there",
            param_hint=option,
        ) from None
    if is_new:
        path.unlink()
