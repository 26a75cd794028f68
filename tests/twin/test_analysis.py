"""The analysis step beside the Kalman filter and beside another program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from levada.twin.estimate.analysis import analyse, gaspari_cohn, innovation_inflation
from levada.twin.estimate.parameters import PARAMETERS
from levada.twin.estimate.readings import error_of, usable


def test_equal_ensembles_give_what_dapper_gives() -> None:
    """The file holds what `EnKF_analysis(..., "DEnKF", ...)` of dapper 1.7.1 made of them."""
    known = json.loads((Path(__file__).parent / "denkf_dapper.json").read_text())
    case = {name: np.array(values) for name, values in known.items()}
    found = analyse(case["ensemble"], case["predicted"], case["measured"], case["error_sd"])
    assert found == pytest.approx(case["analysis"], abs=1e-12)


def test_a_linear_column_is_estimated_as_by_the_kalman_filter() -> None:
    """Water of 12 cells that diffuses, read at two of them, twenty times; exact filter beside it.

    The deterministic form adds K HPH' K' / 4 to the covariance, so the exact filter of that form
    is the measure of both moments, and the Kalman filter that of the mean where readings are weak.
    """
    cells, members, error = 12, 20_000, np.array([0.4, 0.4])
    step = np.eye(cells) * 0.9 + np.eye(cells, k=1) * 0.05 + np.eye(cells, k=-1) * 0.05
    h = np.zeros((2, cells))
    h[0, 3] = h[1, 8] = 1.0
    random = np.random.default_rng(5)
    depth = np.arange(cells)[:, None]
    p = 0.04 * np.exp(-(((depth - depth.T) / 3.0) ** 2)) + 1e-6 * np.eye(cells)
    mean, kalman_mean, kalman_p = np.full(cells, 0.2), np.full(cells, 0.2), p.copy()
    ensemble = mean[:, None] + np.linalg.cholesky(p) @ random.standard_normal((cells, members))
    for _ in range(20):
        ensemble, mean, p = step @ ensemble, step @ mean, step @ p @ step.T
        kalman_mean, kalman_p = step @ kalman_mean, step @ kalman_p @ step.T
        y = 0.3 + random.normal(0.0, 0.4, 2)
        ensemble = analyse(ensemble, h @ ensemble, y, error)
        gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + np.diag(error**2))
        mean = mean + gain @ (y - h @ mean)
        half = np.eye(cells) - 0.5 * gain @ h
        p = half @ p @ half.T
        exact = kalman_p @ h.T @ np.linalg.inv(h @ kalman_p @ h.T + np.diag(error**2))
        kalman_mean = kalman_mean + exact @ (y - h @ kalman_mean)
        kalman_p = kalman_p - exact @ h @ kalman_p
    sampling = np.sqrt(np.diag(p) / members)
    assert np.all(np.abs(ensemble.mean(axis=1) - mean) < 5.0 * sampling + 2e-3)
    assert np.cov(ensemble) == pytest.approx(p, abs=5.0 * float(np.max(p)) / np.sqrt(members))
    assert kalman_mean == pytest.approx(mean, abs=0.1 * float(np.sqrt(kalman_p.max())))
    assert np.all(np.diag(p) >= np.diag(kalman_p) - 1e-12)


def test_what_is_far_away_is_not_touched_when_localised() -> None:
    random = np.random.default_rng(2)
    ensemble = random.standard_normal((10, 8))
    taper = gaspari_cohn(np.arange(10.0)[:, None], 2.0)
    found = analyse(ensemble, ensemble[:1], np.array([3.0]), np.array([0.1]), taper=taper)
    assert found[4:] == pytest.approx(ensemble[4:], abs=1e-14)
    assert np.all(np.abs(found[:3] - ensemble[:3]).max(axis=1) > 1e-3)


def test_the_taper_is_that_of_gaspari_and_cohn() -> None:
    """Eq. 4.10 at z = 0, 1/2, 1, 3/2, 2 by hand."""
    found = gaspari_cohn(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 9.0]), 1.0)
    assert found == pytest.approx([1.0, 263 / 384, 5 / 24, 19 / 1152, 0.0, 0.0], abs=1e-12)


def test_readings_that_surprise_widen_the_ensemble() -> None:
    ensemble = np.array([[-1.0, 0.0, 1.0]])  # variance 1
    sd = np.array([1.0])
    assert innovation_inflation(ensemble, np.array([0.5]), sd) == 1.0
    assert innovation_inflation(ensemble, np.array([1.6]), sd) == pytest.approx(1.56)
    assert innovation_inflation(ensemble, np.array([9.0]), sd) == 2.0


@pytest.mark.parametrize(
    ("members", "error", "said"),
    [(2, 1.0, "2 members"), (5, 0.0, "error_sd = 0")],
)
def test_what_makes_no_sense_is_refused(members: int, error: float, said: str) -> None:
    ensemble = np.zeros((3, members))
    with pytest.raises(ValueError, match=said):
        analyse(ensemble, ensemble[:1], np.array([1.0]), np.array([error]))


def test_a_parameter_stays_within_its_bounds() -> None:
    for parameter in PARAMETERS.values():
        free = parameter.draw(np.array([-40.0, -1.0, 0.0, 1.0, 40.0]))
        values = parameter.value(free)
        assert np.all((values >= parameter.low) & (values <= parameter.high))
        assert values[2] == pytest.approx(parameter.mean)
        assert (values[3] - values[1]) / 2 == pytest.approx(parameter.sd, rel=0.1)


def test_stuck_and_implausible_readings_are_left_out() -> None:
    raw = np.array([2000.0, 2001, 2001, 2001, 2001, 2005, -2, 2006])
    theta = np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0.2, np.nan, 0.9])
    good = usable(raw, theta, stuck=4)
    assert good.tolist() == [True, False, False, False, False, True, False, False]


def test_readings_after_irrigation_count_less() -> None:
    hour = 3_600_000
    times = np.array([0, 1, 5, 13, 20]) * hour
    found = error_of(times, np.array([[hour, 2 * hour]]), sd=0.01)
    assert found.tolist() == pytest.approx([0.01, 0.03, 0.03, 0.03, 0.01])
