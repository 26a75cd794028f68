"""What is installed, what is missing for what, which fast paths are on."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from levada.hil.virtual import BUILD, FIRMWARE, IN_CLONE, esp32_compiler
from levada.sim.scenario.shipped import SHIPPED, names

__all__ = ["Finding", "examine"]

PROGRAMS = {
    "cc": "virtual board, C tests",
    "make": "virtual board, C tests",
    "qemu-xtensa": "emulated Xtensa and ESP32 nodes",
    "qemu-aarch64": "emulated aarch64 node",
    "xtensa-lx106-elf-gcc": "emulated Xtensa node",
    "xtensa-lx106-elf-ld": "emulated ESP32 node",
    "chromium": "tests of report and pages",
    "mosquitto": "tests with an external broker",
}
PACKAGES = {
    "wasmtime": "runs guests",
    "numba": "compiled plant and host calls",
    "simpy": "clock",
    "refet": "reference evapotranspiration",
    "pyarrow": "trace",
    "amqtt": "embedded broker",
    "paho-mqtt": "MQTT clients",
    "pyserial": "devices on a serial line",
    "dash": "live pages",
    "waitress": "serves the live pages",
}
EXTRAS = {
    "ziglang": ("build", "`levada guest build`"),
    "esptool": ("flash", "`levada flash`"),
    "psycopg": ("postgres", "`levada twin --store postgresql://...`"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    purpose: str = ""
    optional: bool = False


def examine() -> list[Finding]:
    """Everything that is worth knowing about this installation."""
    findings = [
        Finding(name="python", ok=sys.version_info >= (3, 11), detail=platform.python_version()),
        _levada(),
        _scenarios(),
        _board(),
        _fast_path(),
        _jit(),
    ]
    for name, purpose in PACKAGES.items():
        found = _package(name)
        findings.append(
            Finding(
                name=name, ok=found is not None, detail=found or "not installed", purpose=purpose
            )
        )
    for name, (extra, purpose) in EXTRAS.items():
        found = _package(name)
        findings.append(
            Finding(
                name=name,
                ok=found is not None,
                detail=found or _advice(extra),
                purpose=purpose,
                optional=True,
            )
        )
    for name, purpose in PROGRAMS.items():
        path = shutil.which(name)
        findings.append(
            Finding(
                name=name,
                ok=path is not None,
                detail=path or "not found",
                purpose=purpose,
                optional=True,
            )
        )
    return [*findings, _esp32_compiler()]


def _advice(extra: str) -> str:
    """How an extra is installed, here."""
    if IN_CLONE:
        return f"in the clone: .venv/bin/python -m pip install -e '.[{extra}]'"
    return f"{sys.executable} -m pip install 'levada[{extra}]'"


def _levada() -> Finding:
    how = "a clone" if IN_CLONE else "installed"
    return Finding(
        name="levada", ok=True, detail=f"{version('levada')}, {how}: {FIRMWARE.parent.resolve()}"
    )


def _scenarios() -> Finding:
    found = names()
    detail = f"{len(found)} in {SHIPPED.resolve()}" if found else f"none in {SHIPPED}"
    return Finding(name="scenarios", ok=bool(found), detail=detail, purpose="`levada scenarios`")


def _board() -> Finding:
    there = (FIRMWARE / "Makefile").is_file()
    detail = f"built in {BUILD}" if there else f"{FIRMWARE} is missing: install levada again"
    return Finding(name="virtual board", ok=there, detail=detail, purpose="`--node virtual`")


def _esp32_compiler() -> Finding:
    found = esp32_compiler()
    return Finding(
        name="LLVM for the ESP32",
        ok=bool(found),
        detail=found or "not found (Debian: clang-22 llvm-22)",
        purpose="emulated ESP32 node",
        optional=True,
    )


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _fast_path() -> Finding:
    from levada.guest.fast import fastpath

    on, detail = fastpath.status()
    return Finding(
        name="fast calls", ok=on, detail=detail, purpose="guest steps without Python", optional=True
    )


def _jit() -> Finding:
    if importlib.util.find_spec("numba") is None:
        return Finding(name="compiler", ok=False, detail="numba is not installed")
    from levada.guest.fast.jit import CACHE, config

    on = not config.DISABLE_JIT
    detail = f"kernels kept in {CACHE}" if on else "off (NUMBA_DISABLE_JIT is set)"
    return Finding(name="compiler", ok=on, detail=detail, purpose="compiled plant", optional=True)
