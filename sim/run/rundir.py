"""A run directory: what a run leaves, and how to read it back.

A run has the directory for itself while it goes on: it holds `.lock`, writes into `.part`, and puts
its files in the place of those of the run before when it has ended.  `summary.json` goes first and
comes last, so that a directory without it holds no whole run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from levada.guest.text.json_text import parse
from levada.sim.errors import SimError
from levada.sim.run.shape import scenario_flaw, summary_flaw
from levada.sim.run.trace import Trace, read_trace
from levada.sim.units import DAY_MS

__all__ = ["FILES", "RunDir", "RunDirError", "claimed", "replaced", "trusted"]

FILES: Final = ("scenario.toml", "summary.json", "trace.parquet", "tape.cbor", "report.html")
_SUMMARY: Final = "summary.json"
_OPTIONAL: Final = ("report.html", "profile.parquet", "continuum.parquet")
"""What not every run has, so that it must not stay from another one."""
_LOCK: Final = ".lock"
_PART: Final = ".part"
_TRIES: Final = 20
_PAUSE_S: Final = 0.01
"""A reader holds the lock for a moment, to see whether it is free."""


class RunDirError(SimError, ValueError):
    """A directory that no run has left, that lacks a file, or that another run has."""


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Have a directory, which is made if need be, for one run; raises RunDirError if one has it."""
    if path.exists() and not path.is_dir():
        raise RunDirError(f"{path}: not a directory; a run needs one of its own")
    path.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        yield
    finally:
        (path / _LOCK).unlink(missing_ok=True)
        os.close(lock)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A folder for the files of a run, which take the place of those in `path` at the end.

    If the block raises, what was there before is still there.
    """
    with claimed(path):
        part = path / _PART
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        part.mkdir()
        try:
            yield part
            _publish(part, path)
        except OSError as error:
            if error.filename is None:  # a disk that is full does not say of which file
                error.filename = path
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def trusted(*runs: RunDir) -> Iterator[None]:
    """Read runs whose files fit together; raises RunDirError if they do not, or are damaged.

    Only what a Parquet file says too late, while its pages are read, is caught within.
    """
    from pyarrow import ArrowException

    for run in runs:
        run.check()
    try:
        yield
    except ArrowException as error:
        which = " or ".join(str(run.path) for run in runs)
        raise RunDirError(f"{which}: damaged trace: {error}") from error


def _publish(part: Path, path: Path) -> None:
    for name in (_SUMMARY, *_OPTIONAL):
        (path / name).unlink(missing_ok=True)
    for file in sorted(part.iterdir(), key=lambda file: file.name == _SUMMARY):
        file.replace(path / file.name)


def _lock(path: Path) -> int:
    for _ in range(_TRIES):
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        if _held(lock, fcntl.LOCK_EX):
            if _is_still(lock, path / _LOCK):
                os.ftruncate(lock, 0)
                os.write(lock, str(os.getpid()).encode())
                return lock
        else:
            time.sleep(_PAUSE_S)
        os.close(lock)
    raise RunDirError(
        f"{path}: {_owner(path)} is writing there; wait for its end, or name another directory "
        "with --out"
    )


def _held(lock: int, kind: int) -> bool:
    """Take a lock; true also where the file system has no locks."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_still(lock: int, path: Path) -> bool:
    """Whether it was not removed in the meantime by the run that had it before."""
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _owner(path: Path) -> str:
    try:
        return f"another run (process {int((path / _LOCK).read_text('ascii'))})"
    except (OSError, ValueError):
        return "another run"


def _is_claimed(path: Path) -> bool:
    try:
        lock = os.open(path / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _held(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


@dataclass(frozen=True)
class RunDir:
    """The files of one run; each is read when first asked for."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise RunDirError(f"{self.path}: no such run directory")
        if _is_claimed(self.path):
            raise RunDirError(
                f"{self.path}: {_owner(self.path)} is writing there; wait for its end"
            )
        missing = [name for name in FILES[:4] if not (self.path / name).is_file()]
        if missing:
            killed = "; a run was broken off there" if (self.path / _PART).is_dir() else ""
            raise RunDirError(
                f"{self.path} is not a run directory: it lacks {', '.join(missing)}; "
                f"`levada run SCENARIO --out DIR` makes one{killed}"
            )

    def check(self) -> None:
        """Raise RunDirError if the files do not fit together: each may be whole, and of another."""
        from levada.guest.tape import TapeReader

        names = self.zones
        tables = sum(table.get("count", 1) for table in self.scenario["zone"])
        if tables != len(names):
            raise self._damaged("scenario.toml", f"{tables} zones, summary.json has {len(names)}")
        if list(TapeReader(self.tape_path).zones) != names:
            raise self._damaged("tape.cbor", "its zones are not those of summary.json")
        for fault in self.summary["faults"]:
            if unknown := set(fault["zones"]) - set(names):
                raise self._damaged(_SUMMARY, f"a fault in zones without a run: {sorted(unknown)}")
        zone, time_ms = self.trace["zone"], self.trace["time_ms"]
        if len(zone) and not (zone.min() >= 0 and zone.max() < len(names)):
            raise self._damaged("trace.parquet", "zones that summary.json does not have")
        start = datetime.fromisoformat(self.summary["start"]).replace(tzinfo=UTC)
        start_ms, length_ms = start.timestamp() * 1000, (self.summary["days"] + 1) * DAY_MS
        if len(zone) and not (start_ms <= time_ms.min() <= time_ms.max() <= start_ms + length_ms):
            raise self._damaged("trace.parquet", "times that are not within the run")

    def _damaged(self, name: str, why: object) -> RunDirError:
        return RunDirError(f"{self.path / name}: damaged: {why}")

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json; all that `levada.sim.run.shape` asks for is there."""
        try:
            summary: Any = parse((self.path / _SUMMARY).read_text("utf-8"))
        except ValueError as error:
            raise self._damaged(_SUMMARY, error) from None
        if why := summary_flaw(summary):
            raise self._damaged(_SUMMARY, why)
        found: dict[str, Any] = summary
        return found

    @cached_property
    def scenario(self) -> dict[str, Any]:
        """The resolved scenario as its TOML says."""
        try:
            scenario = tomllib.loads(self.scenario_path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._damaged("scenario.toml", error) from None
        if why := scenario_flaw(scenario):
            raise self._damaged("scenario.toml", why)
        return scenario

    @cached_property
    def trace(self) -> Trace:
        """All rows of the trace, sorted by zone, then time."""
        from pyarrow import ArrowException

        try:
            return read_trace(self.path / "trace.parquet")
        except (ArrowException, OSError, ValueError) as error:
            raise self._damaged("trace.parquet", error) from None

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
