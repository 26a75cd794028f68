"""Runs what a sweep consists of, in processes here or on a cluster.

    on_pct = parameter("zone.parameters.on_pct=60:95:5")
    sweep = Sweep(path, scenario, [on_pct], seeds=range(1, 101))
    sweep.run(workers=2)

Every run has a process to itself while it lasts, and nothing hangs on which: the numbers are those
of `levada run` with the same settings and seed.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levada.guest.text.redaction import redacted
from levada.sim.errors import SettingError
from levada.sim.sweep.design import MOST_JOBS, Parameter, combinations
from levada.sim.sweep.folder import SweepFolder
from levada.sim.sweep.job import Job, defined, run_job

__all__ = ["Progress", "Sweep", "SweepState", "cluster"]

AHEAD: Final = 2
"""Runs in flight for each worker: while one is fetched another waits there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepState:
    """How far a sweep is."""

    runs: int
    done: int
    failed: int
    in_flight: int


_ADDRESS: Final = re.compile(r"(?:tcp|tls)://[^@/\s]+:\d{1,5}")
Progress = Callable[[SweepState], object]


class Sweep:
    """A sweep in the folder `path`: begun, or gone on with.

    Raises ScenarioError, GuestError or WeatherError for a combination that cannot run, SettingError
    for a design that makes no sense, or if the folder holds another sweep.
    """

    def __init__(
        self,
        path: Path,
        scenario: Path,
        parameters: Sequence[Parameter],
        *,
        seeds: Sequence[int],
        settings: Sequence[tuple[str, str]] = (),
        overlays: Sequence[Path] = (),
    ) -> None:
        count = len(seeds)
        for p in parameters:
            count *= len(p.values)
        if count > MOST_JOBS:
            raise SettingError(f"{count:,} runs: at most {MOST_JOBS:,} make a sweep")
        self.jobs = [
            job
            for values in combinations(parameters)
            for job in defined(scenario, overlays, settings, values, seeds)
        ]
        self.folder = SweepFolder(path, scenario.stem, parameters, self.jobs)

    def run(
        self,
        workers: int = 1,
        *,
        executor: Executor | None = None,
        progress: Progress = lambda _: None,
    ) -> bool:
        """Run what is missing and write the results; whether no run has failed.

        `executor` runs them instead of `workers` processes here.  Ctrl-C ends it: runs in flight
        are lost, and run again the next time.
        """
        missing = self.folder.missing()
        if missing and executor is None:
            with _processes(min(workers, len(missing))) as pool:
                self._run(pool, missing, workers, progress)
        elif missing and executor is not None:
            self._run(executor, missing, workers, progress)
        self.folder.write_results()
        return not self.folder.failed()

    def _run(
        self, pool: Executor, missing: Sequence[Job], workers: int, progress: Progress
    ) -> None:
        waiting = iter(missing)
        ahead = AHEAD * workers if workers > 1 else 1
        in_flight: set[Future[dict[str, Any]]] = set()
        done, failed = len(self.jobs) - len(missing), 0
        while True:
            while len(in_flight) < ahead and (job := next(waiting, None)) is not None:
                in_flight.add(pool.submit(run_job, job))
            state = SweepState(
                runs=len(self.jobs), done=done, failed=failed, in_flight=len(in_flight)
            )
            progress(state)
            if not in_flight:
                return
            ended, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
            for future in ended:
                found = future.result()
                self.folder.keep(found)
                failed += bool(found["failed"])
                done += not found["failed"]


class _Here(Executor):
    """One after the other in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it now."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    if workers == 1:
        yield _Here()
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """Workers of a Dask scheduler, and how many there are; raises SettingError without any."""
    if _ADDRESS.fullmatch(address) is None:
        raise SettingError(
            f"--scheduler {redacted(address)}: wanted is tcp://HOST:PORT or tls://HOST:PORT"
        )
    try:
        from distributed import Client
    except ImportError:
        raise SettingError(
            "--scheduler needs Dask: install it with: python -m pip install 'levada[dask]'"
        ) from None
    connect: Any = Client
    try:
        client = connect(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise SettingError(f"--scheduler {address}: {error}") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise SettingError(f"--scheduler {address}: it has no workers")
        yield client.get_executor(pure=False), threads
