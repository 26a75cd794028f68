"""Memory and processor time of the processes of a trial, as the kernel counts them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessUse", "descendants", "use_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessUse:
    """What a process, or several together, have used so far."""

    pss_kib: int
    """Proportional set size: private pages, and each shared page divided by its users."""
    peak_kib: int
    """Most resident memory, pages shared with others included; of several: the sum."""
    cpu_s: float
    """On a core, by the scheduler's own clock."""

    def __add__(self, other: ProcessUse) -> ProcessUse:
        return ProcessUse(
            pss_kib=self.pss_kib + other.pss_kib,
            peak_kib=self.peak_kib + other.peak_kib,
            cpu_s=self.cpu_s + other.cpu_s,
        )


def _kib(path: Path, key: str) -> int:
    for line in path.read_text("ascii", "replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0


def use_of(pid: int) -> ProcessUse:
    """Of one process; OSError if it has ended."""
    process = Path("/proc", str(pid))
    on_cpu_ns = sum(
        int(task.read_text("ascii").split()[0]) for task in process.glob("task/*/schedstat")
    )
    return ProcessUse(
        pss_kib=_kib(process / "smaps_rollup", "Pss"),
        peak_kib=_kib(process / "status", "VmHWM"),
        cpu_s=on_cpu_ns / 1e9,
    )


def descendants(pid: int) -> Iterator[int]:
    """Processes that a process has started, and those that these have."""
    with suppress(OSError):
        for task in Path("/proc", str(pid), "task").glob("*/children"):
            for child in map(int, task.read_text("ascii").split()):
                yield child
                yield from descendants(child)
