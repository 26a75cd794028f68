"""The search: case after case, led by what the guest has decided in those before.

hypothesis makes a case of a buffer of bytes, and shrinks one that fails.  Which buffer comes next
is decided here: half of them are random, the others changed from one in the corpus, which has those
that covered something new (`levada.sim.fuzz.decisions`).  hypothesis's own guidance, `target()`,
climbs towards the maximum of a number, and what a guest has decided is a set: the number of
decisions in one case would favour long cases, and forget which are rare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any, Final
from unittest import SkipTest

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, settings
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import Flaky
from pydantic import ValidationError

from levada.sim.errors import SimError
from levada.sim.fuzz.case import Base, Case, scenario_data
from levada.sim.fuzz.decisions import Decisions
from levada.sim.fuzz.draw import cases
from levada.sim.fuzz.properties import PROPERTIES
from levada.sim.fuzz.trial import Broken, Weathers, run_data
from levada.sim.run.build import NodeMaker

__all__ = ["Failure", "Findings", "Told", "search"]

BUFFER_BYTES: Final = 256
"""More than any case draws."""
FRESH: Final = 0.5
"""Share of the buffers that are not changed from one in the corpus."""
MOST_REFUSED: Final = 200
"""So many buffers in a row that make no case end the search."""


class _ViolationError(AssertionError):
    """A property does not hold in a case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A case in which a property does not hold, shrunk."""

    number: int
    """Of the case that failed first, from 1."""
    shrunk_in: int
    """Cases that were run to shrink it."""
    data: dict[str, Any]
    """The scenario, without expectations."""
    broken: Broken


@dataclass(kw_only=True)
class Findings:
    """What a search has found so far."""

    cases: int = 0
    seconds: float = 0.0
    corpus: int = 0
    """Cases that covered something new."""
    decisions: Decisions = field(default_factory=Decisions)
    judged: Counter[str] = field(default_factory=Counter)
    """By property, the cases in which it could be judged."""
    failures: dict[str, Failure] = field(default_factory=dict)
    """By property."""
    refused: str = ""
    """Why the last case that was no scenario was none."""
    shrinking: str = ""
    """Key of the property whose failure is being shrunk."""
    interrupted: bool = False


Told = Callable[[Findings], None]
"""Is told after every case, also of those that shrink one."""


def search(
    base: Base,
    count: int,
    *,
    seed_: int = 0,
    make_node: NodeMaker | None = None,
    first_only: bool = False,
    told: Told = lambda _: None,
) -> Findings:
    """Try `count` cases; a property that failed is looked at no more.

    With `first_only` the first failure ends the search, else that of every property.  Ctrl-C ends
    it with what has been found.  Raises SimError if no case can be made.
    """
    hunt = _Hunt(base, seed_, make_node, told)
    found = hunt.found
    try:
        while found.cases < count and hunt.open and not (first_only and found.failures):
            hunt.try_next()
            if found.interrupted:
                break
    except KeyboardInterrupt:
        found.interrupted = True
    return found


class _Hunt:
    """A search on its way."""

    def __init__(self, base: Base, seed_: int, make_node: NodeMaker | None, told: Told) -> None:
        self.found = Findings()
        self.open = {p.key for p in PROPERTIES}
        """Properties that have not failed."""
        self._base, self._make_node, self._told = base, make_node, told
        self._chance = Random(seed_)
        self._weathers = Weathers()
        self._corpus: list[bytes] = []
        self._began_s = perf_counter()
        self._new = 0
        self._shrunk_in = 0
        self._last: tuple[Case, str, Broken] | None = None
        self._arm()

    def _arm(self) -> None:
        """A test of hypothesis with an empty database: it holds the failure that is shrunk next.

        It has no seed of its own, with which it would not look into the database.
        """
        quiet = settings(
            database=InMemoryExampleDatabase(),
            derandomize=False,  # which would forbid a database
            deadline=None,
            phases=(Phase.reuse, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
        )
        self._test: Any = quiet(given(cases(self._base))(self._check))

    def try_next(self) -> None:
        """Try a case; if it fails, shrink it."""
        before, refused = self.found.cases, 0
        while self.found.cases == before:
            self._new = 0
            buffer = self._buffer()
            try:
                pruned = self._test.hypothesis.fuzz_one_input(buffer)
            except _ViolationError:
                self._shrink()
                return
            if pruned is not None and self._new:
                self._corpus.append(pruned)
                self.found.corpus = len(self._corpus)
            refused += 1
            if refused > MOST_REFUSED:
                raise SimError(f"no case can be made of this scenario: {self.found.refused}")

    def _buffer(self) -> bytes:
        """The next buffer; the first one is all 0, the simplest case."""
        chance = self._chance
        if not self.found.cases:
            return bytes(BUFFER_BYTES)
        if not self._corpus or chance.random() < FRESH:
            return chance.randbytes(BUFFER_BYTES)
        changed = bytearray(chance.choice(self._corpus))
        for _ in range(1 << chance.randrange(4)):
            at = chance.randrange(len(changed))
            match chance.randrange(3):
                case 0:
                    changed[at] = chance.randrange(256)
                case 1:
                    del changed[at : at + chance.randrange(1, 9)]
                    changed[at:at] = chance.randbytes(chance.randrange(9))
                case _:  # the rest of another one
                    changed[at:] = chance.choice(self._corpus)[at:]
            if not changed:
                break
        return bytes(changed) + chance.randbytes(max(0, BUFFER_BYTES - len(changed)))

    def _check(self, case: Case) -> None:
        """What hypothesis calls: runs a case, and raises if a property does not hold."""
        try:
            data = scenario_data(self._base, case)
            trial = run_data(self._base, data, self._weathers, self._make_node)
        except ValidationError as error:
            self.found.refused = str(error.errors()[0]["msg"])
            reject()
        found = self.found
        if not found.shrinking:
            found.cases += 1
            found.judged.update(trial.judged)
            self._new = found.decisions.add(trial.covered)
        else:
            self._shrunk_in += 1
        found.seconds = perf_counter() - self._began_s
        self._told(found)
        wanted = {found.shrinking} if found.shrinking else self.open
        for key in (p.key for p in PROPERTIES):  # in their order
            if key in wanted and key in trial.broken:
                self._last = (case, key, trial.broken[key])
                raise _ViolationError(key)

    def _shrink(self) -> None:
        """Shrink the case that has just failed."""
        assert self._last is not None
        self.found.shrinking, self._shrunk_in = self._last[1], 0
        try:
            self._test()
        except _ViolationError:
            pass  # hypothesis runs the smallest one last
        except (Flaky, SkipTest):
            pass  # it did not fail again, as may be of a device: what has failed stays as it is
        except KeyboardInterrupt:
            self.found.interrupted = True
        case, key, broken = self._last
        self.found.failures[key] = Failure(
            number=self.found.cases,
            shrunk_in=self._shrunk_in,
            data=scenario_data(self._base, case),
            broken=broken,
        )
        self.open.discard(key)
        self.found.shrinking = ""
        self._arm()
