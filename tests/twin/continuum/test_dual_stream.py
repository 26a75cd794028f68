"""Raw against filtered, calculated by hand."""

from __future__ import annotations

import math

from levada.twin.continuum.dual_stream import Comparison, DualStream, StreamRow, Suppressed


def row(seq: int, received_us: int = 0, **values: float) -> StreamRow:
    return StreamRow(boot=7, seq=seq, t_ms=seq * 1_000, values=values, received_us=received_us)


def streams(raw: list[StreamRow], filtered: list[StreamRow]) -> Comparison:
    """All of the one, then all of the other, as fog sends a group."""
    dual = DualStream()
    for part in raw:
        dual.raw(part)
    for part in filtered:
        dual.filtered(part)
    return dual.found


def test_residual_and_delay_are_those_of_the_pairs() -> None:
    found = streams(
        [row(0, 100, raw=1500), row(1, 200, raw=1510), row(2, 300, raw=1490)],
        [
            row(0, 150, raw=1500, filt=1500, anomaly=0),
            row(1, 260, raw=1510, filt=1503, anomaly=0),
            row(2, 370, raw=1490, filt=1499, anomaly=0),
        ],
    )
    assert (found.raw, found.filtered, found.matched) == (3, 3, 3)
    assert found.residual is not None
    # differences 0, -7, 9
    assert found.residual.count == 3
    assert math.isclose(found.residual.mean, 2 / 3)
    assert math.isclose(found.residual.rms, math.sqrt(130 / 3))
    assert found.delay_us is not None
    assert (found.delay_us.p50, found.delay_us.most) == (60, 70)
    assert (found.missing_raw, found.missing_filtered) == (0, 0)


def test_what_was_passed_over_is_missing_and_what_may_still_come_is_not() -> None:
    raw = [row(n, raw=1500) for n in range(5)]
    filtered = [row(n, filt=1500, anomaly=0) for n in (0, 2, 3)]
    found = streams(raw, filtered)
    assert found.missing_filtered == 1  # 1; of 4 it may still come
    assert found.missing_raw == 0


def test_a_filtered_row_without_a_raw_one_is_missing_there() -> None:
    raw = [row(n, raw=1500) for n in (0, 2)]
    filtered = [row(n, filt=1500, anomaly=0) for n in (0, 1, 2)]
    found = streams(raw, filtered)
    assert (found.missing_raw, found.missing_filtered, found.matched) == (1, 0, 2)


def test_a_row_that_comes_late_is_not_missing_any_more() -> None:
    dual = DualStream()
    for n in range(3):
        dual.raw(row(n, raw=1500))
    dual.filtered(row(2, filt=1500, anomaly=0))
    assert dual.found.missing_filtered == 2
    dual.filtered(row(0, filt=1500, anomaly=0))
    assert dual.found.missing_filtered == 1


def test_a_fog_that_filters_nothing_has_nothing_missing() -> None:
    found = streams([row(n, raw=1500) for n in range(10)], [])
    assert (found.missing_filtered, found.residual, found.delay_us) == (0, None, None)


def test_suppressed_samples_are_counted_with_what_was_found() -> None:
    found = streams(
        [row(0, raw=-1), row(1, raw=4095), row(2, raw=1500)],
        [
            row(0, raw=-1, anomaly=1),
            row(1, raw=4095, anomaly=12),
            row(2, raw=1500, filt=1500, anomaly=4),
        ],
    )
    assert found.suppressed == 2
    assert found.anomalies == {"range": 1, "rate": 2, "Hampel": 1}
    assert found.newest_suppressed == (
        Suppressed(t_ms=0, raw=-1, anomaly=1),
        Suppressed(t_ms=1_000, raw=4095, anomaly=12),
    )
    assert found.residual is not None
    assert found.residual.count == 1
    assert found.matched == 3


def test_memory_is_bounded_and_what_is_given_up_counts_as_missing() -> None:
    dual = DualStream()
    for n in range(5_000):
        dual.raw(row(n, raw=1500))
    assert dual.found.missing_filtered == 5_000 - 4_096
