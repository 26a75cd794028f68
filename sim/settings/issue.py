"""What is wrong with a setting, before its place in a file is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic_core import PydanticCustomError

__all__ = ["Issue", "did_you_mean", "refusal"]


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
