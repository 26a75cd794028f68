"""Finds the programs that the tests need, installs them as root, or says how to.

Usage: `python tests/tools.py` for all, `--python` for what the environment itself needs, `--fuzz`
for libFuzzer.  Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINKS = """\
levada/sim is no link to the folder sim: git has written text files in the place of symbolic links.
On Windows turn Developer Mode on, then: git config core.symlinks true && git checkout -- levada"""

PROGRAMS = {
    "cc": "gcc libc6-dev",
    "objcopy": "binutils",
    "xtensa-lx106-elf-gcc": "gcc-xtensa-lx106 picolibc-xtensa-lx106-elf",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "qemu-xtensa": "qemu-user",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "mosquitto": "mosquitto",
    "initdb": "postgresql",
    "pgbouncer": "pgbouncer",
    "ip": "iproute2",
    "systemd-analyze": "systemd",
}
"""Program -> the Debian packages that bring it."""

FIND_LLVM = ROOT / "levada/firmware/port/qemu-esp32/find-llvm.sh"
LLVM = ["clang-22", "llvm-22"]
"""What brings the programs that FIND_LLVM looks for: Debian 12 has it, others may not."""
FUZZERS = {"clang": "clang libclang-rt-dev"}
"""The same for `make nightly` alone."""

FOLDERS = ["/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
"""Where Debian puts programs that are not on the path of everybody."""


def missing(programs: dict[str, str]) -> list[str]:
    """Debian packages that are not there."""
    packages: list[str] = []
    if importlib.util.find_spec("ensurepip") is None:
        packages.append(f"python3.{sys.version_info.minor}-venv")
    for program, names in programs.items():
        if shutil.which(program, path=":".join([os.environ["PATH"], *FOLDERS])) is None:
            packages += names.split()
    return packages


def llvm_found() -> bool:
    """Whether code for the ESP32 can be made."""
    return subprocess.run(["sh", FIND_LLVM], capture_output=True, check=False).returncode == 0


def esp32_skipped() -> str:
    """Why the board `esp32` is not tested, if it is not; in CI it must be."""
    if os.environ.get("CI") == "true" or llvm_found():
        return ""
    return f"no LLVM that knows the ESP32 (Debian: {' '.join(LLVM)})"


def llvm_known() -> bool:
    """Whether apt has LLVM, or cannot be asked."""
    if shutil.which("apt-cache") is None:
        return True
    known = subprocess.run(["apt-cache", "show", *LLVM], capture_output=True, check=False)
    return known.returncode == 0


def main() -> int:
    """Exit code 0 if everything is there afterwards."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it may be run by any Python
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    if not (ROOT / "levada" / "sim").is_dir():
        print(LINKS, file=sys.stderr)
        return 1
    programs = {"--python": {}, "--fuzz": FUZZERS}.get(" ".join(sys.argv[1:]), PROGRAMS)
    packages = missing(programs)
    no_llvm = programs is PROGRAMS and not llvm_found()
    if not packages and not no_llvm:
        return 0
    may_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"stdout": subprocess.DEVNULL, "env": environment}
    if may_install:
        subprocess.run(["apt-get", "update", "-qq"], check=bool(packages), **quiet)  # type: ignore[call-overload]
    if no_llvm and (os.environ.get("CI") == "true" or llvm_known()):
        packages += LLVM
    elif no_llvm:
        print(f"Not tested: virtual:esp32, since apt has no {' '.join(LLVM)} here", file=sys.stderr)
    if not packages:
        return 0
    line = "apt-get install -y --no-install-recommends " + " ".join(packages)
    if not may_install:
        print(
            f"Some programs are missing. Install them with:\n\n    sudo {line}\n", file=sys.stderr
        )
        return 1
    print(f"Installing: {' '.join(packages)}", flush=True)
    subprocess.run([line.split()[0], "-qq", *line.split()[1:]], check=True, **quiet)  # type: ignore[call-overload]
    still = missing(programs)
    if still:
        print(f"Still missing after installing: {' '.join(still)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
