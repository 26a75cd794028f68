"""Builds a C guest with the pinned toolchain, to the same bytes everywhere.

The compiler is clang as packaged by zig, from PyPI (`ziglang`), so a guest needs neither an SDK nor
root.  Nothing of the machine may enter the module: sources are compiled in a temporary directory
with fresh caches, and only the metadata and the function names (for backtraces) are kept of the
custom sections.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from levada.guest.children import run_child
from levada.guest.errors import BuildError
from levada.guest.module.sections import keep_custom

__all__ = ["FLAGS", "INCLUDE", "TOOLCHAIN", "Built", "build", "build_library"]

TOOLCHAIN: Final = "0.17.1"
"""Version of `ziglang`; another one makes other bytes."""

INCLUDE: Final = Path(__file__).parent / "include"
"""Where `levada.h` lies."""

STACK_BYTES: Final = 2048
PAGE_BYTES: Final = 65536

FLAGS: Final = (
    "--target=wasm32-freestanding",
    "-mcpu=mvp",  # wasm3 and older WAMR lack later instructions
    "-std=c99",
    "-Os",
    "-g1",  # keeps the names of functions; lines of the source are dropped below, unless asked for
    "-ffreestanding",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-Wl,--no-entry",
    # a small stack in one page lets an ESP32 hold the guest in 14 KB and less instead of 80
    # where the guest's data end: with these two WAMR gives a board 3 KB of memory instead of a page
    "-Wl,--export=__heap_base",
    "-Wl,--export=__data_end",
    "-Wl,-z,stack-size=" + str(STACK_BYTES),
    f"-Wl,--initial-memory={PAGE_BYTES}",
    f"-Wl,--max-memory={PAGE_BYTES}",
)

LIBRARY_FLAGS: Final = (
    "-std=c99",
    "-O2",
    "-fwrapv",  # WebAssembly's arithmetic wraps
    "-fno-strict-aliasing",
    "-fno-sanitize=undefined",
    "-Wl,-Bsymbolic",  # its own functions, whatever this process has of the same name
    "-fPIC",
    "-shared",
    "-nostdlib",  # what copying needs is that of the process
    "-Wall",
    "-Wextra",
    "-Werror",
)
"""Of a guest for this computer."""

SECONDS: Final = 300.0
KEPT: Final = frozenset({"levada", "name"})
DWARF: Final = frozenset(f".debug_{part}" for part in ("abbrev", "info", "line", "line_str", "str"))
"""What a source line is found by."""


class Built(NamedTuple):
    """A module, and what the compiler had to say about its source."""

    module: bytes
    warnings: str


def build(
    sources: Sequence[Path],
    out: Path | None = None,
    *,
    include: Sequence[Path] = (),
    defines: Sequence[str] = (),
    debug: bool = False,
) -> Built:
    """Compile and link C sources into one module; written to `out` if given.

    `include` are further directories for headers, `defines` macros as `NAME` or `NAME=value`.
    With `debug` the module keeps its DWARF, from which a trap is told with its source line; the
    code is the same.
    Raises BuildError with the compiler's output.
    """
    check_toolchain()
    if not sources:
        raise BuildError("no source given")
    for source in sources:
        if not source.is_file():
            raise BuildError(f"{source}: no such file")
    with tempfile.TemporaryDirectory(prefix="levada-build-") as directory:
        # a constant name: the linker writes it into the name section
        linked = Path(directory) / "guest.wasm"
        flags = [*FLAGS, *(f"-I{path.resolve()}" for path in include)]
        flags += [f"-D{define}" for define in defines]
        said = _compile(sources, flags, linked, ", ".join(source.name for source in sources))
        module = keep_custom(linked.read_bytes(), KEPT | DWARF if debug else KEPT)
    if out is not None:
        out.write_bytes(module)
    return Built(module, said)


def build_library(source: Path, around: Path) -> bytes:
    """Compile a C guest for this computer, into a shared library.

    `around` is the C file that includes it as GUEST_SOURCE.  Raises BuildError with the compiler's
    output.
    """
    check_toolchain()
    if not source.is_file():
        raise BuildError(f"{source}: no such file")
    with tempfile.TemporaryDirectory(prefix="levada-build-") as directory:
        linked = Path(directory) / "guest.so"
        flags = [*LIBRARY_FLAGS, f'-DGUEST_SOURCE="{source.resolve()}"']
        _compile([around], flags, linked, source.name)
        return linked.read_bytes()


def _compile(sources: Sequence[Path], flags: Sequence[str], linked: Path, names: str) -> str:
    """Compile and link; what the compiler had to say.  Its caches lie beside the result.

    `names` are those of the sources in an error.
    """
    directory = linked.parent
    command = [sys.executable, "-m", "ziglang", "cc", *flags, f"-I{INCLUDE}"]
    command += ["-o", str(linked), *(str(source.resolve()) for source in sources)]
    environment = os.environ | {
        "ZIG_GLOBAL_CACHE_DIR": str(directory),
        "ZIG_LOCAL_CACHE_DIR": str(directory),
    }
    try:
        done = run_child(
            command,
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"the compiler ran longer than {SECONDS:g} s") from error
    except OSError as error:
        raise BuildError(
            f"{names}: the compiler cannot be started ({error.strerror}: {error.filename}); it "
            "needs a shell, `sh`, in PATH"
        ) from error
    if done.returncode != 0 or not linked.is_file():
        raise BuildError(f"{names} does not compile:\n{done.stderr.strip()}")
    said: str = done.stderr.strip()
    return said


def check_toolchain() -> None:
    """BuildError unless the pinned toolchain is installed."""
    advice = f"install it with: python -m pip install ziglang=={TOOLCHAIN}"
    try:
        found = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError as error:
        raise BuildError(f"the C toolchain ziglang is not installed; {advice}") from error
    if found != TOOLCHAIN:
        raise BuildError(
            f"ziglang {found} is installed, only {TOOLCHAIN} makes the same bytes; {advice}"
        )
