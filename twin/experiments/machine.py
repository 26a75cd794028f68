"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

__all__ = ["BUSY_SHARE", "busy_share", "cpu_jiffies", "machine_record"]

BUSY_SHARE: Final = 0.10
"""Share of all cores that others may use before a trial counts as one on a busy machine."""
_PACKAGES: Final = ("levada", "wasmtime", "numpy", "scipy", "amqtt", "paho-mqtt", "numba")


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _governor() -> str:
    try:
        path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        return path.read_text("ascii").strip()
    except OSError:
        return "not told by the kernel"


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", platform.python_version()
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield package, version(package)


def machine_record() -> dict[str, Any]:
    """Processor, kernel, governor, load and versions."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "governor": _governor(),
        "load_1_5_15_min": list(os.getloadavg()),
        "versions": dict(_versions()),
    }


def cpu_jiffies() -> tuple[int, int]:
    """Time that all cores were busy, stolen time included, and all of their time [clock ticks]."""
    fields = [int(n) for n in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def busy_share(before: tuple[int, int], after: tuple[int, int], own_s: float) -> float:
    """Share of all cores' time that others used between two readings; `own_s` was ours [s]."""
    ours = own_s * os.sysconf("SC_CLK_TCK")
    return max(0.0, (after[0] - before[0] - ours) / max(1, after[1] - before[1]))
