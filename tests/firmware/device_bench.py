"""A virtual board on a pseudo terminal, asked message by message."""

from __future__ import annotations

import fcntl
import hashlib
import os
import select
import subprocess
import sys
import termios
import tty
from pathlib import Path
from types import TracebackType

from levada.hil.wire.codec import Console, Damage, Decoder, Frame, encode_frame
from levada.hil.wire.message import Message
from levada.hil.wire.messages import (
    Ack,
    Calibrated,
    Configure,
    Hello,
    InstallBegin,
    InstallChunk,
    InstallEnd,
    Nak,
    ReadTape,
    Start,
    StepResult,
)

FIRMWARE = Path(__file__).parents[2] / "levada/firmware"
BUILD = FIRMWARE / "build"
CORE = sorted((FIRMWARE / "core").glob("*.c"))
WAMR = os.environ.get("LEVADA_WAMR_DIR")
"""Where a `libiwasm` is, if there is one: no registry has it."""
EMULATORS = {
    "xtensa": ("qemu-xtensa",),
    "esp32": ("qemu-xtensa", "-cpu", "dc233c"),
    "aarch64": ("qemu-aarch64",),
}
"""What runs a program for another processor."""
START_MS = 1_681_516_800_000
"""2023-04-15 00:00."""

CONFIGURE = Configure(
    node="esp32",
    prefix="ic/",
    counts=(2500, 1000, 2000),
    imports=0xFFE,
    pin_count=4,
    pins=(23, 18, 19, 21, *(0,) * 12),
    instructions=1_000_000,
    deadline_ms=5_000,
    memory_pages=4,
    host_calls=256,
    log_bytes=1_024,
    publish_bytes=2_048,
    lease_ms=0,
)


def build(*targets: str) -> None:
    """Make targets of the firmware; what the compiler says is in the error."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:  # that of levada.hil.virtual
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "-C", FIRMWARE, f"PYTHON={sys.executable}", *targets],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


class Bench:
    """Starts `levada-device` and speaks to it as a host would, without retries."""

    def __init__(
        self, engine: str, *options: str | Path, build: Path = BUILD, boot_id: int | None = 1
    ) -> None:
        if boot_id is not None:
            options = ("--boot-id", str(boot_id), *options)
        self.process = subprocess.Popen(
            [build / "levada-device", "--engine", engine, "--until-eof", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.path = self.process.stdout.readline().decode().strip()
        self.decoder = Decoder()
        self.sequence = 100
        self.others: list[Frame | Console | Damage] = []
        """What came besides the answers asked for."""
        self.line = -1
        self.plug()

    @property
    def board(self) -> int:
        """Process of the board, a child of the launcher, with none for a moment between two."""
        launcher = self.process.pid
        children = Path(f"/proc/{launcher}/task/{launcher}/children")
        while not (found := children.read_text().split()):
            assert self.process.poll() is None
        [child] = found
        return int(child)

    def plug(self) -> None:
        self.line = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.line, termios.TCSANOW)

    def unplug(self) -> None:
        line, self.line = self.line, -1  # its number may be another's from now on
        if line >= 0:
            os.close(line)

    def send(self, message: Message, sequence: int | None = None) -> int:
        if sequence is None:
            self.sequence = sequence = (self.sequence + 1) & 0xFFFF
        os.write(self.line, encode_frame(message.TYPE, sequence, message.encode()))
        return sequence

    def receive(self, sequence: int, timeout_s: float = 60.0) -> Message | None:
        """The answer with that sequence number, None if none comes."""
        while select.select([self.line], [], [], timeout_s)[0]:
            answers = []
            for item in self.decoder.feed(os.read(self.line, 4096)):
                if isinstance(item, Frame) and item.sequence == sequence:
                    answers.append(item.message())
                else:
                    self.others.append(item)
            if answers:
                return answers[0]
        return None

    def answer_or_death(self, message: Message) -> Message | None:
        """The answer to a request, None if the board ends without one."""
        board = os.pidfd_open(self.board)
        try:
            sequence = self.send(message)
            answer, ended = None, False
            while answer is None and not ended:
                ready = select.select([self.line, board], [], [])[0]
                ended = board in ready
                answer = self.receive(sequence, timeout_s=0.0)  # what it said before it ended
            return answer
        finally:
            os.close(board)

    def ask(self, message: Message, timeout_s: float = 60.0) -> Message:
        answer = self.receive(self.send(message), timeout_s)
        assert answer is not None, f"no answer to {message}"
        return answer

    def hello(self, session: int = 1) -> Message:
        return self.ask(Hello(session=session))

    def install(self, module: bytes) -> Message:
        self.hello()
        digest = hashlib.sha256(module).digest()
        answer = self.ask(InstallBegin(size=len(module), sha256=digest))
        for offset in range(0, len(module), 1000):
            if isinstance(answer, Nak):
                return answer
            answer = self.ask(InstallChunk(offset=offset, data=module[offset : offset + 1000]))
        return answer if isinstance(answer, Nak) else self.ask(InstallEnd())

    def start(
        self,
        module: bytes,
        parameters: tuple[tuple[int, int], ...] = (),
        configure: Configure = CONFIGURE,
        flags: int = 0,
    ) -> StepResult:
        assert isinstance(self.install(module), Ack)
        assert isinstance(self.ask(configure), Ack)
        result = self.ask(Start(time_ms=START_MS, flags=flags, parameters=parameters))
        assert isinstance(result, StepResult), result
        return result

    def tape(self, result: StepResult | Calibrated) -> bytes:
        """All records of a result."""
        records = result.tape if isinstance(result, StepResult) else b""
        while len(records) < result.tape_bytes:
            part = self.ask(ReadTape(offset=len(records)))
            records += part.tape  # type: ignore[attr-defined]
        return records

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
        self.unplug()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
