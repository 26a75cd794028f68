"""The Python host as a process of its own, so that a crash of it is seen and survived.

Requests are lines of JSON on its standard input, `{"case": NAME}` or `{"mutants": [SEED, FIRST,
COUNT]}`; the answers on its standard output: an outcome, or a line for each mutant.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from levada.guest.attacks.cases import Case, OutcomeKind, suite
from levada.guest.attacks.host import PythonHost
from levada.guest.attacks.mutants import mutant
from levada.guest.attacks.outcome import AttackOutcome
from levada.guest.children import start_child
from levada.guest.fast.fastpath import PathName
from levada.guest.lifecycle import Closing, end_process
from levada.guest.wasm.compiler import ROOT

__all__ = ["HostTarget", "MutantOutcome"]

SILENCE_S: Final = 300.0
"""A host that says nothing for so long hangs."""
END_S: Final = 20.0


class MutantOutcome(NamedTuple):
    """What came of one mutant."""

    number: int
    kind: OutcomeKind
    trap: str
    tape: str
    """Digest of what the guest did."""


class HostTarget(Closing):
    """The Python host, by one of its two paths."""

    board: Final = False

    def __init__(self, name: str, path: PathName) -> None:
        self.name = name
        self.engine = f"wasmtime {version('wasmtime')}"
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""
        """What came behind the last line."""

    def attack(self, case: Case) -> AttackOutcome:
        """What comes of a case."""
        self._ask({"case": case.name})
        answer = self._answer()
        return (
            AttackOutcome.from_dict(answer)
            if answer
            else AttackOutcome(kind="died", detail=self._died())
        )

    def mutants(self, seed: int, count: int) -> Iterator[MutantOutcome]:
        """What comes of each of so many mutants."""
        first = 0
        while first < count:
            self._ask({"mutants": [seed, first, count - first]})
            for number in range(first, count):
                first = number + 1
                answer = self._answer()
                if not answer:
                    yield MutantOutcome(number, "died", self._died(), "")
                    break
                yield MutantOutcome(number, *answer["mutant"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            end_process(self._process, END_S)
            self._process = None

    def _ask(self, request: dict[str, Any]) -> None:
        if self._process is None:
            self._process = start_child(
                [sys.executable, "-P", "-m", "levada.guest.attacks.worker", self._path],
                env={**os.environ, "PYTHONPATH": os.pathsep.join((ROOT, *sys.path))},
                stdout=subprocess.PIPE,
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # that it has ended, its answer says
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def _answer(self) -> dict[str, Any] | None:
        """The next line; None if the process has ended or hangs."""
        assert self._process is not None
        assert self._process.stdout is not None
        while b"\n" not in self._read:
            if not select.select([self._process.stdout], [], [], SILENCE_S)[0]:
                return None
            part = os.read(self._process.stdout.fileno(), 65_536)
            if not part:
                return None
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _died(self) -> str:
        process, self._process, self._read = self._process, None, b""
        assert process is not None
        assert process.stdout is not None
        hung = process.poll() is None and not select.select([process.stdout], [], [], 0)[0]
        if hung:
            process.kill()
        end_process(process, END_S)
        return f"no answer for {SILENCE_S:g} s" if hung else f"exit code {process.returncode}"


def main(path: PathName) -> None:
    """Answer until standard input ends."""
    cases = {case.name: case for case in suite().cases}
    with PythonHost(path) as host:
        for line in sys.stdin:
            request = json.loads(line)
            if "case" in request:
                _say(host.attack(cases[request["case"]]).to_dict())
                continue
            seed, first, count = request["mutants"]
            for number in range(first, first + count):
                _say({"mutant": host.mutant(mutant(seed, number))})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main("fast" if sys.argv[1] == "fast" else "ordinary")
