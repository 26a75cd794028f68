"""The folder of compiled kernels: whether it is whole, and an end for old ones.

Every version of the kernels has a folder of its own beside the others.  A marker in it lists the
files that were there after a whole run; a folder whose marker was not touched for 30 days goes when
a new one is filled.  Processes may do this at once: a folder leaves by being renamed, which one of
them can do, and numba compiles again what it misses.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["KEPT_DAYS", "is_whole", "mark_whole", "remove_old"]

KEPT_DAYS: Final = 30.0
_MARKER: Final = "complete"
_NAME: Final = re.compile(r"[0-9a-f]{16}(\.old-\d+)?")
"""Of a folder that is ours; the second form was renamed by a process that did not come further."""


def is_whole(folder: Path) -> bool:
    """Whether everything that a run compiled is still there."""
    try:
        names = (folder / _MARKER).read_text("utf-8").split("\n")
    except OSError:
        return False
    return names != [""] and all((folder / name).is_file() for name in names)


def mark_whole(folder: Path) -> None:
    """List what is there now, as what a run needs."""
    names = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*.nb[ci]"))
    part = folder / f"{_MARKER}.{os.getpid()}"
    part.write_text("\n".join(names), "utf-8")
    part.replace(folder / _MARKER)


def remove_old(base: Path, keep: Path) -> None:
    """Remove the folders of other versions that were not used for 30 days."""
    oldest_s = time.time() - KEPT_DAYS * 86_400.0
    for folder in base.iterdir():
        if folder == keep or folder.is_symlink() or not _NAME.fullmatch(folder.name):
            continue
        with suppress(OSError):  # another process was quicker, or it is not ours to remove
            used_s = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            if used_s < oldest_s:
                away = folder.with_name(f"{folder.name[:16]}.old-{os.getpid()}")
                shutil.rmtree(folder.rename(away), ignore_errors=True)
