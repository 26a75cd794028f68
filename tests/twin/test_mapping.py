from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from levada.sim.scenario.mapped import at, convert
from levada.sim.scenario.mapping import FieldMapping, PayloadMapping
from levada.twin.errors import MappingError
from levada.twin.mqtt.mapping import PayloadMap, kept, signals_of
from levada.twin.sources.recording import _signals

X = {"signal": "raw", "pointer": "/x"}


def made(**table: object) -> PayloadMap:
    return PayloadMap(PayloadMapping.model_validate(table))


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
    assert at(RFC_6901, pointer) == value


@pytest.mark.parametrize("pointer", ["/bar", "/foo/2", "/foo/-", "/foo/01", "/foo/0/x"])
def test_a_pointer_to_nothing_is_an_error(pointer: str) -> None:
    with pytest.raises(ValueError, match="payload has nothing at"):
        at(RFC_6901, pointer)


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
    entry = FieldMapping.model_validate({"signal": "x", "pointer": "/x", "unit": unit})
    assert convert(entry, value) == pytest.approx(expected, abs=1e-9)


def test_scale_and_offset_come_before_the_unit() -> None:
    entry = FieldMapping(signal="x", pointer="/x", unit="degF", scale=0.1, offset=32.0)
    assert convert(entry, 1800) == pytest.approx(100.0)


def test_a_mapping_reads_a_foreign_device() -> None:
    mapping = made(
        topic="tele/+/SENSOR",
        field=[
            {"signal": "raw", "pointer": "/ANALOG/A0", "unit": "counts"},
            {"signal": "temp_c", "pointer": "/DS18B20/Temperature", "unit": "degF"},
        ],
    )
    assert mapping.node_of("tele/horta/SENSOR") == "horta"
    assert mapping.node_of("tele/horta/STATE") is None
    assert mapping.node_of("tele/$a/SENSOR") is None
    payload = {"ANALOG": {"A0": 812}, "DS18B20": {"Temperature": "50"}}
    assert mapping.apply(json.dumps(payload).encode()).signals == {
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
    mapping = made(topic="a/+", field=[X])
    with pytest.raises(MappingError):
        mapping.apply(payload)


def test_a_value_that_is_required_must_be_there() -> None:
    y = {"signal": "pct", "pointer": "/y"}
    mapping = made(topic="a", node="n", field=[X | {"required": True}, y])
    assert mapping.apply(b'{"x":1}').signals == {"raw": 1.0}
    with pytest.raises(MappingError, match="nothing at /x"):
        mapping.apply(b'{"y":1}')


ZIGBEE = {
    "topic": "zigbee2mqtt/+",
    "field": [
        {"signal": "pct", "pointer": "/soil_moisture", "unit": "%"},
        {"signal": "temp_c", "pointer": "/temperature", "unit": "degC"},
        {"signal": "battery_mv", "pointer": "/battery_voltage", "unit": "mV"},
    ],
}


@pytest.mark.parametrize("absent", [None, ""])
def test_what_is_absent_takes_nothing_else_with_it(absent: object) -> None:
    mapping = made(**ZIGBEE)
    payload = {"soil_moisture": absent, "temperature": 21.5, "battery_voltage": 3010}
    assert mapping.apply(json.dumps(payload).encode()).signals == {
        "temp_c": 21.5,
        "battery_mv": 3010.0,
    }
    assert not mapping.apply(json.dumps(payload).encode()).unusable


@pytest.mark.parametrize(
    "odd",
    ['"unknown"', '"nan"', '"inf"', '"1_000"', "NaN", "[1]", "{}", "1e999", "9" * 5_000],
)
def test_what_is_no_number_is_left_out(odd: str) -> None:
    mapping = made(**ZIGBEE)
    payload = f'{{"soil_moisture":{odd},"temperature":21.5}}'.encode()
    found = mapping.apply(payload)
    assert found.signals == {"temp_c": 21.5}
    assert set(found.unusable) == {"pct"}


@pytest.mark.parametrize("odd", ["null", '""', '"unavailable"', "1e999"])
def test_a_required_value_has_to_be_a_number(odd: str) -> None:
    fields = [X | {"required": True}, {"signal": "pct", "pointer": "/y"}]
    with pytest.raises(MappingError, match="/x"):
        made(topic="a/+", field=fields).apply(f'{{"x":{odd},"y":1}}'.encode())


def test_texts_stand_for_numbers() -> None:
    valve = {"signal": "irrigar", "pointer": "/state", "values": {"ON": 1.0, "OFF": 0.0}}
    mapping = made(topic="a/+", field=[X, valve])
    assert mapping.apply(b'{"x":7,"state":"ON"}').signals == {"raw": 7.0, "irrigar": 1.0}
    assert mapping.apply(b'{"x":7,"state":"OFF"}').signals == {"raw": 7.0, "irrigar": 0.0}
    odd = mapping.apply(b'{"x":7,"state":"opening"}')
    assert (odd.signals, set(odd.unusable)) == ({"raw": 7.0}, {"irrigar"})


STATE = {"signal": "irrigar", "pointer": "", "values": {"ON": 1.0, "OFF": 0.0}}


@pytest.mark.parametrize(
    ("entry", "payload", "found"),
    [
        ({"signal": "raw", "pointer": ""}, b"2280.0", {"raw": 2280.0}),
        ({"signal": "raw", "pointer": ""}, b'"2280"', {"raw": 2280.0}),
        ({"signal": "raw", "pointer": "", "scale": 10.0}, b" 12.5\n", {"raw": 125.0}),
        (STATE, b"ON", {"irrigar": 1.0}),
        (STATE, b"OFF\r\n", {"irrigar": 0.0}),
        (STATE, b'"ON"', {"irrigar": 1.0}),
        (STATE, b"1", {"irrigar": 1.0}),
        (STATE, b"false", {"irrigar": 0.0}),
    ],
)
def test_a_payload_may_be_a_bare_value(
    entry: dict[str, object], payload: bytes, found: dict[str, float]
) -> None:
    assert made(topic="a/+", field=[entry]).apply(payload).signals == found


@pytest.mark.parametrize("payload", [b"on", b"", b"null", b"\xff", b"{}", b"[1]", b"nan"])
def test_a_bare_value_has_to_be_known(payload: bytes) -> None:
    with pytest.raises(MappingError):
        made(topic="a/+", field=[STATE]).apply(payload)


@pytest.mark.parametrize("payload", [b"2280.0", b"ON", b'{"x":"\xc3\xa9"}'])
def test_what_is_kept_tells_topic_payload_and_signals(payload: bytes) -> None:
    message = json.loads(kept("tele/a/SENSOR", payload, {"raw": 2280.5, "irrigar": 1.0}))
    assert message["topic"] == "tele/a/SENSOR"
    assert message["payload"] == payload.decode()
    assert signals_of(message) == {"raw": 2280.5, "irrigar": 1.0}


def test_a_message_of_our_own_is_not_taken_for_a_mapped_one() -> None:
    assert signals_of({"raw": 1, "boot": 2}) is None
    assert signals_of({"raw": 1, "signals": 7}) is None


EXAMPLE = '{"x":7,"t":"off","n":null}'


@pytest.mark.parametrize(
    ("fields", "example", "says"),
    [
        ([X | {"pointer": "/y"}], EXAMPLE, "`example` does not fit the fields.*nothing at /y"),
        ([X], "7", "`example` does not fit the fields.*nothing at /x"),
        ([X], "{", "payload is no JSON"),
        ([X, {"signal": "pct", "pointer": "/y"}], EXAMPLE, "`pct` is not in the example.*at /y"),
        ([X, {"signal": "pct", "pointer": "/t"}], EXAMPLE, "`pct` is not in.*/t = 'off'"),
        ([X, {"signal": "pct", "pointer": "/n"}], EXAMPLE, "`pct` is not in.*/n is null"),
        ([X | {"pointer": ""}], "", '`example` does not fit the fields.*the payload is ""'),
        ([X | {"pointer": ""}], '{"x":7}', "the payload holds an object: not a number"),
        ([X | {"pointer": ""}], "[7]", "the payload holds a list: not a number"),
    ],
)
def test_an_example_has_to_hold_every_field(
    fields: list[dict[str, object]], example: str, says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        made(topic="a/+", field=fields, example=example)


def test_an_example_that_fits_is_no_trouble() -> None:
    valve = {"signal": "irrigar", "pointer": "/t", "values": {"on": 1.0, "off": 0.0}}
    assert made(topic="a/+", field=[X, valve], example=EXAMPLE).apply(EXAMPLE.encode()).signals == {
        "raw": 7.0,
        "irrigar": 0.0,
    }


def test_an_integer_of_thousands_of_digits_elsewhere_does_no_harm() -> None:
    assert made(topic="a/+", field=[X]).apply(b'{"x":1,"y":' + b"9" * 5_000 + b"}").signals == {
        "raw": 1.0
    }


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"topic": "a/#", "field": [X]}, "permitted is one level"),
        ({"topic": "+/+", "field": [X]}, "permitted is one level"),
        ({"topic": "a/b", "field": [X]}, "needs either"),
        ({"topic": "a", "node": "b/c", "field": [X]}, "without / "),
        ({"topic": "a/+", "field": []}, "at least 1 item"),
        ({"topic": "a/+", "field": [X, X]}, "there twice"),
        ({"topic": "a/+", "field": [X | {"pointer": "x"}]}, "must be a JSON pointer"),
        ({"topic": "a/+", "field": [X | {"pointer": "/~2"}]}, "must be a JSON pointer"),
        ({"topic": "a/+", "field": [X | {"unit": "furlong"}]}, "'degC'"),
        ({"topic": "a/+", "field": [X | {"signal": "<b>"}]}, "match pattern"),
        ({"topic": "a/+", "field": [X | {"ponter": "/x"}]}, "ponter"),
        ({"topic": "a/+", "felds": []}, "felds"),
        ({"field": [X]}, "topic"),
        ({"topic": "a/+", "field": [X | {"scale": math.inf}]}, "finite"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(table: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        made(**table)


def test_a_known_signal_without_a_unit_has_that_of_the_store() -> None:
    mapping = made(topic="a/+", field=[{"signal": "temp_c", "pointer": "/t"}])
    assert mapping.units() == {"temp_c": "degC"}


def test_a_special_topic_before_a_general_one_is_permitted() -> None:
    field = [{"signal": "raw", "pointer": "/r"}]
    general = PayloadMapping.model_validate({"topic": "a/+/c", "field": field})
    special = PayloadMapping.model_validate({"topic": "a/b/c", "node": "b", "field": field})
    assert general.covers(special)
    assert not special.covers(general)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"x": 7, "t": "ON"}, {"raw": 7.0, "irrigar": 1.0}),
        ({"x": 7, "t": "opening"}, {"raw": 7.0}),
        ({"raw": 5, "x": 7}, {"raw": 5.0, "x": 7.0}),  # of our own kind
        ({"y": 7}, {}),
    ],
)
def test_payloads_that_an_old_store_keeps_bare_are_read(
    message: dict[str, object], found: dict[str, float]
) -> None:
    valve = {"signal": "irrigar", "pointer": "/t", "values": {"ON": 1.0, "OFF": 0.0}}
    assert _signals(message, [made(topic="a/+", field=[X, valve])]) == found
