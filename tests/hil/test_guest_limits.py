"""Scenarios in which clock, power and supply fail: what reaches the field, on `sim` and a board."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from levada.guest.abi import Call
from levada.guest.tape import TapeReader, iter_records
from levada.hil.nodes import NodeMaker
from levada.sim.results.replay import replay_run
from levada.sim.run import runner
from levada.sim.run.rundir import RunDir
from levada.sim.scenario import load as scenario
from levada.sim.units import DAY_MS

CAP_L, STEP_L, DAYS = 200, 100, 4
"""10 l/min for the ten minutes between two steps."""
FIELD = """
version = 1
name = "limits"

[site]
latitude_deg = 40.0
longitude_deg = -105.0
elevation_m = 1500
utc_offset_h = -7

[period]
start = 2023-05-01
end = 2023-05-04

[weather]
file = "weather.csv"

[[zone]]
name = "a"
node = "{node}"
soil = {{ texture = "sandy loam", model = "bucket", initial.available_pct = 40 }}
crop = {{ name = "maize", planting = 2023-05-01 }}
valve = {{ flow_l_min = 10 }}

[zone.parameters]
daily_cap_l = 200
min_pause_s = {pause_s}
max_open_s = 1200
refill = 1
on_pct = 95
off_pct = 100
"""
DAY = ",25,10,50,2,20,0\n"
WEATHER = "date,tmax_c,tmin_c,rh_pct,wind_m_s,solar_mj_m2,rain_mm\n" + "".join(
    f"2023-05-{day:02}{DAY}" for day in range(1, 6)
)


def fault(kind: str, hour: float, more: str = "") -> str:
    return f'\n[[fault]]\nname = "{kind} {hour}"\nkind = "{kind}"\nstart = "{hour} h"\n{more}'


def skew(hour: float, hours: float, magnitude: str) -> str:
    return fault("clock-skew", hour, f'duration = "{hours} h"\nmagnitude = "{magnitude}"\n')


def written(directory: Path, faults: str, *, pause_s: int = 43_200, node: str = "sim") -> Path:
    (directory / "weather.csv").write_text(WEATHER)
    path = directory / f"{node.replace(':', '-')}.toml"
    path.write_text(FIELD.format(pause_s=pause_s, node=node) + faults)
    return path


def run(path: Path) -> dict[str, Any]:
    out = path.with_suffix("")
    with NodeMaker() as make_node:
        loaded = scenario.read(path).scenario
        return runner.run_scenario(loaded, out, make_node=make_node, report=False).summary


def litres_a_day(out: Path) -> list[float]:
    table = pq.read_table(out / "trace.parquet", columns=["time_ms", "flow_l"]).to_pydict()
    litres = [0.0] * DAYS
    first = table["time_ms"][0] // DAY_MS
    for time_ms, flow_l in zip(table["time_ms"], table["flow_l"], strict=True):
        # a row stands for the time before it: midnight belongs to the day that ends
        litres[max(0, (time_ms - 1) // DAY_MS - first)] += flow_l or 0.0
    return litres


def openings(out: Path) -> int:
    """How often the guest commanded the closed valve open."""
    states = [
        record.values[1]
        for record in iter_records(TapeReader(out / "tape.cbor").tapes()[0])
        if record.call == Call.SET_OUTPUT
    ]
    return sum(a < b for a, b in pairwise([0, *states]))


FAULTS = {
    "ahead by a day for half an hour": skew(26, 0.5, "1 d"),
    "ahead by a day for half an hour, ten times": "".join(
        skew(24 + h, 0.5, "1 d") for h in range(2, 22, 2)
    ),
    "over midnight, slowly": "".join(
        skew(40 + k * 0.5, 0.5, f"{k * 30} min") for k in range(1, 16)
    ),
    "back by a day": skew(30, 20, "-1 d"),
    "ahead at midnight": skew(48, 5, "1 d"),
    "a day of 29 hours": "".join(skew(24 + k, 1, f"{-k * 600} s") for k in range(1, 30)),
    "1970 after each restart": "".join(
        fault("reboot", h) + skew(h + 0.01, 1, "-366 d") for h in range(26, 46, 3)
    ),
    "no power for an hour": "".join(
        fault("brown-out", h, 'duration = "1 h"\n') for h in range(26, 46, 4)
    ),
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_a_day_has_its_volume_once_and_openings_keep_their_pause(
    faults: str, tmp_path: Path
) -> None:
    path = written(tmp_path, faults)
    run(path)
    litres = litres_a_day(path.with_suffix(""))
    assert max(litres) <= CAP_L + STEP_L, litres
    assert sum(litres) >= 1.99 * CAP_L
    # twelve hours between two openings
    assert openings(path.with_suffix("")) <= 2 * DAYS


def test_ten_restarts_a_day_bring_no_second_volume(tmp_path: Path) -> None:
    path = written(
        tmp_path, "".join(fault("reboot", 24 + h) for h in range(2, 22, 2)), pause_s=2400
    )
    run(path)
    litres = litres_a_day(path.with_suffix(""))
    assert max(litres) <= CAP_L + STEP_L, litres


def test_without_what_was_kept_the_day_begins_anew(tmp_path: Path) -> None:
    kept = written(tmp_path, fault("reboot", 30), pause_s=2400)
    run(kept)
    assert litres_a_day(kept.with_suffix(""))[1] <= CAP_L + STEP_L
    lost = written(tmp_path, fault("keep-loss", 30), pause_s=2400)
    run(lost)
    assert litres_a_day(lost.with_suffix(""))[1] >= 1.99 * CAP_L


@pytest.mark.usefixtures("no_repair")
def test_a_board_does_the_same_as_the_simulated_node_through_all_of_it(tmp_path: Path) -> None:
    faults = (
        skew(5, 0.5, "1 d") + fault("reboot", 7) + skew(20, 6, "-90 s") + fault("keep-loss", 30)
        + fault("brown-out", 50, 'duration = "40 min"\n') + fault("reboot", 55)
    )  # fmt: skip
    digests = {}
    for node in ("sim", "virtual", "virtual:wasmtime"):
        path = written(tmp_path, faults, pause_s=2400, node=node)
        digests[node] = run(path)["tape_digest"]
    assert len(set(digests.values())) == 1, digests
    reader = TapeReader(tmp_path / "sim" / "tape.cbor")
    calls = {record.call for record in iter_records(reader.tapes()[0])}
    assert {Call.UPTIME_S, Call.KEEP_GET, Call.KEEP_SET} <= calls


def test_a_replay_follows_clock_restarts_and_losses(tmp_path: Path) -> None:
    path = written(
        tmp_path, skew(5, 0.5, "1 d") + fault("reboot", 7) + fault("keep-loss", 30), pause_s=2400
    )
    run(path)
    found = replay_run(RunDir(path.with_suffix("")))
    assert found.difference is None
    assert found.complete


def test_without_supply_the_valve_opens_three_times(tmp_path: Path) -> None:
    shut = fault("valve-stuck-closed", 0, 'duration = "4 d"\n') + fault("reboot", 60)
    path = written(tmp_path, shut, pause_s=2400)
    run(path)
    assert openings(path.with_suffix("")) == 3
