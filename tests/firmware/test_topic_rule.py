"""The topic rule of the C core is that of Python, condition by condition."""

from __future__ import annotations

import ctypes
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.guest.topic import MAX_TOPIC_BYTES, resolve_topic

NODE = "zone1"
BEHIND = (b"", b"/x", b"\x80\x80\x80", b"#")
"""What may stand in memory behind a topic, and must not be read."""


def allowed(library: ctypes.CDLL, raw: bytes, behind: bytes = b"") -> bool:
    return bool(library.lv_test_topic(NODE.encode(), raw + behind, len(raw)))


def expected(raw: bytes) -> bool:
    """By Python's decoder and Python's rule."""
    try:
        return resolve_topic(raw.decode(), NODE) is not None
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize(
    ("topic", "is_allowed"),
    [
        ("data", True),
        ("a.b", True),
        ("...", True),
        (".a", True),
        ("..a", True),
        ("", False),
        (".", False),
        ("..", False),
        ("/", False),
        ("data/", False),
        ("/data", False),
        ("data/x", False),
        ("ic/zone1", False),
        ("ic/zone1/", False),
        ("ic/zone1/x", True),
        ("ic/zone1/x/y", True),
        ("ic/zone1//y", False),
        ("ic/zone1/./y", False),
        ("ic/zone1/../y", False),
        ("ic/zone1/.../y", True),
        ("ic/zone1/x/.", False),
        ("ic/zone1/x/..", False),
        ("ic/zone1/x.", True),
        ("ic/zone1/.x", True),
        ("ic/zone2/x", False),
        ("ic/zone/x", False),
        ("ic/zone12/x", False),
        ("IC/zone1/x", False),
        ("x/ic/zone1/x", False),
        ("ic/esp32/x", True),
        ("ic/esp32", False),
        ("ic/esp321/x", False),
        ("ic/esp3/x", False),
        ("\u00e9", True),
        ("\U0010ffff", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("ic/zone1/" + "x" * 55, True),
        ("ic/zone1/" + "x" * 56, False),
        ("x" * 62 + "\u00e9", True),
        ("x" * 63 + "\u00e9", False),
    ],
)
def test_a_topic_is_allowed_or_not_by_both(
    library: ctypes.CDLL, topic: str, is_allowed: bool
) -> None:
    raw = topic.encode()
    assert [allowed(library, raw, behind) for behind in BEHIND] == [is_allowed] * len(BEHIND)
    assert expected(raw) == is_allowed


@pytest.mark.parametrize("place", ["{}", "a{}", "{}a", "ic/zone1/{}", "ic/zone1/{}/a"])
def test_each_character_is_allowed_or_not_by_both(library: ctypes.CDLL, place: str) -> None:
    head, tail = place.encode().split(b"{}")
    for number in range(0x180):
        raw = head + chr(number).encode() + tail
        assert allowed(library, raw) == expected(raw), raw
    for number in range(0x20):
        assert not allowed(library, head + bytes([number]) + tail)
    for character in b"+#$\x7f":
        assert not allowed(library, head + bytes([character]) + tail)


LEADS = bytes.fromhex("7e7f8081bfc0c1c2c3dedfe0e1e2ecedeeeff0f1f2f3f4f5f6ff")
"""First bytes on both sides of every limit of RFC 3629, section 4."""
TAILS = bytes.fromhex("417f80818e8f90919e9fa0a1bebfc0c1")


@pytest.mark.parametrize("behind", BEHIND)
def test_utf_8_is_that_of_rfc_3629(library: ctypes.CDLL, behind: bytes) -> None:
    for lead, count in product(LEADS, range(3)):
        for tail in product(TAILS, repeat=count):
            raw = bytes([lead, *tail])
            assert allowed(library, raw, behind) == expected(raw), raw
    for lead in LEADS[LEADS.index(0xE0) :]:  # three bytes behind, the last at its limits
        for tail in product(TAILS[1:-1], TAILS[1:-1], b"\x7f\x80\xbf\xc0"):
            raw = bytes([lead, *tail])
            assert allowed(library, raw, behind) == expected(raw), raw


LEVELS = (
    "ic",
    "esp32",
    "zone1",
    "data",
    "",
    ".",
    "..",
    "...",
    "a b",
    "#",
    "+x",
    "$SYS",
    "é",
    "\x7f",
    "\n",
    "x" * 60,
)


@given(
    st.lists(
        st.sampled_from(LEVELS),
        max_size=4,
    )
)
def test_both_hosts_allow_the_same_topics(library: ctypes.CDLL, levels: list[str]) -> None:
    raw = "/".join(levels).encode()
    assert allowed(library, raw) == expected(raw)


@given(st.binary(max_size=8))
def test_a_topic_that_is_not_utf_8_is_refused(library: ctypes.CDLL, raw: bytes) -> None:
    assert allowed(library, raw) == expected(raw)


def test_the_longest_topic_is_the_same(library: ctypes.CDLL) -> None:
    for size in range(2 * MAX_TOPIC_BYTES):
        assert allowed(library, b"x" * size) == (1 <= size <= 64)
