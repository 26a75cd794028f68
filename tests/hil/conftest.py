"""What the tests of devices share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lockstep import PATIENT
from scripted_line import Clock

from levada.hil.link import Link
from levada.hil.node import DeviceNode


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of a link goes on only when the link waits."""
    return Clock(monkeypatch)


@pytest.fixture
def no_repair(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of this test may need what mends a line: what a repair hides would be seen nowhere.

    Links wait so long that only what was lost is asked for again.
    """
    links: list[Link] = []
    nodes: list[DeviceNode] = []

    def kept(kind: type[Any], made: list[Any]) -> None:
        begin = kind.__init__

        def remember(self: Any, *arguments: Any, **named: Any) -> None:
            begin(self, *arguments, **named)
            made.append(self)

        monkeypatch.setattr(kind, "__init__", remember)

    monkeypatch.setitem(Link.__init__.__kwdefaults__, "patience", PATIENT)
    kept(Link, links)
    kept(DeviceNode, nodes)
    yield
    assert links, "no device was spoken to"
    for link in links:
        quality = link.quality
        repairs = {
            name: getattr(quality, name)
            for name in ("retries", "excused", "damaged", "stale", "reopened", "taken")
        }
        assert repairs == dict.fromkeys(repairs, 0)
        assert quality.requests > 0
    assert [node.quality()["restarts"] for node in nodes] == [[] for _ in nodes]
