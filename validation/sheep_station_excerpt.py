"""Cuts the soil water and weather of the US Sheep Experiment Station out of their R package.

    pip install rdata
    git clone https://github.com/akleinhesselink/sheepweather
    python -m validation.sheep_station_excerpt sheepweather/data

Writes `tests/sim/data/sheep_station_soil_water.csv` and `sheep_station_days.csv`.  The package is
CC0 1.0 (its DESCRIPTION and LICENSE.md).  Only this program needs `rdata`.

Soil water: of the seasons in `YEARS`, the mean of the readings in each four hours, then over the
probes of a treatment and depth.  Probes with fewer than four fifths of the season's intervals are
left out, and the mean is empty while one of the others is silent, so that a mean never jumps
because a probe comes or goes.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # what rdata gives back

from validation.comparison import DATA

YEARS = (2014, 2015)
FIRST, LAST = "04-15", "10-15"
STEP = "4h"
LEAST = 0.8
"""Share of a season's intervals that a probe must have."""
SOURCE = (
    "US Sheep Experiment Station, Dubois, Idaho, from github.com/akleinhesselink/sheepweather,",
    "commit 70e085c, CC0 1.0.  Cut by validation/sheep_station_excerpt.py.",
)


def frame(folder: Path, name: str) -> Any:
    """One table of the package."""
    import rdata  # type: ignore[import-not-found,import-untyped,unused-ignore]  # of this program

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of R's classes of dates, which are numbers here
        return rdata.read_rda(folder / f"{name}.rda")[name]


def season(year: int) -> Any:
    """The intervals of a season."""
    end = pd.Timestamp(f"{year}-{LAST}") + pd.Timedelta(days=1)
    return pd.date_range(f"{year}-{FIRST}", end, freq=STEP, inclusive="left")


def soil_water(readings: Any) -> Iterator[str]:
    """Lines of the file of water contents."""
    found = readings[readings.measure == "VWC"].copy()
    found["time"] = pd.to_datetime(found.datetime, unit="s").dt.floor(STEP)
    found["series"] = (
        found.Treatment.astype(str).str.lower() + "_" + found.depth.astype(str).str.split().str[0]
    )
    found["probe"] = found["plot"] + found["position"]
    columns = [f"{t}_{d}" for t in ("control", "drought", "irrigation") for d in (5, 25)]
    comments, rows = [], []
    for year in YEARS:
        times = season(year)
        table, notes = [], []
        for name in columns:
            of_series = found[found.series == name]
            by_probe = of_series.pivot_table(
                index="time", columns="probe", values="v", aggfunc="mean"
            ).reindex(times)
            kept = by_probe.loc[:, by_probe.notna().mean() >= LEAST]
            mean = kept.mean(axis=1).where(kept.notna().all(axis=1))
            spread = float(np.sqrt(kept[mean.notna()].var(axis=1).mean()))
            notes.append(f"{name} {kept.shape[1]} probes, {spread:.3f}")
            table.append(mean)
        comments.append(f"{year}, standard deviation between probes: " + "; ".join(notes))
        for k, time in enumerate(times):
            values = ["" if np.isnan(each.iloc[k]) else f"{each.iloc[k]:.4f}" for each in table]
            rows.append(",".join([f"{time:%Y-%m-%dT%H:%M}", *values]))
    head = (
        *SOURCE,
        "Mean of the raw water contents (factory calibration) in the four hours from `time`, local",
        "time, over the probes of a treatment at 5 and 25 cm.  Control: the rain that falls;",
        "drought: half of it; irrigation: half as much again.",
    )
    yield from (f"# {line}" for line in (*head, *comments))
    yield ",".join(["time", *columns])
    yield from rows


def days(weather: Any, soilwat: Any) -> Iterator[str]:
    """Lines of the file of days."""
    of_day = weather.assign(day=pd.to_datetime(weather.date, unit="D")).pivot_table(
        index="day", columns="ELEMENT", values="value", dropna=False
    )
    theirs = soilwat.assign(
        day=pd.to_datetime(soilwat.Year.astype(int).astype(str), format="%Y")
        + pd.to_timedelta(soilwat.Day - 1, unit="D")
    ).set_index("day")
    head = (
        *SOURCE,
        "Weather of station USC00102707 (NOAA's GHCN-Daily, in the public domain), at the date it",
        "is filed under; empty where absent.  The last two columns: water contents that SOILWAT2",
        "(rSOILWAT2 2.5.0) computed for the station, 0 to 20 and 20 to 40 cm, undisturbed rain.",
    )
    yield from (f"# {line}" for line in head)
    yield "date,tmax_c,tmin_c,rain_mm,soilwat_10,soilwat_30"
    for year in YEARS:
        for day in pd.date_range(f"{year}-{FIRST}", f"{year}-{LAST}"):
            values = [of_day.loc[day, name] for name in ("TMAX", "TMIN", "PRCP")]
            layers = [theirs.loc[day, name] for name in ("Lyr_1", "Lyr_2")]
            cells = ["" if np.isnan(value) else f"{value:.1f}" for value in values]
            yield ",".join([f"{day:%Y-%m-%d}", *cells, *(f"{value:.4f}" for value in layers)])


def main(folder: Path) -> None:
    """Write both files."""
    readings = frame(folder, "usses_decagon")
    tables = {
        "sheep_station_soil_water": soil_water(readings),
        "sheep_station_days": days(frame(folder, "usses_weather"), frame(folder, "usses_soilwat")),
    }
    for name, lines in tables.items():
        (DATA / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
