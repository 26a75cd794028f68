"""Reports of devices that tell what they know on several topics."""

from __future__ import annotations

from levada.twin.mqtt.assembly import Assembly


def made() -> Assembly:
    return Assembly(dry_counts=2600, wet_counts=1400)


def test_a_percentage_without_counts_is_one_of_the_span_of_the_probe() -> None:
    device = made()
    assert device.take({"pct": 0.0}) == {"pct": 0.0, "raw": 2600.0}
    assert device.take({"pct": 100.0}) == {"pct": 100.0, "raw": 1400.0}
    assert device.take({"pct": 25.0}) == {"pct": 25.0, "raw": 2300.0}


def test_a_percentage_beside_counts_is_left_as_it_is() -> None:
    device = made()
    assert device.take({"pct": 90.0, "raw": 2200.0}) == {"pct": 90.0, "raw": 2200.0}
    assert device.take({"pct": 90.0}) == {"pct": 90.0}  # counts come on a topic of their own


def test_what_is_told_elsewhere_holds_until_it_is_told_again() -> None:
    device = made()
    assert device.take({"irrigar": 1.0}) == {"irrigar": 1.0}
    assert device.take({"temp_c": 21.5, "battery_mv": 3_000.0})["temp_c"] == 21.5
    expected = {"raw": 2_000.0, "irrigar": 1.0, "temp_c": 21.5, "battery_mv": 3_000.0}
    assert device.take({"raw": 2_000.0}) == expected
    assert device.take({"irrigar": 0.0}) == {"irrigar": 0.0}
    assert device.take({"raw": 1_900.0, "temp_c": 20.0}) == {
        "raw": 1_900.0,
        "irrigar": 0.0,
        "temp_c": 20.0,
        "battery_mv": 3_000.0,
    }


def test_pulses_are_added_up_and_counted_once() -> None:
    device = made()
    assert device.take({"flow": 30.0}) == {"flow": 30.0}
    device.take({"flow": 12.0})
    assert device.take({"raw": 2_000.0, "flow": 5.0}) == {"raw": 2_000.0, "flow": 47.0}
    assert device.take({"raw": 2_000.0}) == {"raw": 2_000.0}
    device.take({"flow": 0.0})
    assert device.take({"raw": 2_000.0}) == {"raw": 2_000.0, "flow": 0.0}  # it has a meter
