from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.guest.abi import Call, ErrorCode, TrapKind
from levada.guest.tape import (
    Record,
    TapeDigest,
    TapeError,
    TapeReader,
    TapeWriter,
    encode,
    first_difference,
    iter_records,
    publications,
    record_text,
    tape_digest,
)

I32 = st.integers(-(2**31), 2**31 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
U8 = st.integers(0, 255)
TEXT = st.binary(max_size=40)
RECORDS = st.one_of(
    st.tuples(st.just(Call.STEP), st.tuples(I64, U8)),
    st.tuples(
        st.sampled_from((Call.READ_SENSOR, Call.SET_OUTPUT, Call.GET_CONFIG, Call.KEEP_GET)),
        st.tuples(I32, I32),
    ),
    st.tuples(
        st.sampled_from((Call.LOG_INT, Call.DELAY_MS, Call.NOW_S, Call.UPTIME_S, Call.RETURN)),
        st.tuples(I32),
    ),
    st.tuples(st.just(Call.MQTT_PUBLISH), st.tuples(TEXT, TEXT, I32)),
    st.tuples(st.just(Call.WASM_LOG), st.tuples(TEXT)),
    st.tuples(st.just(Call.TRAP), st.tuples(U8)),
    st.tuples(st.sampled_from((Call.PARAM_SET, Call.KEEP_SET)), st.tuples(I32, I32, I32)),
    st.tuples(st.just(Call.BOOT), st.tuples(I64)),
)

DAY = (
    encode(Call.BOOT, 1_681_516_800_000)
    + encode(Call.STEP, 1_681_516_800_000, 0)
    + encode(Call.RETURN, 0)
    + encode(Call.STEP, 1_681_517_400_000, 1)
    + encode(Call.READ_SENSOR, 0, 2210)
    + encode(Call.SET_OUTPUT, 23, 1)
    + encode(Call.MQTT_PUBLISH, b"data", b'{"raw":2210}', 0)
    + encode(Call.RETURN, 600_000)
)


def test_records_are_the_bytes_of_the_description() -> None:
    # Written by hand from the table in guest/tape.py.
    assert encode(Call.STEP, 0x0102030405060708, 1).hex() == "00080706050403020101"
    assert encode(Call.READ_SENSOR, 0, -2).hex() == "0100000000feffffff"
    assert encode(Call.MQTT_PUBLISH, b"ab", b"c", -3).hex() == "0402006162010063fdffffff"
    assert encode(Call.WASM_LOG, b"\xff").hex() == "050100ff"
    assert encode(Call.TRAP, TrapKind.DENIED).hex() == "1109"
    assert encode(Call.PARAM_SET, 1, 2, 0).hex() == "12010000000200000000000000"


@given(st.lists(RECORDS, max_size=8))
def test_what_was_encoded_is_decoded(records: list[tuple[Call, tuple[object, ...]]]) -> None:
    tape = b"".join(encode(call, *values) for call, values in records)

    decoded = list(iter_records(tape))

    assert [(r.call, r.values) for r in decoded] == records
    for record in decoded:
        assert record_text(record).isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tape_or_refused(junk: bytes) -> None:
    try:
        records = list(iter_records(junk))
    except TapeError:
        return
    assert b"".join(encode(r.call, *r.values) for r in records) == junk


def test_a_tape_cut_within_a_record_is_refused() -> None:
    ends = {r.offset for r in iter_records(DAY)} | {len(DAY)}
    for size in range(len(DAY) + 1):
        if size in ends:
            list(iter_records(DAY[:size]))
        else:
            with pytest.raises(TapeError, match="ends within"):
                list(iter_records(DAY[:size]))


@pytest.mark.parametrize(
    ("call", "values", "text"),
    [
        (Call.STEP, (1_681_517_400_000, 1), "step at 2023-04-15T00:10:00"),
        (Call.STEP, (1_681_517_400_005, 2), "main at 2023-04-15T00:10:00.005"),
        (Call.BOOT, (2**62,), f"boot at {2**62} ms"),
        (Call.READ_SENSOR, (3, 0), "read_sensor(flow) -> 0"),
        (Call.READ_SENSOR, (77, -1), "read_sensor(77) -> invalid"),
        (Call.SET_OUTPUT, (23, 1), "set_output(23, 1)"),
        (
            Call.MQTT_PUBLISH,
            (b"data", b'{"a":1}', -3),
            r'mqtt_publish("data", "{\"a\":1}") -> refused',
        ),
        (Call.WASM_LOG, (b"\xff\n",), r'wasm_log("\ufffd\n")'),
        (Call.TRAP, (TrapKind.OUT_OF_FUEL,), "trap: out of fuel"),
        (Call.PARAM_SET, (1, 2, -1), "param_set(1, 2) -> invalid"),
    ],
)
def test_records_read_well(call: Call, values: tuple[object, ...], text: str) -> None:
    assert record_text(Record(call, values, 0)) == text


def test_publications_carry_the_time_of_their_run() -> None:
    (found,) = publications(DAY)
    assert found == (1_681_517_400_000, b"data", b'{"raw":2210}', ErrorCode.OK)


def test_equal_tapes_have_no_difference() -> None:
    assert first_difference(DAY, DAY) is None
    assert first_difference(b"", b"") is None


def test_the_first_difference_names_run_call_and_both_records() -> None:
    other = DAY.replace(encode(Call.SET_OUTPUT, 23, 1), encode(Call.SET_OUTPUT, 23, 0))

    difference = first_difference(DAY, other)

    assert difference is not None
    assert (difference.run, difference.call) == (1, 2)
    assert difference.time_ms == 1_681_517_400_000
    assert (difference.left, difference.right) == ("set_output(23, 1)", "set_output(23, 0)")
    assert difference.context == (
        "return 0",
        "step at 2023-04-15T00:10:00",
        "read_sensor(moisture) -> 2210",
    )
    assert "2023-04-15T00:10:00, record 2" in str(difference)


def test_a_tape_that_ends_early_differs_where_it_ends() -> None:
    start = encode(Call.STEP, 1_681_518_000_000, 1)

    longer = first_difference(DAY, DAY + start)
    shorter = first_difference(DAY + start, DAY)

    assert longer is not None
    assert shorter is not None
    assert (longer.left, longer.right) == (None, "step at 2023-04-15T00:20:00")
    assert (shorter.left, shorter.right) == ("step at 2023-04-15T00:20:00", None)
    assert (longer.run, longer.call) == (shorter.run, shorter.call) == (2, 0)
    assert longer.context == shorter.context
    empty = first_difference(b"", DAY)
    assert empty is not None
    assert (empty.run, empty.left, empty.right) == (-1, None, "boot at 2023-04-15T00:00:00")


@given(st.lists(RECORDS, min_size=1, max_size=8), st.data())
def test_the_first_difference_is_the_first_record_that_differs(
    records: list[tuple[Call, tuple[object, ...]]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(records) - 1))
    changed = [*records[:at], data.draw(RECORDS), *records[at + 1 :]]
    left, right = (
        b"".join(encode(call, *values) for call, values in tape) for tape in (records, changed)
    )

    difference = first_difference(left, right)

    if changed == records:
        assert difference is None
    else:
        assert difference is not None
        first = next(k for k, (a, b) in enumerate(zip(records, changed, strict=True)) if a != b)
        assert difference.left == record_text(Record(*records[first], 0))
        assert difference.right == record_text(Record(*changed[first], 0))


def test_the_digest_is_that_of_the_zone_digests() -> None:
    digest = TapeDigest(2)
    digest.update(1, b"b")
    digest.update(0, b"a1")
    digest.update(0, b"a2")

    by_hand = hashlib.sha256(
        hashlib.sha256(b"a1a2").digest() + hashlib.sha256(b"b").digest()
    ).hexdigest()
    assert digest.hexdigest() == by_hand == tape_digest([b"a1a2", b"b"])


@pytest.fixture
def tape_file(tmp_path: Path) -> Path:
    path = tmp_path / "tape.cbor"
    with TapeWriter(path, guest_sha256="ab" * 32, zones=["north", "south"], start_ms=5) as writer:
        writer.add(0, DAY)
        writer.add(1, b"")
        writer.add(1, DAY[:9])
        writer.add(0, DAY)
    return path


def test_a_file_is_read_back(tape_file: Path) -> None:
    reader = TapeReader(tape_file)

    assert (reader.guest_sha256, reader.zones, reader.start_ms) == (
        "ab" * 32,
        ("north", "south"),
        5,
    )
    assert list(reader.chunks()) == [(0, DAY), (1, DAY[:9]), (0, DAY)]
    assert reader.tapes() == [DAY + DAY, DAY[:9]]
    assert not reader.truncated


def test_a_file_cut_anywhere_keeps_what_was_complete(tape_file: Path, tmp_path: Path) -> None:
    whole = tape_file.read_bytes()
    items = list(TapeReader(tape_file).chunks())
    cut = tmp_path / "cut.cbor"
    kept = set()
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        try:
            reader = TapeReader(cut)
        except TapeError:
            continue
        found = list(reader.chunks())
        assert found == items[: len(found)]
        kept.add((len(found), reader.truncated))
    assert kept == {(n, truncated) for n in (0, 1, 2) for truncated in (True, False)}


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.cbor"
    for content in (b"", b"hello", b"\xa0", b"\x83\x01\x02\x03", b"\xff\xff"):
        path.write_bytes(content)
        with pytest.raises(TapeError):
            TapeReader(path)


def test_damaged_records_are_refused(tape_file: Path) -> None:
    whole = bytearray(tape_file.read_bytes())
    whole[-20] ^= 0xFF
    tape_file.write_bytes(whole)
    with pytest.raises(TapeError):
        TapeReader(tape_file).tapes()
