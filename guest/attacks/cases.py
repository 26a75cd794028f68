"""The table of attacks: what each module tries, and what must come of it on every engine.

`cases.toml` has a table for each, with its module beside it as WebAssembly text, as bytes, or made
by a function of `levada.guest.attacks.made`.  What comes of an attack is one of these:

    refused     the module is not taken; the guest before it goes on
    stopped     the guest is stopped, with a trap of `levada.guest.abi.TrapKind`; its outputs are 0
    contained   the guest goes on, and has done no more than the calls that the table lists
    restarted   the board's watchdog has started it again; its outputs are 0
    died        the host or the board is gone: never expected
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

import wasmtime

from levada.guest.abi import TrapKind
from levada.guest.attacks import made
from levada.guest.errors import GuestError
from levada.guest.limits import Budget

__all__ = ["ROWS", "AllowedDifference", "Case", "OutcomeKind", "Suite", "honest", "suite"]

OutcomeKind = Literal["refused", "stopped", "contained", "restarted", "died"]
ROWS: Final = tuple(f"S{number}" for number in range(1, 21))
HERE: Final = files("levada.guest.attacks")


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedDifference:
    """What an engine is allowed to do otherwise, and why."""

    engines: tuple[str, ...]
    """Names of targets; `boards` are all of those."""
    cases: tuple[str, ...]
    """Names of cases; none: all."""
    outcome: OutcomeKind
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One module, and what must come of it."""

    row: str
    """Row of the acceptance matrix, S1 to S20."""
    name: str
    tries: str
    """What the module would do, as a sentence."""
    outcome: OutcomeKind
    trap: str = ""
    """Name of the trap, if the guest is stopped."""
    says: str = ""
    """Part of the reason, if the module is refused."""
    says_on_boards: str = ""
    """The same of a board, which says it in fewer words; none: as `says`."""
    calls: tuple[str, ...] = ()
    """Host calls of `init` and of the last step, as they are on the tape."""
    repeat_calls: int = 1
    """So often the last of them is made."""
    outputs: tuple[int, ...] = (0, 0, 0, 0)
    """Afterwards, in the order of the profile's pins."""
    hex: str = ""
    """The module as bytes."""
    made_by: str = ""
    """Name of the function that makes the module."""
    budget: Mapping[str, int] = field(default_factory=dict)
    """Limits that differ from those of `levada.guest.limits.Budget`."""
    nodes: int = 1
    """So many run the module, and the probe of one of them does not answer."""
    steps: int = 1

    @property
    def module(self) -> bytes:
        """Its bytes."""
        return _module(self.name, self.hex, self.made_by)

    @property
    def limits(self) -> Budget:
        """Its budget."""
        return replace(Budget(), **self.budget)

    @property
    def expected_calls(self) -> tuple[str, ...]:
        """All host calls, repeated ones as well."""
        return self.calls[:-1] + self.calls[-1:] * self.repeat_calls


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """All cases, in the order of their rows."""

    cases: tuple[Case, ...]
    differences: tuple[AllowedDifference, ...]

    def difference(self, case: Case, target: str, *, board: bool) -> AllowedDifference | None:
        """What this target may do otherwise in this case."""
        names = {target, "boards"} if board else {target}
        for each in self.differences:
            if names & set(each.engines) and (not each.cases or case.name in each.cases):
                return each
        return None

    def chosen(self, names: tuple[str, ...]) -> tuple[Case, ...]:
        """Cases by name or row, all if none is named; GuestError says which are near."""
        rows = list(dict.fromkeys(case.row for case in self.cases))
        known = {case.name for case in self.cases} | set(rows)
        for name in names:
            if name not in known:
                near = get_close_matches(name, sorted(known), n=3)
                hint = f"did you mean {' or '.join(near)}? " if near else ""
                raise GuestError(
                    f"attack {name[:80]!r}: {hint}there are rows {rows[0]} to {rows[-1]}, and "
                    f"{len(self.cases)} modules by name (docs/sandbox.md)"
                )
        return tuple(c for c in self.cases if not names or {c.name, c.row} & set(names))


@lru_cache(maxsize=1)
def suite() -> Suite:
    """The table that comes with levada."""
    table = tomllib.loads((HERE / "cases.toml").read_text("utf-8"))
    found = Suite(
        cases=tuple(Case(**_tuples(each)) for each in table["case"]),
        differences=tuple(AllowedDifference(**_tuples(each)) for each in table["difference"]),
    )
    _check(found)
    return found


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k.replace("-", "_"): tuple(v) if isinstance(v, list) else v for k, v in table.items()}


def _check(found: Suite) -> None:
    """What a mistake in the table would leave untried."""
    names = [case.name for case in found.cases]
    kinds = {kind.name.lower().replace("_", " ") for kind in TrapKind}
    for case in found.cases:
        if case.row not in ROWS or names.count(case.name) > 1:
            raise GuestError(f"attack {case.name!r}: row {case.row}, or a name that is there twice")
        if (case.outcome == "stopped") != bool(case.trap) or (case.trap and case.trap not in kinds):
            raise GuestError(f"attack {case.name!r}: {case.outcome} with trap {case.trap!r}")
    for difference in found.differences:
        if unknown := set(difference.cases) - set(names):
            raise GuestError(f"difference of {difference.engines}: no attack {unknown}")


def honest() -> bytes:
    """The guest that others are beside: each step opens its valve, reads, and counts."""
    return _module("honest", "", "")


@lru_cache(maxsize=128)
def _module(name: str, hexadecimal: str, made_by: str) -> bytes:
    if made_by:
        return made.MODULES[made_by]()
    if hexadecimal:
        return bytes.fromhex(hexadecimal)
    return bytes(wasmtime.wat2wasm((HERE / f"{name}.wat").read_text("utf-8")))
