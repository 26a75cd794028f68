from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from levada.guest.abi import Call
from levada.guest.fast.json_integers import json_integers, key_number
from levada.guest.fast.tape_records import i32_at, message_span, record_bytes
from levada.guest.tape import encode, iter_records
from levada.guest.text.json_text import DEPTH_ON_BOARDS, parse

PCT, WHY = key_number("pct"), key_number("why")
MISSING = -(2**40)
MOST = 10**17
"""No number is read as more, of either sign."""


def as_bytes(text: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(text), dtype=np.uint8)


def read(text: str) -> int:
    """The compiled reader, with something else on both sides."""
    raw = text.encode("utf-8", "surrogatepass")
    around = as_bytes(b'{"pct":1,' + raw + b'"pct":2}')
    found, _ = json_integers(around, 9, 9 + len(raw), (PCT, WHY), (MISSING, 0))
    _, again = json_integers(around, 9, 9 + len(raw), (WHY, PCT), (0, MISSING))
    assert found == again, "either key is read alike"
    return int(found)


def expected(text: str) -> int:
    """What Python's own parser finds."""
    try:
        found = parse(text, DEPTH_ON_BOARDS)
    except ValueError:
        return MISSING
    value = found.get("pct") if isinstance(found, dict) else None
    return max(min(value, MOST), -(MOST)) if type(value) is int else MISSING


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"raw":1800,"pct":42,"why":3}', 42),
        ('{"pct": 7}', 7),
        (' {\t"pct"\r\n:\n-7 , "a" : 1 } ', -7),
        ('{"pct":0}', 0),
        ('{"pct":-0}', 0),
        ('{"pct":1,"pct":2}', 2),
        ('{"pct":1,"pct":null}', MISSING),
        ('{"pct":1,"pct":[]}', MISSING),
        ('{"a":{"pct":1},"pct":2,"b":[{"pct":3}]}', 2),
        ('{"a":"\\"pct\\":9","pct":2}', 2),
        ('{"a":"{","b":[[],{}],"pct":5}', 5),
        ('{"pct":12345678901234567890}', MOST),
        ('{"pct":7.0}', MISSING),
        ('{"pct":7e1}', MISSING),
        ('{"pct":"7"}', MISSING),
        ('{"pct":true}', MISSING),
        ('{"percent":42}', MISSING),
        ("{}", MISSING),
        ("", MISSING),
        ("7", MISSING),
        ('[{"pct":7}]', MISSING),
        ('"pct":7', MISSING),
        ('{"pct":7', MISSING),
        ('{"pct":7}}', MISSING),
        ('{"pct":7} 1', MISSING),
        ('{"pct":7,}', MISSING),
        ('{"pct":07}', MISSING),
        ('{"pct":7,"a":[1,]}', MISSING),
        ('{"pct":7,"a":"\\x"}', MISSING),
        ('{"pct":7,"a":"\\u12g4"}', MISSING),
        ('{"pct":7,"a":tru}', MISSING),
        ('{"pct":7,"a":1.}', MISSING),
        ('{"pct":7,"a":-}', MISSING),
        ('{"pct":7 "a":1}', MISSING),
        ('{"pct":7,"a":]}', MISSING),
        ('{"pct":7,"a":[}]}', MISSING),
        ('{"pct":}', MISSING),
        ("{,}", MISSING),
    ],
)
def test_an_integer_is_read_as_a_parser_reads_it(text: str, value: int) -> None:
    assert read(text) == value
    assert expected(text) == value


@pytest.mark.parametrize("key", ["", "irrigating", "água"])
def test_a_key_that_cannot_be_compared_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="permitted are 1 to 7 ASCII characters"):
        key_number(key)


@pytest.mark.parametrize("key", ["pct\0", "pctpctpct", "pc", "pctt", "tcp", "\0pct", "P"])
def test_another_key_is_not_taken_for_it(key: str) -> None:
    assert read(f'{{"{key}":7}}') == expected(f'{{"{key}":7}}') == MISSING


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(("pct", "why", "a", "")) | st.text(max_size=4), inner)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from((None, 1, "\t")), st.booleans())
@example({"pct": 7}, None, True)
def test_every_json_text_is_read_as_python_reads_it(
    value: object, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read(text) == expected(text)


@given(
    st.lists(
        st.sampled_from(
            [*'{}[]:,"\\ -+.01eE', '"pct"', "true", "null", '"pct":', "7", "\\u0041", "\n"]
        ),
        max_size=12,
    )
)
def test_what_is_no_json_is_not_read(parts: list[str]) -> None:
    text = '{"pct":1' + "".join(parts)
    assert read(text) == expected(text)


@pytest.mark.parametrize("depth", [DEPTH_ON_BOARDS, DEPTH_ON_BOARDS + 1])
@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_depth_is_that_of_the_boards(depth: int, opening: str, closing: str) -> None:
    middle = "1" if opening != "[" else ""
    text = f'{{"pct":7,"a":{opening * (depth - 1)}{middle}{closing * (depth - 1)}}}'
    assert read(text) == expected(text) == (7 if depth == DEPTH_ON_BOARDS else MISSING)


RECORDS = [
    encode(Call.BOOT, 10**12),
    encode(Call.STEP, -5, 1),
    *(encode(Call(c), 3, -2) for c in (1, 2, 3, 10)),
    *(encode(Call(c), -(2**31)) for c in (6, 7, 8, 9, 16)),
    *(encode(Call(c), 1, 2**31 - 1, 3) for c in (11, 18)),
    encode(Call.MQTT_PUBLISH, b"ic/a/data", b'{"pct": 7}', -4),
    encode(Call.MQTT_PUBLISH, b"", b"", 0),
    encode(Call.WASM_LOG, b"x" * 256),
    encode(Call.TRAP, 5),
]


def test_compiled_code_walks_a_tape_as_python_does() -> None:
    assert {record[0] for record in RECORDS} == set(Call)
    tape = b"".join(RECORDS)
    view, at, offsets = as_bytes(tape), 0, []
    while at < len(tape):
        offsets.append(at)
        at += record_bytes(view, at)
    assert at == len(tape)
    assert offsets == [record.offset for record in iter_records(tape)]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_that_is_cut_reaches_beyond_the_end(record: bytes) -> None:
    for size in range(1, len(record)):
        assert record_bytes(as_bytes(record[:size]), 0) > size


def test_a_record_that_is_not_known_has_no_size() -> None:
    for call in set(range(256)) - set(Call):
        assert record_bytes(as_bytes(bytes([call])), 0) == -1


def test_the_message_of_a_publication_is_found() -> None:
    tape = as_bytes(encode(Call.RETURN, 1) + encode(Call.MQTT_PUBLISH, b"data", b"seven", 0))
    start, end = message_span(tape, 5)
    assert tape[start:end].tobytes() == b"seven"


@pytest.mark.parametrize("value", [0, 1, -1, 2**31 - 1, -(2**31)])
def test_numbers_are_little_endian(value: int) -> None:
    assert i32_at(as_bytes(b"?" + struct.pack("<i", value)), 1) == value
