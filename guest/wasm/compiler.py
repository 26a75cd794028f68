"""The child process in which modules are compiled that nobody trusts yet.

Measured with wasmtime 50.0.1 on one core of a shared server: a module of 64 KiB that keeps to the
feature profile takes up to 2.7 s to compile (blocks nested 127 deep), one with 50,000 locals a
function took 24 s and 1.2 GB.  So the child has limits on the processor time of a module and on its
memory, and a compiler that crashes takes nobody with it.  It is started when a module comes, and
ends after `IDLE_S` without one, or with the process that has started it.  It is the processor's
time that counts: a computer that is busy with other things refuses no honest module.

Each request is a u32 length and the module; each answer a byte, `m` for machine code or `e` for
the text of an error, a u32 length and what it is.
"""

from __future__ import annotations

import atexit
import os
import select
import selectors
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from levada.guest.children import start_child
from levada.guest.errors import LimitError, ModuleError
from levada.guest.lifecycle import Closing, end_process

__all__ = ["Compiler", "compiler"]

COMPILE_SECONDS: Final = 5
"""Processor time of one module."""
COMPILE_MEMORY_BYTES: Final = 1 << 30
WALL_SECONDS: Final = 300
"""After so long a child counts as stopped by somebody else."""
IDLE_S: Final = 10.0
END_S: Final = 5.0

ROOT: Final = str(Path(__file__).parents[3])
LENGTH: Final = struct.Struct("<I")
MACHINE_CODE, ERROR = b"m", b"e"
_OUT_OF_TIME: Final = (-signal.SIGXCPU, -signal.SIGKILL)


class Compiler(Closing):
    """A child process that compiles one module after the other, from any thread."""

    def __init__(self, seconds: int = COMPILE_SECONDS) -> None:
        self.compiled = 0
        """Modules that were given to a child."""
        self._seconds = seconds
        self._lock = Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def compile(self, module: bytes) -> bytes:
        """Machine code of a module, as `wasmtime.Module.deserialize` takes it.

        Raises ModuleError with the engine's message if it is invalid or the compiler has crashed,
        LimitError if compiling takes too much time or memory.
        """
        with self._lock:
            self.compiled += 1
            answer = self._ask(module)
            if answer is None:  # it had ended, since nothing came for a while
                answer = self._ask(module)
            if answer is None:
                raise ModuleError("the compiler could not be started")
        kind, content = answer
        if kind == ERROR:
            raise ModuleError(content.decode("utf-8", "replace"))
        return content

    def close(self) -> None:
        """End the child; the next module gets another one."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """In a copy of the process: the child is that of the other one, which waits for it."""
        child, self._child, self._lock = self._child, None, Lock()
        if child is not None:
            child.returncode = 0
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def _ask(self, module: bytes) -> tuple[bytes, bytes] | None:
        """The answer of the child; None if it ended before it knew of the module."""
        child = self._child = self._child or self._start()
        assert child.stdin is not None
        try:
            with suppress(BrokenPipeError):  # the end of its output says the same
                child.stdin.write(LENGTH.pack(len(module)) + module)
                child.stdin.flush()
            head = self._read(child, 1 + LENGTH.size)
            if len(head) == 1 + LENGTH.size:
                [length] = LENGTH.unpack(head[1:])
                content = self._read(child, length)
                if len(content) == length:
                    return head[:1], content
        except BaseException:  # interrupted, say: nobody reads the rest of its answer
            self._end(at_once=True)
            raise
        self._end()
        if child.returncode == 0:
            return None
        raise self._reason(child.returncode)

    def _reason(self, code: int) -> ModuleError:
        """Why a child has ended."""
        if code in _OUT_OF_TIME:
            return LimitError(f"compiling takes longer than {self._seconds} s of processor time")
        if code < 0 and code != -signal.SIGABRT:
            return ModuleError(f"the compiler has crashed over the module (signal {-code})")
        return LimitError(
            f"compiling was stopped (exit {code}): at most "
            f"{COMPILE_MEMORY_BYTES >> 20} MiB of memory allowed"
        )

    def _read(self, child: subprocess.Popen[bytes], size: int) -> bytes:
        """So many bytes of its output, fewer if it has ended."""
        assert child.stdout is not None
        content = bytearray()
        end_s = time.monotonic() + WALL_SECONDS
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            while len(content) < size:
                if not ready.select(end_s - time.monotonic()):
                    raise LimitError(f"compiling has not ended within {WALL_SECONDS} s")
                part = os.read(child.stdout.fileno(), size - len(content))
                if not part:
                    break
                content += part
        return bytes(content)

    def _start(self) -> subprocess.Popen[bytes]:
        return start_child(
            [sys.executable, "-P", "-m", "levada.guest.wasm.compiler", str(self._seconds)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((ROOT, *sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _end(self, *, at_once: bool = False) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if at_once:
            child.kill()
        with suppress(OSError):
            end_process(child, END_S)


compiler: Final = Compiler()
"""The one of this process."""
atexit.register(compiler.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=compiler.forget)


def serve(seconds: int) -> None:
    """Answer requests on standard input, each within so much processor time [s]."""
    from levada.guest.wasm.engine import compiled_here

    _limit_memory()
    while select.select([0], [], [], IDLE_S)[0]:
        head = _take(LENGTH.size)
        if len(head) < LENGTH.size:
            break
        module = _take(LENGTH.unpack(head)[0])
        _limit_time(seconds)
        try:
            kind, content = MACHINE_CODE, bytes(compiled_here(module).serialize())
        except ModuleError as error:
            kind, content = ERROR, str(error).encode()
        sys.stdout.buffer.write(kind + LENGTH.pack(len(content)) + content)
        sys.stdout.buffer.flush()


def _limit_memory() -> None:
    with suppress(ImportError):  # not on every platform; the time limit of the parent holds anyway
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (COMPILE_MEMORY_BYTES, COMPILE_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: int) -> None:
    """So much from now on [s of processor time, to a whole second]."""
    with suppress(ImportError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        until = int(time.process_time()) + 1 + seconds
        soft = until if hard == resource.RLIM_INFINITY else min(until, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _take(size: int) -> bytes:
    """So many bytes of standard input, fewer at its end."""
    content = bytearray()
    while len(content) < size and (part := os.read(0, size - len(content))):
        content += part
    return bytes(content)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
