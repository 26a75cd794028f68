from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from levada.guest.text.ranges import format_number
from levada.sim.quantities import (
    Duration,
    ExactDuration,
    Moment,
    format_duration,
    parse_duration,
    parse_quantity,
)
from levada.sim.scenario.node_url import NodeUrl, parse_node


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("20 min", 1_200),
            ("36h", 129_600),
            ("12 d 6 h", 1_058_400),
            ("1.5 h", 5_400),
            ("0 s", 0),
            (" 90 d ", 7_776_000),
        ],
    )
    def test_are_numbers_with_units(self, text: str, seconds: int) -> None:
        assert parse_duration(text) == timedelta(seconds=seconds)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "not a duration"),
            ("20", "not a duration"),
            ("20 minutes", "unknown unit of time `minutes`"),
            ("-5 min", "not a duration"),
            ("1 h 2 h", "the unit `h` appears twice"),
            ("1 h later", "not a duration"),
            ("0.0000001 s", "finer than a microsecond"),
            ("40000 d", "longer than 100 years"),
        ],
    )
    def test_are_refused_with_a_reason(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse_duration(text)

    @given(st.timedeltas(timedelta(), timedelta(days=36_600)))
    def test_come_back_equal(self, duration: timedelta) -> None:
        assert parse_duration(format_duration(duration)) == duration

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0.5, "0.5 s"),
            (90, "1 min 30 s"),
            (5_400, "1 h 30 min"),
            (60.25, "1 min 0.25 s"),
            (0.000001, "0.000001 s"),
            (0, "0 s"),
        ],
    )
    def test_are_written_without_rounding(self, seconds: float, text: str) -> None:
        duration = timedelta(seconds=seconds)
        assert format_duration(duration) == text
        assert parse_duration(text) == duration

    def test_of_a_scenario_are_whole_seconds(self) -> None:
        """Its clock counts them, and what it cannot do is not rounded in silence."""
        whole, exact = TypeAdapter(Duration), TypeAdapter(ExactDuration)
        for value in ("0.1 s", "1 min 0.5 s", timedelta(milliseconds=1)):
            with pytest.raises(ValidationError, match="durations are whole seconds"):
                whole.validate_python(value)
        with pytest.raises(ValidationError, match="durations are whole seconds"):
            TypeAdapter(Moment).validate_python("0.1 s")
        assert exact.validate_python("0.1 s") == timedelta(milliseconds=100)
        assert exact.dump_python(timedelta(milliseconds=500)) == "0.5 s"


class TestQuantities:
    def test_are_converted_to_the_unit_of_factor_one(self) -> None:
        units = {"s": 1.0, "min": 60.0}
        assert parse_quantity("1.5 min", units) == 90
        assert parse_quantity("-2e1 s", units) == -20

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("3", "a unit is missing: write the number with one of s, min"),
            ("3 h", "unknown unit `h`: write the number with one of s, min"),
            ("fast", "not a number with a unit"),
        ],
    )
    def test_are_refused_with_the_units_that_are_known(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse_quantity(text, {"s": 1.0, "min": 60.0})

    def test_numbers_are_shown_without_needless_digits(self) -> None:
        assert [format_number(n) for n in (3.0, 0.25, 2**63 - 1, -7)] == [
            "3",
            "0.25",
            "9223372036854775807",
            "-7",
        ]


KEY = "0123456789abcdef" * 4


class TestNodeUrls:
    @pytest.mark.parametrize(
        ("text", "node"),
        [
            ("sim", NodeUrl(kind="sim")),
            ("virtual", NodeUrl(kind="virtual")),
            ("virtual:xtensa", NodeUrl(kind="virtual", target="xtensa")),
            (f"virtual?trust={KEY}", NodeUrl(kind="virtual", trust=(KEY,))),
            (
                f"virtual:xtensa?trust={KEY}&trust={KEY[::-1]}",
                NodeUrl(kind="virtual", target="xtensa", trust=(KEY, KEY[::-1])),
            ),
            (
                f"virtual?flash=a%20board.flash&trust={KEY}",
                NodeUrl(kind="virtual", trust=(KEY,), flash="a board.flash"),
            ),
            ("serial:/dev/ttyUSB0", NodeUrl(kind="serial", target="/dev/ttyUSB0")),
            (
                "serial:/dev/ttyUSB0?baud=115200",
                NodeUrl(kind="serial", target="/dev/ttyUSB0", baud=115_200),
            ),
            ("serial:socket://host:4000", NodeUrl(kind="serial", target="socket://host:4000")),
            (
                "serial:rfc2217://host:4000?ign_set_control&baud=9600",
                NodeUrl(kind="serial", target="rfc2217://host:4000?ign_set_control", baud=9_600),
            ),
            (
                "mqtt://broker:1884/ic/esp32",
                NodeUrl(kind="mqtt", target="mqtt://broker:1884", topic="ic/esp32"),
            ),
            (
                "mqtts://broker/ic/esp32",
                NodeUrl(kind="mqtts", target="mqtts://broker", topic="ic/esp32"),
            ),
        ],
    )
    def test_are_taken_apart(self, text: str, node: NodeUrl) -> None:
        assert parse_node(text) == node
        assert node.simulated == (text == "sim")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("usb0", "unknown kind of node `usb0`"),
            ("sim:1", "`sim` takes nothing after it"),
            ("virtual:v8", "unknown variant `v8`: permitted wasm3, wamr"),
            ("virtual:v8?trust=", "unknown variant `v8`: permitted wasm3, wamr"),
            ("virtual:?trust=", "unknown variant ``"),
            ("virtual?baud=9600", "unknown option `baud` of a virtual node: permitted trust"),
            ("virtual?flash=", "flash=: name one file"),
            ("virtual?flash=a&flash=b", "flash=: name one file"),
            ("virtual?trust", "trust=: must be a public key, 64 hexadecimal digits"),
            (f"virtual?trust={KEY[1:]}", "must be a public key, 64 hexadecimal digits"),
            (f"virtual?trust={KEY}&trust={KEY}&trust={KEY}", "3 keys, a device takes at most 2"),
            ("serial:", "needs a port"),
            ("serial:/dev/ttyUSB0?speed=9600", "unknown option `speed`"),
            ("serial:/dev/ttyUSB0?baud=fast", "`baud` = fast: permitted 300 to 5000000"),
            ("mqtt://broker", "write mqtt://HOST"),
            ("mqtt://broker:99999/ic/x", "the port must be a number, 0 to 65535"),
            ("mqtt://broker/ic/#", "no wildcard"),
            ("mqtt://broker/ic/+", "no wildcard"),
            ("mqtt://me:secret@broker/ic/esp32", "no password in a scenario"),
        ],
    )
    def test_are_refused_with_what_is_permitted(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse_node(text)


def test_a_text_of_any_length_is_refused_at_once() -> None:
    """An expression that backtracks would take the square of its length: an hour."""
    with pytest.raises(ValueError, match="unknown unit"):
        parse_quantity("1 a" + " " * 100_000 + "b", {"s": 1.0})
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(" " * 100_000 + "1")
