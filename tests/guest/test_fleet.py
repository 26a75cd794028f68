from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest
from guest_modules import (
    IMPORTS,
    READINGS,
    all_paths,
    data,
    escaped,
    lines,
    module,
    reactor,
    readings,
    run,
    wasm,
)
from hypothesis import given
from hypothesis import strategies as st

from levada.guest.abi import ErrorCode, TrapKind
from levada.guest.errors import AbiError, GuestError, ParameterError, Trap
from levada.guest.fast import strings
from levada.guest.limits import EDGE, FOG, Budget, Profile
from levada.guest.topic import resolve_topic
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.node import WasmtimeNode
from levada.guest.wasm.pure import PureGuest

I32 = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from((0, 1, 23, -1, 2**31 - 1, -(2**31), 65535, 65536, 65537)),
)

# Parameters 0 and 1; 0 takes 10 to 20, 1 takes anything but 99, and 13 stops the guest.
PARAMETERS = (
    "(global $a (mut i32) (i32.const 15)) (global $b (mut i32) (i32.const 0))",
    """(func (export "param_get") (param i32) (result i32)
      (if (result i32) (i32.eqz (local.get 0))
        (then (global.get $a)) (else (global.get $b))))""",
    """(func (export "param_set") (param i32 i32) (result i32)
      (if (i32.eqz (local.get 0)) (then
        (if (i32.or (i32.lt_s (local.get 1) (i32.const 10)) (i32.gt_s (local.get 1) (i32.const 20)))
          (then (return (i32.const -1))))
        (global.set $a (local.get 1)))
      (else
        (if (i32.eq (local.get 1) (i32.const 99)) (then (return (i32.const -1))))
        (if (i32.eq (local.get 1) (i32.const 13)) (then unreachable))
        (global.set $b (local.get 1))))
      (i32.const 0))""",
)
METADATA = {
    "name": "demo",
    "version": "1.0",
    "abi": 1,
    "parameters": [
        {"id": 0, "name": "threshold", "unit": "pct", "minimum": 10, "maximum": 20, "default": 15},
        {"id": 1, "name": "offset", "unit": "1", "minimum": -100, "maximum": 100, "default": 0},
    ],
    "outputs": [],
}
DECLARED = f'(@custom "levada" "{escaped(json.dumps(METADATA).encode())}")'


@pytest.fixture(params=all_paths())
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# A step


def test_a_step_is_recorded_with_everything_it_asked(path: str) -> None:
    guest = reactor(
        """(call $set_output (i32.const 23)
             (i32.gt_s (call $read_sensor (i32.const 0)) (call $get_config (i32.const 2))))
           (drop (call $mqtt_publish (i32.const 0) (i32.const 16)))
           (call $wasm_log (i32.const 16)) (call $log_int (i32.const -7))
           (drop (call $now_s))
           i32.const 600000""",
        data(0, b"data\0"),
        data(16, "água\0".encode()),
    )
    with SimNodes(guest, config=(2500, 1000, 1700), path=path) as nodes:
        nodes.boot(1_681_516_800_000)
        assert nodes.step(1_681_516_800_000, readings()) == 1

        assert lines(nodes.drain_tape(0)) == [
            "boot at 2023-04-15T00:00:00",
            "init at 2023-04-15T00:00:00",
            "return 0",
            "step at 2023-04-15T00:00:00",
            "read_sensor(moisture) -> 1800",
            "get_config(limit) -> 1700",
            "set_output(23, 1)",
            r'mqtt_publish("data", "\xe1gua") -> 0',
            r'wasm_log("\xe1gua")',
            "log_int(-7)",
            "now_s() -> 1681516800",
            "return 600000",
        ]
        assert nodes.drain_tape(0) == b""
        assert nodes.outputs.tolist() == [[1, 0, 0, 0]]
        assert nodes.ever_set(0) == {23: 1}
        assert nodes.wake_ms.tolist() == [1_681_517_400_000]


def test_a_guest_runs_only_when_its_time_has_come(path: str) -> None:
    guest = reactor("(i32.mul (call $read_sensor (i32.const 1)) (i32.const 1000))")
    with SimNodes(guest, 2, path=path) as nodes:
        nodes.boot(0)
        both = readings(2)
        both[:, 1] = (60, 90)
        ran = [nodes.step(t, both) for t in range(0, 180_001, 30_000)]
    # 0: both; then one every 60 s, the other every 90 s
    assert ran == [2, 0, 1, 1, 1, 0, 2]


@pytest.mark.parametrize(
    ("result", "wait"), [(0, 1), (1, 1), (86_400_000, 86_400_000), (2**31 - 1, 86_400_000)]
)
def test_the_next_wake_is_between_a_millisecond_and_a_day(
    path: str, result: int, wait: int
) -> None:
    with SimNodes(reactor(f"i32.const {result}"), path=path) as nodes:
        run(nodes, time_ms=5_000)
        assert nodes.wake_ms[0] == 5_000 + wait


def test_init_says_when_the_first_step_is_due(path: str) -> None:
    with SimNodes(reactor("i32.const 1000", init="i32.const 7000"), path=path) as nodes:
        nodes.boot(100)
        assert nodes.step(7_099, readings()) == 0
        assert nodes.step(7_100, readings()) == 1


def test_delays_of_a_reactor_advance_its_clock(path: str) -> None:
    guest = reactor(
        "(call $delay_ms (i32.const 2500)) (call $delay_ms (i32.const -9)) (drop (call $now_s)) "
        "i32.const 1000"
    )
    with SimNodes(guest, path=path) as nodes:
        tape = run(nodes, time_ms=10_000)
        assert "now_s() -> 12" in lines(tape)
        assert nodes.wake_ms[0] == 13_500


def test_flow_pulses_are_read_once(path: str) -> None:
    guest = reactor(
        "(drop (call $read_sensor (i32.const 3))) (drop (call $read_sensor (i32.const 3))) "
        "i32.const 1000"
    )
    with SimNodes(guest, path=path) as nodes:
        flow = [line for line in lines(run(nodes, 2)) if "flow" in line]
    assert flow == ["read_sensor(flow) -> 12", "read_sensor(flow) -> 0"] * 2


def test_a_missing_sensor_answers_its_error_every_time(path: str) -> None:
    guest = reactor(
        "(drop (call $read_sensor (i32.const 3))) (drop (call $read_sensor (i32.const 3))) "
        "i32.const 1000"
    )
    with SimNodes(guest, path=path) as nodes:
        nodes.boot(0)
        nodes.step(0, readings(values=(-2, -2, -2, -2)))
        assert lines(nodes.drain_tape(0)).count("read_sensor(flow) -> unavailable") == 2


def test_before_the_first_step_there_are_no_readings(path: str) -> None:
    guest = reactor("i32.const 1000", init="(drop (call $read_sensor (i32.const 0))) i32.const 0")
    with SimNodes(guest, path=path) as nodes:
        nodes.boot(0)
        assert "read_sensor(moisture) -> unavailable" in lines(nodes.drain_tape(0))


def test_seconds_wrap_as_a_32_bit_number(path: str) -> None:
    with SimNodes(reactor("(drop (call $now_s)) i32.const 1000"), path=path) as nodes:
        tape = run(nodes, time_ms=2**31 * 1000)  # 2038-01-19T03:14:08
        assert "now_s() -> -2147483648" in lines(tape)


def test_without_a_tape_guests_run_all_the_same(path: str) -> None:
    guest = reactor(
        "(call $set_output (i32.const 18) (call $read_sensor (i32.const 0))) i32.const 1000"
    )
    with SimNodes(guest, tape=False, path=path) as nodes:
        assert run(nodes, 3) == b""
        assert nodes.outputs.tolist() == [[0, 1, 0, 0]]


def test_a_tape_grows_as_long_as_nobody_drains_it(path: str) -> None:
    text = b"x" * 250 + b"\0"
    guest = reactor("(call $wasm_log (i32.const 0)) i32.const 1", data(0, text))
    with SimNodes(guest, 2, path=path) as nodes:
        nodes.boot(0)
        for k in range(300):
            nodes.step(k, readings(2))
        tapes = [nodes.drain_tape(0), nodes.drain_tape(1)]
    assert tapes[0] == tapes[1]
    assert lines(tapes[0]).count(f'wasm_log("{"x" * 250}")') == 300


# Strings


def publish(path: str, topic: bytes, message: bytes = b"m", name: str = "north") -> int:
    """What `mqtt_publish` answers."""
    guest = module(
        data(0, topic + b"\0"),
        data(30_000, message + b"\0"),
        '(func (export "publish") (result i32) '
        "(call $mqtt_publish (i32.const 0) (i32.const 30000)))",
    )
    with PureGuest(guest, name=name, profile=EDGE, path=path) as pure:
        return int(pure.call("publish"))


@pytest.mark.parametrize(
    "topic", ["data", "ic/north/data", "ic/north/a/b", "ic/esp32/data", "água", "a.b", "..."]
)
def test_a_guest_may_publish_to_its_own_topics(path: str, topic: str) -> None:
    assert publish(path, topic.encode()) == ErrorCode.OK


@pytest.mark.parametrize(
    "topic",
    [
        b"", b"/", b"ic/north/", b"ic//data", b"/ic/north/data", b"ic/north", b"ic/south/data",
        b"ic/northern/data", b"a/b", b"#", b"ic/north/#", b"+", b"ic/north/+/a", b"$SYS/broker",
        b"$data", b"ic/north/$a", b"..", b".", b"ic/north/../south/data", b"ic/north/./a",
        b"IC/north/data", b"a\x01b", b"a\x7f", b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80",
        b"a" * 65, b"a" * 20_000,
    ],
)  # fmt: skip
def test_other_topics_are_refused(path: str, topic: bytes) -> None:
    assert publish(path, topic) == ErrorCode.REFUSED


def test_messages_are_utf8_of_at_most_512_bytes(path: str) -> None:
    assert publish(path, b"a" * 64, b"m" * 512) == ErrorCode.OK
    assert publish(path, b"data", b"") == ErrorCode.OK
    assert publish(path, b"data", b"m" * 513) == ErrorCode.REFUSED
    assert publish(path, b"data", b"caf\xe9") == ErrorCode.REFUSED


def test_offline_is_answered_only_for_what_may_be_published(path: str) -> None:
    guest = reactor(
        "(drop (call $mqtt_publish (i32.const 0) (i32.const 0))) "
        "(drop (call $mqtt_publish (i32.const 8) (i32.const 0))) i32.const 1000",
        data(0, b"data\0   #\0"),
    )
    with SimNodes(guest, path=path) as nodes:
        nodes.online[0] = 0
        found = [line.split()[-1] for line in lines(run(nodes)) if "publish" in line]
    assert found == ["offline", "refused"]


TOPICS = st.one_of(
    st.binary(max_size=70),
    st.lists(
        st.sampled_from(
            ("ic", "esp32", "north", "data", "", "..", ".", "+", "#", "$SYS", "é", "x")
        ),
        max_size=6,
    ).map(lambda levels: "/".join(levels).encode()),
)


@given(TOPICS, st.sampled_from(("north", "esp32")))
def test_host_calls_and_receivers_agree_on_topics(topic: bytes, name: str) -> None:
    memory = np.frombuffer(bytearray(topic), dtype=np.uint8)
    prefix = np.frombuffer(bytearray(f"ic/{name}/\0ic/esp32/".encode()), dtype=np.uint8)
    try:
        resolved = resolve_topic(topic.decode(), name)
    except UnicodeDecodeError:
        resolved = None

    allowed = strings.topic_allowed(memory, 0, len(topic), prefix)

    assert allowed == (resolved is not None)
    if resolved is not None:
        assert resolved.startswith(f"ic/{name}/")


def test_old_topics_and_bare_levels_mean_the_own_prefix() -> None:
    assert resolve_topic("ic/esp32/data", "north") == "ic/north/data"
    assert resolve_topic("ic/north/a/b", "north") == "ic/north/a/b"
    assert resolve_topic("data", "north") == "ic/north/data"
    assert resolve_topic("\ud800", "north") is None


@given(st.one_of(st.binary(max_size=12), st.text(max_size=6).map(str.encode)))
def test_utf8_is_what_python_decodes(text: bytes) -> None:
    try:
        text.decode()
        expected = True
    except UnicodeDecodeError:
        expected = False
    memory = np.frombuffer(bytearray(text), dtype=np.uint8)
    assert strings.utf8_valid(memory, 0, len(text)) == expected


# Any integer


def forward(name: str, ty: str) -> str:
    """An export that calls the import of the same name with its first arguments."""
    params, _, result = ty.partition("(result")
    arguments = " ".join(f"(local.get {k})" for k in range(params.count("i32")))
    results = "(result i32)" if result else ""
    return f'(func (export "{name}") (param i32 i32) {results} (call ${name} {arguments}))'


FORWARDS = module(*(forward(*item) for item in IMPORTS.items()), data(0, b"data\0"))


@pytest.mark.parametrize("name", IMPORTS)
@given(st.data())
def test_every_host_function_survives_every_integer(name: str, data: st.DataObject) -> None:
    arguments = data.draw(st.tuples(I32, I32))
    answers = []
    for way in all_paths():
        with PureGuest(FORWARDS, profile=EDGE, path=way) as guest:
            try:
                answers.append(guest.call(name, *arguments))
            except Trap as trap:
                answers.append(trap.kind)
    assert all(answer == answers[0] for answer in answers)
    (answer, *_) = answers
    strings = {"mqtt_publish": arguments, "wasm_log": arguments[:1]}.get(name, ())
    if any(not 0 <= pointer < 65536 for pointer in strings):
        assert answer == TrapKind.POINTER
    else:
        assert answer is None or answer in (*READINGS, *ErrorCode, 2500, 1000, 2000)


# Parameters


@pytest.fixture
def tunable(path: str) -> SimNodes:
    with SimNodes(reactor("i32.const 1000", *PARAMETERS), path=path) as nodes:
        nodes.boot(0)
        nodes.drain_tape(0)
        yield nodes


def test_calibration_is_in_force_at_once_and_on_the_tape(tunable: SimNodes) -> None:
    assert tunable.calibrate(0, {0: 12, 1: -5}) == {0: 12, 1: -5}
    assert tunable.param_get(0, 0) == 12
    assert lines(tunable.drain_tape(0)) == ["param_set(0, 12) -> 0", "param_set(1, -5) -> 0"]


def test_a_refused_value_sets_the_earlier_ones_back(tunable: SimNodes) -> None:
    with pytest.raises(ParameterError, match="parameter 1 = 99: the guest refuses it"):
        tunable.calibrate(0, {0: 12, 1: 99})
    assert tunable.param_get(0, 0) == 15


def test_calibration_survives_a_reboot(tunable: SimNodes) -> None:
    tunable.calibrate(0, {0: 12})
    tunable.param_set(0, 1, 7)
    tunable.boot(5_000)
    assert (tunable.param_get(0, 0), tunable.param_get(0, 1)) == (12, 7)


def test_a_guest_stopped_by_a_calibration_is_stopped(tunable: SimNodes) -> None:
    with pytest.raises(Trap) as caught:
        tunable.calibrate(0, {1: 13})
    assert caught.value.kind == TrapKind.UNREACHABLE
    assert tunable.trap[0] == TrapKind.UNREACHABLE
    with pytest.raises(Trap):
        tunable.param_get(0, 0)


def test_declared_ranges_are_checked_before_the_guest_is_asked(path: str) -> None:
    guest = reactor("i32.const 1000", *PARAMETERS, DECLARED)
    with SimNodes(guest, parameters={0: 11}, path=path) as nodes:
        nodes.boot(0)
        assert nodes.param_get(0, 0) == 11
        nodes.drain_tape(0)
        with pytest.raises(ParameterError, match="`threshold` = 21 pct: permitted 10 to 20 pct"):
            nodes.calibrate(0, {1: 5, 0: 21})
        with pytest.raises(ParameterError, match="threshold"):
            nodes.calibrate(0, {7: 1})
        with pytest.raises(ParameterError, match="offset = 99 1: the guest refuses it"):
            nodes.calibrate(0, {1: 99})
        assert lines(nodes.drain_tape(0)) == ["param_set(1, 99) -> invalid"]


def test_a_guest_without_parameters_says_so(path: str) -> None:
    with SimNodes(reactor("i32.const 1000"), path=path) as nodes:
        nodes.boot(0)
        with pytest.raises(ParameterError, match="the guest has none"):
            nodes.calibrate(0, {0: 1})


def test_zones_may_have_parameters_of_their_own(path: str) -> None:
    guest = reactor("i32.const 1000", *PARAMETERS)
    with SimNodes(guest, 2, parameters=[{0: 11}, {0: 19}], path=path) as nodes:
        nodes.boot(0)
        assert [nodes.param_get(z, 0) for z in (0, 1)] == [11, 19]
    with pytest.raises(ParameterError, match="parameters for 1 nodes, 2 nodes"):
        SimNodes(guest, 2, parameters=[{0: 11}])


# Modules


def test_imports_outside_the_abi_are_all_listed() -> None:
    guest = wasm("""(module
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (import "env" "read_sensors" (func (param i32) (result i32)))
      (import "env" "log_int" (func (param i64)))
      (import "env" "memory" (memory 1))
      (func (export "init") (result i32) i32.const 0)
      (func (export "step") (result i32) i32.const 0))""")
    with pytest.raises(AbiError) as caught:
        SimNodes(guest)
    for name in ("fd_write", "read_sensors", "log_int", "memory"):
        assert name in str(caught.value)


def test_a_module_without_an_entry_is_refused() -> None:
    with pytest.raises(AbiError, match="process"):
        SimNodes(module('(func (export "process") (result i32) i32.const 0)'))


def test_names_must_fit_a_topic() -> None:
    for name in ("", "a/b", "#", "$x", "..", "x" * 61):
        with pytest.raises(GuestError, match="node name"):
            SimNodes(reactor("i32.const 0"), names=[name])
    with pytest.raises(GuestError, match="2 nodes with 1 names"):
        SimNodes(reactor("i32.const 0"), 2, names=["a"])


def test_constructors_run_before_init(path: str) -> None:
    guest = reactor(
        "(call $log_int (global.get $ready)) i32.const 1000",
        "(global $ready (mut i32) (i32.const 0))",
        '(func (export "__wasm_call_ctors") (global.set $ready (i32.const 41)))',
        init="(global.set $ready (i32.add (global.get $ready) (i32.const 1))) i32.const 0",
    )
    with SimNodes(guest, path=path) as nodes:
        assert "log_int(42)" in lines(run(nodes))


def test_a_closed_host_runs_nothing(path: str) -> None:
    nodes = SimNodes(
        reactor("(call $set_output (i32.const 23) (i32.const 1)) i32.const 1"), path=path
    )
    run(nodes)
    assert nodes.outputs[0, 0] == 1
    nodes.close()
    nodes.close()
    assert nodes.outputs[0, 0] == 0
    assert nodes.step(10, readings()) == 0
    with pytest.raises(GuestError, match="not running"):
        nodes.param_get(0, 0)


# One node


def test_a_node_tells_what_a_step_did(path: str) -> None:
    guest = reactor(
        """(call $set_output (i32.const 23) (i32.const 1))
           (call $set_output (i32.const 99) (i32.const 1))
           (drop (call $mqtt_publish (i32.const 0) (i32.const 8)))
           (drop (call $mqtt_publish (i32.const 16) (i32.const 8)))
           (call $wasm_log (i32.const 8)) (call $log_int (i32.const 5)) i32.const 600000""",
        data(0, b"data\0   hello\0  ic/other/a\0"),
        DECLARED,
        *PARAMETERS,
    )
    node = WasmtimeNode(guest, path=path)
    start = node.boot(0)
    result = node.step(1_000, READINGS)
    birth = node.birth()

    assert lines(start.tape) == [
        "boot at 1970-01-01T00:00:00",
        "init at 1970-01-01T00:00:00",
        "return 0",
    ]
    assert (birth.guest_name, birth.guest_version, birth.boot_id) == ("demo", "1.0", 1)
    assert birth.engine.startswith("wasmtime ")
    assert len(birth.guest_sha256) == 64
    assert result.outputs == {23: 1}
    assert result.publications == [("data", "hello")]
    assert result.logs == ["hello", "5"]
    assert result.wake_ms == 600_000
    assert result.trap == TrapKind.NONE
    again = node.step(2_000, READINGS, online=False)  # asked for, due or not
    assert again.outputs == {23: 1}
    assert again.publications == []
    assert node.calibrate({0: 18}) == {0: 18}
    node.boot(3_000)
    assert node.birth().boot_id == 2
    node.close()


def test_a_node_that_is_stopped_says_why_and_starts_again(path: str) -> None:
    guest = reactor(
        "(call $set_output (i32.const 23) (i32.const 1)) "
        "(if (i32.lt_s (call $read_sensor (i32.const 0)) (i32.const 0)) (then unreachable)) "
        "i32.const 1000"
    )
    node = WasmtimeNode(guest, path=path)
    node.boot(0)
    assert node.step(0, READINGS).outputs == {23: 1}
    result = node.step(1_000, (-2, 0, 0, 0))
    assert result.outputs == {23: 0}
    assert result.trap == TrapKind.UNREACHABLE
    assert "guest stopped in step: unreachable" in result.trap_detail
    assert node.step(2_000, READINGS).tape == b""
    assert node.boot(3_000).trap == TrapKind.NONE
    assert node.step(3_000, READINGS).outputs == {23: 1}
    node.close()


def test_a_node_whose_guest_does_not_start_says_why(path: str) -> None:
    node = WasmtimeNode(reactor("i32.const 1", init="unreachable"), path=path)
    result = node.boot(0)
    assert result.trap == TrapKind.UNREACHABLE
    assert "in init" in result.trap_detail
    node.close()


def test_a_bad_module_is_not_installed(path: str) -> None:
    node = WasmtimeNode(reactor("i32.const 1000"), path=path)
    node.boot(0)
    with pytest.raises(AbiError):
        node.install(module('(func (export "other"))'))
    assert node.step(0, READINGS).wake_ms == 1_000
    node.install(reactor("i32.const 2000"))
    node.boot(1_000)
    assert node.step(1_000, READINGS).wake_ms == 2_000
    node.close()


# Pure functions


def test_pure_functions_return_integers_and_floats(path: str) -> None:
    guest = module(
        '(func (export "filter_value") (param i32) (result f32) '
        "(f32.mul (f32.convert_i32_s (local.get 0)) (f32.const 0.5)))",
        '(func (export "nothing"))',
        '(func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))',
        '(func (export "wide") (param i64) (result i64) (local.get 0))',
        '(func (export "nan") (result f32) (f32.div (f32.const 0) (f32.const 0)))',
        imports=["wasm_log"],
    )
    with PureGuest(guest, path=path) as pure:
        assert pure.call("filter_value", 3) == 1.5
        assert pure.call("nothing") is None
        assert pure.call("half", 3) == 1.5
        assert pure.call("wide", 2**40) == 2**40
        result = pure.call("nan")
        assert isinstance(result, float)
        assert math.isnan(result)


def test_pure_functions_keep_their_memory(path: str) -> None:
    guest = module(
        '(func (export "filter") (param i32) (result i32) '
        "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get 0))) "
        "(i32.load (i32.const 0)))"
    )
    with PureGuest(guest, path=path) as pure:
        assert [pure.call("filter", x) for x in (1, 2, 3)] == [1, 3, 6]


def test_wrong_calls_of_pure_functions_are_refused() -> None:
    guest = module('(func (export "process") (param i32) (result i32) (local.get 0))')
    with PureGuest(guest) as pure:
        with pytest.raises(AbiError, match="no function 'filter'; there are process"):
            pure.call("filter", 1)
        with pytest.raises(ParameterError, match=r"process\(i32\): 2 arguments given"):
            pure.call("process", 1, 2)
        for value in (2**31, -(2**31) - 1, 0.5):
            with pytest.raises(ParameterError, match="is not an integer of 32 bits"):
                pure.call("process", value)


def test_imports_that_are_never_called_need_no_permission(path: str) -> None:
    guest = module('(func (export "process") (result i32) (i32.const 7))')
    with PureGuest(guest, profile=Profile(name="none", imports=frozenset()), path=path) as pure:
        assert pure.call("process") == 7


def test_a_denied_import_is_named(path: str) -> None:
    guest = module(
        '(func (export "process") (result i32) (call $read_sensor (i32.const 0)))',
        '(func (export "other") (result i32) i32.const 1)',
    )
    with PureGuest(guest, profile=FOG, path=path) as pure:
        for _ in range(2):  # a clean instance each time
            with pytest.raises(Trap, match="profile 'fog' does not allow read_sensor") as caught:
                pure.call("process")
            assert caught.value.kind == TrapKind.DENIED
            assert caught.value.function == "process"
        assert pure.call("other") == 1


# Threads


def test_a_host_is_not_re_entrant(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with SimNodes(reactor("i32.const 1"), path=path) as nodes:
        nodes.boot(0)
        nodes._host.busy = True
        with pytest.raises(GuestError, match="not re-entrant"):
            nodes.step(0, readings())
        with pytest.raises(GuestError, match="not re-entrant"):
            nodes.boot(0)
        nodes._host.busy = False
        assert nodes.step(0, readings()) == 1


def test_hosts_in_several_threads_do_not_disturb_each_other(path: str) -> None:
    guest = reactor(
        "(call $log_int (call $read_sensor (i32.const 0))) "
        "(call $wasm_log (i32.const -1)) i32.const 1000"
    )
    kinds: list[set[int]] = []

    def work() -> None:
        found = set()
        with SimNodes(guest, budget=Budget(log_bytes=64), path=path) as nodes:
            for k in range(50):
                nodes.boot(k)
                nodes.step(k, readings())
                found.add(int(nodes.trap[0]))
        kinds.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == [{TrapKind.POINTER}] * 4
