"""One run of a sweep: what defines it, and what is kept of it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from levada.guest.errors import LevadaError
from levada.sim.run import runner
from levada.sim.scenario.load import read
from levada.sim.scenario.zone import Zone

__all__ = ["Job", "defined", "kept", "run_job"]

DIGEST_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Job:
    """A run, by all that its result hangs on; `digest` stands for that."""

    scenario: str
    """Path of the file."""
    overlays: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    """Keys of the scenario that are set, as `--set` has them."""
    values: tuple[tuple[str, str], ...]
    """Those of them that are swept, as they were written."""
    seed: int
    digest: str


def defined(
    scenario: Path,
    overlays: Sequence[Path],
    settings: Sequence[tuple[str, str]],
    values: Sequence[tuple[str, str]],
    seeds: Sequence[int],
) -> list[Job]:
    """The runs of one combination of values; raises what `runner.check` does."""
    pairs = _of_every_zone([*settings, *values], scenario, overlays)
    document = read(scenario, pairs, overlays=overlays)
    info = runner.check(document)
    found = document.scenario
    weather = found.weather.model_dump(mode="json", exclude={"file": True, "generator": {"like"}})
    about: dict[str, Any] = {
        "scenario": found.model_dump(mode="json", exclude={"seed", "guest", "weather"}),
        "guest": found.guest.model_dump(mode="json", exclude={"file"}),
        "guest_sha256": info.sha256,
        "weather": weather,
        "weather_sha256": hashlib.sha256(Path(found.weather.source).read_bytes()).hexdigest(),
        "levada": version("levada"),
    }
    return [
        Job(
            scenario=str(scenario),
            overlays=tuple(map(str, overlays)),
            pairs=tuple(pairs),
            values=tuple(values),
            seed=seed,
            digest=_digest(about | {"seed": seed}),
        )
        for seed in seeds
    ]


def _digest(about: Mapping[str, Any]) -> str:
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def _of_every_zone(
    pairs: Sequence[tuple[str, str]], scenario: Path, overlays: Sequence[Path]
) -> list[tuple[str, str]]:
    """`zone.KEY` sets the key of every zone; `zone.0.KEY`, `zone.NAME.KEY` of one, as `--set`."""
    found: list[tuple[str, str]] = []
    zones: list[str] | None = None
    for key, value in pairs:
        table, _, rest = key.partition(".")
        field = rest.partition(".")[0]
        if table != "zone" or field not in Zone.model_fields:
            found.append((key, value))
            continue
        if zones is None:
            zones = [zone.name for zone in read(scenario, overlays=overlays).scenario.zone]
        if field in zones:
            found.append((key, value))
        else:
            found += [(f"zone.{k}.{rest}", value) for k in range(len(zones))]
    return found


def run_job(job: Job) -> dict[str, Any]:
    """Run it and return what is kept; in any process, on any machine that has the files."""
    try:
        document = read(
            Path(job.scenario),
            job.pairs,
            job.seed,
            [Path(overlay) for overlay in job.overlays],
        )
        with tempfile.TemporaryDirectory(prefix="levada-sweep-") as folder:
            result = runner.run_scenario(document.scenario, Path(folder) / "run", report=False)
    except LevadaError as error:
        return {"digest": job.digest, "failed": f"{type(error).__name__}: {error}"}
    if result.interrupted:
        raise KeyboardInterrupt
    return {"digest": job.digest, "failed": "", **kept(result.summary)}


def kept(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Digests, what became of the expectations, and every plain figure of every zone."""
    expectations = summary["expectations"]
    return {
        "tape_digest": summary["tape_digest"],
        "trace_digest": summary["trace_digest"],
        "expectations": len(expectations),
        "expectations_held": sum(bool(e["passed"]) for e in expectations),
        "zones": [
            {
                name: value
                for name, value in zone.items()
                if value is None or isinstance(value, str | int | float)
            }
            for zone in summary["zones"]
        ],
    }
