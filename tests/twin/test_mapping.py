from __future__ import annotations

import json
import math

import pytest

from twin.errors import MappingError
from twin.mapping import FieldMap, PayloadMap, resolve_pointer

# the document and the pointers of RFC 6901, section 5
RFC_6901 = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_pointers_are_those_of_the_standard(pointer: str, value: object) -> None:
    assert resolve_pointer(RFC_6901, pointer) == value


@pytest.mark.parametrize("pointer", ["/bar", "/foo/2", "/foo/-", "/foo/01", "/foo/0/x"])
def test_a_pointer_to_nothing_is_an_error(pointer: str) -> None:
    with pytest.raises(MappingError):
        resolve_pointer(RFC_6901, pointer)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("degF", 212, 100.0),
        ("degF", -40, -40.0),
        ("K", 273.15, 0.0),
        ("0.01 degC", 2150, 21.5),
        ("V", 3.3, 3300.0),
        ("ratio", 0.25, 25.0),
        ("in", 1, 25.4),
        ("hPa", 1013.25, 101.325),
        ("m3/h", 6, 100.0),
    ],
)
def test_units_become_those_of_the_store(unit: str, value: float, expected: float) -> None:
    assert FieldMap(pointer="/x", unit=unit).convert(value) == pytest.approx(expected, abs=1e-9)


def test_scale_and_offset_come_before_the_unit() -> None:
    entry = FieldMap(pointer="/x", unit="degF", scale=0.1, offset=32.0)
    assert entry.convert(1800) == pytest.approx(100.0)


def test_a_mapping_reads_a_foreign_device() -> None:
    mapping = PayloadMap.from_table(
        {
            "topic": "tele/+/SENSOR",
            "fields": {
                "raw": {"pointer": "/ANALOG/A0", "unit": "counts"},
                "temp_c": {"pointer": "/DS18B20/Temperature", "unit": "degF"},
            },
        }
    )
    assert mapping.node_of("tele/horta/SENSOR") == "horta"
    assert mapping.node_of("tele/horta/STATE") is None
    assert mapping.node_of("tele/$a/SENSOR") is None
    payload = {"ANALOG": {"A0": 812}, "DS18B20": {"Temperature": "50"}}
    assert mapping.apply(json.dumps(payload).encode()) == {
        "raw": 812.0,
        "temp_c": pytest.approx(10.0),
    }
    assert mapping.units() == {"raw": "counts", "temp_c": "degC"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"x":null}',
        b'{"x":"dry"}',
        b'{"x":[1]}',
        b'{"x":1e999}',
        b'{"x":NaN}',
        b'{"x":' + b"9" * 400 + b"}",
        b"\xff",
        b"[" * 100_000,
        bytes(65_537),
    ],
)
def test_a_payload_without_a_number_is_refused(payload: bytes) -> None:
    mapping = PayloadMap(topic="a/+", fields={"raw": FieldMap(pointer="/x")})
    with pytest.raises(MappingError):
        mapping.apply(payload)


def test_a_value_that_is_required_must_be_there() -> None:
    fields = {"raw": FieldMap(pointer="/x", required=True), "pct": FieldMap(pointer="/y")}
    mapping = PayloadMap(topic="a", node="n", fields=fields)
    assert mapping.apply(b'{"x":1}') == {"raw": 1.0}
    with pytest.raises(MappingError, match="nothing at /x"):
        mapping.apply(b'{"y":1}')


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"topic": "a/#", "fields": {"x": {"pointer": "/x"}}}, "permitted is one level"),
        ({"topic": "+/+", "fields": {"x": {"pointer": "/x"}}}, "permitted is one level"),
        ({"topic": "a/b", "fields": {"x": {"pointer": "/x"}}}, "needs either"),
        ({"topic": "a/+", "fields": {}}, "no fields"),
        ({"topic": "a/+", "fields": {"x": {"pointer": "x"}}}, "must be a JSON pointer"),
        ({"topic": "a/+", "fields": {"x": {"pointer": "/~2"}}}, "must be a JSON pointer"),
        ({"topic": "a/+", "fields": {"x": {"pointer": "/x", "unit": "furlong"}}}, "permitted"),
        ({"topic": "a/+", "fields": {"<b>": {"pointer": "/x"}}}, "letters, digits"),
        ({"topic": "a/+", "fields": {"x": {"ponter": "/x"}}}, "ponter"),
        ({"topic": "a/+", "felds": {}}, "unknown key 'felds'"),
        ({"fields": {}}, "'topic' is missing"),
        ({"topic": "a/+", "fields": {"x": {"pointer": "/x", "scale": math.inf}}}, "finite"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(table: dict[str, object], says: str) -> None:
    with pytest.raises(MappingError, match=says):
        PayloadMap.from_table(table)
