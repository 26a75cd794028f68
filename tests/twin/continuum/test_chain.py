"""The simulated chain: nothing lost, nothing invented, the same rows whatever the way was like."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from levada import api
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.tape import Publication
from levada.sim.run import runner
from levada.sim.run.rundir import RunDir
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.twin.continuum.chain import FILE, Row, simulate
from levada.twin.errors import TwinError

ROOT = Path(__file__).resolve().parents[3]
WEATHER = ROOT / "levada/scenarios/weather/greeley_co_2023_daily.csv"
MODULE = DEFAULT_GUEST.read_bytes()
BASE = f"""\
version = 1
name = "chain"
[site]
latitude_deg = 40.4
longitude_deg = -104.6
elevation_m = 1400
utc_offset_h = -7
[period]
start = 2023-07-01
end = 2023-07-12
[weather]
file = "{WEATHER}"
[[zone]]
name = "a"
[zone.soil]
model = "bucket"
texture = "loam"
[zone.crop]
name = "maize"
planting = 2023-05-02
[fog]
[cloud]
"""
DAY_S = 86_400


def scenario(tmp_path: Path, text: str = "", **settings: str) -> Scenario:
    file = tmp_path / "chain.toml"
    file.write_text(BASE + text, encoding="utf-8")
    return load(file, [(key.replace("__", "."), value) for key, value in settings.items()])


def telemetry(of: Scenario, node: str, count: int, every_s: int = 600) -> list[Publication]:
    """Readings that wander, with an outlier now and then."""
    chance = random.Random(f"{node} {count}")
    raw = 2_000
    found = []
    for number in range(count):
        raw = max(500, min(3_500, raw + chance.randint(-4, 4)))
        shown = raw + (chance.random() < 0.01) * 400
        message = json.dumps({"raw": shown, "flow": chance.randint(0, 9), "irrigar": 0})
        time_ms = of.period.start_ms + number * every_s * 1000
        found.append(Publication(time_ms, b"data", message.encode(), 0))
    return found


def run(of: Scenario, *, nodes: int = 2, count: int = 1_000) -> tuple[list[Row], dict[str, Any]]:
    told = {f"n{i}": telemetry(of, f"n{i}", count) for i in range(nodes)}
    return simulate(of, MODULE, told)


def content(rows: list[Row]) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """What the cloud has, by stream and node, in the order in which it came."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in rows:
        line = (row.seq, row.t_ms, row.window_s, row.revision, dict(row.signals))
        found.setdefault((row.stream, row.node), []).append(line)
    return found


@pytest.fixture(scope="module")
def perfect(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], dict[str, Any]]:
    return run(scenario(tmp_path_factory.mktemp("perfect")))


def test_every_message_is_stored_once_and_filtered_once(
    perfect: tuple[list[Row], dict[str, Any]],
) -> None:
    rows, summary = perfect
    for stream in ("raw", "filtered"):
        for node in ("n0", "n1"):
            assert [line[0] for line in content(rows)[stream, node]] == list(range(1_000))
    assert (summary["messages"], summary["stored"], summary["filtered"]) == (2_000, 2_000, 2_000)
    assert (summary["fog_equals_cloud"], summary["fog_differs_from_cloud"]) == (2_000, 0)


def test_windows_are_what_the_raw_rows_make(perfect: tuple[list[Row], dict[str, Any]]) -> None:
    """Counted again from the raw rows that fog did not suppress, window by window."""
    rows, _ = perfect
    kept = {
        (row.node, row.seq) for row in rows if row.stream == "filtered" and "filt" in row.signals
    }
    hours: dict[tuple[str, int], list[tuple[float, float | None]]] = {}
    for row in rows:
        if row.stream == "raw":
            hour = row.t_ms - row.t_ms % 3_600_000
            raw = row.signals["raw"] if (row.node, row.seq) in kept else None
            hours.setdefault((row.node, hour), []).append((row.signals["flow"], raw))
    windows = {(row.node, row.t_ms): row for row in rows if row.stream == "window"}
    assert len(windows) == sum(row.stream == "window" for row in rows) > 300
    for key, row in windows.items():
        raws = [raw for _, raw in hours[key] if raw is not None]
        assert row.revision == 0
        assert row.signals["raw_count"] == len(raws)
        assert row.signals["flow_sum"] == sum(flow for flow, _ in hours[key])
        assert (row.signals["raw_min"], row.signals["raw_max"]) == (min(raws), max(raws))
        assert abs(row.signals["raw_mean"] - sum(raws) / len(raws)) <= 0.5


BAD = """
[[link]]
between = "edge-fog"
delay_ms = 80
jitter_ms = 900
loss_pct = 20
rate_kbit_s = 16
[[link.outage]]
start = "2 d"
duration = "6 h"
[[link]]
between = "fog-cloud"
delay_ms = 150
jitter_ms = 300
loss_pct = 10
[[link.outage]]
start = "1 d"
duration = "3 d"
"""


def test_a_bad_way_changes_when_rows_come_and_nothing_else(
    tmp_path: Path, perfect: tuple[list[Row], dict[str, Any]]
) -> None:
    rows, summary = run(scenario(tmp_path, BAD))
    assert content(rows) == content(perfect[0])
    assert summary["sent_again"]["edge"] > 300
    assert summary["latency_ms"]["edge_to_cloud"]["max"] > 2.9 * DAY_S * 1000
    again, repeated = run(scenario(tmp_path, BAD))
    assert (again, repeated) == (rows, summary)


@pytest.mark.parametrize("engines", [("native", "native"), ("wasm", "native"), ("native", "off")])
def test_native_code_gives_the_same_rows(
    tmp_path: Path, perfect: tuple[list[Row], dict[str, Any]], engines: tuple[str, str]
) -> None:
    fog, cloud = engines
    rows, summary = run(scenario(tmp_path, fog__engine=fog, cloud__engine=cloud))
    assert content(rows) == content(perfect[0])
    assert summary["fog_differs_from_cloud"] == 0
    assert summary["fog_equals_cloud"] == (0 if cloud == "off" else 2_000)


def test_without_an_engine_fog_only_relays(
    tmp_path: Path, perfect: tuple[list[Row], dict[str, Any]]
) -> None:
    rows, summary = run(scenario(tmp_path, fog__engine="off", cloud__engine="off"))
    raw = {key: lines for key, lines in content(perfect[0]).items() if key[0] == "raw"}
    assert content(rows) == raw
    assert (summary["filtered"], summary["windows"]) == (0, 0)


WEEK = """
[[link]]
between = "fog-cloud"
delay_ms = 20
[[link.outage]]
start = "1 d"
duration = "7 d"
"""


def test_a_week_without_the_cloud_loses_nothing_keeps_the_order_and_is_flushed_at_its_rate(
    tmp_path: Path,
) -> None:
    of = scenario(tmp_path, WEEK, fog__flush_rows_s="50")
    rows, summary = run(of, nodes=1, count=1_500)
    assert [row.seq for row in rows if row.stream == "raw"] == list(range(1_500))
    ended_ms = of.period.start_ms + 8 * DAY_S * 1000
    flushed = [row for row in rows if row.fog_ms < ended_ms <= row.cloud_ms]
    assert len(flushed) > 2_000  # seven days of raw, filtered and windows
    times = sorted(row.cloud_ms for row in flushed)
    # at most 50 rows in any second: the 51st after any row comes a second later
    assert min(b - a for a, b in zip(times, times[50:], strict=False)) >= 999.0
    assert times[-1] - times[0] < len(flushed) / 50 * 1000 + 2_000
    assert summary["kept_at_most"]["fog"] >= len(flushed)
    assert summary["dropped"] == 0


def test_a_full_buffer_stops_acknowledging_and_nodes_keep_their_messages(tmp_path: Path) -> None:
    rows, summary = run(scenario(tmp_path, WEEK, fog__buffer_rows="1000"), nodes=1, count=1_500)
    assert [row.seq for row in rows if row.stream == "raw"] == list(range(1_500))
    assert summary["kept_at_most"]["fog"] <= 1_000
    assert summary["kept_at_most"]["edge"] > 400


def test_a_full_buffer_drops_its_oldest_and_says_how_many(tmp_path: Path) -> None:
    of = scenario(tmp_path, WEEK, fog__buffer_rows="1000", fog__buffer_full="drop-oldest")
    rows, summary = run(of, nodes=1, count=1_500)
    found = [row.seq for row in rows if row.stream == "raw"]
    assert found == sorted(set(found))
    assert summary["dropped"] > 1_000
    every = 1_500 * 2 + 250 - 1  # all windows but the open one
    # one that was on its way when it was given up may have arrived
    assert every <= len(rows) + summary["dropped"] <= every + 3
    assert summary["kept_at_most"]["edge"] < 5


def test_a_full_buffer_can_end_the_run(tmp_path: Path) -> None:
    of = scenario(tmp_path, WEEK, fog__buffer_rows="1000", fog__buffer_full="fail")
    with pytest.raises(TwinError, match=r"the buffer of fog is full: \d+ rows wait"):
        run(of, nodes=1, count=1_500)


def test_latency_is_the_way_of_each_message(tmp_path: Path) -> None:
    """100 ms and 50 ms on the way, nothing else; rows follow each other at 5,000 a second."""
    link = '[[link]]\nbetween = "edge-fog"\ndelay_ms = 100\n'
    link += '[[link]]\nbetween = "fog-cloud"\ndelay_ms = 50\n'
    _, summary = run(scenario(tmp_path, link), nodes=1, count=100)
    latency = summary["latency_ms"]
    assert latency["edge_to_fog"] == {"p50": 100.0, "p95": 100.0, "max": 100.0}
    assert latency["fog_to_cloud"]["p50"] == pytest.approx(50.0, abs=0.21)
    assert latency["edge_to_cloud"]["max"] == pytest.approx(150.0, abs=0.81)


def test_what_a_guest_publishes_that_is_no_telemetry_is_counted(tmp_path: Path) -> None:
    of = scenario(tmp_path)
    start_ms = of.period.start_ms
    told = [Publication(start_ms, b"data", message, 0) for message in (b"{", b'{"raw": 1500}')]
    rows, summary = simulate(of, MODULE, {"n": told})
    assert (summary["messages"], summary["unreadable"], len(rows)) == (1, 1, 2)


def test_a_run_with_a_strategy_leaves_the_rows_of_the_cloud(tmp_path: Path) -> None:
    scenario(tmp_path)
    short = {"period.end": "2023-07-02"}
    found = api.run(
        tmp_path / "chain.toml", tmp_path / "run", overrides=short, strategy="C", report=False
    )
    summary = found.summary["continuum"]
    table = pq.read_table(found.path / FILE)
    assert summary["engines"] == {"edge": "wasm", "fog": "wasm", "cloud": "wasm"}
    assert summary["messages"] == summary["stored"] == 287
    assert table.num_rows == 2 * 287 + summary["windows"]
    assert set(table.column("stream").to_pylist()) == {"raw", "filtered", "window"}
    assert found.passed
    (tmp_path / "chain.toml").write_text(BASE.replace("[fog]\n[cloud]\n", ""), encoding="utf-8")
    short = {"period.end": "2023-07-01"}
    again = api.run(tmp_path / "chain.toml", tmp_path / "run", overrides=short, report=False)
    assert again.path == found.path
    assert not (again.path / FILE).exists()  # that of the run before


def test_a_run_whose_chain_is_interrupted_is_kept_and_partial(tmp_path: Path) -> None:
    def interrupted(_scenario: Scenario, _run_dir: Path) -> dict[str, Any]:
        raise KeyboardInterrupt

    of = scenario(tmp_path, period__end="2023-07-01")
    found = runner.run_scenario(of, tmp_path / "run", extend=interrupted, report=False)
    assert found.interrupted
    summary = RunDir(tmp_path / "run").summary
    assert (summary["partial"], summary["steps"]) == (True, 143)


def test_a_run_without_fog_has_no_continuum(tmp_path: Path) -> None:
    file = tmp_path / "alone.toml"
    file.write_text(BASE.replace("[fog]\n[cloud]\n", ""), encoding="utf-8")
    found = api.run(file, tmp_path / "run", overrides={"period.end": "2023-07-01"}, report=False)
    assert "continuum" not in found.summary
    assert not (found.path / FILE).exists()
