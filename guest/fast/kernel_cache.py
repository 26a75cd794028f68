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

__all__ = ["KEPT_DAYS", "is_whole", "mark_used", "mark_whole", "remove_old"]

KEPT_DAYS: Final = 30.0
_MARKER: Final = "complete"
_NAME: Final = re.compile(r"[0-9a-f]{16}(\.old-\d+)?")
"""Of a folder that is ours; the second form was renamed by a process that did not come further."""


def _kernels(folder: Path) -> set[str]:
    """Files of compiled kernels, each as module/file."""
    modules = [entry for entry in os.scandir(folder) if entry.is_dir()]
    return {
        f"{module.name}/{name}"
        for module in modules
        for name in os.listdir(module)
        if name.endswith((".nbc", ".nbi"))
    }


def is_whole(folder: Path) -> bool:
    """Whether everything that a run compiled is still there."""
    try:
        names = (folder / _MARKER).read_text("utf-8").split("\n")
        return names != [""] and _kernels(folder).issuperset(names)
    except OSError:
        return False


def mark_whole(folder: Path) -> None:
    """List what is there now, as what a run needs."""
    part = folder / f"{_MARKER}.{os.getpid()}"
    part.write_text("\n".join(sorted(_kernels(folder))), "utf-8")
    part.replace(folder / _MARKER)


def mark_used(folder: Path) -> None:
    """Keep a whole folder for another 30 days."""
    (folder / _MARKER).touch()


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
