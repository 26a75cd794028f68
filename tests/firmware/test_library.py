"""The C core and the Python package agree: cases L1, L3 to L5, L10 to L12 for the firmware side."""

from __future__ import annotations

import ctypes
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cobs import cobs  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from levada.hil.wire.codec import Damage, Decoder, Frame, encode_frame
from levada.hil.wire.message import MAX_BODY, MessageError
from levada.hil.wire.messages import MESSAGES, WIRE_VERSION

sys.path.insert(0, str(Path(__file__).parents[1] / "hil"))
from wire_frames import EXAMPLES, cobs_contents, flip_bits, random_body, seeded

VECTORS = Path(__file__).parents[1] / "hil" / "wire_vectors.json"
READY = 1
COBS, SHORT, CRC, VERSION, OVERRUN = -1, -2, -3, -4, -5
"""Statuses of the C decoder, see frame.h."""


def c_decode(library: ctypes.CDLL, data: bytes, again: bool = False) -> Iterator[Frame | int]:
    """Frames and status codes of the C decoder."""
    out = ctypes.create_string_buffer(2 * len(data) + 4096)
    used = library.lv_test_decode(data, len(data), int(again), out, len(out))
    assert used < len(out)
    at = 0
    while at < used:
        (status,) = struct.unpack_from("<b", out, at)
        if status != READY:
            yield status
            at += 1
            continue
        kind, sequence, length = struct.unpack_from("<BHH", out, at + 1)
        yield Frame(kind, sequence, out.raw[at + 6 : at + 6 + length])
        at += 6 + length


def c_frame(library: ctypes.CDLL, kind: int, sequence: int, body: bytes) -> bytes:
    out = ctypes.create_string_buffer(b"\xaa" * 1100)
    length = library.lv_frame_encode(kind, sequence, body, ctypes.c_size_t(len(body)), out)
    return out.raw[:length]


def c_copy(library: ctypes.CDLL, kind: int, body: bytes) -> bytes | int:
    """The body unpacked and packed again, or the error."""
    out = ctypes.create_string_buffer(MAX_BODY + 64)
    length = library.lv_test_copy(kind, body, ctypes.c_size_t(len(body)), out)
    return out.raw[:length] if length >= 0 else -length


def test_crc_has_the_check_value_of_its_definition(library: ctypes.CDLL) -> None:
    # CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms: check = cbf43926
    text = b"123456789"
    assert library.lv_crc32(0, text, ctypes.c_size_t(len(text))) == 0xCBF43926


def test_l11_golden_cobs_vectors(library: ctypes.CDLL) -> None:
    contents = cobs_contents()
    for vector in json.loads(VECTORS.read_text())["cobs"]:
        content = contents[vector["name"]]
        out = ctypes.create_string_buffer(len(content) + 16)
        length = library.lv_cobs_encode(content, ctypes.c_size_t(len(content)), out)
        assert out.raw[:length].hex() == vector["encoded"], vector["name"]


def test_golden_messages(library: ctypes.CDLL) -> None:
    for vector in json.loads(VECTORS.read_text())["messages"]:
        body, frame = bytes.fromhex(vector["body"]), bytes.fromhex(vector["frame"])
        assert c_copy(library, vector["type"], body) == body, vector["name"]
        assert c_frame(library, vector["type"], 0x1234, body) == frame
        assert list(c_decode(library, frame)) == [Frame(vector["type"], 0x1234, body)]


def test_l12_ten_thousand_frames_are_equal_both_ways(library: ctypes.CDLL) -> None:
    generator = seeded(12)
    decoder = Decoder()
    for _ in range(10_000):
        kind, sequence = generator.randrange(256), generator.randrange(65536)
        body = random_body(generator)
        ours = encode_frame(kind, sequence, body)
        assert c_frame(library, kind, sequence, body) == ours
        assert list(c_decode(library, ours)) == decoder.feed(ours) == [Frame(kind, sequence, body)]


@pytest.mark.parametrize("version", [v for v in range(256) if v != WIRE_VERSION])
def test_l12_a_frame_of_another_version_is_refused_by_both(
    library: ctypes.CDLL, version: int
) -> None:
    content = struct.pack("<BBH", version, 4, 7) + b"whole but for its version"
    encoded = cobs.encode(content + zlib.crc32(content).to_bytes(4, "little"))
    data = b"\0" + encoded + b"\0"
    assert list(c_decode(library, data)) == [VERSION]
    assert Decoder().feed(data) == [Damage("version", len(encoded))]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x05\x01\x01\0", COBS),  # the block ends before its code says
        (cobs.encode(b"\1" * 7) + b"\0", SHORT),  # no room for head and checksum
        (cobs.encode(b"\1" * 8) + b"\0", CRC),
        (b"\1" * 2000 + b"\0", OVERRUN),
    ],
    ids=["cobs", "short", "crc", "overrun"],
)
def test_each_kind_of_damage_has_its_own_status(
    library: ctypes.CDLL, data: bytes, status: int
) -> None:
    whole = encode_frame(4, 9, b"after")
    assert list(c_decode(library, data + whole)) == [status, Frame(4, 9, b"after")]


def test_the_longest_body_is_taken_and_one_byte_more_is_not(library: ctypes.CDLL) -> None:
    longest = encode_frame(4, 1, bytes(range(1, 256)) * 4 + b"1234")
    assert list(c_decode(library, longest)) == Decoder().feed(longest)
    content = struct.pack("<BBH", WIRE_VERSION, 4, 1) + b"\1" * (MAX_BODY + 1)
    over = cobs.encode(content + zlib.crc32(content).to_bytes(4, "little")) + b"\0"
    assert list(c_decode(library, over)) == [OVERRUN]


def test_both_decoders_take_the_same_frames_from_a_damaged_stream(library: ctypes.CDLL) -> None:
    generator = seeded(13)
    for rate in (1e-4, 1e-3, 1e-2):
        stream = b"".join(encode_frame(4, k, random_body(generator, 200)) for k in range(1_000))
        damaged = flip_bits(stream, rate, generator) + b"\0"
        ours = [f for f in Decoder().feed(damaged) if isinstance(f, Frame)]
        assert [f for f in c_decode(library, damaged) if isinstance(f, Frame)] == ours


def test_l1_bit_errors_never_pass_undetected(library: ctypes.CDLL) -> None:
    generator = seeded(1)
    bodies = {k: generator.randbytes(64) for k in range(50_000)}
    delivered = 0
    for start in range(0, 50_000, 1_000):
        stream = b"".join(encode_frame(4, k, bodies[k]) for k in range(start, start + 1_000))
        for found in c_decode(library, flip_bits(stream, 1e-4, generator), start > 0):
            if isinstance(found, Frame):
                assert found == Frame(4, found.sequence, bodies[found.sequence])
                delivered += 1
    # 592 of 592 bits right: 0.9999 ** 592
    assert delivered / 50_000 == pytest.approx(0.943, abs=0.005)


def test_l3_after_a_truncated_frame_the_next_one_is_delivered(library: ctypes.CDLL) -> None:
    first, second = (encode_frame(4, k, bytes(range(64))) for k in (1, 2))
    for length in range(len(first)):
        found = list(c_decode(library, first[:length] + second))
        assert isinstance(found[-1], Frame)
        assert found[-1].sequence == 2


def test_l4_noise_is_never_taken_for_a_frame(library: ctypes.CDLL) -> None:
    generator = seeded(4)
    for k in range(64):  # 4 MiB
        noise = generator.randbytes(65_536)
        assert not any(isinstance(f, Frame) for f in c_decode(library, noise, k > 0))


def test_l5_noise_without_a_zero_is_one_overrun(library: ctypes.CDLL) -> None:
    piece = bytes(seeded(5).randrange(1, 256) for _ in range(65_536))
    for k in range(160):  # 10 MiB
        assert list(c_decode(library, piece, k > 0)) == []
    frame = encode_frame(4, 7, b"after")
    assert list(c_decode(library, frame, True)) == [-5, Frame(4, 7, b"after")]


def test_l10_a_stream_cut_anywhere_gives_the_same(library: ctypes.CDLL) -> None:
    stream = encode_frame(4, 1, bytes(range(40))) + b"\x09\x09\0" + encode_frame(5, 2, b"")
    whole = list(c_decode(library, stream))
    for cut in range(len(stream) + 1):
        parts = [*c_decode(library, stream[:cut]), *c_decode(library, stream[cut:], True)]
        assert parts == whole


@given(st.sampled_from(sorted(MESSAGES)), st.data())
def test_both_parsers_take_the_same_bodies(
    library: ctypes.CDLL, kind: int, data: st.DataObject
) -> None:
    fixed = MESSAGES[kind].fixed_bytes()
    body = data.draw(st.binary(min_size=max(0, fixed - 2), max_size=fixed + 20))
    try:
        ours: bytes | None = MESSAGES[kind].decode(body).encode()
    except MessageError as error:
        if "UTF-8" in str(error):  # the firmware compares bytes and shows no text
            return
        ours = None
    theirs = c_copy(library, kind, body)
    assert theirs == ours if ours is not None else isinstance(theirs, int)


def test_every_example_is_the_same_in_c(library: ctypes.CDLL) -> None:
    for example in EXAMPLES:
        assert c_copy(library, example.TYPE, example.encode()) == example.encode()
