"""Rules between parameters: how they are written, and that guest and host keep them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from harness import MODULE, Bench, ids

from levada.guest.abi import Call, ErrorCode
from levada.guest.errors import ModuleError, ParameterError
from levada.guest.module.inspect import inspect
from levada.guest.module.metadata import METADATA_SECTION, read_metadata
from levada.guest.module.rules import Rule, parse_rule
from levada.guest.tape import iter_records
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.node import WasmtimeNode

ON, OFF, LEAST, MOST, DRY, WET = (
    ids()[name]
    for name in ("on_pct", "off_pct", "min_counts", "max_counts", "dry_counts", "wet_counts")
)


def metadata(*rules: object, defaults: tuple[int, int] = (1, 2), least: int = 0) -> list[Rule]:
    """Rules of a guest with parameters `a` and `b`; what is wrong with them is raised."""
    parameters = ", ".join(
        f'{{"id":{k},"name":"{name}","minimum":{least},"maximum":9,"default":{defaults[k]}}}'
        for k, name in enumerate("ab")
    )
    listed = ", ".join(f'"{r}"' if isinstance(r, str) else str(r) for r in rules)
    text = f'{{"name":"m","version":"1","parameters":[{parameters}],"rules":[{listed}]}}'
    found = read_metadata([text.encode()])
    assert found is not None
    return list(found.rules)


@pytest.mark.parametrize("text", ["a < b", "a <= b", "a != b unless 0", "a < b unless 0"])
def test_a_rule_is_read_as_it_is_written(text: str) -> None:
    assert [str(rule) for rule in metadata(text)] == [text]


@pytest.mark.parametrize(
    ("text", "holding", "breaking"),
    [
        ("a < b", [(1, 2), (-1, 0)], [(2, 2), (3, 2), (1, 0)]),
        ("a <= b", [(1, 2), (2, 2)], [(3, 2), (1, 0)]),
        ("a < b unless 0", [(1, 2), (0, 0), (9, 0), (0, -1)], [(2, 2), (3, 2)]),
        ("a != b unless 0", [(1, 2), (2, 1), (0, 0)], [(2, 2)]),
    ],
)
def test_what_a_rule_says(
    text: str, holding: list[tuple[int, int]], breaking: list[tuple[int, int]]
) -> None:
    rule = parse_rule(text)
    assert rule is not None
    assert [(a, b) for a, b in holding + breaking if rule.holds({"a": a, "b": b})] == holding


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("a > b", "must be text like"),
        ("a < 5", "must be text like"),
        ("a<b", "must be text like"),
        ("a < b unless 1", "must be text like"),
        ("a < b < c", "must be text like"),
        ("", "must be text like"),
        (7, "must be text like"),
        ("[]", "must be text like"),
        ("a < c", "there is no parameter 'c'"),
        ("c < a", "there is no parameter 'c'"),
        ("a < a", "must compare two parameters"),
        ("b < a", "the defaults break it"),
        ("a != b", "!= needs `unless 0`"),
    ],
)
def test_a_rule_that_no_host_could_keep_is_refused(rule: object, complaint: str) -> None:
    with pytest.raises(ModuleError, match=complaint):
        metadata(rule)


def test_zero_must_be_allowed_where_it_is_the_way_round() -> None:
    with pytest.raises(ModuleError, match="and 0 in the range of both"):
        metadata("a != b unless 0", least=1)


def test_more_rules_than_a_host_keeps_are_refused() -> None:
    with pytest.raises(ModuleError, match="rules: must be a list of at most 64"):
        metadata(*["a < b"] * 65)


def test_the_shipped_guest_declares_its_pairs() -> None:
    assert [str(rule) for rule in inspect(MODULE.read_bytes()).rules] == [
        "on_pct < off_pct unless 0",
        "min_counts < max_counts",
        "dry_counts != wet_counts unless 0",
    ]
    assert METADATA_SECTION == "levada"


# --- the guest itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((ON, 90), (OFF, 10)),
        ((OFF, 10), (ON, 90)),
        ((OFF, 50), (ON, 50)),
        ((MOST, 2000), (LEAST, 2000)),
        ((LEAST, 3000), (MOST, 2999)),
        ((DRY, 1500), (WET, 1500)),
    ],
)
def test_the_guest_refuses_the_second_of_a_pair_and_keeps_what_it_had(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    bench = Bench()
    before = bench.call("param_get", second[0])
    assert bench.call("param_set", *first) == ErrorCode.OK
    assert bench.call("param_set", *second) == ErrorCode.INVALID
    assert bench.call("param_get", second[0]) == before


# --- the host -------------------------------------------------------------------------------------

CONSISTENT = [
    {ON: 20, OFF: 30},
    {ON: 50, OFF: 60},
    {ON: 95, OFF: 100},
    {ON: 0, OFF: 10},
    {ON: 90, OFF: 0},
    {LEAST: 3000, MOST: 4095},
    {LEAST: 0, MOST: 1},
    {DRY: 3000, WET: 1000},
    {DRY: 1000, WET: 3000},  # changed places
    {DRY: 0, WET: 0},
    {ON: 1, OFF: 2, LEAST: 4, MOST: 5, DRY: 3000, WET: 1000},
    {ON: 98, OFF: 99, LEAST: 4000, MOST: 4001, DRY: 1000, WET: 3000},
]


@pytest.fixture
def nodes() -> Iterator[SimNodes]:
    with SimNodes(MODULE.read_bytes()) as found:
        found.boot(0)
        yield found


def test_a_whole_that_agrees_is_taken_from_every_other_in_every_order(nodes: SimNodes) -> None:
    for present in CONSISTENT:
        for wanted in CONSISTENT:
            for order in list(permutations(wanted))[:6]:
                nodes.calibrate(0, {ON: 0, OFF: 0, LEAST: 0, MOST: 4095, DRY: 0, WET: 0})
                nodes.calibrate(0, present)
                values = {parameter: wanted[parameter] for parameter in order}
                assert nodes.calibrate(0, values) == values


@pytest.mark.parametrize("values", [{ON: 40}, {OFF: 20}, {ON: 90, OFF: 10}, {ON: 5, OFF: 5}])
def test_a_whole_that_disagrees_is_refused_before_the_guest_is_asked(
    nodes: SimNodes, values: dict[int, int]
) -> None:
    nodes.calibrate(0, {ON: 20, OFF: 30})
    nodes.drain_tape(0)
    with pytest.raises(ParameterError, match="the guest asks for on_pct < off_pct unless 0"):
        nodes.calibrate(0, values)
    assert nodes.drain_tape(0) == b""
    assert (nodes.param_get(0, ON), nodes.param_get(0, OFF)) == (20, 30)


def test_what_agrees_in_its_own_order_is_set_in_that_order_and_once(nodes: SimNodes) -> None:
    nodes.drain_tape(0)
    nodes.calibrate(0, {OFF: 60, ON: 50})
    records = [r.values for r in iter_records(nodes.drain_tape(0)) if r.call == Call.PARAM_SET]
    assert records == [(OFF, 60, 0), (ON, 50, 0)]


def test_a_guest_that_knows_more_than_it_declares_is_asked_and_nothing_is_changed() -> None:
    """The same guest without its rules: the host finds no order, and puts back what it had."""
    blind = MODULE.read_bytes().replace(b'"rules"', b'"ruler"')
    with SimNodes(blind) as nodes:
        nodes.boot(0)
        nodes.calibrate(0, {ON: 20, OFF: 30, DRY: 3000, WET: 1000})
        assert nodes.calibrate(0, {DRY: 1000, WET: 3000}) == {DRY: 1000, WET: 3000}
        with pytest.raises(ParameterError, match="the guest refuses it"):
            nodes.calibrate(0, {DRY: 2000, WET: 2000, ON: 90, OFF: 10})
        assert [nodes.param_get(0, p) for p in (ON, OFF, DRY, WET)] == [20, 30, 1000, 3000]


@pytest.mark.parametrize("values", [{ON: 90, OFF: 95}, {DRY: 3000, WET: 1000}])
def test_a_start_takes_parameters_in_any_order(values: dict[int, int]) -> None:
    for order in permutations(values):
        node = WasmtimeNode(MODULE.read_bytes(), parameters={p: values[p] for p in order})
        assert node.boot(0).trap == 0
        node.close()


def test_a_start_with_parameters_that_disagree_is_refused() -> None:
    with pytest.raises(ParameterError, match="on_pct = 90 and off_pct = 10"):
        WasmtimeNode(MODULE.read_bytes(), parameters={ON: 90, OFF: 10})
