"""Known answers for the unit tests of the core, by Python and its packages: `vectors.py FILE`.

A file is a sequence of vectors: the letter of a kind, the number of fields, and each field with its
length before it (u32).  `unit_vectors.c` has a test for each kind.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import manifests
from cobs import cobs  # type: ignore[import-untyped]

from levada.guest.abi import Call
from levada.guest.tape import encode
from levada.guest.topic import resolve_topic

DEPTH: Final = 16
"""LV_JSON_DEPTH."""

# --- UTF-8 and topics ---------------------------------------------------------------------------

LEADS: Final = bytes.fromhex("007e7f8081bfc0c1c2c3dedfe0e1e2ecedeeeff0f1f2f3f4f5f6ff")
"""First bytes on both sides of every limit of RFC 3629, section 4."""
TAILS: Final = bytes.fromhex("417f80818e8f90919e9fa0a1bebfc0c1")
TEXTS: Final = (
    "\ufffd",
    "\U0001f4a7",
    "\U0001f468\u200d\U0001f33e",
    "\uff21\uff42\uff23",
    "日本語",
)
"""The replacement character, emoji, full-width letters: what people do send."""
TOPICS: Final = (
    *(
        "data",
        "a.b",
        "...",
        ".a",
        "..a",
        "",
        ".",
        "..",
        "/",
        "data/",
        "/data",
        "data/x",
        "ic/zone1",
    ),
    *("ic/zone1/", "ic/zone1/x", "ic/zone1/x/y", "ic/zone1//y", "ic/zone1/./y", "ic/zone1/../y"),
    *("ic/zone1/.../y", "ic/zone1/x/.", "ic/zone1/x/..", "ic/zone1/x.", "ic/zone2/x", "ic/zone/x"),
    *("ic/zone12/x", "IC/zone1/x", "x/ic/zone1/x", "ic/esp32/x", "ic/esp32", "ic/esp321/x", "+"),
    *("ic/esp3/x", "\u00e9", "\U0010ffff", "x" * 64, "x" * 65, "ic/zone1/" + "x" * 55, "#", "a+"),
    *("ic/zone1/" + "x" * 56, "x" * 62 + "\u00e9", "x" * 63 + "\u00e9", "$SYS", "a$", "a#", "~"),
    *(
        "ic/zone1/a+b",
        "ic/zone1/#",
        "ic/zone1/\x7f",
        "ic/zone1/a/b/c",
        "ic/zone1/a/./c",
        "ic/zone1/..",
    ),
)


def texts() -> Iterator[bytes]:
    """Bytes that are UTF-8 or nearly."""
    yield b""
    for text in TEXTS:
        raw = text.encode()
        yield from (raw, raw[:-1], raw[1:], b"a" + raw + b"b", raw + raw[:-1])
    for lead in range(256):
        yield bytes([lead])
        yield bytes([lead, 0x80])
    for lead, count in product(LEADS, range(3)):
        for tail in product(TAILS, repeat=count):
            yield bytes([lead, *tail])
    for lead in LEADS[LEADS.index(0xE0) :]:
        for first, last in product(TAILS[1:-1], b"\x7f\x80\xbf\xc0"):
            for middle in b"\x7f\x80\xbf\xc0":
                yield bytes([lead, first, middle, last])


def is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def topics() -> Iterator[bytes]:
    """Topics, and each character up to U+017F alone, first, last and below the node's prefix."""
    yield from (topic.encode() for topic in TOPICS)
    for place in ("{}", "a{}", "{}a", "ic/zone1/{}", "ic/zone1/{}/a"):
        for number in range(0x180):
            yield place.replace("{}", chr(number)).encode()
    yield from (b"\xc3", b"\x80", b"a\xed\xa0\x80")


def is_allowed(raw: bytes) -> bool:
    return is_utf8(raw) and resolve_topic(raw.decode(), "zone1") is not None


# --- JSON ---------------------------------------------------------------------------------------

SEEDS: Final = [
    b'{"id":"7","set":{"on_pct":35,"absent":-0}}',
    b'{"id":"\\u00e9\\ud83d\\ude00","seco":2600,"molhado":1100,"limiar":1900}',
    b'{"boot":1,"seq":2,"refused":null,"x":[true,false,[],{},-1.5e+3,"\xc3\xa9\\n"]}',
    b'{"uri":"mqtts://broker","user":"me","password":"word","node":"field7","ca":"-----"}',
    b'[1,[2,[3,{"a":[{}]}]],"",0.5,1E9,-0,{"":""}]',
]
PIECES: Final = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u", b"\\ud800", b"null",
                 b"1e",
                 b"-", b"\0", b"\xff", b"\xed\xa0\x80", b" ", b"\t", b"0", b"\x1f"]  # fmt: skip
EDGES: Final = [
    b'\xef\xbb\xbf{}', b'', b' ', b'00', b'-', b'1.', b'1.5', b'1.e1', b'1e+', b'1E-2', b'-0.0',
    b'"\x7f"', b'"\x1f"', b'" "', b'[1,]', b'[,1]', b'[1 2]', b'{"a"}', b'{"a":}', b'{"a":1,}',
    b'{,}', b'{1:2}', b'[}', b'{]', b'[]]', b'[[]', b'tru', b'true', b'nul', b'falsee', b'false',
    b' \t\r\n[ \t\r\n1 \t\r\n, \t\r\n2 \t\r\n] \t\r\n', b' { "a" : [ ] , "b" : { } } ', b'+1',
    b'999999999999999999', b'9999999999999999999', b'-999999999999999999', b'100000000000000000',
    b'[0,1,9,10,19,90]', b'1a', b'\x0b1', b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\v"', b'"\\', b'"',
    b'"\\u', b'"\\u12"', b'"\\u12g4"', b'"a',
    b'"\\u0041\\u00e9\\u07ff\\u0800\\uFFFF\\uabcd\\uefAB"', b'"\\u007f\\u0080"', b'"\\u@123"',
    b'"\\ud83d\\ude00\\ud800\\udc00\\udbff\\udfff"', b'"\\udc00"', b'"\\udfff"', b'"\\ud83d"',
    b'"\\ud83d\\u0041"', b'"\\ud83d\\ue000"', b'"\\ud83d\\udbff"', b'"\\ud83dxude00"',
    b'"\\ud83d\\n"', b'"\\ue000\\ud7ff"', b'"\\u00g0"', b'"\\u00G0"', b'"\\u00/0"', b'"\\u00:0"',
    b'"\\u00`0"', b'[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]', b'[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]',
    b'{"":' * DEPTH + b"1" + b"}" * DEPTH, b'{"a":1,"b":[2,{"c":3}],"d":"e"}', b'{"a":1 "b":2}',
    b'[{"a":[1]},{"b":2},[],"x"]', b'[[1],[2]]', b'{"a":{"b":{}},"c":[]}', b'[[]{}]', b'["a""b"]',
    b'"\\u0000"', b'"a\\u0000"', b'{"\\u0000":1}', b'"\\udc00\\udc00"', b'"\\udfff\\udfff"',
    b'"\\udbff\\udc00\\ud800\\udfff"', b'1],[', b'1],[1', b'[]],[1', b'{}},{', b'1},{"a":1',
    b'0', b'-0', b'-1', b'1e1', b'1E', b'1e-', b'0.', b'0.1', b'[', b'{', b'{"a"', b'{"a":',
    b'[1', b'[1,', b'[1 ', b'"\\ud83d', b'"\\ud83d\\', b'"\\ud83d\\u', b'"\\ud83d\\ude0', b't',
]  # fmt: skip


def damaged(seed: int, count: int) -> list[bytes]:
    """Texts that are nearly JSON, and some that are."""
    source = random.Random(seed)
    found = []
    for _ in range(count):
        text = bytearray(source.choice(SEEDS))
        for _ in range(source.randrange(5)):
            at = source.randrange(len(text) + 1)
            if source.random() < 0.4:
                del text[at : at + source.randrange(1, 6)]
            elif source.random() < 0.7:
                text[at:at] = source.choice(PIECES) * source.choice((1, 1, 1, 2, 30))
            elif at < len(text):
                text[at] = source.randrange(256)
        found.append(bytes(text))
    return found


def read_json(text: bytes) -> Any:
    """What Python reads, as pairs; `...` if it is no JSON, or nested too deep, or half a pair."""

    def refuse(word: str) -> Any:
        raise ValueError(word)

    try:
        # the bytes decide: Python would take a byte order mark, and UTF-16
        found = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=lambda pairs: ("object", pairs),
            parse_constant=refuse,
        )
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return ...
    return ... if _depth(found) > DEPTH else found


def _depth(value: Any) -> int:
    if isinstance(value, tuple):
        return 1 + max((_depth(v) for _, v in value[1]), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def shown(value: Any) -> Any:
    """As the test shows what it reads: numbers that are no whole ones of 18 digits are null."""
    if isinstance(value, tuple):
        return [[shown(name), shown(v)] for name, v in value[1]] + ["object"]
    if isinstance(value, list):
        return [shown(v) for v in value] + ["array"]
    if isinstance(value, float) or (type(value) is int and abs(value) >= 10**18):
        return "null"
    if isinstance(value, bool) or value is None or (isinstance(value, str) and "\0" in value):
        return "null"
    return value


def written(value: Any) -> bytes:
    """The text of an object with one member, without spaces, as the writer of the core has it."""
    quoted = json.dumps({"value": shown(value)}, ensure_ascii=False, separators=(",", ":"))
    for short, code in (("\\n", 10), ("\\r", 13), ("\\t", 9), ("\\b", 8), ("\\f", 12)):
        parts = quoted.split("\\\\")  # not the n of an escaped backslash and an n
        quoted = "\\\\".join(part.replace(short, f"\\u{code:04x}") for part in parts)
    return quoted.encode()


# --- tape, times, flash -------------------------------------------------------------------------

NUMBERS: Final = (0, 1, -1, 2**31 - 1, -(2**31), 0x01020304, -0x01020304)
MOMENTS: Final = (0, 1, -1, 0x0102030405060708, -0x0102030405060708, 2**63 - 1, -(2**63))


def records() -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Number of the call with its numbers, two texts, and the record that Python writes."""

    def record(call: Call, *values: Any, words: tuple[bytes, bytes] = (b"", b"")) -> Any:
        numbers = [v for v in values if isinstance(v, int)]
        head = struct.pack("<Bqqq", call, *([*numbers, 0, 0, 0])[:3])
        return head, *words, encode(call, *values)

    for ms in MOMENTS:
        yield record(Call.BOOT, ms)
        for entry in (0, 1, 2, 255):
            yield record(Call.STEP, ms, entry)
    for kind in (1, 14, 7):
        yield record(Call.TRAP, kind)
    for call in (Call.READ_SENSOR, Call.SET_OUTPUT, Call.GET_CONFIG, Call.KEEP_GET):
        yield from (record(call, a, b) for a, b in product(NUMBERS, repeat=2))
    for call in (Call.LOG_INT, Call.DELAY_MS, Call.NOW_S, Call.UPTIME_S, Call.RETURN):
        yield from (record(call, a) for a in NUMBERS)
    for call in (Call.KEEP_SET, Call.PARAM_SET):
        yield from (record(call, a, b, a ^ b) for a, b in product(NUMBERS, repeat=2))
    lengths = (b"", b"\0", b"a", bytes(range(256)))
    for text in lengths:
        yield record(Call.WASM_LOG, text, words=(text, b""))
    for topic, message in product((b"", b"t", b"x" * 64), (*lengths, b"m" * 512)):
        yield record(Call.MQTT_PUBLISH, topic, message, -3, words=(topic, message))


def seconds() -> Iterator[tuple[bytes, bytes]]:
    """A time [ms], and what now_s and uptime_s say of it: floored, as i32 that wraps."""
    near = [k * 1000 + d for k in (0, 1, -1, 60, 2**31, -(2**31), 2**32) for d in range(-2, 3)]
    for ms in (*near, 2**60, -(2**60), 1_681_516_800_000):
        wrapped = (ms // 1000 + 2**31) % 2**32 - 2**31
        yield struct.pack("<q", ms), struct.pack("<i", wrapped)


MODULES: Final = (b"module of slot 0" * 5, b"\0asm another" * 100)
SHARE: Final = 4 + 4 + 4 + 2 + 2 + 4 * 2 + 32 * 2 + 8 * 32


UPDATES: Final = (
    # counter, stage, wants, steps, within_ms, carried, previous, crashes, state, reason,
    # crashed_ms, detail
    struct.pack("<IBBHIIBBBBqi", 9, 0, 3, 60, 90_000, 1, 2, 1, 5, 0, -7, -3)
    + b"".join(bytes([k]) * 16 for k in (1, 2, 3, 4)),
    struct.pack("<IBBHIIBBBBqi", 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0) + bytes(64),
)
"""Of a record; the second is that of a record of version 1, which has none."""


def store_record(
    *,
    generation: int,
    boot: int,
    active: int,
    pairs: list[tuple[int, int]],
    modules: Any = MODULES,
    update: bytes | None = None,
) -> bytes:
    """A record as docs/firmware.md has it, of version 1 without `update`; the rest of its 448 bytes
    is 0."""
    magic = b"lvr1" if update is None else b"lvr2"
    body = struct.pack("<4sIIHH", magic, generation, boot, active, len(pairs))
    body += struct.pack("<II", *(len(m) for m in modules))
    body += b"".join(hashlib.sha256(m).digest() for m in modules)
    body += b"".join(struct.pack("<ii", *pair) for pair in pairs)
    body = body.ljust(SHARE, b"\0") + (update or b"")
    return (body + struct.pack("<I", zlib.crc32(body))).ljust(448, b"\0")


def stores() -> Iterator[tuple[bytes, ...]]:
    """What flash holds, both slots, and what it holds after one more start."""
    many = [(7 * k - 3, 1000 - k) for k in range(32)]
    for generation, active, pairs in product((1, 2, 7), (0, 1), ([], [(9, -5)], many)):
        for found in (*UPDATES, None):
            what: Any = {"active": active, "pairs": pairs}
            before = store_record(generation=generation, boot=41, update=found, **what)
            kept = found or UPDATES[1]
            after = store_record(generation=generation + 1, boot=42, update=kept, **what)
            yield struct.pack("<I", generation), before, after, *MODULES


def kept_record(generation: int, owner: bytes, values: list[int]) -> bytes:
    """A record of what a guest keeps."""
    body = struct.pack("<4sI20s8i", b"lvk1", generation, owner, *values)
    return body + struct.pack("<I", zlib.crc32(body))


def kept() -> Iterator[tuple[bytes, ...]]:
    """A record, the module's digest, and the record once slot 5 is set to -77."""
    owner = hashlib.sha256(b"guest").digest()
    values = [1, -2, 3, -(2**31), 2**31 - 1, 6, -7, 0x01020304]
    after = [*values[:5], -77, *values[6:]]
    for generation in (1, 2, 1000):
        yield (
            kept_record(generation, owner[:20], values),
            owner,
            kept_record(generation + 1, owner[:20], after),
        )


def frames() -> Iterator[tuple[bytes, bytes, bytes]]:
    """Type and number, body, and the frame by the packages `cobs` and `zlib`."""
    source = random.Random(12)
    bodies = [b"", b"\0", b"\1", bytes(1024), b"\xff" * 1024, bytes(range(256)) * 4]
    bodies += [b"\1" * n for n in (244, 245, 246, 247, 253, 254, 255, 499, 500, 501, 508, 509)]
    bodies += [bytes(range(1, 255)) * 2, b"\0".join([b"\2" * 253] * 3), b"\0" + b"\3" * 253 + b"\0"]
    bodies += [source.randbytes(source.randrange(1025)) for _ in range(100)]
    for body in bodies:
        kind, sequence = source.randrange(256), source.randrange(65536)
        content = struct.pack("<BBH", 1, kind, sequence) + body
        content += zlib.crc32(content).to_bytes(4, "little")
        yield struct.pack("<BH", kind, sequence), body, b"\0" + cobs.encode(content) + b"\0"


def digests() -> Iterator[tuple[bytes, bytes]]:
    """Bytes of every length around the blocks of SHA-256."""
    for size in (*range(130), 1000):
        data = bytes(k * 7 % 256 for k in range(size))
        yield data, hashlib.sha256(data).digest()


def vectors() -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """All of them."""
    yield from (("u", (raw, bytes([is_utf8(raw)]))) for raw in texts())
    yield from (("t", (raw, bytes([is_allowed(raw)]))) for raw in topics())
    for text in (*SEEDS, *EDGES, *damaged(2, 3_000)):
        value = read_json(text)
        yield "j", (text,) if value is ... else (text, written(value))
    for kind, found in (
        ("p", records()),
        ("s", seconds()),
        ("r", stores()),
        ("k", kept()),
        ("f", frames()),
        ("h", digests()),
        ("m", manifests.verdicts()),
        ("e", manifests.signed()),
    ):
        yield from ((kind, fields) for fields in found)


def main() -> None:
    """Write the file."""
    out = bytearray()
    for kind, fields in vectors():
        out += kind.encode() + bytes([len(fields)])
        for field in fields:
            out += struct.pack("<I", len(field)) + field
    Path(sys.argv[1]).write_bytes(out)


if __name__ == "__main__":
    main()
