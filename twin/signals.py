"""Signals from rows of a plant and steps of a guest, for the store and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
import numpy.typing as npt

from levada.guest.abi import DEFAULT_PINS
from levada.guest.text.json_text import parse
from levada.sim.devices.probe import ideal_counts
from levada.sim.results.decisions import Decision
from levada.sim.run.trace import INDEX
from levada.sim.settings.probe import Probe
from levada.twin.observer import StepObservation

__all__ = ["Curve", "by_zone", "curve", "decision", "finite", "numbers", "signals", "theta"]

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Counts, rising, and the water content [m3/m3] at each."""

FloatArray = npt.NDArray[np.float64]
_STEPS = 1001


def curve(probe: Probe) -> Curve | None:
    """Water content by counts; None for a tensiometer, which does not tell it.

    The calibration of the probe, from dry soil to twice its wet point, turned round.
    """
    if probe.kind == "tensiometer":
        return None
    water = np.linspace(0.0, 2.0 * probe.theta_wet, _STEPS)
    counts = ideal_counts(probe, water)
    rising = np.argsort(counts, kind="stable")
    return counts[rising], water[rising]


def theta(known: Curve | None, counts: int | None) -> float | None:
    """Water content that a reading tells; None for an error code or an unknown probe."""
    if known is None or counts is None or not 0 <= counts < 4095:
        return None
    return float(np.interp(counts, *known))


def by_zone(rows: FloatArray, zones: int) -> list[FloatArray]:
    """Rows of a plant, split by zone."""
    owner = rows[:, INDEX["zone"]]
    return [rows[owner == i] for i in range(zones)]


def signals(row: FloatArray, names: Sequence[str], known: Curve | None) -> dict[str, float]:
    """Those values of a row that are known, with `theta` from the counts and `valve`."""
    found = {name: float(row[INDEX[name]]) for name in names}
    found["valve"] = float(row[INDEX["valve_commanded"]])
    water = theta(known, int(found["counts"]))
    if water is not None:
        found["theta"] = water
    return {name: value for name, value in found.items() if isfinite(value)}


def numbers(message: str) -> dict[str, float]:
    """Numbers at the top level of a JSON object; none if the message is something else."""
    try:
        data = parse(message)
    except ValueError:
        return {}
    return finite(data) if isinstance(data, Mapping) else {}


def finite(values: Mapping[str, object]) -> dict[str, float]:
    """Those values that are finite numbers."""
    found = {}
    for key, value in values.items():
        if isinstance(value, int | float):
            try:
                number = float(value)
            except OverflowError:
                continue
            if isfinite(number):
                found[str(key)] = number
    return found


def decision(zone: int, time_ms: int, seen: StepObservation) -> Decision | None:
    """The decision that a guest published in a step; None: it published none."""
    published: dict[str, float] = {}
    message = ""
    for _topic, text in seen.result.publications:
        found = numbers(text)
        if "irrigar" in found or "pct" in found:
            published, message = found, text
    if not published and not seen.result.trap:
        return None

    def integer(key: str) -> int | None:
        return int(published[key]) if key in published else None

    valve = seen.result.outputs.get(DEFAULT_PINS[0], 0)
    return Decision(
        time_ms=time_ms,
        clock_ms=seen.time_ms,
        zone=zone,
        raw=integer("raw"),
        pct=integer("pct"),
        filt=integer("filt"),
        on=integer("on"),
        off=integer("off"),
        flow=integer("flow"),
        irrigar=int(published.get("irrigar", valve)),
        why=integer("why"),
        trap=int(seen.result.trap),
        changed=False,
        message=message,
    )
