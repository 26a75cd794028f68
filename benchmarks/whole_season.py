"""Seasons with all that they need counted, for `benchmarks.bench_season`.

Whole processes: from the start of Python to its end, with imports, reading and writing; cold with
empty caches of compiled code (pyfao56 has none: its module files alone), warm with full ones.

On equal terms: maize at Greeley in the seven layers of its plot, irrigated as it was, in steps of a
day on both sides, no guest, nothing written; set-up, from the rows of the table to the model, is
counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from validation.bucket import MAIZE_LAYERS, peer, season
from validation.crop import MAIZE

ROOT = Path(__file__).parent.parent
ROUNDS = 3
"""Of each whole process."""
_PEER = """
import sys
import pyfao56
folder, first, last = sys.argv[1:]
parameters = pyfao56.Parameters()
parameters.loadfile(folder + "/season.par")
weather = pyfao56.Weather(folder + "/season.wth")
irrigation = pyfao56.Irrigation(folder + "/season.irr")
profile = pyfao56.SoilProfile(folder + "/season.sol") if "layered" in folder else None
model = pyfao56.Model(first, last, parameters, weather, irr=irrigation, sol=profile)
model.run()
model.savefile(folder + "/season.out")
model.savesums(folder + "/season.sum")
"""


def levada_process(soil: str, *, cold: bool) -> float:
    """Seconds of `levada run` of the quickstart, its report included."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if cold:
            environment |= {"XDG_CACHE_HOME": f"{folder}/cache"}
            environment.pop("NUMBA_CACHE_DIR", None)
        command = ["-m", "levada", "run", "quickstart", "--out", f"{folder}/run"]
        return _timed([*command, "--set", f'zone.maize.soil.model="{soil}"'], environment)


def peer_process(inputs: dict[str, Any], *, cold: bool) -> float:
    """Seconds of a script that reads pyfao56's files, runs the season and writes its results."""
    kind = "layered" if inputs["profile"] is not None else "daily"
    with tempfile.TemporaryDirectory(suffix=kind) as folder:
        weather = inputs["weather"]
        weather.wdata = weather.wdata.reindex(columns=weather.cnames)
        weather.wdata["MorP"] = "M"
        weather.savefile(f"{folder}/season.wth")
        parameters = inputs["parameters"]
        for stage in ("Lini", "Ldev", "Lmid", "Lend"):  # its files have whole days
            setattr(parameters, stage, int(getattr(parameters, stage)))
        parameters.savefile(f"{folder}/season.par")
        inputs["irrigation"].savefile(f"{folder}/season.irr")
        if inputs["profile"] is not None:
            inputs["profile"].savefile(f"{folder}/season.sol")
        environment = dict(os.environ)
        if cold:
            environment |= {"PYTHONPYCACHEPREFIX": f"{folder}/cache"}
        keys = inputs["keys"]
        return _timed(["-c", _PEER, folder, keys[0], keys[-1]], environment)


def _timed(arguments: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun


def on_equal_terms(rounds: int) -> dict[str, float]:
    """Seconds of the best of `rounds`, taken in turns."""
    best = {"pyfao56, layered": float("inf"), "levada, bucket": float("inf")}
    for _ in range(rounds):
        for name, run in (
            ("pyfao56, layered", lambda: peer(MAIZE, "as given", MAIZE_LAYERS)),
            ("levada, bucket", lambda: season(MAIZE, "as given", MAIZE_LAYERS, step_s=86_400.0)),
        ):
            begun = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - begun)
    return best


def processes(inputs: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Seconds of the best of ROUNDS whole processes, cold and warm, taken in turns."""
    seconds: dict[str, dict[str, float]] = {}
    for _ in range(ROUNDS):
        for temper in ("cold", "warm"):
            cold = temper == "cold"
            runs = {name: peer_process(given, cold=cold) for name, given in inputs.items()}
            for soil in ("bucket", "richards"):
                runs[f"levada run, {soil}"] = levada_process(soil, cold=cold)
            for name, taken in runs.items():
                row = seconds.setdefault(name, {})
                row[temper] = min(row.get(temper, float("inf")), taken)
    return pd.DataFrame(seconds).T
