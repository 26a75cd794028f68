"""The virtual board as a process of its own, built when it is first wanted.

    with VirtualDevice("xtensa") as device:
        link = Link(device.port())

The board ends with whoever started it, however that one ends: it reads the end of its standard
input.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import selectors
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from subprocess import PIPE
from typing import Final

from levada.guest.children import run_child, start_child
from levada.guest.lifecycle import Closing, end_process
from levada.hil.errors import HilError, LinkError, UsageError
from levada.hil.line.serial_port import Port

__all__ = [
    "BUILD",
    "ENGINES",
    "FIRMWARE",
    "IN_CLONE",
    "VirtualDevice",
    "allow_boards",
    "build_board",
    "esp32_compiler",
]

FIRMWARE: Final = Path(str(files("levada"))) / "firmware"


IN_CLONE: Final = (FIRMWARE.resolve().parent / "setup.cfg").is_file()
"""Whether levada runs from a clone, and not from where a wheel was installed."""


def _build_folder() -> Path:
    """Beside the sources in a clone; else in the user's cache, by what the sources say: no two
    versions meet there, and nothing is written where levada is installed."""
    if IN_CLONE:
        return FIRMWARE.resolve() / "build"
    text = hashlib.sha256()
    for folder in (FIRMWARE, FIRMWARE.parent / "guest" / "include"):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            text.update(path.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "levada" / f"firmware-{version('levada')}-{text.hexdigest()[:16]}"


BUILD: Final = _build_folder()
"""Where boards are built, and kept."""

ENGINES: Final = ("wasm3", "wasmtime", "native", "xtensa", "esp32", "aarch64", "wamr")
"""What the board can be: an engine on this computer, or wasm3 on an emulated processor."""

EMULATED: Final = {
    "xtensa": (
        ("qemu-xtensa", "xtensa-lx106-elf-gcc"),
        "qemu-user, gcc-xtensa-lx106, picolibc-xtensa-lx106-elf",
    ),
    "esp32": (
        ("qemu-xtensa", "xtensa-lx106-elf-ld"),
        "qemu-user, binutils-xtensa-lx106, clang-22, llvm-22",
    ),
    "aarch64": (
        ("qemu-aarch64", "aarch64-linux-gnu-gcc"),
        "qemu-user, gcc-aarch64-linux-gnu, libc6-dev-arm64-cross",
    ),
}
"""Boards on emulated processors: the emulator, a program that builds them, Debian's packages."""
START_S: Final = 20.0
END_S: Final = 5.0
DESCRIPTORS: Final = 8
"""Open files of this process for a board and the line to it."""
OTHER_DESCRIPTORS: Final = 256
"""Open files of this process for everything else."""


def allow_boards(count: int) -> None:
    """Let this process have as many open files as so many virtual boards need.

    Raises UsageError, before any of them is started, if the system does not permit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OTHER_DESCRIPTORS + DESCRIPTORS * count
    if resource.RLIM_INFINITY not in (soft, hard) and hard < needed:
        most = max(0, (hard - OTHER_DESCRIPTORS) // DESCRIPTORS)
        raise UsageError(
            f"{count} virtual boards need {needed} open files in this process, and {hard} are "
            f"permitted, enough for {most} boards: raise the limit (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def build_board(engine: str) -> Path:
    """The program `levada-device`, with the board of that engine beside it, up to date.

    Raises HilError that says what is missing, or what the compiler said.
    """
    if engine not in ENGINES:
        raise UsageError(f"virtual board `{engine}`: permitted {', '.join(ENGINES)}")
    if not (FIRMWARE / "Makefile").is_file():
        raise HilError(f"{FIRMWARE} is missing: levada is not whole, install it again")
    (emulator, *_), packages = EMULATED.get(engine, (("",), ""))
    if emulator and shutil.which(emulator) is None:
        raise HilError(f"virtual:{engine} needs {emulator} (Debian: {packages})")
    device, board = BUILD / "levada-device", BUILD / f"levada-board-{engine}"
    if engine == "wamr" and not os.environ.get("LEVADA_WAMR_DIR"):
        # no registry has its library, but a board that was built by hand runs as it is
        if board.is_file():
            return device
        raise HilError(
            f"{board} is missing: LEVADA_WAMR_DIR must say where libiwasm is (docs/firmware.md)"
        )
    if shutil.which("make") is None:
        raise HilError("the virtual board needs make and a C compiler (Debian: make gcc libc6-dev)")
    with _alone():
        done = run_child(
            [
                *(
                    "make",
                    "-s",
                    f"-j{os.cpu_count() or 1}",
                    "-C",
                    str(FIRMWARE),
                    f"PYTHON={sys.executable}",
                    f"BUILD={BUILD}",
                ),
                *(str(path) for path in (device, board)),
            ],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        if missing := _missing(engine):
            raise HilError(f"virtual:{engine} needs {', '.join(missing)} (Debian: {packages})")
        raise HilError(
            f"the virtual board does not build:\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
        )
    return device


def _missing(engine: str) -> list[str]:
    """Programs that build and run a board on an emulated processor, and are not here."""
    programs, _ = EMULATED.get(engine, ((), ""))
    missing = [name for name in programs if shutil.which(name) is None]
    if engine == "esp32" and not esp32_compiler():
        missing.append("clang, llc and llvm-mc that know the ESP32")
    return missing


def esp32_compiler() -> str:
    """Names of LLVM's programs that make code for the ESP32, empty if there are none."""
    script = FIRMWARE / "port" / "qemu-esp32" / "find-llvm.sh"
    return str(run_child(["sh", str(script)], capture_output=True, text=True).stdout).strip()


@contextmanager
def _alone() -> Iterator[None]:
    """Two that build at once would write the same files."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class VirtualDevice(Closing):
    """A running virtual board; `url` is where pyserial finds it.

    `pins` is a file that gets a line for every change of a pin, `flash` one that keeps guest and
    parameters; `tcp` listens there (0: any free port) instead of on a pseudo terminal.  `trust` are
    public keys, hexadecimal, at most two: only a module that one of them has signed is installed.
    `options` go to `levada-device` as they are.
    """

    def __init__(
        self,
        engine: str = "wasm3",
        *,
        pins: Path | None = None,
        flash: Path | None = None,
        tcp: int | None = None,
        trust: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        self.engine = engine
        self._flash = flash
        program = build_board(engine)
        arguments = ["--engine", engine, "--until-eof", *options]
        for key in trust:
            arguments += ["--trust", key]
        if pins is not None:
            arguments += ["--pins", str(pins)]
        if flash is not None:
            arguments += ["--flash", str(flash)]
        if tcp is not None:
            arguments += ["--tcp", str(tcp)]
        self.process = start_child([program, *arguments], stdout=PIPE)
        self.url = self._announced()

    def _announced(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as announced:
            announced.register(self.process.stdout, selectors.EVENT_READ)
            ready = announced.select(START_S)
        url = self.process.stdout.readline().decode().strip() if ready else ""
        if not url:
            self.close()
            said = f"virtual:{self.engine} did not start: exit {self.process.returncode}"
            raise LinkError(said if self._flash is None else f"{said}; is {self._flash} in use?")
        return url

    def port(self) -> Port:
        """The line to it, which is not opened again once the board has ended."""
        return Port(self.url, ended=self._ended)

    def _ended(self) -> str:
        code = self.process.poll()
        return "" if code is None else f"the virtual board has ended (exit code {code})"

    def close(self) -> None:
        """End the board; more than once does no harm."""
        end_process(self.process, END_S)
