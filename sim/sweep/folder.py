"""The folder of a sweep: what it is, what is done, and its results.

    sweep.json        definition: scenario, parameters, seeds, and the digest of all runs
    jobs/DIGEST.json  what is kept of a run that is done or has failed, put there whole
    results/          a dataset of Parquet, partitioned by the first parameter; made at the end

A sweep that was killed goes on: a run has its file, or is run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from levada.sim.errors import SettingError
from levada.sim.sweep.design import Parameter
from levada.sim.sweep.job import Job

__all__ = ["SweepFolder"]

DEFINITION: Final = "sweep.json"
JOBS: Final = "jobs"
RESULTS: Final = "results"


class SweepFolder:
    """Begins a sweep at `path`, or goes on with it; raises SettingError if it is another one's."""

    def __init__(
        self, path: Path, scenario: str, parameters: Sequence[Parameter], jobs: Sequence[Job]
    ) -> None:
        self.path = path
        self._jobs = jobs
        self._parameters = parameters
        digests = "".join(job.digest for job in jobs)
        definition = {
            "scenario": scenario,
            "parameters": [str(p) for p in parameters],
            "seeds": sorted({job.seed for job in jobs}),
            "runs": len(jobs),
            "sha256": hashlib.sha256(digests.encode()).hexdigest(),
        }
        file = path / DEFINITION
        if file.exists():
            self._check(json.loads(file.read_text("utf-8")), definition)
        elif path.exists() and any(path.iterdir()):
            raise SettingError(f"{path} is in use, and not by a sweep; --out names another folder")
        (path / JOBS).mkdir(parents=True, exist_ok=True)
        if not file.exists():
            self._put(file, definition)

    def _check(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if before == now:
            return
        changed = [name for name in now if before.get(name) != now[name]]
        what = [name for name in changed if name != "sha256"] or [
            "what the scenario, its guest or weather, or this version of levada says"
        ]
        raise SettingError(
            f"{self.path} holds a sweep that was defined otherwise: {', '.join(what)} changed; "
            "--out names another folder, where nothing of the two is mixed"
        )

    def _put(self, file: Path, content: Mapping[str, Any]) -> None:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
        with os.fdopen(descriptor, "w", encoding="utf-8") as part:
            json.dump(content, part, indent=1)
            part.write("\n")
            part.flush()
            os.fsync(part.fileno())
        os.replace(name, file)

    def keep(self, found: Mapping[str, Any]) -> None:
        """Keep what came of a run."""
        self._put(self.path / JOBS / f"{found['digest']}.json", found)

    def missing(self) -> list[Job]:
        """Runs that are still to be done; those that have failed are tried again."""
        return [job for job in self._jobs if self._found(job).get("failed", "-")]

    def _found(self, job: Job) -> dict[str, Any]:
        try:
            text = (self.path / JOBS / f"{job.digest}.json").read_text("utf-8")
        except FileNotFoundError:
            return {}
        found: dict[str, Any] = json.loads(text)
        return found

    def failed(self) -> list[tuple[Job, str]]:
        """Runs that have failed, with why."""
        found = ((job, self._found(job).get("failed", "")) for job in self._jobs)
        return [(job, why) for job, why in found if why]

    def write_results(self) -> Path:
        """Put all runs into the dataset, in their order: equal bytes whoever ran them."""
        rows = list(self._rows())
        names = {name: None for row in rows for name in row}
        table = pa.table({name: [row.get(name) for row in rows] for name in names})
        made = Path(tempfile.mkdtemp(dir=self.path, prefix=".results-"))
        partitioning = None
        if self._parameters:
            first = pa.schema([table.schema.field(self._parameters[0].key)])
            partitioning = ds.partitioning(first, flavor="hive")
        ds.write_dataset(
            table,
            made,
            format="parquet",
            partitioning=partitioning,
            basename_template="part-{i}.parquet",
            use_threads=False,
        )
        results = self.path / RESULTS
        if results.exists():
            shutil.rmtree(results)
        made.rename(results)
        return results

    def _rows(self) -> Iterator[dict[str, Any]]:
        """A row for each zone of each run; of a run that has failed one that says why."""
        for job in self._jobs:
            found = self._found(job)
            if not found:
                continue
            about: dict[str, Any] = {key: _value(value) for key, value in job.values}
            about |= {"seed": job.seed, "job": job.digest, "failed": found["failed"]}
            for name in ("tape_digest", "trace_digest", "expectations", "expectations_held"):
                about[name] = found.get(name)
            for zone in found.get("zones", [{}]):
                yield about | {("zone" if n == "name" else n): v for n, v in zone.items()}


def _value(text: str) -> str | int | float:
    """A value of a parameter as a number, if it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
