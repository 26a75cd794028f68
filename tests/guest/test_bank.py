"""Fog and cloud get the same numbers from every engine, and from a model of the definitions."""

from __future__ import annotations

import importlib.metadata
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from guest_modules import module
from tier_calls import DECLARED, EXPORTS, SHIPPED, TierModel, random_calls

from levada.guest.abi import LOOK_BACK, Anomaly, TrapKind, Window
from levada.guest.errors import AbiError, BuildError, GuestError, ParameterError, Trap
from levada.guest.limits import Budget
from levada.guest.native_library import native_library
from levada.guest.wasm.bank import Bank, EngineName
from levada.guest.wasm.pure import PureGuest

NODES = 40
ENGINES: tuple[EngineName, ...] = ("wasm", "native")
FOREVER = "(loop $again (br $again)) i32.const 0"


def one(bank: Bank, name: str, *arguments: int, node: int = 0) -> int:
    """A single call that must not be stopped."""
    batch = bank.call(name, [node], np.array([arguments], dtype=np.int32))
    assert batch.traps[0] == 0
    return int(batch.results[0])


def function(name: str, body: str, parameters: int = 1, more: str = "") -> bytes:
    """A module with one function of i32, without any import."""
    head = f'(func (export "{name}") {"(param i32)" * parameters} (result i32)'
    return module(f"{head} {body})", more, imports=())


def ids(**values: int) -> dict[int, int]:
    """Parameters by id."""
    return {DECLARED[name].id: value for name, value in values.items()}


# --- equal bits ---------------------------------------------------------------------------------


def compare(left: Bank, right: Bank, blocks: int, calls: int, seed: int = 12) -> None:
    """The same random calls give the same, `blocks` times `calls` for each function."""
    for batch in random_calls(seed, NODES, blocks, calls):
        first, second = left.call(*batch), right.call(*batch)
        assert not first.traps.any()
        assert not second.traps.any()
        assert np.array_equal(first.results, second.results), batch.name


def test_native_has_the_results_of_wasm_over_100_000_readings_of_each_function() -> None:
    with Bank(SHIPPED, NODES) as wasm, Bank(SHIPPED, NODES, engine="native") as native:
        compare(wasm, native, 50, 2_000)


def check_model(blocks: int, calls: int) -> None:
    """Results are those of the model, and each function had something to say."""
    models = [TierModel() for _ in range(NODES)]
    said: dict[str, set[int]] = {name: set() for name in EXPORTS}
    with Bank(SHIPPED, NODES) as bank:
        for name, nodes, arguments in random_calls(1812, NODES, blocks, calls):
            expected = [
                getattr(models[node], name)(*values)
                for node, values in zip(nodes.tolist(), arguments.tolist(), strict=True)
            ]
            assert bank.call(name, nodes, arguments).results.tolist() == expected, name
            said.setdefault(name, set()).update(expected)
    assert said["anomaly"] == set(range(1 << 4)) - {n for n in range(1 << 4) if n & 1 and n > 1}
    assert said["window_add"] == {0, 1, -1}
    assert all(len(said[name]) > 1 for name in EXPORTS if name != "look_back")


def test_results_are_those_of_the_definitions() -> None:
    check_model(20, 800)


@pytest.mark.slow
def test_results_are_those_of_the_definitions_over_100_000_readings() -> None:
    check_model(50, 2_000)


def compare_single_calls(blocks: int, calls: int) -> None:
    """The same as one guest a node that is called by wasmtime-py, which checks every value."""
    with Bank(SHIPPED, NODES) as bank, ExitStack() as opened:
        guests = [opened.enter_context(PureGuest(SHIPPED)) for _ in range(NODES)]
        for name, nodes, arguments in random_calls(12, NODES, blocks, calls):
            expected = [
                guests[node].call(name, *values)
                for node, values in zip(nodes.tolist(), arguments.tolist(), strict=True)
            ]
            assert bank.call(name, nodes, arguments).results.tolist() == expected, name


def test_single_calls_have_the_same_results() -> None:
    compare_single_calls(4, 200)


@pytest.mark.slow
def test_single_calls_have_the_same_results_over_100_000_readings() -> None:
    compare_single_calls(50, 2_000)


# --- known answers ------------------------------------------------------------------------------


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    return name


def test_the_median_ignores_a_spike_that_moves_the_average(engine: EngineName) -> None:
    readings = [2000, 2010, 3900, 2020, 2030]
    with Bank(SHIPPED, 2, engine=engine) as bank:
        bank.set_parameters(0, ids(filter_kind=2, window=5))
        bank.set_parameters(1, ids(filter_kind=1, window=5))
        assert bank.call("filter", [0] * 5, readings).results[-1] == 2020
        assert bank.call("filter", [1] * 5, readings).results[-1] == 2392  # 11960 / 5
        # of an even number: the middle of the two in the middle, 2015, is rounded up
        bank.set_parameters(0, ids(window=2))
        assert one(bank, "filter", 2001) == 2016


def test_a_reading_more_than_three_deviations_from_the_median_is_an_outlier(
    engine: EngineName,
) -> None:
    # of 5 readings the median is 100 and the median deviation 1: three times 1.483 are 4.449 counts
    parameters = ids(hampel_readings=5, hampel_tenths=30, stuck_counts=0, most_rate=0, min_counts=0)
    with Bank(SHIPPED, 1, engine=engine) as bank:
        bank.set_parameters(0, parameters)
        for index, raw in enumerate((99, 100, 101, 100)):
            assert one(bank, "anomaly", raw, 60 * index) == 0
        assert one(bank, "anomaly", 104, 300) == 0
        bank.reset(0)
        for index, raw in enumerate((99, 100, 101, 100)):
            assert one(bank, "anomaly", raw, 60 * index) == 0
        assert one(bank, "anomaly", 105, 300) == Anomaly.HAMPEL


def test_an_outlier_lies_more_than_so_many_deviations_away(engine: EngineName) -> None:
    # a median deviation of 100 counts: 10 sigma are 1483 counts
    parameters = ids(hampel_readings=5, hampel_tenths=100, stuck_counts=0, most_rate=0)
    with Bank(SHIPPED, 1, engine=engine, parameters=parameters) as bank:
        for raw, expected in ((3483, 0), (3484, Anomaly.HAMPEL)):
            bank.reset(0)
            for reading in (1900, 2100, 2000, 2000):
                assert one(bank, "anomaly", reading, 0) == 0
            found = bank.call("anomaly", [0, 0], [[1900, 0], [raw, 0]]).results
            assert found.tolist() == [0, expected]


def test_both_ends_of_the_plausible_range_belong_to_it(engine: EngineName) -> None:
    with Bank(SHIPPED, 1, engine=engine, parameters=ids(most_rate=0)) as bank:
        readings = [[99, 0], [100, 0], [4000, 0], [4001, 0]]
        assert bank.call("anomaly", [0] * 4, readings).results.tolist() == [1, 0, 0, 1]


def test_the_first_reading_is_the_anchor(engine: EngineName) -> None:
    parameters = ids(stuck_counts=1500, flat_s=60, most_rate=0)
    with Bank(SHIPPED, 1, engine=engine, parameters=parameters) as bank:
        readings = [[1000, 0], [2000, 60], [1000, 120], [2000, 180]]
        found = bank.call("anomaly", [0] * 4, readings).results
        assert found.tolist() == [0, 0, 0, Anomaly.STUCK]


def test_a_probe_is_stuck_from_flat_s_on_and_no_gap_makes_it_so(engine: EngineName) -> None:
    with Bank(SHIPPED, 1, engine=engine, parameters=ids(flat_s=3600)) as bank:
        found = [one(bank, "anomaly", 1500 + k % 2, 600 * k) for k in range(8)]
        assert found == [0, 0, 0, 0, 0, 0, Anomaly.STUCK, Anomaly.STUCK]
        assert one(bank, "anomaly", 1502, 4800) == 0
        # two days without a word are a third of the time at most
        found = [one(bank, "anomaly", 1502, 200_000 * k) for k in range(1, 4)]
        assert found == [0, 0, Anomaly.STUCK]


def test_a_change_is_too_fast_from_more_than_most_rate_on(engine: EngineName) -> None:
    parameters = ids(most_rate=10, hampel_tenths=0)
    with Bank(SHIPPED, 1, engine=engine, parameters=parameters) as bank:
        assert one(bank, "anomaly", 1000, 0) == 0
        assert one(bank, "anomaly", 1020, 120) == 0
        assert one(bank, "anomaly", 1041, 240) == Anomaly.RATE
        assert one(bank, "anomaly", 2000, 240) == 0  # no time has passed
        assert one(bank, "anomaly", 3000, 0) == 0  # or less than that
        assert one(bank, "anomaly", -2, 60) == Anomaly.RANGE
        bank.set_parameters(0, ids(most_rate=1))  # a day at most: 1440 counts
        for raw, expected in ((2441, Anomaly.RATE), (2440, 0)):
            bank.reset(0)
            assert one(bank, "anomaly", 1000, 0) == 0
            assert one(bank, "anomaly", raw, 500_000) == expected


def test_an_hour_is_summed_up_and_a_late_value_begins_its_hour_anew(engine: EngineName) -> None:
    with Bank(SHIPPED, 1, engine=engine) as bank:
        hour = 1_681_516_800
        assert [one(bank, "window_get", kind) for kind in range(5)] == [0] * 5
        assert [one(bank, "window_add", v, hour + t) for v, t in ((-7, 0), (-2, 3599))] == [0, 0]
        assert [one(bank, "window_get", k) for k in range(5)] == [2, -5, -7, -2, -9]  # -4.5
        assert one(bank, "window_add", 5, hour + 3600) == 1
        assert [one(bank, "window_get", Window.BEFORE + k) for k in range(5)] == [2, -5, -7, -2, -9]
        assert [one(bank, "window_get", k) for k in range(5)] == [1, 5, 5, 5, 5]
        assert one(bank, "window_add", 1, hour) == 1
        assert one(bank, "window_get", Window.COUNT) == 1
        assert [one(bank, "window_get", kind) for kind in (5, 7, 13, 16, -1)] == [-1] * 5
        # times have no sign: -1 is the last second of all, and not one before the first
        assert [one(bank, "window_add", 0, t_s) for t_s in (0, -1, -1)] == [1, 1, 0]


def test_a_sum_of_more_than_32_bits_is_refused_and_changes_nothing(engine: EngineName) -> None:
    with Bank(SHIPPED, 1, engine=engine) as bank:
        for value in (2**31 - 1, -(2**31)):
            bank.reset(0)
            assert one(bank, "window_add", value, 0) == 0
            assert one(bank, "window_add", 1 if value > 0 else -1, 0) == -1
            assert [one(bank, "window_get", k) for k in range(5)] == [1, *[value] * 4]
            assert one(bank, "window_add", 0, 0) == 0
            bank.reset(0)
            assert one(bank, "window_add", value - (1 if value > 0 else -1), 0) == 0
            assert one(bank, "window_add", 1 if value > 0 else -1, 0) == 0
            assert one(bank, "window_get", Window.SUM) == value


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("before", [1, 7, 16, 500])
def test_a_restarted_filter_goes_on_as_if_nothing_had_been(
    engine: EngineName, kind: int, before: int
) -> None:
    generator = np.random.default_rng([kind, before])
    readings = generator.integers(900, 3200, before + 300).astype(np.int32)
    old, new = np.zeros(readings.size, dtype=np.int32), np.ones(readings.size, dtype=np.int32)
    parameters = ids(filter_kind=kind, ema_shift=5, window=16)
    with Bank(SHIPPED, 2, engine=engine, parameters=parameters) as bank:
        bank.call("filter", old[:before], readings[:before])
        state = one(bank, "filter_state")
        assert state < 0
        last = readings[:before][-LOOK_BACK:]
        bank.call("look_back", new[: last.size], last)
        assert one(bank, "look_back", state, node=1) == 0
        expected = bank.call("filter", old[before:], readings[before:]).results
        assert np.array_equal(
            bank.call("filter", new[before:], readings[before:]).results, expected
        )
        # what the state is for: an exponential mean alone is another one for ever
        bank.reset(1)
        bank.call("look_back", new[: last.size], last)
        same = np.array_equal(
            bank.call("filter", new[before:], readings[before:]).results, expected
        )
        assert same == (kind > 0 or before <= LOOK_BACK)


# --- a batch ------------------------------------------------------------------------------------

SUM = "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get 0))) "
ADD_UP = function("filter", SUM + "(i32.load (i32.const 0))")
DIVIDE = function("filter", SUM + "(i32.div_s (i32.load (i32.const 0)) (local.get 0))")


def test_calls_are_made_in_their_order_each_with_the_memory_of_its_node() -> None:
    with Bank(ADD_UP, 3) as bank:
        batch = bank.call("filter", [0, 2, 0, 2, 0, 1], [1, 10, 2, 20, 3, 100])
        assert batch.results.tolist() == [1, 10, 3, 30, 6, 100]


def test_a_guest_that_is_stopped_takes_nobody_with_it() -> None:
    with Bank(DIVIDE, 2) as bank:
        batch = bank.call("filter", [0, 1, 0, 1, 0, 0], [4, 5, 0, 5, 6, 2])
        # the third is a division by zero: node 0 begins anew, node 1 goes on
        assert batch.results.tolist() == [1, 1, 0, 2, 1, 4]
        assert batch.traps.tolist() == [0, 0, TrapKind.INTEGER_DIVIDE, 0, 0, 0]
        assert bank.traps[0].function == "filter"
        assert 1 not in bank.traps


def test_a_fresh_instance_has_the_parameters_in_force() -> None:
    guest = module(
        "(global $v (mut i32) (i32.const 5))",
        '(func (export "param_set") (param i32 i32) (result i32)'
        " (global.set $v (local.get 1)) (i32.const 0))",
        '(func (export "filter") (param i32) (result i32)'
        " (i32.div_s (global.get $v) (local.get 0)))",
        imports=(),
    )
    with Bank(guest, 2, parameters={0: 20}) as bank:
        bank.set_parameters(1, {0: 60})
        batch = bank.call("filter", [0, 1, 0, 1, 0, 1], [1, 1, 0, 0, 2, 2])
        assert batch.results.tolist() == [20, 60, 0, 0, 10, 30]


def test_each_call_has_the_whole_budget() -> None:
    count = "(local.tee 0 (i32.sub (local.get 0) (i32.const 1)))"
    guest = function("filter", f"(loop $again (br_if $again {count})) i32.const 7")
    with Bank(guest, 1, budget=Budget(instructions=2_000)) as bank:
        batch = bank.call("filter", [0] * 4, [300, 300, 900, 300])
        assert batch.results.tolist() == [7, 7, 0, 7]
        assert batch.traps.tolist() == [0, 0, TrapKind.OUT_OF_FUEL, 0]
        assert "more than 2000 instructions" in str(bank.traps[0])


def test_a_loop_without_end_meets_the_deadline_where_fuel_does_not_stop_it() -> None:
    budget = Budget(instructions=2**62, deadline_ms=20)
    with Bank(function("filter", FOREVER), 1, budget=budget) as bank:
        assert bank.call("filter", [0], [1]).traps.tolist() == [TrapKind.DEADLINE]


def test_an_import_is_denied_by_every_engine() -> None:
    for engine in ENGINES:
        with Bank(SHIPPED, 2, engine=engine, parameters=ids(period_s=77)) as bank:
            one(bank, "filter", 1000)
            batch = bank.call("init", [0, 1, 0])
            assert batch.traps.tolist() == [TrapKind.DENIED] * 3
            assert batch.results.tolist() == [0] * 3
            assert "uptime_s" in str(bank.traps[0])
            assert one(bank, "filter_state") == -1
            assert one(bank, "param_get", DECLARED["period_s"].id) == 77


def test_a_prototype_with_floating_point_works_as_filter() -> None:
    """Percent from raw, dry and wet; more than 50 wants no water."""
    share = "(f32.div (f32.sub (local.get 1) (local.get 0)) (f32.sub (local.get 1) (local.get 2)))"
    percent = f"(f32.mul (f32.const 100) {share})"
    for result, values in (("f32", percent), ("f64", f"(f64.promote_f32 {percent})")):
        guest = module(
            f'(func (export "process") (param f32 f32 f32 i32) (result {result}) {values})',
            imports=(),
        )
        with Bank(guest, 1) as bank:
            assert bank.info.tiers == ("fog", "cloud")
            # 12.5, -12.5, 37.4, 0 / 0, 100 / 0
            arguments = [
                [2800, 3000, 1400, 0],
                [3200, 3000, 1400, 0],
                [2626, 3000, 2000, 0],
                [10, 10, 10, 0],
                [9, 10, 10, 0],
            ]
            batch = bank.call("process", [0] * 5, arguments)
            assert batch.results.tolist() == [13, -13, 37, 0, 0]
            assert batch.traps.tolist() == [0, 0, 0, TrapKind.OTHER, TrapKind.OTHER]
            assert "no integer of 32 bits" in str(bank.traps[0])


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("0.49999999999999994", 0),
        ("-0.5", -1),
        ("2147483647.4", 2**31 - 1),
        ("-2147483648.4", -(2**31)),
        ("2147483647.5", None),
        ("-2147483648.5", None),
        ("nan", None),
        ("-inf", None),
    ],
)
def test_floating_point_is_rounded_halves_away_from_0(value: str, result: int | None) -> None:
    guest = module(f'(func (export "filter") (result f64) (f64.const {value}))', imports=())
    with Bank(guest, 1) as bank:
        batch = bank.call("filter", [0])
        assert batch.results.tolist() == [result or 0]
        assert batch.traps.tolist() == [TrapKind.OTHER if result is None else 0]


def test_a_place_costs_nothing_until_it_is_called() -> None:
    stingy = function("filter", "(i32.const 1)", more='(func (export "_initialize"))')
    with Bank(stingy, 1000) as bank:
        assert bank.call("filter", [999], [0]).results.tolist() == [1]


@pytest.mark.parametrize(
    ("nodes", "arguments", "message"),
    [
        ([0, 1], [[1, 2], [3, 4]], r"arguments of shape \(2, 2\): must be \(n,\) and \(n, 1\)"),
        ([0, 1], [1], r"nodes of shape \(2,\) with arguments of shape \(1, 1\)"),
        ([[0]], [1], r"nodes of shape \(1, 1\)"),
        ([0, 2], [1, 1], "nodes must be from 0 to 1"),
        ([-1], [1], "nodes must be from 0 to 1"),
        ([0], [2**31], "arguments: must be integers of 32 bits"),
        ([0], [0.5], "arguments: must be integers of 32 bits"),
    ],
)
def test_wrong_batches_are_refused(nodes: object, arguments: object, message: str) -> None:
    with Bank(ADD_UP, 2) as bank:
        with pytest.raises(GuestError, match=message):
            bank.call("filter", nodes, arguments)  # type: ignore[arg-type]
        assert bank.call("filter", [], []).results.size == 0


def test_a_function_that_is_not_there_is_answered_with_those_that_are() -> None:
    with (
        Bank(ADD_UP, 1) as bank,
        pytest.raises(AbiError, match="no function 'anomaly' for fog and cloud; there are filter"),
    ):
        bank.call("anomaly", [0], [[1, 2]])


def test_parameters_outside_range_or_rule_change_nothing(engine: EngineName) -> None:
    with pytest.raises(ParameterError, match="ema_shift"):
        Bank(SHIPPED, 1, engine=engine, parameters=ids(ema_shift=7))
    with Bank(SHIPPED, 1, engine=engine) as bank:
        with pytest.raises(ParameterError, match="min_counts"):
            bank.set_parameters(0, ids(window=3, min_counts=4001))
        assert one(bank, "param_get", DECLARED["window"].id) == 8


def test_constructors_that_are_stopped_are_an_error_at_once() -> None:
    broken = function("filter", "i32.const 1", more='(func (export "_initialize") unreachable)')
    with pytest.raises(Trap, match="guest stopped in _initialize: unreachable"):
        Bank(broken, 1)


def test_constructors_may_not_call_an_import() -> None:
    curious = module(
        '(func (export "_initialize") (drop (call $now_s)))',
        '(func (export "filter") (param i32) (result i32) (local.get 0))',
    )
    message = r"^guest stopped in _initialize: denied \(profile 'fog' does not allow now_s\)$"
    with pytest.raises(Trap, match=message) as raised:
        Bank(curious, 1)
    assert raised.value.kind == TrapKind.DENIED
    assert raised.value.backtrace


# --- native -------------------------------------------------------------------------------------


def test_native_runs_only_the_source_beside_the_module(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match=r"irrigation\.c is not its source"):
        Bank(ADD_UP, 1, engine="native")
    source = tmp_path / "mine.c"
    text = "static int unused;\nint levada_filter(int raw) { return raw / 2; }\n"
    source.write_text(f'#include "levada.h"\n{text}')
    source.with_suffix(".wasm").write_bytes(ADD_UP)
    with Bank(ADD_UP, 1, engine="native", source=source) as bank:  # which has no variables
        assert one(bank, "filter", 9) == 4


def test_two_banks_share_no_state() -> None:
    with (
        Bank(SHIPPED, 1, engine="native") as left,
        Bank(SHIPPED, 1, engine="native") as right,
    ):
        one(left, "filter", 1000)
        assert one(right, "filter", 3000) == 3000
        assert one(left, "filter_state") == -1 - 256 * 1000


def test_a_source_that_does_not_compile_says_why(tmp_path: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("int levada_filter(int raw) { return row; }\n")
    with pytest.raises(BuildError, match=r"broken\.c does not compile[\s\S]*row"):
        native_library(source)


def test_a_library_that_may_not_be_loaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levada.guest.native_library.build_library", lambda *_files: b"no library")
    with pytest.raises(BuildError, match=r"the native guest cannot be loaded: .*levada-guest-"):
        native_library(Path("any.c"))


def test_a_missing_compiler_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(
        BuildError, match="ziglang is not installed; install it with: python -m pip"
    ):
        native_library(tmp_path / "any.c")
