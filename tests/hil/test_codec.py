"""Frames on a bad line: cases L1 to L5, L10 and L11 for the Python side."""

from __future__ import annotations

import tracemalloc

import pytest
from cobs import cobs
from proof_log import Prove
from test_messages import SEQUENCE, vectors
from wire_frames import EXAMPLES, cobs_contents, flip_bits, random_body, seeded

from levada.hil.wire.codec import MAX_ENCODED, Console, Damage, Decoder, Frame, encode_frame
from levada.hil.wire.message import MAX_BODY, MessageError

PAYLOAD = bytes(range(64))


def frame(sequence: int, body: bytes = PAYLOAD) -> bytes:
    return encode_frame(4, sequence, body)


def frames_in(items: list[Frame | Console | Damage]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def test_l11_golden_cobs_vectors_are_equal_both_ways() -> None:
    contents = cobs_contents()
    for vector in vectors()["cobs"]:
        content, encoded = contents[str(vector["name"])], bytes.fromhex(str(vector["encoded"]))
        assert cobs.encode(content) == encoded
        assert cobs.decode(encoded) == content


def test_a_frame_ends_and_begins_with_a_zero_and_has_none_inside() -> None:
    generator = seeded(1)
    for _ in range(200):
        data = frame(generator.randrange(65536), random_body(generator))
        assert data[0] == data[-1] == 0
        assert 0 not in data[1:-1]
        assert len(data) <= MAX_ENCODED + 2


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(MessageError, match="at most 1024"):
        encode_frame(4, 0, bytes(MAX_BODY + 1))


def test_l10_a_stream_cut_anywhere_gives_the_same() -> None:
    stream = b"boot\r\n" + frame(1) + b"I (12) log\n" + frame(2) + b"\x01\x02\x03\0" + frame(3)
    whole = Decoder().feed(stream)
    assert [type(item) for item in whole] == [Console, Frame, Console, Frame, Damage, Frame]
    for cut in range(len(stream) + 1):
        decoder = Decoder()
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == whole
    decoder = Decoder()
    assert [item for k in range(len(stream)) for item in decoder.feed(stream[k : k + 1])] == whole


def test_l3_after_a_truncated_frame_the_next_one_is_delivered() -> None:
    damaged = frame(1)
    for length in range(len(damaged)):
        found = Decoder().feed(damaged[:length] + frame(2))
        assert [f.sequence for f in frames_in(found)][-1:] == [2]


def test_at_most_two_frames_are_lost_when_a_delimiter_is_damaged() -> None:
    stream = frame(1) + frame(2) + frame(3)
    for at in (k for k, byte in enumerate(stream) if byte == 0):
        for bit in range(8):
            damaged = bytearray(stream)
            damaged[at] ^= 1 << bit
            assert len(frames_in(Decoder().feed(bytes(damaged)))) >= 1


def test_l5_noise_without_a_zero_is_bounded_and_the_next_frame_is_delivered() -> None:
    generator = seeded(5)
    piece = bytes(generator.randrange(1, 256) for _ in range(65_536))
    decoder = Decoder()
    tracemalloc.start()
    for _ in range(160):  # 10 MiB
        assert decoder.feed(piece) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    [noise, good] = decoder.feed(frame(9))
    assert isinstance(noise, Damage)
    assert (noise.reason, noise.size) == ("overrun", 160 * 65_536)
    assert isinstance(good, Frame)


def test_l4_noise_is_never_taken_for_a_frame() -> None:
    generator = seeded(4)
    decoder = Decoder()
    for _ in range(64):  # 4 MiB; the nightly run has 50
        assert not frames_in(decoder.feed(generator.randbytes(65_536)))
    assert decoder.frames == 0


@pytest.mark.slow
def test_l4_fifty_mebibytes_of_noise_are_never_taken_for_a_frame() -> None:
    generator = seeded(44)
    decoder = Decoder()
    for _ in range(800):
        assert not frames_in(decoder.feed(generator.randbytes(65_536)))


def undetected(count: int, rate: float, seed: int) -> tuple[int, int]:
    """Frames delivered as sent, and frames delivered that nobody sent."""
    generator = seeded(seed)
    print(f"bit error rate {rate}")
    decoder = Decoder()
    right = wrong = 0
    for start in range(0, count, 1000):
        sent = [generator.randbytes(64) for _ in range(min(1000, count - start))]
        stream = b"".join(frame(k, body) for k, body in enumerate(sent))
        for found in frames_in(decoder.feed(flip_bits(stream, rate, generator))):
            if found == Frame(4, found.sequence, sent[found.sequence % len(sent)]):
                right += 1
            else:
                wrong += 1
    return right, wrong


def test_l1_bit_errors_never_pass_undetected(proof: Prove) -> None:
    right, wrong = undetected(50_000, 1e-4, seed=1)
    proof("frames accepted that nobody sent", tried=50_000, found=wrong)
    # 74 bytes of which 592 bits must be right: 0.9999 ** 592 = 94.3 %
    assert right / 50_000 == pytest.approx(0.943, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "rate"), [(1_000_000, 1e-4), (300_000, 1e-2), (300_000, 1e-5)])
def test_l1_bit_errors_never_pass_undetected_in_a_million(
    count: int, rate: float, proof: Prove
) -> None:
    proof("frames accepted that nobody sent", tried=count, found=undetected(count, rate, seed=2)[1])


def test_l2_lost_and_inserted_bytes_never_pass_undetected() -> None:
    generator = seeded(2)
    sent = {k: generator.randbytes(64) for k in range(20_000)}
    stream = bytearray()
    for byte in b"".join(frame(k, body) for k, body in sent.items()):
        luck = generator.random()
        if luck < 0.0005:
            continue
        stream.append(byte)
        if luck > 0.9995:
            stream.append(generator.randrange(256))
    found = frames_in(Decoder().feed(bytes(stream)))
    assert all(sent[f.sequence] == f.body for f in found)
    assert len(found) / len(sent) > 0.92


def test_l6_boot_text_is_shown_as_console_text() -> None:
    # as an ESP32 prints it at its boot rate, read at another: bytes that are no text
    garbled = bytes.fromhex("c0f8fe7ec0fe1c7c")
    text = b"\x1b[0;32mI (29) boot: ESP-IDF v5.5.1\x1b[0m\r\nrst:0x1 (POWERON_RESET)\r\n"
    decoder = Decoder()
    found = decoder.feed(garbled + b"\0" + text + frame(1))
    assert [type(item) for item in found] == [Damage, Console, Frame]
    assert isinstance(found[1], Console)
    assert "POWERON_RESET" in found[1].text


def test_text_that_waits_for_the_next_zero_can_be_fetched() -> None:
    decoder = Decoder()
    assert decoder.feed(b"hello\n") == []
    assert decoder.flush() == [Console("hello\n")]
    assert decoder.flush() == []


def test_a_frame_that_is_not_complete_is_not_fetched_as_text() -> None:
    decoder = Decoder()
    data = frame(1, b"looks like text\n")
    for length in range(2, len(data)):
        decoder = Decoder()
        decoder.feed(data[:length])
        assert decoder.flush() == []
        assert frames_in(decoder.feed(data[length:]))


def test_text_without_an_end_is_shown_in_pieces() -> None:
    decoder = Decoder()
    found = decoder.feed(b"a" * 10_000)
    assert [len(item.text) for item in found if isinstance(item, Console)] == [4096, 4096]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x05\x01\x01\0", "cobs"),
        (b"\x02\x01\0", "short"),
        (frame(1)[:20] + bytes([frame(1)[20] ^ 1]) + frame(1)[21:], "crc"),
        (b"\x01" * 2000 + b"\0", "overrun"),
    ],
    ids=["cobs", "short", "crc", "overrun"],
)
def test_damage_says_what_it_is(data: bytes, reason: str) -> None:
    decoder = Decoder()
    assert [item.reason for item in decoder.feed(data) if isinstance(item, Damage)] == [reason]
    assert decoder.damaged == 1


def test_a_frame_of_another_version_is_refused() -> None:
    import zlib

    content = bytes([2, 4, 0, 0])
    run = cobs.encode(content + zlib.crc32(content).to_bytes(4, "little"))
    [found] = Decoder().feed(b"\0" + run + b"\0")
    assert found == Damage("version", len(run))


def test_examples_go_through_one_stream() -> None:
    stream = b"".join(encode_frame(e.TYPE, SEQUENCE, e.encode()) for e in EXAMPLES)
    assert [f.message() for f in frames_in(Decoder().feed(stream))] == EXAMPLES


def counted(decoder: Decoder) -> tuple[int, int, int, int]:
    return decoder.frames, decoder.damaged, decoder.damaged_bytes, decoder.console_bytes


def test_what_comes_is_counted() -> None:
    assert counted(Decoder()) == (0, 0, 0, 0)
    stream = frame(1) + b"I (12) log\n" + frame(2) + b"\x05\x01\x01\0" + frame(3)
    whole, cut, alone = Decoder(), Decoder(), Decoder()
    whole.feed(stream)
    for k in range(len(stream)):
        cut.feed(stream[k : k + 1])
    assert counted(whole) == counted(cut) == (3, 1, 3, 11)
    for k in range(4):
        assert len(alone.feed(frame(k))) == 1
    assert counted(alone) == (4, 0, 0, 0)
    assert alone.feed(b"\x01" * 9_000 + b"\0") == [Damage("overrun", 9_000)]
    assert counted(alone) == (4, 1, 9_000, 0)


def test_a_frame_behind_text_that_waits_comes_after_it() -> None:
    decoder = Decoder()
    assert decoder.feed(b"hello\n") == []
    assert [type(item) for item in decoder.feed(frame(1))] == [Console, Frame]
    assert decoder.feed(b"") == []
    assert [type(item) for item in decoder.feed(frame(2))] == [Frame]


@pytest.mark.parametrize(
    "data",
    [b"\x7f" + frame(1)[1:], b"\0\x7f" + frame(1)[1:], frame(1)[:-1] + b"\x7f\0"],
    ids=["instead of the zero", "behind the zero", "before the last zero"],
)
def test_a_byte_too_many_makes_a_frame_damage(data: bytes) -> None:
    assert [type(item) for item in Decoder().feed(data)] == [Damage]


def test_the_longest_frame_is_one_and_a_byte_more_is_not() -> None:
    body = bytes(range(1, 256)) * 4 + b"1234"
    assert len(body) == MAX_BODY == 1024
    longest = frame(1, body)
    assert [type(item) for item in Decoder().feed(longest)] == [Frame]
    assert [item.body for item in frames_in(Decoder().feed(longest))] == [body]
    filled = b"\0" + b"\x01" * MAX_ENCODED + b"\0"
    assert Decoder().feed(filled) == [Damage("crc", MAX_ENCODED)]
    over = b"\0" + b"\x01" * (MAX_ENCODED + 1) + b"\0"
    assert Decoder().feed(over) == [Damage("overrun", MAX_ENCODED + 1)]


def test_seven_bytes_are_too_short_and_eight_are_not() -> None:
    for size, reason in ((7, "short"), (8, "crc")):
        run = cobs.encode(b"\1" * size)
        assert Decoder().feed(b"\0" + run + b"\0") == [Damage(reason, len(run))]


def test_the_longest_frame_waits_for_its_last_zero_whatever_lines_are_in_it() -> None:
    body = (b"a line of text\n" * 100)[:MAX_BODY]
    data = encode_frame(4, 0x0101, body)
    assert len(data) == MAX_ENCODED + 2, "nothing in it is zero"
    for length in range(18, len(data), 37):
        decoder = Decoder()
        decoder.feed(data[:length])
        assert decoder.flush() == []
    decoder = Decoder()
    assert decoder.feed(data[:-1]) == []
    assert decoder.flush() == []
    assert decoder.feed(b"\0") == [Frame(4, 0x0101, body)]


def test_only_whole_lines_are_fetched_and_the_rest_waits() -> None:
    decoder = Decoder()
    decoder.feed(b"hello\npart")
    assert decoder.flush() == [Console("hello\n")]
    assert bytes(decoder.waiting) == b"part"


def test_after_the_end_a_frame_is_a_frame_again() -> None:
    decoder = Decoder()
    decoder.feed(b"some text")
    assert decoder.finish() == [Console("some text")]
    assert [type(item) for item in decoder.feed(frame(1))] == [Frame]


def test_a_piece_of_4096_bytes_waits_and_one_byte_more_does_not() -> None:
    decoder = Decoder()
    assert decoder.feed(b"a" * 4096) == []
    assert decoder.feed(b"a") == [Console("a" * 4096)]


def test_a_piece_with_noise_is_shown_up_to_its_last_whole_line() -> None:
    found = Decoder().feed(b"ok line\nmore text" + b"\x01" * 4_200)
    assert found[0] == Console("ok line\n")


def test_text_before_a_zero_needs_no_end_of_line() -> None:
    assert Decoder().feed(b"hello world\0") == [Console("hello world")]


def test_noise_behind_text_that_was_shown_is_no_text() -> None:
    found = Decoder().feed(b"a" * 4_097 + b"\x01\x02\x03\0")
    assert found == [Console("a" * 4_096), Damage("no text", 4)]


def test_lines_behind_noise_are_shown() -> None:
    found = Decoder().feed(b"\xc0\xf8\nline of text\n\0")
    assert found == [Damage("no text", 3), Console("line of text\n")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"\xc0\xf8\nabcd\nline of text\n",
            [Damage("no text", 3), Console("abcd\nline of text\n")],
        ),
        (b"\xc0\xf8\nabc\nline of text\n", [Damage("no text", 7), Console("line of text\n")]),
        (b"\xc0\xf8\nabcd\n", [Damage("no text", 3), Console("abcd\n")]),
        (b"\xc0\xf8\nabc\n", [Damage("cobs", 7)]),
        (b"ok\nline of text\n", [Console("ok\nline of text\n")]),
        (
            b"\x01\x02a text of twenty characters\x01\nline of text\n",
            [
                Damage("no text", 2),
                Console("a text of twenty characters"),
                Damage("no text", 2),
                Console("line of text\n"),
            ],
        ),
    ],
    ids=["four", "three", "only four", "only three", "short", "within"],
)
def test_text_among_noise(data: bytes, expected: list[Frame | Console | Damage]) -> None:
    assert Decoder().feed(data + b"\0") == expected


def test_what_was_shown_at_the_end_is_not_held_against_the_next_run() -> None:
    decoder = Decoder()
    decoder.feed(b"boot")
    assert len(decoder.finish()) == 1
    assert decoder.feed(encode_frame(1, 2, b"body")[1:]) == [Frame(1, 2, b"body")]
