"""What a tier computes, against plain models of the filter and the rules of suppression."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
import wasmtime
from fog_telemetry import MODULE, T0, sample

from levada.guest.errors import ModuleError, ParameterError
from levada.twin.continuum.tier import Sample, Tier


def tier(engine: Any = "wasm", **parameters: int) -> Tier:
    return Tier(MODULE, engine, parameters, 3_600, 86_400)


def samples(count: int, seed: int, nodes: int = 3) -> list[Sample]:
    chance = random.Random(seed)
    found = []
    for number in range(count):
        raw = chance.choices([2_000 + chance.randrange(200), 4_090, -2], [90, 5, 5])[0]
        found.append(sample(f"n{chance.randrange(nodes)}", number, raw=raw, flow=number % 3))
    return found


def readings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if "window_s" not in row]


def test_a_row_refers_to_the_message_that_it_was_computed_from() -> None:
    with tier() as made:
        assert made.take([sample("maize", 3, raw=1_500, pct=40)]) == [
            {
                "node": "maize",
                "boot": 5,
                "seq": 3,
                "t": T0 + 180_000,
                "anomaly": 0,
                "raw": 1_500,
                "filt": 1_500,
            }
        ]


def test_a_node_that_tells_no_number_and_no_time_gets_none() -> None:
    with tier() as made:
        (row,) = made.take([Sample("old", None, None, T0, {"raw": 7.0}, timed=False)])
    assert row == {"node": "old", "anomaly": 1, "raw": 7}  # 7 counts is no plausible reading


def test_a_message_without_a_reading_has_no_row_but_its_pulses_count() -> None:
    with tier() as made:
        assert made.take([sample("n", 0, flow=5), sample("n", 1, irrigar=1)]) == []
        (row, window) = made.take([sample("n", 60, raw=2_000)])
    assert row["filt"] == 2_000
    assert (window["raw_count"], window["flow_sum"]) == (0, 5)


def exponential(values: list[int]) -> Iterator[int]:
    """`docs/abi.md`: e += (256 raw - e) >> 2, result (e + 128) >> 8."""
    e = None
    for raw in values:
        e = 256 * raw if e is None else e + ((256 * raw - e) >> 2)
        yield (e + 128) >> 8


def moving(values: list[int]) -> Iterator[int]:
    for end in range(1, len(values) + 1):
        last = values[max(0, end - 8) : end]
        yield (sum(last) + len(last) // 2) // len(last)


def middle(values: list[int]) -> Iterator[int]:
    for end in range(1, len(values) + 1):
        yield int(median(values[max(0, end - 8) : end]) + 0.5)


@pytest.mark.parametrize(("kind", "model"), [(0, exponential), (1, moving), (2, middle)])
def test_filters_follow_their_definition_and_get_nothing_that_is_suppressed(
    kind: int, model: Any
) -> None:
    given = samples(600, seed=1)
    with tier(filter_kind=kind) as made:
        rows = readings(made.take(given))
    assert [row["raw"] for row in rows] == [s.signals["raw"] for s in given]
    suppressed = 0
    for node in ("n0", "n1", "n2"):
        mine = [row for row in rows if row["node"] == node]
        fed = [row for row in mine if not row["anomaly"] & 9]
        suppressed += len(mine) - len(fed)
        assert all("filt" not in row for row in mine if row["anomaly"] & 9)
        assert [row["filt"] for row in fed] == list(model([row["raw"] for row in fed]))
    assert suppressed > 30


def test_windows_hold_what_was_not_suppressed() -> None:
    with tier() as made:
        rows = made.take([sample("n", m, raw=r) for m, r in ((0, 2_000), (1, -1), (2, 2_005))])
        (window,) = [row for row in made.take([sample("n", 60, raw=1)]) if "window_s" in row]
    assert [row["anomaly"] for row in rows] == [0, 1, 0]
    assert (window["node"], window["t"], window["raw_count"]) == ("n", T0, 2)
    assert (window["raw_mean"], window["raw_min"], window["raw_max"]) == (2_003, 2_000, 2_005)


def test_how_samples_are_grouped_and_which_nodes_are_beside_changes_nothing() -> None:
    given = samples(400, seed=2)
    with tier() as whole, tier() as single, tier() as alone:
        rows = whole.take(given)
        assert list(itertools.chain.from_iterable(single.take([s]) for s in given)) == rows
        mine = alone.take([s for s in given if s.node == "n1"])
        assert mine == [row for row in rows if row["node"] == "n1"]


def test_native_computes_as_wasm_does() -> None:
    given = samples(2_000, seed=3)
    with tier("wasm") as wasm, tier("native") as native:
        assert wasm.take(given) == native.take(given)


def test_a_tier_that_is_off_computes_nothing() -> None:
    with tier("off") as made:
        assert not made.computes
        assert made.take(samples(10, seed=4)) == []


@pytest.mark.parametrize("engine", ["wasm", "native"])
def test_a_tier_goes_on_from_a_state_after_every_group(engine: Any) -> None:
    """Also a probe that does not move: how long it has not is older than any reading kept."""
    given = samples(200, seed=5)
    given += [sample("n1", 200 + 60 * hour, raw=1_777) for hour in range(40)]
    with tier(engine) as whole:
        expected = [whole.take([s]) for s in given]
    assert any(row.get("anomaly") == 2 for rows in expected for row in rows)
    states: dict[str, bytes] = {}
    windows: dict[str, dict[int, Any]] = {}
    ends = [*range(3, len(given), 17), len(given)]
    for begin, end in itertools.pairwise([0, *ends]):
        group = given[begin:end]
        nodes = list(dict.fromkeys(one.node for one in group))
        with tier(engine) as made:
            for node in nodes:
                if node in states:
                    mine = windows[node]
                    made.resume(node, states[node], [mine[start] for start in sorted(mine)])
            assert made.take(group) == list(itertools.chain.from_iterable(expected[begin:end]))
            states |= made.states(nodes)
            for node in nodes:
                for start_ms, state in made.window_changes(node):
                    windows.setdefault(node, {})[start_ms] = state
                    if state is None:
                        del windows[node][start_ms]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_state_of_another_engine_gives_the_filter_its_last_readings(kind: int) -> None:
    given = [one for one in samples(300, seed=6, nodes=1) if one.signals["raw"] > 0]
    with tier("wasm", filter_kind=kind) as whole:
        expected = readings(whole.take(given))
    with tier("wasm", filter_kind=kind) as before, tier("native", filter_kind=kind) as after:
        before.take(given[:150])
        after.resume("n0", before.states(["n0"])["n0"], [])
        found = readings(after.take(given[150:]))
    fed = [row.get("filt") for row in expected[150:]]
    assert [row.get("filt") for row in found] == fed


def test_samples_alone_make_an_average_and_the_open_window_what_they_were() -> None:
    given = [sample("n", minute, raw=2_000 + minute % 7) for minute in range(100)]
    with tier(filter_kind=1) as whole, tier(filter_kind=1) as restarted:
        whole.take(given[:90])
        restarted.look_back("n", given[50:90])
        assert restarted.take(given[90:]) == whole.take(given[90:])
        (window,) = [r for r in restarted.take([sample("n", 120, raw=0)]) if "window_s" in r]
        assert window["raw_count"] == 40


OLD = """(module (func (export "process") (param i32 i32 i32 i32) (result i32)
  local.get 0 local.get 3 i32.gt_s i32.const 8 i32.shl))"""


def test_a_guest_that_has_only_process_is_a_filter() -> None:
    module = bytes(wasmtime.wat2wasm(OLD))
    calibration = {"dry_counts": 3_000, "wet_counts": 1_200, "limit_counts": 2_100}
    with Tier(module, "wasm", calibration, 0, 0) as made:
        rows = made.take([sample("n", m, raw=r) for m, r in ((0, 2_101), (1, 2_100), (2, -1))])
    assert [row.get("processed") for row in rows] == [256, 0, None]
    assert [row["anomaly"] for row in rows] == [0, 0, 1]
    with pytest.raises(ParameterError, match=r"needs limit_counts"):
        Tier(module, "wasm", {"dry_counts": 1, "wet_counts": 2}, 0, 0)


def test_what_is_no_guest_of_this_tier_is_refused() -> None:
    nothing = '(module (func (export "add") (param i32) (result i32) local.get 0))'
    with pytest.raises(ModuleError, match="neither `filter` nor `process`"):
        Tier(bytes(wasmtime.wat2wasm(nothing)), "wasm", {}, 0, 0)
    other = """(module (func (export "filter") (param i32) (result i32) local.get 0)
      (func (export "anomaly") (param i32) (result i32) i32.const 0))"""
    with pytest.raises(ModuleError, match=r"anomaly \(i32\) -> i32: must have 2 parameters"):
        Tier(bytes(wasmtime.wat2wasm(other)), "wasm", {}, 0, 0)  # and not at the first message
    with pytest.raises(ParameterError, match=r"'speed': the guest has confirm, "):
        tier(speed=1)
    with pytest.raises(ParameterError, match=r"filter_kind"):
        tier(filter_kind=9)
