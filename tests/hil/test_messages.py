"""The message table: sizes counted by hand, refusals, golden vectors, generated files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_frames import EXAMPLES, cobs_contents

from levada.hil.wire import messages as m
from levada.hil.wire.codec import Decoder, Frame, encode_frame
from levada.hil.wire.message import MessageError
from levada.hil.wire.messages_c import CORE, c_files
from levada.hil.wire.messages_doc import PAGE, renewed

VECTORS = Path(__file__).parent / "wire_vectors.json"
SEQUENCE = 0x1234


def vectors() -> dict[str, list[dict[str, str | int]]]:
    found: dict[str, list[dict[str, str | int]]] = json.loads(VECTORS.read_text())
    return found


def test_every_message_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == set(m.MESSAGES.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: type(e).__name__)
def test_a_message_comes_back_as_it_was(example: m.Message) -> None:
    assert type(example).decode(example.encode()) == example


def test_step_looks_as_the_table_says() -> None:
    # i64, u8, 4 x i32, i64, little endian, by hand
    body = m.Step(
        time_ms=0x0102030405060708, flags=1, readings=(1, -1, 2, 256), uptime_ms=7
    ).encode()
    assert body.hex() == "08070605040302010101000000ffffffff02000000000100000700000000000000"


def test_fixed_parts_have_the_sizes_counted_by_hand() -> None:
    sizes = {c.__name__: c.fixed_bytes() for c in m.MESSAGES.values()}
    assert sizes["Configure"] == 32 + 16 + 12 + 2 + 1 + 16 + 6 * 4 + 4
    assert sizes["Birth"] == 4 + 4 + 4 * 1 + 2 + 4 + 4 + 32 + 24 + 24
    assert sizes["StepResult"] == 3 + 2 + 2 + 8 + 4 + 4 + 4
    assert sizes["InstallEnd"] == 0


def test_golden_vectors_are_what_we_send_and_understand() -> None:
    golden = vectors()["messages"]
    assert len(golden) == len(EXAMPLES)
    for vector, example in zip(golden, EXAMPLES, strict=True):
        frame = bytes.fromhex(str(vector["frame"]))
        assert vector["name"] == type(example).__name__
        assert encode_frame(example.TYPE, SEQUENCE, example.encode()) == frame
        [found] = Decoder().feed(frame)
        assert isinstance(found, Frame)
        assert (found.sequence, found.message()) == (SEQUENCE, example)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (m.Hello(session=2**32), "Hello(session=4294967296): "),
        (
            m.Step(time_ms=0, flags=0, readings=(0, 0, 0, 2**31), uptime_ms=0),
            "Step(time_ms=0, flags=0, readings=(0, 0, 0, 2147483648), uptime_ms=0, further=()): ",
        ),
        (
            m.Step(time_ms=0, flags=0, readings=(0, 0, 0), uptime_ms=0),  # type: ignore[arg-type]
            "Step.readings = (0, 0, 0): 4 values wanted",
        ),
        (m.Ping(data=bytes(1025)), "Ping has 1025 bytes: at most 1024 allowed"),
        (
            m.InstallChunk(offset=0, data=bytes(1021)),
            "InstallChunk has 1025 bytes: at most 1024 allowed",
        ),
        (
            m.InstallBegin(size=1, sha256=b"short"),
            "InstallBegin.sha256 has 5 bytes: 32 wanted",
        ),
        (m.Calibrate(flags=0, parameters=((0, 2**31),)), "Calibrate.parameters: "),
    ],
)
def test_a_value_that_does_not_fit_is_named(message: m.Message, complaint: str) -> None:
    with pytest.raises(MessageError) as refused:
        message.encode()
    said = str(refused.value)
    assert said.startswith(complaint) if complaint.endswith(": ") else said == complaint


@pytest.mark.parametrize(
    "message", [m.Ping(data=bytes(1024)), m.InstallChunk(offset=7, data=b"x" * 1020)]
)
def test_a_body_of_1024_bytes_is_the_longest(message: m.Message) -> None:
    body = message.encode()
    assert len(body) == 1024
    assert type(message).decode(body) == message


def configure(node: str) -> m.Configure:
    example = next(e for e in EXAMPLES if isinstance(e, m.Configure))
    return m.Configure(**{n: getattr(example, n) for n, _ in example.FORMS} | {"node": node})


@pytest.mark.parametrize("text", ["x" * 32, "ä" * 16, "a\0b", "\0"])
def test_a_text_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(MessageError) as refused:
        configure(text).encode()
    assert str(refused.value) == f"Configure.node = {text!r}: at most 31 bytes, no NUL"


@pytest.mark.parametrize("text", ["", "x" * 31, "ä" * 15, "a\1b"])
def test_a_text_that_fits_is_filled_with_nul(text: str) -> None:
    body = configure(text).encode()
    assert body[:32] == text.encode().ljust(32, b"\0")
    assert m.Configure.decode(body).node == text


def test_a_message_is_made_by_name_and_never_changed() -> None:
    hello = m.Hello(session=1)
    with pytest.raises(AttributeError, match="session"):
        hello.session = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        m.Hello(1)  # type: ignore[misc]
    assert not hasattr(hello, "__dict__")  # by the ten thousand


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: type(e).__name__)
def test_a_body_of_another_length_is_refused(example: m.Message) -> None:
    body, kind = example.encode(), type(example)
    for cut in range(kind.fixed_bytes()):
        with pytest.raises(MessageError, match="bytes"):
            kind.decode(body[:cut])
    if "Rest" not in str(kind.__annotations__) and "Pairs" not in str(kind.__annotations__):
        with pytest.raises(MessageError, match="bytes"):
            kind.decode(body + b"\0")
    elif "Pairs" in str(kind.__annotations__):
        with pytest.raises(MessageError, match="multiple of 8"):
            kind.decode(body + b"\0")


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"\xff".ljust(32, b"\0"), "not UTF-8"),
        (b"node\0x".ljust(32, b"\0"), "text, then only NUL wanted"),
        (b"n" * 32, "text, then only NUL wanted"),
        (b"\0" * 31 + b"\1", "text, then only NUL wanted"),
    ],
)
def test_a_malformed_text_is_refused(raw: bytes, complaint: str) -> None:
    body = raw + configure("n").encode()[32:]
    with pytest.raises(MessageError) as refused:
        m.Configure.decode(body)
    assert str(refused.value) == f"Configure.node = {raw!r}: {complaint}"


@given(st.integers(0, 255), st.binary(max_size=1200))
def test_no_bytes_make_the_parser_do_anything_but_refuse(kind: int, body: bytes) -> None:
    try:
        message = Frame(kind, 0, body).message()
    except MessageError:
        return
    assert message.encode() == body


@pytest.mark.parametrize("name", ["levada_messages.h", "levada_messages.c"])
def test_the_generated_c_files_are_up_to_date(name: str) -> None:
    assert (CORE / name).read_text() == c_files()[name], "run python -m levada.hil.wire.messages_c"


def test_the_generated_tables_are_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == renewed(page), "run python -m levada.hil.wire.messages_doc"


def test_cobs_vectors_are_those_of_the_package() -> None:
    golden = {str(v["name"]): bytes.fromhex(str(v["encoded"])) for v in vectors()["cobs"]}
    assert golden.keys() == cobs_contents().keys()
    # Cheshire and Baker 1999: a run of 254 without a zero is one block with the code FF
    assert golden["254 without zeros"][0] == 0xFF
    assert len(golden["254 without zeros"]) == 255
    assert len(golden["255 without zeros"]) == 257
    assert golden["0 without zeros"] == b"\x01"
