"""The rule for topics, condition by condition."""

from __future__ import annotations

import pytest

from levada.guest.topic import is_node_name, resolve_topic


@pytest.mark.parametrize(
    ("topic", "meant"),
    [
        ("data", "ic/zone1/data"),
        ("ic", "ic/zone1/ic"),
        ("...", "ic/zone1/..."),
        ("a b", "ic/zone1/a b"),
        ("a~", "ic/zone1/a~"),
        ("é", "ic/zone1/é"),
        ("\x80", "ic/zone1/\x80"),
        ("ic/zone1/data", "ic/zone1/data"),
        ("ic/zone1/a/b", "ic/zone1/a/b"),
        ("ic/esp32/data", "ic/zone1/data"),
        ("x" * 64, "ic/zone1/" + "x" * 64),
        ("é" * 32, "ic/zone1/" + "é" * 32),
    ],
)
def test_three_forms_mean_the_nodes_own_prefix(topic: str, meant: str) -> None:
    assert resolve_topic(topic, "zone1") == meant


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "data/",
        "/data",
        "ic/zone1/",
        "ic/zone1",
        "ic/zone2/data",
        "ic/zone11/data",
        "IC/zone1/data",
        "ic//data",
        ".",
        "..",
        "ic/zone1/.",
        "ic/zone1/../x",
        "a+",
        "#",
        "$SYS",
        "a\x00",
        "a\x1f",
        "a\x7f",
        "\n",
        "x" * 65,
        "é" * 32 + "x",
        "\ud800",
    ],
)
def test_all_else_is_refused(topic: str) -> None:
    assert resolve_topic(topic, "zone1") is None


@pytest.mark.parametrize("name", ["a", "zone 1", "x" * 64, "...", "a.b", "é", " "])
def test_a_node_may_have_this_name(name: str) -> None:
    assert is_node_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "x" * 65, "a/b", "a+", "a#", "$a", "a\x00", "a\x1f", "a\x7f", "\n"]
)
def test_a_node_may_not_have_this_name(name: str) -> None:
    assert not is_node_name(name)
