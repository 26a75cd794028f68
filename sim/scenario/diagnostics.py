"""What is wrong with a scenario, and where: one problem a line, printed as compilers do.

ScenarioError    carries every problem of the file, not only the first
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from levada.guest.text.redaction import redacted
from levada.sim.errors import SimError
from levada.sim.settings.issue import Issue

__all__ = ["Issue", "Problem", "ScenarioError"]


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
