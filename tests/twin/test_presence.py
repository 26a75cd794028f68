"""Which nodes are there, by the clock of the test."""

from __future__ import annotations

from levada.sim.units import MINUTE_MS
from levada.twin.mqtt.presence import Presence


def test_a_node_that_names_its_heartbeat_is_gone_after_three_of_them() -> None:
    told: list[tuple[str, bool]] = []
    presence = Presence(lambda node, online: told.append((node, online)))
    presence.heard("n", 0, every_ms=1_000)
    assert presence.check(2_999) == 3_000  # when it is to be looked at again
    assert presence.present() == ["n"]
    presence.check(3_000)
    assert told == [("n", True), ("n", False)]


def test_a_node_that_sleeps_between_its_steps_is_not_taken_for_gone() -> None:
    told: list[tuple[str, bool]] = []
    presence = Presence(lambda node, online: told.append((node, online)))
    for step in range(20):
        for minute in range(10):
            presence.check((10 * step + minute) * MINUTE_MS)
        presence.heard("n", 10 * step * MINUTE_MS + 9 * MINUTE_MS)
    assert told == [("n", True)]
    last_ms = 199 * MINUTE_MS
    presence.check(last_ms + 30 * MINUTE_MS - 1)
    assert presence.present() == ["n"]
    presence.check(last_ms + 30 * MINUTE_MS)
    assert told[-1] == ("n", False)


def test_a_node_heard_once_is_gone_after_an_hour() -> None:
    presence = Presence(lambda _node, _online: None)
    presence.heard("n", 0)
    presence.check(59 * MINUTE_MS)
    assert presence.present() == ["n"]
    presence.check(60 * MINUTE_MS)
    assert presence.present() == []
