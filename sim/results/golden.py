"""Golden runs: a run that was looked at and found right, kept to hold later ones to.

A golden run is a directory like any run's, without its report, and with the tolerances that were
accepted with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from levada.guest.text.json_text import parse
from levada.sim.results.compare import Comparison, compare_runs
from levada.sim.run import stops
from levada.sim.run.rundir import FILES, RunDir, RunDirError, replaced

__all__ = ["TOLERANCES", "accept", "differences", "golden_comparison"]

TOLERANCES: Final = "tolerances.json"


def accept(run: RunDir, golden: Path, tolerances: Mapping[str, float]) -> Comparison | None:
    """Make a run the golden one; what had changed since the golden run before, if there was one.

    `tolerances` are absolute, by signal of the trace; those accepted earlier stay unless they are
    given again.  Raises RunDirError for a partial run, for one that has failed because its guest
    was stopped, for the run itself as its golden one, and for a signal that does not exist.
    """
    if run.summary["partial"]:
        raise RunDirError(f"{run.path}: an interrupted run cannot be accepted")
    if stops.fails(run.summary):
        raise RunDirError(
            f"{run.path}: its guest was stopped: such a run can be accepted only if its scenario "
            "says `guest.may_stop = true`"
        )
    if golden.exists() and golden.samefile(run.path):
        raise RunDirError(
            f"{golden}: this is the run itself; a golden run needs a folder of its own"
        )
    kept = _tolerances(golden) | dict(tolerances)
    compare_runs(run, run, kept)  # knows the signals
    before = None
    if golden.is_dir():
        before = compare_runs(RunDir(golden), run, kept)
    with replaced(golden) as part:
        for name in FILES[:4]:
            shutil.copyfile(run.path / name, part / name)
        (part / TOLERANCES).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return before


def golden_comparison(run: RunDir, golden: Path, tolerances: Mapping[str, float]) -> Comparison:
    """A run beside the golden one, with the tolerances accepted and those given.

    Where signals have tolerances, the tape may differ: it is compared only if there are none.
    """
    if not golden.is_dir():
        raise RunDirError(f"{golden}: no golden run; `levada accept {run.path} {golden}` makes one")
    allowed = _tolerances(golden) | dict(tolerances)
    found = compare_runs(RunDir(golden), run, allowed)
    return replace(found, zone=None, tape=None) if allowed else found


def differences(found: Comparison) -> str:
    """What differs from the golden run, as text."""
    lines = [*found.notes]
    if found.tape is not None:
        lines.append(f"zone {found.zone}: {found.tape}")
    lines += [
        f"{s.signal} of zone {s.zone} differs first at {s.first}: {s.a:g}, now {s.b:g}; "
        f"by up to {s.largest:g}, {s.allowed:g} allowed"
        for s in found.signals
    ]
    return "\n".join(lines)


def _tolerances(golden: Path) -> dict[str, float]:
    try:
        text = (golden / TOLERANCES).read_text("utf-8-sig")
    except FileNotFoundError:
        return {}
    except ValueError as error:  # not UTF-8
        raise RunDirError(f"{golden / TOLERANCES}: damaged: {error}") from None
    try:
        found = {str(name): float(value) for name, value in parse(text).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise RunDirError(f"{golden / TOLERANCES}: damaged: {error}") from None
    for name, value in found.items():
        if not value >= 0.0:  # nothing is beyond NaN
            raise RunDirError(f"{golden / TOLERANCES}: {name} = {value:g}: permitted 0 or more")
    return found
