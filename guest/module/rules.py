"""Rules between two parameters of a guest, such as `on_pct < off_pct unless 0`.

They stand in the metadata of the module (docs/abi.md).  A value of its own range may still
contradict another; whoever changes parameters judges what would be in force afterwards as a whole.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from levada.guest.errors import ParameterError

__all__ = ["Rule", "check_rules", "parse_rule"]

EXEMPT: Final = " unless 0"
COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "!=": operator.ne,
}
FORM: Final = re.compile(rf"([A-Za-z][\w.-]{{0,31}}) (<=?|!=) ([A-Za-z][\w.-]{{0,31}})({EXEMPT})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A comparison of two parameters by name."""

    left: str
    comparison: str
    """`<`, `<=` or `!=`."""
    right: str
    unless_zero: bool = False
    """It does not hold them while either is 0, which then means "derived from something else"."""

    def __str__(self) -> str:
        """As it is written in the metadata."""
        text = f"{self.left} {self.comparison} {self.right}"
        return text + EXEMPT if self.unless_zero else text

    def holds(self, values: Mapping[str, int]) -> bool:
        """Whether these values, by name, agree with it."""
        left, right = values[self.left], values[self.right]
        exempt = self.unless_zero and 0 in (left, right)
        return exempt or COMPARISONS[self.comparison](left, right)

    def complaint(self, values: Mapping[str, int]) -> str:
        """What is wrong with values that do not agree with it."""
        return (
            f"{self.left} = {values[self.left]} and {self.right} = {values[self.right]}: "
            f"the guest asks for {self}"
        )


def parse_rule(text: str) -> Rule | None:
    """A rule as it is written in the metadata; None if it is none."""
    found = FORM.fullmatch(text)
    if not found:
        return None
    left, comparison, right, exempt = found.groups()
    return Rule(left=left, comparison=comparison, right=right, unless_zero=exempt is not None)


def check_rules(rules: Iterable[Rule], values: Mapping[str, int]) -> None:
    """Raise ParameterError that names every rule which these values, by name, break."""
    broken = [rule.complaint(values) for rule in rules if not rule.holds(values)]
    if broken:
        raise ParameterError("; ".join(broken))
