"""A run directory: what a run leaves, and how to read it back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from guest.json_text import parse
from sim.trace import Trace, read_trace

__all__ = ["FILES", "RunDir", "RunDirError"]

FILES: Final = ("scenario.toml", "summary.json", "trace.parquet", "tape.cbor", "report.html")


class RunDirError(ValueError):
    """A directory that no run has left, or that lacks a file."""


@dataclass(frozen=True)
class RunDir:
    """The files of one run; each is read when first asked for."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise RunDirError(f"{self.path}: no such run directory")
        missing = [name for name in FILES[:4] if not (self.path / name).is_file()]
        if missing:
            raise RunDirError(
                f"{self.path} is not a run directory: it lacks {', '.join(missing)}; "
                "`levada run SCENARIO --out DIR` makes one"
            )

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        path = self.path / "summary.json"
        try:
            summary: dict[str, Any] = parse(path.read_text("utf-8"))
        except ValueError as error:
            raise RunDirError(f"{path}: damaged: {error}") from None
        return summary

    @cached_property
    def trace(self) -> Trace:
        """All rows of the trace, sorted by zone, then time."""
        from pyarrow import ArrowInvalid

        path = self.path / "trace.parquet"
        try:
            return read_trace(path)
        except (ArrowInvalid, OSError) as error:
            raise RunDirError(f"{path}: damaged: {error}") from None

    @property
    def tape_path(self) -> Path:
        """The tape's file."""
        return self.path / "tape.cbor"

    @property
    def scenario_path(self) -> Path:
        """The resolved scenario's file."""
        return self.path / "scenario.toml"

    @property
    def zones(self) -> list[str]:
        """Names of the zones, by index."""
        return [zone["name"] for zone in self.summary["zones"]]
