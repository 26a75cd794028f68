"""What is wrong with a scenario, and where: one problem a line, printed as compilers do.

ScenarioError    carries every problem of the file, not only the first
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from pydantic_core import PydanticCustomError

from levada.guest.text.redaction import redacted
from levada.sim.errors import SimError

__all__ = ["Issue", "Problem", "ScenarioError", "did_you_mean", "refusal"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong."""

    file: str
    """As the user named it, or `--set` for an override."""
    line: int
    """From 1; 0: the whole file."""
    column: int
    """From 1; 0: the whole file."""
    key: str
    """Dotted path of the key, e.g. `zone.0.valve.flow_l_min`."""
    message: str
    """What was found and what is permitted."""
    hint: str = ""
    """What to do about it."""
    source: str = ""
    """The line of the file."""
    width: int = 1
    """Characters to underline."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = f"{place}: {self.message}"
        if self.source:
            margin = f"{self.line:>5}"
            text += f"\n{margin} | {self.source}"
            text += f"\n{' ' * len(margin)} | {' ' * (self.column - 1)}{'^' * self.width}"
        if self.hint:
            text += f"\n      = {self.hint}"
        return text


class ScenarioError(SimError, ValueError):
    """The scenario cannot be used; `problems` says why, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        shown = (
            replace(
                p, file=redacted(p.file), message=redacted(p.message), source=redacted(p.source)
            )
            for p in problems
        )
        self.problems = tuple(sorted(shown, key=lambda p: (p.file, p.line, p.column)))
        count = len(self.problems)
        total = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([*map(str, self.problems), total]))


@dataclass(frozen=True, slots=True)
class Issue:
    """A problem inside one table, before its place in the file is known."""

    path: tuple[str | int, ...]
    """Keys from that table."""
    message: str
    hint: str = ""


def refusal(*troubles: Issue | str) -> PydanticCustomError:
    """The exception with which a validator refuses a value or a table, for all its reasons."""
    found = [t if isinstance(t, Issue) else Issue((), t) for t in troubles]
    text = "; ".join(".".join(map(str, (*t.path, ""))) + t.message for t in found)
    return PydanticCustomError("refused", "{text}", {"text": text, "troubles": found})


def did_you_mean(word: str, known: Sequence[str], what: str = "allowed") -> str:
    """A hint: the closest known word, or all of them."""
    near = get_close_matches(word, known, n=1, cutoff=0.6) or [
        k for k in known if len(word) > 2 and word.lower() in k.lower()
    ]
    if near:
        return f"did you mean `{near[0]}`?"
    return f"{what}: " + ", ".join(known) if known else ""
