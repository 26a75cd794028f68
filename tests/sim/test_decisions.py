"""Decisions, from tapes packed by hand after the format in `guest/tape.py`'s docstring."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cbor2
import pytest

from levada.guest.abi import WHY
from levada.guest.tape import TapeError
from levada.sim.results.decisions import (
    ALARMS,
    SENTENCES,
    Decision,
    read_decisions,
    sentence,
    title,
)
from levada.sim.units import HOUR_MS


def run_started(time_ms: int, entry: int = 1) -> bytes:
    return struct.pack("<BqB", 0, time_ms, entry)


def probe_read(counts: int) -> bytes:
    return struct.pack("<Bii", 1, 0, counts)


def output_set(pin: int, state: int) -> bytes:
    return struct.pack("<Bii", 2, pin, state)


def published(message: str) -> bytes:
    topic, text = b"ic/a/data", message.encode()
    return struct.pack("<BH9sH", 4, 9, topic, len(text)) + text + struct.pack("<i", 0)


def waited(ms: int) -> bytes:
    return struct.pack("<Bi", 7, ms)


def returned() -> bytes:
    return struct.pack("<Bi", 16, 600_000)


def trapped(kind: int) -> bytes:
    return struct.pack("<BB", 17, kind)


def step(hour: int, valve: int, why: int, counts: int = 1900, pct: int = 50) -> bytes:
    message = (
        f'{{"raw":{counts},"pct":{pct},"filt":{counts - 3},"on":55,"off":65,'
        f'"irrigar":{valve},"why":{why},"flow":7}}'
    )
    return (
        run_started(hour * HOUR_MS)
        + probe_read(counts)
        + output_set(23, valve)
        + published(message)
        + returned()
    )


def write_tape(path: Path, chunks: list[tuple[int, bytes]]) -> Path:
    zones = max(zone for zone, _ in chunks) + 1
    with path.open("wb") as file:
        head = {"format": "levada-tape", "version": 1, "guest_sha256": "0" * 64, "start_ms": 0}
        cbor2.dump(head | {"zones": [f"z{i}" for i in range(zones)]}, file)
        for zone, records in chunks:
            cbor2.dump([zone, zlib.compress(records)], file)
    return path


def decision(why: int | None, **values: object) -> Decision:
    standard: dict[str, object] = {
        "time_ms": 0,
        "clock_ms": 0,
        "zone": 0,
        "raw": 1900,
        "pct": 50,
        "filt": 1897,
        "on": 55,
        "off": 65,
        "flow": 7,
        "irrigar": 0,
        "trap": 0,
        "changed": False,
        "message": "",
    }
    return Decision(why=why, **(standard | values))  # type: ignore[arg-type]


def test_only_steps_that_change_valve_or_reason_are_decisions(tmp_path: Path) -> None:
    tape = step(0, 0, 11) + step(1, 0, 0) + step(2, 0, 0) + step(3, 1, 1) + step(4, 1, 0)
    found = read_decisions(write_tape(tmp_path / "t", [(0, tape + step(5, 0, 2))]))
    assert [(d.time_ms // HOUR_MS, d.irrigar, d.why, d.changed) for d in found] == [
        (0, 0, WHY.STARTING, False),
        (1, 0, WHY.HOLD, False),
        (3, 1, WHY.OPENED, True),
        (4, 1, WHY.HOLD, False),
        (5, 0, WHY.CLOSED_WET, True),
    ]


def test_a_decision_carries_readings_filtered_value_and_thresholds(tmp_path: Path) -> None:
    (found,) = read_decisions(write_tape(tmp_path / "t", [(0, step(3, 1, 1, counts=2210, pct=48))]))
    assert (found.raw, found.filt, found.pct, found.on, found.off, found.flow) == (
        2210,
        2207,
        48,
        55,
        65,
        7,
    )


def test_what_the_guest_could_not_work_out_is_unknown(tmp_path: Path) -> None:
    (found,) = read_decisions(write_tape(tmp_path / "t", [(0, step(0, 0, 8, counts=-2, pct=-1))]))
    assert (found.raw, found.pct) == (-2, None)
    assert "did not answer (unavailable)" in sentence(found)


def test_zones_come_in_order_and_can_be_chosen(tmp_path: Path) -> None:
    chunks = [(1, step(0, 1, 1)), (0, step(0, 0, 0)), (1, step(1, 0, 2)), (0, step(1, 1, 1))]
    path = write_tape(tmp_path / "t", chunks)
    assert [(d.zone, d.why) for d in read_decisions(path)] == [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert [(d.zone, d.why) for d in read_decisions(path, zones={1})] == [(1, 1), (1, 2)]


def test_a_state_is_carried_over_from_chunk_to_chunk(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "t", [(0, step(0, 1, 1)), (0, step(1, 1, 1))])
    assert len(read_decisions(path)) == 1


def test_more_decisions_than_one_walk_takes_are_all_found(tmp_path: Path) -> None:
    tape = b"".join(step(i, i % 2, 1 + i % 2) for i in range(3000))
    found = read_decisions(write_tape(tmp_path / "t", [(0, tape)]))
    assert [d.time_ms // HOUR_MS for d in found] == list(range(3000))


def test_a_trap_is_a_decision_of_the_host_and_closes_the_valve(tmp_path: Path) -> None:
    tape = step(0, 1, 1) + run_started(HOUR_MS) + output_set(23, 1) + trapped(1)
    found = read_decisions(write_tape(tmp_path / "t", [(0, tape)]))
    assert (found[1].trap, found[1].irrigar, found[1].changed) == (1, 0, True)
    assert title(found[1]) == "Guest stopped"
    assert sentence(found[1]) == "The host stopped the guest (out of fuel); all outputs are off."


def test_foreign_telemetry_is_shown_as_it_is(tmp_path: Path) -> None:
    tape = run_started(0) + probe_read(1700) + output_set(23, 1)
    tape += published("umidade=41%") + returned()
    (found,) = read_decisions(write_tape(tmp_path / "t", [(0, tape)]))
    assert (found.raw, found.irrigar, found.why, found.message) == (1700, 1, None, "umidade=41%")
    assert sentence(found) == "The guest opened the valve and did not say why."


def test_json_that_is_no_object_is_foreign_telemetry_too(tmp_path: Path) -> None:
    tape = run_started(0) + output_set(23, 1) + published("[1, 2]") + returned()
    (found,) = read_decisions(write_tape(tmp_path / "t", [(0, tape)]))
    assert (found.raw, found.pct, found.message) == (None, None, "[1, 2]")


def test_a_command_guest_decides_where_it_waits(tmp_path: Path) -> None:
    tape = run_started(0, entry=2) + probe_read(2500) + output_set(23, 1) + waited(HOUR_MS)
    tape += probe_read(1500) + output_set(23, 0) + waited(HOUR_MS)
    found = read_decisions(write_tape(tmp_path / "t", [(0, tape)]))
    assert [(d.time_ms, d.raw, d.irrigar) for d in found] == [(0, 2500, 1), (HOUR_MS, 1500, 0)]


def test_times_are_those_of_the_world_and_not_of_a_clock_that_is_wrong(tmp_path: Path) -> None:
    # virtual hours 0..9; from 3 to 6 the clock is 2 h ahead, so that it shows 6 and 7 twice
    shown = [0, 1, 2, 5, 6, 7, 6, 7, 8, 9]
    tape = b"".join(step(hour, i % 2, 1 + i % 2) for i, hour in enumerate(shown))
    path = write_tape(tmp_path / "t", [(0, tape)])
    found = read_decisions(path, skews={0: [(3 * HOUR_MS, 6 * HOUR_MS, 2 * HOUR_MS)]})
    assert [d.time_ms // HOUR_MS for d in found] == list(range(10))
    assert [d.clock_ms // HOUR_MS for d in found] == shown


def test_a_clock_behind_is_put_right_too(tmp_path: Path) -> None:
    shown = [0, 1, 2, 1, 2, 3, 6, 7]
    tape = b"".join(step(hour, i % 2, 1 + i % 2) for i, hour in enumerate(shown))
    path = write_tape(tmp_path / "t", [(0, tape)])
    found = read_decisions(path, skews={0: [(3 * HOUR_MS, 6 * HOUR_MS, -2 * HOUR_MS)]})
    assert [d.time_ms // HOUR_MS for d in found] == list(range(8))


def test_other_pins_decide_nothing(tmp_path: Path) -> None:
    tape = run_started(0) + output_set(18, 1) + returned()
    assert read_decisions(write_tape(tmp_path / "t", [(0, tape)])) == []


def test_a_record_cut_short_ends_the_tape(tmp_path: Path) -> None:
    tape = step(0, 1, 1) + step(1, 0, 2)
    for cut in range(1, len(step(1, 0, 2))):
        found = read_decisions(write_tape(tmp_path / "t", [(0, tape[:-cut])]))
        assert [d.why for d in found] == [WHY.OPENED]


def test_an_unknown_record_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "t", [(0, step(0, 1, 1) + b"\x63")])
    with pytest.raises(TapeError, match=r"zone 0, byte \d+ of its records: unknown record type 99"):
        read_decisions(path)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (WHY.HOLD, "stays closed: the moisture, 50 %, is not below the opening threshold of 55 %"),
        (WHY.OPENED, "the filtered moisture, 50 %, is below the opening threshold of 55 %"),
        (WHY.CLOSED_WET, "50 %, has reached the closing threshold of 65 %"),
        (WHY.CLOSED_MAX_OPEN, "open for the longest time allowed"),
        (WHY.WAIT_PAUSE, "Dry (50 %, opens below 55 %), but the shortest pause"),
        (WHY.WAIT_DAILY_CAP, "the water allowed for the day is used up"),
        (WHY.PROBE_RANGE, "Valve kept closed: the probe read 1900 counts, outside"),
        (WHY.PROBE_STUCK, "1900 counts, has not moved although water flowed"),
        (WHY.PROBE_MISSING, "the probe did not answer"),
        (WHY.NO_FLOW, "commanded open, but the flow meter saw no water"),
        (WHY.LEAK, "water flows although none was asked for, 7 pulses"),
        (WHY.STARTING, "until the filter is filled"),
        (WHY.CLOCK, "the time since the start went back or stands still"),
        (WHY.LOCKED, "until somebody sets the parameter `confirm`"),
    ],
)
def test_every_reason_is_a_sentence_with_its_numbers(why: WHY, words: str) -> None:
    assert words in sentence(decision(why))


def test_no_reason_of_the_abi_is_without_words() -> None:
    assert set(SENTENCES) == set(WHY)
    assert set(WHY) >= ALARMS


def test_an_open_valve_that_is_held_says_so() -> None:
    text = sentence(decision(WHY.HOLD, irrigar=1))
    assert text == (
        "Valve stays open: the moisture, 50 %, has not reached the closing threshold of 65 %."
    )


def test_a_reason_that_is_not_known_is_given_as_number() -> None:
    assert sentence(decision(77)) == "The guest closed the valve and gave reason code 77."
    assert title(decision(77)) == "Closed"


def test_unknown_numbers_are_called_unknown() -> None:
    assert "threshold of unknown %" in sentence(decision(WHY.OPENED, on=None))
